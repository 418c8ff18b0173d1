"""What the figures with one panel per prompt pair share: the grid, the frame of a panel, lines by layer."""

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
"""What figures of curves are drawn from."""

DISTANCE_TICKS = (0.0, 0.5, 1.0)


class Words(NamedTuple):
    """A pair as it is written on a figure."""

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
    """The words of a pair.

    Raises:
        InputError: there is no such pair.
    """
    if pair not in results.pairs.index:
        raise InputError(
            f"{results.root} has no prompt pair '{pair}': figures.pairs must name ids of the prompt table "
            f"({wording.shortened(', '.join(results.pairs.index), 200)})"
        )
    row = results.pairs.loc[pair]
    return Words(pair, str(row["context"]), str(row["a"]), str(row["b"]))


def n_layers(results: Results, model: str) -> int:
    """The model's number of layers: the logits are recorded one past the last."""
    frame = results.table(model, tables.INTERPOLATE)
    return int(frame.loc[frame["site"] == "logits", "record_layer"].max())


def interp_layers(results: Results, model: str, pairs: Sequence[str] = ()) -> list[int]:
    """The layers that were interpolated at: with all of some pairs, or with any pair."""
    frame = results.table(model, tables.INTERPOLATE)
    found = {int(layer) for layer in frame["interp_layer"].unique()}
    for pair in pairs:
        found &= {int(layer) for layer in frame.loc[frame["pair"] == pair, "interp_layer"].unique()}
    return sorted(found)


def values(rows: pd.DataFrame, column: str) -> Any:
    """A column of a curve as float64."""
    return rows[column].to_numpy(dtype=np.float64)


def split(rows: pd.DataFrame, column: str) -> dict[int, pd.DataFrame]:
    """Rows by the value of an integer column, such as a layer."""
    return {int(value): rows[rows[column] == value] for value in sorted(rows[column].unique())}


def measured(rows: pd.DataFrame) -> Sharpness[float]:
    """Sharpness of the relative distance of one curve."""
    return measure_one(rows["alpha"], rows["distance"])


def grid(count: int, panel_height: float, *, extra: float = 0.0) -> tuple[Figure, list[Axes]]:
    """One panel per pair: one, two side by side, or two rows of two, with shared limits.

    Args:
        count: Number of panels.
        panel_height: Inches per row, with its labels.
        extra: Inches for what the figure has besides, such as a colour bar.
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
    """Keep the words below neighbouring panels apart."""
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(wspace=0.06, hspace=0.04)


def frame(ax: Axes, pair: Words, *, title: bool = True, words_below: bool = True) -> None:
    """The frame of a panel over alpha: dashed lines at 0 and 1, the two words under them, the pair above."""
    for alpha in (0, 1):
        ax.axvline(alpha, color=style.GREY, linestyle=(0, (4, 3)), linewidth=0.9, zorder=0.5)
    ax.set_xlim(-0.04, 1.04)
    ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    if title:
        ax.set_title(heading(pair), loc="left")
    if not words_below:
        return
    for alpha, word, side in ((0, pair.a, "left"), (1, pair.b, "right")):
        shown = wording.shortened(style.drawable(word), 14)
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


def heading(pair: Words) -> str:
    """The shared beginning and the two words."""
    names = f"[{style.drawable(wording.shortened(pair.a, 12))} → {style.drawable(wording.shortened(pair.b, 12))}]"
    if not pair.context:
        return names
    return f"{style.drawable(wording.shortened(pair.context, 24, keep_end=True))} …\n{names}"


def distance_axis(axes: Sequence[Axes]) -> None:
    """The y axis of relative distance, the same in all panels and named on the left ones."""
    for ax in axes:
        ax.set_ylim(-0.03, 1.03)
        ax.set_yticks(DISTANCE_TICKS, ["0", "0.5", "1"])
        if ax.get_subplotspec().is_first_col():  # type: ignore[union-attr]
            ax.set_ylabel("Relative distance d")


def straight(ax: Axes) -> None:
    """The reference: outputs that move in proportion to alpha."""
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
    """One line per layer, later layers in front.

    Args:
        ax: The panel.
        curves: Layer, x and y.
        colours: See `style.layer_colours`.
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
    """A colour bar below the panels in place of a legend, with the first and last layer on it."""
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
    """The pairs and where they stand, in Markdown: `“The house was …” [big → in] (left) and ...`."""
    where = places if places is not None else POSITIONS.get(len(pairs), FOUR)
    names = []
    for pair, place in zip(pairs, where, strict=True):
        context = f"“{wording.escape(pair.context)} …” " if pair.context else "the empty context "
        names.append(f"{context}{pair.markdown}{f' ({place})' if place else ''}")
    return wording.listed(names)


def subject(results: Results, model: str, pairs: Sequence[Words], places: Sequence[str] | None = None) -> str:
    """The sentence that ends a caption: model, pairs and number of steps."""
    frame = results.table(model, tables.INTERPOLATE)
    steps = wording.plural(int(frame["step"].max()) + 1, "interpolation step")
    return f"Model `{model}`, {shown_pairs(pairs, places)}, {steps} per curve."
