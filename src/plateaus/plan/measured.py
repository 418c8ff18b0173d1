"""Compare predictions with measurements: the records of finished jobs and the sizes of the files that they wrote."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from plateaus.plan.estimate import Line, Plan
from plateaus.plan.layout import align

HEAD = (
    "model", "stage", "memory GB", "measured", "ratio", "disk MB", "measured", "ratio", "minutes", "measured", "ratio"
)  # fmt: skip


class Measured(NamedTuple):
    """Measured memory, disk and time of the jobs of one stage of one model.

    Attributes:
        jobs: Number of jobs with a record.
        memory: Peak memory of the largest job, bytes.
        disk: Total size of the files, bytes.
        seconds: Processor time divided by the number of threads, summed over the jobs.
    """

    jobs: int
    memory: float
    disk: float
    seconds: float


def read(root: Path, line: Line, weights: Path | None = None) -> Measured | None:
    """Read the measurements for one line of the plan; None if some of its jobs have not run.

    Args:
        root: `results/<run>`.
        line: The line of the plan.
        weights: The folder of the model's weights; its size is the disk space of `fetch`.
    """
    records = [json.loads(path.read_text()) for path in (root / "benchmarks" / line.model / line.stage).glob("*.json")]
    if not records or (len(records) != line.jobs and line.stage != "fetch"):
        return None
    return Measured(
        jobs=len(records),
        memory=max(record["peak_memory_gb"] for record in records) * 1e9,
        disk=sum(path.stat().st_size for folder in _folders(root, line, weights) for path in _files(folder)),
        # Processor time, because wall time would include waiting for other jobs on the same cores.
        seconds=sum(record["cpu_seconds"] / record["threads"] for record in records),
    )


def _folders(root: Path, line: Line, weights: Path | None) -> list[Path]:
    if line.stage == "fetch":
        return [] if weights is None else [weights]
    own = {"figures": [root / "figures"], "report": [root / "report"]}
    return [root / "data" / line.model / line.stage, *own.get(line.stage, [])]


def _files(folder: Path) -> list[Path]:
    # A file with several hard links needs no disk space of its own.
    return [path for path in folder.rglob("*") if path.is_file() and path.stat().st_nlink == 1]


def table(plan: Plan, found: Sequence[Measured | None]) -> str:
    """Format predictions beside measurements, for the lines of the plan that have run."""
    rows: list[tuple[str, ...]] = [HEAD]
    for line, measured in zip(plan.lines, found, strict=True):
        if measured is None:
            continue
        cells: list[str] = [line.model, line.stage]
        compared = (
            (line.memory / 1e9, measured.memory / 1e9, ".2f"),
            (line.disk / 1e6, measured.disk / 1e6, ".2f"),
            ((line.seconds or 0) / 60, measured.seconds / 60, ".1f"),
        )
        for expected, actual, form in compared:
            ratio = f"{expected / actual:.2f}" if actual > 0 else "-"
            cells += [format(expected, form), format(actual, form), ratio]
        rows.append(tuple(cells))
    if len(rows) == 1:
        return "no stage of this config has run yet, so there is nothing to compare with\n"
    return "\n".join(align(rows)) + "\n"
