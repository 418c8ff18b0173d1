"""The plane through three activations: its corners, its lengths, and its geometry."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plateaus.curves import plane


def corners(d: int = 12) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, d, generator=generator) * torch.tensor([1.0, 3.0, 0.5])[:, None]


def test_barycentric_coordinates_give_back_the_places():
    grid = plane.grid(9)
    assert len(grid.x) == 81
    torch.testing.assert_close(grid.barycentric.sum(1), torch.ones(81, dtype=torch.float64))
    places = grid.barycentric @ torch.tensor(plane.CORNERS, dtype=torch.float64)
    torch.testing.assert_close(places, torch.stack([grid.x, grid.y], dim=1))
    assert (float(grid.x.min()), float(grid.x.max())) == (-plane.ROOM, 1 + plane.ROOM)
    # The triangle's share of the drawing, by counting points of a fine grid.
    share = plane.grid(301).inside.double().mean()
    height = np.sqrt(3) / 2
    assert float(share) == pytest.approx(height / 2 / ((1 + 2 * plane.ROOM) * (height + 2 * plane.ROOM)), abs=0.005)


def test_corners_are_the_activations_themselves_and_sides_have_lengths_in_proportion():
    ends = corners()
    torch.testing.assert_close(plane.activations(ends, torch.eye(3, dtype=torch.float64)), ends)
    t = torch.linspace(0, 1, 7, dtype=torch.float64)
    side = plane.activations(ends, torch.stack([1 - t, t, torch.zeros(7)], dim=1))
    lengths = torch.linalg.vector_norm(side.double(), dim=1)
    own = torch.linalg.vector_norm(ends.double(), dim=1)
    torch.testing.assert_close(lengths, (1 - t) * own[0] + t * own[1], rtol=1e-6, atol=1e-6)
    # All of them lie in the plane of the two corners.
    assert torch.linalg.matrix_rank(torch.cat([side.double(), ends[:2].double()]), tol=1e-5) == 2


def test_a_sum_that_vanishes_keeps_some_length():
    ends = corners()
    far = plane.activations(ends, torch.tensor([[3.0, -1.0, -1.0]], dtype=torch.float64))
    shortest = torch.linalg.vector_norm(ends, dim=1).min()
    assert float(torch.linalg.vector_norm(far)) == pytest.approx(plane.SHORTEST * float(shortest), rel=1e-5)
