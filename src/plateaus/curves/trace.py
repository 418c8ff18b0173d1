"""The trace: what every later block and its MLP read and what the block wrote, along one interpolation path."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from plateaus.curves import geometry
from plateaus.curves.endpoints import path_at, shard_pairs
from plateaus.data import tables
from plateaus.data.results import table_path
from plateaus.prompts import depth
from plateaus.prompts.pairs import TokenisedPair

Layers = list[Float[Tensor, "steps d_model"]]
"""Vectors along the path at each of a trace's layers, one tensor per layer so that each can be freed by itself."""


class Trace(NamedTuple):
    """The trace of one pair.

    Attributes:
        pair: The pair, tokenised.
        layers: The layers after the interpolation layer, in order.
        alphas: (steps,), interpolation parameters.
        resid_pre: What each block reads; for the first of these layers, the path itself.
        mlp_input: The residual vectors that each MLP branch reads, before its norm.
        resid_post: The residual stream after each block.
    """

    pair: TokenisedPair
    layers: tuple[int, ...]
    alphas: Float[Tensor, " steps"]
    resid_pre: Layers
    mlp_input: Layers
    resid_post: Layers

    def free(self, layer: int) -> None:
        """Free the vectors that the block of a layer reads, once nothing more is to be computed from them."""
        place = self.layers.index(layer)
        nothing = torch.empty(0)
        self.resid_pre[place] = self.mlp_input[place] = nothing
        if place > 0:  # what one block writes is what the next one reads
            self.resid_post[place - 1] = nothing


class Inputs(NamedTuple):
    """The part of a trace that the MLPs read; its attributes are those of `Trace`."""

    pair: TokenisedPair
    layers: tuple[int, ...]
    alphas: Float[Tensor, " steps"]
    mlp_input: Layers


def read_inputs(root: Path, model: str, shard: str, model_folder: Path, bos: str | bool) -> list[Inputs]:
    """Read what the MLPs read along the traced path, for each pair of a shard, sorted by pair.

    Args:
        root: `results/<run>`.
        model: Id of the model.
        shard: Name of the shard.
        model_folder: The model's folder, for its tokenizer.
        bos: What comes before every text; see `plateaus.sources.bos.leading_tokens`.

    Raises:
        InputError: a table of the shard is missing or unreadable.
    """
    file = table_path(root, model, tables.TRACE, shard)
    pairs = [pair for pair, _ in shard_pairs(root, model, shard, model_folder, bos) if depth.is_traced(pair.pair)]
    if not pairs:
        return []
    rows = tables.read(tables.TRACE, [file], ["layer"])["layer"].to_pylist()
    layers = tuple(sorted(set(rows)))
    steps = len(rows) // (len(pairs) * len(layers))
    mlp_input = _vectors(file, "mlp_input", len(pairs), len(layers), steps)
    alphas = geometry.alphas(steps)
    return [
        Inputs(pair, layers, alphas, [of_layer[place] for of_layer in mlp_input]) for place, pair in enumerate(pairs)
    ]


def read_traces(
    root: Path, model: str, shard: str, model_folder: Path, bos: str | bool, *, trace_layer: int, path: str
) -> list[Trace]:
    """Read the whole trace of each pair of a shard, sorted by pair.

    Args:
        root: `results/<run>`.
        model: Id of the model.
        shard: Name of the shard.
        model_folder: The model's folder, for its tokenizer.
        bos: What comes before every text; see `plateaus.sources.bos.leading_tokens`.
        trace_layer: The interpolation layer; its path is computed again from what extract wrote.
        path: ``spherical`` or ``linear``.

    Raises:
        InputError: a table of the shard is missing or unreadable.
    """
    found = read_inputs(root, model, shard, model_folder, bos)
    if not found:
        return []
    layers = found[0].layers
    file = table_path(root, model, tables.TRACE, shard)
    posts = _vectors(file, "resid_post", len(found), len(layers), len(found[0].alphas))
    traces = []
    listed = shard_pairs(root, model, shard, model_folder, bos)
    whole = [(pair, residuals) for pair, residuals in listed if depth.is_traced(pair.pair)]
    for place, ((pair, residuals), inputs) in enumerate(zip(whole, found, strict=True)):
        start = path_at(residuals, trace_layer, inputs.alphas, path=path, pair=pair.pair.id)
        post = [of_layer[place] for of_layer in posts]
        traces.append(Trace(pair, layers, inputs.alphas, [start, *post[:-1]], inputs.mlp_input, post))
    return traces


def _vectors(
    file: Path, column: str, pairs: int, layers: int, steps: int
) -> list[Float[Tensor, "pairs steps d_model"]]:
    """Read one vector column of the trace, as one tensor per layer.

    The column is read a few rows at a time, so that it is held only once.
    """
    kept: list[Tensor] = []
    done = 0
    for values in tables.vector_batches(tables.TRACE, file, column):
        if done == 0:
            kept = [torch.empty(pairs, steps, values.shape[-1]) for _ in range(layers)]
        while len(values):
            curve, first = divmod(done, steps)
            pair, layer = divmod(curve, layers)
            some, values = values[: steps - first], values[steps - first :]
            kept[layer][pair].numpy()[first : first + len(some)] = some
            done += len(some)
    return kept


def tangents(x: Float[Tensor, "... steps d_model"]) -> Float[Tensor, "... steps d_model"]:
    """Return the unit tangent at every step, from central differences that are one-sided at the ends.

    The tangent is zero where the path does not move.
    """
    ahead = torch.cat([x[..., 1:, :], x[..., -1:, :]], dim=-2)
    behind = torch.cat([x[..., :1, :], x[..., :-1, :]], dim=-2)
    return torch.nn.functional.normalize(ahead - behind, dim=-1, eps=1e-30)
