"""The next tokens that the model predicts along the path, and where its likeliest next token changes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.drawing import panels, style, wording
from plateaus.drawing.contract import Drawing, LeftOut, Settings

TITLE = "Next-token probabilities along the path"
READS = (tables.ENDPOINTS, tables.TOKENS)
PER_MODEL = True

MOST = 6
"""Most tokens drawn per pair: first those that are the likeliest at some step, then those of high probability."""


class Run(NamedTuple):
    """A stretch of the path over which one token is the likeliest.

    Attributes:
        token_id: Id of the token.
        token: The token as text.
        start: Alpha at which it becomes the likeliest: 0, or half-way between the last step before and its first step.
        end: Alpha at which it stops being the likeliest: 1, or half-way between its last step and the next step.
    """

    token_id: int
    token: str
    start: float
    end: float


class Predictions(NamedTuple):
    """The followed tokens of one pair.

    Attributes:
        alpha: Interpolation parameter of each step, shape (steps,).
        probability: Token id to its probability at each step, shape (steps,).
        names: Token id to its text.
        runs: The stretches of the path over which one token is the likeliest, from A to B.
        shown: The ids of the tokens that are drawn, in the order in which they become the likeliest.
    """

    alpha: Any
    probability: dict[int, Any]
    names: dict[int, str]
    runs: list[Run]
    shown: list[int]

    @property
    def switches(self) -> list[float]:
        """The values of alpha at which the likeliest token changes."""
        return [run.start for run in self.runs[1:]]


def predictions(rows: pd.DataFrame) -> Predictions:
    """Collect the predictions of one pair from its rows of the table `tokens`."""
    by_token = panels.split(rows, "token_id")
    probability = {token: panels.values(part, "probability") for token, part in by_token.items()}
    names = {token: str(part["token"].iloc[0]) for token, part in by_token.items()}
    alpha = panels.values(next(iter(by_token.values())), "alpha")
    ids = np.array(list(probability))
    best = ids[np.argmax(np.stack([probability[token] for token in ids]), axis=0)]
    changes = [0, *(np.flatnonzero(best[1:] != best[:-1]) + 1).tolist(), len(best)]
    runs = []
    for first, after in pairwise(changes):
        start = 0.0 if first == 0 else float(alpha[first - 1] + alpha[first]) / 2
        end = 1.0 if after == len(best) else float(alpha[after - 1] + alpha[after]) / 2
        token = int(best[first])
        runs.append(Run(token, names[token], start, end))
    longest = {token: sum(run.end - run.start for run in runs if run.token_id == token) for token in probability}
    ranked = sorted(probability, key=lambda token: (-longest[token], -float(probability[token].max()), token))
    lead = {token: min((run.start for run in runs if run.token_id == token), default=2.0) for token in probability}
    shown = sorted(ranked[:MOST], key=lambda token: (lead[token], ranked.index(token)))
    return Predictions(alpha, probability, names, runs, shown)


def quoted(token: str) -> str:
    """Format a token in quotation marks, so that a leading space can be seen."""
    return f"“{wording.shortened(style.drawable(token), 14)}”"


def percent(probability: float) -> str:
    """Format a probability as a percentage."""
    return f"{wording.significant(100 * probability)} %"


def draw(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    """Draw the probabilities of the followed tokens, with a strip below in the colour of the likeliest one."""
    frame = results.table(model, tables.TOKENS)
    pairs = [panels.words(results, pair) for pair in settings.pairs]
    found: list[tuple[panels.Words, Predictions]] = []
    for pair in pairs:
        rows = frame[frame["pair"] == pair.id]
        if rows.empty:
            return LeftOut(f"this run followed no tokens for pair {pair.id}")
        found.append((pair, predictions(rows)))
    order = list(dict.fromkeys(token for _, one in found for token in one.shown))
    figure, axes = _grid(len(pairs), max(len(one.shown) for _, one in found))
    for (ax, strip, below), (pair, one) in zip(axes, found, strict=True):
        _panel(ax, one, order)
        _strip(strip, one, order)
        _legend(below, one, order)
        panels.frame(ax, pair, words_below=False)
        panels.frame(strip, pair, title=False)
    highest = max(float(one.probability[token].max()) for _, one in found for token in one.shown)
    for number, (ax, *_) in enumerate(axes):
        ax.set_ylim(0, 106 * highest)
        if number % 2 == 0:
            ax.set_ylabel("Next-token probability (%)")
    return Drawing(figure, _caption(model, found, settings), _alt(model, found), READS)


def _line(order: list[int], token: int) -> dict[str, Any]:
    place = order.index(token)
    kinds = len(style.CATEGORIES)
    return {
        "color": style.CATEGORIES[place % kinds],
        "linestyle": style.DASHES[(place // kinds) % len(style.DASHES)],
    }


def _grid(count: int, entries: int) -> tuple[Figure, list[tuple[Axes, Axes, Axes]]]:
    """Make a panel for each pair, with a strip and a place for the legend below it."""
    columns = min(count, 2)
    rows = -(-count // columns)
    legend = 0.22 * entries
    figure = Figure(figsize=(style.WIDTH, rows * (3.2 + legend)), layout="constrained")
    panels.apart(figure)
    grid = figure.add_gridspec(3 * rows, columns, height_ratios=(1, 0.07, legend / 2.2) * rows)
    found: list[tuple[Axes, Axes, Axes]] = []
    for number in range(count):
        row, column = 3 * (number // columns), number % columns
        top = figure.add_subplot(grid[row, column], sharey=found[0][0] if found else None)
        strip = figure.add_subplot(grid[row + 1, column], sharex=top)
        top.tick_params(labelbottom=False, labelleft=column == 0)
        below = figure.add_subplot(grid[row + 2, column])
        below.axis("off")
        found.append((top, strip, below))
    return figure, found


def _panel(ax: Axes, one: Predictions, order: list[int]) -> None:
    for token in one.shown:
        line = _line(order, token)
        ax.plot(one.alpha, 100 * one.probability[token], **line, linewidth=1.7, zorder=3, label=one.names[token])
    for alpha in one.switches:
        ax.axvline(alpha, color=style.GREY, linewidth=0.8, zorder=1, label="_switch")


def _strip(ax: Axes, one: Predictions, order: list[int]) -> None:
    for run in one.runs:
        colour = _line(order, run.token_id)["color"] if run.token_id in one.shown else style.PALE
        ax.axvspan(run.start, run.end, color=colour, linewidth=0)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)


def _legend(ax: Axes, one: Predictions, order: list[int]) -> None:
    handles = [Line2D([], [], **_line(order, token), linewidth=2.2) for token in one.shown]
    ax.legend(
        handles,
        [quoted(one.names[token]) for token in one.shown],
        loc="upper left",
        borderaxespad=0,
        handlelength=1.8,
        labelspacing=0.25,
    )


def _places(one: Predictions) -> str:
    if not one.switches:
        return f"the likeliest next token is {quoted(one.runs[0].token)} along the whole path"
    if len(one.switches) > 4:
        return f"the likeliest next token changes {len(one.switches)} times"
    changes = [
        f"from {quoted(before.token)} to {quoted(after.token)} at alpha {wording.number(after.start)}"
        for before, after in pairwise(one.runs)
    ]
    return f"the likeliest next token changes {wording.listed(changes)}"


def _caption(model: str, found: list[tuple[panels.Words, Predictions]], settings: Settings) -> str:
    said = "; ".join(f"{pair.markdown}: {wording.escape(_places(one))}" for pair, one in found)
    cut = [len(one.probability) for _, one in found if len(one.probability) > len(one.shown)]
    chosen = f" At most {MOST} of the tokens that were followed are drawn for each pair." if cut else ""
    return (
        f"**Next-token probabilities along the path.** The path is patched in at layer {settings.trace_layer}. The "
        f"strip has the colour of the likeliest token (pale if that token is not drawn), and thin lines mark where it "
        f"changes, half-way between two steps. {said}.{chosen} Model `{model}` is shown for "
        f"{panels.shown_pairs([pair for pair, _ in found])}, with "
        f"{wording.plural(len(found[0][1].alpha), 'interpolation step')} per curve."
    )


def _alt(model: str, found: list[tuple[panels.Words, Predictions]]) -> str:
    def ends(one: Predictions) -> str:
        first, last = one.runs[0], one.runs[-1]
        at_a = percent(float(one.probability[first.token_id][0]))
        at_b = percent(float(one.probability[last.token_id][-1]))
        return (
            f"{quoted(first.token)} leads at alpha 0 with probability {at_a}, {quoted(last.token)} at alpha 1 with "
            f"{at_b}; {_places(one)}"
        )

    said = " ".join(f"{pair.name}: {ends(one)}." for pair, one in found)
    return (
        f"{wording.plural(len(found), 'panel')} of next-token probability against interpolation alpha for {model}, "
        f"with a strip that shows the likeliest token. {said}"
    )
