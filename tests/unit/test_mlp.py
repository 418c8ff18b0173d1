"""Closed forms against autograd through the plain Hugging Face modules, in float64."""

from __future__ import annotations

import pytest
import torch

from plateaus import mlp as closed
from plateaus.architecture import mlp_of
from plateaus.transformer import Transformer
from tests import oracle

KINDS = ["gpt2", "llama", "opt", "neox"]
LAYER = 2


def plain_norm(model: torch.nn.Module, kind: str):
    """The norm before one layer's MLP, from plain modules."""
    block = oracle.blocks_of(model)[LAYER]
    norm = getattr(block, {"gpt2": "ln_2", "opt": "final_layer_norm"}.get(kind, "post_attention_layernorm"))
    if kind == "llama":  # the library's RMSNorm computes in float32 whatever it is given
        return lambda x: torch.nn.functional.rms_norm(x, norm.weight.shape, norm.weight, norm.variance_epsilon)
    return norm


def plain_branch(model: torch.nn.Module, kind: str):
    """One layer's MLP branch as a function of the residual vector that it reads, from plain modules."""
    block, norm = oracle.blocks_of(model)[LAYER], plain_norm(model, kind)
    if kind == "opt":
        return lambda x: block.fc2(block.activation_fn(block.fc1(norm(x))))
    return lambda x: block.mlp(norm(x))


@pytest.fixture(params=KINDS)
def case(request, tiny_folder):
    kind = request.param
    folder = tiny_folder(kind)
    branch = mlp_of(Transformer.load(folder, device="cpu").bridge, LAYER)
    double = branch._replace(
        norm=branch.norm._replace(gain=branch.norm.gain.double(), bias=branch.norm.bias.double()),
        **{name: value.double() for name, value in branch._asdict().items() if isinstance(value, torch.Tensor)},
    )
    plain, _ = oracle.load(folder)
    torch.manual_seed(3)
    x = 2 * torch.randn(6, 32, dtype=torch.float64) + 0.3
    return kind, double, plain.double(), x


def autograd(function, x):
    return torch.stack([torch.autograd.functional.jacobian(lambda one: function(one[None])[0], row) for row in x])


def test_the_branch_is_the_models_own(case):
    kind, branch, plain, x = case
    torch.testing.assert_close(branch(x), plain_branch(plain, kind)(x), rtol=1e-10, atol=1e-10)


def test_norms_equal_autograd(case):
    kind, branch, plain, x = case
    found = closed.jacobian_norms(branch, closed.gram(branch), x)
    whole = autograd(plain_branch(plain, kind), x).flatten(1).norm(dim=1)
    torch.testing.assert_close(found.mlp, whole, rtol=1e-10, atol=0)
    torch.testing.assert_close(
        found.norm, autograd(plain_norm(plain, kind), x).flatten(1).norm(dim=1), rtol=1e-10, atol=0
    )


def test_the_part_without_its_norm_equals_autograd(case):
    """With respect to the normalised vector: replace the norm by its gain and bias, and centre what goes in."""
    _, branch, _, x = case
    normalised, _ = branch.norm.normalise(x)

    def without_norm(u):
        return branch._replace(norm=_Affine(branch.norm))(branch.norm.centre(u))

    found = closed.jacobian_norms(branch, closed.gram(branch), x).mlp_fc
    torch.testing.assert_close(found, autograd(without_norm, normalised).flatten(1).norm(dim=1), rtol=1e-10, atol=0)


class _Affine:
    """A norm's gain and bias alone."""

    def __init__(self, norm):
        self.norm = norm

    def __call__(self, x):
        return x * self.norm.gain + self.norm.bias


def test_the_whole_matrix_equals_autograd(case):
    kind, branch, plain, x = case
    torch.testing.assert_close(
        closed.jacobian(branch, x), autograd(plain_branch(plain, kind), x), rtol=1e-9, atol=1e-12
    )


def test_the_directional_derivative_is_the_matrix_times_the_direction(case):
    _, branch, _, x = case
    v = torch.randn_like(x)
    expected = (closed.jacobian(branch, x) @ v[:, :, None]).squeeze(-1)
    torch.testing.assert_close(closed.push(branch, x, v), expected, rtol=1e-9, atol=1e-12)


def test_a_relu_jacobian_does_not_change_within_a_polytope(tiny_folder):
    """With the norm held fixed, two points with the same code have the same Jacobian (the post, footnote 10)."""
    branch = mlp_of(Transformer.load(tiny_folder("opt"), device="cpu").bridge, LAYER)
    x = torch.randn(1, 32)
    near = x * 1.0001
    assert torch.equal(branch.pre_activation(x) > 0, branch.pre_activation(near) > 0)
    matrices = closed.gram(branch)
    norms = [closed.jacobian_norms(branch, matrices, point).mlp_fc for point in (x, near)]
    assert torch.equal(*norms)


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "silu", "relu", "gelu_pytorch_tanh"])
def test_derivatives_of_the_activations(activation):
    from transformers.activations import ACT2FN

    z = torch.linspace(-3, 3, 41, dtype=torch.float64) + 0.01
    h = 1e-6
    slope = (ACT2FN[activation](z + h) - ACT2FN[activation](z - h)) / (2 * h)
    torch.testing.assert_close(closed.derivative(ACT2FN[activation], z), slope, rtol=1e-6, atol=1e-8)
