"""How sharp a curve of relative distance is: numbers for captions, alt texts and the summary table."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import isotonic_regression

PLATEAU_WIDTH = 0.25
"""The plateau rule: the boundary is at most this wide,"""
PLATEAU_REST = 0.1
"""the curve rests at least this long on each side,"""
PLATEAU_DEPARTURE = 0.1
"""and it is nowhere further than this from a monotone curve."""

STRAIGHT_WIDTH = 0.8
"""The boundary width of a straight line."""


class Sharpness(NamedTuple):
    """Measures of d~, the isotonic fit of a curve of relative distance over alpha.

    Attributes:
        alpha10: Where d~ reaches .1: how long the curve rests near A.
        alpha50: Where d~ reaches .5, the midpoint.
        alpha90: Where d~ reaches .9.
        departure: Largest |d - d~|, 0 for a monotone curve.
    """

    alpha10: float
    alpha50: float
    alpha90: float
    departure: float

    @property
    def width(self) -> float:
        """Width of the boundary, w: .8 for a straight line, about .8 over the number of steps for a jump."""
        return self.alpha90 - self.alpha10

    @property
    def rest_a(self) -> float:
        """Length of the part of the path that ends up near A (d~ below .1)."""
        return self.alpha10

    @property
    def rest_b(self) -> float:
        """Length of the part of the path that ends up near B (d~ above .9)."""
        return 1 - self.alpha90

    @property
    def is_plateau(self) -> bool:
        """Whether the curve meets the plateau rule."""
        return (
            self.width <= PLATEAU_WIDTH
            and min(self.rest_a, self.rest_b) >= PLATEAU_REST
            and self.departure <= PLATEAU_DEPARTURE
        )


def sharpness(alpha: Any, distance: Any) -> Sharpness:
    """Measure one curve.

    Args:
        alpha: Interpolation parameter, rising from 0 to 1.
        distance: Relative distance at each alpha; 0 at the first and 1 at the last.
    """
    alpha, distance = np.asarray(alpha, dtype=np.float64), np.asarray(distance, dtype=np.float64)
    fitted = np.asarray(isotonic_regression(distance).x)
    alpha10, alpha50, alpha90 = (crossing(alpha, fitted, level) for level in (0.1, 0.5, 0.9))
    return Sharpness(alpha10, alpha50, alpha90, departure=float(np.abs(distance - fitted).max()))


def crossing(alpha: Any, rising: Any, level: float) -> float:
    """The smallest alpha at which a curve that does not fall, drawn with straight lines, reaches a level."""
    # The slack takes a float32 .1 for .1, which would otherwise be found one step late on a flat piece.
    after = int(np.searchsorted(rising, level - 1e-7))
    if after == 0:
        return float(alpha[0])
    if after == len(rising):
        return float(alpha[-1])
    low, high = rising[after - 1], rising[after]
    part = min(1.0, (level - low) / (high - low))
    return float(alpha[after - 1] + part * (alpha[after] - alpha[after - 1]))
