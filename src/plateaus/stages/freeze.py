"""freeze: record the same curves with attention, the MLPs or the norms frozen in every layer after the patch."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from plateaus.curves import geometry
from plateaus.curves.endpoints import path_at, shard_pairs
from plateaus.curves.geometry import Measures
from plateaus.curves.layers import choose_layers
from plateaus.curves.logits import measure_logits
from plateaus.curves.rows import Columns, curve_columns, curve_rows, stack, with_pair, words
from plateaus.curves.sweep import Group, Recording, sweep
from plateaus.data import tables
from plateaus.data.results import table_path
from plateaus.errors import InputError
from plateaus.model.freezing import BASELINE
from plateaus.model.transformer import Transformer
from plateaus.prompts import depth
from plateaus.prompts.pairs import TokenisedPair
from plateaus.sources.quiet import go_offline
from plateaus.stages.job import Job
from plateaus.stages.runner import run


def freeze_pair(
    model: Transformer,
    pair: TokenisedPair,
    residuals: Float[Tensor, "end layers d_model"],
    *,
    conditions: list[str],
    layers: list[int],
    steps: int,
    path: str,
    memory_gb: float,
    baseline: Columns | None = None,
) -> Columns:
    """Record the curves of one pair under every condition, in one sweep.

    Args:
        model: The model.
        pair: The pair, tokenised.
        residuals: resid_post of the two unpatched prompts, from extract.
        conditions: What is frozen; see `plateaus.model.freezing`.
        layers: Interpolation layers.
        steps: Number of points from alpha 0 to 1.
        path: ``spherical`` or ``linear``.
        memory_gb: Memory budget in GB for the intermediate results of one block.
        baseline: The curves without freezing at some of the layers, which are then not computed again.

    Returns:
        The rows of the table `freeze`, without the pair.

    Raises:
        InputError: there is no path between the endpoints.
    """
    alphas = geometry.alphas(steps)
    known = set() if baseline is None else set(baseline["interp_layer"].tolist())
    groups = [
        Group(layer, path_at(residuals, layer, alphas, path=path, pair=pair.pair.id), condition)
        for layer in layers
        for condition in conditions
        if condition != BASELINE or layer not in known
    ]
    curves = [] if baseline is None or BASELINE not in conditions else [_columns(BASELINE, baseline)]
    if not groups:
        return stack(curves)
    # All measures stay on the device until the sweep is over, so that it never waits for a copy.
    recorded: list[tuple[tuple[Group, ...], int, Measures]] = []
    recording: Recording | None = None
    for recording in sweep(model, model.prefix(list(pair.prefix)), groups, memory_gb=memory_gb):
        recorded.append((recording.groups, recording.layer, geometry.measure(recording.resid_post)))
    assert recording is not None
    curves += [
        _columns(group.condition, curve_columns(one, alphas, group.interp_layer, "resid_post", layer))
        for of_layer, layer, measured in recorded
        for group, one in zip(of_layer, measured.of_groups(), strict=True)
    ]
    for held in (False, True):
        chosen = [number for number, group in enumerate(recording.groups) if (group.condition == "norm_mean") is held]
        if chosen:
            paths = recording.resid_post[chosen]
            of_logits = measure_logits(model, paths, _mean_scale(model, paths) if held else None)
            for number, curve in zip(chosen, of_logits, strict=True):
                group = recording.groups[number]
                columns = curve_columns(curve.measures, alphas, group.interp_layer, "logits", model.n_layers)
                curves.append(_columns(group.condition, columns))
    return stack(curves)


def _mean_scale(model: Transformer, paths: Float[Tensor, "paths steps d_model"]) -> Float[Tensor, "paths steps 1"]:
    """Return the mean of the final norm's scale over each path, repeated for every row of the path."""
    scale = model.final_norm_scale(paths.flatten(0, 1)).view(*paths.shape[:2], 1)
    return scale.mean(1, keepdim=True).expand_as(scale)


def _columns(condition: str, columns: Columns) -> Columns:
    return {"condition": words(len(columns["step"]), condition), **columns}


def baselines(file: Path, layers: list[int], pairs: list[str]) -> dict[str, Columns]:
    """Return the curves of pairs without freezing as `interpolate` recorded them, at those of the layers that it has.

    Args:
        file: The table `interpolate` of the shard.
        layers: Interpolation layers.
        pairs: Ids of the pairs.
    """
    frame = tables.read_frame(tables.INTERPOLATE, [file], pairs=pairs)
    frame = frame[frame["interp_layer"].isin(layers) & frame["site"].isin(["resid_post", "logits"])]
    names = [name for name in tables.FREEZE.columns if name not in ("pair", "condition")]
    return {
        str(pair): {name: rows[name].to_numpy() for name in names}
        for pair, rows in frame.groupby("pair", observed=True)
    }


def freeze(job: Job) -> None:
    """Write the table `freeze` of one shard.

    Raises:
        InputError: the config names a layer that the model does not have, or a pair has no path between its endpoints.
    """
    go_offline()
    torch.set_num_threads(job.threads)
    settings = job.slice
    model = Transformer.load(job.model_folder, device=job.device, centre=settings["centre"])
    try:
        layers = choose_layers(settings["layers"], model.n_layers)
    except ValueError as error:
        raise InputError(f"model {job.model}: freeze.layers: {error}") from None
    listed = shard_pairs(job.root, job.model, job.shard, job.model_folder, settings["bos"])
    pairs = [one for one in listed if depth.goes_into(one[0].pair, "freeze", trained=settings["trained"])]
    recorded = table_path(job.root, job.model, tables.INTERPOLATE, job.shard)
    known = baselines(recorded, layers, [pair.pair.id for pair, _ in pairs])
    parts = []
    for number, (pair, residuals) in enumerate(pairs, start=1):
        job.progress(f"pair {number} of {len(pairs)}, {pair.pair.id}")
        columns = freeze_pair(
            model, pair, residuals, conditions=settings["conditions"], layers=layers, steps=settings["steps"],
            path=settings["path"], memory_gb=job.memory_gb, baseline=known.get(pair.pair.id),
        )  # fmt: skip
        parts.append(with_pair(columns, pair.pair.id))
    data = tables.build(tables.FREEZE, stack(parts) if parts else tables.no_rows(tables.FREEZE, model.d_model))
    rows = len(settings["conditions"]) * curve_rows(len(pairs), settings["steps"], layers, model.n_layers)
    tables.check_grid(tables.FREEZE, data, rows, "pairs x conditions x steps x interpolation layers x recording sites")
    tables.write_table(table_path(job.root, job.model, tables.FREEZE, job.shard), tables.FREEZE, data, job.metadata())


if __name__ == "__main__":
    run("freeze", freeze)
