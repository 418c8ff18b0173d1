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


class Trace(NamedTuple):
    """The trace of one pair.

    Attributes:
        pair: The pair, tokenised.
        layers: The layers after the interpolation layer, in order.
        alphas: (steps,), interpolation parameters.
        resid_pre: (layers, steps, d_model), what each block reads; for the first of these layers, the path itself.
        mlp_input: (layers, steps, d_model), the residual vectors that each MLP branch reads, before its norm.
        resid_post: (layers, steps, d_model), the residual stream after each block.
    """

    pair: TokenisedPair
    layers: tuple[int, ...]
    alphas: Float[Tensor, " steps"]
    resid_pre: Float[Tensor, "layers steps d_model"]
    mlp_input: Float[Tensor, "layers steps d_model"]
    resid_post: Float[Tensor, "layers steps d_model"]


class Inputs(NamedTuple):
    """The part of a trace that the MLPs read; its attributes are those of `Trace`."""

    pair: TokenisedPair
    layers: tuple[int, ...]
    alphas: Float[Tensor, " steps"]
    mlp_input: Float[Tensor, "layers steps d_model"]


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
    return [Inputs(pair, layers, alphas, of_pair) for pair, of_pair in zip(pairs, mlp_input, strict=True)]


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
    posts = _vectors(
        table_path(root, model, tables.TRACE, shard),
        "resid_post",
        len(found),
        len(layers),
        len(found[0].alphas),
        room=1,
    )
    traces = []
    listed = shard_pairs(root, model, shard, model_folder, bos)
    whole = [(pair, residuals) for pair, residuals in listed if depth.is_traced(pair.pair)]
    for (pair, residuals), inputs, stream in zip(whole, found, posts, strict=True):
        stream[0] = path_at(residuals, trace_layer, inputs.alphas, path=path, pair=pair.pair.id)
        traces.append(Trace(pair, layers, inputs.alphas, stream[:-1], inputs.mlp_input, stream[1:]))
    return traces


def _vectors(
    file: Path, column: str, pairs: int, layers: int, steps: int, room: int = 0
) -> Float[Tensor, "pair layers steps d"]:
    """Read one vector column of the trace, leaving `room` empty layers in front of each pair's layers.

    The column is read a few rows at a time, so that it is held only once.
    """
    kept = torch.empty(0)
    done, per_pair = 0, layers * steps
    for values in tables.vector_batches(tables.TRACE, file, column):
        if done == 0:
            kept = torch.empty(pairs, room + layers, steps, values.shape[-1], dtype=torch.float32)
        while len(values):
            pair, first = divmod(done, per_pair)
            some, values = values[: per_pair - first], values[per_pair - first :]
            kept[pair, room:].view(per_pair, -1).numpy()[first : first + len(some)] = some
            done += len(some)
    return kept


def tangents(x: Float[Tensor, "... steps d_model"]) -> Float[Tensor, "... steps d_model"]:
    """Return the unit tangent at every step, from central differences that are one-sided at the ends.

    The tangent is zero where the path does not move.
    """
    ahead = torch.cat([x[..., 1:, :], x[..., -1:, :]], dim=-2)
    behind = torch.cat([x[..., :1, :], x[..., :-1, :]], dim=-2)
    return torch.nn.functional.normalize(ahead - behind, dim=-1, eps=1e-30)
