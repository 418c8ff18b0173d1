"""The trace: along one interpolation layer's path, what every later block read, passed on, and its MLP saw."""

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
from plateaus.prompts.pairs import TokenisedPair


class Trace(NamedTuple):
    """One pair's trace.

    Attributes:
        pair: The pair, tokenised.
        layers: The layers after the interpolation layer, in order.
        alphas: (steps,).
        resid_pre: (layers, steps, d_model), what each block reads; for the first one, the path itself.
        mlp_input: (layers, steps, d_model).
        resid_post: (layers, steps, d_model).
    """

    pair: TokenisedPair
    layers: tuple[int, ...]
    alphas: Float[Tensor, " steps"]
    resid_pre: Float[Tensor, "layers steps d_model"]
    mlp_input: Float[Tensor, "layers steps d_model"]
    resid_post: Float[Tensor, "layers steps d_model"]


class Inputs(NamedTuple):
    """The part of a trace that MLPs read; its attributes are a `Trace`'s."""

    pair: TokenisedPair
    layers: tuple[int, ...]
    alphas: Float[Tensor, " steps"]
    mlp_input: Float[Tensor, "layers steps d_model"]


def read_inputs(root: Path, model: str, shard: str, model_folder: Path) -> list[Inputs]:
    """What the MLPs read along the traced path, of a shard's pairs, sorted by pair.

    Args:
        root: `results/<run>`.
        model: Id of the model.
        shard: Name of the shard.
        model_folder: For the tokenizer.
    """
    file = table_path(root, model, tables.TRACE, shard)
    pairs = [pair for pair, _ in shard_pairs(root, model, shard, model_folder)]
    layers = tuple(sorted(set(tables.read(tables.TRACE, [file], ["layer"])["layer"].to_pylist())))
    mlp_input = _vectors(file, "mlp_input", len(pairs), len(layers))
    alphas = geometry.alphas(mlp_input.shape[2])
    return [Inputs(pair, layers, alphas, of_pair) for pair, of_pair in zip(pairs, mlp_input, strict=True)]


def read_traces(root: Path, model: str, shard: str, model_folder: Path, *, trace_layer: int, path: str) -> list[Trace]:
    """The whole traces of a shard's pairs, sorted by pair.

    Args:
        root: `results/<run>`.
        model: Id of the model.
        shard: Name of the shard.
        model_folder: For the tokenizer.
        trace_layer: The interpolation layer, whose path is made again from what extract wrote.
        path: ``spherical`` or ``linear``.
    """
    found = read_inputs(root, model, shard, model_folder)
    layers = found[0].layers
    posts = _vectors(table_path(root, model, tables.TRACE, shard), "resid_post", len(found), len(layers), room=1)
    traces = []
    for (pair, residuals), inputs, stream in zip(
        shard_pairs(root, model, shard, model_folder), found, posts, strict=True
    ):
        stream[0] = path_at(residuals, trace_layer, inputs.alphas, path=path, pair=pair.pair.id)
        traces.append(Trace(pair, layers, inputs.alphas, stream[:-1], inputs.mlp_input, stream[1:]))
    return traces


def _vectors(file: Path, column: str, pairs: int, layers: int, room: int = 0) -> Float[Tensor, "pair layers steps d"]:
    """One vector column, with room for so many layers more before each pair's; only one column is held at a time."""
    values = tables.vectors(tables.read(tables.TRACE, [file], [column]), column)
    values = values.reshape(pairs, layers, -1, values.shape[-1])
    kept = torch.empty(pairs, room + layers, *values.shape[2:], dtype=torch.float32)
    kept.numpy()[:, room:] = values
    return kept


def tangents(x: Float[Tensor, "... steps d_model"]) -> Float[Tensor, "... steps d_model"]:
    """Unit direction of travel at every step: central differences, one-sided at the ends; zero where nothing moves."""
    ahead = torch.cat([x[..., 1:, :], x[..., -1:, :]], dim=-2)
    behind = torch.cat([x[..., :1, :], x[..., :-1, :]], dim=-2)
    return torch.nn.functional.normalize(ahead - behind, dim=-1, eps=1e-30)
