"""Sharpness across models: the width of the boundary at the logits against something that models differ in."""

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
    """One model.

    Attributes:
        x: What the models differ in.
        model: Its id.
        widths: Pair to w at the logits, interpolating at the trace layer.
    """

    x: float
    model: str
    widths: Mapping[str, float]


def points(results: Results, settings: Settings, places: Mapping[str, float]) -> list[Point]:
    """The models with their widths, in the order of x; models whose trace layer was not swept are left out.

    Args:
        results: The run.
        settings: The figures' settings.
        places: Model to x.
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
    """The pairs that are not shown by name."""
    return sorted({pair for point in found for pair in point.widths} - set(settings.pairs))


def draw(ax: Axes, found: Sequence[Point], results: Results, settings: Settings) -> None:
    """A line per shown pair, and of all other pairs the median and the middle half."""
    x = [point.x for point in found]
    rest = others(found, settings)
    if rest:
        quartiles = np.array([np.percentile([point.widths[pair] for pair in rest], [25, 50, 75]) for point in found])
        ax.fill_between(x, quartiles[:, 0], quartiles[:, 2], color=style.PALE, linewidth=0, zorder=1)
        label = f"{wording.plural(len(rest), 'other pair')}: median and middle half"
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
    """One panel."""
    figure = Figure(figsize=(style.WIDTH, 3.6), layout="constrained")
    return figure, figure.subplots()


def reading(settings: Settings) -> str:
    """What the lines mean, for a caption."""
    return (
        f"A smaller w is a sharper boundary; dotted: a straight line's {wording.number(STRAIGHT_WIDTH)}, dashed: "
        f"{wording.number(settings.rule.w_at_most)}, the widest that the rule calls a plateau. Interpolated at layer "
        f"{settings.trace_layer}, read at the logits."
    )


def ends(found: Sequence[Point], results: Results, settings: Settings) -> list[tuple[str, str]]:
    """Per shown pair, its width in the first and in the last model."""
    first, last = found[0], found[-1]
    return [
        (
            panels.words(results, pair).name,
            f"w is {wording.number(first.widths[pair])} in {first.model} and {wording.number(last.widths[pair])} in "
            f"{last.model}",
        )
        for pair in settings.pairs
    ]
