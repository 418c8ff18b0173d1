"""Figures of quantities by layer and alpha: a map per pair with the boundary drawn in, and a few layers as lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from plateaus.data.results import Results
from plateaus.drawing import by_layer, panels, style, wording
from plateaus.drawing.by_layer import Profiles
from plateaus.drawing.panels import Words

COLOURS = "RdBu_r"
MOST_LINES = 4
"""Number of layers that are drawn as lines as well."""
LEAST_RANGE, MOST_RANGE = 1.25, 8.0
"""The colours run from 1 / r to r times the mean; r is the largest ratio of the figure, kept within these bounds."""

Boundary = dict[int, tuple[float, float, float]]
"""Maps each recording layer to the alphas at which its relative distance is .1, .5 and .9."""


class Quantity(NamedTuple):
    """A quantity that has one value per layer and step.

    Attributes:
        label: The y axis of its lines.
        found: Pair to the profiles of its layers; all pairs have the same layers.
    """

    label: str
    found: Mapping[Words, Profiles]

    @property
    def layers(self) -> list[int]:
        """The layers, in ascending order."""
        return sorted(next(iter(self.found.values())))


def draw(results: Results, model: str, quantities: Sequence[Quantity], *, start: int, colormap: str) -> Figure:
    """Draw each quantity over its layer's mean: one map per pair, and below it the lines of a few layers.

    Args:
        results: The results of the run, for the boundaries.
        model: Id of the model.
        quantities: The quantities, from top to bottom.
        start: The interpolation layer.
        colormap: Matplotlib's name of the colour map of the lines.
    """
    pairs = list(quantities[0].found)
    room = panels.room_of(len(pairs))
    heights = [part for _ in quantities for part in (2.0, 1.35)]
    figure = Figure(figsize=(style.WIDTH, sum(heights) + 1.1), layout="constrained")
    panels.apart(figure)
    axes = figure.subplots(len(heights), len(pairs), sharex=True, squeeze=False, height_ratios=heights)
    for number, quantity in enumerate(quantities):
        maps, lines = axes[2 * number], axes[2 * number + 1]
        _maps(figure, list(maps), quantity, [boundary(results, model, pair.id, start) for pair in pairs])
        _lines(list(lines), quantity, colormap)
        by_layer.name_axis([maps[0]], "Layer")
        by_layer.name_axis([lines[0]], quantity.label)
        for ax, pair in zip(maps, pairs, strict=True):
            panels.frame(ax, pair, title=number == 0, words_below=False, room=room)
        for ax, pair in zip(lines, pairs, strict=True):
            panels.frame(ax, pair, title=False, words_below=number == len(quantities) - 1, room=room)
    handles, names = axes[1][0].get_legend_handles_labels()
    if len(handles) > 1:
        figure.legend(handles, names, loc="outside lower center", ncols=len(handles), columnspacing=1.4)
    return figure


def boundary(results: Results, model: str, pair: str, start: int) -> Boundary:
    """Return where the boundary lies at each layer after the interpolation layer; empty if the run lacks that layer."""
    if start not in panels.interp_layers(results, model):
        return {}
    curves = results.curve(model, pair, interp_layer=start)
    found = {}
    for layer, rows in panels.split(curves[curves["site"] == "resid_post"], "record_layer").items():
        if layer > start:
            sharp = panels.measured(rows)
            found[layer] = (sharp.alpha10, sharp.midpoint, sharp.alpha90)
    return found


def chosen(layers: Sequence[int]) -> list[int]:
    """Return the layers that are drawn as lines: the first, the last, and others evenly between them."""
    places = np.linspace(0, len(layers) - 1, min(MOST_LINES, len(layers)))
    return [layers[round(place)] for place in places]


def reading(layers: Sequence[int], start: int) -> str:
    """Say in a caption how maps and lines are read."""
    listed = wording.listed(str(layer) for layer in chosen(layers))
    return (
        f"Each row of a map is a layer ({wording.layers(layers)}), with the path patched in at layer {start}. The "
        "colour is the value over the mean of its layer along the path: red above the mean, blue below it. The black "
        "lines are the alphas at which the relative distance at that layer is .1, .5 (thick) and .9; the boundary lies "
        f"between them. The lines below show the same values for {'layer' if len(layers) == 1 else 'layers'} {listed}, "
        "with 1 (dotted) as the value of a quantity that does not change."
    )


def seen(layers: Sequence[int]) -> str:
    """Say in an alt text what there is to see."""
    return (
        f"a map of layers ({wording.layers(layers)}) against interpolation alpha, coloured by the value over its "
        "layer's mean, with the boundary of each layer drawn in, and lines of a few layers below it"
    )


def _maps(figure: Figure, axes: list[Axes], quantity: Quantity, boundaries: list[Boundary]) -> None:
    layers = quantity.layers
    values = [np.array([found[layer].relative for layer in layers]) for found in quantity.found.values()]
    positive = np.concatenate([part[part > 0] for part in values])
    # Almost everything lies within this; single steps may stand out so far that they would fade all others.
    extreme = float(np.exp(np.quantile(np.abs(np.log(positive)), 0.995)))
    limit = min(max(extreme, LEAST_RANGE), MOST_RANGE)
    norm = LogNorm(1 / limit, limit)
    for ax, part, found, edges in zip(axes, values, quantity.found.values(), boundaries, strict=True):
        alpha = found[layers[0]].alpha
        half = (alpha[-1] - alpha[0]) / (len(alpha) - 1) / 2
        shown = ax.imshow(
            np.maximum(part, 1e-9), norm=norm, cmap=COLOURS, origin="lower", aspect="auto", interpolation="nearest",
            extent=(alpha[0] - half, alpha[-1] + half, -0.5, len(layers) - 0.5),
        )  # fmt: skip
        rows = [place for place, layer in enumerate(layers) if layer in edges]
        for level, width in enumerate((0.8, 1.6, 0.8)):
            ax.plot(
                [edges[layers[row]][level] for row in rows], rows, color=style.INK, linewidth=width, label="_boundary"
            )
        ticks = sorted({round(place) for place in np.linspace(0, len(layers) - 1, min(5, len(layers)))})
        ax.set_yticks(ticks, [str(layers[tick]) for tick in ticks] if ax is axes[0] else [])
        ax.tick_params(labelbottom=False)
    bar = figure.colorbar(shown, ax=axes, location="right", aspect=14, pad=0.02, fraction=0.05)
    bar.ax.yaxis.set_major_locator(FixedLocator([1 / limit, 1, limit]))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2g}"))
    bar.set_label("over mean")
    bar.outline.set_visible(False)


def _lines(axes: list[Axes], quantity: Quantity, colormap: str) -> None:
    layers = quantity.layers
    colours = style.layer_colours(colormap, layers)
    for ax, found in zip(axes, quantity.found.values(), strict=True):
        by_layer.lines(ax, {layer: found[layer] for layer in chosen(layers)}, colours)
        ax.sharey(axes[0]) if ax is not axes[0] else None
        ax.tick_params(labelbottom=True, labelleft=ax is axes[0])
    axes[0].set_ylim(bottom=0)
