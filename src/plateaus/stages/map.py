"""map: run the plane through three prompts' activations to the output, and measure how far each point has moved."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from plateaus.curves import plane, predictions
from plateaus.curves.endpoints import shard_pairs
from plateaus.curves.layers import choose_layers
from plateaus.curves.limits import LOGIT_BLOCK
from plateaus.curves.rows import Columns, stack, words
from plateaus.curves.sweep import Group, sweep
from plateaus.data import tables
from plateaus.data.results import table_path
from plateaus.errors import InputError
from plateaus.model.transformer import Transformer
from plateaus.prompts.triples import Triple
from plateaus.sources.quiet import go_offline
from plateaus.stages.job import Job
from plateaus.stages.runner import run

SIDES = ((0, 1), (1, 2), (2, 0))
"""The sides of the triangle, as pairs of corners."""
Corner = Float[Tensor, "layers d_model"]
"""resid_post of one unpatched prompt at every layer."""


class Mapped(NamedTuple):
    """The rows of one triple, of the table `map`, and its row of the table `triples`."""

    points: Columns
    triple: dict[str, Any]


def map_triple(
    model: Transformer,
    triple: Triple,
    prefix: tuple[int, ...],
    residuals: Float[Tensor, "3 layers d_model"],
    *,
    layer: int,
    side: int,
    memory_gb: float,
) -> Mapped:
    """Run every point of a triple's drawing to the output.

    Args:
        model: The model.
        triple: The triple.
        prefix: The tokens that its three prompts share.
        residuals: resid_post of the three unpatched prompts, from extract.
        layer: The layer at whose resid_post the plane is put in.
        side: Number of points along each side of the drawing.
        memory_gb: Memory budget in GB for the intermediate results of one block.

    Raises:
        InputError: two of the three prompts have the same next-token distribution.
    """
    drawing = plane.grid(side)
    points = plane.activations(residuals[:, layer], drawing.barycentric)
    groups = [Group(layer, rows) for rows in points.split(side)]
    *_, last = sweep(model, model.prefix(list(prefix)), groups, memory_gb=memory_gb)
    at_output, corners = last.resid_post.flatten(0, 1), residuals[:, -1].to(model.device)
    of_tokens, token, probability = _by_predictions(model, at_output, corners, triple)
    nearness = {predictions.SITE: of_tokens, "logits": _by_logits(model, at_output, corners)}
    count = len(token)
    columns: Columns = {
        "triple": words(count, triple.id),
        "side": np.full(count, side),
        "point": np.arange(count),
        "x": drawing.x.numpy(),
        "y": drawing.y.numpy(),
        "token_id": token.cpu().numpy(),
        "token": np.array([model.token(int(one)) for one in token], dtype=object),
        "probability": probability.cpu().numpy(),
    }
    for site, distances in nearness.items():
        columns |= {f"{site}_{name}": distances[:, corner].cpu().numpy() for corner, name in enumerate("abc")}
    sides = [float(torch.dist(residuals[one, layer], residuals[other, layer])) for one, other in SIDES]
    row = {"triple": triple.id, "side": side, "context": triple.context, **dict(zip("abc", triple.words, strict=True))}
    return Mapped(columns, row | dict(zip(("ab", "bc", "ca"), sides, strict=True)))


def _by_predictions(
    model: Transformer, rows: Tensor, corners: Tensor, triple: Triple
) -> tuple[Float[Tensor, "points 3"], Int[Tensor, " points"], Float[Tensor, " points"]]:
    """Compare the next-token distribution at every point with those at the corners.

    Returns:
        The distances to each corner, divided by the corners' mean distance, without which random weights, whose outputs
        hardly differ, would look smoother than they are; the likeliest token, and its probability.
    """
    at_corners = predictions.probabilities(model, corners)
    apart = torch.stack([predictions.distance(at_corners[i], at_corners[j]) for i, j in SIDES])
    if not bool((apart > predictions.SMALLEST).all()):
        raise InputError(
            f"triple '{triple.id}': two of its prompts have the same next-token distribution within rounding, so "
            "there is no map between them: choose other words"
        )
    distances, tokens, best = [], [], []
    for some in rows.split(LOGIT_BLOCK):
        p = predictions.probabilities(model, some)
        distances += [torch.stack([predictions.distance(one, corner) for corner in at_corners]) for one in p]
        likeliest = p.max(-1)
        tokens.append(likeliest.indices)
        best.append(likeliest.values)
    return torch.stack(distances) / apart.mean(), torch.cat(tokens), torch.cat(best)


def _by_logits(model: Transformer, rows: Tensor, corners: Tensor) -> Float[Tensor, "points 3"]:
    """Return the distance of the logits to each corner's, divided by the corners' mean distance."""
    of = model.logits if model.logit_root is None else model.logit_coordinates
    at_corners = of(corners).double().cpu()
    apart = torch.nn.functional.pdist(at_corners).mean()
    parts = [torch.cdist(of(some).double().cpu(), at_corners) for some in rows.split(LOGIT_BLOCK)]
    return torch.cat(parts) / apart


def corners_of(job: Job, triples: list[Triple]) -> dict[tuple[str, str], tuple[tuple[int, ...], Corner]]:
    """Return the prefix and resid_post of every corner, by pair and end, from the tables of all shards.

    Raises:
        InputError: a table is missing, or the tables have other pairs than this run.
    """
    wanted = {pair for triple in triples for pair, _ in triple.ends}
    found: dict[tuple[str, str], tuple[tuple[int, ...], Corner]] = {}
    for shard in job.extra["shards"]:
        for pair, residuals in shard_pairs(job.root, job.model, shard, job.model_folder, job.slice["bos"]):
            if pair.pair.id in wanted:
                of_pair = zip("ab", residuals.clone(), strict=True)
                found |= {(pair.pair.id, end): (pair.prefix, own) for end, own in of_pair}
    missing = sorted(wanted - {pair for pair, _ in found})
    if missing:
        folder = table_path(job.root, job.model, tables.ENDPOINTS, "all").parent
        raise InputError(f"{folder} has no pair '{missing[0]}': delete the folder and run again")
    return found


def map_(job: Job) -> None:
    """Write the tables `map` and `triples` of one model, over all shards.

    Raises:
        InputError: the config names a layer that the model does not have, or see `map_triple` and `corners_of`.
    """
    go_offline()
    torch.set_num_threads(job.threads)
    settings = job.slice
    triples = [Triple(*one) for one in settings["chosen"]]
    model = Transformer.load(job.model_folder, device=job.device, centre=settings["centre"])
    try:
        (layer,) = choose_layers([settings["trace_layer"]], model.n_layers)
    except ValueError as error:
        raise InputError(f"model {job.model}: interpolate.trace_layer: {error}") from None
    corners = corners_of(job, triples)
    found = []
    for number, triple in enumerate(triples, start=1):
        job.progress(f"triple {number} of {len(triples)}, {triple.id}")
        ends = [corners[pair, end] for pair, end in triple.ends]
        residuals = torch.stack([own for _, own in ends])
        side = settings["points"] if triple.fine else settings["coarse_points"]
        found.append(map_triple(model, triple, ends[0][0], residuals, layer=layer, side=side, memory_gb=job.memory_gb))
    metadata = job.metadata()
    points = stack([one.points for one in found]) if found else tables.no_rows(tables.MAP, model.d_model)
    tables.write(table_path(job.root, job.model, tables.MAP, "all"), tables.MAP, points, metadata)
    listed = {name: [one.triple[name] for one in found] for name in tables.TRIPLES.columns}
    tables.write(table_path(job.root, job.model, tables.TRIPLES, "all"), tables.TRIPLES, listed, metadata)


if __name__ == "__main__":
    run("map", map_)
