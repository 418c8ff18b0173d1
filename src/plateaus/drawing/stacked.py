"""The grid of figures with several rows of panels for the same pairs, such as two quantities by layer."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plateaus.drawing import panels, style


def grid(
    columns: int, rows: int = 2, *, row_height: float = 2.3, extra: float = 0.9
) -> tuple[Figure, list[list[Axes]]]:
    """Make rows of panels with one column per pair; the panels of a row share their y limits.

    Args:
        columns: Number of pairs.
        rows: Number of quantities.
        row_height: Height of a row, in inches.
        extra: Height of the headings and the colour bar together, in inches.
    """
    figure = Figure(figsize=(style.WIDTH, rows * row_height + extra), layout="constrained")
    panels.apart(figure)
    axes = figure.subplots(rows, columns, sharex=True, sharey="row", squeeze=False)
    for ax in axes.flat:
        ax.tick_params(labelbottom=True)
    return figure, [list(row) for row in axes]


def frames(axes: Sequence[Sequence[Axes]], pairs: Sequence[panels.Words]) -> None:
    """Frame all panels, with each pair as the title of its column and its two words below the last row."""
    for number, row in enumerate(axes):
        for ax, pair in zip(row, pairs, strict=True):
            last = number == len(axes) - 1
            panels.frame(ax, pair, title=number == 0, words_below=last, room=panels.room_of(len(pairs)))


def places(count: int) -> list[str]:
    """Return the words that say in captions where the panels of each pair are."""
    return {1: [""], 2: ["left", "right"]}.get(count, [f"column {number + 1}" for number in range(count)])
