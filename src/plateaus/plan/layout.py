"""Write a plan as text: as an aligned table, or as the comment in the header of a config."""

from __future__ import annotations

import re
from collections.abc import Sequence

from plateaus.plan.estimate import Line, Plan
from plateaus.plan.speed import Speed

HEAD = ("model", "stage", "jobs", "rows", "GFLOP", "memory GB", "disk MB", "minutes")


def align(rows: Sequence[Sequence[str]], *, left: int = 2) -> list[str]:
    """Align rows of cells in columns, the first `left` columns to the left and the others to the right.

    Args:
        rows: Rows with the same number of cells.
        left: Number of left-aligned columns.

    Returns:
        One line of text per row.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def table(plan: Plan, speed: Speed, slots: int, title: str) -> str:
    """Format the whole plan: the machine, a line per model and stage, the totals, and what the totals leave out.

    Args:
        plan: The plan.
        speed: The measured speed that the plan uses.
        slots: Number of jobs that run side by side.
        title: First words of the text, such as the path of the config.
    """
    body = [HEAD, *(_cells(line) for line in plan.lines)]
    body += [(model, "?", *("?" for _ in HEAD[2:])) for model in plan.unknown]
    without = f", without {_words(plan.unknown)}" if plan.unknown else ""
    total = ("total", without.removeprefix(", "), *_totals(plan))
    lines = align([*body, total])
    rule = "-" * max(map(len, lines))
    text = [f"{title}: {speed_line(speed)}", "", lines[0], rule, *lines[1:-1], rule, lines[-1], ""]
    if plan.schedule is not None:
        side = f"{slots} jobs side by side" if slots > 1 else "one job at a time"
        text.append(
            f"about {minutes(plan.schedule.seconds)} with {side}{without}; "
            f"at most {plan.schedule.memory / 1e9:.1f} GB of memory, {_disk(plan) / 1e6:.0f} MB of disk"
        )
    text.append(
        "memory is that of the largest job; minutes are the sum over the jobs; the time of downloads is not included"
    )
    text += _limits(plan, speed)
    text += [
        f"model {model}: its shape is not known before it is fetched, so the totals leave it out"
        for model in plan.unknown
    ]
    if plan.unplanned:
        text.append(f"not estimated: {_words(plan.unplanned)}")
    return "\n".join(text) + "\n"


COMMENT = re.compile(
    r"# Expected[^\n]*\n(?:#[^\n]*\n)*?"
    r"# \(`make plan` on (?P<machine>[^\n]*), (?P<device>\w+), (?P<gflops>\d+) GFLOP/s[^\n]*\)\n"
)
"""Matches the cost comment in a config's header, with the machine and the speed that it was computed for."""


def comment(plan: Plan, speed: Speed, slots: int) -> str:
    """Format the cost comment for the header of a config: four lines; the plan must have a schedule."""
    assert plan.schedule is not None
    largest = max(line.memory for line in plan.lines)
    weights = sum(line.disk for line in plan.lines if line.stage == "fetch")
    results = _disk(plan) - weights
    without = f" (without {_words(plan.unknown)}, not known before it is fetched)" if plan.unknown else ""
    alone = sum(line.seconds or 0.0 for line in plan.lines)
    together = f" with {slots} jobs side by side ({minutes(alone)} one by one)" if slots > 1 else ", one job at a time"
    at_once = f", {plan.schedule.memory / 1e9:.1f} GB with {slots} side by side" if slots > 1 else ""
    return (
        f"# Expected{without}: {minutes(plan.schedule.seconds)}{together}, downloads aside;\n"
        f"# memory {largest / 1e9:.1f} GB in the largest job{at_once};\n"
        f"# disk {weights / 1e9:.1f} GB for the weights and {results / 1e6:.0f} MB for the results\n"
        f"# (`make plan` on {speed_line(speed)})\n"
    )


def with_comment(text: str, new: str) -> str:
    """Return a config's text with its cost comment replaced, or inserted below the comment at the top of the file."""
    if COMMENT.search(text):
        return COMMENT.sub(lambda _: new, text, count=1)
    lines = text.splitlines(keepends=True)
    head = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return "".join([*lines[:head], "#\n" if head else "", new, *lines[head:]])


def speed_line(speed: Speed) -> str:
    """Describe the machine and the speed measured on it."""
    threads = f"{speed.threads} thread{'s' if speed.threads > 1 else ''} per job"
    return f"{speed.machine}, {speed.device}, {speed.gflops:.0f} GFLOP/s in float32 with {threads}"


def minutes(seconds: float) -> str:
    """Format a time given in seconds as seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _cells(line: Line) -> tuple[str, ...]:
    return (
        line.model,
        line.stage,
        str(line.jobs),
        f"{line.rows:,}" if line.rows else "-",
        f"{line.flop / 1e9:,.0f}" if line.flop else "-",
        f"{line.memory / 1e9:.1f}",
        f"{line.disk / 1e6:,.1f}",
        "?" if line.seconds is None else f"{line.seconds / 60:.1f}",
    )


def _totals(plan: Plan) -> tuple[str, ...]:
    lines = plan.lines
    seconds = [line.seconds for line in lines if line.seconds is not None]
    return (
        str(sum(line.jobs for line in lines)),
        f"{sum(line.rows for line in lines):,}",
        f"{sum(line.flop for line in lines) / 1e9:,.0f}",
        f"{max((line.memory for line in lines), default=0) / 1e9:.1f}",
        f"{_disk(plan) / 1e6:,.1f}",
        f"{sum(seconds) / 60:.1f}",
    )


MANY_JOBS = 1000
"""With more jobs than this, Snakemake itself takes minutes to begin, because it looks at every file of every job."""


def _limits(plan: Plan, speed: Speed) -> list[str]:
    """Say what a run takes in core hours, and which jobs would be the first not to fit a machine or a queue."""
    timed = [line for line in plan.lines if line.seconds is not None and line.longest is not None]
    if not timed:
        return []
    hours = sum(line.seconds or 0.0 for line in timed) * speed.threads / 3600
    jobs = sum(line.jobs for line in plan.lines)
    longest = max(timed, key=lambda line: line.longest or 0.0)
    largest = max(plan.lines, key=lambda line: line.memory)
    said = (
        f"{hours:.1f} core hours in {jobs} jobs; the longest job is {longest.stage} of {longest.model} with "
        f"{minutes(longest.longest or 0.0)}, the largest {largest.stage} of {largest.model} with "
        f"{largest.memory / 1e9:.1f} GB"
    )
    many = f"with {jobs} jobs Snakemake itself takes minutes to begin: fewer prompts.shards make fewer, longer jobs"
    return [said, *([many] if jobs > MANY_JOBS else [])]


def _disk(plan: Plan) -> float:
    return sum(line.disk for line in plan.lines)


def _words(names: Sequence[str]) -> str:
    return ", ".join(names)
