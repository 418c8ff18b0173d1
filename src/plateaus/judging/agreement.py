"""How far several trained models agree on a claim."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

from scipy import stats

from plateaus.judging.interface import Rules
from plateaus.judging.verdicts import Judgement, number, orient
from plateaus.judging.words import HOLDS, WEAKLY


class Agreement(NamedTuple):
    """One claim over the trained models on which it was tested.

    Attributes:
        claim: Id of the claim.
        models: Number of models.
        predicted: In how many of them the estimate lies on the side that the post predicts.
        holds: In how many of them the claim holds, or holds weakly.
        lowest: Smallest estimate.
        highest: Largest estimate.
        heterogeneity: I², the share of the variance of the estimates that their own uncertainty does not explain
            (Higgins and Thompson 2002), from 0 to 1; NaN if an interval has no width.
    """

    claim: str
    models: int
    predicted: int
    holds: int
    lowest: float
    highest: float
    heterogeneity: float

    @property
    def sentence(self) -> str:
        """The agreement in words."""
        spread = f"{number(self.lowest)} to {number(self.highest)}"
        said = (
            f"{self.claim}: of {self.models} trained models, the effect has the predicted sign in {self.predicted}, "
            f"and the claim holds, at least weakly, in {self.holds}; estimates run from {spread}"
        )
        if math.isfinite(self.heterogeneity):
            said += f", and {100 * self.heterogeneity:.0f} % of their variance is between models (I²)"
        return said + "."


def across(judged: Sequence[Judgement], random: Collection[str], rules: Rules) -> list[Agreement]:
    """Return the agreement on every claim that was tested on at least two trained models, in the order of the claims.

    Args:
        judged: All claims and models of a run.
        random: Ids of the models with random weights, which are left out.
        rules: The decision rules; the standard errors follow from the intervals of level 1 - alpha.
    """
    found = []
    for claim in dict.fromkeys(one.claim.id for one in judged):
        mine = [one for one in judged if one.claim.id == claim and one.finding and one.model not in random]
        if len(mine) < 2:
            continue
        findings = [one.finding for one in mine if one.finding is not None]
        z = stats.norm.ppf(1 - rules.alpha / 2)
        errors = [(one.high - one.low) / (2 * z) for one in findings]
        estimates = [one.estimate for one in findings]
        found.append(
            Agreement(
                claim,
                len(mine),
                sum(orient(one.claim, one.finding).e > 0 for one in mine if one.finding is not None),
                sum(one.verdict in (HOLDS, WEAKLY) for one in mine),
                min(estimates),
                max(estimates),
                _heterogeneity(estimates, errors),
            )
        )
    return found


def _heterogeneity(estimates: Sequence[float], errors: Sequence[float]) -> float:
    if not all(error > 0 for error in errors):
        return math.nan
    weights = [1 / error**2 for error in errors]
    mean = sum(w * x for w, x in zip(weights, estimates, strict=True)) / sum(weights)
    q = sum(w * (x - mean) ** 2 for w, x in zip(weights, estimates, strict=True))
    return max(0.0, (q - (len(estimates) - 1)) / q) if q > 0 else 0.0
