"""interpolate: patch the path between two prompts into every layer, and record all later layers and the logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from plateaus.curves import geometry, predictions
from plateaus.curves.endpoints import path_at, shard_pairs
from plateaus.curves.geometry import Measures
from plateaus.curves.layers import choose_layers
from plateaus.curves.logits import measure_logits
from plateaus.curves.rows import Collector, Columns, curve_columns, curve_rows, stack, with_pair
from plateaus.curves.sweep import Group, Recording, sweep
from plateaus.data import tables
from plateaus.data.results import table_path
from plateaus.errors import InputError
from plateaus.model.transformer import Transformer
from plateaus.prompts import depth
from plateaus.prompts.batches import batches
from plateaus.prompts.pairs import Pair, TokenisedPair
from plateaus.sources.quiet import go_offline
from plateaus.stages.job import Job
from plateaus.stages.runner import run

ROWS = 200
"""About how many rows at the trace layer go through the model together. A product of fewer rows spends much of its time
loading the weights; more rows are not faster."""


class PairResult(NamedTuple):
    """The rows of one pair for each table of this stage, without the column `pair`.

    `trace` and `tokens` are None for a pair that only gets its curves.
    """

    interpolate: Columns
    endpoint_check: Columns
    trace: Columns | None
    tokens: Columns | None


class Ends(NamedTuple):
    """A pair, and resid_post of its two unpatched prompts at every layer, from extract: (end, layers, d_model)."""

    pair: TokenisedPair
    residuals: Float[Tensor, "end layers d_model"]


def interpolate_pairs(
    model: Transformer,
    pairs: Sequence[Ends],
    *,
    steps: int,
    path: str,
    layers: list[int],
    trace_layer: int,
    top_tokens: int,
    memory_gb: float,
    traced: bool = True,
) -> list[PairResult]:
    """Record all curves of pairs that share their prefix, in one sweep.

    Args:
        model: The model.
        pairs: The pairs.
        steps: Number of points from alpha 0 to 1.
        path: ``spherical`` or ``linear``.
        layers: Interpolation layers.
        trace_layer: The interpolation layer whose vectors and next-token probabilities are kept.
        top_tokens: How many of the likeliest next tokens of each endpoint are followed along the path.
        memory_gb: Memory budget in GB for the intermediate results of one block.
        traced: Whether the trace layer's vectors and next-token probabilities are kept; its curves are in any case.

    Returns:
        For each pair, its rows of each table of this stage.

    Raises:
        InputError: there is no path between the endpoints, or the two prompts have the same next-token distribution.
    """
    alphas = geometry.alphas(steps)
    groups = [
        Group(layer, path_at(of.residuals, layer, alphas, path=path, pair=of.pair.pair.id), pair=number)
        for layer in layers
        for number, of in enumerate(pairs)
    ]
    # All measures stay on the device until the sweep is over, so that it never waits for a copy.
    recorded: list[tuple[tuple[Group, ...], int, Measures]] = []
    vectors: list[list[tuple[int, Tensor, Tensor]]] = [[] for _ in pairs]
    recording: Recording | None = None
    for recording in sweep(model, model.prefix(list(pairs[0].pair.prefix)), groups, memory_gb=memory_gb):
        recorded.append((recording.groups, recording.layer, geometry.measure(recording.resid_post)))
        for number, group in enumerate(recording.groups):
            if traced and group.interp_layer == trace_layer < recording.layer:
                read, post = recording.mlp_input[number].clone(), recording.resid_post[number].clone()
                vectors[group.pair].append((recording.layer, read, post))
    assert recording is not None
    curves: list[list[Columns]] = [[] for _ in pairs]
    for of_layer, layer, measured in recorded:
        for group, one in zip(of_layer, measured.of_groups(), strict=True):
            curves[group.pair].append(curve_columns(one, alphas, group.interp_layer, "resid_post", layer))
    checks: list[list[Columns]] = [[] for _ in pairs]
    tokens: list[Columns | None] = [None for _ in pairs]
    unpatched = model.logits(torch.cat([of.residuals[:, -1] for of in pairs]).to(model.device)).unflatten(0, (-1, 2))
    compared = unpatched[[group.pair for group in recording.groups]]
    of_logits = measure_logits(model, recording.resid_post, unpatched=compared)
    for group, rows, curve in zip(recording.groups, recording.resid_post, of_logits, strict=True):
        layer, own = group.interp_layer, group.pair
        curves[own].append(curve_columns(curve.measures, alphas, layer, "logits", model.n_layers))
        errors = curve.errors.cpu().numpy()
        checks[own].append({"interp_layer": np.full(2, layer), "end": np.array(["a", "b"]), "logit_error": errors})
        if layer == trace_layer:
            p = predictions.probabilities(model, rows)
            measured = predictions.measure_predictions(p, name=f"pair '{pairs[own].pair.pair.id}'")
            curves[own].append(curve_columns(measured, alphas, layer, predictions.SITE, model.n_layers))
            tokens[own] = _tokens(model, p, alphas, top_tokens) if traced else None
    traces = [stack([_trace(*one, alphas) for one in of_pair]) if traced else None for of_pair in vectors]
    return [
        PairResult(stack(curves[number]), stack(checks[number]), traces[number], tokens[number])
        for number in range(len(pairs))
    ]


def _trace(layer: int, mlp_input: Tensor, resid_post: Tensor, alphas: Tensor) -> Columns:
    steps = len(alphas)
    return {
        "layer": np.full(steps, layer),
        "step": np.arange(steps),
        "alpha": alphas.numpy(),
        "mlp_input": mlp_input.cpu().numpy(),
        "resid_post": resid_post.cpu().numpy(),
    }


def _tokens(model: Transformer, p: Float[Tensor, "steps d_vocab"], alphas: Tensor, top: int) -> Columns:
    """Return, along the path, the probabilities of each endpoint's `top` likeliest tokens and each step's likeliest."""
    best = p.argmax(-1)
    at_ends = p[[0, -1]].topk(min(top, model.d_vocab), dim=-1).indices.flatten()
    chosen = torch.unique(torch.cat([best, at_ends]))
    followed = p[:, chosen].T.cpu().numpy()
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

    done = 0
    every = [Ends(*one) for one in shard_pairs(job.root, job.model, job.shard, job.model_folder, settings["bos"])]
    listed = [of for of in every if of_pair(of.pair.pair)]
    parts: dict[str, dict[str, Columns]] = {name: {} for name in PairResult._fields if name != tables.TRACE.name}
    trace = Collector([of.pair.pair.id for of in listed if depth.is_traced(of.pair.pair)])
    for pairs in batches(
        listed,
        alike=lambda of: (of.pair.prefix, depth.is_traced(of.pair.pair), of_pair(of.pair.pair)),
        most=lambda of: ROWS // (settings["steps"] * len(of_pair(of.pair.pair))),
    ):
        first = pairs[0].pair.pair
        job.progress(f"pair {done + 1} of {len(listed)}, {first.id}")
        results = interpolate_pairs(
            model, pairs, steps=settings["steps"], path=settings["path"], layers=of_pair(first),
            trace_layer=trace_layer, top_tokens=settings["top_tokens"], memory_gb=job.memory_gb,
            traced=depth.is_traced(first),
        )  # fmt: skip
        for of, result in zip(pairs, results, strict=True):
            _check_endpoints(result.endpoint_check, of.pair.pair.id, job.model, settings["endpoint_tolerance"])
            if result.trace is not None:
                trace.add(of.pair.pair.id, result.trace)
            for name, of_pairs in parts.items():
                if (columns := getattr(result, name)) is not None:
                    of_pairs[of.pair.pair.id] = columns
        done += len(pairs)
    rows = sum(curve_rows(1, settings["steps"], of_pair(of.pair.pair), model.n_layers) for of in listed)
    _write(job, tables.TRACE, trace.columns(), model.d_model)
    del trace
    for table in (tables.ENDPOINT_CHECK, tables.TOKENS, tables.INTERPOLATE):
        expected = rows + settings["steps"] * len(listed) if table is tables.INTERPOLATE else None
        _write(job, table, _joined(parts.pop(table.name)), model.d_model, expected)


def _check_endpoints(check: Columns, pair: str, model: str, tolerance: float) -> None:
    worst = int(np.argmax(check["logit_error"]))
    if check["logit_error"][worst] > tolerance:
        raise InputError(
            f"model {model}, pair '{pair}': patching the unchanged endpoint {check['end'][worst]} at layer "
            f"{check['interp_layer'][worst]} changes the logits by {check['logit_error'][worst]:.2g}, more than "
            f"interpolate.endpoint_tolerance ({tolerance:g}): the sweep does not fit this architecture"
        )


def _write(job: Job, table: tables.Table, columns: Columns | None, d_model: int, expected: int | None = None) -> None:
    """Write a table, which has no rows if there are no columns, and check its number of rows if one is expected."""
    data = tables.build(table, columns or tables.no_rows(table, d_model))
    if expected is not None:
        tables.check_grid(table, data, expected, "pairs x steps x interpolation layers x recording sites")
    tables.write_table(table_path(job.root, job.model, table, job.shard), table, data, job.metadata())


def _joined(of_pairs: dict[str, Columns]) -> Columns | None:
    """Join the rows of all pairs, column by column, freeing each part as soon as it is joined."""
    parts = [with_pair(of_pairs.pop(pair), pair) for pair in sorted(of_pairs)]
    return {name: np.concatenate([part.pop(name) for part in parts]) for name in list(parts[0])} if parts else None


if __name__ == "__main__":
    run("interpolate", interpolate)
