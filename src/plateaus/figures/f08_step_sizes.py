"""Figure 8: how far each layer's activations move in one interpolation step."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from plateaus.data.results import Results
from plateaus.drawing import panels, style, wording
from plateaus.drawing.contract import Drawing, LeftOut, Settings

TITLE = "Step sizes at every later layer"
READS = panels.READS
PER_MODEL = True


class Steps(NamedTuple):
    """The step sizes of one curve.

    Attributes:
        midpoints: Alpha half-way between the two ends of each step, shape (steps - 1,).
        sizes: Length of each step in the units of the activations, shape (steps - 1,).
    """

    midpoints: Any
    sizes: Any

    @property
    def relative(self) -> Any:
        """The sizes over their mean: 1 everywhere if the activations move at a constant speed."""
        return self.sizes / self.sizes.mean()

    @property
    def peak(self) -> float:
        """The largest step, as a multiple of the mean step."""
        return float(self.relative.max())

    @property
    def peak_alpha(self) -> float:
        """The alpha at the midpoint of the largest step."""
        return float(self.midpoints[int(np.argmax(self.sizes))])


def steps_of(rows: pd.DataFrame) -> Steps:
    """Return the step sizes of the rows of one curve, one fewer than its points."""
    alpha = panels.values(rows, "alpha")
    return Steps((alpha[:-1] + alpha[1:]) / 2, panels.values(rows, "step_size")[:-1])


def draw(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    """Draw the step sizes over their mean, at each layer after the interpolation layer."""
    start = settings.trace_layer
    if start not in panels.interp_layers(results, model):
        return LeftOut(f"this run did not interpolate at layer {start}")
    layers = list(range(start + 1, panels.n_layers(results, model)))
    if not layers:
        return LeftOut(f"the model has no layer after layer {start}, at which the run interpolated")
    pairs = [panels.words(results, pair) for pair in settings.pairs]
    figure, axes = panels.grid(len(pairs), 2.9, extra=0.6)
    colours = style.layer_colours(settings.colormap, layers)
    found: list[tuple[panels.Words, dict[int, Steps]]] = []
    for ax, pair in zip(axes, pairs, strict=True):
        of_pair = results.curve(model, pair.id, interp_layer=start)
        steps = {layer: steps_of(of_pair[of_pair["record_layer"] == layer]) for layer in layers}
        if any(not one.sizes.mean() > 0 for one in steps.values()):
            return LeftOut(f"the activations of pair {pair.id} do not move at all at some layer")
        ax.axhline(1, color=style.GREY, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1, label="_constant speed")
        panels.layer_lines(ax, ((layer, one.midpoints, one.relative) for layer, one in steps.items()), colours)
        panels.frame(ax, pair)
        found.append((pair, steps))
    for ax in axes:
        ax.set_ylim(bottom=0)
        if ax.get_subplotspec().is_first_col():  # type: ignore[union-attr]
            ax.set_ylabel("Step size / mean step size")
    panels.layer_bar(figure, axes, colours, layers, "Recording layer")
    return Drawing(figure, _caption(results, model, start, layers, found), _alt(model, start, layers, found), READS)


def _growth(found: list[tuple[panels.Words, dict[int, Steps]]], layers: list[int]) -> str:
    ends = [(steps[layers[0]].sizes.mean(), steps[layers[-1]].sizes.mean()) for _, steps in found]
    said = [
        f"from {wording.significant(first)} to {wording.significant(last)} for {pair.markdown}"
        for (pair, _), (first, last) in zip(found, ends, strict=True)
    ]
    return f" From layer {layers[0]} to layer {layers[-1]} the mean step size changes {wording.listed(said)}."


def _caption(
    results: Results,
    model: str,
    start: int,
    layers: list[int],
    found: list[tuple[panels.Words, dict[int, Steps]]],
) -> str:
    growth = _growth(found, layers) if len(layers) > 1 else ""
    return (
        f"**Step sizes at every later layer.** A step size is the distance between the activations of two successive "
        f"steps. There is one line per recording layer ({wording.layers(layers)}), with the path patched in at layer "
        f"{start}. Each step size is drawn at the middle of its step and divided by the mean step size of its layer, "
        f"so that layers of different scale can be compared and 1 (dotted) is a constant speed.{growth} "
        f"{panels.subject(results, model, [pair for pair, _ in found])}"
    )


def _alt(model: str, start: int, layers: list[int], found: list[tuple[panels.Words, dict[int, Steps]]]) -> str:
    def peaks(steps: dict[int, Steps]) -> str:
        highest = max(layers, key=lambda layer: steps[layer].peak)
        last = steps[layers[-1]]
        return (
            f"the largest step of the last layer is {wording.number(last.peak, 1)} times its mean, at alpha "
            f"{wording.number(last.peak_alpha)}, and over all layers the highest peak is "
            f"{wording.number(steps[highest].peak, 1)} times the mean, at layer {highest} and alpha "
            f"{wording.number(steps[highest].peak_alpha)}"
        )

    said = wording.each([(pair.name, peaks(steps)) for pair, steps in found])
    return (
        f"{wording.plural(len(found), 'panel')} of step size over its mean against interpolation alpha for {model}, "
        f"interpolated at layer {start}, with one line for each recording layer ({wording.layers(layers)}). {said}"
    )
