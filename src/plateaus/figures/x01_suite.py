"""The sharpness of the pairs of the prompt suite, by kind of pair, for all models of the run side by side."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from plateaus.curves.sharpness import STRAIGHT_WIDTH
from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.drawing import panels, style, suite, wording
from plateaus.drawing.contract import Drawing, LeftOut, Settings

TITLE = "Sharpness over the prompt suite"
READS = (tables.ENDPOINTS, tables.SHARPNESS)
PER_MODEL = False

BIN = 0.025
"""Width in w of the bins within which points are stacked."""
APART = 0.15
"""Largest distance between stacked points, as a fraction of the distance between rows."""


class Panel(NamedTuple):
    """The pairs of one model.

    Attributes:
        model: Id of the model.
        kinds: Kind of pair to w and plateau of its pairs, from top to bottom, without kinds that have no pairs.
        pooled: The same columns for the pairs that are counted.
    """

    model: str
    kinds: dict[suite.Kind, pd.DataFrame]
    pooled: pd.DataFrame


ORDER = (*suite.KINDS, suite.OTHER, suite.POST)


def found(results: Results, settings: Settings) -> list[Panel]:
    """Return one panel for each model whose results include the trace layer."""
    known = suite.kinds(results)
    made = []
    for model in results.models:
        rows = suite.at_logits(results, model, settings)
        of = [known.get(pair) for pair in rows.index]
        by_kind = {kind: rows[[one == kind for one in of]] for kind in ORDER if kind in of}
        if by_kind:
            made.append(Panel(model, by_kind, rows[[one is not None and one.pooled for one in of]]))
    return made


def draw(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    """Draw a point per pair and a bar at the median of each kind; the post's pairs have no bar and are not counted."""
    if all(kind == suite.POST for kind in suite.kinds(results).values()):
        return LeftOut("no pair of this run’s prompt table is tagged suite")
    shown = found(results, settings)
    if not shown:
        return LeftOut(f"this run did not interpolate at layer {settings.trace_layer}")
    labels = list(shown[0].kinds)
    figure, axes = _grid(len(shown), len(labels))
    for ax, panel in zip(axes, shown, strict=True):
        _panel(ax, panel, labels, settings)
    _legend(figure)
    return Drawing(figure, _caption(shown, settings), _alt(shown, settings), READS, whole=True)


def _grid(count: int, rows: int) -> tuple[Figure, list[Axes]]:
    columns = min(count, 2)
    lines = -(-count // columns)
    figure = Figure(figsize=(style.WIDTH, lines * (0.42 * rows + 1.0) + 0.6), layout="constrained")
    panels.apart(figure)
    axes = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for number, ax in enumerate(axes.flat):
        ax.tick_params(labelbottom=True)
        if number >= count:
            ax.remove()
    return figure, list(axes.flat[:count])


def stacked(w: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return vertical offsets that keep points of nearly the same w apart.

    Args:
        w: Boundary widths, shape (pairs,).

    Returns:
        Offsets as fractions of the distance between rows, shape (pairs,).
    """
    places = np.floor(w / BIN + 1e-6).astype(int)
    offsets = np.zeros(len(w))
    most = max(np.unique(places, return_counts=True)[1])
    apart = min(APART, 0.76 / max(1, most - 1))
    for place in np.unique(places):
        members = np.flatnonzero(places == place)
        offsets[members[np.argsort(w[members], kind="stable")]] = apart * (
            np.arange(len(members)) - (len(members) - 1) / 2
        )
    return offsets


def _panel(ax: Axes, panel: Panel, labels: list[suite.Kind], settings: Settings) -> None:
    ax.axvline(settings.rule.w_at_most, color=style.COLOUR_A, linestyle=(0, (4, 3)), linewidth=0.9, zorder=1)
    ax.axvline(STRAIGHT_WIDTH, color=style.GREY, linestyle=(0, (1, 2)), linewidth=0.9, zorder=1)
    for row, kind in enumerate(labels):
        if kind not in panel.kinds:
            continue
        w = panel.kinds[kind]["w"].to_numpy(np.float64)
        passed = panel.kinds[kind]["plateau"].to_numpy(bool)
        marker = "D" if kind == suite.POST else "o"
        colour = style.COLOUR_B if kind == suite.POST else style.COLOUR_A
        ax.scatter(
            w, row + stacked(w), s=22 if kind == suite.POST else 13, marker=marker, linewidths=0.8, zorder=3,
            edgecolors=colour, facecolors=[colour if one else "white" for one in passed], label=kind.label,
        )  # fmt: skip
        if kind != suite.POST:
            ax.plot([np.median(w)] * 2, [row - 0.42, row + 0.42], color=style.INK, linewidth=1.8, zorder=2)
    pooled = [row for row, kind in enumerate(labels) if kind.pooled]
    if pooled and len(pooled) < len(labels):
        ax.axhline(max(pooled) + 0.5, color=style.PALE, linewidth=0.8, zorder=0)
    ax.set_title(style.drawable(wording.shortened(panel.model, 30)), loc="left")
    ax.set_xlim(-0.03, 1.03)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    ax.set_xlabel("Width of the boundary, w")
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.set_yticks(range(len(labels)), [_two_lines(kind.label) for kind in labels])
    ax.tick_params(axis="y", length=0)


def _two_lines(label: str) -> str:
    """Break a long label at the space nearest to its middle."""
    spaces = [place for place, letter in enumerate(label) if letter == " "]
    if len(label) < 14 or not spaces:
        return label
    cut = min(spaces, key=lambda place: abs(place - len(label) / 2))
    return f"{label[:cut]}\n{label[cut + 1 :]}"


def _legend(figure: Figure) -> None:
    def point(face: str, label: str) -> Line2D:
        return Line2D(
            [], [], linestyle="", marker="o", markersize=4, color=style.COLOUR_A, markerfacecolor=face, label=label
        )

    handles = [
        point(style.COLOUR_A, "meets the plateau rule"),
        point("white", "does not"),
        Line2D([], [], color=style.INK, linewidth=1.8, label="median"),
        Line2D([], [], color=style.COLOUR_A, linestyle=(0, (4, 3)), linewidth=0.9, label="largest w of the rule"),
        Line2D([], [], color=style.GREY, linestyle=(0, (1, 2)), linewidth=0.9, label="w of d = alpha"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, columnspacing=1.4, handlelength=2)


def _caption(shown: list[Panel], settings: Settings) -> str:
    passing = "; ".join(f"`{panel.model}`: {suite.share(panel.pooled['plateau'])}" for panel in shown)
    post = ""
    if any(suite.POST in panel.kinds for panel in shown):
        post = " The diamonds are the post’s own pairs, which were chosen for what they show and are not counted."
    return (
        f"**Sharpness over the prompt suite.** Each point is the boundary width w of one pair at the logits, with the "
        f"path patched in at layer {settings.trace_layer}, and each bar is the median of one kind of pair. These are "
        f"the shares of pairs in natural contexts that meet the plateau rule, with Wilson’s interval as if the pairs "
        f"were independent. {passing}. A filled point meets the rule, which requires, among other things, that w is at "
        f"most {settings.rule.w_at_most:g} (dashed). The dotted line is w of the straight line d = alpha.{post}"
    )


def _alt(shown: list[Panel], settings: Settings) -> str:
    def row(kind: suite.Kind, rows: pd.DataFrame) -> str:
        if kind == suite.POST:
            return f"{kind.label}: w = {wording.listed(wording.number(w) for w in sorted(rows['w']))}"
        middle = wording.number(float(rows["w"].median()))
        meeting = int(rows["plateau"].sum())
        return f"{kind.label}: {wording.plural(len(rows), 'pair')}, median w {middle}, {meeting} meeting the rule"

    said = " ".join(f"{panel.model}. {'; '.join(row(*item) for item in panel.kinds.items())}." for panel in shown)
    return (
        f"{wording.plural(len(shown), 'panel')} of boundary widths w at the logits, interpolated at layer "
        f"{settings.trace_layer}, with one point for each pair and one row for each kind of pair. {said}"
    )


def finding(results: Results, model: str, settings: Settings) -> str:
    """Say what the figure shows: the median width per model and kind, and how often the first model is sharper."""
    shown = found(results, settings)
    sentences = []
    for panel in shown:
        if panel.pooled.empty:
            continue
        medians = [
            f"{kind.label} {wording.number(float(rows['w'].median()))}"
            for kind, rows in panel.kinds.items()
            if kind.pooled
        ]
        sentences.append(
            f"On `{panel.model}` the median of w over {wording.plural(len(panel.pooled), 'pair')} in natural contexts "
            f"is {wording.number(float(panel.pooled['w'].median()))} (by kind: {wording.listed(medians)})."
        )
    counted = [panel for panel in shown if len(panel.pooled)]
    for other in counted[1:]:
        both = counted[0].pooled["w"].to_frame("first").join(other.pooled["w"].rename("other"), how="inner")
        sharper = int((both["first"] < both["other"]).sum())
        sentences.append(
            f"{sharper} of {wording.plural(len(both), 'pair')} {'is' if sharper == 1 else 'are'} sharper on "
            f"`{counted[0].model}` than on `{other.model}`."
        )
    return " ".join(sentences) or "No pair of the suite is in a natural context."
