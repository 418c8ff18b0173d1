"""The prompt suite for the figures: the kind of every pair, and how sharp its boundary is at the logits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd
from scipy.stats import binomtest

from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.drawing import wording
from plateaus.drawing.contract import Settings

SUITE, PUBLISHED, NATURAL = "suite", "published", "natural"


class Kind(NamedTuple):
    """A kind of pairs.

    Attributes:
        label: Its name on a figure.
        tags: The tags that its pairs have besides `suite`.
    """

    label: str
    tags: frozenset[str]

    @property
    def pooled(self) -> bool:
        """Whether its pairs are counted: pairs in natural contexts are, controls are not."""
        return NATURAL in self.tags


KINDS = (
    Kind("same class", frozenset({NATURAL, "same-class"})),
    Kind("same part of speech", frozenset({NATURAL, "same-pos"})),
    Kind("different part of speech", frozenset({NATURAL, "cross-pos"})),
    Kind("control: random tokens", frozenset({"random-tokens"})),
    Kind("control: empty context", frozenset({"empty"})),
)
OTHER = Kind("other pairs of the suite", frozenset())
POST = Kind("the post’s pairs", frozenset({PUBLISHED}))


def tags_of(text: str) -> frozenset[str]:
    """Split the column `tags` of a pair at its semicolons."""
    return frozenset(tag.strip() for tag in text.split(";") if tag.strip())


def kind_of(tags: frozenset[str]) -> Kind | None:
    """Return the kind of a pair with these tags; a published pair never counts as a pair of the suite.

    Returns:
        The kind, or None for a pair that is neither published nor of the suite.
    """
    if PUBLISHED in tags:
        return POST
    if SUITE not in tags:
        return None
    return next((kind for kind in KINDS if kind.tags <= tags), OTHER)


def kinds(results: Results) -> dict[str, Kind]:
    """Map each pair id to its kind, without the pairs that are neither of the suite nor published."""
    found = {str(pair): kind_of(tags_of(str(tags))) for pair, tags in results.pairs["tags"].items()}
    return {pair: kind for pair, kind in found.items() if kind is not None}


def at_logits(results: Results, model: str, settings: Settings) -> pd.DataFrame:
    """Return w and plateau of every pair at the logits, interpolating at the trace layer, indexed by pair id."""
    frame = results.table(model, tables.SHARPNESS)
    mask = (frame["stage"] == "interpolate") & (frame["site"] == "logits")
    rows = frame[mask & (frame["interp_layer"] == settings.trace_layer)]
    return rows.assign(pair=rows["pair"].astype(str)).set_index("pair")[["w", "plateau"]]


def share(passed: Iterable[bool]) -> str:
    """Format a share as `4 of 48 (8.3 %, 95 % interval 3.3 to 19.6 %)`.

    The interval is Wilson's, computed as if the pairs were independent.
    """
    found = [bool(one) for one in passed]
    if not found:
        return "none, because the run has no such pairs"
    interval = binomtest(sum(found), len(found)).proportion_ci(0.95, method="wilson")
    low, high = (wording.number(100 * bound, 1) for bound in interval)
    percent = wording.number(100 * sum(found) / len(found), 1)
    return f"{sum(found)} of {len(found)} ({percent} %, 95 % interval {low} to {high} %)"
