"""The median strength over natural pairs, with one choice changed at a time that should not matter."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.drawing import robustness, style, wording
from plateaus.drawing.contract import Drawing, LeftOut, Settings
from plateaus.drawing.robustness import Row

TITLE = "Robustness of the strengths"
READS = (tables.ROBUSTNESS,)
PER_MODEL = True


def draw(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    """Draw a panel per yardstick, with a median and its interval per variant and a line at the run's own setting."""
    if not settings.robust:
        return LeftOut("robustness.pairs is 0 in the config, so this run does not measure strengths in other ways")
    if model not in settings.robust:
        return LeftOut("strengths are measured in other ways on trained models only")
    rows = robustness.summary(results, model)
    if not rows:
        return LeftOut("this run has no natural pairs")
    figure = Figure(figsize=(style.WIDTH, 0.36 * len(rows) + 1.0), layout="constrained")
    axes = figure.subplots(1, len(robustness.YARDSTICKS), sharex=True, sharey=True)
    for number, (ax, site) in enumerate(zip(axes, robustness.YARDSTICKS, strict=True)):
        _panel(ax, rows, site, style.CATEGORIES[number])
    return Drawing(figure, _caption(rows, model), _alt(rows), READS)


def _panel(ax: Axes, rows: list[Row], site: str, colour: str) -> None:
    ax.axvline(rows[0].medians[site].strength, color=style.GREY, linestyle=(0, (4, 3)), linewidth=0.9, zorder=1)
    for place, row in enumerate(rows):
        found = row.medians[site]
        ax.plot([found.low, found.high], [place, place], color=colour, zorder=2)
        ax.plot([found.strength], [place], marker="o", markersize=4.5, color=colour, zorder=3)
    ax.set_title(robustness.YARDSTICKS[site], loc="left")
    ax.set_xlabel("Median strength s")
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_yticks(range(len(rows)), [_in_two_lines(row.variant) for row in rows])
    ax.tick_params(axis="y", length=0)


def _in_two_lines(variant: str) -> str:
    first, _, rest = variant.rpartition(" ")
    return f"{first}\n{rest}" if len(variant) > 22 else variant


def _caption(rows: list[Row], model: str) -> str:
    said = f"**Strength under choices that should not matter**, on `{model}`. Each point is the median of s over "
    said += f"{wording.plural(rows[0].pairs, 'natural pair')} of the suite, with its 95 % interval by a percentile "
    said += f"bootstrap over pairs ({robustness.RESAMPLES} resamples, seed {robustness.SEED}), as if the pairs were "
    said += "independent. Each row changes one thing from the run’s own setting, whose median is the dashed line. "
    return said + robustness.left_out(rows)


def _alt(rows: list[Row]) -> str:
    def row(one: Row) -> str:
        return wording.listed(
            f"{wording.number(found.strength)} ({wording.number(found.low)} to {wording.number(found.high)})"
            for found in one.medians.values()
        )

    return (
        f"{wording.plural(len(robustness.YARDSTICKS), 'panel')} of median strengths with intervals, one row per "
        f"variant. By {wording.listed(robustness.YARDSTICKS.values())}: "
        f"{wording.each([(one.variant, row(one)) for one in rows])}"
    )
