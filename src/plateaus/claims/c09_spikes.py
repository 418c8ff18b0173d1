"""C9: the spike of the Jacobian norm sharpens with depth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plateaus.judging.evidence import Evidence, some
from plateaus.judging.interface import Claim, Finding
from plateaus.judging.measures import STRENGTHS, Profile, dose, need_layers, profiles
from plateaus.judging.statistics import spearman

Floats = NDArray[np.float64]

CLAIM = Claim(
    id="C9",
    title="the Jacobian's spike sharpens with depth",
    says="While these spikes are wider for early layers, they increase in sharpness as we look at layers deeper in the "
    "model.",
    measure="Spearman's correlation between the spike's width in alpha and the layer",
    needs={
        "sharpness": STRENGTHS,
        "jacobian": ("pair", "component", "layer", "step", "alpha", "frobenius"),
        "spline": ("pair", "layer", "step", "alpha", "input_step"),
    },
    expected=-1,
    bounds=(-1, 1),
    figure="f09_jacobians",
)
ARC = "Spearman's correlation of the spike's width in arc length with the layer"


def test(evidence: Evidence) -> Finding:
    """Test the trend of the width in alpha; show it in arc length of the MLP's input, where footnote 7 expects none."""
    table = evidence.table("jacobian", {"component": ["mlp"]})
    need_layers(table["layer"].nunique(), 4, "layers with Jacobians")
    found = profiles(table, "frobenius")
    trends = {pair: spearman(one.layers, widths(one.values)) for pair, one in found.items()}
    steps = evidence.rows("spline", {})
    lengths = {} if steps is None else profiles(steps, "input_step")
    arcs = {
        pair: spearman(one.layers, widths(one.values, lengths[pair].values))
        for pair, one in found.items()
        if pair in lengths and _fits(one, lengths[pair])
    }
    shown = some(evidence.secondary(ARC, arcs, bounds=(-1, 1)), dose(evidence, trends))
    return evidence.median(trends, secondary=shown)


def _fits(one: Profile, steps: Profile) -> bool:
    return np.array_equal(one.layers, steps.layers) and one.values.shape[1] == steps.values.shape[1] + 1


def widths(values: Floats, steps: Floats | None = None) -> Floats:
    """Return the width of each curve's spike as a fraction of the path.

    It is (sum h)² / sum h², where h is the height of the curve above its minimum: 1 for a curve that is high
    throughout, 3/4 for a triangle, and smaller for narrower spikes. A flat curve has no spike, and its width is 1.

    Args:
        values: Shape (layers, steps).
        steps: Lengths of the steps, which are the weights of the sums, shape (layers, steps - 1); None for equal steps.

    Returns:
        Shape (layers,).
    """
    middle = (values[:, 1:] + values[:, :-1]) / 2
    length = np.ones_like(middle) if steps is None else np.asarray(steps, dtype=np.float64)
    length = length / np.maximum(length.sum(1, keepdims=True), 1e-30)
    above = middle - middle.min(1, keepdims=True)
    first, second = (above * length).sum(1), (above**2 * length).sum(1)
    return np.where(second > 0, first**2 / np.maximum(second, 1e-300), 1.0)
