"""The post's picture of the mechanism as numbers: points on a line that each layer moves apart or together.

The points begin as the interpolation steps, about evenly spaced. Each layer multiplies the length of the step at alpha
by the layer's directional gain there: points crowd together where the gain is low and move apart where it is high.
Laying the stretched steps end to end gives a curve of relative distance, which can be compared with the measured one.
The picture leaves out that the path may bend, in which case the length of a step does not all add to the distance.
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
"""The same shallow bump of gain in every layer of the toy, TOY_LOW + TOY_BUMP exp(-(x - TOY_CENTRE)^2 / 2 TOY_WIDTH^2),
where x is the position of a point in the activation space of the layer."""


class Frames(NamedTuple):
    """The picture as one frame per layer; the first frame is the path before any of these layers.

    Attributes:
        layers: Names of the frames.
        alpha: Interpolation parameter of each point, shape (steps,).
        gain: The gain that led to each frame, shape (frames, steps); ones in the first frame.
        position: Positions of the points on a line from 0 to 1, which are the predicted relative distance, shape
            (frames, steps).
        measured: The measured relative distance, shape (frames, steps); None for the toy.
    """

    layers: list[str]
    alpha: Any
    gain: Any
    position: Any
    measured: Any | None


def laid_out(steps: Any) -> Any:
    """Lay steps end to end and return the positions of their ends, scaled to run from 0 to 1.

    Args:
        steps: Lengths of the steps in any unit, shape (steps - 1,).

    Returns:
        The positions, shape (steps,).
    """
    position = np.concatenate([[0.0], np.cumsum(steps)])
    return position / position[-1]


def toy(points: int = 41) -> Frames:
    """Make the frames of the toy, in which the same shallow bump in every layer adds up to a plateau.

    Args:
        points: Number of points.
    """
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
    """Make the frames of a model from the measured gains of its whole blocks, with its measured relative distance.

    Args:
        results: The results of the run.
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
        steps = steps * np.sqrt(gain[1:] * gain[:-1])  # geometric mean of the gains at a step's ends
        used.append(gain)
        positions.append(laid_out(steps))
        measured.append(panels.values(rows[rows["record_layer"] == layer], "distance"))
    names = [f"layer {layer}" for layer in (start, *sorted(gains))]
    return Frames(names, alpha, np.array(used), np.array(positions), np.array(measured))


def errors(frames: Frames) -> tuple[float, float]:
    """Return the root mean square errors of the last frame's predicted curve and of d = alpha, for a measured curve."""
    assert frames.measured is not None
    measured = frames.measured[-1]

    def rms(x: Any) -> float:
        return float(np.sqrt(np.mean((x - measured) ** 2)))

    return rms(frames.position[-1]), rms(frames.alpha)
