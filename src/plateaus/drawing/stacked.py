"""Figures with two rows of panels over the same pairs, such as two quantities by layer."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plateaus.drawing import panels, style


def grid(
    columns: int, rows: int = 2, *, row_height: float = 2.3, extra: float = 0.9
) -> tuple[Figure, list[list[Axes]]]:
    """Rows of panels, one column per pair, each row with its own limits shared over the pairs.

    Args:
        columns: Number of pairs.
        rows: Number of quantities.
        row_height: Inches per row.
        extra: Inches for headings and a colour bar.
    """
    figure = Figure(figsize=(style.WIDTH, rows * row_height + extra), layout="constrained")
    panels.apart(figure)
    axes = figure.subplots(rows, columns, sharex=True, sharey="row", squeeze=False)
    for ax in axes.flat:
        ax.tick_params(labelbottom=True)
    return figure, [list(row) for row in axes]


def frames(axes: Sequence[Sequence[Axes]], pairs: Sequence[panels.Words]) -> None:
    """The frames of all panels: the pair above the first row, its words under the last."""
    for number, row in enumerate(axes):
        for ax, pair in zip(row, pairs, strict=True):
            panels.frame(ax, pair, title=number == 0, words_below=number == len(axes) - 1)


def places(count: int) -> list[str]:
    """Where each pair's panels stand, for captions."""
    return {1: [""], 2: ["left", "right"]}.get(count, [f"column {number + 1}" for number in range(count)])
