"""What several claims read: widths, boundaries and profiles along the path, per pair."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from plateaus.judging.evidence import Evidence, Filters
from plateaus.judging.interface import NotTested
from plateaus.judging.statistics import circular_shift_test

Floats = NDArray[np.float64]
WIDTHS = ("pair", "stage", "condition", "interp_layer", "site", "record_layer", "w")
BOUNDARIES = ("pair", "stage", "condition", "interp_layer", "site", "midpoint", "rest_a", "rest_b")


def at_logits(evidence: Evidence, condition: str | None = None) -> Filters:
    """Filters of the table `sharpness` for the curve of the logits when the path is put in at the trace layer.

    Args:
        evidence: Where to read.
        condition: What is frozen; None for the plain sweep.
    """
    return {
        "stage": ["interpolate" if condition is None else "freeze"],
        "condition": [condition or "none"],
        "interp_layer": [evidence.trace_layer],
        "site": ["logits"],
    }


def at_layers() -> Filters:
    """Filters of the table `sharpness` for the curves of resid_post in the plain sweep."""
    return {"stage": ["interpolate"], "condition": ["none"], "site": ["resid_post"]}


def of_logits(
    evidence: Evidence, column: str, *, condition: str | None = None, model: str | None = None
) -> dict[str, float]:
    """A measure of the curve of the logits when the path is put in at the trace layer, by pair.

    Args:
        evidence: Where to read.
        column: Of the table `sharpness`.
        condition: What is frozen; None for the plain sweep.
        model: Another model than the evidence's.
    """
    frame = evidence.table("sharpness", at_logits(evidence, condition), model=model)
    return by_pair(frame, column)


def by_pair(frame: pd.DataFrame, column: str) -> dict[str, float]:
    """A column of a table with one row per pair."""
    return {str(pair): float(value) for pair, value in zip(frame["pair"], frame[column], strict=True)}


def less(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """The difference, for the pairs that have both."""
    return {pair: after[pair] - before[pair] for pair in after if pair in before}


class Boundary(NamedTuple):
    """Where the boundary of a pair's curve of the logits lies, in alpha."""

    begin: float
    middle: float
    end: float


def boundaries(evidence: Evidence) -> dict[str, Boundary]:
    """The boundaries of all pairs; they need the columns `BOUNDARIES`."""
    frame = evidence.table("sharpness", at_logits(evidence))
    columns = (by_pair(frame, name) for name in ("rest_a", "midpoint", "rest_b"))
    begin, middle, rest = columns
    return {
        pair: Boundary(begin[pair], middle[pair], 1 - rest[pair])
        for pair in begin
        if np.isfinite([begin[pair], middle[pair], rest[pair]]).all()
    }


class Profile(NamedTuple):
    """A quantity along the path, at every layer.

    Attributes:
        layers: (layers,).
        alpha: (steps,).
        values: (layers, steps).
    """

    layers: Floats
    alpha: Floats
    values: Floats


def profiles(frame: pd.DataFrame, column: str, layer: str = "layer") -> dict[str, Profile]:
    """Cut a table into one profile per pair; a pair without the full grid, or with values unknown, is left out.

    The full grid is that of all pairs together: every layer and step that any of them has.
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
    """Distance in alpha with the path's two ends joined: from 0 to .5, and .25 for a place taken at random."""
    apart = np.abs(alpha - middle) % 1
    return np.asarray(np.minimum(apart, 1 - apart))


def closeness(profile: Profile, middle: float) -> float:
    """How much nearer to the boundary's middle the peak is than the peaks of the circularly shifted curve.

    In alpha, mean over layers: 0 for a peak anywhere, at most about .25. Chance is the mean over all shifts, which for
    a peak is a uniform place among the steps. Steps that are equally high are one peak, at their mean distance.
    """
    apart = circular_distance(profile.alpha, middle)
    highest = profile.values >= profile.values.max(1, keepdims=True)
    return float(apart.mean() - ((highest * apart).sum(1) / highest.sum(1)).mean())


def contrast(profile: Profile, boundary: Boundary) -> float:
    """Mean over layers of log(mean inside the boundary / mean outside), less the same for the curve shifted at random.

    Inside are the steps between d~ = .1 and .9 of the logits, at least the one nearest to the middle. NaN where no step
    is outside, or where a layer has nothing on one side.
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
    """A measure of every pair that has both a profile and a boundary."""
    return {pair: measure(one, boundary[pair]) for pair, one in found.items() if pair in boundary}


def need_layers(count: int, least: int, what: str) -> None:
    """Refuse a trend over too few layers.

    Raises:
        NotTested: with the number of layers there are.
    """
    if count < least:
        raise NotTested(f"the run has {count} {what}, and a trend over layers needs at least {least}")
