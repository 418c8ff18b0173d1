"""The plane through three activations, as a drawing: an even triangle with some room around it.

Corners A, B and C lie at (0, 0), (1, 0) and (1/2, sqrt(3)/2). A point of the drawing has barycentric coordinates l,
which sum to 1 and are negative outside the triangle. Its activation has the direction of l_1 A + l_2 B + l_3 C and the
length l_1 |A| + l_2 |B| + l_3 |C|, but not less than `SHORTEST` of the shortest corner, because outside the triangle
the sum can vanish (Janiak et al. 2024 draw such planes). On the sides of the triangle this is close to the spherical
path, but not the same: the direction there turns unevenly.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

CORNERS = ((0.0, 0.0), (1.0, 0.0), (0.5, math.sqrt(3) / 2))
"""Where the three activations lie in the drawing."""
ROOM = 0.25
"""How far the drawing reaches beyond the triangle, in units of its side."""
SHORTEST = 0.3
"""Shortest length of a point's activation, as a share of the shortest corner's."""


class Grid(NamedTuple):
    """The points of a drawing, row by row from below.

    Attributes:
        x: (points,), from -ROOM to 1 + ROOM.
        y: (points,), from -ROOM to sqrt(3)/2 + ROOM.
        barycentric: (points, 3).
    """

    x: Float[Tensor, " points"]
    y: Float[Tensor, " points"]
    barycentric: Float[Tensor, "points 3"]

    @property
    def inside(self) -> Tensor:
        """Whether each point lies in the triangle, (points,)."""
        within: Tensor = torch.all(self.barycentric >= 0, dim=-1)
        return within


def grid(side: int) -> Grid:
    """Return a drawing of `side` times `side` points."""
    height = CORNERS[2][1]
    across = torch.linspace(-ROOM, 1 + ROOM, side, dtype=torch.float64)
    up = torch.linspace(-ROOM, height + ROOM, side, dtype=torch.float64)
    y, x = (one.flatten() for one in torch.meshgrid(up, across, indexing="ij"))
    third = y / height
    second = x - third / 2
    return Grid(x, y, torch.stack([1 - second - third, second, third], dim=1))


def activations(
    corners: Float[Tensor, "3 d_model"], barycentric: Float[Tensor, "points 3"]
) -> Float[Tensor, "points d_model"]:
    """Return the activation at every point; the corners themselves have theirs."""
    exact, lengths = corners.double(), torch.linalg.vector_norm(corners.double(), dim=-1)
    summed = barycentric @ exact
    length = (barycentric @ lengths).clamp_min(SHORTEST * float(lengths.min()))
    found: Tensor = torch.nn.functional.normalize(summed, dim=-1, eps=1e-30) * length[:, None]
    return found.to(corners.dtype)
