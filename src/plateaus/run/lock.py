"""Allow only one run at a time in a results folder."""

from __future__ import annotations

import os
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from plateaus.errors import InputError


def hold(folder: Path) -> BaseFileLock:
    """Take the lock of a results folder; it is held as long as the returned object exists.

    The system releases the lock when the process ends, even if the process is killed. Snakemake's own lock survives a
    killed run and then has to be removed by hand.

    Args:
        folder: The results folder, created if it does not exist.

    Returns:
        The lock.

    Raises:
        InputError: another process holds the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".lock"
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        holder = path.read_text(encoding="utf-8").strip() or "unknown"
        raise InputError(
            f"{folder} is in use by another run (process {holder}): wait for it, stop it, or choose another `run:` name"
        ) from None
    path.write_text(f"{os.getpid()}\n", encoding="utf-8")
    return lock
