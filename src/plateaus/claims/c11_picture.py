"""C11: the picture of multiplied gains reproduces the plateau."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plateaus.judging.evidence import Evidence, Filters, some
from plateaus.judging.interface import Claim, Finding, NotTested
from plateaus.judging.measures import STRENGTHS, dose, profiles

Floats = NDArray[np.float64]

CLAIM = Claim(
    id="C11",
    title="multiplied gains reproduce the plateau",
    says="If we measure the relative distance to the two endpoints in this picture, we get a very similar curve to the "
    "plateaus observed in real models.",
    measure="the error of a straight line minus that of the curve predicted from the growth of steps (root mean square "
    "in d at the last layer)",
    needs={
        "sharpness": STRENGTHS,
        "interpolate": ("pair", "interp_layer", "site", "record_layer", "step", "alpha", "step_size", "distance"),
        "jacobian": ("pair", "component", "layer", "step", "alpha", "gain"),
    },
    expected=1,
    figure="f10_mechanism",
)


def test(evidence: Evidence) -> Finding:
    """Compare the recorded curve with a predicted curve, which lays the stretched steps end to end.

    The product of all layers' directional gains is the growth of a step (see C10), so the stretched steps are the
    steps recorded at the last layer. The test is therefore of the assumption that the path does not bend there. If
    the gains of whole layers were measured, the prediction from those gains is shown beside it.
    """
    filters: Filters = {"interp_layer": [evidence.trace_layer], "site": ["resid_post"]}
    table = evidence.table("interpolate", filters)
    last = int(table["record_layer"].max())
    if last == evidence.trace_layer:
        raise NotTested("there is no layer after the interpolation layer")
    steps = table[table["step"] < table["step"].max()]
    lengths = profiles(steps[steps["record_layer"].isin([evidence.trace_layer, last])], "step_size", "record_layer")
    measured = profiles(table[table["record_layer"] == last], "distance", "record_layer")
    values, errors = {}, {}
    for pair, one in measured.items():
        d = one.values[0]
        if pair in lengths and lengths[pair].values[-1].sum() > 0:
            errors[pair] = rms(laid_out(lengths[pair].values[-1]) - d)
            values[pair] = rms(one.alpha - d) - errors[pair]
    gains = evidence.rows("jacobian", {"component": ["block"]})
    blocks = {}
    for pair, one in ({} if gains is None else profiles(gains, "gain")).items():
        if pair in values and one.values.shape[1] == lengths[pair].values.shape[1] + 1:
            logs = np.log(np.maximum(one.values, 1e-30)).sum(0)
            stretched = lengths[pair].values[0] * np.exp((logs[1:] + logs[:-1]) / 2 - logs.max())
            d = measured[pair].values[0]
            blocks[pair] = rms(measured[pair].alpha - d) - rms(laid_out(stretched) - d)
    shown = some(
        evidence.secondary("the error of the predicted curve", errors),
        evidence.secondary("the same, predicted from the measured gains of whole layers", blocks),
    )
    return evidence.median(values, secondary=(*shown, *some(dose(evidence, values))))


def laid_out(steps: Floats) -> Floats:
    """Return positions from 0 to 1, shape (n + 1,), of points whose successive distances (n,) are given."""
    position = np.concatenate([[0.0], np.cumsum(steps)])
    return position / max(float(position[-1]), 1e-30)


def rms(x: Floats) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.square(x))))
