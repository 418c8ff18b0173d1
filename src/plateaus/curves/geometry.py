"""Paths between two residual vectors, and the measures of the points recorded along a path."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from plateaus.errors import InputError

PARALLEL = 1e-6
"""Below this angle (radians) slerp divides by almost zero, and the arc equals the straight line in float32."""


def alphas(steps: int) -> Float[Tensor, " steps"]:
    """Return the interpolation parameter alpha at `steps` evenly spaced points of [0, 1], both ends included."""
    return torch.linspace(0, 1, steps, dtype=torch.float64)


def angle(a: Float[Tensor, " d"], b: Float[Tensor, " d"]) -> float:
    """Return the angle between two vectors in radians, in [0, pi], accurate for small and for large angles.

    Uses Kahan's formula, 2 atan2(|u - v|, |u + v|) with unit vectors u and v, because acos of the cosine loses half
    the digits near 0 and pi.
    """
    u, v = (x.double() / torch.linalg.vector_norm(x.double()) for x in (a, b))
    return 2 * math.atan2(float(torch.linalg.vector_norm(u - v)), float(torch.linalg.vector_norm(u + v)))


def interpolate(
    a: Float[Tensor, " d"], b: Float[Tensor, " d"], t: Float[Tensor, " steps"], *, path: str, name: str
) -> Float[Tensor, "steps d"]:
    """Return points on the path from `a` (t = 0) to `b` (t = 1).

    ``spherical``: the direction follows the slerp of the unit vectors and the length is interpolated linearly, so that
    no point becomes unusually short (the post, footnote 1). Any angle below 180 degrees is handled; for almost parallel
    vectors the path is the straight line. The post's released code takes acos of |cos| without flipping a vector, which
    is wrong for angles over 90 degrees, and divides by sin(0) for parallel vectors. ``linear``: the straight line.

    Args:
        a: Start vector.
        b: End vector.
        t: Interpolation parameters in [0, 1].
        path: ``spherical`` or ``linear``.
        name: What is interpolated, such as the pair and the layer, for the error message.

    Raises:
        InputError: the path is spherical and a vector is zero or the two are exactly opposite, so that no arc is
            defined between them.
    """
    a64, b64, t64 = a.double(), b.double(), t.double()[:, None]
    line = (1 - t64) * a64 + t64 * b64
    if path == "linear":
        points = line
    else:
        length_a, length_b = torch.linalg.vector_norm(a64), torch.linalg.vector_norm(b64)
        if length_a == 0 or length_b == 0:
            raise InputError(
                f"{name}: an endpoint is the zero vector, which has no direction: use interpolate.path: linear"
            )
        theta = angle(a64, b64)
        if math.pi - theta < PARALLEL:
            raise InputError(
                f"{name}: the endpoints point in exactly opposite directions, so the arc between them is not "
                "defined: use interpolate.path: linear or other words"
            )
        if theta < PARALLEL:
            points = line
        else:
            u, v = a64 / length_a, b64 / length_b
            direction = (torch.sin((1 - t64) * theta) * u + torch.sin(t64 * theta) * v) / math.sin(theta)
            points = direction * ((1 - t64) * length_a + t64 * length_b)
    return points.to(a.dtype)


class Measures(NamedTuple):
    """The measures of every point of a recorded path, where A and B are its recorded endpoints and x is the point.

    Attributes:
        distance: |x-A| / (|x-A| + |x-B|), 0 at A and 1 at B (the post, footnote 2).
        distance_a: |x-A|.
        distance_b: |x-B|.
        step_size: |x_{i+1} - x_i|, the distance to the next step; NaN at the last step.
        norm: |x|.
        projection: <x-A, B-A> / |B-A|^2.
        detour: (|x-A| + |x-B|) / |B-A| - 1, which is 0 on the straight line. The relative distance tends to 0.5 when x
            moves away to a third region; the detour distinguishes such a path from one through the middle.
    """

    distance: Tensor
    distance_a: Tensor
    distance_b: Tensor
    step_size: Tensor
    norm: Tensor
    projection: Tensor
    detour: Tensor

    def of_groups(self) -> list[Measures]:
        """Split the measures by group (the first dimension), copying each measure to the CPU once for all groups."""
        return [Measures(*values) for values in zip(*(measure.cpu() for measure in self), strict=True)]


def measure(
    x: Float[Tensor, "*groups steps d"],
    ends: tuple[Float[Tensor, "*groups 1 d"], Float[Tensor, "*groups 1 d"]] | None = None,
) -> Measures:
    """Measure recorded paths against their own recorded endpoints.

    Args:
        x: Recorded vectors, with any leading dimensions.
        ends: The recorded vectors at alpha 0 and 1, needed if `x` is only a part of the path. If None, the first and
            last vectors of `x` are used.

    Returns:
        Tensors of shape (*groups, steps).
    """
    first, last = ends or (x[..., :1, :], x[..., -1:, :])
    chord = last - first
    chord_length = torch.linalg.vector_norm(chord, dim=-1)
    difference = x - first  # one buffer is reused for all differences, since it can be as large as a path's logits
    distance_a = torch.linalg.vector_norm(difference, dim=-1)
    projection = (difference @ chord.transpose(-1, -2)).squeeze(-1) / chord_length**2
    distance_b = torch.linalg.vector_norm(torch.sub(x, last, out=difference), dim=-1)
    step_size = torch.full_like(distance_a, torch.nan)
    steps = torch.sub(x[..., 1:, :], x[..., :-1, :], out=difference[..., :-1, :])
    step_size[..., :-1] = torch.linalg.vector_norm(steps, dim=-1)
    return Measures(
        distance=distance_a / (distance_a + distance_b),
        distance_a=distance_a,
        distance_b=distance_b,
        step_size=step_size,
        norm=torch.linalg.vector_norm(x, dim=-1),
        projection=projection,
        detour=(distance_a + distance_b) / chord_length - 1,
    )
