"""The claims' verdicts as the stage `claims` wrote them, for figures and the page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from plateaus.data import tables
from plateaus.data.results import Results, table_path

NOT_TESTED = "not tested"
SYMBOLS = {"holds": "✔", "holds weakly": "◔", "not seen": "○", "contradicted": "✘", NOT_TESTED: "–"}
"""Verdict to its symbol: never told by colour alone."""
READS = (tables.CLAIMS, tables.CLAIM_VALUES)


class Scaled(NamedTuple):
    """An estimate and its interval in units of the smallest effect that counts, positive where the post predicts."""

    estimate: float
    low: float
    high: float


class Judged(NamedTuple):
    """One claim on one model: an entry of claims.json."""

    entry: dict[str, Any]

    @property
    def model(self) -> str:
        """Id of the model."""
        return str(self.entry["model"])

    @property
    def claim(self) -> str:
        """Id of the claim."""
        return str(self.entry["claim"])

    @property
    def verdict(self) -> str:
        """One of `SYMBOLS`."""
        return str(self.entry["verdict"])

    @property
    def tested(self) -> bool:
        """Whether there is a finding."""
        return self.verdict != NOT_TESTED

    @property
    def counter_examples(self) -> list[str]:
        """Pairs that speak most against the claim, the worst first."""
        return [one["pair"] for one in self.entry.get("counter_examples", [])]

    def scaled(self, margin: float) -> Scaled | None:
        """Where a forest plot shows it; an equivalence is measured in margins, since it has no smallest effect."""
        oriented = self.entry.get("oriented")
        if not oriented or any(oriented[name] is None for name in ("e", "low", "high")):
            return None
        unit = self.entry["minimal_effect"] if self.entry["expected"] else margin
        unit = unit or 1.0
        return Scaled(*(oriented[name] / unit for name in ("e", "low", "high")))


class Verdicts(NamedTuple):
    """All of claims.json."""

    rules: dict[str, Any]
    judged: tuple[Judged, ...]

    @property
    def claims(self) -> list[str]:
        """Ids, in the config's order."""
        return list(dict.fromkeys(one.claim for one in self.judged))

    def of(self, claim: str) -> list[Judged]:
        """One claim on every model."""
        return [one for one in self.judged if one.claim == claim]

    def pairs(self) -> list[str]:
        """All pairs that are shown as counter-examples."""
        return sorted({pair for one in self.judged for pair in one.counter_examples})


@cache
def _load(path: Path, _stamp: int) -> Verdicts:
    whole = json.loads(path.read_text(encoding="utf-8"))
    return Verdicts(whole["rules"], tuple(Judged(entry) for entry in whole["claims"]))


def verdicts(root: Path) -> Verdicts:
    """The verdicts of a run; none where the stage did not run."""
    path = Path(root) / "claims.json"
    return _load(path, path.stat().st_mtime_ns) if path.is_file() else Verdicts({}, ())


def values(root: Path, claim: str) -> pd.DataFrame:
    """The primary measure of every pair and model: model, pair, value, x, pooled."""
    frame = tables.read_frame(tables.CLAIM_VALUES, [table_path(root, "all", tables.CLAIM_VALUES, "all")])
    return frame[frame["claim"] == claim]


def results_of(root: Path, models: Sequence[str], shards: Sequence[str], pairs: Sequence[str]) -> Results:
    """A run's results, with the curves of the figures' pairs and of the claims' counter-examples."""
    return Results(root, models, shards, [*pairs, *verdicts(root).pairs()])
