"""The workflow's source: which files of this folder make the results, and at which commit they are."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from plateaus.archive import layout
from plateaus.errors import InputError

CODE = ("Snakefile", "workflow", "src", "report")
"""What git need not know yet to be packed: the code that has made the results."""
FOLDERS = (*CODE[1:], "config", "profiles", "tools", "tests", "docs", ".ci")
SUFFIXES = ("", ".cff", ".json", ".lock", ".md", ".sh", ".toml", ".yaml", ".yml")
"""The folders, and the kinds of files beside them, that are packed from a folder without git, such as an unpacked
archive. Whatever else lies there may be weights, or another archive."""
NEEDED = ("Snakefile", "Makefile", "pyproject.toml", "requirements.lock", "README.md", "LICENSE", "CITATION.cff")


class Source(NamedTuple):
    """The source of the workflow.

    Attributes:
        commit: The commit that is checked out; "" if this folder is not a git repository.
        changed: Packed files that differ from the commit, sorted.
        files: All files to pack, relative to the folder, sorted.
    """

    commit: str
    changed: tuple[str, ...]
    files: tuple[str, ...]

    @property
    def state(self) -> str:
        """The commit in words."""
        if not self.commit:
            return "no commit (made outside of a git repository)"
        if not self.changed:
            return f"commit {self.commit}"
        number = f"{len(self.changed)} changed file" + ("s" if len(self.changed) > 1 else "")
        return f"commit {self.commit} with {number} ({', '.join(self.changed[:5])}{', ...' * (len(self.changed) > 5)})"


def read(folder: Path, inputs: Iterable[Path] = ()) -> Source:
    """List the files of the workflow as they are now, which is what has made the results.

    Args:
        folder: The repository's folder.
        inputs: Further files that the config names, relative to the folder.

    Raises:
        InputError: the folder does not hold the workflow.
    """
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder.resolve()} has no {missing[0]}: call this in the folder of the workflow")
    extra = {path.as_posix() for path in inputs}
    if _repository(folder):
        tracked = set(_git(folder, "ls-files", "-z"))
        new = set(_git(folder, "ls-files", "-z", "--others", "--exclude-standard", "--", *CODE)) | (extra - tracked)
        found = tracked | new
        commit = "".join(_git(folder, "rev-parse", "HEAD")).strip()
        changed = set(_git(folder, "diff", "--name-only", "-z", "HEAD")) | new
    else:
        beside = {path.name for path in folder.iterdir() if path.is_file() and path.suffix in SUFFIXES}
        found = {name for part in FOLDERS for name in _walk(folder, folder / part)} | beside | extra
        commit, changed = "", set()
    kept = {name for name in found if not layout.reserved(name) and (folder / name).is_file()}
    gone = {name for name in found if not (folder / name).is_file()}
    return Source(commit, tuple(sorted(changed & (kept | gone))), tuple(sorted(kept)))


def _repository(folder: Path) -> bool:
    """Whether the folder is the top of a git repository with a commit, and not a folder somewhere in another one."""
    top = "".join(_git(folder, "rev-parse", "--show-toplevel")).strip()
    return bool(top) and Path(top).resolve() == folder.resolve() and bool(_git(folder, "rev-parse", "HEAD"))


def _git(folder: Path, *arguments: str) -> list[str]:
    """Return what git says, split at its zero bytes; empty if it fails or there is no git."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=False)
    except OSError:
        return []
    if done.returncode:
        return []
    return [part for part in done.stdout.decode("utf-8", "surrogateescape").split("\0") if part]


def _walk(folder: Path, part: Path) -> list[str]:
    kept = [path.relative_to(folder) for path in part.rglob("*") if path.is_file()]
    return [path.as_posix() for path in kept if not any(_cache(name) for name in path.parts)]


def _cache(name: str) -> bool:
    return name in ("__pycache__", ".quarto", "_site", ".ipynb_checkpoints", ".jupyter_cache") or name.endswith(
        (".egg-info", ".pyc", ".quarto_ipynb")
    )
