"""The figure of one claim: the values of all its pairs, and the curves of the strongest counter-examples."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.drawing import panels, style, wording
from plateaus.drawing.contract import Drawing, LeftOut, Settings
from plateaus.judging import judged
from plateaus.judging.judged import Judged

MOST_BINS = 24
TITLE_WIDTH = 58
"""How many characters of a line fit above the panels."""


def draw(results: Results, claim: str, settings: Settings) -> Drawing | LeftOut:
    """Draw the values over pairs for every tested model (left) and the curves of counter-examples (right).

    Args:
        results: The results of the run.
        claim: Id of the claim.
        settings: The settings of the figures.
    """
    tested = [one for one in judged.verdicts(results.root).of(claim) if one.tested]
    if not tested:
        return LeftOut("it was not tested on any model of this run")
    values = judged.values(results.root, claim)
    against = next((one for one in tested if one.counter_examples), None)
    columns = 1 if against is None else 2
    title = textwrap.wrap(str(tested[0].entry["measure"]), TITLE_WIDTH)
    height = 2.9 + 0.3 * len(tested) + 0.18 * len(title) + (0.5 if against else 0)
    figure = Figure(figsize=(style.WIDTH, height), layout="constrained")
    figure.suptitle("\n".join(title), x=0.01, ha="left")
    axes = list(figure.subplots(1, columns, squeeze=False)[0])
    relation = bool(values["x"].notna().any())
    for number, one in enumerate(tested):
        mine = values[values["model"] == one.model]
        (_scatter if relation else _strip)(axes[0], mine, one, number, len(tested))
    if not relation:
        axes[0].axvline(float(tested[0].entry["null"]), color=style.GREY, linewidth=0.9, linestyle=(0, (4, 3)))
        axes[0].set_yticks([])
        axes[0].spines["left"].set_visible(False)
        axes[0].set_ylim(len(tested) - 0.4, -0.75)
    if against is not None:
        _curves(axes[1], results, against, settings)
    drawn = (tables.CLAIM_VALUES, *((tables.INTERPOLATE,) if against is not None else ()))
    return Drawing(figure, _caption(tested, values, against, settings, relation), _alt(claim, tested, against), drawn)


def _strip(ax: Axes, mine: pd.DataFrame, one: Judged, number: int, _: int) -> None:
    """Draw the value of every pair, stacked where values are dense, with the estimate and its interval above."""
    colour = style.CATEGORIES[number % len(style.CATEGORIES)]
    # The name is inside the panel, which would otherwise lose a third of its width to it.
    ax.text(
        0, number - 0.3, wording.shortened(one.model, 28), color=colour, va="bottom", transform=ax.get_yaxis_transform()
    )
    for pooled, rows in mine.groupby("pooled"):
        x = np.sort(rows["value"].to_numpy(dtype=float))
        spread = _stacked(x) * 0.3
        look = {"color": colour, "alpha": 0.55} if pooled else {"color": style.INK, "marker": "D"}
        ax.scatter(x, number + 0.06 + spread, s=7 if pooled else 14, linewidths=0, zorder=2 if pooled else 3, **look)
    entry = one.entry
    low, high = entry["interval"]
    if low is not None and high is not None and entry["estimate"] is not None:
        ax.plot([low, high], [number - 0.14] * 2, color=colour, linewidth=2.2, zorder=3)
        ax.plot([entry["estimate"]], [number - 0.14], marker="o", markersize=5, color=colour, zorder=4)


def _stacked(x: np.ndarray) -> np.ndarray:
    """Return heights from 0 to 1 that stack the points of each bin; x must be sorted, shape (points,)."""
    if len(x) == 0 or x[0] == x[-1]:
        return np.linspace(0, 1, len(x)) if len(x) > 1 else np.zeros(len(x))
    bins = np.floor((x - x[0]) / (x[-1] - x[0]) * MOST_BINS)
    place = np.arange(len(x)) - np.searchsorted(bins, bins)
    return np.asarray(place / max(1, place.max()))


def _scatter(ax: Axes, mine: pd.DataFrame, one: Judged, number: int, count: int) -> None:
    colour = style.CATEGORIES[number % len(style.CATEGORIES)]
    rows = mine[mine["pooled"]]
    label = one.model if count > 1 else None
    ax.scatter(rows["x"], rows["value"], s=8, color=colour, alpha=0.6, linewidths=0, label=label)
    if count > 1:
        ax.legend(loc="best")


def _curves(ax: Axes, results: Results, one: Judged, settings: Settings) -> None:
    panels.straight(ax)
    for number, pair in enumerate(one.counter_examples):
        rows = results.curve(one.model, pair, interp_layer=settings.trace_layer, site="logits")
        ax.plot(
            panels.values(rows, "alpha"),
            panels.values(rows, "distance"),
            color=style.CATEGORIES[(number + 3) % len(style.CATEGORIES)],
            linestyle=style.DASHES[number % len(style.DASHES)],
            label=style.drawable(wording.shortened(panels.words(results, pair).name, 26)),
        )
    ax.set_xlabel("Interpolation alpha")
    ax.set_title("Counter-examples", loc="left")
    ax.set_ylabel("d of the logits")
    ax.set_yticks(panels.DISTANCE_TICKS, ["0", "0.5", "1"])
    ax.figure.legend(loc="outside lower right", ncols=2, columnspacing=1.2, handlelength=1.6)


def _caption(
    tested: list[Judged], values: pd.DataFrame, against: Judged | None, settings: Settings, relation: bool
) -> str:
    entry = tested[0].entry
    pooled = values[values["pooled"]].groupby("model", observed=True).size()
    counts = wording.listed(
        f"{wording.plural(int(pooled.get(one.model, 0)), 'pooled pair')} of `{one.model}`" for one in tested
    )
    said = f"**{wording.escape(str(entry['claim']))}: {wording.escape(str(entry['title']))}.** "
    measure = wording.escape(str(entry["measure"]))
    said += f"The figure shows this measure for {counts}: “{measure[:1].upper()}{measure[1:]}”. "
    if relation:
        said += "Each dot is one pair, with its value drawn against the quantity to which the claim relates it."
    else:
        said += (
            f"Each dot is a pooled pair, and each diamond is a pair that is not pooled (one of the post's, or a "
            f"control). Above them are the {entry['statistic']} and its interval. The dashed line is no effect."
        )
    if against is not None:
        said += (
            f" The right panel shows the curves of the pairs of `{against.model}` that speak most against the claim: d "
            f"of the logits, with the path patched in at layer {settings.trace_layer}. The dotted line is d = alpha."
        )
    return said


def _alt(claim: str, tested: list[Judged], against: Judged | None) -> str:
    words = [f"The values of all pairs behind claim {claim}, {tested[0].entry['title']}."]
    words += [f"On {one.model}: {one.entry['sentence']}" for one in tested]
    if against is not None:
        words.append(f"The strongest counter-examples on {against.model} are {', '.join(against.counter_examples)}.")
    return " ".join(words)
