"""Draw the figures of the bench."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from plateaus.bench import summary
from plateaus.drawing import style


def _plain(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers, because the style does not render mathematics in labels."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def stages(told: Mapping[str, Any]) -> Figure:
    """Draw the wall time of every stage the usual way and our way, and the limit."""
    rows = summary.rows(told)
    figure = Figure(figsize=(style.WIDTH, 4.2), layout="constrained")
    axes = figure.subplots()
    kinds = (
        ("the usual way", style.COLOUR_B, [row.seconds[0] for row in rows]),
        ("ours", style.COLOUR_A, [row.seconds[1] for row in rows]),
        ("matrix products at the machine's speed", style.PALE, [row.limit for row in rows]),
    )
    for number, (label, colour, values) in enumerate(kinds):
        places = [place + 0.27 * (number - 1) for place in range(len(rows))]
        axes.barh(places, values, height=0.25, color=colour, label=label)
        for place, value in zip(places, values, strict=True):
            axes.annotate(
                summary.seconds(value), (value, place), xytext=(3, 0), textcoords="offset points", va="center", size=8.5
            )
    axes.set_yticks(range(len(rows)), [row.stage for row in rows])
    axes.invert_yaxis()
    axes.set_xscale("log")
    _plain(axes.xaxis)
    axes.set_xlim(right=3 * max(kinds[0][2]))
    axes.set_xlabel("seconds")
    figure.legend(loc="outside lower center", ncols=1)
    return figure


def scaling(told: Mapping[str, Any]) -> Figure:
    """Draw the time of the sweep against each quantity that it grows with, and the limit."""
    curves = told["sweeps"]["scaling"]
    figure = Figure(figsize=(style.WIDTH, 7.0), layout="constrained")
    panels = list(figure.subplots(3, 2).flat)
    for axes, curve in zip(panels, curves.values(), strict=False):
        axes.loglog(curve["x"], curve["seconds"], "o-", ms=3.5, color=style.COLOUR_A, label="measured")
        axes.loglog(curve["x"], curve["limit"], "--", color=style.GREY, label="matrix products at\nthe machine's speed")
        axes.set_title(
            f"exponent {curve['exponent']:.2f} (limit: {curve['limit_exponent']:.2f})", loc="left", fontsize=9.5
        )
        _plain(axes.xaxis)
        _plain(axes.yaxis)
        axes.set_xlabel(curve["unit"])
        axes.set_ylabel("seconds")
    for axes in panels[len(curves) :]:
        axes.axis("off")
        axes.legend(*panels[0].get_legend_handles_labels(), loc="center")
    return figure


def save(told: Mapping[str, Any], folder: Path) -> None:
    """Write both figures as SVG and PNG."""
    with style.applied():
        for name, draw in (("stages", stages), ("scaling", scaling)):
            figure = draw(told)
            for kind in ("svg", "png"):
                style.write(figure, folder / f"{name}.{kind}", salt=f"bench-{name}", dpi=150)
