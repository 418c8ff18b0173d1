"""Is this run what it was? The default run's results against a committed file of what they were.

    python -m plateaus.run.golden --check        (make verify: after recomputing what has changed)
    python -m plateaus.run.golden --write        (make golden)

The file holds, for every model, the measures of each curve of the logits, what tells the prompts apart, the means of
the other tables' columns, and every claim's estimate and verdict: few numbers, but no stage can change its results
without moving one. Machines differ by rounding, so a number may move by `ABSOLUTE[table]` plus `RELATIVE` of its size.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.errors import InputError
from plateaus.judging.judged import verdicts

GOLDEN = Path("tests/golden/default.json")
RELATIVE = 2e-3
ABSOLUTE = {"sharpness": 4e-3, "endpoints": 1e-3, "claims": 2e-2, "spline": 2e-2}
"""Tolerances in the units of each table's columns; the others' are `RELATIVE` alone. Sharpness is read off a curve at
levels where it may be flat, spline density counts hinges that rounding moves across a step, and a claim's estimate
rests on both."""
MEASURES = ("w", "midpoint", "departure")
COVARIATES = ("log_p_a", "log_p_b", "jsd", "angle", "norm_ratio")
MEANS = {
    "interpolate": ("distance", "step_size", "norm", "projection"),
    "freeze": ("distance", "norm"),
    "jacobian": ("frobenius", "gain"),
    "spline": ("hamming", "density"),
}
"""Tables that are too long to be kept, with the columns whose means are."""

Values = dict[str, Any]
"""`table/model/row/column` to a number, null or a word."""


class Moved(NamedTuple):
    """A value that is not what it was; `allowed` is 0 where it may not move at all."""

    name: str
    was: Any
    now: Any
    allowed: float

    @property
    def outside(self) -> bool:
        """Whether it moved by more than is allowed."""
        if isinstance(self.was, float | int) and isinstance(self.now, float | int):
            return not abs(self.now - self.was) <= self.allowed
        return bool(self.was != self.now)


def values(results: Results) -> Values:
    """Everything that is kept of a run."""
    return dict(sorted(_all(results)))


def _all(results: Results) -> Iterator[tuple[str, Any]]:
    for model in results.models:
        frame = results.table(model, tables.SHARPNESS)
        for row in frame[frame["site"] == "logits"].to_dict("records"):
            where = f"sharpness/{model}/{row['pair']}, {row['condition']}, layer {row['interp_layer']}, {row['stage']}"
            yield from ((f"{where}/{name}", _plain(row[name])) for name in MEASURES)
        for row in results.table(model, tables.ENDPOINTS).to_dict("records"):
            yield from ((f"endpoints/{model}/{row['pair']}/{name}", _plain(row[name])) for name in COVARIATES)
        for name, columns in MEANS.items():
            frame = results.table(model, tables.TABLES[name], ["pair", *columns])
            yield f"{name}/{model}/rows", len(frame)
            for column in columns:
                yield f"{name}/{model}/mean/{column}", _plain(float(np.nanmean(frame[column].astype(float))))
    for one in verdicts(results.root).judged:
        where = f"claims/{one.model}/{one.claim}"
        yield f"{where}/verdict", one.verdict
        if one.tested:
            yield f"{where}/estimate", _plain(one.entry["estimate"])
            yield f"{where}/n", one.entry["n"]


def _plain(value: Any) -> float | None:
    """Seven digits, which is what float32 holds; null for what there is not."""
    return None if value is None or not math.isfinite(value) else float(f"{float(value):.7g}")


def compare(was: Values, now: Values) -> list[Moved]:
    """Every value that is new, gone or another, the furthest outside its tolerance first."""
    found = []
    for name in sorted({*was, *now}):
        before, after = was.get(name, "not there"), now.get(name, "not there")
        if before == after:
            continue
        allowed = 0.0
        if isinstance(before, float):
            allowed = ABSOLUTE.get(name.split("/")[0], 0.0) + RELATIVE * abs(before)
        found.append(Moved(name, before, after, allowed))
    return sorted(found, key=lambda one: (not one.outside, -_ratio(one), one.name))


def _ratio(one: Moved) -> float:
    if one.allowed and isinstance(one.now, float | int):
        return float(abs(one.now - one.was) / one.allowed)
    return math.inf


def report(moved: Sequence[Moved], kept: int, shown: int = 20) -> str:
    """What moved and by how much, for people."""
    outside = [one for one in moved if one.outside]
    lines = [
        f"{kept} values compared; {len(moved)} differ, {len(moved) - len(outside)} of them within their tolerance, "
        f"{len(outside)} outside."
    ]
    for one in [*outside[:shown], *(() if outside else moved[:3])]:
        numbers = isinstance(one.was, float | int) and isinstance(one.now, float | int)
        by = f", by {one.now - one.was:+.3g} (allowed {one.allowed:.2g})" if numbers else ""
        lines.append(f"  {'OUTSIDE ' if one.outside else 'within  '}{one.name}: {one.was} -> {one.now}{by}")
    if len(outside) > shown:
        lines.append(f"  and {len(outside) - shown} more")
    return "\n".join(lines)


def of_run(root: Path) -> Results:
    """The results of a finished run, from what its provenance.json tells of it.

    Raises:
        InputError: it has not been run to its end.
    """
    path = root / "provenance.json"
    if not path.is_file():
        raise InputError(f"{path} is not there: run `make report` first")
    told = json.loads(path.read_text(encoding="utf-8"))
    return Results(root, told["models"], told["shards"])


def main() -> None:
    """Check or write the golden file."""
    parser = argparse.ArgumentParser(prog="python -m plateaus.run.golden", description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true", help="compare, and exit with 1 if something is outside")
    what.add_argument("--write", action="store_true", help="write the file anew")
    parser.add_argument("--run", type=Path, default=Path("results/default"))
    parser.add_argument("--golden", type=Path, default=GOLDEN)
    given = parser.parse_args()
    try:
        now = values(of_run(given.run))
        if given.write:
            given.golden.parent.mkdir(parents=True, exist_ok=True)
            given.golden.write_text(json.dumps(now, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
            print(f"{given.golden}: {len(now)} values of {given.run}")
            return
        if not given.golden.is_file():
            raise InputError(f"{given.golden} is not there: write it with `make golden`")
        was = json.loads(given.golden.read_text(encoding="utf-8"))
    except InputError as error:
        sys.exit(f"error: {error}")
    moved = compare(was, now)
    print(report(moved, len({*was, *now})))
    sys.exit(any(one.outside for one in moved))


if __name__ == "__main__":
    main()
