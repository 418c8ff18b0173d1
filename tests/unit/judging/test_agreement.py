"""Agreement across models counts signs and verdicts, and its heterogeneity is that of the textbook."""

from __future__ import annotations

import math

import pytest

from plateaus.judging.agreement import across
from plateaus.judging.interface import Claim, Finding, Rules
from plateaus.judging.verdicts import Judgement, Tested, judge

CLAIM = Claim("C1", "t", "s", "m", {}, expected=1, minimal_effect=0.1)
Z = 1.959964


def judged(**models: tuple[float, float] | None) -> list[Judgement]:
    """Judge one claim on models with an estimate and a standard error each; None for a model it was not tested on."""
    tested = []
    for model, found in models.items():
        if found is None:
            tested.append(Tested(model, CLAIM, None, "no pairs"))
            continue
        x, se = found
        p = math.erfc(abs(x) / se / math.sqrt(2))
        tested.append(Tested(model, CLAIM, Finding(x, x - Z * se, x + Z * se, p, 50, x / se, "median", {}), ""))
    return judge(tested, Rules())


def test_signs_and_verdicts_are_counted_over_trained_models():
    (one,) = across(judged(a=(0.3, 0.05), b=(0.05, 0.02), c=(-0.1, 0.2), r=(0.9, 0.1), x=None), {"r"}, Rules())
    assert (one.models, one.predicted, one.holds) == (3, 2, 2)
    assert (one.lowest, one.highest) == (-0.1, 0.3)
    assert one.sentence.startswith(
        "C1: of 3 trained models, the effect has the predicted sign in 2, and the claim holds"
    )


def test_heterogeneity_is_cochrans_q_above_its_degrees_of_freedom():
    (one,) = across(judged(a=(0.0, 0.1), b=(0.4, 0.1)), (), Rules())
    q = 2 * (0.2 / 0.1) ** 2
    assert one.heterogeneity == pytest.approx((q - 1) / q, rel=1e-4)
    (same,) = across(judged(a=(0.2, 0.1), b=(0.2, 0.2)), (), Rules())
    assert same.heterogeneity == 0


def test_one_trained_model_has_nothing_to_agree_with():
    assert across(judged(a=(0.2, 0.1), r=(0.1, 0.1)), {"r"}, Rules()) == []
