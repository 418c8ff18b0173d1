"""interpolate: patch the path between two prompts into every layer, and record all later layers and the logits."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from plateaus.curves import geometry, predictions
from plateaus.curves.endpoints import path_at, shard_pairs
from plateaus.curves.geometry import Measures
from plateaus.curves.layers import choose_layers
from plateaus.curves.limits import LOGIT_BLOCK
from plateaus.curves.logits import measure_logits
from plateaus.curves.predictions import measure_predictions
from plateaus.curves.rows import Columns, curve_columns, curve_rows, stack, with_pair
from plateaus.curves.sweep import Group, Recording, sweep
from plateaus.data import tables
from plateaus.data.results import table_path
from plateaus.errors import InputError
from plateaus.model.transformer import Transformer
from plateaus.prompts import depth
from plateaus.prompts.pairs import Pair, TokenisedPair
from plateaus.sources.quiet import go_offline
from plateaus.stages.job import Job
from plateaus.stages.runner import run


class PairResult(NamedTuple):
    """The rows of one pair for each table of this stage, without the column `pair`.

    `trace` and `tokens` are None for a pair that only gets its curves.
    """

    interpolate: Columns
    endpoint_check: Columns
    trace: Columns | None
    tokens: Columns | None


def interpolate_pair(
    model: Transformer,
    pair: TokenisedPair,
    residuals: Float[Tensor, "end layers d_model"],
    *,
    steps: int,
    path: str,
    layers: list[int],
    trace_layer: int,
    top_tokens: int,
    memory_gb: float,
    traced: bool = True,
) -> PairResult:
    """Record all curves of one pair, in one sweep.

    Args:
        model: The model.
        pair: The pair, tokenised.
        residuals: resid_post of the two unpatched prompts, from extract.
        steps: Number of points from alpha 0 to 1.
        path: ``spherical`` or ``linear``.
        layers: Interpolation layers.
        trace_layer: The interpolation layer whose vectors and next-token probabilities are kept.
        top_tokens: How many of the likeliest next tokens of each endpoint are followed along the path.
        memory_gb: Memory budget in GB for the intermediate results of one block.
        traced: Whether the trace layer's vectors and next-token probabilities are kept; its curves are in any case.

    Returns:
        The rows of each table of this stage.

    Raises:
        InputError: there is no path between the endpoints, or the two prompts have the same next-token distribution.
    """
    alphas = geometry.alphas(steps)
    groups = [Group(layer, path_at(residuals, layer, alphas, path=path, pair=pair.pair.id)) for layer in layers]
    prefix = model.prefix(list(pair.prefix))
    # All measures stay on the device until the sweep is over, so that it never waits for a copy.
    recorded: list[tuple[tuple[Group, ...], int, Measures]] = []
    vectors: list[tuple[int, Tensor, Tensor]] = []
    recording: Recording | None = None
    for recording in sweep(model, prefix, groups, memory_gb=memory_gb):
        recorded.append((recording.groups, recording.layer, geometry.measure(recording.resid_post)))
        for number, group in enumerate(recording.groups):
            if traced and group.interp_layer == trace_layer < recording.layer:
                read, post = recording.mlp_input[number].clone(), recording.resid_post[number].clone()
                vectors.append((recording.layer, read, post))
    assert recording is not None
    unpatched = model.logits(residuals[:, -1].to(model.device))
    curves = [
        curve_columns(one, alphas, group.interp_layer, "resid_post", layer)
        for of_layer, layer, measured in recorded
        for group, one in zip(of_layer, measured.of_groups(), strict=True)
    ]
    checks: list[Columns] = []
    tokens: Columns | None = None
    of_logits = measure_logits(model, recording.resid_post, unpatched=unpatched)
    for group, rows, curve in zip(recording.groups, recording.resid_post, of_logits, strict=True):
        layer = group.interp_layer
        curves.append(curve_columns(curve.measures, alphas, layer, "logits", model.n_layers))
        errors = curve.errors.cpu().numpy()
        checks.append({"interp_layer": np.full(2, layer), "end": np.array(["a", "b"]), "logit_error": errors})
        if layer == trace_layer:
            measured = measure_predictions(model, rows, name=f"pair '{pair.pair.id}'")
            curves.append(curve_columns(measured, alphas, layer, predictions.SITE, model.n_layers))
            tokens = _tokens(model, rows, alphas, top_tokens) if traced else None
    trace = stack([_trace(*one, alphas) for one in vectors]) if traced else None
    return PairResult(stack(curves), stack(checks), trace, tokens)


def _trace(layer: int, mlp_input: Tensor, resid_post: Tensor, alphas: Tensor) -> Columns:
    steps = len(alphas)
    return {
        "layer": np.full(steps, layer),
        "step": np.arange(steps),
        "alpha": alphas.numpy(),
        "mlp_input": mlp_input.cpu().numpy(),
        "resid_post": resid_post.cpu().numpy(),
    }


def _tokens(model: Transformer, rows: Tensor, alphas: Tensor, top: int) -> Columns:
    """Return, along the path, the probabilities of each endpoint's `top` likeliest tokens and each step's likeliest."""
    blocks = [model.logits(part).softmax(-1) for part in rows.split(LOGIT_BLOCK)]
    best = torch.cat([block.argmax(-1) for block in blocks])
    at_ends = torch.stack([blocks[0][0], blocks[-1][-1]]).topk(min(top, model.d_vocab), dim=-1).indices.flatten()
    chosen = torch.unique(torch.cat([best, at_ends]))
    followed = torch.cat([block[:, chosen] for block in blocks]).T.cpu().numpy()
    steps = len(alphas)
    return {
        "token_id": np.repeat(chosen.cpu().numpy(), steps),
        "step": np.tile(np.arange(steps), len(chosen)),
        "alpha": np.tile(alphas.numpy(), len(chosen)),
        "token": np.repeat([model.token(int(token)) for token in chosen], steps),
        "probability": followed.reshape(-1),
    }


def interpolate(job: Job) -> None:
    """Write the tables `interpolate`, `endpoint_check`, `trace` and `tokens` of one shard.

    Raises:
        InputError: the config names a layer that the model does not have or a trace layer that is the last one, a pair
            has no path between its endpoints, or patching an endpoint does not reproduce the prompt's logits.
    """
    go_offline()
    torch.set_num_threads(job.threads)
    settings: dict[str, Any] = job.slice
    model = Transformer.load(job.model_folder, device=job.device, centre=settings["centre"])
    try:
        layers = choose_layers(settings["layers"], model.n_layers)
        trace_layer = choose_layers([settings["trace_layer"]], model.n_layers)[0]
    except ValueError as error:
        raise InputError(f"model {job.model}: interpolate.layers or trace_layer: {error}") from None
    if trace_layer == model.n_layers - 1:
        raise InputError(
            f"model {job.model}: interpolate.trace_layer is {trace_layer}, the last of its {model.n_layers} layers, so "
            "there is no later layer to record: choose an earlier one"
        )

    def of_pair(pair: Pair) -> list[int]:
        return depth.layers_of(
            pair, layers, stride=settings["suite_stride"], trace_layer=trace_layer, trained=settings["trained"]
        )

    results: list[tuple[str, PairResult]] = []
    pairs = list(shard_pairs(job.root, job.model, job.shard, job.model_folder, settings["bos"]))
    for number, (pair, residuals) in enumerate(pairs, start=1):
        job.progress(f"pair {number} of {len(pairs)}, {pair.pair.id}")
        result = interpolate_pair(
            model, pair, residuals, steps=settings["steps"], path=settings["path"], layers=of_pair(pair.pair),
            trace_layer=trace_layer, top_tokens=settings["top_tokens"], memory_gb=job.memory_gb,
            traced=depth.is_traced(pair.pair),
        )  # fmt: skip
        _check_endpoints(result.endpoint_check, pair.pair.id, job.model, settings["endpoint_tolerance"])
        results.append((pair.pair.id, result))
    rows = sum(curve_rows(1, settings["steps"], of_pair(pair.pair), model.n_layers) for pair, _ in pairs)
    _write(job, results, rows + settings["steps"] * len(pairs), model.d_model)


def _check_endpoints(check: Columns, pair: str, model: str, tolerance: float) -> None:
    worst = int(np.argmax(check["logit_error"]))
    if check["logit_error"][worst] > tolerance:
        raise InputError(
            f"model {model}, pair '{pair}': patching the unchanged endpoint {check['end'][worst]} at layer "
            f"{check['interp_layer'][worst]} changes the logits by {check['logit_error'][worst]:.2g}, more than "
            f"interpolate.endpoint_tolerance ({tolerance:g}): the sweep does not fit this architecture"
        )


def _write(job: Job, results: list[tuple[str, PairResult]], curve_rows: int, d_model: int) -> None:
    metadata = job.metadata()
    for table in (tables.ENDPOINT_CHECK, tables.TRACE, tables.TOKENS, tables.INTERPOLATE):
        found = [(pair, getattr(result, table.name)) for pair, result in results]
        parts = [with_pair(columns, pair) for pair, columns in found if columns is not None]
        data = tables.build(table, stack(parts) if parts else tables.no_rows(table, d_model))
        if table is tables.INTERPOLATE:
            tables.check_grid(table, data, curve_rows, "pairs x steps x interpolation layers x recording sites")
        tables.write_table(table_path(job.root, job.model, table, job.shard), table, data, metadata)


if __name__ == "__main__":
    run("interpolate", interpolate)
