"""Products by oneDNN equal the plain operators, for every layout in memory, and stay out of the way of derivatives."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from plateaus.model import products

LAYOUTS = {
    "dense": lambda x: x.contiguous(),
    "transposed": lambda x: x.mT.contiguous().mT,
    "part of a matrix": lambda x: functional.pad(x, (1, 2))[..., 1:-2],
    "every second row": lambda x: x.repeat_interleave(2, dim=-2)[..., ::2, :],
}


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("of_weight", LAYOUTS)
@pytest.mark.parametrize("of_x", LAYOUTS)
def test_products_equal_the_plain_operators(of_x, of_weight):
    torch.manual_seed(0)
    x, weight, bias = LAYOUTS[of_x](torch.randn(5, 7, 33)), LAYOUTS[of_weight](torch.randn(41, 33)), torch.randn(41)
    close(products.linear(x, weight), functional.linear(x, weight))
    close(products.linear(x, weight, bias), functional.linear(x, weight, bias))
    close(products.matmul(x, weight.T), x @ weight.T)
    several = LAYOUTS[of_weight](torch.randn(5, 33, 21))
    close(products.bmm(x, several), torch.bmm(x, several))
    out = torch.empty(5, 7, 21)
    assert products.bmm(x, several, out=out) is out
    close(out, torch.bmm(x, several))


@pytest.mark.parametrize("shape", [(0, 33), (2, 0, 33)])
def test_products_without_rows_have_none(shape):
    assert products.linear(torch.empty(shape), torch.empty(41, 33)).shape == (*shape[:-1], 41)


def test_other_types_and_derivatives_go_to_the_plain_operators():
    torch.manual_seed(0)
    x, weight = torch.randn(3, 8), torch.randn(6, 8)
    assert torch.equal(products.linear(x.double(), weight.double()), x.double() @ weight.double().T)
    leaf = x.clone().requires_grad_()
    products.linear(leaf, weight).sum().backward()
    close(leaf.grad, weight.sum(0).expand(3, -1))
    _, moved = torch.func.jvp(lambda one: products.linear(one, weight), (x,), (x,))
    close(moved, x @ weight.T)
    close(torch.func.jacrev(lambda one: products.linear(one[None], weight)[0])(x[0]), weight)


@pytest.mark.parametrize("module", [torch.nn.Linear(8, 6), torch.nn.Linear(8, 6, bias=False), Conv1D(6, 8)])
@torch.no_grad()
def test_linear_layers_inside_a_decorated_function_use_them(module, monkeypatch):
    seen = []
    plain = products.linear
    monkeypatch.setattr(products, "linear", lambda *given: seen.append(len(given)) or plain(*given))
    x = torch.randn(2, 3, 8)
    expected = module(x)
    assert not seen
    close(products.in_modules(module)(x), expected)
    assert len(seen) == 1
