"""What the usual way differentiates: components of a block as functions of the last token's vector."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from plateaus.model import architecture
from plateaus.model.transformer import Transformer
from plateaus.prompts.pairs import TokenisedPair

CHUNK = 128
"""Rows of a Jacobian at a time, as the post's released code has it."""

Function = Callable[[Tensor], Tensor]


class Call(NamedTuple):
    """The arguments of a block beside the residual stream."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@torch.no_grad()
def call_of(model: Transformer, pair: TokenisedPair, layer: int) -> Call:
    """How a block is called on a pair's prompts."""
    calls: list[Call] = []
    handle = model.bridge.blocks[layer].register_forward_pre_hook(
        lambda _, args, kwargs: calls.append(Call(args[1:], dict(kwargs))), with_kwargs=True
    )
    try:
        ids = torch.tensor([[*pair.prefix, pair.token_a]])
        model.bridge.original_model(input_ids=ids, use_cache=False)  # a cache would grow with every later call
    finally:
        handle.remove()
    calls[0].kwargs.pop("hidden_states", None)
    return calls[0]


def whole(function: Function, at: Tensor) -> Tensor:
    """The Jacobian at a vector, by reverse differentiation."""
    matrix: Tensor = torch.func.jacrev(function, chunk_size=CHUNK)(at)
    return matrix.detach()


def mlp_of(model: Transformer, layer: int) -> Function:
    """The MLP with its norm, at one token; plain products, since not every bridge's MLP can be called by itself."""
    mlp = architecture.mlp_of(model.bridge, layer)
    return lambda x: mlp(x[None])[0]


def blocks_of(model: Transformer, calls: Mapping[int, Call], before: Tensor) -> Function:
    """Blocks one after the other on the whole sequence.

    Args:
        model: The model.
        calls: Which blocks, and the other arguments of each.
        before: (tokens, d_model), what the first one reads; the last row is replaced by the function's argument.
    """

    def function(x: Tensor) -> Tensor:
        stream = _with_last(before, x)
        for layer, call in calls.items():
            output = model.bridge.blocks[layer](stream, *call.args, **call.kwargs)
            stream = output[0] if isinstance(output, tuple) else output
        return stream[0, -1]

    return function


def attention_of(model: Transformer, layer: int, before: Tensor, call: Call) -> Function:
    """Attention with its norm on the whole sequence; arguments as of `blocks_of`."""
    block = model.bridge.blocks[layer]

    def function(x: Tensor) -> Tensor:
        output = block.attn(hidden_states=block.ln1(_with_last(before, x)), **call.kwargs)
        hidden: Tensor = output[0] if isinstance(output, tuple) else output
        return hidden[0, -1]

    return function


def _with_last(before: Tensor, x: Tensor) -> Tensor:
    return torch.cat([before[:-1], x[None]])[None]
