"""The set-up: the lock is complete, environment.yml agrees with it, and .venv is whole or made afresh."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import sys
import time
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.lock"
WITHOUT_DEPENDENCIES = ROOT / "requirements-nodeps.lock"
CONDA_NAMES = {"pytorch": "torch", "pypandoc": "pypandoc-binary"}
GPU = re.compile(r"nvidia-.*|cuda-.*|triton|pytorch-triton")
"""What a GPU build of torch brings, which the lock leaves to it."""


def lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def pins() -> dict[str, str]:
    return dict(line.partition(" ;")[0].split("==") for line in lines(LOCK))


def direct(group: str | None = None) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    run_time, development = project["dependencies"], project["optional-dependencies"]["dev"]
    return [Requirement(line) for line in run_time + (development if group is None else [])]


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


def test_lock_has_one_sorted_pin_a_line_and_no_place() -> None:
    names = [line.partition("==")[0] for line in lines(LOCK)]
    assert names == sorted(set(names))
    assert all(name == canonicalize_name(name) for name in names)
    pin = re.compile(r'[a-z0-9-]+==[0-9][a-z0-9.]*( ; (sys_platform|python_version) [=<>]+ "[a-z0-9.]+")?')
    assert [line for line in lines(LOCK) if not pin.fullmatch(line)] == []
    for path in (LOCK, WITHOUT_DEPENDENCIES, ROOT / "environment.yml"):
        assert not re.search(r"://|@|file:|/tmp|/home", path.read_text()), path


@pytest.mark.parametrize("requirement", direct(), ids=str)
def test_lock_pins_every_direct_dependency_within_its_bounds(requirement: Requirement) -> None:
    assert pins()[canonicalize_name(requirement.name)] in requirement.specifier


def test_environment_yml_pins_what_the_lock_pins() -> None:
    by_conda, by_pip = conda()
    names = {canonicalize_name(requirement.name) for requirement in direct()}
    assert by_conda.pop("quarto")
    assert {**by_conda, **by_pip} == {name: version for name, version in pins().items() if name in names}
    assert set(by_pip) == {"transformer-lens"}


def test_lock_has_everything_that_is_needed_here() -> None:
    locked, seen, waiting = pins(), set(), direct()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, *sorted(requirement.extras)) in seen or GPU.fullmatch(name):
            continue
        seen.add((name, *sorted(requirement.extras)))
        assert name in locked, f"{name} is needed and not in the lock: run `make lock`"
        for child in map(Requirement, metadata.requires(name) or []):
            extras = ("", *requirement.extras)
            if not child.marker or any(child.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(child)


def test_what_is_installed_is_what_the_lock_says() -> None:
    here = [pin for pin in map(Requirement, lines(LOCK)) if pin.marker is None or pin.marker.evaluate()]
    wanted = {pin.name: str(pin.specifier).removeprefix("==") for pin in here}
    assert {name: metadata.version(name).partition("+")[0] for name in wanted} == wanted


# ---- tools/setup_env.py --------------------------------------------------------------------------


def load() -> Any:
    """tools/setup_env.py as a module of its own."""
    spec = importlib.util.spec_from_file_location("setup_env", ROOT / "tools" / "setup_env.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Machine:
    """A folder to set up, with a pip that notes what it is asked and fails or is interrupted on demand."""

    def __init__(self, module: Any, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.module, self.root = module, root
        self.asked: list[str] = []
        self.fails: tuple[str, ...] = ("install quarto-cli",)
        self.stops: str | None = None
        (root / "tools").mkdir()
        for name in ("requirements.lock", "requirements-nodeps.lock", "pyproject.toml", "tools/setup_env.py"):
            (root / name).write_bytes((ROOT / name).read_bytes())
        for name in ("ROOT", "VENV", "READY", "UNFINISHED", "LOG"):
            monkeypatch.setattr(module, name, root / getattr(module, name).relative_to(ROOT))
        monkeypatch.setattr(module, "run", self.run)
        monkeypatch.setattr(module, "gpu", lambda: False)
        monkeypatch.setattr(module.sys, "platform", "linux")
        monkeypatch.setattr(module.shutil, "which", lambda name: None)
        monkeypatch.setattr(module.signal, "signal", lambda *arguments: None)

    def run(self, *command: object, **options: object) -> bool:
        words = " ".join(map(str, command)).replace(f"{self.root}/.venv/bin/python -m pip ", "")
        self.asked.append(words)
        if words.endswith("-m venv " + str(self.root / ".venv")):
            (self.root / ".venv" / "bin").mkdir()
            (self.root / ".venv" / "bin" / "python").symlink_to(sys.executable)
        if self.stops is not None and words.startswith(self.stops):
            raise KeyboardInterrupt
        failed = words.startswith(self.fails)
        with (self.root / ".venv" / "setup.log").open("a") as log:
            log.write(f"\n$ {words}\n" + ("ERROR: it did not work\n" if failed else "fine\n"))
        if "quarto-cli" in words and words.startswith("install"):
            (self.root / ".venv" / "bin" / "quarto").write_text("#!/bin/sh\nexit 1\n")
        return not failed

    def ready(self) -> bool:
        return (self.root / ".venv" / ".ready").exists()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(load(), tmp_path, monkeypatch)


TORCH = f"torch=={pins()['torch']}"


def test_steps_come_in_order_and_a_second_call_does_nothing(machine: Machine) -> None:
    assert machine.module.main() == 0
    assert machine.asked[1:7] == [
        f"install {TORCH}+cpu -c requirements.lock",
        "install -r requirements.lock",
        "install --no-deps -r requirements-nodeps.lock",
        "install --no-deps --no-build-isolation --editable .",
        f"install {machine.module.QUARTO}",
        "uninstall --yes quarto-cli",
    ]
    assert machine.ready()
    machine.asked.clear()
    assert machine.module.main() == 0
    assert machine.asked == []


def test_torch_falls_back_to_the_plain_build(machine: Machine) -> None:
    machine.fails += (f"install {TORCH}+cpu",)
    assert machine.module.main() == 0
    assert machine.asked[1:3] == [
        f"install {TORCH}+cpu -c requirements.lock",
        f"install {TORCH} -c requirements.lock",
    ]


@pytest.mark.parametrize(("platform", "gpu"), [("linux", True), ("darwin", False)])
def test_cpu_build_is_not_tried_with_a_gpu_or_on_macos(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, platform: str, gpu: bool
) -> None:
    monkeypatch.setattr(machine.module.sys, "platform", platform)
    monkeypatch.setattr(machine.module, "gpu", lambda: gpu)
    monkeypatch.setattr(machine.module, "GIGABYTES", {"cpu": 0, "gpu": 0})
    assert machine.module.main() == 0
    assert machine.asked[1] == f"install {TORCH} -c requirements.lock"


@pytest.mark.parametrize("fails", [("install quarto-cli",), ()], ids=["not-installed", "broken"])
def test_quarto_failing_is_harmless_and_leaves_nothing(
    machine: Machine, capsys: pytest.CaptureFixture[str], fails: tuple[str, ...]
) -> None:
    machine.fails = fails
    assert machine.module.main() == 0
    assert capsys.readouterr().out.count(machine.module.NO_QUARTO) == 1
    assert not (machine.root / ".venv" / "bin" / "quarto").exists()
    assert machine.ready()


def test_quarto_on_the_path_is_used(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine.module.shutil, "which", {"quarto": "/usr/bin/quarto"}.get)
    assert machine.module.main() == 0
    assert not any(words.startswith(("install quarto", "uninstall")) for words in machine.asked)
    assert machine.module.NO_QUARTO not in capsys.readouterr().out


@pytest.mark.parametrize("where", ["install -r", "install --no-deps", "install quarto-cli", sys.executable])
def test_interrupted_set_up_leaves_no_stamp_and_is_made_afresh(machine: Machine, where: str) -> None:
    machine.stops = where if where != sys.executable else machine.module.PYTHON
    assert machine.module.main() == 130
    assert not machine.ready()
    (machine.root / ".venv" / "half-written").touch()
    machine.stops = None
    assert machine.module.main() == 0
    assert machine.ready()
    assert not (machine.root / ".venv" / "half-written").exists()


def test_failing_pip_gives_one_message_with_the_log_and_no_stamp(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.fails = ("install -r",)
    assert machine.module.main() == 1
    error = capsys.readouterr().err
    assert error.startswith("Set-up failed: pip could not install everything; ")
    assert "setup.log" in error
    assert "ERROR: it did not work" in error
    assert "Traceback" not in error
    assert not machine.ready()


def test_full_disk_is_named(machine: Machine) -> None:
    message = machine.module.explain("\nERROR: [Errno 28] No space left on device\n")
    assert message.startswith("the disk is full")


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_changed_input_updates_the_environment_in_place(machine: Machine, name: str) -> None:
    assert machine.module.main() == 0
    (machine.root / ".venv" / "kept").touch()
    with (machine.root / name).open("a") as file:
        file.write("# another line\n")
    machine.asked.clear()
    assert machine.module.main() == 0
    assert "install -r requirements.lock" in machine.asked
    assert (machine.root / ".venv" / "kept").exists()


def test_environment_made_by_a_person_is_kept(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    own = machine.root / ".venv" / "pyvenv.cfg"
    own.parent.mkdir()
    own.touch()
    assert machine.module.main() == 1
    assert "move it away" in capsys.readouterr().err
    assert own.exists()


def test_python_too_old_is_one_line(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine.module.sys, "version_info", (3, 9, 1))
    assert machine.module.main() == 1
    error = capsys.readouterr().err
    assert error.startswith("Python 3.9 is too old: put Python 3.11 or later")
    assert error.count("\n") == 1


def test_no_venv_module_names_the_package(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine.module, "works", lambda *command: False)
    assert machine.module.main() == 1
    assert "apt install python3-venv" in capsys.readouterr().err


def test_little_space_is_said_before_anything_is_made(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine.module, "GIGABYTES", {"cpu": 10**9, "gpu": 10**9})
    assert machine.module.main() == 1
    assert "make room" in capsys.readouterr().err
    assert not (machine.root / ".venv").exists()


def test_run_ends_a_command_that_takes_too_long_with_its_children(tmp_path: Path) -> None:
    module = load()
    module.ROOT, module.LOG = tmp_path, tmp_path / "setup.log"
    child = "import os, time; open('child', 'w').write(str(os.getpid())); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    assert module.run(sys.executable, "-c", parent, seconds=3) is False
    assert "Ended after 3 s" in module.LOG.read_text()
    with contextlib.suppress(psutil.NoSuchProcess):
        child_process = psutil.Process(int((tmp_path / "child").read_text()))
        deadline = time.monotonic() + 10  # the system ends a killed process in its own time
        while child_process.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "the child is still running"
            time.sleep(0.05)
