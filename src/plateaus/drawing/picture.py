"""The post's picture of the mechanism as numbers: points on a line, pushed apart or together layer by layer.

Interpolation steps start evenly spaced. Each layer stretches the step at alpha by its directional gain there; where
the gain is low, points crowd together, where it is high, they are torn apart. Laying the stretched steps end to end
gives a curve of relative distance, which can be held against the measured one. What the picture leaves out: that the
path may bend, so that a step's length does not add to the distance.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.drawing import by_layer, panels

TOY_LAYERS = 8
TOY_CENTRE = 0.5
TOY_WIDTH = 0.12
TOY_LOW = 0.8
TOY_BUMP = 0.5
"""The toy: every layer has the same shallow bump of gain, TOY_LOW + TOY_BUMP exp(-(x - TOY_CENTRE)^2 / 2 TOY_WIDTH^2),
at the place in activation space where its boundary lies."""


class Frames(NamedTuple):
    """The picture, one frame per layer, the first before any layer.

    Attributes:
        layers: Names of the frames.
        alpha: (steps,), where each point began.
        gain: (frames, steps), the gain that led to this frame; ones in the first.
        position: (frames, steps), the points on a line from 0 to 1: the predicted relative distance.
        measured: (frames, steps), the measured relative distance; None for the toy.
    """

    layers: list[str]
    alpha: Any
    gain: Any
    position: Any
    measured: Any | None


def laid_out(steps: Any) -> Any:
    """Positions from 0 to 1 of points whose distances from one to the next are given (their ratios matter alone)."""
    position = np.concatenate([[0.0], np.cumsum(steps)])
    return position / position[-1]


def toy(points: int = 41) -> Frames:
    """Equal shallow bumps in every layer, at the same place of activation space: they accumulate by themselves."""
    alpha = np.linspace(0, 1, points)
    positions, gains = [alpha], [np.ones(points)]
    for _ in range(TOY_LAYERS):
        x = positions[-1]
        gain = TOY_LOW + TOY_BUMP * np.exp(-((x - TOY_CENTRE) ** 2) / (2 * TOY_WIDTH**2))
        gains.append(gain)
        positions.append(laid_out(np.diff(x) * np.sqrt(gain[1:] * gain[:-1])))
    names = ["at the start", *(f"layer {layer}" for layer in range(1, TOY_LAYERS + 1))]
    return Frames(names, alpha, np.array(gains), np.array(positions), None)


def of_model(results: Results, model: str, pair: str, start: int) -> Frames:
    """The same from the model's measured gains of whole blocks, beside its measured relative distance.

    Args:
        results: Where to read.
        model: Id of the model.
        pair: Id of the pair.
        start: The interpolation layer.
    """
    gains = by_layer.profiles(results, model, tables.JACOBIAN, pair, "gain", component="block")
    rows = results.curve(model, pair, interp_layer=start)
    path = rows[rows["record_layer"] == start]
    steps = panels.values(path, "step_size")[:-1]
    alpha = panels.values(path, "alpha")
    used, positions = [np.ones(len(alpha))], [laid_out(steps)]
    measured = [panels.values(path, "distance")]
    for layer in sorted(gains):
        gain = np.maximum(gains[layer].values, 1e-12)
        steps = steps * np.sqrt(gain[1:] * gain[:-1])  # the geometric mean of a step's two ends
        used.append(gain)
        positions.append(laid_out(steps))
        measured.append(panels.values(rows[rows["record_layer"] == layer], "distance"))
    names = [f"layer {layer}" for layer in (start, *sorted(gains))]
    return Frames(names, alpha, np.array(used), np.array(positions), np.array(measured))


def errors(frames: Frames) -> tuple[float, float]:
    """Root mean square error of the last frame's predicted curve, and of a straight line, against the measured one."""
    assert frames.measured is not None
    measured = frames.measured[-1]

    def rms(x: Any) -> float:
        return float(np.sqrt(np.mean((x - measured) ** 2)))

    return rms(frames.position[-1]), rms(frames.alpha)
