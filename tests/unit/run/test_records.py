"""Test that a table that changed behind the run's back is found, and one that was only touched is not."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from plateaus.data import tables
from plateaus.data.canonical import canonical_json, digest, file_digest
from plateaus.errors import InputError
from plateaus.run import precheck, records

SLICE = {"steps": 7, "path": "spherical"}
MADE, READ = Path("results/r/data/m/interpolate/s0-of-1.parquet"), Path("results/r/data/m/sharpness/s0-of-1.parquet")
END = 1_000_010.0


def write(path: Path, slice_: dict[str, object], time: float = END - 1) -> None:
    """Write a table without rows."""
    data = tables.build(tables.FREEZE, tables.no_rows(tables.FREEZE, 1))
    tables.write_table(path, tables.FREEZE, data, {"parameters": digest(slice_)})
    os.utime(path, (time, time))


def record(path: Path, start: float, end: float, read: dict[str, str]) -> None:
    """Write the record of a job as Snakemake does."""
    told = {
        "starttime": start,
        "endtime": end,
        "params": [repr(canonical_json(SLICE))],
        "input_checksums": read,
    }
    file = precheck.snakemake_record(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(told), encoding="utf-8")


@pytest.fixture
def run(tmp_path, monkeypatch) -> None:
    """A run in which one job has made a table and the next one has read it."""
    monkeypatch.chdir(tmp_path)
    for path in (MADE, READ):
        write(path, SLICE)
    record(MADE, END - 10, END, {})
    record(READ, END + 1, END + 5, {MADE.as_posix(): f"sha256:{file_digest(MADE)}"})
    os.utime(READ, (END + 2, END + 2))


def check() -> None:
    records.check_unchanged([MADE, READ])


@pytest.mark.parametrize("time", [END - 10**6, END + 10**6])
def test_a_table_with_another_content_is_refused_whatever_its_time(run, time):
    write(MADE, {**SLICE, "steps": 8}, time)
    with pytest.raises(InputError, match=f"^{MADE} has changed since this run made it .*: delete it and run again$"):
        check()
    MADE.unlink()
    check()


def test_a_table_that_was_touched_is_what_it_was(run):
    os.utime(MADE, (END + 10**6, END + 10**6))
    os.utime(READ, (0, 0))
    check()


def test_a_table_that_nothing_has_read_is_compared_with_the_settings_of_its_job(run):
    write(READ, SLICE, END + 10**6)
    check()
    write(READ, {**SLICE, "steps": 8}, END + 10**6)
    with pytest.raises(InputError, match=f"^{READ} has changed"):
        check()
    READ.write_bytes(b"PAR1")
    with pytest.raises(InputError, match=f"^{READ} has changed"):
        check()


def test_a_table_of_a_job_that_did_not_end_is_left_to_snakemake(run):
    write(MADE, {**SLICE, "steps": 8}, END + 10**6)
    marker = precheck.snakemake_record(MADE, records.INCOMPLETE)
    marker.parent.mkdir(parents=True)
    marker.touch()
    check()


def test_what_an_earlier_table_was_read_as_does_not_count(run):
    """The table was made again after it had been read, and the job that reads it has not run again yet."""
    write(MADE, SLICE, END + 10**6)
    record(MADE, END + 100, END + 200, {})
    check()


def test_files_from_the_future_are_refused_until_they_are_touched(run, tmp_path):
    records.check_clock([MADE, READ, tmp_path / "none"])
    later = time.time() + 86400
    os.utime(READ, (later, later))
    with pytest.raises(InputError, match=f"^{READ} was written on .*, but the clock says .*: set the clock right, or "):
        records.check_clock([MADE, READ])
    READ.touch()
    records.check_clock([MADE, READ])
    records.check_clock([])


def test_an_odd_record_is_left_to_snakemake(run):
    write(MADE, {**SLICE, "steps": 8}, END + 10**6)
    for text in ("{", "[]", '{"starttime": null}'):
        precheck.snakemake_record(MADE).write_text(text, encoding="utf-8")
        check()
