"""Parts of the figures that show one quantity along the path, with one line per layer, over the layer's mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from plateaus.data.results import Results
from plateaus.data.tables import Table
from plateaus.drawing import panels, style, wording


class Profile(NamedTuple):
    """The values of a quantity in one layer along a path.

    Attributes:
        alpha: Interpolation parameter of each value, shape (points,).
        values: The values in the units of the quantity, shape (points,).
    """

    alpha: Any
    values: Any

    @property
    def relative(self) -> Any:
        """The values over their mean along the path: 1 everywhere for a quantity that does not change, or that is 0."""
        mean = self.values.mean()
        return self.values / mean if mean > 0 else np.ones_like(self.values)

    @property
    def peak(self) -> float:
        """The largest value, as a multiple of the mean."""
        return float(self.relative.max())

    @property
    def peak_alpha(self) -> float:
        """The alpha at which the value is largest."""
        return float(self.alpha[int(np.argmax(self.values))])


Profiles = dict[int, Profile]
"""Maps each layer to its profile."""


def profiles(results: Results, model: str, table: Table, pair: str, column: str, **filters: object) -> Profiles:
    """Read the profiles of one pair, by layer.

    Args:
        results: The results of the run.
        model: Id of the model.
        table: The table to read; it must have the columns pair, layer and alpha.
        pair: Id of the pair.
        column: Name of the column that holds the quantity.
        **filters: Names of further columns, each with the value that its rows must have.
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
    """Return whether the Jacobian of a component was measured."""
    from plateaus.data import tables

    return component in set(results.table(model, tables.JACOBIAN)["component"])


def lines(ax: Axes, found: Profiles, colours: Any, *, relative: bool = True) -> None:
    """Draw one line per layer, and a dotted line at 1, the value of a quantity that does not change."""
    ax.axhline(1, color=style.GREY, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1, label="_no change")
    panels.layer_lines(
        ax, ((layer, one.alpha, one.relative if relative else one.values) for layer, one in found.items()), colours
    )


def name_axis(axes: Sequence[Axes], label: str) -> None:
    """Label the y axis, on the leftmost panels only."""
    for ax in axes:
        if ax.get_subplotspec().is_first_col():  # type: ignore[union-attr]
            ax.set_ylabel(label)


def peaks(found: Profiles) -> str:
    """Say in words where the lines peak: the highest of all layers, the last layer, and the median position."""
    highest = max(found, key=lambda layer: found[layer].peak)
    last = max(found)
    middle = float(np.median([one.peak_alpha for one in found.values()]))
    return (
        f"the highest peak is {wording.number(found[highest].peak, 1)} times the layer's mean, at layer {highest} and "
        f"alpha {wording.number(found[highest].peak_alpha)}; the last layer peaks at "
        f"{wording.number(found[last].peak, 1)} times its mean, at alpha {wording.number(found[last].peak_alpha)}; "
        f"the median position of the peaks is alpha {wording.number(middle)}"
    )


def span(found: Profiles) -> str:
    """Say in words over what range the means of the layers lie."""
    means = {layer: one.values.mean() for layer, one in found.items()}
    low, high = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
    return f"from {wording.significant(means[low])} (layer {low}) to {wording.significant(means[high])} (layer {high})"
