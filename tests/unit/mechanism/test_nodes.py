"""The nodes of a path: combinations on made-up curves, and norms against those of every step's own matrix."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plateaus.curves.rows import stack
from plateaus.mechanism import nodes
from plateaus.stages.jacobian import COMPONENTS, jacobian_layer, start
from tests.unit.stages.test_jacobian import traced

STEPS = 40


def curve(numbers: int, rank: int, noise: float = 0.0) -> torch.Tensor:
    """Points of a smooth curve through a space of the given rank, with optional noise."""
    generator = torch.Generator().manual_seed(1)
    t = torch.linspace(-1, 1, STEPS, dtype=torch.float64)
    shape = torch.stack([torch.cos(k * torch.arccos(t)) for k in range(rank)], dim=1)
    within = torch.randn(rank, numbers, generator=generator, dtype=torch.float64)
    return (shape @ within + noise * torch.randn(STEPS, numbers, generator=generator, dtype=torch.float64)).float()


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_as_many_nodes_as_the_curve_has_dimensions(rank):
    points = curve(1000, rank)
    found = nodes.choose([points])
    assert len(found.steps) == rank
    combined = found.weights @ points[list(found.steps)].double()
    left_out = torch.linalg.vector_norm(combined - points, dim=1) / torch.linalg.vector_norm(points, dim=1)
    assert left_out.max() < 1.1 * nodes.TOLERANCE
    # A node is represented by itself alone.
    torch.testing.assert_close(found.weights[list(found.steps)], torch.eye(rank, dtype=torch.float64))


def test_nodes_serve_every_kind_of_matrix():
    kinds = [curve(1000, 4), 1e-6 * torch.linspace(1, 9, STEPS)[:, None] * curve(900, 2).flip(0)]
    found = nodes.choose(kinds)
    for points in kinds:
        combined = found.weights @ points[list(found.steps)].double()
        left_out = torch.linalg.vector_norm(combined - points, dim=1) / torch.linalg.vector_norm(points, dim=1)
        assert left_out.max() < 1.1 * nodes.TOLERANCE


def test_the_nodes_of_the_layer_before_are_taken_first():
    before = (5, 11, 30)
    assert set(nodes.choose([curve(1000, 6)], before).steps) > set(before)
    # Only as many of them as needed are taken: two nodes represent this whole curve.
    assert set(nodes.choose([curve(1000, 2)], before).steps) < set(before)


def test_noise_makes_every_step_a_node():
    found = nodes.choose([curve(1000, 3, noise=0.1)])
    assert sorted(found.steps) == list(range(STEPS))


def test_a_sketch_too_small_to_tell_makes_every_step_a_node():
    numbers = nodes.DIMENSIONS_PER_STEP * STEPS
    assert len(nodes.choose([curve(numbers, 2)]).steps) == 2
    assert len(nodes.choose([curve(numbers - 1, 2)]).steps) == STEPS
    assert nodes.directions(STEPS, 64) * 64 >= numbers


def test_a_kind_that_is_nothing_does_not_hinder():
    assert len(nodes.choose([curve(1000, 3), torch.zeros(STEPS, 1000)]).steps) == 3
    fading = curve(1000, 3) * torch.logspace(0, -12, STEPS)[:, None]
    found = nodes.choose([curve(1000, 2), fading])
    combined = found.weights @ fading[list(found.steps)].double()
    assert (
        torch.linalg.vector_norm(combined - fading, dim=1).max() < 1e-4 * torch.linalg.vector_norm(fading, dim=1).max()
    )


def test_what_is_not_finite_is_left_for_the_table_to_report():
    broken = curve(1000, 3)
    broken[4, 7] = torch.inf
    assert nodes.choose([broken]).steps == tuple(range(STEPS))


def test_norms_from_the_nodes_are_those_of_the_matrices():
    matrices = curve(30 * 40, 5).view(STEPS, 30, 40)
    found = nodes.choose([matrices.flatten(1)])
    expected = torch.linalg.matrix_norm(matrices)
    torch.testing.assert_close(nodes.norms(found, matrices[list(found.steps)]), expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize(("kind", "layer"), [("llama", 0), ("neox", 0), ("embedded", 26)])
def test_norms_are_those_of_every_steps_own_matrices(kind, layer, tiny_folder, embedded_folder, monkeypatch):
    model, trace = traced(embedded_folder if kind == "embedded" else tiny_folder(kind), steps=STEPS, layer=layer)
    chosen: list[int] = []
    choose = nodes.choose

    def few(*given):
        found = choose(*given)
        chosen.append(len(found.steps))
        return found

    def measured(way):
        monkeypatch.setattr(nodes, "choose", way)
        states, rows = [start(model, trace)], []
        for layer in trace.layers:
            (found,), states = jacobian_layer(
                model, layer, states, components=list(COMPONENTS), exact=True, probes=2, memory_gb=0.02
            )
            rows.append(found)
        return stack(rows)

    by_nodes, by_steps = measured(few), measured(lambda sketches, _: nodes.every_step(len(sketches[0])))
    assert max(chosen) < STEPS
    np.testing.assert_allclose(by_nodes["frobenius"], by_steps["frobenius"], rtol=nodes.TOLERANCE)
    np.testing.assert_allclose(by_nodes["gain"], by_steps["gain"], rtol=1e-5)
