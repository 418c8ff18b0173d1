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
    _prepend("PATH", Path(sys.executable).parent)
    _prepend("PYTHONPATH", source)


def _prepend(variable: str, folder: Path) -> None:
    os.environ[variable] = os.pathsep.join(filter(None, [str(folder), os.environ.get(variable)]))
