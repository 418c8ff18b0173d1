"""Parts of the closed forms; test_architectures compares the whole forms with autograd on every architecture."""

from __future__ import annotations

import pytest
import torch

from plateaus.mechanism import mlp_jacobian
from plateaus.model.mlp import derivative
from plateaus.model.transformer import Transformer

LAYER = 2


def test_a_relu_jacobian_does_not_change_within_a_polytope(tiny_folder):
    """With the norm held fixed, two points with the same code have the same Jacobian (the post, footnote 10)."""
    branch = Transformer.load(tiny_folder("opt"), device="cpu").mlp(LAYER)
    x = torch.randn(1, 32)
    near = x * 1.0001
    assert torch.equal(branch.pre_activation(x) > 0, branch.pre_activation(near) > 0)
    matrices = mlp_jacobian.gram(branch)
    norms = [
        mlp_jacobian.jacobian_norms(branch, matrices, point, branch.linearise(point)).mlp_fc for point in (x, near)
    ]
    assert torch.equal(*norms)


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "silu", "relu", "gelu_pytorch_tanh"])
def test_derivatives_of_the_activations(activation):
    from transformers.activations import ACT2FN

    z = torch.linspace(-3, 3, 41, dtype=torch.float64) + 0.01
    h = 1e-6
    slope = (ACT2FN[activation](z + h) - ACT2FN[activation](z - h)) / (2 * h)
    torch.testing.assert_close(derivative(ACT2FN[activation], z), slope, rtol=1e-6, atol=1e-8)
