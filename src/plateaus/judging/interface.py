"""What a claim declares and what its test returns.

A claim is one module with a `CLAIM` and a function `test(evidence) -> Finding`. It declares which tables and columns it
needs. If something is missing, the test raises `NotTested` with the reason and no other exception; most of these checks
are in `plateaus.judging.evidence`. The test gives no verdict: `plateaus.judging.verdicts` turns all findings of a run
into verdicts by one rule.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple


class NotTested(Exception):
    """A claim cannot be tested on a model; the message is the reason, a clause without its full stop.

    Attributes:
        values: Pair to value, for the pairs that have one; the values of published pairs are shown beside the reason.
    """

    def __init__(self, reason: str, values: Mapping[str, float] | None = None) -> None:
        super().__init__(reason)
        self.values: Mapping[str, float] = values or {}


class Claim(NamedTuple):
    """The declaration of a claim.

    Attributes:
        id: The claim's name in the config, such as ``C1``.
        title: The claim in a few words, as a clause.
        says: What the post says.
        measure: The primary measure, per pair if each pair has a value, with its unit: a noun phrase that can follow
            "the median of".
        needs: Table to the columns of it that are read.
        expected: The sign of the estimate's difference from `null` that the post predicts; 0 if the post predicts that
            the estimate lies within the equivalence margin of `null`.
        null: The estimate that is expected without an effect.
        minimal_effect: Smallest difference from `null` in the predicted direction that counts as an effect; if
            `expected` is 0, the smallest distance from the estimate to the margin. The config's
            `claims.minimal_effects`, which has a value for each claim of this package, overrides it.
        bounds: Least and largest value that the measure can have; intervals are clipped there.
        needs_control: Whether the test needs a copy of the model with random weights.
        on_controls: Whether the claim is also tested on models with random weights.
        figure: The figure that shows what the claim is about.
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
    """A second condition of a claim, in addition to its primary measure.

    Attributes:
        state: ``met``; ``open`` if the data do not decide it; ``broken`` if the data show that it is false.
        text: A sentence that reports the condition with its numbers.
    """

    state: str
    text: str


MET = Side("met", "")


class Secondary(NamedTuple):
    """A further measure, shown beside the primary one: it has no verdict and no part in the correction of p values.

    Attributes:
        measure: What is measured, with the statistic over pairs.
        estimate: The value of the statistic.
        low: Lower end of the confidence interval; NaN if there is no interval.
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
        estimate: The primary measure over all pooled pairs.
        low: Lower end of the confidence interval.
        high: Upper end.
        p: Two-sided p value against `Claim.null`. For an equivalence, the p value against the margin: `p_within` if the
            estimate lies within it, else `p_beyond` (see `plateaus.judging.statistics.Equivalence`).
        n: Number of pooled pairs with a value.
        effect_size: Standardised effect: mean over standard deviation of the pairs' values, unless the claim defines
            another.
        statistic: How the pairs were combined, as a noun: ``median``, ``mean``, ``share``.
        values: Pair to value, including pairs that are not pooled.
        x: Pair to the other variable, if the claim is about a relation over pairs; else empty.
        side: The claim's second condition.
        secondary: Further measures.
        margin: The equivalence margin; NaN if the claim is not an equivalence.
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
    """The decision rules, from the section `claims` of the config, fixed before there are results.

    Attributes:
        alpha: Level of the tests after the Benjamini-Hochberg correction over claims and models; confidence intervals
            have level 1 - alpha.
        equivalence_margin: Changes of at most this size, in either direction, count as no change.
        min_pairs: Fewest pooled pairs on which a claim is tested.
        min_contexts: With at least this many contexts, they are treated as a sample of contexts; with fewer, results
            are about these contexts alone.
        resamples: Number of bootstrap draws.
        seed: Seed of the bootstrap.
        minimal_effects: Claim id to the smallest effect that counts.
    """

    alpha: float = 0.05
    equivalence_margin: float = 0.05
    min_pairs: int = 20
    min_contexts: int = 5
    resamples: int = 2000
    seed: int = 0
    minimal_effects: Mapping[str, float] = {}
