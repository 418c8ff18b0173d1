"""The one-sweep method: every interpolation layer of a pair in one pass through the model.

Interpolating at layer L and running the rest of the model is the same as letting the rows of that path join the
residual stream after block L. So the blocks are run once, in order, on all rows that have joined so far: no row
is ever run below its own interpolation layer, and every weight is read once per pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from plateaus.transformer import BlockOutput, Prefix, Transformer


class Recording(NamedTuple):
    """The rows after one block.

    Attributes:
        layer: The block just passed, at whose resid_post the rows are recorded.
        interp_layers: Interpolation layer of each group.
        resid_post: (groups, steps, d_model).
        mlp_input: (groups, steps, d_model), what this block's MLP read; the group that has only just joined,
            which is the last one and whose interpolation layer is `layer`, has none and is left out.
    """

    layer: int
    interp_layers: tuple[int, ...]
    resid_post: Float[Tensor, "groups steps d_model"]
    mlp_input: Float[Tensor, "earlier steps d_model"]


def sweep(
    model: Transformer,
    prefix: Prefix,
    paths: dict[int, Float[Tensor, "steps d_model"]],
    *,
    memory_gb: float,
) -> Iterator[Recording]:
    """Run all paths through the model together.

    Args:
        model: The model.
        prefix: The pair's prefix.
        paths: Interpolation layer to the path that replaces resid_post of that layer; all of equal length.
        memory_gb: Budget for the intermediate results of one block; rows are cut into chunks to stay within.

    Yields:
        A recording after every block from the first interpolation layer on.
    """
    joined: list[int] = []
    state: Tensor | None = None
    for layer in range(min(paths), model.n_layers):
        if state is None:
            mlp_input = next(iter(paths.values())).new_empty(0, *next(iter(paths.values())).shape)
        else:
            state, mlp_input = _through_block(model, layer, state, prefix, memory_gb)
        if layer in paths:
            path = paths[layer].to(model.device)[None]
            state = path if state is None else torch.cat([state, path])
            joined.append(layer)
        assert state is not None
        yield Recording(layer, tuple(joined), state, mlp_input)


def _through_block(
    model: Transformer, layer: int, state: Tensor, prefix: Prefix, memory_gb: float
) -> tuple[Tensor, Tensor]:
    """One block over all rows, some whole groups at a time."""
    groups, steps, _ = state.shape
    per_chunk = max(1, int(memory_gb * 1e9 / (steps * model.bytes_per_row(prefix.length))))
    posts, inputs = [], []
    for start in range(0, groups, per_chunk):
        chunk = state[start : start + per_chunk]
        output: BlockOutput = model.block(layer, chunk.reshape(-1, chunk.shape[-1]), prefix)
        posts.append(output.resid_post.reshape(chunk.shape))
        inputs.append(output.mlp_input.reshape(chunk.shape))
    return (posts[0], inputs[0]) if len(posts) == 1 else (torch.cat(posts), torch.cat(inputs))


def choose_layers(layers: str | Sequence[int], n_layers: int) -> list[int]:
    """The interpolation layers that a config asks for: ``all``, or a list that may count from the end.

    Raises:
        ValueError: a layer that the model does not have.
    """
    if layers == "all":
        return list(range(n_layers))
    chosen = sorted({int(layer) + n_layers if int(layer) < 0 else int(layer) for layer in layers})
    outside = [layer for layer in chosen if not 0 <= layer < n_layers]
    if outside:
        raise ValueError(f"layer {outside[0]} is not in the model, which has layers 0 to {n_layers - 1}")
    return chosen
