"""Compare the results of the default run with a committed file of expected values (the golden file).

    python -m plateaus.run.golden --check        (make verify: after recomputing what has changed)
    python -m plateaus.run.golden --write        (make golden)

For every model, the file holds the measures of each logit curve, the covariates of each pair, the means of columns of
the other tables, and the estimate and verdict of every claim. These are few numbers, but a change in the results of any
stage moves at least one of them. Rounding differs between machines, so a number may move by `ABSOLUTE[table]` plus
`RELATIVE` times its size.
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
"""Absolute tolerances by table, in the units of its columns; other tables have only `RELATIVE`. Sharpness is read off a
curve at levels where the curve may be flat, spline density counts hinges that rounding can move across a step, and the
estimates of claims depend on both."""
MEASURES = ("w", "midpoint", "departure")
COVARIATES = ("log_p_a", "log_p_b", "jsd", "angle", "norm_ratio")
MEANS = {
    "interpolate": ("distance", "step_size", "norm", "projection"),
    "freeze": ("distance", "norm"),
    "jacobian": ("frobenius", "gain"),
    "spline": ("hamming", "density"),
    "map": ("next_token_a", "next_token_b", "next_token_c", "probability"),
}
"""Tables that are too long for the file, with the columns whose means it holds."""

Values = dict[str, Any]
"""Maps `table/model/row/column` to a number, None or a word."""


class Moved(NamedTuple):
    """A value that has changed; `allowed` is 0 if it must not change at all."""

    name: str
    was: Any
    now: Any
    allowed: float

    @property
    def outside(self) -> bool:
        """Whether the value moved by more than its tolerance."""
        if isinstance(self.was, float | int) and isinstance(self.now, float | int):
            return not abs(self.now - self.was) <= self.allowed
        return bool(self.was != self.now)


def values(results: Results) -> Values:
    """Return the values of a run that the golden file holds, sorted by name."""
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
            if name == "map" and not any(path.is_file() for path in results.paths(model, tables.MAP)):
                continue  # a config can leave the maps out
            frame = results.table(model, tables.TABLES[name], [tables.TABLES[name].key[0], *columns])
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
    """Round to seven significant digits, the precision of float32; None for a missing or non-finite value."""
    return None if value is None or not math.isfinite(value) else float(f"{float(value):.7g}")


def compare(was: Values, now: Values) -> list[Moved]:
    """Return every value that is new, missing or different, with those furthest outside their tolerance first."""
    found = []
    for name in sorted({*was, *now}):
        before, after = was.get(name, "missing"), now.get(name, "missing")
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
    """Format what moved and by how much.

    Args:
        moved: The values that differ, from `compare`.
        kept: Number of values compared.
        shown: Largest number of values outside their tolerance to list.
    """
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
    """Open the results of a finished run, with the models and shards that its provenance.json lists.

    Args:
        root: `results/<run>`.

    Raises:
        InputError: the run has not finished.
    """
    path = root / "provenance.json"
    if not path.is_file():
        raise InputError(f"{path} does not exist: run `make report` first")
    told = json.loads(path.read_text(encoding="utf-8"))
    return Results(root, told["models"], told["shards"])


def main() -> None:
    """Compare a run with the golden file, or write the file."""
    parser = argparse.ArgumentParser(prog="python -m plateaus.run.golden", description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true", help="exit with status 1 if a value is outside its tolerance")
    what.add_argument("--write", action="store_true", help="write the file from the run")
    parser.add_argument("--run", type=Path, default=Path("results/default"))
    parser.add_argument("--golden", type=Path, default=GOLDEN)
    given = parser.parse_args()
    try:
        now = values(of_run(given.run))
        if given.write:
            given.golden.parent.mkdir(parents=True, exist_ok=True)
            given.golden.write_text(json.dumps(now, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
            print(f"wrote {len(now)} values of {given.run} to {given.golden}")
            return
        if not given.golden.is_file():
            raise InputError(f"{given.golden} does not exist: write it with `make golden`")
        was = json.loads(given.golden.read_text(encoding="utf-8"))
    except InputError as error:
        sys.exit(f"error: {error}")
    moved = compare(was, now)
    print(report(moved, len({*was, *now})))
    sys.exit(any(one.outside for one in moved))


if __name__ == "__main__":
    main()
