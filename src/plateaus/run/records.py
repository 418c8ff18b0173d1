"""Find tables that have changed since the run made them, by Snakemake's records of the jobs that made and read them.

Snakemake takes the files of a finished job for its results, whatever they hold by now: it would read a damaged table,
or one of another run that was copied in, and compute all that follows from it. So this is found before the first job.
"""

from __future__ import annotations

import ast
import json
import time
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from plateaus.data.canonical import digest, file_digest
from plateaus.errors import InputError
from plateaus.run.precheck import snakemake_record

SLACK = 2.0
"""Seconds by which the time in a file may lie outside its job; file systems round, and their clocks differ a little."""
AHEAD = 60.0
"""Seconds by which a file may be ahead of the clock; the clocks of machines that share a disk differ a little."""
INCOMPLETE = Path(".snakemake/incomplete")


class Record(NamedTuple):
    """What Snakemake remembers of the job that made a file.

    Attributes:
        start: When the job began, seconds.
        end: When it ended, seconds.
        slices: The parameters of the job that are JSON: the slice of the config that it was given.
        read: Path to sha256 of the files that it read, as far as they are not too large to be compared by content.
    """

    start: float
    end: float
    slices: tuple[Any, ...]
    read: dict[str, str]


def check_unchanged(paths: Collection[Path]) -> None:
    """Check that tables are still what the jobs of this run wrote; a file that was only touched is.

    Args:
        paths: The tables of the run, whether or not they exist.

    Raises:
        InputError: a table holds something else.
    """
    records = {path: record for path in paths if (record := _record(path)) is not None}
    for path, record in records.items():
        if not path.is_file() or record.start - SLACK <= path.stat().st_mtime <= record.end + SLACK:
            continue
        read = [other.read.get(path.as_posix()) for other in records.values() if other.start >= record.end]
        known = {found for found in read if found is not None}
        if not (f"sha256:{file_digest(path)}" in known if known else _fits(path, record)):
            raise InputError(
                f"{path} has changed since this run made it (it is damaged, was edited, or was copied from another "
                "run): delete it and run again"
            )


def check_clock(paths: Iterable[Path]) -> None:
    """Check that no file that jobs read is from the future.

    Snakemake takes no result that is older than what it was made from, so if the clock was set back, or the files come
    from a machine whose clock is ahead, every job would run and its result be thrown away.

    Args:
        paths: The files, whether or not they exist.

    Raises:
        InputError: names the file that is furthest ahead.
    """
    now = time.time()
    times = {path: path.stat().st_mtime for path in paths if path.is_file()}
    latest = max(times, key=times.__getitem__, default=None)
    if latest is not None and times[latest] > now + AHEAD:
        dates = [f"{datetime.fromtimestamp(at):%Y-%m-%d %H:%M}" for at in (times[latest], now)]
        raise InputError(
            f"{latest} was written on {dates[0]}, but the clock says {dates[1]}: set the clock right, or give "
            "the files the time that it is, which makes nothing run again: "
            "find . -type f -newermt now -not -path './.snakemake/*' -exec touch {} +"
        )


def _fits(path: Path, record: Record) -> bool:
    """Whether a table that nothing has read yet was made from the settings that its record tells."""
    from plateaus.data.tables import metadata_of

    try:
        return metadata_of(path).get("parameters") in {digest(slice_) for slice_ in record.slices}
    except (OSError, ValueError):
        return False


def _record(path: Path) -> Record | None:
    """Read the record of a file; None if there is none, or its job has begun again and did not end."""
    if snakemake_record(path, INCOMPLETE).is_file():
        return None
    try:
        told = json.loads(snakemake_record(path).read_text(encoding="utf-8"))
        read = told.get("input_checksums") or {}
        return Record(float(told["starttime"]), float(told["endtime"]), tuple(_slices(told["params"])), dict(read))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _slices(params: Collection[str]) -> Iterator[Any]:
    """Yield the parameters that are JSON. Snakemake keeps each of them as Python writes a text."""
    for text in params:
        try:
            yield json.loads(ast.literal_eval(text))
        except (ValueError, SyntaxError, TypeError):
            continue
