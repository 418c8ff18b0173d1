"""C10: Jacobians accumulate multiplicatively across layers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plateaus.judging.evidence import Evidence, Filters, some
from plateaus.judging.interface import Claim, Finding, NotTested
from plateaus.judging.measures import STRENGTHS, Profile, dose, profiles
from plateaus.judging.statistics import correlation, spearman

Floats = NDArray[np.float64]

CLAIM = Claim(
    id="C10",
    title="Jacobians accumulate multiplicatively",
    says="These Jacobians accumulate (roughly) multiplicatively across layers, resulting in sharper and "
    "larger-magnitude peaks in deeper layers.",
    measure="Spearman's correlation along the path between the product of the MLPs' |J|_F over layers and the growth "
    "of a step from the interpolation layer to the last",
    needs={
        "sharpness": STRENGTHS,
        "jacobian": ("pair", "component", "layer", "step", "alpha", "frobenius", "gain"),
        "interpolate": ("pair", "interp_layer", "site", "record_layer", "step", "alpha", "step_size"),
    },
    expected=1,
    bounds=(-1, 1),
    figure="f10_mechanism",
)


def test(evidence: Evidence) -> Finding:
    """Test whether the product of the MLPs' Jacobian norms predicts where along the path steps grow.

    Chance is 0 for every pair: a rank correlation's mean over all circular shifts is 0, however smooth the curves are.

    The product of the directional gains of whole layers is the growth of a step, exactly in the limit of small steps.
    If the gains of whole layers were measured, the R² of that identity is shown, and the share of the variance along
    the path that comes from the strongest layer.
    """
    growth = log_growth(evidence)
    table = evidence.table("jacobian", {"component": ["mlp", "block"]})
    by = {
        (component, column): profiles(table[table["component"] == component], column)
        for component, column in (("mlp", "frobenius"), ("mlp", "gain"), ("block", "gain"))
    }
    logs = {
        key: {pair: sums(one) for pair, one in found.items() if pair in growth and fits(one, growth[pair])}
        for key, found in by.items()
    }

    def against(key: tuple[str, str]) -> dict[str, float]:
        return {pair: spearman(x, growth[pair]) for pair, x in logs[key].items()}

    telescoped = {pair: explained(x, growth[pair]) for pair, x in logs["block", "gain"].items()}
    strongest = {pair: largest_share(by["block", "gain"][pair]) for pair in logs["block", "gain"]}
    shown = some(
        evidence.secondary("the same with the MLPs' directional gains", against(("mlp", "gain")), bounds=(-1, 1)),
        evidence.secondary(
            "R² of the growth by the product of whole layers' directional gains", telescoped, bounds=(0, 1)
        ),
        evidence.secondary("the largest single layer's share of the variance of log gains along the path", strongest),
    )
    values = against(("mlp", "frobenius"))
    return evidence.median(values, secondary=(*shown, *some(dose(evidence, values))))


def log_growth(evidence: Evidence) -> dict[str, Floats]:
    """Return pair to log(step size at the last layer / step size at the interpolation layer), shape (steps - 1,).

    Raises:
        NotTested: the table is missing, or the interpolation layer is the last layer.
    """
    filters: Filters = {"interp_layer": [evidence.trace_layer], "site": ["resid_post"]}
    steps = evidence.table("interpolate", filters)
    ends = [evidence.trace_layer, int(steps["record_layer"].max())]
    if ends[0] == ends[1]:
        raise NotTested("there is no layer after the interpolation layer")
    steps = steps[steps["record_layer"].isin(ends) & (steps["step"] < steps["step"].max())]
    return {
        pair: np.log(np.maximum(one.values[1], 1e-30) / np.maximum(one.values[0], 1e-30))
        for pair, one in profiles(steps, "step_size", layer="record_layer").items()
        if len(one.layers) == 2
    }


def fits(one: Profile, growth: Floats) -> bool:
    """Return whether a profile has one point more than there are steps, so that each step has both its ends."""
    return bool(one.values.shape[1] == len(growth) + 1)


def log_steps(one: Profile) -> Floats:
    """Return the log of a quantity per layer and step, the mean over the step's two ends: (layers, steps - 1)."""
    logs = np.log(np.maximum(one.values, 1e-30))
    return np.asarray((logs[:, 1:] + logs[:, :-1]) / 2)


def sums(one: Profile) -> Floats:
    """Return the log of the product over layers, shape (steps - 1,)."""
    return np.asarray(log_steps(one).sum(0))


def explained(x: Floats, y: Floats) -> float:
    """Return R², the square of Pearson's correlation."""
    return correlation(x, y) ** 2


def largest_share(one: Profile) -> float:
    """Return the largest layer's share of the variance along the path of the summed log gains; shares sum to 1."""
    logs = log_steps(one)
    total = logs.sum(0) - logs.sum(0).mean()
    whole = float(total @ total)
    return float(np.max((logs - logs.mean(1, keepdims=True)) @ total) / whole) if whole > 0 else float("nan")
