"""Figure 10: the first and last frame of the post's picture, for a toy and from the measured gains of a model."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.drawing import by_layer, panels, picture, style, wording
from plateaus.drawing.contract import Drawing, LeftOut, Settings
from plateaus.drawing.picture import Frames

TITLE = "How shallow bumps add up to a plateau"
READS = (tables.ENDPOINTS, tables.INTERPOLATE, tables.JACOBIAN)
PER_MODEL = True


def left_out(results: Results, model: str, settings: Settings) -> str | None:
    """Return the reason why the picture cannot be drawn, or None if it can."""
    if not by_layer.has_component(results, model, "block"):
        return "jacobian.components does not name block"
    if settings.trace_layer not in panels.interp_layers(results, model):
        return f"this run did not interpolate at layer {settings.trace_layer}"
    return None


def draw(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    """Draw a column for the toy and one per pair: the points in the first and last frame above, the curves below."""
    reason = left_out(results, model, settings)
    if reason:
        return LeftOut(reason)
    pairs = [panels.words(results, pair) for pair in settings.pairs]
    measured = [picture.of_model(results, model, pair.id, settings.trace_layer) for pair in pairs]
    columns = [("Toy", picture.toy()), *((pair.name, one) for pair, one in zip(pairs, measured, strict=True))]
    figure = Figure(figsize=(style.WIDTH, 4.4), layout="constrained")
    panels.apart(figure)
    axes = figure.subplots(2, len(columns), sharex=True, sharey="row", squeeze=False, height_ratios=[1, 2])
    for (above, below), (title, frames) in zip(axes.T, columns, strict=True):
        _points(above, frames)
        _curves(below, frames)
        above.set_title(style.drawable(wording.shortened(title, 18)), loc="left")
        below.set_xlabel("Interpolation alpha")
    axes[0, 0].set_yticks([0, 1], ["end", "start"])
    panels.distance_axis(list(axes[1]))
    handles, labels = axes[1, -1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    compared = [(pair, picture.errors(one)) for pair, one in zip(pairs, measured, strict=True)]
    caption = (
        f"**The post's picture of the mechanism.** The left column is a toy in which all {picture.TOY_LAYERS} layers "
        f"have the same shallow bump of gain. The other columns use the directional gains of the model's blocks. The "
        f"top row shows the positions of the interpolation steps at the start, and at the end when every layer has "
        f"stretched them by its gain. The bottom row shows the relative distance that the end positions predict for "
        f"the last layer (dashed), the one measured in the model (solid), and d = alpha (dotted). The root mean square "
        f"error of the prediction, against that of d = alpha, is {_compared(compared, markdown=True)}. "
        f"{panels.subject(results, model, pairs, [''] * len(pairs))}"
    )
    alt = (
        f"{wording.plural(len(columns), 'column')}, one for a toy and one for each pair of {model}. Above are the "
        f"positions of the interpolation points at the start and at the last layer, and below is the predicted curve "
        f"of relative distance, with the measured one for the pairs. The root mean square error of the prediction, "
        f"against that of the straight line d = alpha, is {_compared(compared, markdown=False)}."
    )
    return Drawing(figure, caption, alt, READS)


def _points(ax: Axes, frames: Frames) -> None:
    for row, position in ((1, frames.position[0]), (0, frames.position[-1])):
        ax.scatter(position, [row] * len(position), s=9, c=frames.alpha, cmap="viridis", linewidths=0, zorder=3)
    ax.set_ylim(-0.6, 1.6)
    ax.set_xlim(-0.04, 1.04)


def _curves(ax: Axes, frames: Frames) -> None:
    panels.straight(ax)
    if frames.measured is not None:
        ax.plot(frames.alpha, frames.measured[-1], color=style.INK, linewidth=1.6, label="measured")
    ax.plot(frames.alpha, frames.position[-1], color=style.COLOUR_B, linestyle=(0, (4, 1.5)), label="predicted")
    ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])


def _compared(found: list[tuple[Any, tuple[float, float]]], *, markdown: bool) -> str:
    return wording.listed(
        f"{wording.number(ours, 3)} against {wording.number(straight, 3)} for "
        f"{pair.markdown if markdown else pair.name}"
        for pair, (ours, straight) in found
    )
