"""interpolate: patch the path between two prompts into every layer and record every later layer and the logits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from plateaus import geometry, tables
from plateaus.errors import InputError
from plateaus.geometry import Measures
from plateaus.prompts import Pair, TokenisedPair, tokenise_with_file
from plateaus.quiet import go_offline
from plateaus.results import table_path
from plateaus.stages.runner import Job, run
from plateaus.sweep import Recording, choose_layers, sweep
from plateaus.transformer import Transformer

Columns = dict[str, np.ndarray]
LOGIT_BLOCK = 64
"""Steps whose logits are held at once: a vocabulary is large, and more rows at once are not faster."""


class PairResult(NamedTuple):
    """The rows of one pair for each table of this stage (without the pair's name)."""

    interpolate: Columns
    endpoint_check: Columns
    trace: Columns
    tokens: Columns


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
) -> PairResult:
    """All curves of one pair, in one sweep.

    Args:
        model: The model.
        pair: The pair, tokenised.
        residuals: resid_post of the two unpatched prompts, from extract.
        steps: Points from alpha 0 to 1.
        path: ``spherical`` or ``linear``.
        layers: Interpolation layers.
        trace_layer: The one whose vectors and next-token probabilities are kept.
        top_tokens: Likeliest next tokens of each endpoint that are followed.
        memory_gb: Budget of a block.

    Raises:
        InputError: the endpoints leave no path between them.
    """
    alphas = geometry.alphas(steps)
    paths = {
        layer: geometry.interpolate(
            residuals[0, layer], residuals[1, layer], alphas, path=path, name=f"pair '{pair.pair.id}', layer {layer}"
        )
        for layer in layers
    }
    prefix = model.prefix(list(pair.prefix))
    curves: list[Columns] = []
    trace: list[Columns] = []
    recording: Recording | None = None
    for recording in sweep(model, prefix, paths, memory_gb=memory_gb):
        measured = geometry.measure(recording.resid_post)
        for group, layer in enumerate(recording.interp_layers):
            one = Measures(*(values[group] for values in measured))
            curves.append(_curve(one, alphas, layer, "resid_post", recording.layer))
        if trace_layer in recording.interp_layers[:-1] or (
            trace_layer in recording.interp_layers and len(recording.mlp_input) == len(recording.interp_layers)
        ):
            trace.append(_trace(recording, recording.interp_layers.index(trace_layer), alphas))
    assert recording is not None
    unpatched = model.logits(residuals[:, -1].to(model.device))
    checks: list[Columns] = []
    tokens: Columns = {}
    for group, layer in enumerate(recording.interp_layers):
        rows = recording.resid_post[group]
        measured, ends = _measure_logits(model, rows)
        curves.append(_curve(measured, alphas, layer, "logits", model.n_layers))
        error = (ends - unpatched).abs().amax(-1).cpu().numpy()
        checks.append({"interp_layer": np.full(2, layer), "end": np.array(["a", "b"]), "logit_error": error})
        if layer == trace_layer:
            tokens = _tokens(model, rows, alphas, top_tokens)
    return PairResult(_stack(curves), _stack(checks), _stack(trace), tokens)


def _measure_logits(model: Transformer, rows: Tensor) -> tuple[Measures, Tensor]:
    """Measures of the logits along a path, a block of steps at a time, and the logits at its two ends."""
    ends = model.logits(rows[[0, -1]])
    parts = []
    for start in range(0, len(rows), LOGIT_BLOCK):
        # One step more than is kept, for the step size of the last one that is.
        block = model.logits(rows[start : start + LOGIT_BLOCK + 1])
        block[0 if start == 0 else slice(0, 0)] = ends[0]
        if start + LOGIT_BLOCK + 1 >= len(rows):
            block[-1] = ends[1]
        measured = geometry.measure(block, (ends[:1], ends[1:]))
        parts.append(Measures(*(values[:LOGIT_BLOCK] for values in measured)))
    return Measures(*(torch.cat(columns) for columns in zip(*parts, strict=True))), ends


def _curve(measures: Measures, alphas: Tensor, layer: int, site: str, record_layer: int) -> Columns:
    steps = len(alphas)
    return {
        "interp_layer": np.full(steps, layer),
        "site": np.full(steps, site),
        "record_layer": np.full(steps, record_layer),
        "step": np.arange(steps),
        "alpha": alphas.numpy(),
        **{name: values.float().cpu().numpy() for name, values in measures._asdict().items()},
    }


def _trace(recording: Recording, group: int, alphas: Tensor) -> Columns:
    steps = len(alphas)
    return {
        "layer": np.full(steps, recording.layer),
        "step": np.arange(steps),
        "alpha": alphas.numpy(),
        "mlp_input": recording.mlp_input[group].cpu().numpy(),
        "resid_post": recording.resid_post[group].cpu().numpy(),
    }


def _tokens(model: Transformer, rows: Tensor, alphas: Tensor, top: int) -> Columns:
    """Next-token probabilities along the path of the endpoints' likeliest tokens and of every step's likeliest."""
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


def _stack(parts: list[Columns]) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _pairs(job: Job) -> Iterator[tuple[TokenisedPair, Tensor]]:
    """The shard's pairs, tokenised, with resid_post of both prompts, from what extract wrote."""
    listed = tables.read(tables.ENDPOINTS, [table_path(job.root, job.model, tables.ENDPOINTS, job.shard)]).to_pylist()
    pairs = [Pair(row["pair"], *(row[name] for name in ("context", "a", "b", "tags"))) for row in listed]
    stored = tables.read(tables.EXTRACT, [table_path(job.root, job.model, tables.EXTRACT, job.shard)])
    residuals = torch.from_numpy(tables.vectors(stored, "vector").copy()).reshape(len(pairs), 2, -1, stored["vector"].type.list_size)
    tokenised = tokenise_with_file(pairs, job.model_folder / "tokenizer.json", job.model)
    # Both tables are sorted by pair, so the n-th block of residuals is the n-th pair's.
    yield from zip(tokenised, residuals, strict=True)


def interpolate(job: Job) -> None:
    """Write the tables `interpolate`, `endpoint_check`, `trace` and `tokens` of one shard."""
    go_offline()
    torch.set_num_threads(job.threads)
    settings: dict[str, Any] = job.slice
    model = Transformer.load(job.model_folder, device=job.device, centre=settings["centre"])
    try:
        layers = choose_layers(settings["layers"], model.n_layers)
        trace_layer = choose_layers([settings["trace_layer"]], model.n_layers)[0]
    except ValueError as error:
        raise InputError(f"model {job.model}: interpolate.layers or trace_layer: {error}") from None
    results: list[tuple[str, PairResult]] = []
    pairs = list(_pairs(job))
    for number, (pair, residuals) in enumerate(pairs, start=1):
        job.progress(f"pair {number} of {len(pairs)}, {pair.pair.id}")
        result = interpolate_pair(
            model, pair, residuals, steps=settings["steps"], path=settings["path"], layers=layers,
            trace_layer=trace_layer, top_tokens=settings["top_tokens"], memory_gb=job.memory_gb,
        )  # fmt: skip
        _check_endpoints(result.endpoint_check, pair.pair.id, job.model, settings["endpoint_tolerance"])
        results.append((pair.pair.id, result))
    _write(job, results, _curve_rows(len(pairs), settings["steps"], layers, model.n_layers))


def _check_endpoints(check: Columns, pair: str, model: str, tolerance: float) -> None:
    worst = int(np.argmax(check["logit_error"]))
    if check["logit_error"][worst] > tolerance:
        raise InputError(
            f"model {model}, pair '{pair}': patching the unchanged endpoint {check['end'][worst]} at layer "
            f"{check['interp_layer'][worst]} changes the logits by {check['logit_error'][worst]:.2g}, more than "
            f"interpolate.endpoint_tolerance ({tolerance:g}): the sweep does not fit this architecture"
        )


def _curve_rows(pairs: int, steps: int, layers: list[int], n_layers: int) -> int:
    """Rows of the full grid: per interpolation layer, every layer from it on and the logits."""
    return pairs * steps * sum(n_layers - layer + 1 for layer in layers)


def _write(job: Job, results: list[tuple[str, PairResult]], curve_rows: int) -> None:
    metadata = job.metadata()
    for table in (tables.ENDPOINT_CHECK, tables.TRACE, tables.TOKENS, tables.INTERPOLATE):
        parts = [(pair, getattr(result, table.name)) for pair, result in results]
        columns = _stack([part for _, part in parts])
        columns["pair"] = np.concatenate([np.full(len(next(iter(part.values()))), pair) for pair, part in parts])
        data = tables.build(table, columns)
        if table is tables.INTERPOLATE:
            tables.check_grid(table, data, curve_rows, "pairs x steps x interpolation layers x recording sites")
        tables.write_table(table_path(job.root, job.model, table, job.shard), table, data, metadata)


if __name__ == "__main__":
    run("interpolate", interpolate)
