"""What a claim declares and what its test gives back.

A claim is one module with a `CLAIM` and a function `test(evidence) -> Finding`. It says which tables and columns it
needs. Where something is missing it raises `NotTested` with the reason (`plateaus.judging.evidence` does most of that)
and never anything else. It decides nothing: `plateaus.judging.verdicts` turns all findings of a run into verdicts by
one rule.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple


class NotTested(Exception):
    """Why a claim cannot be tested on a model: a phrase without its full stop.

    Attributes:
        values: Pair to value, as far as there are any; published pairs' are shown as a note.
    """

    def __init__(self, reason: str, values: Mapping[str, float] | None = None) -> None:
        super().__init__(reason)
        self.values: Mapping[str, float] = values or {}


class Claim(NamedTuple):
    """The declaration of a claim.

    Attributes:
        id: Its name in the config, such as ``C1``.
        title: The claim in a few words, as a clause.
        says: What the post says.
        measure: The primary endpoint, per pair where there is one per pair, with its unit.
        needs: Table to the columns of it that are read.
        expected: The sign of the estimate's difference from `null` that the post predicts; 0 where it predicts that
            the estimate lies within the equivalence margin of `null`.
        null: The estimate if there is nothing.
        minimal_effect: Smallest difference from `null` in the predicted direction that is called an effect (where
            `expected` is 0: the smallest distance that has to be left to the margin). It is the default of a claim of
            the user's; those of the package are in the config.
        bounds: Least and largest value that the measure can have; intervals are cut there.
        needs_control: Whether a copy of the model with random weights is needed.
        on_controls: Whether it is tested on random weights as well.
        figure: The figure to look at.
    """

    id: str
    title: str
    says: str
    measure: str
    needs: Mapping[str, tuple[str, ...]]
    expected: int
    null: float = 0.0
    minimal_effect: float = 0.0
    bounds: tuple[float, float] = (-math.inf, math.inf)
    needs_control: bool = False
    on_controls: bool = False
    figure: str = ""


class Side(NamedTuple):
    """A second condition that a claim makes, beside its primary endpoint.

    Attributes:
        state: ``met``; ``open``: the data do not say; ``broken``: the data say that it is false.
        text: A sentence that says so in numbers.
    """

    state: str
    text: str


MET = Side("met", "")


class Secondary(NamedTuple):
    """A further measure, shown beside the primary one: without a verdict, and in no correction for multiple tests.

    Attributes:
        measure: What it is.
        estimate: Its value.
        low: Lower end of its interval, NaN where it has none.
        high: Upper end.
        n: Number of pairs.
    """

    measure: str
    estimate: float
    low: float
    high: float
    n: int


class Finding(NamedTuple):
    """What a claim's test found on one model.

    Attributes:
        estimate: The primary endpoint over all pooled pairs.
        low: Lower end of its interval.
        high: Upper end.
        p: Two-sided p value against `Claim.null`; for an equivalence, of the side of the margin that the estimate is
            on, against the margin.
        n: Number of pooled pairs.
        effect_size: Standardised: mean over standard deviation of the per-pair values, or as the claim says.
        statistic: How the pairs were put together, as a noun: ``median``, ``mean``, ``share``.
        values: Pair to value, also of pairs that are not pooled, as far as there are any.
        x: Pair to what the value is held against, where the claim is about a relation over pairs.
        side: The claim's second condition.
        secondary: Further measures.
        margin: The margin of an equivalence; NaN where the claim is none.
    """

    estimate: float
    low: float
    high: float
    p: float
    n: int
    effect_size: float
    statistic: str
    values: Mapping[str, float]
    x: Mapping[str, float] = {}
    side: Side = MET
    secondary: tuple[Secondary, ...] = ()
    margin: float = float("nan")


class Rules(NamedTuple):
    """The decision rules, from the section `claims` of the config: fixed before there are results.

    Attributes:
        alpha: Level of the tests after Benjamini-Hochberg over claims and models; intervals have level 1 - alpha.
        equivalence_margin: Changes within it, to both sides, count as none.
        min_pairs: Fewest pooled pairs on which a claim is tested.
        min_contexts: From so many contexts on they are a sample of contexts; fewer are taken as they are.
        resamples: Bootstrap draws.
        seed: Seed of the bootstrap.
        minimal_effects: Claim id to its smallest effect.
    """

    alpha: float = 0.05
    equivalence_margin: float = 0.05
    min_pairs: int = 20
    min_contexts: int = 5
    resamples: int = 2000
    seed: int = 0
    minimal_effects: Mapping[str, float] = {}
