"""C10: Jacobians accumulate multiplicatively across layers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plateaus.judging.evidence import Evidence, Filters, some
from plateaus.judging.interface import Claim, Finding, NotTested
from plateaus.judging.measures import Profile, profiles
from plateaus.judging.statistics import correlation, spearman

Floats = NDArray[np.float64]

CLAIM = Claim(
    id="C10",
    title="Jacobians accumulate multiplicatively",
    says="These Jacobians accumulate (roughly) multiplicatively across layers, resulting in sharper and "
    "larger-magnitude peaks in deeper layers.",
    measure="Spearman's correlation along the path of the product of the MLPs' |J|_F over layers with the growth of a "
    "step from the first to the last layer",
    needs={
        "jacobian": ("pair", "component", "layer", "step", "alpha", "frobenius", "gain"),
        "interpolate": ("pair", "interp_layer", "site", "record_layer", "step", "alpha", "step_size"),
    },
    expected=1,
    bounds=(-1, 1),
    figure="f10_mechanism",
)


def test(evidence: Evidence) -> Finding:
    """Whether the MLPs' product says where steps grow; and, where whole layers were measured, that these telescope.

    Chance is 0 for every pair: a rank correlation's mean over all circular shifts is 0, however smooth the curves are.

    The product of the directional gains of whole layers is the growth of a step, exactly in the limit of small steps:
    the R² of that identity is shown, and how much of the variance along the path the strongest layer has alone.
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
    return evidence.median(against(("mlp", "frobenius")), secondary=shown)


def log_growth(evidence: Evidence) -> dict[str, Floats]:
    """Log of the step size at the last layer over that at the interpolation layer, by pair, shape (steps - 1,)."""
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
    """Whether a profile at points belongs to the steps between them."""
    return bool(one.values.shape[1] == len(growth) + 1)


def log_steps(one: Profile) -> Floats:
    """Log of a quantity per layer and step, from its values at the step's two ends: (layers, steps - 1)."""
    logs = np.log(np.maximum(one.values, 1e-30))
    return np.asarray((logs[:, 1:] + logs[:, :-1]) / 2)


def sums(one: Profile) -> Floats:
    """The log of the product over layers."""
    return np.asarray(log_steps(one).sum(0))


def explained(x: Floats, y: Floats) -> float:
    """The square of the correlation."""
    return correlation(x, y) ** 2


def largest_share(one: Profile) -> float:
    """The largest layer's share of the variance along the path of the sum of log gains; shares sum to 1."""
    logs = log_steps(one)
    total = logs.sum(0) - logs.sum(0).mean()
    whole = float(total @ total)
    return float(np.max((logs - logs.mean(1, keepdims=True)) @ total) / whole) if whole > 0 else float("nan")
