"""From findings to verdicts, by one rule for all claims.

Let e be how far the estimate is from "nothing" in the direction that the post predicts (for an equivalence: how far it
is inside the margin), [low, high] its interval in the same terms, p the adjusted p value, m the claim's minimal effect.

    holds         p < alpha, the interval is above 0, e >= m, and the claim's second condition, if any, is met
    holds weakly  p < alpha, e > 0, but one of the others is not so
    contradicted  p < alpha and the interval is below 0; or the second condition is shown to be false
    not seen      everything else
    not tested    there is no finding, and the reason is given
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from plateaus.judging.interface import Claim, Finding, Rules
from plateaus.judging.statistics import benjamini_hochberg

HOLDS, WEAKLY, NOT_SEEN, CONTRADICTED, NOT_TESTED = (
    "holds",
    "holds weakly",
    "not seen",
    "contradicted",
    "not tested",
)


class Oriented(NamedTuple):
    """An estimate and its interval as distances from nothing, positive where the post predicts."""

    e: float
    low: float
    high: float


class Judgement(NamedTuple):
    """One claim on one model.

    Attributes:
        model: Id of the model.
        claim: The declaration.
        finding: None where it was not tested.
        verdict: One of the five.
        p_adjusted: After Benjamini-Hochberg over all claims and models that were tested; NaN where not tested.
        reason: Why it was not tested; else "".
        sentence: All of this in words, generated.
    """

    model: str
    claim: Claim
    finding: Finding | None
    verdict: str
    p_adjusted: float
    reason: str
    sentence: str


class Tested(NamedTuple):
    """The result of one test before all are judged together: a finding, or the reason why there is none."""

    model: str
    claim: Claim
    finding: Finding | None
    reason: str
    published: Mapping[str, float] = {}


def orient(claim: Claim, finding: Finding) -> Oriented:
    """The estimate as the rule sees it."""
    estimate, low, high = (x - claim.null for x in (finding.estimate, finding.low, finding.high))
    if claim.expected == 0:
        nearest = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
        furthest = max(abs(low), abs(high))
        return Oriented(finding.margin - abs(estimate), finding.margin - furthest, finding.margin - nearest)
    if claim.expected > 0:
        return Oriented(estimate, low, high)
    return Oriented(-estimate, -high, -low)


def verdict(oriented: Oriented, p_adjusted: float, minimal_effect: float, alpha: float, side: str = "met") -> str:
    """The rule at the top of this file."""
    seen = p_adjusted < alpha
    if side == "broken" or (seen and oriented.high < 0):
        return CONTRADICTED
    if seen and oriented.e > 0:
        full = oriented.low > 0 and oriented.e >= minimal_effect and side == "met"
        return HOLDS if full else WEAKLY
    return NOT_SEEN


def minimal_effect(claim: Claim, rules: Rules) -> float:
    """The config's, else the claim's own."""
    return rules.minimal_effects.get(claim.id, claim.minimal_effect)


def judge(tested: Sequence[Tested], rules: Rules) -> list[Judgement]:
    """Verdicts on all claims and models of a run, together because of the correction for their number."""
    adjusted = benjamini_hochberg([math.nan if one.finding is None else one.finding.p for one in tested])
    judged = []
    for one, p in zip(tested, adjusted, strict=True):
        if one.finding is None:
            sentence = f"Not tested: {one.reason}."
            if one.published:
                values = ", ".join(f"{pair} {number(x)}" for pair, x in sorted(one.published.items()))
                sentence += f" The published pairs alone, {one.claim.measure}: {values}."
            judged.append(Judgement(one.model, one.claim, None, NOT_TESTED, math.nan, one.reason, sentence))
            continue
        oriented = orient(one.claim, one.finding)
        m = minimal_effect(one.claim, rules)
        word = verdict(oriented, float(p), m, rules.alpha, one.finding.side.state)
        sentence = describe(one.claim, one.finding, oriented, word, float(p), m, rules)
        judged.append(Judgement(one.model, one.claim, one.finding, word, float(p), "", sentence))
    return judged


def number(x: float) -> str:
    """Two decimals, more for small values, a true minus sign."""
    if not math.isfinite(x):
        return "unknown"
    small = 0 < abs(x) < 0.095
    return f"{x:.3f}".replace("-", "−") if small else f"{x:.2f}".replace("-", "−")


def p_text(p: float) -> str:
    """A p value to two significant digits, or a bound."""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"


def describe(
    claim: Claim, finding: Finding, oriented: Oriented, word: str, p: float, smallest: float, rules: Rules
) -> str:
    """One or two sentences with every number of a finding."""
    level = f"{100 * (1 - rules.alpha):g} %"
    said = (
        f"{word.capitalize()}: {claim.measure} has the {finding.statistic} {number(finding.estimate)} "
        f"({level} interval {number(finding.low)} to {number(finding.high)}, n = {finding.n} pairs, "
        f"adjusted {p_text(p)})"
    )
    if claim.expected == 0:
        said += f"; changes within ±{number(finding.margin)} count as none."
    elif claim.null:
        said += f"; without the effect it would be {number(claim.null)}."
    else:
        said += "."
    if word == WEAKLY and claim.expected and oriented.e < smallest:
        said += f" That is less than the smallest effect that counts, {number(smallest)}."
    return " ".join(filter(None, [said, finding.side.text]))
