"""How sharp a curve of relative distance is: the only definition, used by the stage `sharpness` and by the figures.

A curve is d as a function of alpha, with straight lines between its steps; d~ is its isotonic fit, the least-squares
fit that never falls. Where d~ passes the levels .1, .5 and .9 tells where the boundary lies and how wide it is. Cases
without an obvious answer are decided here, in such a way that swapping the two prompts mirrors every measure:

- *A level that d~ never reaches* is placed at the end of the path beyond which d~ would reach it. A curve that stays
  between .1 and .9 therefore has w = 1 and no rest; a curve that stays below .1 has w = 0, rest_a = 1 and rest_b = 0,
  and fails the rule because a rest is missing. Recorded curves run from exactly 0 to exactly 1, because d is measured
  against the two recorded ends of the same run, even if freezing at the mean moves those ends away from the prompts'
  own outputs.
- *A flat piece of d~ at a level*: at .1 and .9 the piece belongs to the adjacent rest, so that w is the narrowest
  stretch from one rest to the other; at .5 the midpoint is the middle of the piece.
- *A stretch where d falls* becomes a flat piece of the fit, at the mean of its values, and |d - d~| measures the fall.
- *A value that is not finite* has no measures: it raises an error that names the curve.
"""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression

Floats = NDArray[np.float64]
T = TypeVar("T", float, Floats)

LOW, MIDDLE, HIGH = 0.1, 0.5, 0.9
"""The levels of d~ at which the boundary begins, is half-way through and ends."""

STRAIGHT_WIDTH = 0.8
"""w of a straight line."""

SLACK = 1e-7
"""Tolerance for comparing d with a level, so that a flat piece stored as float32 .1 counts as being at .1."""


class Rule(NamedTuple):
    """When a curve is called a plateau, or a half-plateau. It is the section `sharpness` of the config.

    Attributes:
        w_at_most: Largest allowed width of the boundary, in units of alpha.
        rest_at_least: Smallest allowed rest on each side, in units of alpha.
        departure_at_most: Largest allowed |d - d~|, also of a half-plateau.
        strength_at_least: Smallest strength of a half-plateau.
    """

    w_at_most: float = 0.25
    rest_at_least: float = 0.1
    departure_at_most: float = 0.1
    strength_at_least: float = 0.5


class Sharpness(NamedTuple, Generic[T]):
    """Measures of curves, in units of alpha unless stated otherwise: arrays with one value per curve, or floats.

    Attributes:
        rest_a: Length in alpha over which d~ is at most .1, so that the output stays near A.
        midpoint: Alpha at which d~ is .5.
        rest_b: Length in alpha over which d~ is at least .9, so that the output stays near B.
        plateau_width: |{d <= .1}| + |{d >= .9}|, of d itself and not of its fit; equal to rest_a + rest_b for a curve
            that never falls.
        max_slope: Largest rise of d between two consecutive steps divided by their distance in alpha; n - 1 for a jump
            from 0 to 1 in a curve of n steps.
        departure: Largest |d - d~|, in units of d; 0 for a curve that never falls.
    """

    rest_a: T
    midpoint: T
    rest_b: T
    plateau_width: T
    max_slope: T
    departure: T

    @property
    def alpha10(self) -> T:
        """Alpha at which d~ leaves .1, where the boundary begins."""
        return self.rest_a

    @property
    def alpha90(self) -> T:
        """Alpha at which d~ reaches .9, where the boundary ends."""
        return 1 - self.rest_b

    @property
    def w(self) -> T:
        """Width of the boundary: .8 for a straight line; .8 / (n - 1), its smallest value, for a jump in n steps.

        With 50 steps, the straight lines between them make a smooth boundary of width .25 at most .0015 too wide, and
        one of width .05 at most .006.
        """
        return self.alpha90 - self.alpha10


def measure(alpha: ArrayLike, distance: ArrayLike) -> Sharpness[Floats]:
    """Measure several curves whose steps are at the same alphas.

    Args:
        alpha: Interpolation parameter of each step, rising from 0 to 1, shape (steps,).
        distance: Relative distance, shape (curves, steps).

    Returns:
        Arrays of shape (curves,).

    Raises:
        ValueError: alpha does not rise from 0 to 1, the curves do not have its number of steps, or a curve has a value
            that is not finite.
    """
    at, d = np.asarray(alpha, dtype=np.float64), np.asarray(distance, dtype=np.float64)
    if at.ndim != 1 or len(at) < 2 or abs(at[0]) > SLACK or abs(at[-1] - 1) > SLACK or not np.all(np.diff(at) > 0):
        raise ValueError("alpha must rise from 0 to 1")
    if d.ndim != 2 or d.shape[1] != len(at):
        raise ValueError(f"curves of shape {d.shape} do not have the {len(at)} steps that alpha has")
    if not np.isfinite(d).all():
        raise ValueError(f"curve {int(np.argmin(np.isfinite(d).all(1)))} has a value that is not finite")
    fit = isotonic(d)
    return Sharpness(
        rest_a=_leaves(at, fit, LOW),
        midpoint=(_reaches(at, fit, MIDDLE) + _leaves(at, fit, MIDDLE)) / 2,
        rest_b=1 - _reaches(at, fit, HIGH),
        plateau_width=_length_below(at, d, LOW) + _length_below(at, 1 - d, 1 - HIGH),
        max_slope=(np.diff(d) / np.diff(at)).max(1),
        departure=np.abs(d - fit).max(1),
    )


def measure_one(alpha: ArrayLike, distance: ArrayLike) -> Sharpness[float]:
    """Measure one curve; see `measure`.

    Args:
        alpha: Interpolation parameter of each step, shape (steps,).
        distance: Relative distance, shape (steps,).

    Raises:
        ValueError: see `measure`.
    """
    found = measure(alpha, np.asarray(distance, dtype=np.float64)[None])
    return Sharpness(*(float(values[0]) for values in found))


def is_plateau(found: Sharpness[Any], rule: Rule) -> Any:
    """Tell whether curves meet the plateau rule. The result is an outcome and never a reason to choose a pair.

    Args:
        found: The measures of one curve or of several.
        rule: The plateau rule.

    Returns:
        One bool if `found` holds floats, an array of shape (curves,) if it holds arrays.
    """
    narrow = found.w <= rule.w_at_most
    rests = (found.rest_a >= rule.rest_at_least) & (found.rest_b >= rule.rest_at_least)
    return narrow & rests & (found.departure <= rule.departure_at_most)


def strength(w: Any, w_path: Any) -> Any:
    """Return s = 1 - w / w_path: 0 for an output that follows the path, 1 for a jump, negative for a slower one."""
    return 1 - w / w_path


def is_half_plateau(found: Sharpness[Any], w_path: Any, rule: Rule) -> Any:
    """Tell whether curves are half-plateaus: their boundary takes at most half of what the path itself takes.

    Args:
        found: The measures of one curve or of several.
        w_path: w of the path of each curve.
        rule: The rules.
    """
    return (strength(found.w, w_path) >= rule.strength_at_least) & (found.departure <= rule.departure_at_most)


def isotonic(values: Floats) -> Floats:
    """Fit to each row the nearest sequence that never falls, by least squares (pool adjacent violators).

    Args:
        values: Shape (curves, steps).

    Returns:
        The fits, of the same shape; a row that never falls is returned as it is.
    """
    fit = values.copy()
    for row in np.flatnonzero((np.diff(values) < 0).any(1)):
        fit[row] = isotonic_regression(values[row]).x
    return fit


def _leaves(alpha: Floats, rising: Floats, level: float) -> Floats:
    """Return, for curves that never fall, the largest alpha at which each is at or below a level."""
    return _between(alpha, rising, level, (rising <= level + SLACK).sum(1))


def _reaches(alpha: Floats, rising: Floats, level: float) -> Floats:
    """Return, for curves that never fall, the smallest alpha at which each is at or above a level."""
    return _between(alpha, rising, level, (rising < level - SLACK).sum(1))


def _between(alpha: Floats, rising: Floats, level: float, after: NDArray[np.int_]) -> Floats:
    """Return the alpha at which each curve passes a level between the steps `after` - 1 and `after`.

    It is 0 where `after` is 0, and 1 where `after` is the number of steps.
    """
    low, high = np.maximum(after - 1, 0), np.minimum(after, len(alpha) - 1)
    below, above = (np.take_along_axis(rising, step[:, None], 1)[:, 0] for step in (low, high))
    rise = above - below
    part = np.clip((level - below) / np.where(rise > 0, rise, 1), 0, 1)
    return alpha[low] + part * (alpha[high] - alpha[low])


def _length_below(alpha: Floats, d: Floats, level: float) -> Floats:
    """Return the length in alpha over which each curve, drawn with straight lines, is at or below a level."""
    low, high = np.minimum(d[:, 1:], d[:, :-1]), np.maximum(d[:, 1:], d[:, :-1])
    rise = high - low
    part = np.where(rise > 0, np.clip((level - low) / np.where(rise > 0, rise, 1), 0, 1), low <= level + SLACK)
    # Summed without BLAS, because the bits of a curve's result must not depend on the other curves of the batch.
    length: Floats = (part * np.diff(alpha)).sum(1)
    return length
