"""Paths and measures: properties that hold for any vectors, and cases with known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from plateaus.curves import geometry
from plateaus.errors import InputError
from tests import oracle

T = geometry.alphas(9)


def pair_at(
    theta: float, length_a: float = 2.0, length_b: float = 3.0, d: int = 6
) -> tuple[torch.Tensor, torch.Tensor]:
    a, b = torch.zeros(d, dtype=torch.float64), torch.zeros(d, dtype=torch.float64)
    a[0] = length_a
    b[0], b[1] = length_b * math.cos(theta), length_b * math.sin(theta)
    return a, b


@pytest.mark.parametrize("theta", [1e-9, 1e-4, 0.5, math.pi / 2, 2.5, math.pi - 1e-4])
def test_angle_is_exact_from_tiny_to_almost_opposite(theta):
    a, b = pair_at(theta)
    assert geometry.angle(a, b) == pytest.approx(theta, rel=1e-7)


@pytest.mark.parametrize("theta", [0.0, 1e-8, 0.3, 1.5, 2.0, 3.0])
def test_spherical_path_turns_evenly_and_lengths_are_linear(theta):
    """This includes angles beyond 90 degrees, for which the post's released code is wrong."""
    a, b = pair_at(theta)
    path = geometry.interpolate(a, b, T, path="spherical", name="x")
    torch.testing.assert_close(torch.linalg.vector_norm(path, dim=-1), 2 + T, rtol=1e-9, atol=1e-9)
    turned = [geometry.angle(a, point) for point in path]
    np.testing.assert_allclose(turned, (theta * T).numpy(), atol=1e-7)
    torch.testing.assert_close(path[0], a)
    torch.testing.assert_close(path[-1], b)


def test_spherical_path_equals_the_loop_of_the_oracle():
    torch.manual_seed(0)
    a, b = torch.randn(2, 40).unbind()
    torch.testing.assert_close(
        geometry.interpolate(a, b, geometry.alphas(13), path="spherical", name="x"),
        oracle.slerp(a, b, 13),
        atol=1e-6,
        rtol=1e-5,
    )


def test_linear_path_is_the_straight_line():
    a, b = pair_at(2.0)
    path = geometry.interpolate(a, b, T, path="linear", name="x")
    torch.testing.assert_close(path, a + T[:, None] * (b - a))


def test_opposite_and_zero_vectors_are_refused_by_name():
    a, _ = pair_at(0.3)
    with pytest.raises(InputError, match=r"pair 'p', layer 3.*opposite"):
        geometry.interpolate(a, -2 * a, T, path="spherical", name="pair 'p', layer 3")
    with pytest.raises(InputError, match="zero vector"):
        geometry.interpolate(a, 0 * a, T, path="spherical", name="x")


def test_measures_of_a_straight_line():
    a, b = pair_at(1.0)
    found = geometry.measure(geometry.interpolate(a, b, T, path="linear", name="x"))
    torch.testing.assert_close(found.distance, T)
    torch.testing.assert_close(found.projection, T)
    torch.testing.assert_close(found.detour, torch.zeros_like(T), atol=1e-12, rtol=0)
    torch.testing.assert_close(found.step_size[:-1], torch.linalg.vector_norm(b - a).expand(8) / 8)
    assert torch.isnan(found.step_size[-1])


def test_detour_tells_a_third_region_from_the_middle():
    """A point far from both ends has a relative distance of one half, like the midpoint, but a large detour."""
    away = torch.tensor([[0.0, 0.0], [0.5, 100.0], [1.0, 0.0]])
    found = geometry.measure(away)
    assert found.distance[1] == pytest.approx(0.5)
    assert found.detour[1] > 100


def test_measures_do_not_depend_on_rotation_or_shift_and_scale_with_length():
    torch.manual_seed(1)
    x = torch.randn(3, 7, 5, dtype=torch.float64)
    rotation, _ = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))
    plain, moved = (
        geometry.measure(x),
        geometry.measure(2 * (x @ rotation) + torch.randn(5, dtype=torch.float64)),
    )
    for name in ("distance", "projection", "detour"):
        torch.testing.assert_close(getattr(plain, name), getattr(moved, name))
    torch.testing.assert_close(2 * plain.step_size[..., :-1], moved.step_size[..., :-1])


def test_a_part_of_a_path_is_measured_against_the_whole_paths_ends():
    torch.manual_seed(2)
    x = torch.randn(10, 4)
    whole, part = geometry.measure(x), geometry.measure(x[3:7], (x[:1], x[-1:]))
    torch.testing.assert_close(whole.distance[3:7], part.distance)
    torch.testing.assert_close(whole.step_size[3:6], part.step_size[:3])
