"""Measures per pair that several claims read: widths, boundaries, and profiles along the path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from plateaus.judging.evidence import Evidence, Filters
from plateaus.judging.interface import NotTested, Secondary
from plateaus.judging.statistics import circular_shift_test, correlations, spearman

Floats = NDArray[np.float64]
CURVE = ("pair", "stage", "condition", "interp_layer", "site", "record_layer")
STRENGTHS = (*CURVE, "strength")
WIDTHS = (*CURVE, "w", "strength")
BOUNDARIES = (*STRENGTHS, "midpoint", "rest_a", "rest_b")
LOGITS, NEXT_TOKEN = "logits", "next_token"
"""The recording sites of the two yardsticks: the logits, and the next-token distributions."""


def at_logits(evidence: Evidence, condition: str | None = None, site: str = LOGITS) -> Filters:
    """Return filters of the table `sharpness` for the curve of the logits, interpolating at the trace layer.

    Args:
        evidence: Its trace layer is used.
        condition: The freezing condition; None for the sweep without freezing.
        site: The recording site: ``logits``, or ``next_token`` for the second yardstick.
    """
    return {
        "stage": ["interpolate" if condition is None else "freeze"],
        "condition": [condition or "none"],
        "interp_layer": [evidence.trace_layer],
        "site": [site],
    }


def at_layers() -> Filters:
    """Return filters of the table `sharpness` for the curves of resid_post in the sweep without freezing."""
    return {"stage": ["interpolate"], "condition": ["none"], "site": ["resid_post"]}


def of_logits(
    evidence: Evidence, column: str, *, condition: str | None = None, model: str | None = None, site: str = LOGITS
) -> dict[str, float]:
    """Return a measure of the curve of the logits, interpolating at the trace layer.

    Args:
        evidence: Where to read.
        column: Column of the table `sharpness`.
        condition: The freezing condition; None for the sweep without freezing.
        model: Another model to read; None for the model of `evidence`.
        site: The recording site; see `at_logits`.

    Returns:
        Pair to value.

    Raises:
        NotTested: the table or a column is missing, or no row matches.
    """
    frame = evidence.table("sharpness", at_logits(evidence, condition, site), model=model)
    return by_pair(frame, column)


def of_predictions(evidence: Evidence, column: str, *, model: str | None = None) -> dict[str, float]:
    """Return what `of_logits` returns, for the next-token distributions; empty if they were not recorded."""
    try:
        return of_logits(evidence, column, model=model, site=NEXT_TOKEN)
    except NotTested:
        return {}


DOSE = "dose-response: Spearman's correlation of this measure with the strength s"


def dose(evidence: Evidence, values: Mapping[str, float]) -> Secondary | None:
    """Return how a measure grows with the plateau: its rank correlation with strength s over the pooled pairs.

    On a pair without a boundary, a measure of what happens at the boundary is noise. The correlation says whether the
    measure is larger where there is more of a plateau. The claim must declare the columns `STRENGTHS`.

    Args:
        evidence: Where to read strengths.
        values: Pair to the claim's measure.

    Returns:
        None if fewer pooled pairs than `Rules.min_pairs` have both values.
    """
    try:
        strength, pooled = of_logits(evidence, "strength"), evidence.pooled
    except NotTested:
        return None
    pairs = [
        pair for pair in pooled if np.isfinite(values.get(pair, np.nan)) and np.isfinite(strength.get(pair, np.nan))
    ]
    if len(pairs) < evidence.rules.min_pairs:
        return None
    x, y = (rankdata([of[pair] for pair in pairs]) for of in (strength, values))
    found = evidence.interval(lambda weights: correlations(x, y, weights), evidence.dependence(pairs), DOSE)
    return Secondary(DOSE, spearman(x, y), max(-1.0, found.low), min(1.0, found.high), len(pairs))


def by_pair(frame: pd.DataFrame, column: str) -> dict[str, float]:
    """Return pair to value, from a column of a table with one row per pair."""
    return {str(pair): float(value) for pair, value in zip(frame["pair"], frame[column], strict=True)}


def less(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """Return `after` minus `before`, for the pairs that are in both."""
    return {pair: after[pair] - before[pair] for pair in after if pair in before}


class Boundary(NamedTuple):
    """The position of the boundary on a pair's curve of the logits, in alpha: where d~ is .1, .5 and .9."""

    begin: float
    middle: float
    end: float


def boundaries(evidence: Evidence) -> dict[str, Boundary]:
    """Return the boundaries of all pairs that have one; the claim must declare the columns `BOUNDARIES`."""
    frame = evidence.table("sharpness", at_logits(evidence))
    columns = (by_pair(frame, name) for name in ("rest_a", "midpoint", "rest_b"))
    begin, middle, rest = columns
    return {
        pair: Boundary(begin[pair], middle[pair], 1 - rest[pair])
        for pair in begin
        if np.isfinite([begin[pair], middle[pair], rest[pair]]).all()
    }


class Profile(NamedTuple):
    """A quantity along one pair's path, at every layer.

    Attributes:
        layers: Indices of the layers, shape (layers,).
        alpha: Position of each step, shape (steps,).
        values: Shape (layers, steps).
    """

    layers: Floats
    alpha: Floats
    values: Floats


def profiles(frame: pd.DataFrame, column: str, layer: str = "layer") -> dict[str, Profile]:
    """Split a table into one profile per pair.

    The grid has every layer and step that any pair has. A pair is left out if it lacks a point of the grid or has a
    value there that is not finite.

    Args:
        frame: Rows with the columns pair, step, alpha, `column` and `layer`.
        column: The quantity.
        layer: The column with the layers.

    Returns:
        Pair to profile.
    """
    if frame.empty:
        return {}
    names, pair = np.unique(frame["pair"].to_numpy(dtype=str), return_inverse=True)
    layers, at_layer = np.unique(frame[layer].to_numpy(dtype=np.float64), return_inverse=True)
    steps, at_step = np.unique(frame["step"].to_numpy(), return_inverse=True)
    values = np.full((len(names), len(layers), len(steps)), np.nan)
    values[pair, at_layer, at_step] = frame[column].to_numpy(dtype=np.float64)
    alpha = np.full(len(steps), np.nan)
    alpha[at_step] = frame["alpha"].to_numpy(dtype=np.float64)
    whole = np.isfinite(values).all((1, 2))
    return {str(name): Profile(layers, alpha, values[k]) for k, name in enumerate(names) if whole[k]}


def circular_distance(alpha: Floats, middle: float) -> Floats:
    """Return the distance in alpha with the path's two ends joined: from 0 to .5, and .25 on average over the path."""
    apart = np.abs(alpha - middle) % 1
    return np.asarray(np.minimum(apart, 1 - apart))


def closeness(profile: Profile, middle: float) -> float:
    """Return how much nearer the peak is to the boundary's middle than chance, in alpha, as a mean over layers.

    Chance is the mean distance over all circular shifts of the curve, which place the peak uniformly among the steps.
    The result is 0 on average for a peak at a random place, and at most about .25. Equally high steps count as one peak
    at their mean distance.
    """
    apart = circular_distance(profile.alpha, middle)
    highest = profile.values >= profile.values.max(1, keepdims=True)
    return float(apart.mean() - ((highest * apart).sum(1) / highest.sum(1)).mean())


def contrast(profile: Profile, boundary: Boundary) -> float:
    """Return the mean over layers of log(mean inside the boundary / mean outside), minus its mean over circular shifts.

    The steps inside are those between d~ = .1 and .9 of the logits, and always the step nearest to the middle. The
    result is NaN if no step is outside, or if the mean of a layer on one side is 0 for the curve or a shift of it.
    """
    inside = (profile.alpha >= boundary.begin) & (profile.alpha <= boundary.end)
    inside[np.argmin(np.abs(profile.alpha - boundary.middle))] = True
    if inside.all():
        return float("nan")

    def log_ratio(curves: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.log(curves[..., inside].mean(-1) / curves[..., ~inside].mean(-1))
        return np.asarray(np.where(np.isfinite(ratio), ratio, np.nan).mean(-1))

    found, chance, _ = circular_shift_test(profile.values, log_ratio)
    return found - chance


def per_pair(
    found: Mapping[str, Profile], boundary: Mapping[str, Boundary], measure: Callable[[Profile, Boundary], float]
) -> dict[str, float]:
    """Return the measure of every pair that has both a profile and a boundary."""
    return {pair: measure(one, boundary[pair]) for pair, one in found.items() if pair in boundary}


def need_layers(count: int, least: int, what: str) -> None:
    """Check that there are enough layers for a trend.

    Args:
        count: Number of layers in the run.
        least: Number of layers that the trend needs.
        what: The kind of layers, as a plural noun for the message.

    Raises:
        NotTested: `count` is below `least`.
    """
    if count < least:
        raise NotTested(f"the run has {count} {what}, and a trend over layers needs at least {least}")
