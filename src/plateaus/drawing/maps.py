"""Maps of plateaus for the figures: the colours of a map, and how much of it lies near a corner."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.drawing import style, wording

Floats = NDArray[np.float64]
CORNERS = "abc"
COLOURS = (style.COLOUR_A, style.COLOUR_B, "#00795a")
"""The colours of the three corners."""
SITE = "next_token"
"""The yardstick by which maps are drawn and measured."""
NEAR = 0.25
"""A point is near a corner if its distance is at most this share of the corners' mean distance."""
SOFTENING = 0.05
"""Added to the distances before colours are mixed by their inverse squares."""
CONTOURS = (0.1, 0.2, 0.3, 0.4)
"""Distances to the nearest corner at which contours are drawn."""
HEIGHT = float(np.sqrt(3) / 2)
"""Height of the triangle of the drawing."""
TOLERANCE = 1e-6
"""How far outside the triangle a point may lie by rounding and still count as inside."""


class Map(NamedTuple):
    """One map.

    Attributes:
        triple: Id of the triple.
        context: The context.
        words: The three words, corner by corner.
        x: (side,), coordinates across.
        y: (side,), coordinates upwards.
        distances: (side, side, 3), distance to each corner; rows go upwards.
        sides: Distances between the activations A and B, B and C, C and A.
    """

    triple: str
    context: str
    words: tuple[str, str, str]
    x: Floats
    y: Floats
    distances: Floats
    sides: tuple[float, float, float]

    @property
    def near(self) -> float:
        """Share of the triangle's area that lies near a corner."""
        x, y = np.meshgrid(self.x, self.y)
        third = y / HEIGHT
        second = x - third / 2
        inside = np.minimum(np.minimum(second, third), 1 - second - third) >= -TOLERANCE
        return float((self.distances.min(-1) <= NEAR)[inside].mean())

    @property
    def colours(self) -> Floats:
        """(side, side, 3), the corners' colours mixed by (distance + 0.05)^-2."""
        from matplotlib.colors import to_rgb

        weights = (self.distances + SOFTENING) ** -2
        mixed: Floats = (weights / weights.sum(-1, keepdims=True)) @ np.array([to_rgb(colour) for colour in COLOURS])
        return np.clip(mixed, 0, 1)


def maps(results: Results, model: str, *, fine: bool, site: str = SITE) -> list[Map]:
    """Return the maps of a model: the fine ones, which are drawn, or the coarse ones, which are only measured.

    Args:
        results: The results of the run.
        model: Id of the model.
        fine: Which of them; if all maps have the same number of points, all of them count as fine.
        site: The yardstick, ``next_token`` or ``logits``.
    """
    triples = results.table(model, tables.TRIPLES)
    points = results.table(model, tables.MAP)
    if triples.empty:
        return []
    largest = triples["side"].max()
    chosen = triples[(triples["side"] == largest) == fine]
    return [_map(row, points, site) for _, row in chosen.iterrows()]


def _map(row: pd.Series, points: pd.DataFrame, site: str) -> Map:
    of_map = points[(points["triple"] == row["triple"]) & (points["side"] == row["side"])].sort_values("point")
    side = int(row["side"])
    grid = [of_map[name].to_numpy(np.float64).reshape(side, side) for name in ("x", "y")]
    distances = of_map[[f"{site}_{corner}" for corner in CORNERS]].to_numpy(np.float64).reshape(side, side, 3)
    words = (str(row["a"]), str(row["b"]), str(row["c"]))
    sides = (float(row["ab"]), float(row["bc"]), float(row["ca"]))
    return Map(str(row["triple"]), str(row["context"]), words, grid[0][0], grid[1][:, 0], distances, sides)


def panel(ax: Axes, one: Map, *, title: str) -> None:
    """Draw a map with contours, the triangle and its words."""
    left, right, low, high = one.x[0], one.x[-1], one.y[0], one.y[-1]
    across, up = (right - left) / (len(one.x) - 1) / 2, (high - low) / (len(one.y) - 1) / 2
    extent = (left - across, right + across, low - up, high + up)
    ax.imshow(one.colours, origin="lower", extent=extent, interpolation="nearest", aspect="equal")
    nearest = one.distances.min(-1)
    ax.contour(one.x, one.y, nearest, levels=CONTOURS, colors="white", linewidths=0.8)
    places = ((0.0, 0.0), (1.0, 0.0), (0.5, HEIGHT))
    ax.plot(*zip(*places, places[0], strict=True), color="white", linewidth=0.8, linestyle=(0, (1, 2)))
    for (x, y), word, upwards in zip(places, one.words, (False, False, True), strict=True):
        ax.plot([x], [y], "o", color="white", markersize=4)
        ax.annotate(
            style.drawable(wording.shortened(word, 14)), (x, y), xytext=(0, 6 if upwards else -6),
            textcoords="offset points", ha="center", va="bottom" if upwards else "top", color="white",
            fontweight="bold", path_effects=[withStroke(linewidth=2.2, foreground="#1c242a80")],
        )  # fmt: skip
    ax.set_title(title, loc="left")
    ax.set_axis_off()
