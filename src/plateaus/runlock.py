"""One run at a time in a results folder, by a lock that the system releases when its holder dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TextIO

from plateaus.errors import InputError


def hold(folder: Path) -> TextIO:
    """Take the lock of a results folder for as long as the returned file stays open.

    Snakemake's own lock outlives a killed run and then has to be removed by hand; this one does not.

    Raises:
        InputError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = (folder / ".lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.seek(0)
        holder = handle.read().strip() or "unknown"
        handle.close()
        raise InputError(
            f"{folder} is in use by another run (process {holder}): wait for it, stop it, or choose another `run:` name"
        ) from None
    handle.truncate(0)
    handle.write(f"{os.getpid()}\n")
    handle.flush()
    return handle
