"""The set-up: the lock is complete, environment.yml agrees with it, and .venv is whole or made afresh."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
LOCK = ROOT / "requirements.lock"
WITHOUT_DEPENDENCIES = ROOT / "requirements-nodeps.lock"
OF_CHOICE = ROOT / "requirements-gemma.lock"
CONDA_NAMES = {"pytorch": "torch", "pypandoc": "pypandoc-binary"}


def pins() -> dict[str, str]:
    lines = [line for line in LOCK.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.partition(" ;")[0].split("==") for line in lines)


def direct() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [Requirement(line) for line in project["dependencies"] + project["optional-dependencies"]["dev"]]


def conda() -> tuple[dict[str, str], dict[str, str]]:
    """The pins of environment.yml by the lock's names: conda's, and those of the pip section."""
    content = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (pip,) = (entry["pip"] for entry in content if isinstance(entry, dict))
    found: dict[str, str] = {}
    for entry in (entry for entry in content if isinstance(entry, str)):
        name, _, version = entry.rpartition("::")[2].partition("=")
        if version and not version.startswith("=") and name[-1] not in "<>":
            found[canonicalize_name(CONDA_NAMES.get(name, name))] = version
    return found, dict(entry.split("==") for entry in pip)


# ---- the lock and its like -----------------------------------------------------------------------


def test_no_lock_names_a_place():
    for path in (LOCK, WITHOUT_DEPENDENCIES, OF_CHOICE, ROOT / "environment.yml"):
        assert not re.search(r"://|@|file:|/tmp|/home|\+cpu", path.read_text()), path


def test_lock_pins_every_direct_dependency_within_its_bounds():
    locked = pins()
    assert [str(asked) for asked in direct() if locked[canonicalize_name(asked.name)] not in asked.specifier] == []


def test_condas_second_step_pins_what_the_lock_without_dependencies_pins():
    pins = [
        {line for line in path.read_text().splitlines() if "--hash" in line and not line.startswith("#")}
        for path in (WITHOUT_DEPENDENCIES, ROOT / "environment.post-deploy.sh")
    ]
    assert pins[0] == pins[1]
    assert len(pins[0]) == 2


def test_environment_yml_pins_what_the_lock_pins():
    by_conda, by_pip = conda()
    names = {canonicalize_name(requirement.name) for requirement in direct()}
    assert by_conda.pop("quarto")
    assert {**by_conda, **by_pip} == {name: version for name, version in pins().items() if name in names}
    assert set(by_pip) == {"rocrate", "transformer-lens"}


def test_what_is_installed_is_what_the_lock_says():
    lines = [line for line in LOCK.read_text().splitlines() if line and not line.startswith("#")]
    here = [pin for pin in map(Requirement, lines) if pin.marker is None or pin.marker.evaluate()]
    wanted = {pin.name: str(pin.specifier).removeprefix("==") for pin in here}
    assert {name: metadata.version(name).partition("+")[0] for name in wanted} == wanted


# ---- tools/setup_env.py --------------------------------------------------------------------------


class Machine:
    """A folder to set up, with commands that are noted in place of being run, and fail or are interrupted on demand."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        spec = importlib.util.spec_from_file_location("setup_env", ROOT / "tools" / "setup_env.py")
        assert spec is not None
        assert spec.loader is not None
        module: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.module, self.root, self.programs = module, root, {}
        self.asked: list[str] = []
        self.fails: tuple[str, ...] = ("uv pip install quarto-cli",)
        self.stops: str | None = None
        (root / "tools").mkdir()
        for name in module.INPUTS:
            (root / name).write_bytes((ROOT / name).read_bytes())
        for name in ("ROOT", "VENV", "READY", "OURS", "LOG"):
            monkeypatch.setattr(module, name, root / getattr(module, name).relative_to(ROOT))
        monkeypatch.setattr(module, "run", self.run)
        monkeypatch.setattr(module, "gpu", lambda: False)
        monkeypatch.setattr(module, "pip_settings", dict)
        monkeypatch.setattr(module.sys, "platform", "linux")
        monkeypatch.setattr(module.shutil, "which", lambda name: self.programs.get(name))
        monkeypatch.setattr(module.signal, "signal", lambda *arguments: None)
        monkeypatch.setattr(module.os, "environ", dict(module.os.environ))

    def run(self, *command: object, seconds: float | None = None) -> bool:
        venv = f"{self.root}/.venv"
        words = " ".join(map(str, command)).replace(f"{venv}/bin/", "").replace(" --python python", "")
        self.asked.append(words)
        if words.endswith(f"-m venv {venv}") or words.startswith("/usr/bin/uv venv"):
            (self.root / ".venv" / "bin").mkdir()
            (self.root / ".venv" / "bin" / "python").symlink_to(sys.executable)
        if self.stops is not None and self.stops in words:
            raise KeyboardInterrupt
        failed = words.startswith(self.fails)
        with (self.root / ".venv" / "setup.log").open("a") as log:
            log.write(f"\n$ {words}\n" + ("error: it did not work\n" if failed else "fine\n"))
        if "quarto-cli" in words and "uninstall" not in words:
            (self.root / ".venv" / "bin" / "quarto").write_text("#!/bin/sh\nexit 1\n")
        return not failed

    def ready(self) -> bool:
        return (self.root / ".venv" / ".ready").exists()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


TORCH, UV = (f"{name}=={pins()[name]}" for name in ("torch", "uv"))


def test_steps_come_in_order_and_a_second_call_does_nothing(machine: Machine):
    assert machine.module.main() == 0
    assert machine.asked[2:] == [
        f"python -m pip install --no-input --disable-pip-version-check {UV}",
        f"uv pip install {TORCH}+cpu -c requirements.lock",
        "uv pip install --no-deps -r requirements-nodeps.lock",
        "uv pip install --compile-bytecode -r requirements.lock",
        "uv pip install --no-deps --no-build-isolation --editable .",
        f"uv pip install {machine.module.QUARTO}",
        "uv pip uninstall quarto-cli",
    ]
    assert machine.ready()
    assert not (machine.root / ".venv" / "bin" / "quarto").exists()
    machine.asked.clear()
    assert machine.module.main() == 0
    assert machine.asked == []


def test_uv_and_quarto_on_the_path_are_used(machine: Machine):
    machine.programs = {"uv": "/usr/bin/uv", "quarto": "/usr/bin/quarto"}
    assert machine.module.main() == 0
    assert machine.asked[0].startswith("/usr/bin/uv venv")
    assert all(words.startswith("/usr/bin/uv ") and "quarto-cli" not in words for words in machine.asked)


@pytest.mark.parametrize(
    ("platform", "gpu", "fails", "builds"),
    [
        ("linux", False, 0, [f"{TORCH}+cpu"]),
        ("linux", False, 1, [f"{TORCH}+cpu", f"--torch-backend=auto {TORCH}"]),
        ("linux", False, 2, [f"{TORCH}+cpu", f"--torch-backend=auto {TORCH}", TORCH]),
        ("linux", True, 0, [f"--torch-backend=auto {TORCH}"]),
        ("linux", True, 1, [f"--torch-backend=auto {TORCH}", TORCH]),
        ("darwin", False, 0, [TORCH]),
    ],
)
def test_builds_of_torch_that_are_tried(machine: Machine, monkeypatch, platform, gpu, fails, builds):
    monkeypatch.setattr(machine.module.sys, "platform", platform)
    monkeypatch.setattr(machine.module, "gpu", lambda: gpu)
    monkeypatch.setattr(machine.module.shutil, "disk_usage", lambda path: (0, 0, 10**12))
    monkeypatch.setattr(machine.module.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10**12}))
    machine.fails += tuple(f"uv pip install {build} " for build in builds[:fails])
    assert machine.module.main() == 0
    tried = [words for words in machine.asked if words.endswith(" -c requirements.lock")]
    assert tried == [f"uv pip install {build} -c requirements.lock" for build in builds]


@pytest.mark.parametrize(
    "where", ["-m venv", f"install {TORCH}", "install --compile-bytecode", "install --no-deps", "quarto-cli"]
)
def test_an_interrupted_set_up_leaves_no_stamp_and_is_made_afresh(machine: Machine, monkeypatch, where):
    def interrupted(*_):
        raise KeyboardInterrupt

    machine.stops = where
    assert machine.module.main() == 130
    assert not machine.ready()
    (machine.root / ".venv" / "half-written").touch()
    with monkeypatch.context() as patch:  # interrupted again while the remains are removed
        patch.setattr(machine.module.shutil, "rmtree", interrupted)
        assert machine.module.main() == 130
    machine.stops = None
    assert machine.module.main() == 0
    assert machine.ready()
    assert not (machine.root / ".venv" / "half-written").exists()


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_a_changed_input_makes_the_environment_afresh(machine: Machine, name):
    assert machine.module.main() == 0
    with (machine.root / name).open("a") as file:
        file.write("# another line\n")
    machine.asked.clear()
    assert machine.module.main() == 0
    assert "uv pip install --compile-bytecode -r requirements.lock" in machine.asked


def test_a_failing_install_gives_one_message_with_the_log_and_no_stamp(machine: Machine, capsys):
    machine.fails = ("uv pip install --compile-bytecode",)
    assert machine.module.main() == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith("Set-up failed: uv failed; its whole output is in ")
    assert error.endswith("error: it did not work")
    assert not machine.ready()


def test_what_cannot_succeed_is_said_before_anything_is_installed(machine: Machine, monkeypatch, capsys):
    own = machine.root / ".venv" / "pyvenv.cfg"
    own.parent.mkdir()
    own.touch()
    assert machine.module.main() == 1
    assert "was not made by this set-up: move it away" in capsys.readouterr().err
    own.unlink()
    machine.fails = (f"{machine.module.PYTHON} -c import venv",)
    assert machine.module.main() == 1
    assert "apt install python3-venv" in capsys.readouterr().err
    monkeypatch.setattr(machine.module.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10**9}))
    assert machine.module.main() == 1
    assert "1.0 GB free and the packages need 3: make room" in capsys.readouterr().err
    assert not any("install" in words for words in machine.asked)


def test_a_python_that_is_too_old_is_one_line(machine: Machine, monkeypatch, capsys):
    monkeypatch.setattr(machine.module.sys, "version_info", (3, 9, 1))
    assert machine.module.main() == 1
    error = capsys.readouterr().err
    assert error.startswith("Python 3.9 is too old: put Python 3.11 or later")
    assert error.count("\n") == 1


def test_uv_is_told_what_pip_is_told(machine: Machine, tmp_path: Path, monkeypatch):
    monkeypatch.undo()
    settings = tmp_path / "pip.conf"
    settings.write_text("[global]\nfind-links = one two\nextra-index-url =\n    first\n    second\ncert = own.pem\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", "already-set.pem")
    told = machine.module.pip_settings()
    assert told["UV_FIND_LINKS"] == "one,two"
    assert told["UV_INDEX"] == "first second"
    assert "SSL_CERT_FILE" not in told


def test_a_command_that_takes_too_long_is_ended_with_its_children(machine: Machine, tmp_path: Path, monkeypatch):
    import psutil

    monkeypatch.undo()
    module = machine.module
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "LOG", tmp_path / "setup.log")
    child = "import os, time; open('child', 'w').write(str(os.getpid())); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    assert module.run(sys.executable, "-c", parent, seconds=1) is False
    (tmp_path / "child").read_text()
    for process in psutil.process_iter():
        if process.pid == int((tmp_path / "child").read_text()):
            process.wait(10)
