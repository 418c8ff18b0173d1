"""How sharp a curve of relative distance is: the one definition, used by the stage `sharpness` and by the figures.

A curve is d over alpha, drawn with straight lines between its steps; d~ is its isotonic fit, the nearest curve in the
sense of least squares that never falls. The levels .1, .5 and .9 of d~ say where the boundary lies and how wide it is.
Cases without a plain answer are decided here, once, and so that swapping the two prompts mirrors every measure:

- *A level that d~ never reaches* is put at the end of the path beyond which it would be reached. A curve that stays
  between .1 and .9 so has w = 1 and no rest; one that stays below .1 has w = 0, rest_a = 1 and rest_b = 0, and fails
  the rule by its rest. Recorded curves run from exactly 0 to exactly 1, because d is measured against the two recorded
  ends of the same run, also where freezing at the mean moves those ends away from the prompts' own outputs.
- *A flat piece of d~ at a level*: at .1 and .9 it belongs to the rest beside it, so that w is the narrowest stretch
  that leads from one rest to the other; at .5 the midpoint is the middle of the piece.
- *A curve that falls* is pooled by the fit into a flat piece at its mean, and |d - d~| says so.
- *A value that is not finite* has no measures: it is an error that names the curve.
"""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression

Floats = NDArray[np.float64]
T = TypeVar("T", float, Floats)

LOW, MIDDLE, HIGH = 0.1, 0.5, 0.9
"""The levels of d~ at which the boundary begins, is half-way and ends."""

STRAIGHT_WIDTH = 0.8
"""w of a straight line."""

SLACK = 1e-7
"""Takes a float32 .1 for .1, so that a flat piece stored at a level is found at it."""


class Rule(NamedTuple):
    """When a curve is called a plateau; the section `sharpness` of the config.

    Attributes:
        w_at_most: Widest boundary.
        rest_at_least: Shortest rest on each side.
        departure_at_most: Largest |d - d~|.
    """

    w_at_most: float = 0.25
    rest_at_least: float = 0.1
    departure_at_most: float = 0.1


class Sharpness(NamedTuple, Generic[T]):
    """Measures of curves, in units of alpha where nothing else is said: arrays of one value per curve, or floats.

    Attributes:
        rest_a: Length of the path over which d~ is at most .1: what ends up near A.
        midpoint: Where d~ is .5.
        rest_b: Length of the path over which d~ is at least .9: what ends up near B.
        plateau_width: |{d < .1}| + |{d > .9}|, of d and not of its fit; rest_a + rest_b for a curve that never falls.
        max_slope: Largest rise of d between two steps over their distance in alpha; n - 1 for a jump in n steps.
        departure: Largest |d - d~|, 0 for a curve that never falls.
    """

    rest_a: T
    midpoint: T
    rest_b: T
    plateau_width: T
    max_slope: T
    departure: T

    @property
    def alpha10(self) -> T:
        """Where d~ leaves .1, the beginning of the boundary."""
        return self.rest_a

    @property
    def alpha90(self) -> T:
        """Where d~ reaches .9, the end of the boundary."""
        return 1 - self.rest_b

    @property
    def w(self) -> T:
        """Width of the boundary: .8 for a straight line, .8 / (n - 1) for a jump in n steps, its least value.

        Straight lines between 50 steps find a smooth boundary of .25 at most .0015 too wide, one of .05 at most .006.
        """
        return self.alpha90 - self.alpha10


def measure(alpha: ArrayLike, distance: ArrayLike) -> Sharpness[Floats]:
    """Measure curves that share their steps.

    Args:
        alpha: Interpolation parameter of each step, rising from 0 to 1, shape (steps,).
        distance: Relative distance, shape (curves, steps).

    Returns:
        Arrays of shape (curves,).

    Raises:
        ValueError: alpha does not rise from 0 to 1, or a curve has a value that is not finite.
    """
    at, d = np.asarray(alpha, dtype=np.float64), np.asarray(distance, dtype=np.float64)
    if at.ndim != 1 or len(at) < 2 or abs(at[0]) > SLACK or abs(at[-1] - 1) > SLACK or not np.all(np.diff(at) > 0):
        raise ValueError("alpha must rise from 0 to 1")
    if d.ndim != 2 or d.shape[1] != len(at):
        raise ValueError(f"curves of shape {d.shape} do not have the {len(at)} steps of alpha")
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
    """
    found = measure(alpha, np.asarray(distance, dtype=np.float64)[None])
    return Sharpness(*(float(values[0]) for values in found))


def is_plateau(found: Sharpness[Any], rule: Rule) -> Any:
    """Whether curves meet the rule: an outcome, never a reason to choose a pair.

    Returns:
        One bool, or an array of them, as `found` has.
    """
    narrow = found.w <= rule.w_at_most
    rests = (found.rest_a >= rule.rest_at_least) & (found.rest_b >= rule.rest_at_least)
    return narrow & rests & (found.departure <= rule.departure_at_most)


def isotonic(values: Floats) -> Floats:
    """The least-squares fit that never falls, of each row: pool adjacent violators, where there are any.

    Args:
        values: Shape (curves, steps).
    """
    fit = values.copy()
    for row in np.flatnonzero((np.diff(values) < 0).any(1)):
        fit[row] = isotonic_regression(values[row]).x
    return fit


def _leaves(alpha: Floats, rising: Floats, level: float) -> Floats:
    """The largest alpha at which curves that never fall are at or below a level."""
    return _between(alpha, rising, level, (rising <= level + SLACK).sum(1))


def _reaches(alpha: Floats, rising: Floats, level: float) -> Floats:
    """The smallest alpha at which curves that never fall are at or above a level."""
    return _between(alpha, rising, level, (rising < level - SLACK).sum(1))


def _between(alpha: Floats, rising: Floats, level: float, after: NDArray[np.int_]) -> Floats:
    """Where curves pass a level between the steps `after` - 1 and `after`; before the first step there is none."""
    low, high = np.maximum(after - 1, 0), np.minimum(after, len(alpha) - 1)
    below, above = (np.take_along_axis(rising, step[:, None], 1)[:, 0] for step in (low, high))
    rise = above - below
    part = np.clip((level - below) / np.where(rise > 0, rise, 1), 0, 1)
    return alpha[low] + part * (alpha[high] - alpha[low])


def _length_below(alpha: Floats, d: Floats, level: float) -> Floats:
    """Over how much of alpha curves, drawn with straight lines, are at or below a level."""
    low, high = np.minimum(d[:, 1:], d[:, :-1]), np.maximum(d[:, 1:], d[:, :-1])
    rise = high - low
    part = np.where(rise > 0, np.clip((level - low) / np.where(rise > 0, rise, 1), 0, 1), low <= level + SLACK)
    # Not by BLAS: a curve's bits must not depend on its neighbours.
    length: Floats = (part * np.diff(alpha)).sum(1)
    return length
