"""The norms and the MLP of a block as plain weights, each confirmed by a trial on the module itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import torch
from torch import Tensor

from plateaus.errors import InputError
from plateaus.model import architecture, trial
from plateaus.model.layout import Layout
from plateaus.model.mlp import Mlp
from plateaus.model.norm import Norm

PROBE_SIZES = (3.0, 1.0, 0.03)
"""Root mean squares of the vectors that a norm is tried on; in the smallest ones, the norm's epsilon counts."""


@torch.no_grad()
def norm_of(component: Any, d_model: int, like: Tensor) -> Norm:
    """Return the weights of one of the bridge's norm components.

    Args:
        component: The norm component, for example `bridge.blocks[0].ln2`.
        d_model: Width of the residual stream.
        like: A tensor whose dtype and device are used for weights that the norm lacks.

    Raises:
        InputError: the module computes neither LayerNorm nor RMSNorm.
    """
    module = component.original_component
    weight = getattr(module, "weight", None)
    ones = torch.ones(d_model, dtype=like.dtype, device=like.device) if weight is None else torch.ones_like(weight)
    gain = ones if weight is None else weight.detach()
    bias = torch.zeros_like(ones) if getattr(module, "bias", None) is None else module.bias.detach()
    eps = next(
        (float(getattr(module, name)) for name in ("eps", "variance_epsilon", "norm_eps") if hasattr(module, name)),
        1e-5,  # OLMo-1 hard-codes 1e-5 in its forward pass
    )
    x = torch.cat([size * (trial.rows(4, d_model, ones, seed=0) + 0.5) for size in PROBE_SIZES])
    expected = module(x)
    # Gemma and Nemotron store the gain minus one.
    for centred, stored in product((False, True), (gain, 1 + gain)):
        norm = Norm(stored, bias, eps, centred)
        # Each size is compared on its own, so that a wrong epsilon shows.
        parts = zip(norm(x).split(4), expected.split(4), strict=True)
        if all(trial.misfit(*part) < trial.AGREEMENT for part in parts):
            return norm
    raise InputError(f"{type(module).__name__} is neither a LayerNorm nor an RMSNorm")


@torch.no_grad()
def mlp_of(block: Any, layout: Layout, config: object, layer: int) -> Mlp:
    """Return the weights of one layer's MLP branch, with any factor of the branch multiplied into its last weights.

    Args:
        block: One of the bridge's blocks.
        layout: The layout of the block.
        config: The model's configuration.
        layer: Index of the block, for messages.

    Raises:
        InputError: no formula of `plateaus.model.mlp` gives what the MLP branch adds to the residual stream.
    """
    part = block.mlp
    weights: list[Any] = [getattr(part, name, None) for name in ("W_in", "W_out", "W_gate")]
    if not all(isinstance(weight, Tensor) and weight.dim() == 2 for weight in weights[:2]):
        raise InputError(f"the MLP of layer {layer} ({_kind(part)}) is not two matrices and an activation function")
    w_in: Tensor = weights[0].detach()
    w_out: Tensor = weights[1].detach()
    w_gate: Tensor | None = None if weights[2] is None else weights[2].detach()
    d_model, d_mlp = w_in.shape

    def bias(submodule: str, size: int) -> Tensor:
        found = getattr(part.submodules[submodule].original_component, "bias", None)
        return torch.zeros(size, dtype=w_in.dtype, device=w_in.device) if found is None else found.detach()

    mlp = Mlp(
        norm=Norm.none(w_in[:, 0])
        if layout.mlp_norm is None
        else norm_of(getattr(block, layout.mlp_norm), d_model, w_in),
        w_in=w_in.T.contiguous(),
        b_in=bias("in", d_mlp),
        w_gate=None if w_gate is None else w_gate.T.contiguous(),
        b_gate=None if w_gate is None else bias("gate", d_mlp),
        w_out=w_out.T.contiguous(),
        b_out=bias("out", d_model),
        activation=torch.relu,
        post_norm=norm_of(block.ln2_post, d_model, w_in) if architecture.has_norm(block, "ln2_post") else None,
    )
    known = trial.numbers_of(config, block.original_component, part.original_component)
    for activation in _activations(part.original_component, config):
        tried = mlp._replace(activation=activation)
        scale, left = trial.factor(tried(layout.mlp_input), layout.mlp_added, known)
        if left < trial.AGREEMENT:
            return _scaled(tried, scale)
    raise InputError(f"what the MLP of layer {layer} ({_kind(part)}) computes follows no formula that is known here")


def _kind(part: Any) -> str:
    return type(getattr(part, "original_component", part)).__name__


def _scaled(mlp: Mlp, scale: float) -> Mlp:
    """Multiply a branch by a factor, in the weights of its last linear map or of the norm after it."""
    if scale == 1:
        return mlp
    if mlp.post_norm is None:
        return mlp._replace(w_out=mlp.w_out * scale, b_out=mlp.b_out * scale)
    post = mlp.post_norm
    return mlp._replace(post_norm=post._replace(gain=post.gain * scale, bias=post.bias * scale))


def _activations(module: Any, config: object) -> Iterator[Callable[[Tensor], Tensor]]:
    """Yield the activation functions that the MLP may have: those the config names, then those in the module itself."""
    from transformers.activations import ACT2FN

    for key in ("hidden_activation", "activation_function", "hidden_act", "activation", "ffn_act"):
        name = getattr(config, key, None)
        if isinstance(name, str) and name in ACT2FN:
            yield ACT2FN[name]
    for name, value in [*module.named_modules(), *vars(module).items()]:
        if any(part in name.split(".")[-1].lower() for part in ("act", "gelu")) and callable(value):
            yield value
