"""robustness: measure strengths of natural pairs again, with one choice at a time changed that should not matter.

The stage exists for trained models, and only if `robustness.pairs` is not 0. It reads nothing but the pairs from other
stages: both prompts are run again for every variant, because some variants change what the model reads or its weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from plateaus.curves import geometry, predictions, sharpness
from plateaus.curves.logits import measure_logits
from plateaus.curves.sweep import Group, sweep
from plateaus.data import tables
from plateaus.data.results import table_path
from plateaus.data.schemas import VARIANTS
from plateaus.errors import InputError
from plateaus.model import bfloat16
from plateaus.model.transformer import Transformer
from plateaus.prompts.lengths import check_lengths
from plateaus.prompts.pairs import Pair, TokenisedPair, tokenise_with_file
from plateaus.sources.bos import text_of
from plateaus.sources.quiet import go_offline
from plateaus.stages.job import Job
from plateaus.stages.runner import run

AS_IN_THE_RUN = VARIANTS[0]
EMBEDDING = -1
"""In place of an interpolation layer: the path is put in before the first block."""
LAYERS = {"path at the embedding": EMBEDDING, "path at layer 0": 0, "path at layer 1": 1, "path at layer 2": 2}
FEWEST_STEPS = 3
"""The fewest steps that the config allows."""


class Variant(NamedTuple):
    """One way to make the curve of a pair.

    Attributes:
        name: One of `plateaus.data.schemas.VARIANTS`.
        path: ``spherical`` or ``linear``.
        steps: Number of points from alpha 0 to 1.
        layer: The interpolation layer, or `EMBEDDING`.
        bos: What comes before every text; see `plateaus.sources.bos.leading_tokens`.
        swapped: Whether the path leads from the second prompt to the first.
        rounded: Whether the weights are rounded to bfloat16.
    """

    name: str
    path: str
    steps: int
    layer: int
    bos: str | bool
    swapped: bool = False
    rounded: bool = False


def variants(own: Variant, *, n_layers: int, begins: bool) -> Iterator[Variant]:
    """Yield the run's own setting, and the settings that differ from it in one thing.

    Args:
        own: The run's own setting.
        n_layers: Number of layers of the model; the last one is no interpolation layer.
        begins: Whether a begin-of-sequence token comes before every prompt of the run.
    """
    yield own
    path = "linear" if own.path == "spherical" else "spherical"
    yield own._replace(name=f"{path} path", path=path)
    if own.steps // 2 >= FEWEST_STEPS:
        yield own._replace(name="half the steps", steps=own.steps // 2)
    yield own._replace(name="twice the steps", steps=2 * own.steps)
    for name, layer in LAYERS.items():
        if layer < n_layers - 1:
            yield own._replace(name=name, layer=layer)
    yield own._replace(name="words swapped", swapped=True)
    yield own._replace(name=f"{'without' if begins else 'with'} begin-of-sequence token", bos=not begins)
    yield own._replace(name="weights rounded to bfloat16", rounded=True)


def ends_of(model: Transformer, pair: TokenisedPair, layer: int) -> Float[Tensor, "end d_model"]:
    """Return the two ends of a pair's path, from full forward passes of both prompts."""
    prompts = [[*pair.prefix, token] for token in (pair.token_a, pair.token_b)]
    if layer == EMBEDDING:
        return torch.stack([model.embedding(prompt) for prompt in prompts]).cpu()
    return torch.stack([model.run(prompt)[0][layer] for prompt in prompts]).cpu()


def curves(
    model: Transformer, pair: TokenisedPair, variant: Variant, *, memory_gb: float
) -> dict[str, Float[np.ndarray, " steps"]]:
    """Return the relative distance along the path itself (`path`) and by both yardsticks at the model's output.

    Args:
        model: The model, with rounded weights if the variant asks for them.
        pair: The pair, with the tokens before it that the variant asks for.
        variant: How the curve is made.
        memory_gb: Memory budget in GB for the intermediate results of one block.

    Raises:
        InputError: there is no path between the endpoints.
    """
    if variant.swapped:
        pair = pair._replace(token_a=pair.token_b, token_b=pair.token_a)
    name = f"pair '{pair.pair.id}', {variant.name}"
    a, b = ends_of(model, pair, variant.layer)
    path = geometry.interpolate(a, b, geometry.alphas(variant.steps), path=variant.path, name=name).to(model.device)
    prefix = model.prefix(list(pair.prefix))
    first = path
    if variant.layer == EMBEDDING:
        first = model.block(0, path, prefix).resid_post
    *_, last = sweep(model, prefix, [Group(max(variant.layer, 0), first)], memory_gb=memory_gb)
    (of_logits,) = measure_logits(model, last.resid_post)
    p = predictions.probabilities(model, last.resid_post[0])
    found = {
        "path": geometry.measure(path),
        "logits": of_logits.measures,
        predictions.SITE: predictions.measure_predictions(p, name=name),
    }
    return {site: measures.distance.float().cpu().numpy() for site, measures in found.items()}


def rows_of_pair(
    model: Transformer, pair: TokenisedPair, variant: Variant, *, memory_gb: float
) -> Iterator[dict[str, Any]]:
    """Yield the rows of one pair and variant, one per yardstick; the arguments are those of `curves`."""
    found = curves(model, pair, variant, memory_gb=memory_gb)
    measured = sharpness.measure(geometry.alphas(variant.steps).numpy(), np.stack(list(found.values())))
    w_path, *widths = measured.w
    for site, w, midpoint in zip(list(found)[1:], widths, measured.midpoint[1:], strict=True):
        yield {
            "pair": pair.pair.id,
            "variant": variant.name,
            "site": site,
            "w": w,
            "w_path": w_path,
            "strength": sharpness.strength(w, w_path),
            "midpoint": midpoint,
        }


def pairs_named(job: Job) -> list[Pair]:
    """Return the pairs of the slice, in its order, from the tables of all shards.

    Raises:
        InputError: a table is missing, or holds other pairs than this run has.
    """
    paths = [table_path(job.root, job.model, tables.ENDPOINTS, shard) for shard in job.extra["shards"]]
    columns = ("pair", "context", "a", "b", "tags", "separator")
    listed = tables.read(tables.ENDPOINTS, paths, columns).to_pylist()
    known = {row["pair"]: Pair(*(row[name] for name in columns)) for row in listed}
    missing = [name for name in job.slice["pairs"] if name not in known]
    if missing:
        raise InputError(f"{paths[0].parent} has no pair '{missing[0]}': delete the folder and run again")
    return [known[name] for name in job.slice["pairs"]]


Readings = dict[str | bool, list[TokenisedPair]]
"""What comes before every text, as in `Variant.bos`, to the pairs as the model then reads them."""


def readings(job: Job, pairs: Sequence[Pair], *, begins: bool) -> Readings:
    """Tokenise the pairs as the run does, and in the opposite way if that can be done; if not, say why.

    Args:
        job: The job.
        pairs: The pairs.
        begins: Whether a begin-of-sequence token comes before every prompt of the run.
    """

    def read(bos: str | bool) -> list[TokenisedPair]:
        found = tokenise_with_file(pairs, job.model_folder / "tokenizer.json", job.model, bos)
        check_lengths(found, job.model_folder, job.model)
        return found

    found = {job.slice["bos"]: read(job.slice["bos"])}
    try:
        found[not begins] = read(not begins)
    except InputError as error:
        job.progress(f"left out: prompts with a begin-of-sequence token ({error})")
    return found


def rows_of_model(job: Job, read: Readings, *, begins: bool, rounded: bool) -> list[dict[str, Any]]:
    """Load the model, with or without rounded weights, and return the rows of all variants that it is needed for.

    Args:
        job: The job.
        read: The pairs; see `readings`.
        begins: Whether a begin-of-sequence token comes before every prompt of the run.
        rounded: Whether the weights are rounded to bfloat16.

    Raises:
        InputError: there is no path between the endpoints of a pair.
    """
    settings = job.slice
    model = Transformer.load(job.model_folder, device=job.device, centre=settings["centre"], rounded=rounded)
    own = Variant(AS_IN_THE_RUN, settings["path"], settings["steps"], settings["trace_layer"], settings["bos"])
    listed = list(variants(own, n_layers=model.n_layers, begins=begins))
    chosen = [variant for variant in listed if variant.rounded is rounded and variant.bos in read]
    found: list[dict[str, Any]] = []
    for number, pair in enumerate(read[own.bos]):
        job.progress(f"pair {number + 1} of {len(read[own.bos])}, {pair.pair.id}" + (", rounded" if rounded else ""))
        for variant in chosen:
            found.extend(rows_of_pair(model, read[variant.bos][number], variant, memory_gb=job.memory_gb))
    return found


def robustness(job: Job) -> None:
    """Write the table `robustness` of one model, over all shards.

    Raises:
        InputError: a table of the shards is missing or does not have a pair, or a pair has no path between its ends.
    """
    go_offline()
    torch.set_num_threads(job.threads)
    begins = text_of(job.model_folder, job.slice["bos"], job.model) != "none"
    read = readings(job, pairs_named(job), begins=begins)
    found = rows_of_model(job, read, begins=begins, rounded=False)
    if bfloat16.stored(job.model_folder):
        job.progress("left out: weights rounded to bfloat16 (they are stored so)")
    else:
        found += rows_of_model(job, read, begins=begins, rounded=True)
    columns = {name: [row[name] for row in found] for name in tables.ROBUSTNESS.columns}
    path = table_path(job.root, job.model, tables.ROBUSTNESS, "all")
    tables.write(path, tables.ROBUSTNESS, columns, job.metadata())


if __name__ == "__main__":
    run("robustness", robustness)
