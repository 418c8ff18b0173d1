"""Remake requirements.lock: the newest versions that pyproject.toml allows, installed together once.

    python3 tools/lock.py

A fresh virtual environment gets what pyproject.toml asks for, and what is then installed becomes the lock. A
package that only some of the supported systems need gets an environment marker; one that this system does not
need is pinned all the same. Run the tests on the new lock before you commit it.
"""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"

HEADER = """\
# Every package that is installed, run-time and development, with all that they need in turn. Do not edit it:
# `make lock` remakes it from pyproject.toml in a fresh virtual environment. A GPU build of torch brings its
# own libraries, which are not listed.
"""

PYTHONS = ("3.11", "3.12", "3.13")
SYSTEMS = (
    {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"},
    {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "aarch64"},
    {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix", "platform_machine": "arm64"},
)
ENVIRONMENTS = [
    {"python_version": python, "python_full_version": f"{python}.9", **system}
    for python, system in itertools.product(PYTHONS, SYSTEMS)
]
MARKERS = (
    "",
    *(f'sys_platform == "{name}"' for name in ("linux", "darwin")),
    *(f'python_version {sign} "{python}"' for python in PYTHONS[1:] for sign in ("<", ">=")),
)
"""From the plainest on: the first that is true in exactly the environments that need a package is written."""

GPU = re.compile(r"nvidia-.*|cuda-.*|triton|pytorch-triton")
"""What a GPU build of torch asks for: it depends on the build, so torch pins it and the lock does not."""


def canonical(name: str) -> str:
    """The name of a package as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def direct() -> list[str]:
    """The requirements that pyproject.toml states, run-time and development."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["dev"]]


def needed(environment: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Every package that the project with its `dev` extra needs in an environment, direct or not.

    Args:
        environment: values of the environment markers.

    Yields:
        The canonical name, and the requirement without its marker by which it was first met.
    """
    from packaging.requirements import Requirement

    waiting = [Requirement(line) for line in direct()]
    seen: set[tuple[str, frozenset[str]]] = set()
    yielded: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        name, extras = canonical(requirement.name), frozenset(requirement.extras)
        if (name, extras) in seen or GPU.fullmatch(name):
            continue
        seen.add((name, extras))
        if name not in yielded:
            yielded.add(name)
            requirement.marker = None
            yield name, str(requirement)
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        for child in map(Requirement, lines):
            wanted = child.marker is None or any(
                child.marker.evaluate({**environment, "extra": extra}) for extra in ("", *extras)
            )
            if wanted:
                waiting.append(child)


def marker(environments: list[dict[str, str]]) -> str:
    """The plainest marker that is true in exactly these supported environments, or "" where there is none."""
    from packaging.markers import Marker

    for text in MARKERS:
        if [e for e in ENVIRONMENTS if not text or Marker(text).evaluate(e)] == environments:
            return text
    return ""


def freeze() -> str:
    """The text of the lock, from what is installed beside the running interpreter."""
    while True:
        uses: dict[str, list[dict[str, str]]] = {}
        missing: dict[str, str] = {}
        for environment in ENVIRONMENTS:
            for name, requirement in needed(environment):
                uses.setdefault(name, []).append(environment)
                try:
                    metadata.version(name)
                except metadata.PackageNotFoundError:
                    missing[name] = requirement
        if not missing:
            break
        # Needed on other systems only: installing it here says which version, and what it needs in turn.
        pip(sys.executable, "--no-deps", *missing.values())
    lines = []
    for name in sorted(uses):
        pin = f"{name}=={metadata.version(name).partition('+')[0]}"
        condition = marker(uses[name])
        lines.append(f"{pin} ; {condition}" if condition else pin)
    return HEADER + "\n".join(lines) + "\n"


def pip(python: str | Path, *arguments: str) -> None:
    """Install into the environment of an interpreter, showing pip's words only where it fails."""
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise SystemExit(f"{done.stdout}\nThe lock was not remade: pip failed, see above.")


def main() -> None:
    """Remake the lock; with `--freeze`, print it for the environment of the running interpreter."""
    if sys.argv[1:] == ["--freeze"]:
        print(freeze(), end="")
        return
    before = set(LOCK.read_text(encoding="utf-8").splitlines()) if LOCK.exists() else set()
    with tempfile.TemporaryDirectory(prefix="plateaus-lock-") as folder:
        python = Path(folder) / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        print("Installing the newest versions that pyproject.toml allows ...", flush=True)
        pip(python, *direct())
        text = subprocess.run(
            [python, __file__, "--freeze"], cwd=ROOT, text=True, stdout=subprocess.PIPE, check=True
        ).stdout
    LOCK.write_text(text, encoding="utf-8")
    changes = [("- " if line in before else "+ ") + line for line in sorted(set(text.splitlines()) ^ before)]
    print("\n".join(changes) or "Nothing has changed.")


if __name__ == "__main__":
    main()
