"""Set the environment of Snakemake's jobs: the interpreter that runs Snakemake, and the package in this checkout."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def prepare(source: Path) -> None:
    """Make `python` in a rule's command this interpreter, whether or not its virtual environment is activated.

    Args:
        source: The folder that holds the package; it comes first on PYTHONPATH, so that a checkout runs its own code.
    """
    # Tensors of a few rows (below 2 MiB) should reuse freed memory, since returning it to the system means faulting it
    # in again page by page. Larger tensors take longer to compute than to fault in, so they get memory of their own: on
    # the heap, small long-lived objects between them would leave holes that nothing fits into.
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**21))
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**24))
    _prepend("PATH", Path(sys.executable).parent)
    _prepend("PYTHONPATH", source)


def _prepend(variable: str, folder: Path) -> None:
    os.environ[variable] = os.pathsep.join(filter(None, [str(folder), os.environ.get(variable)]))
