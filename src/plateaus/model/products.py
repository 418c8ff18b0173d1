"""Matrix products in float32 on the CPU by oneDNN, which PyTorch contains, instead of MKL.

PyTorch gives products in float32 to MKL. On processors that are not Intel's, MKL leaves the widest vector instructions
(AVX-512) unused; oneDNN uses them, and is then twice as fast (about 215 against 105 GFLOP/s on one core of an AMD EPYC
with AVX-512). The sums are in float32 in both, in another order. The choice depends on the build of PyTorch alone and
on no timing, so that equal runs give equal bytes.

Everything here returns what the plain operators return, and falls back on them on accelerators, for other types, and
where the product is to be differentiated.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.overrides import TorchFunctionMode

P = ParamSpec("P")
T = TypeVar("T")
HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
"""Whether this build of PyTorch has oneDNN's product with dense weights, as `torch.compile` calls it."""


def linear(
    x: Float[Tensor, "... n"], weight: Float[Tensor, "m n"], bias: Float[Tensor, " m"] | None = None
) -> Float[Tensor, "... m"]:
    """Return x weight^T + bias."""
    if not _fits(x, weight, bias):
        return torch.nn.functional.linear(x, weight, bias)
    # With gaps between rows, as in a part of a matrix, oneDNN would be a thousand times slower than copying it.
    dense = weight if weight.is_contiguous() or weight.T.is_contiguous() else weight.contiguous()
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x.contiguous(), dense, bias, "none", [], "")
    return product


def matmul(a: Float[Tensor, "... n"], b: Float[Tensor, "n m"]) -> Float[Tensor, "... m"]:
    """Return a b."""
    return linear(a, b.T)


def bmm(a: Float[Tensor, "k n m"], b: Float[Tensor, "k m p"], out: Tensor | None = None) -> Float[Tensor, "k n p"]:
    """Return the product of each pair of matrices, which is written into `out` if it is given."""
    if not _fits(a, b, None):
        return torch.bmm(a, b) if out is None else torch.bmm(a, b, out=out)
    out = a.new_empty(len(a), a.shape[1], b.shape[2]) if out is None else out
    for number, (left, right) in enumerate(zip(a, b, strict=True)):
        out[number] = matmul(left, right)
    return out


def _fits(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    given = (x, weight) if bias is None else (x, weight, bias)
    plain = all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in given)
    return HAS_ONEDNN and plain and not any(map(_differentiated, given)) and x.numel() > 0 and weight.numel() > 0


def _differentiated(x: Tensor) -> bool:
    recorded = x.requires_grad and torch.is_grad_enabled()
    return recorded or torch._C._functorch.is_functorch_wrapped_tensor(x)  # the latter by torch.func


class _InModules(TorchFunctionMode):
    """While this mode is on, the linear layers of any module use `linear`."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Replace the products of `torch.nn.Linear` and of transformers' `Conv1D` (GPT-2)."""
        kwargs = kwargs or {}
        if func is torch.nn.functional.linear:
            return linear(*args, **kwargs)
        if func is torch.addmm and not kwargs and len(args) == 3 and args[0].dim() == 1:
            bias, x, weight = args
            return linear(x, weight.T, bias)
        return func(*args, **kwargs)


def in_modules(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function that runs modules, so that their linear layers use `linear`."""

    @functools.wraps(function)
    def with_mode(*args: P.args, **kwargs: P.kwargs) -> T:
        with _InModules():
            return function(*args, **kwargs)

    return with_mode
