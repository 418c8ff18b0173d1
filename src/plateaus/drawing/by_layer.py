"""Figures that show one quantity along the path, with one line per layer, divided by the layer's mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from plateaus.data.results import Results
from plateaus.data.tables import Table
from plateaus.drawing import panels, style, wording


class Profile(NamedTuple):
    """One layer's values along a path.

    Attributes:
        alpha: Where they were measured.
        values: In their own units.
    """

    alpha: Any
    values: Any

    @property
    def relative(self) -> Any:
        """Values over their mean along the path: 1 everywhere for a quantity that does not change."""
        mean = self.values.mean()
        return self.values / mean if mean > 0 else np.ones_like(self.values)

    @property
    def peak(self) -> float:
        """The largest value over the mean."""
        return float(self.relative.max())

    @property
    def peak_alpha(self) -> float:
        """Where the largest value is."""
        return float(self.alpha[int(np.argmax(self.values))])


Profiles = dict[int, Profile]
"""Layer to its profile."""


def profiles(results: Results, model: str, table: Table, pair: str, column: str, **filters: object) -> Profiles:
    """The profiles of one pair, by layer.

    Args:
        results: Where to read.
        model: Id of the model.
        table: Has the columns pair, layer and alpha.
        pair: Id of the pair.
        column: The quantity.
        **filters: Further columns and the value that they must have.
    """
    frame = results.table(model, table)
    mask = frame["pair"] == pair
    for name, value in filters.items():
        mask &= frame[name] == value
    return {
        int(rows["layer"].iloc[0]): Profile(panels.values(rows, "alpha"), panels.values(rows, column))
        for _, rows in frame[mask].groupby("layer", observed=True)
    }


def has_component(results: Results, model: str, component: str) -> bool:
    """Whether a component's Jacobian was measured."""
    from plateaus.data import tables

    return component in set(results.table(model, tables.JACOBIAN)["component"])


def lines(ax: Axes, found: Profiles, colours: Any, *, relative: bool = True) -> None:
    """One line per layer; dotted at 1, where nothing changes."""
    ax.axhline(1, color=style.GREY, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1, label="_no change")
    panels.layer_lines(
        ax, ((layer, one.alpha, one.relative if relative else one.values) for layer, one in found.items()), colours
    )


def name_axis(axes: Sequence[Axes], label: str) -> None:
    """The label of the y axis, on the left panels alone."""
    for ax in axes:
        if ax.get_subplotspec().is_first_col():  # type: ignore[union-attr]
            ax.set_ylabel(label)


def peaks(found: Profiles) -> str:
    """Where the lines are highest, in words: over all layers and at the last."""
    highest = max(found, key=lambda layer: found[layer].peak)
    last = max(found)
    middle = float(np.median([one.peak_alpha for one in found.values()]))
    return (
        f"the highest peak is {wording.number(found[highest].peak, 1)} times the layer's mean, at layer {highest} and "
        f"alpha {wording.number(found[highest].peak_alpha)}; the last layer peaks at "
        f"{wording.number(found[last].peak, 1)} times its mean, at alpha {wording.number(found[last].peak_alpha)}; "
        f"the median peak is at alpha {wording.number(middle)}"
    )


def span(found: Profiles) -> str:
    """The range of the layers' means, in words."""
    means = {layer: one.values.mean() for layer, one in found.items()}
    low, high = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
    return f"from {wording.significant(means[low])} (layer {low}) to {wording.significant(means[high])} (layer {high})"
