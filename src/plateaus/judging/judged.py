"""The verdicts on the claims, read from what the stage `claims` wrote, for the figures and the page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from plateaus.data import tables
from plateaus.data.results import Results, table_path
from plateaus.judging.words import NOT_TESTED

READS = (tables.CLAIMS, tables.CLAIM_VALUES)


class Scaled(NamedTuple):
    """An estimate and its interval in units of the smallest effect that counts; positive is what the post predicts."""

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
        """The verdict, a key of `SYMBOLS`."""
        return str(self.entry["verdict"])

    @property
    def tested(self) -> bool:
        """Whether the claim was tested on the model."""
        return self.verdict != NOT_TESTED

    @property
    def counter_examples(self) -> list[str]:
        """Ids of the pairs that speak most against the claim, the strongest counter-example first."""
        return [one["pair"] for one in self.entry.get("counter_examples", [])]

    def scaled(self, margin: float) -> Scaled | None:
        """Return the estimate and interval as a forest plot shows them, in units of the smallest effect that counts.

        Args:
            margin: The equivalence margin, which is the unit of an equivalence.

        Returns:
            None if the claim was not tested or a number is not known.
        """
        oriented = self.entry.get("oriented")
        if not oriented or any(oriented[name] is None for name in ("e", "low", "high")):
            return None
        unit = self.entry["minimal_effect"] if self.entry["expected"] else margin
        unit = unit or 1.0
        return Scaled(*(oriented[name] / unit for name in ("e", "low", "high")))


class Verdicts(NamedTuple):
    """The contents of claims.json: the decision rules, one entry per claim and model, and the agreement of models."""

    rules: dict[str, Any]
    judged: tuple[Judged, ...]
    agreement: Mapping[str, Any] = {}

    @property
    def claims(self) -> list[str]:
        """Ids of the claims, in the config's order."""
        return list(dict.fromkeys(one.claim for one in self.judged))

    def of(self, claim: str) -> list[Judged]:
        """Return the entries of one claim, one per model."""
        return [one for one in self.judged if one.claim == claim]

    def pairs(self) -> list[str]:
        """Return the ids of all pairs that are shown as counter-examples, sorted."""
        return sorted({pair for one in self.judged for pair in one.counter_examples})


@cache
def _load(path: Path, _stamp: int) -> Verdicts:
    whole = json.loads(path.read_text(encoding="utf-8"))
    judged = tuple(Judged(entry) for entry in whole["claims"])
    return Verdicts(whole["rules"], judged, whole.get("agreement", {}))


def verdicts(root: Path) -> Verdicts:
    """Return the verdicts of a run; empty if claims.json is missing."""
    path = Path(root) / "claims.json"
    return _load(path, path.stat().st_mtime_ns) if path.is_file() else Verdicts({}, ())


def values(root: Path, claim: str) -> pd.DataFrame:
    """Return a claim's primary measure per model and pair, with the columns of the table `claim_values`."""
    frame = tables.read_frame(tables.CLAIM_VALUES, [table_path(root, "all", tables.CLAIM_VALUES, "all")])
    return frame[frame["claim"] == claim]


def results_of(root: Path, models: Sequence[str], shards: Sequence[str], pairs: Sequence[str]) -> Results:
    """Return a run's results, with the curves of the given pairs and of the claims' counter-examples."""
    return Results(root, models, shards, [*pairs, *verdicts(root).pairs()])
