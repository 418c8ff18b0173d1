"""Predicted against measured: what finished jobs have recorded, and the files that they wrote."""

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
    """What the jobs of one stage of one model have taken.

    Attributes:
        jobs: Number of jobs on record.
        memory: Peak memory of the largest, bytes.
        disk: Size of the files, bytes.
        seconds: Processor time of all jobs over their threads.
    """

    jobs: int
    memory: float
    disk: float
    seconds: float


def read(root: Path, line: Line, weights: Path | None = None) -> Measured | None:
    """What a line of the plan has taken, or None where not all of its jobs have run.

    Args:
        root: `results/<run>`.
        line: The line.
        weights: The folder of the model's weights, whose size is the disk of `fetch`.
    """
    records = [json.loads(path.read_text()) for path in (root / "benchmarks" / line.model / line.stage).glob("*.json")]
    if not records or (len(records) != line.jobs and line.stage != "fetch"):
        return None
    return Measured(
        jobs=len(records),
        memory=max(record["peak_memory_gb"] for record in records) * 1e9,
        disk=sum(path.stat().st_size for folder in _folders(root, line, weights) for path in _files(folder)),
        # Processor time: it does not count what other jobs took in the meantime.
        seconds=sum(record["cpu_seconds"] / record["threads"] for record in records),
    )


def _folders(root: Path, line: Line, weights: Path | None) -> list[Path]:
    if line.stage == "fetch":
        return [] if weights is None else [weights]
    own = {"figures": [root / "figures"], "report": [root / "report"]}
    return [root / "data" / line.model / line.stage, *own.get(line.stage, [])]


def _files(folder: Path) -> list[Path]:
    # A linked file takes no room of its own.
    return [path for path in folder.rglob("*") if path.is_file() and path.stat().st_nlink == 1]


def table(plan: Plan, found: Sequence[Measured | None]) -> str:
    """Both beside each other, for the lines that have run."""
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
        return "nothing of this config has run yet, so there is nothing to compare with\n"
    return "\n".join(align(rows)) + "\n"
