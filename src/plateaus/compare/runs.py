"""Two runs, and the numbers by which they differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from plateaus.data.results import Results
from plateaus.drawing import robustness, suite
from plateaus.drawing.contract import Settings
from plateaus.errors import InputError
from plateaus.judging import judged
from plateaus.judging.judged import Judged
from plateaus.page.context import settings_of

ABSENT = "–"
"""Shown for a key or a verdict that one of the runs does not have."""
LEFT_OUT = ("run", "compute")
"""Keys of the config that do not affect results."""


class Run(NamedTuple):
    """A finished run.

    Attributes:
        root: Folder of the results.
        results: Its tables.
        settings: The settings of its figures.
        config: Its config.
    """

    root: Path
    results: Results
    settings: Settings
    config: dict[str, Any]

    @property
    def name(self) -> str:
        """The name of the run."""
        return str(self.config["run"])


class Difference(NamedTuple):
    """A key of the config that the two runs set differently."""

    key: str
    a: str
    b: str


class Verdict(NamedTuple):
    """What the two runs say about a claim on a model; None where a run has no such claim or model."""

    claim: str
    model: str
    a: Judged | None
    b: Judged | None

    @property
    def words(self) -> tuple[str, str]:
        """The two verdicts."""
        return tuple(ABSENT if one is None else one.verdict for one in (self.a, self.b))  # type: ignore[return-value]


def read(root: Path) -> Run:
    """Read a finished run.

    Raises:
        InputError: the folder holds no finished run.
    """
    record = root / "provenance.json"
    if not record.is_file():
        why = "does not exist" if not root.is_dir() else "holds no finished run (no provenance.json)"
        raise InputError(f"{root} {why}: give the folder of a run whose report was made, such as results/default")
    try:
        told = json.loads(record.read_text(encoding="utf-8"))
        settings, models, shards = settings_of(told["settings"]), told["models"], told["shards"]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{record} cannot be read: run snakemake with --forcerun report") from None
    return Run(root, Results(root, models, shards, settings.pairs), settings, told["config"])


def both(a: Path, b: Path) -> tuple[Run, Run]:
    """Read two runs.

    Raises:
        InputError: a folder holds no finished run, both are the same, or they have no model in common.
    """
    if a.resolve() == b.resolve():
        raise InputError(f"A and B are both {a}: give the folders of two runs")
    runs = read(a), read(b)
    if not common_models(*runs):
        raise InputError(
            f"{a} and {b} have no model in common ({', '.join(runs[0].results.models)} against "
            f"{', '.join(runs[1].results.models)}): models are compared by their ids in the config"
        )
    return runs


def common_models(a: Run, b: Run) -> list[str]:
    """Return the ids of the models that both runs have, in the order of the first."""
    return [model for model in a.results.models if model in b.results.models]


def settings_that_differ(a: Run, b: Run) -> list[Difference]:
    """Return the keys of the config that differ, without those that affect no result."""
    flat = [dict(_flat({key: value for key, value in run.config.items() if key not in LEFT_OUT})) for run in (a, b)]
    keys = sorted(set(flat[0]) | set(flat[1]))
    shown = [[str(one[key]) if key in one else ABSENT for key in keys] for one in flat]
    return [Difference(*row) for row in zip(keys, *shown, strict=True) if row[1] != row[2]]


def _flat(tree: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def verdicts(a: Run, b: Run) -> list[Verdict]:
    """Return the verdicts on every claim and model of either run, without claims that neither run tested."""
    found = [{(one.claim, one.model): one for one in judged.verdicts(run.root).judged} for run in (a, b)]
    keys = list(dict.fromkeys([*found[0], *found[1]]))
    every = [Verdict(*key, found[0].get(key), found[1].get(key)) for key in keys]
    return [one for one in every if any(side is not None and side.tested for side in (one.a, one.b))]


def strengths(a: Run, b: Run, model: str) -> pd.DataFrame:
    """Return the strength of each pair in both runs, for each yardstick.

    Returns:
        One row per pair that both runs measured and per yardstick, with the columns pair, kind, site, a, b and
        difference (b - a), the largest absolute differences first.
    """
    kinds = {**suite.kinds(b.results), **suite.kinds(a.results)}
    parts = []
    for yardstick in suite.YARDSTICKS:
        found = [suite.curves(run.results, model, run.settings, yardstick)["strength"] for run in (a, b)]
        joined = pd.concat(found, axis=1, keys=["a", "b"], join="inner").rename_axis("pair").reset_index()
        parts.append(joined.assign(site=yardstick.site))
    frame = pd.concat(parts, ignore_index=True)
    frame["kind"] = [kinds[pair].label if pair in kinds else "other pairs" for pair in frame["pair"]]
    frame["difference"] = frame["b"] - frame["a"]
    order = frame["difference"].abs().sort_values(ascending=False, kind="stable").index
    return frame.loc[order, ["pair", "kind", "site", "a", "b", "difference"]].reset_index(drop=True)


class Median(NamedTuple):
    """The median difference of strengths over pairs, with its 95 % interval."""

    pairs: int
    difference: float
    low: float
    high: float


def median(rows: pd.DataFrame) -> Median:
    """Return the median difference of some rows of `strengths`; its interval is a percentile bootstrap over pairs."""
    values = rows["difference"].to_numpy(np.float64)
    return Median(len(values), float(np.median(values)), *robustness.interval(values))
