"""Where the parts of a block are in each architecture: the one place that knows, on top of TransformerLens' names."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from plateaus.mlp import Mlp, Norm


def norm_of(component: Any, d_model: int, like: Tensor) -> Norm:
    """The weights of a norm component of the bridge.

    Args:
        component: For example `bridge.blocks[0].ln2`.
        d_model: Its width.
        like: A tensor whose type and device missing weights take.
    """
    module = component.original_component
    gain = getattr(module, "weight", None)
    bias = getattr(module, "bias", None)
    centred = "LayerNorm" in type(module).__name__
    eps = next(
        (float(getattr(module, name)) for name in ("eps", "variance_epsilon") if hasattr(module, name)),
        1e-5,  # OLMo-1 writes its own 1e-5 in the forward pass
    )
    ones = torch.ones(d_model, dtype=like.dtype, device=like.device)
    if gain is None:
        gain = ones
    elif type(module).__name__.startswith("Gemma"):
        gain = 1 + gain  # Gemma stores the gain's distance from one
    return Norm(gain.detach(), torch.zeros_like(ones) if bias is None else bias.detach(), eps, centred)


def mlp_of(bridge: Any, layer: int) -> Mlp:
    """The weights of one layer's MLP branch.

    Args:
        bridge: A TransformerLens bridge.
        layer: Which block.
    """
    from transformers.activations import ACT2FN

    block, config = bridge.blocks[layer], bridge.original_model.config
    part = block.mlp
    w_in, w_out, w_gate = part.W_in.detach(), part.W_out.detach(), getattr(part, "W_gate", None)
    name = next(
        str(getattr(config, key))
        for key in ("hidden_activation", "activation_function", "hidden_act")
        if getattr(config, key, None) is not None
    )

    def bias(submodule: str, size: int) -> Tensor:
        found = getattr(part.submodules[submodule].original_component, "bias", None)
        return torch.zeros(size, dtype=w_in.dtype, device=w_in.device) if found is None else found.detach()

    d_model, d_mlp = w_in.shape
    return Mlp(
        norm=norm_of(block.ln2, d_model, w_in),
        w_in=w_in.T.contiguous(),
        b_in=bias("in", d_mlp),
        w_gate=None if w_gate is None else w_gate.detach().T.contiguous(),
        b_gate=None if w_gate is None else bias("gate", d_mlp),
        w_out=w_out.T.contiguous(),
        b_out=bias("out", d_model),
        activation=ACT2FN[name],
    )


def is_parallel(bridge: Any) -> bool:
    """Whether attention and the MLP of a block both read resid_pre (GPT-NeoX, Pythia)."""
    return type(bridge.blocks[0]).__name__ == "ParallelBlockBridge"
