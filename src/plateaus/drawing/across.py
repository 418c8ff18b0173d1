"""Sharpness across models: the boundary width at the logits against a quantity in which the models differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plateaus.curves.sharpness import STRAIGHT_WIDTH
from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.drawing import panels, style, wording
from plateaus.drawing.contract import Settings

READS = (tables.ENDPOINTS, tables.SHARPNESS)


class Point(NamedTuple):
    """The widths of one model and its place on the x axis.

    Attributes:
        x: Value of the quantity in which the models differ, such as the training step.
        model: Id of the model.
        widths: Pair id to the boundary width w at the logits (units of alpha), interpolating at the trace layer.
    """

    x: float
    model: str
    widths: Mapping[str, float]


def points(results: Results, settings: Settings, places: Mapping[str, float]) -> list[Point]:
    """Return the models with their widths in order of x, without models that lack curves from the trace layer.

    Args:
        results: The results of the run.
        settings: The settings of the figures.
        places: Model id to x.
    """
    found = []
    for model, x in sorted(places.items(), key=lambda item: item[1]):
        rows = results.table(model, tables.SHARPNESS)
        rows = rows[(rows["stage"] == "interpolate") & (rows["site"] == "logits")]
        rows = rows[rows["interp_layer"] == settings.trace_layer]
        if len(rows):
            found.append(Point(x, model, dict(zip(rows["pair"].astype(str), rows["w"].astype(float), strict=True))))
    return found


def others(found: Sequence[Point], settings: Settings) -> list[str]:
    """List the ids of the pairs that have no line of their own."""
    return sorted({pair for point in found for pair in point.widths} - set(settings.pairs))


def draw(ax: Axes, found: Sequence[Point], results: Results, settings: Settings) -> None:
    """Draw one line per shown pair, and the median and quartiles of all other pairs."""
    x = [point.x for point in found]
    rest = others(found, settings)
    if rest:
        quartiles = np.array([np.percentile([point.widths[pair] for pair in rest], [25, 50, 75]) for point in found])
        ax.fill_between(x, quartiles[:, 0], quartiles[:, 2], color=style.PALE, linewidth=0, zorder=1)
        label = f"{wording.plural(len(rest), 'other pair')}: median and quartiles"
        ax.plot(x, quartiles[:, 1], color=style.GREY, linewidth=1.4, zorder=2, label=label)
    for number, pair in enumerate(settings.pairs):
        ax.plot(
            x,
            [point.widths[pair] for point in found],
            color=style.CATEGORIES[number],
            linestyle=style.DASHES[min(number, len(style.DASHES) - 1)],
            marker="o",
            markersize=4,
            linewidth=1.6,
            zorder=3,
            label=style.drawable(panels.words(results, pair).name),
        )
    ax.axhline(STRAIGHT_WIDTH, color=style.GREY, linewidth=0.9, linestyle=(0, (1, 2)), zorder=0.5)
    ax.axhline(settings.rule.w_at_most, color=style.GREY, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0.5)
    ax.set_ylim(0, 1)
    ax.set_ylabel("Width of the boundary, w")


def frame() -> tuple[Figure, Axes]:
    """Make a figure with a single panel."""
    figure = Figure(figsize=(style.WIDTH, 3.6), layout="constrained")
    return figure, figure.subplots()


def reading(settings: Settings) -> str:
    """Say in whole sentences what the lines mean, for a caption."""
    return (
        f"Each coloured line is one pair, with its path patched in at layer {settings.trace_layer} and w measured at "
        f"the logits. A smaller w is a sharper boundary. The dotted line is w = {wording.number(STRAIGHT_WIDTH)}, the "
        f"width of the straight line d = alpha, and the dashed line is w = "
        f"{wording.number(settings.rule.w_at_most)}, the largest that the plateau rule allows."
    )


def ends(found: Sequence[Point], results: Results, settings: Settings) -> list[tuple[str, str]]:
    """Return the name of each shown pair with a phrase that gives its width in the first and in the last model."""
    first, last = found[0], found[-1]
    return [
        (
            panels.words(results, pair).name,
            f"w is {wording.number(first.widths[pair])} in {first.model} and {wording.number(last.widths[pair])} in "
            f"{last.model}",
        )
        for pair in settings.pairs
    ]
