"""Refuse to start a run while jobs of the same run, whose Snakemake was killed, are still in SLURM's queue.

SLURM runs such jobs to their end. A second Snakemake would submit them a second time, and of two jobs that write the
same file, one deletes what the other has just written. So each start leaves its name beside the results.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from plateaus.errors import InputError

FILE = ".slurm-run"
"""Holds the name that the jobs of the last start have in the queue."""


def remember(folder: Path, name: str) -> None:
    """Note the name that the jobs of this start have in the queue.

    Args:
        folder: `results/<run>`.
        name: The name, which Snakemake's plugin for SLURM makes up for each start.
    """
    (folder / FILE).write_text(f"{name}\n", encoding="utf-8")


def check(folder: Path) -> None:
    """Check that no job of an earlier start of this run is waiting or running.

    Args:
        folder: `results/<run>`.

    Raises:
        InputError: there is such a job.
    """
    if not (folder / FILE).is_file():
        return
    name = (folder / FILE).read_text(encoding="utf-8").strip()
    asked = ["squeue", "--me", "--noheader", "--format=%i", f"--name={name}"]
    try:
        found = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=True).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return  # there is no SLURM here any more, or its own commands will say what is wrong with it
    if found:
        raise InputError(
            f"jobs of an earlier start of this run are still in the queue ({', '.join(found)}): wait until they have "
            f"ended, which keeps their results, or cancel them with `scancel {' '.join(found)}`, then run again"
        )
