"""Curves of the freezing ablations, and the parts of figures that draw them over each other."""

from __future__ import annotations

from typing import Any, NamedTuple

from matplotlib.axes import Axes

from plateaus.curves.sharpness import Sharpness
from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.drawing import panels, style

READS = (tables.ENDPOINTS, tables.INTERPOLATE, tables.FREEZE)


class Look(NamedTuple):
    """How a freezing condition is named and drawn: its legend label, colour and line style."""

    label: str
    colour: str
    dash: Any


RED, BLUE = "#c62828", "#1f5fbf"
LOOKS = {
    "none": Look("nothing frozen", style.INK, "-"),
    "attn_mean": Look("attention frozen at its mean", RED, "-"),
    "attn_secant": Look("attention frozen on its secant", RED, (0, (4, 1.5))),
    "mlp_mean": Look("MLPs frozen at their mean", BLUE, "-"),
    "mlp_secant": Look("MLPs frozen on their secant", BLUE, (0, (4, 1.5))),
    "norm_mean": Look("norm scales frozen at their mean", "#00796b", "-"),
    "attn_mlp_mean": Look("attention and MLPs frozen", style.GREY, (0, (1, 1.5))),
}
"""Attention is red and the MLPs are blue, as in the post; the secant conditions, which are ours, are dashed."""


def conditions(results: Results, model: str) -> set[str]:
    """Return the freezing conditions that were run."""
    return set(results.table(model, tables.FREEZE)["condition"])


def layers(results: Results, model: str) -> set[int]:
    """Return the interpolation layers of the frozen runs."""
    return {int(layer) for layer in results.table(model, tables.FREEZE)["interp_layer"].unique()}


def curve(results: Results, model: str, pair: str, condition: str, layer: int) -> Any:
    """Return the rows of one curve of the logits: one pair, one condition and one interpolation layer."""
    frame = results.table(model, tables.FREEZE)
    mask = (frame["pair"] == pair) & (frame["condition"] == condition)
    return frame[mask & (frame["interp_layer"] == layer) & (frame["site"] == "logits")]


def lay_over(
    ax: Axes, results: Results, model: str, pair: str, names: list[str], layer: int
) -> dict[str, Sharpness[float]]:
    """Draw the logits' curves of some conditions into one panel, and return the sharpness of each by condition."""
    panels.straight(ax)
    found = {}
    for number, name in enumerate(names):
        rows = curve(results, model, pair, name, layer)
        look = LOOKS[name]
        ax.plot(
            panels.values(rows, "alpha"),
            panels.values(rows, "distance"),
            color=look.colour,
            linestyle=look.dash,
            linewidth=1.7 if name == "none" else 1.4,
            zorder=2 + number / 10,
            label=look.label,
        )
        found[name] = panels.measured(rows)
    return found


def legend(figure: Any, axes: list[Axes]) -> None:
    """Add one legend for all panels, below them."""
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, handlelength=2.6, columnspacing=1.4)
