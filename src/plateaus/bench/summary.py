"""Summarise the measurements as numbers, sentences and tables."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any, NamedTuple

STAGES = ("extract", "interpolate", "freeze", "jacobian", "spline")
WAYS = ("usual", "ours")
SHORTEST = 0.5
"""Shortest time without start-up, in seconds, of which a ratio is given; start-up varies by some tenths of a second."""
QUANTITIES = ("seconds", "cpu_seconds", "memory", "disk")


class Row(NamedTuple):
    """Medians over the repeats for one stage, or for all stages; each tuple is (the usual way, our way).

    Attributes:
        stage: Name of the stage.
        seconds: Wall time.
        cpu_seconds: Processor time, seconds.
        memory: Peak memory of the process, bytes; for all stages, the largest one.
        disk: Bytes written.
        limit: Seconds that the matrix products of our stage take at the machine's speed.
        start_up: Seconds of each way's wall time that are imports and loading the model.
    """

    stage: str
    seconds: tuple[float, float]
    cpu_seconds: tuple[float, float]
    memory: tuple[float, float]
    disk: tuple[float, float]
    limit: float
    start_up: float

    @property
    def working(self) -> tuple[float, float]:
        """Wall time without start-up."""
        usual, ours = self.seconds
        return usual - self.start_up, ours - self.start_up


def rows(told: Mapping[str, Any]) -> list[Row]:
    """Return one row per measured stage and one for all stages."""
    found = []
    start_up = statistics.median(told["start_up"])
    for stage in filter(told["stages"].get, STAGES):
        measured = told["stages"][stage]
        medians = {
            name: tuple(statistics.median(one[name] for one in measured[way]) for way in WAYS) for name in QUANTITIES
        }
        found.append(Row(stage, **medians, limit=told["flop"][stage] / told["gflops"] / 1e9, start_up=start_up))
    return [*found, total(found)]


def total(of: list[Row]) -> Row:
    """Combine rows into one row for all stages, run one after the other."""

    def over(name: str, how: Any) -> tuple[float, float]:
        usual, ours = zip(*(getattr(row, name) for row in of), strict=True)
        return how(usual), how(ours)

    return Row(
        "all stages",
        over("seconds", sum),
        over("cpu_seconds", sum),
        over("memory", max),
        over("disk", sum),
        sum(row.limit for row in of),
        sum(row.start_up for row in of),
    )


def ratio(both: tuple[float, float]) -> float:
    """Return the usual way's value divided by ours."""
    return both[0] / both[1]


def seconds(value: float) -> str:
    """Format seconds with about three significant digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table_of_time(told: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return head and cells of the table of times: wall, their ratio with and without start-up, processor, limit."""
    head = ["Stage", "Usual, s", "Ours, s", "Ratio", "Start-up, s", "Ratio without it", "CPU ratio", "Limit, s"]
    cells = [
        [
            row.stage,
            *map(seconds, row.seconds),
            f"{ratio(row.seconds):.1f}",
            seconds(row.start_up),
            f"{ratio(row.working):.1f}" if row.working[1] >= SHORTEST else "–",
            f"{ratio(row.cpu_seconds):.1f}",
            seconds(row.limit),
        ]
        for row in rows(told)
    ]
    return head, cells


def table_of_room(told: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return head and cells of the table of peak memory and disk space."""
    head = ["Stage", "Memory, usual, GB", "Ours, GB", "Disk, usual, MB", "Ours, MB"]
    cells = [
        [row.stage, *(f"{value / 1e9:.2f}" for value in row.memory), *(f"{value / 1e6:,.1f}" for value in row.disk)]
        for row in rows(told)
    ]
    return head, cells


def where(told: Mapping[str, Any]) -> str:
    """Describe the machine and the measured work in one line."""
    pairs = len(told["pairs"])
    return (
        f"{told['machine']}, {told['threads']} threads, torch {told['torch']}: {told['model']}, {pairs} pairs, "
        f"{told['steps']} steps, medians of {told['repeats']} runs"
    )
