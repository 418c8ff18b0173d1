"""C4: the number of layers between interpolation and recording drives the sharpening; depth is a weaker factor."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from plateaus.judging.evidence import Evidence, some
from plateaus.judging.interface import Claim, Finding, NotTested, Side
from plateaus.judging.measures import WIDTHS, at_layers
from plateaus.judging.verdicts import number

CLAIM = Claim(
    id="C4",
    title="layers in between matter more than depth",
    says="The principal factor is the number of layers between interpolation and recording; there is also an effect of "
    "depth.",
    measure="the partial R² of N (layers in between) minus that of L (interpolation layer) for log(w/w_path)",
    needs={"sharpness": (*WIDTHS, "w_path")},
    expected=1,
    bounds=(-1, 1),
    figure="f05_fixed_depth",
)


class Fit(NamedTuple):
    """One pair's regression of log(w / w_path) on N and L.

    Attributes:
        slope_n: Slope per layer in between.
        slope_l: Slope per layer of depth.
        r2_n: Partial R² of N, given L.
        r2_l: Partial R² of L, given N.
    """

    slope_n: float
    slope_l: float
    r2_n: float
    r2_l: float


def test(evidence: Evidence) -> Finding:
    """Fit the mixed model log(w/w_path) ~ N + L + (1 | pair), by least squares within pairs.

    N is the number of layers between interpolation and recording, L the interpolation layer. All pairs have the same
    grid of layers, so the random intercepts drop out and the mixed model's slopes are the means of the slopes of the
    pairs. Residuals of neighbouring layers are correlated within a pair; treating the fit of each pair as one
    observation needs no assumption about that. The second condition is that w falls with N.
    """
    frame = evidence.table("sharpness", at_layers())
    frame = frame[frame["record_layer"] > frame["interp_layer"]]
    if frame["interp_layer"].nunique() < 3:
        raise NotTested(
            f"the run has {frame['interp_layer'].nunique()} interpolation layers; separating N from L needs at least 3"
        )
    fits = {str(pair): fit(rows) for pair, rows in frame.groupby("pair")}
    slopes = {pair: one.slope_n for pair, one in fits.items()}
    found = evidence.median({pair: one.r2_n - one.r2_l for pair, one in fits.items()})
    slope = evidence.secondary("the change of log(w/w_path) per layer in between", slopes, "mean")
    depth = evidence.secondary(
        "the change of log(w/w_path) per layer of depth", {pair: one.slope_l for pair, one in fits.items()}, "mean"
    )
    partial = evidence.secondary("partial R² of N", {pair: one.r2_n for pair, one in fits.items()}, bounds=(0, 1))
    side = Side("open", "")
    if slope is not None:
        text = (
            f"With each layer in between, log(w/w_path) changes by {number(slope.estimate)} "
            f"(interval {number(slope.low)} to {number(slope.high)})."
        )
        side = Side("met" if slope.high < 0 else "broken" if slope.low > 0 else "open", text)
    return found._replace(side=side, secondary=some(slope, depth, partial))


def fit(rows: pd.DataFrame) -> Fit:
    """Fit one pair's widths by least squares; all values are NaN if there are fewer than four or one is not finite."""
    w = np.log(np.maximum(rows["w"].to_numpy(np.float64), 1e-6))
    y = w - np.log(np.maximum(rows["w_path"].to_numpy(np.float64), 1e-6))
    depth = rows["interp_layer"].to_numpy(np.float64)
    between = rows["record_layer"].to_numpy(np.float64) - depth
    one = np.ones(len(y))
    if len(y) < 4 or not np.isfinite(y).all():
        return Fit(*[np.nan] * 4)

    def left(*columns: np.ndarray) -> tuple[np.ndarray, float]:
        design = np.column_stack([one, *columns])
        coefficients = np.linalg.lstsq(design, y, rcond=None)[0]
        return coefficients, float(((y - design @ coefficients) ** 2).sum())

    coefficients, both = left(between, depth)
    without_n, without_l = left(depth)[1], left(between)[1]
    r2_n, r2_l = (1 - both / without if without > 1e-12 else 0.0 for without in (without_n, without_l))
    return Fit(float(coefficients[1]), float(coefficients[2]), r2_n, r2_l)
