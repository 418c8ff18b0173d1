"""The functions that the usual way differentiates: components of a block, as functions of the last token's vector."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from plateaus.model.transformer import Transformer
from plateaus.prompts.pairs import TokenisedPair

CHUNK = 128
"""Rows of a Jacobian that are computed together, as in the post's released code."""

Function = Callable[[Tensor], Tensor]


class Call(NamedTuple):
    """The arguments of a block other than the residual stream."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@torch.no_grad()
def call_of(model: Transformer, pair: TokenisedPair, layer: int) -> Call:
    """Record the arguments with which a block is called on a pair's prompts."""
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
    """Compute the whole Jacobian of a function at a vector, by reverse-mode differentiation."""
    matrix: Tensor = torch.func.jacrev(function, chunk_size=CHUNK)(at)
    return matrix.detach()


def mlp_of(model: Transformer, layer: int) -> Function:
    """Return the MLP with its norm as a function of one vector.

    It is computed with plain products, because not every bridge's MLP can be called on its own.
    """
    mlp = model.mlp(layer)
    return lambda x: mlp(x[None])[0]


def blocks_of(model: Transformer, calls: Mapping[int, Call], before: Tensor) -> Function:
    """Return consecutive blocks on the whole sequence as a function of the last token's vector.

    Args:
        model: The model.
        calls: The layers of the blocks, with the other arguments of each block.
        before: (tokens, d_model), the input of the first block; the function's argument replaces the last row.
    """

    def function(x: Tensor) -> Tensor:
        stream = _with_last(before, x)
        for layer, call in calls.items():
            output = model.bridge.blocks[layer](stream, *call.args, **call.kwargs)
            stream = output[0] if isinstance(output, tuple) else output
        return stream[0, -1]

    return function


def attention_of(model: Transformer, layer: int, before: Tensor, call: Call) -> Function:
    """Return attention with its norm on the whole sequence as a function; `before` is as in `blocks_of`."""
    block = model.bridge.blocks[layer]

    def function(x: Tensor) -> Tensor:
        output = block.attn(hidden_states=block.ln1(_with_last(before, x)), **call.kwargs)
        hidden: Tensor = output[0] if isinstance(output, tuple) else output
        return hidden[0, -1]

    return function


def _with_last(before: Tensor, x: Tensor) -> Tensor:
    return torch.cat([before[:-1], x[None]])[None]
