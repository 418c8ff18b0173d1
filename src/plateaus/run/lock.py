"""One run at a time in a results folder."""

from __future__ import annotations

import os
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from plateaus.errors import InputError


def hold(folder: Path) -> BaseFileLock:
    """Take the lock of a results folder, for as long as the returned lock is kept.

    The system releases the lock when its holder dies, however it dies. Snakemake's own lock outlives a killed run and
    then has to be removed by hand.

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
