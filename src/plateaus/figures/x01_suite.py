"""The distribution of plateau strength over the prompt suite, by kind of pair, for every trained model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.drawing import panels, style, suite, wording
from plateaus.drawing.contract import Drawing, LeftOut, Settings

TITLE = "Strength over the prompt suite"
READS = (tables.ENDPOINTS, tables.SHARPNESS)
PER_MODEL = False

RANDOM = suite.Kind("natural pairs, random weights", "natural pairs under random weights")


class Look(NamedTuple):
    """How the line of a kind of pairs is drawn, and the marker at its median."""

    colour: str
    dashes: Any
    width: float
    marker: str


LOOKS = {
    suite.IN_NATURAL: Look(style.COLOUR_A, style.DASHES[0], 2.2, "o"),
    suite.UNNATURAL: Look(style.COLOUR_B, style.DASHES[1], 1.6, "s"),
    suite.CONTROL: Look(style.CATEGORIES[2], style.DASHES[2], 1.6, "^"),
    RANDOM: Look(style.GREY, (0, (5, 1.5, 1, 1.5)), 1.6, "D"),
}
"""The lines, the most important first. Their order is that of the legend, the caption and the alt text."""

LETTER = 0.042
"""About how wide a letter of a label above a panel is, in units of strength."""
RIGHT = 1.03
"""Right end of the axis; a jump between two steps has a strength just below 1."""


class Panel(NamedTuple):
    """One trained model by one yardstick.

    Attributes:
        model: Id of the model.
        random: Id of its copy with random weights; empty if the run has none.
        yardstick: What its strengths are measured by.
        lines: Kind of pairs to strength, plateau and half_plateau of its pairs, without kinds that have no pairs.
        post: Strength of each of the post's pairs.
    """

    model: str
    random: str
    yardstick: suite.Yardstick
    lines: dict[suite.Kind, pd.DataFrame]
    post: dict[str, float]

    def strengths(self, kind: suite.Kind) -> NDArray[np.float64]:
        """The strengths of a kind of pairs in rising order, shape (pairs,); empty if it has no pairs."""
        return np.sort(self.lines[kind]["strength"].to_numpy(np.float64)) if kind in self.lines else np.empty(0)


def found(results: Results, settings: Settings) -> list[Panel]:
    """Return the panels of every trained model that was interpolated at the trace layer, from left to right."""
    known, copies = suite.kinds(results), suite.random_copies(results, settings)
    made: list[Panel] = []
    for model in results.models:
        if settings.about(model).trained:
            copy = copies.get(model, "")
            of_model = [_measured(results, model, copy, one, known, settings) for one in suite.YARDSTICKS]
            made += of_model if any(panel.lines for panel in of_model) else []
    return made


def _measured(
    results: Results,
    model: str,
    copy: str,
    yardstick: suite.Yardstick,
    known: dict[str, suite.Kind],
    settings: Settings,
) -> Panel:
    def of(name: str, kind: suite.Kind) -> pd.DataFrame:
        rows = suite.curves(results, name, settings, yardstick)
        return rows.loc[[pair for pair in rows.index if known.get(pair) == kind]]

    lines = {kind: of(model, kind) for kind in LOOKS if kind != RANDOM}
    if copy:
        lines[RANDOM] = of(copy, suite.IN_NATURAL)
    post = {str(pair): float(s) for pair, s in of(model, suite.POST)["strength"].items()}
    return Panel(model, copy, yardstick, {kind: rows for kind, rows in lines.items() if len(rows)}, post)


def draw(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    """Draw the share of pairs up to every strength: a row of panels per trained model, a panel per yardstick."""
    if all(kind == suite.POST for kind in suite.kinds(results).values()):
        return LeftOut("no pair of this run’s prompt table is tagged suite")
    if not any(settings.about(name).trained for name in results.models):
        return LeftOut("this run has no trained model, and random weights are drawn only beside one")
    shown = found(results, settings)
    if not shown:
        return LeftOut(f"this run did not interpolate at layer {settings.trace_layer}")
    columns = len(suite.YARDSTICKS)
    rows = len(shown) // columns
    figure = Figure(figsize=(style.WIDTH, 2.9 * rows + 0.8), layout="constrained")
    panels.apart(figure)
    axes = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    left = min(-0.15, *(float(panel.strengths(kind)[0]) for panel in shown for kind in panel.lines)) - 0.05
    for ax, panel in zip(axes, shown, strict=True):
        _frame(ax, panel, settings, left)
        for order, kind in enumerate(panel.lines):
            _line(ax, panel.strengths(kind), kind, left, 3 - order / 10)
        _ticks(ax, panel, results, left)
    _legend(figure, shown)
    return Drawing(figure, _caption(shown, settings), _alt(shown, results, settings), READS, whole=True)


def _frame(ax: Axes, panel: Panel, settings: Settings, left: float) -> None:
    half = settings.rule.strength_at_least
    for x, dashes in ((0, (1, 2)), (half, (4, 3))):
        ax.axvline(x, color=style.GREY, linestyle=(0, dashes), linewidth=0.9, zorder=0.5)
    # The two corners that no line of a distribution passes: the upper left one and the lower right one.
    for x, y, label, sides in (
        (-0.06, 0.99, "follows the path", ("right", "top")),
        (half + 0.02, 0.06, "half-plateau", ("left", "bottom")),
    ):
        ax.text(
            x, y, label, rotation=90, ha=sides[0], va=sides[1], color=style.GREY, zorder=0.45,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
        )  # fmt: skip
    title = f"{style.drawable(wording.shortened(panel.model, 30))}\n{panel.yardstick.title}"
    ax.set_title(title, loc="left", pad=28 if panel.post else 6)
    ax.set_xlim(left, RIGHT)
    ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    ax.set_xlabel("Strength s")
    ax.tick_params(labelbottom=True)
    ax.set_ylim(-0.015, 1.015)
    ax.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    if ax.get_subplotspec().is_first_col():  # type: ignore[union-attr]
        ax.set_ylabel("Share of pairs up to s")


def _line(ax: Axes, s: NDArray[np.float64], kind: suite.Kind, left: float, zorder: float) -> None:
    look = LOOKS[kind]
    ax.plot(
        [left, *s, RIGHT], [*np.arange(len(s) + 1) / len(s), 1], drawstyle="steps-post", color=look.colour,
        linestyle=look.dashes, linewidth=look.width, zorder=zorder, label=kind.label,
    )  # fmt: skip
    ax.plot(
        [np.median(s)], [0.5], linestyle="", marker=look.marker, markersize=5.5, color=look.colour,
        markeredgecolor="white", markeredgewidth=0.8, zorder=zorder + 1, label=f"median of {kind.label}",
    )  # fmt: skip


def _ticks(ax: Axes, panel: Panel, results: Results, left: float) -> None:
    """Mark the post's pairs on the axis, with their words above the panel and a pale line between the two."""
    pairs = sorted(panel.post, key=lambda pair: panel.post[pair])
    if not pairs:
        return
    room = int((RIGHT - left) / LETTER / len(pairs)) - 1
    labels = [style.drawable(wording.shortened(panels.words(results, pair).name[1:-1], max(4, room))) for pair in pairs]
    at = np.array([panel.post[pair] for pair in pairs])
    places = spread(at, np.array([LETTER * (len(label) + 1) for label in labels]), left, RIGHT)
    across = ax.get_xaxis_transform()
    for s, place, label in zip(at, places, labels, strict=True):
        ax.plot([s, s, place], [0, 1, 1.06], transform=across, clip_on=False, color=style.PALE, linewidth=1, zorder=0.4)
        ax.plot([s, s], [0, 0.05], transform=across, color=style.INK, linewidth=1.6, zorder=5, label=f"_{label}")
        ax.text(place, 1.07, label, transform=across, ha="center", va="bottom")


def spread(at: NDArray[np.float64], widths: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Move labels apart as little as needed for them not to overlap.

    Args:
        at: Where the middle of each label should be, in rising order, shape (labels,).
        widths: Their widths, together at most high - low, shape (labels,).
        low: Where the first label may begin.
        high: Where the last label may end.

    Returns:
        The middles, shape (labels,).
    """
    middles = at.copy()
    for first, last, step in ((0, len(at) - 1, 1), (len(at) - 1, 0, -1)):
        edge = low if step > 0 else high
        for number in range(first, last + step, step):
            nearest = edge + step * widths[number] / 2
            middles[number] = max(middles[number], nearest) if step > 0 else min(middles[number], nearest)
            edge = middles[number] + step * widths[number] / 2
    return middles


def _legend(figure: Figure, shown: list[Panel]) -> None:
    handles = [
        Line2D(
            [], [], color=look.colour, linestyle=look.dashes, linewidth=look.width, marker=look.marker, markersize=5.5,
            markeredgecolor="white", markeredgewidth=0.8, label=kind.label,
        )
        for kind, look in LOOKS.items()
        if any(kind in panel.lines for panel in shown)
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower left", ncols=1, handlelength=3.2)


def _caption(shown: list[Panel], settings: Settings) -> str:
    rule = settings.rule
    shares = " ".join(
        f"On `{panel.model}`, measured by {panel.yardstick.name}: {wording.listed(_shares(panel))}." for panel in shown
    )
    post = ""
    if any(panel.post for panel in shown):
        post = (
            " The ticks on the axis are the post’s own pairs, which were chosen for what they show and are not counted."
        )
    return (
        f"**Strength over the prompt suite.** Each line is the share of pairs whose strength s is at most the value on "
        f"the axis, with the path patched in at layer {settings.trace_layer} and the output measured by its logits "
        f"(left) or by the next-token distribution (right). The further right a line, the stronger the plateaus; its "
        f"mark is the median. At s = 0 (dotted) an output follows the path, and at 1 it jumps. From s = "
        f"{rule.strength_at_least:g} (dashed) a curve is a half-plateau if it departs from a monotone curve by at most "
        f"{rule.departure_at_most:g}.{post} The shares of half-plateaus and of plateaus are as follows. {shares}"
    )


def _shares(panel: Panel) -> Iterator[str]:
    for kind, rows in panel.lines.items():
        half, whole = (f"{wording.number(100 * float(rows[name].mean()), 1)} %" for name in ("half_plateau", "plateau"))
        yield f"{half} and {whole} of {len(rows)} {kind.counted}{f' (`{panel.random}`)' if kind == RANDOM else ''}"


def _alt(shown: list[Panel], results: Results, settings: Settings) -> str:
    """Describe every line by its smallest, middle and largest strength, and name the line that is furthest right."""

    def line(panel: Panel, kind: suite.Kind) -> str:
        s = panel.strengths(kind)
        low, middle, high = (wording.number(float(one)) for one in (s[0], np.median(s), s[-1]))
        return f"{kind.label}, rising from s = {low} to {high} with median {middle}"

    said = []
    for panel in shown:
        parts = [line(panel, kind) for kind in panel.lines]
        parts += [
            f"tick of {panels.words(results, pair).name} at s = {wording.number(s)}" for pair, s in panel.post.items()
        ]
        said.append(f"{panel.model}, {panel.yardstick.name}: {'; '.join(parts)}.")
    return (
        f"{wording.plural(len(shown), 'panel')} of the share of prompt pairs against strength s, interpolated at layer "
        f"{settings.trace_layer}, with one rising line for each kind of pair. {' '.join(said)}"
    )


def finding(results: Results, model: str, settings: Settings) -> str:
    """Say what the figure shows: the medians by kind of pair, and how many natural pairs are above random weights."""
    return " ".join(_found(panel) for panel in found(results, settings) if suite.IN_NATURAL in panel.lines) or (
        "No pair of the suite is in a natural context."
    )


def _found(panel: Panel) -> str:
    natural, random = panel.strengths(suite.IN_NATURAL), panel.strengths(RANDOM)
    others = {"the same words where neither can stand": suite.UNNATURAL, "natural pairs under random weights": RANDOM}
    medians = [f"{wording.number(float(np.median(natural)))} over {wording.plural(len(natural), 'natural pair')}"]
    medians += [
        f"{wording.number(float(np.median(panel.strengths(kind))))} for {name}"
        for name, kind in others.items()
        if kind in panel.lines
    ]
    said = f"On `{panel.model}`, measured by {panel.yardstick.name}, the median of s is {wording.listed(medians)}"
    if not len(random):
        return f"{said}."
    above = int((natural > random[-1]).sum())
    count = "all" if above == len(natural) else above or "none"
    return (
        f"{said}; {count} of the {wording.plural(len(natural), 'natural pair')} {'is' if above == 1 else 'are'} above "
        f"{wording.number(float(random[-1]))}, the largest s under random weights."
    )
