"""The environment of Snakemake's jobs: the interpreter that runs Snakemake and this checkout's package."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def prepare(source: Path) -> None:
    """Let `python` in a rule's command be this interpreter, whether or not its environment is activated.

    Args:
        source: The folder that holds the package, put first so that a checkout runs its own code.
    """
    # Tensors of some rows are taken from memory that was freed before, in place of being given back to the system and
    # faulted in again page by page; larger ones, whose making takes longer than that, are not, since between them what
    # is small and stays leaves holes that nothing fits into.
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**21))
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**24))
    _prepend("PATH", Path(sys.executable).parent)
    _prepend("PYTHONPATH", source)


def _prepend(variable: str, folder: Path) -> None:
    os.environ[variable] = os.pathsep.join(filter(None, [str(folder), os.environ.get(variable)]))
