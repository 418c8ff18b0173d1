"""The one-sweep method: every interpolation layer and freezing condition of a pair in one pass through the model.

Interpolating at layer L and running the rest of the model is the same as letting the rows of that path join the
residual stream after block L. The blocks are therefore run once, in order, on all rows that have joined so far: no row
runs through the blocks up to its own interpolation layer, and the model is run once per pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from plateaus.model.freezing import BASELINE, Freezing
from plateaus.model.prefix import Prefix
from plateaus.model.transformer import Transformer


class Group(NamedTuple):
    """The rows of one path under one condition.

    Attributes:
        interp_layer: The interpolation layer, whose resid_post the path replaces.
        path: (steps, d_model).
        condition: What is frozen in every later layer; see `plateaus.model.freezing`.
        pair: Which of several pairs with the same prefix the path belongs to, counted from 0.
    """

    interp_layer: int
    path: Float[Tensor, "steps d_model"]
    condition: str = BASELINE
    pair: int = 0


class Recording(NamedTuple):
    """The rows after one block.

    Attributes:
        layer: The block that has just been run; the rows are its resid_post.
        groups: The groups that have joined, in the order of the rows.
        resid_post: (groups, steps, d_model).
        mlp_input: (groups that joined at an earlier layer, steps, d_model), what this block's MLP read. A group that
            joins at this layer has not been through the block and is left out.
    """

    layer: int
    groups: tuple[Group, ...]
    resid_post: Float[Tensor, "groups steps d_model"]
    mlp_input: Float[Tensor, "earlier steps d_model"]


def sweep(model: Transformer, prefix: Prefix, groups: Sequence[Group], *, memory_gb: float) -> Iterator[Recording]:
    """Run all groups through the model together.

    Args:
        model: The model.
        prefix: The prefix of the pair, or of all pairs if there are several.
        groups: The paths, all with the same number of steps.
        memory_gb: Memory budget in GB for the intermediate results of one block. The groups are run in chunks of whole
            groups, at least one at a time, to stay within the budget.

    Yields:
        A recording after every block from the first interpolation layer on.
    """
    waiting = sorted(groups, key=lambda group: group.interp_layer)
    joined: list[Group] = []
    state = torch.empty(0, *groups[0].path.shape, dtype=groups[0].path.dtype, device=model.device)
    for layer in range(waiting[0].interp_layer, model.n_layers):
        mlp_input = state
        if joined:
            state, mlp_input = _through_block(model, layer, state, joined, prefix, memory_gb)
        new = [group for group in waiting if group.interp_layer == layer]
        if new:
            state = torch.cat([state, torch.stack([group.path for group in new]).to(model.device)])
            joined.extend(new)
        yield Recording(layer, tuple(joined), state, mlp_input)


def _through_block(
    model: Transformer, layer: int, state: Tensor, groups: Sequence[Group], prefix: Prefix, memory_gb: float
) -> tuple[Tensor, Tensor]:
    """Run one block on all rows, in chunks of whole groups, and return resid_post and mlp_input of every group."""
    steps = state.shape[1]
    per_chunk = max(1, int(memory_gb * 1e9 / (steps * model.bytes_per_row(prefix.length))))
    posts, inputs = [], []
    for start in range(0, len(groups), per_chunk):
        chunk = state[start : start + per_chunk]
        conditions = [group.condition for group in groups[start : start + per_chunk]]
        freezing = _freezing_of(model, layer, chunk, conditions, prefix)
        output = model.block(layer, chunk.reshape(-1, chunk.shape[-1]), prefix, freezing)
        posts.append(output.resid_post.reshape(chunk.shape))
        inputs.append(output.mlp_input.reshape(chunk.shape))
    return (posts[0], inputs[0]) if len(posts) == 1 else (torch.cat(posts), torch.cat(inputs))


def _freezing_of(
    model: Transformer, layer: int, state: Tensor, conditions: Sequence[str], prefix: Prefix
) -> Freezing | None:
    """Return what is frozen in one block for the groups of a chunk, or None if nothing is frozen.

    Args:
        model: The model.
        layer: The block.
        state: (groups, steps, d_model), what the block reads.
        conditions: One per group.
        prefix: The pair's prefix.
    """
    if all(condition == BASELINE for condition in conditions):
        return None
    needed = [group for group, condition in enumerate(conditions) if condition.endswith("_secant")]
    secants: dict[str, Tensor] = {}
    if needed:
        # Secant freezing leaves both ends as in the unpatched prompts, so the ends of any secant group can be used.
        ends = state[needed[0], [0, -1]]
        output = model.block(layer, ends, prefix, parts=True)
        secants = {"attn": output.parts["attn_out"], "mlp": output.parts["mlp_out"]}
    return Freezing(tuple(conditions), secants)
