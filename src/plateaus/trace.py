"""The trace: along one interpolation layer's path, what every later block read, passed on, and its MLP saw."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from plateaus import geometry, tables
from plateaus.curves import path_at, shard_pairs
from plateaus.prompts import TokenisedPair
from plateaus.results import table_path


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


def read_traces(root: Path, model: str, shard: str, model_folder: Path, *, trace_layer: int, path: str) -> list[Trace]:
    """The traces of a shard's pairs, sorted by pair.

    Args:
        root: `results/<run>`.
        model: Id of the model.
        shard: Name of the shard.
        model_folder: For the tokenizer.
        trace_layer: The interpolation layer, whose path is made again from what extract wrote.
        path: ``spherical`` or ``linear``.
    """
    pairs = list(shard_pairs(root, model, shard, model_folder))
    data = tables.read(tables.TRACE, [table_path(root, model, tables.TRACE, shard)])
    layers = tuple(int(layer) for layer in sorted(set(data["layer"].to_pylist())))
    shape = (len(pairs), len(layers), -1, data["resid_post"].type.list_size)
    mlp_input, resid_post = (
        torch.from_numpy(tables.vectors(data, name).copy()).reshape(shape) for name in ("mlp_input", "resid_post")
    )
    alphas = geometry.alphas(mlp_input.shape[2])
    traces = []
    for number, (pair, residuals) in enumerate(pairs):
        start = path_at(residuals, trace_layer, alphas, path=path, pair=pair.pair.id)
        before = torch.cat([start[None], resid_post[number, :-1]])
        traces.append(Trace(pair, layers, alphas, before, mlp_input[number], resid_post[number]))
    return traces


def tangents(x: Float[Tensor, "... steps d_model"]) -> Float[Tensor, "... steps d_model"]:
    """Unit direction of travel at every step: central differences, one-sided at the ends; zero where nothing moves."""
    ahead = torch.cat([x[..., 1:, :], x[..., -1:, :]], dim=-2)
    behind = torch.cat([x[..., :1, :], x[..., :-1, :]], dim=-2)
    return torch.nn.functional.normalize(ahead - behind, dim=-1, eps=1e-30)
