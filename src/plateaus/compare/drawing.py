"""The figures of a comparison: verdicts, strengths and curves of both runs on the same axes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from plateaus.compare import runs
from plateaus.compare.runs import Run
from plateaus.drawing import panels, style, suite, wording
from plateaus.judging import judged

COLOURS = (style.COLOUR_A, style.COLOUR_B)
"""The colours of the two runs."""
MARKS = ("o", "s")
EDGE = 6.0
"""Effects are drawn within EDGE times the smallest effect that counts."""


class Drawn(NamedTuple):
    """A figure with its caption and alternative text."""

    figure: Figure
    caption: str
    alt: str


def effects(a: Run, b: Run, model: str) -> Drawn | None:
    """Draw the effect behind each verdict with its interval, in both runs; None if nothing was tested on the model."""
    found = [one for one in runs.verdicts(a, b) if one.model == model]
    margins = [float(judged.verdicts(run.root).rules.get("equivalence_margin", 1.0)) for run in (a, b)]
    scaled = [
        [None if side is None else side.scaled(margin) for side, margin in zip((one.a, one.b), margins, strict=True)]
        for one in found
    ]
    shown = [(one, sides) for one, sides in zip(found, scaled, strict=True) if any(sides)]
    if not shown:
        return None
    figure = Figure(figsize=(style.WIDTH, 0.9 + 0.36 * len(shown)), layout="constrained")
    ax = figure.subplots()
    ax.axvline(0, color=style.GREY, linewidth=0.9)
    ax.axvline(1, color=style.GREY, linewidth=0.9, linestyle=(0, (4, 3)))
    for row, (_, sides) in enumerate(shown):
        for place, side in enumerate(sides):
            if side is not None:
                at, low, high = (float(np.clip(value, -EDGE / 2, EDGE)) for value in side)
                y = row + 0.3 * (place - 0.5)
                ax.plot([low, high], [y, y], color=COLOURS[place], linewidth=1.4)
                ax.plot([at], [y], MARKS[place], color=COLOURS[place])
    titles = [str((one.a or one.b).entry["title"]) for one, _ in shown]  # type: ignore[union-attr]
    names = [f"{one.claim}  {wording.shortened(title, 40)}" for (one, _), title in zip(shown, titles, strict=True)]
    ax.set_yticks(range(len(shown)), names)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.set_xlim(-EDGE / 2 - 0.2, EDGE + 0.2)
    ax.set_xlabel("Effect / smallest effect that counts", loc="right")
    _legend(figure, a, b)
    caption = (
        f"**The claims on `{model}`, by effect.** The distance from no effect with its interval, in units of the "
        f"smallest effect that counts (dashed), in both runs. Values beyond the edges are drawn at the edge."
    )
    said = [f"{one.claim}: {one.words[0]} in A, {one.words[1]} in B" for one, _ in shown]
    return Drawn(figure, caption, f"A forest plot of both runs. {'; '.join(said)}.")


def strengths(a: Run, b: Run, model: str) -> Drawn | None:
    """Draw the strength of each pair in run B against that in run A; None if no pair is in both."""
    rows = runs.strengths(a, b, model)
    if rows.empty:
        return None
    kinds = sorted(set(rows["kind"]))
    figure = Figure(figsize=(style.WIDTH, 3.2 + 0.22 * len(kinds)), layout="constrained")
    axes = figure.subplots(1, len(suite.YARDSTICKS), sharex=True, sharey=True)
    limits = [float(rows[["a", "b"]].min().min()) - 0.05, float(rows[["a", "b"]].max().max()) + 0.05]
    for ax, yardstick in zip(axes, suite.YARDSTICKS, strict=True):
        ax.plot(limits, limits, color=style.GREY, linewidth=0.9, linestyle=(0, (1, 2)))
        of_site = rows[rows["site"] == yardstick.site]
        for number, kind in enumerate(kinds):
            mine = of_site[of_site["kind"] == kind]
            ax.plot(
                mine["a"], mine["b"], "os^Dv"[number % 5], color=style.CATEGORIES[number], markersize=3.5,
                markerfacecolor="none", label=kind,
            )  # fmt: skip
        ax.set_title(yardstick.title, loc="left")
        ax.set_xlim(limits)
        ax.set_ylim(limits)
        ax.set_xlabel(f"strength in A ({wording.shortened(a.name, 16)})")
    axes[0].set_ylabel(f"strength in B ({wording.shortened(b.name, 16)})")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=1)
    caption = (
        f"**Strength of every pair on `{model}`.** Each mark is a pair that both runs measured; on the dotted line the "
        f"two runs agree."
    )
    found = runs.median(rows[rows["site"] == suite.YARDSTICKS[0].site])
    alt = (
        f"Strengths in B against strengths in A, by both yardsticks. At the logits the median difference of "
        f"{wording.plural(found.pairs, 'pair')} is {wording.number(found.difference, 3)}."
    )
    return Drawn(figure, caption, alt)


def curves(a: Run, b: Run, model: str) -> Drawn | None:
    """Draw the curves of the logits of the figures' pairs from both runs; None if no such pair is in both."""
    shared = [pair for pair in a.settings.pairs if pair in b.settings.pairs]
    if not shared:
        return None
    pairs = [panels.words(a.results, pair) for pair in shared]
    figure, axes = panels.grid(len(pairs), 2.7, extra=0.3)
    widths = []
    for ax, pair in zip(axes, pairs, strict=True):
        panels.straight(ax)
        for place, run in enumerate((a, b)):
            rows = run.results.curve(model, pair.id, interp_layer=run.settings.trace_layer, site="logits")
            ax.plot(
                panels.values(rows, "alpha"), panels.values(rows, "distance"), color=COLOURS[place],
                linestyle=style.DASHES[place], linewidth=1.7,
            )  # fmt: skip
            widths.append(panels.measured(rows).w)
        panels.frame(ax, pair)
    panels.distance_axis(axes)
    _legend(figure, a, b, lines=True)
    said = wording.listed(
        f"{wording.number(widths[2 * place])} and {wording.number(widths[2 * place + 1])} for {pair.markdown}"
        for place, pair in enumerate(pairs)
    )
    caption = f"**Curves of the logits on `{model}`, in both runs.** Their widths w in A and B are {said}."
    return Drawn(figure, caption, f"Curves of the logits of both runs over each other. Widths in A and B: {said}.")


def save(drawn: Drawn, folder: Path, name: str) -> None:
    """Write a figure as SVG and PNG."""
    with style.applied():
        for kind in ("svg", "png"):
            style.write(drawn.figure, folder / f"{name}.{kind}", salt=f"compare-{name}", dpi=150)


def _legend(figure: Figure, a: Run, b: Run, *, lines: bool = False) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [], [], color=COLOURS[place], marker="" if lines else MARKS[place], linestyle=style.DASHES[place * lines]
        )
        for place in range(2)
    ]
    names = [f"{letter}: {wording.shortened(run.name, 30)}" for letter, run in (("A", a), ("B", b))]
    figure.legend(handles, names, loc="outside lower center", ncols=2)
