"""Shared parts of the figures with one panel per prompt pair: the grid, the frame of a panel, one line per layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from plateaus.curves.sharpness import Sharpness, measure_one
from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.drawing import style, wording
from plateaus.errors import InputError

READS = (tables.ENDPOINTS, tables.INTERPOLATE)
"""The tables from which figures of curves are drawn."""

DISTANCE_TICKS = (0.0, 0.5, 1.0)
ROOM = 24
"""How many letters of a title fit above one of two panels."""


class Words(NamedTuple):
    """A pair as it is written on a figure: its id, its shared context and its two words."""

    id: str
    context: str
    a: str
    b: str

    @property
    def name(self) -> str:
        """`[big → in]`, in plain text."""
        return f"[{self.a} → {self.b}]"

    @property
    def markdown(self) -> str:
        """`[big → in]`, in Markdown."""
        return wording.escape(self.name)


def words(results: Results, pair: str) -> Words:
    """Return the words of a pair.

    Raises:
        InputError: if the run has no such pair.
    """
    if pair not in results.pairs.index:
        raise InputError(
            f"{results.root} has no prompt pair '{pair}': figures.pairs must name ids of the prompt table "
            f"({wording.shortened(', '.join(results.pairs.index), 200)})"
        )
    row = results.pairs.loc[pair]
    return Words(pair, str(row["context"]), str(row["a"]), str(row["b"]))


def n_layers(results: Results, model: str) -> int:
    """Return the number of layers of a model, which is the recording layer under which the logits are stored."""
    frame = results.table(model, tables.INTERPOLATE)
    return int(frame.loc[frame["site"] == "logits", "record_layer"].max())


def interp_layers(results: Results, model: str, pairs: Sequence[str] = ()) -> list[int]:
    """Return the layers at which all of the given pairs were interpolated, or any pair if none is given."""
    frame = results.table(model, tables.INTERPOLATE)
    found = {int(layer) for layer in frame["interp_layer"].unique()}
    for pair in pairs:
        found &= {int(layer) for layer in frame.loc[frame["pair"] == pair, "interp_layer"].unique()}
    return sorted(found)


def values(rows: pd.DataFrame, column: str) -> Any:
    """Return a column of the rows as float64."""
    return rows[column].to_numpy(dtype=np.float64)


def split(rows: pd.DataFrame, column: str) -> dict[int, pd.DataFrame]:
    """Split the rows by the value of an integer column, such as a layer."""
    return {int(value): rows[rows[column] == value] for value in sorted(rows[column].unique())}


def measured(rows: pd.DataFrame) -> Sharpness[float]:
    """Measure the sharpness of one curve of relative distance."""
    return measure_one(rows["alpha"], rows["distance"])


def grid(count: int, panel_height: float, *, extra: float = 0.0) -> tuple[Figure, list[Axes]]:
    """Make one panel per pair, at most two beside each other, with shared axis limits.

    Args:
        count: Number of panels.
        panel_height: Height of a row with its labels, in inches.
        extra: Height of the rest of the figure, such as a colour bar, in inches.
    """
    columns = min(count, 2)
    rows = -(-count // columns)
    figure = Figure(figsize=(style.WIDTH, rows * panel_height + extra), layout="constrained")
    apart(figure)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for number, ax in enumerate(axes.flat):
        ax.tick_params(labelbottom=True)
        if number >= count:
            ax.remove()
    return figure, list(axes.flat[:count])


def apart(figure: Figure) -> None:
    """Leave space between the panels, so that the words below neighbouring panels do not touch."""
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(wspace=0.06, hspace=0.04)


def frame(ax: Axes, pair: Words, *, title: bool = True, words_below: bool = True, room: int = ROOM) -> None:
    """Frame a panel over alpha: dashed lines at 0 and 1, the words of A and B below them, and the pair as its title.

    Args:
        ax: The panel.
        pair: The pair.
        title: Whether the pair is the panel's title.
        words_below: Whether the two words stand below the panel.
        room: How many letters of a title fit above the panel.
    """
    for alpha in (0, 1):
        ax.axvline(alpha, color=style.GREY, linestyle=(0, (4, 3)), linewidth=0.9, zorder=0.5)
    ax.set_xlim(-0.04, 1.04)
    ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    if title:
        ax.set_title(heading(pair, room), loc="left")
    if not words_below:
        return
    for alpha, word, side in ((0, pair.a, "left"), (1, pair.b, "right")):
        shown = wording.shortened(style.drawable(word), min(14, room // 2 + 2))
        centred = len(shown) <= 6
        ax.annotate(
            shown,
            (alpha, 0),
            xycoords=("data", "axes fraction"),
            xytext=(0 if centred else 8 * (alpha * 2 - 1), -17),
            textcoords="offset points",
            ha="center" if centred else side,
            va="top",
            fontweight="bold",
            color=style.COLOUR_A if alpha == 0 else style.COLOUR_B,
        )
    ax.set_xlabel("Interpolation alpha", labelpad=15)


def heading(pair: Words, room: int = ROOM) -> str:
    """Return the title of a panel: the shared context and the two words, in lines of about `room` letters."""
    a, b = (style.drawable(wording.shortened(word, max(3, room // 2))) for word in (pair.a, pair.b))
    if not pair.context:
        return f"[{a} → {b}]"
    return f"{style.drawable(wording.shortened(pair.context, room, keep_end=True))} …\n[{a} → {b}]"


def room_of(columns: int) -> int:
    """Return how many letters of a title fit above each of some panels beside each other."""
    return min(ROOM, 2 * ROOM // columns - 3 * (columns > 2))


def distance_axis(axes: Sequence[Axes]) -> None:
    """Set up the y axis of relative distance: the same in all panels, and labelled on the leftmost ones."""
    for ax in axes:
        ax.set_ylim(-0.03, 1.03)
        ax.set_yticks(DISTANCE_TICKS, ["0", "0.5", "1"])
        if ax.get_subplotspec().is_first_col():  # type: ignore[union-attr]
            ax.set_ylabel("Relative distance d")


def straight(ax: Axes) -> None:
    """Draw the reference line d = alpha: outputs that move in proportion to alpha."""
    ax.plot(
        [0, 1],
        [0, 1],
        color=style.GREY,
        linewidth=0.9,
        linestyle=(0, (1, 2)),
        zorder=1,
        label="_straight line",
    )


def layer_lines(
    ax: Axes, curves: Iterable[tuple[int, Any, Any]], colours: ScalarMappable, *, width: float = 1.3
) -> None:
    """Draw one line per layer, with later layers in front.

    Args:
        ax: The panel.
        curves: The layer, x and y of each line; x and y have shape (points,).
        colours: The colours of the layers, from `style.layer_colours`.
        width: Line width in points.
    """
    for layer, x, y in curves:
        ax.plot(
            x,
            y,
            color=colours.to_rgba(np.asarray(layer)),
            linewidth=width,
            zorder=2 + layer / 1000,
            label=f"layer {layer}",
        )


def layer_bar(figure: Figure, axes: Sequence[Axes], colours: ScalarMappable, layers: Sequence[int], label: str) -> None:
    """Add a colour bar below the panels in place of a legend, with ticks at the first and the last layer."""
    if len(layers) < 2:
        return
    bar = figure.colorbar(colours, ax=list(axes), location="bottom", aspect=45, pad=0.06, fraction=0.05)
    low, high = min(layers), max(layers)
    inner = [low + (high - low) * part / 4 for part in (1, 2, 3)]
    bar.set_ticks(sorted({low, high, *(round(layer) for layer in inner)}))
    bar.set_label(label)
    bar.outline.set_visible(False)


POSITIONS = {1: ("",), 2: ("left", "right"), 3: ("top left", "top right", "bottom left")}
FOUR = ("top left", "top right", "bottom left", "bottom right")


def shown_pairs(pairs: Sequence[Words], places: Sequence[str] | None = None) -> str:
    """Name the pairs and their panels, in Markdown: `“The house was …” [big → in] (left) and ...`."""
    where = places if places is not None else POSITIONS.get(len(pairs), FOUR)
    names = []
    for pair, place in zip(pairs, where, strict=True):
        context = f"“{wording.escape(pair.context)} …” " if pair.context else "the empty context "
        names.append(f"{context}{pair.markdown}{f' ({place})' if place else ''}")
    return wording.listed(names)


def subject(results: Results, model: str, pairs: Sequence[Words], places: Sequence[str] | None = None) -> str:
    """Return the sentence that ends a caption: the model, the pairs and the number of steps."""
    frame = results.table(model, tables.INTERPOLATE)
    steps = wording.plural(int(frame["step"].max()) + 1, "interpolation step")
    return f"Model `{model}` is shown for {shown_pairs(pairs, places)}, with {steps} per curve."
