"""Turn findings into verdicts, by one rule for all claims.

Let e be the distance of the estimate from its value without an effect, positive in the direction that the post predicts
(for an equivalence: how far the estimate is inside the margin). Let [low, high] be the confidence interval of e, p the
adjusted p value, and m the claim's minimal effect.

    holds         p < alpha, the interval is above 0, e >= m, and the claim's second condition, if any, is met
    holds weakly  p < alpha and e > 0, but one of the other conditions fails
    contradicted  p < alpha and the interval is below 0; or the second condition is shown to be false
    not seen      all other findings
    not tested    there is no finding; the reason is given
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from plateaus.judging.interface import Claim, Finding, Rules
from plateaus.judging.statistics import benjamini_hochberg
from plateaus.judging.words import CONTRADICTED, HOLDS, NOT_SEEN, NOT_TESTED, WEAKLY


class Oriented(NamedTuple):
    """An estimate and its interval as distances from no effect, positive in the direction that the post predicts."""

    e: float
    low: float
    high: float


class Judgement(NamedTuple):
    """The verdict on one claim for one model.

    Attributes:
        model: Id of the model.
        claim: The claim's declaration.
        finding: The finding; None if the claim was not tested.
        verdict: One of the five verdicts.
        p_adjusted: p value after the Benjamini-Hochberg correction over all claims and models that were tested; NaN if
            the claim was not tested.
        reason: Why the claim was not tested; "" if it was.
        sentence: The verdict and its numbers in words.
    """

    model: str
    claim: Claim
    finding: Finding | None
    verdict: str
    p_adjusted: float
    reason: str
    sentence: str


class Tested(NamedTuple):
    """The result of one test before all are judged together: a finding, or the reason why there is no finding."""

    model: str
    claim: Claim
    finding: Finding | None
    reason: str
    published: Mapping[str, float] = {}


def orient(claim: Claim, finding: Finding) -> Oriented:
    """Return the estimate and its interval as the rule at the top of this file uses them."""
    estimate, low, high = (x - claim.null for x in (finding.estimate, finding.low, finding.high))
    if claim.expected == 0:
        nearest = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
        furthest = max(abs(low), abs(high))
        return Oriented(finding.margin - abs(estimate), finding.margin - furthest, finding.margin - nearest)
    if claim.expected > 0:
        return Oriented(estimate, low, high)
    return Oriented(-estimate, -high, -low)


def verdict(oriented: Oriented, p_adjusted: float, minimal_effect: float, alpha: float, side: str = "met") -> str:
    """Apply the rule at the top of this file.

    Args:
        oriented: The estimate and its interval, from `orient`.
        p_adjusted: The adjusted p value.
        minimal_effect: The smallest effect that counts.
        alpha: Level of the test.
        side: State of the second condition (see `Side`).
    """
    seen = p_adjusted < alpha
    if side == "broken" or (seen and oriented.high < 0):
        return CONTRADICTED
    if seen and oriented.e > 0:
        full = oriented.low > 0 and oriented.e >= minimal_effect and side == "met"
        return HOLDS if full else WEAKLY
    return NOT_SEEN


def minimal_effect(claim: Claim, rules: Rules) -> float:
    """Return a claim's smallest effect that counts: the config's value, else the claim's own."""
    return rules.minimal_effects.get(claim.id, claim.minimal_effect)


def judge(tested: Sequence[Tested], rules: Rules) -> list[Judgement]:
    """Judge all claims and models of a run together, because the p values are corrected for the number of tests."""
    adjusted = benjamini_hochberg([math.nan if one.finding is None else one.finding.p for one in tested])
    judged = []
    for one, p in zip(tested, adjusted, strict=True):
        if one.finding is None:
            sentence = f"Not tested: {one.reason}."
            if one.published:
                values = ", ".join(f"{pair} {number(x)}" for pair, x in sorted(one.published.items()))
                sentence += f" The published pairs alone have the values {values} (measure: {one.claim.measure})."
            judged.append(Judgement(one.model, one.claim, None, NOT_TESTED, math.nan, one.reason, sentence))
            continue
        oriented = orient(one.claim, one.finding)
        m = minimal_effect(one.claim, rules)
        word = verdict(oriented, float(p), m, rules.alpha, one.finding.side.state)
        sentence = describe(one.claim, one.finding, oriented, word, float(p), m, rules)
        judged.append(Judgement(one.model, one.claim, one.finding, word, float(p), "", sentence))
    return judged


def number(x: float) -> str:
    """Format a number with two decimals, or three if it is small, and a true minus sign."""
    if not math.isfinite(x):
        return "unknown"
    small = 0 < abs(x) < 0.095
    return f"{x:.3f}".replace("-", "−") if small else f"{x:.2f}".replace("-", "−")


def p_text(p: float) -> str:
    """Format a p value with two significant digits, or as a bound if it is very small."""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"


def describe(
    claim: Claim, finding: Finding, oriented: Oriented, word: str, p: float, smallest: float, rules: Rules
) -> str:
    """Return the sentences of a verdict, with every number of its finding."""
    level = f"{100 * (1 - rules.alpha):g} %"
    said = (
        f"{word.capitalize()}: the {finding.statistic} of {claim.measure} is {number(finding.estimate)} "
        f"({level} interval {number(finding.low)} to {number(finding.high)}, n = {finding.n} pairs, "
        f"adjusted {p_text(p)})"
    )
    if claim.expected == 0:
        said += f"; changes within ±{number(finding.margin)} count as no change."
    elif claim.null:
        said += f"; without the effect it would be {number(claim.null)}."
    else:
        said += "."
    if word == WEAKLY and claim.expected and oriented.e < smallest:
        said += f" This effect is smaller than the smallest effect that counts, {number(smallest)}."
    return " ".join(filter(None, [said, finding.side.text]))
