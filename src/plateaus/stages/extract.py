"""extract: record resid_post of every layer at the last token of both prompts, and how the two prompts differ."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from plateaus.curves.geometry import angle
from plateaus.data import tables
from plateaus.data.results import table_path
from plateaus.errors import InputError
from plateaus.model.transformer import Transformer
from plateaus.prompts.batches import batches
from plateaus.prompts.lengths import check_lengths
from plateaus.prompts.pairs import TokenisedPair, pairs_digest, split, tokenise_with_file
from plateaus.prompts.sampling import pairs_of
from plateaus.sources.quiet import go_offline
from plateaus.stages.job import Job
from plateaus.stages.runner import run

TOKENS = 128
"""About how many tokens go through the model together: more are not faster, and their logits must fit in memory."""


def jensen_shannon(logits_a: Float[Tensor, " vocab"], logits_b: Float[Tensor, " vocab"]) -> float:
    """Return the Jensen-Shannon divergence of two next-token distributions in nats, from 0 (equal) to ln 2 (disjoint).

    It is computed in float64, because it is a small difference of sums over the whole vocabulary.
    """
    log_a, log_b = (torch.log_softmax(logits.double(), -1) for logits in (logits_a, logits_b))
    log_mixture = torch.logaddexp(log_a, log_b) - math.log(2)
    return float(0.5 * ((log_a.exp() * (log_a - log_mixture)).sum() + (log_b.exp() * (log_b - log_mixture)).sum()))


class Endpoints(NamedTuple):
    """What is recorded of one pair.

    Attributes:
        residuals: (end, layers, d_model), resid_post of every layer at the last token, first of a, then of b.
        row: The row of the table `endpoints`, which holds the pair and its tokens, the log probability (natural
            logarithm) of each last token after the prefix (NaN without a prefix), the Jensen-Shannon divergence (nats)
            of the two next-token distributions, and the angle (radians) and the ratio of lengths (b over a) of
            resid_post at layer 0.
    """

    residuals: Float[Tensor, "end layers d_model"]
    row: dict[str, Any]


def endpoints(model: Transformer, pairs: list[TokenisedPair]) -> list[Endpoints]:
    """Run a plain forward pass on both prompts of pairs that share their prefix."""
    prefix = pairs[0].prefix
    residuals, logits = model.run_together(
        [[*prefix, token] for pair in pairs for token in (pair.token_a, pair.token_b)]
    )
    log_p = torch.log_softmax(logits[0, -2].cpu().double(), -1) if prefix else None  # not every device has float64
    ends = residuals.unflatten(0, (-1, 2)).cpu()
    return [
        _of_pair(pair, of_pair, last, log_p)
        for pair, of_pair, last in zip(pairs, ends, logits[:, -1].unflatten(0, (-1, 2)).cpu(), strict=True)
    ]


def _of_pair(
    pair: TokenisedPair,
    residuals: Float[Tensor, "end layers d_model"],
    logits: Float[Tensor, "end d_vocab"],
    log_p: Float[Tensor, " d_vocab"] | None,
) -> Endpoints:
    first_a, first_b = residuals[0, 0], residuals[1, 0]
    row = {
        "pair": pair.pair.id,
        "context": pair.pair.context,
        "a": pair.pair.a,
        "b": pair.pair.b,
        "tags": pair.pair.tags,
        "separator": pair.pair.separator,
        "token_a": pair.token_a,
        "token_b": pair.token_b,
        "prefix_length": len(pair.prefix),
        "log_p_a": math.nan if log_p is None else float(log_p[pair.token_a]),
        "log_p_b": math.nan if log_p is None else float(log_p[pair.token_b]),
        "jsd": jensen_shannon(*logits),
        "angle": angle(first_a, first_b),
        "norm_ratio": float(torch.linalg.vector_norm(first_b) / torch.linalg.vector_norm(first_a)),
    }
    return Endpoints(residuals, row)


def extract(job: Job) -> None:
    """Write the tables `extract` and `endpoints` of one shard.

    Raises:
        InputError: the prompt tables have changed since the run began.
    """
    go_offline()
    prompts = job.extra["prompts"]
    pairs = split(pairs_of(prompts), prompts["shards"]).get(job.shard, [])
    if pairs_digest(pairs) != job.slice["pairs"]:
        raise InputError("the prompt tables have changed since this run began: start the run again")
    tokenised = tokenise_with_file(pairs, job.model_folder / "tokenizer.json", job.model, job.slice["bos"])
    check_lengths(tokenised, job.model_folder, job.model)
    torch.set_num_threads(job.threads)
    model = Transformer.load(job.model_folder, device=job.device, centre=job.slice["centre"])
    found: dict[str, Endpoints] = {}
    for some in batches(
        tokenised, alike=lambda pair: pair.prefix, most=lambda pair: TOKENS // (2 * (len(pair.prefix) + 1))
    ):
        job.progress(f"pair {len(found) + 1} of {len(tokenised)}, {some[0].pair.id}")
        found |= {pair.pair.id: ends for pair, ends in zip(some, endpoints(model, some), strict=True)}
    metadata = job.metadata()
    in_order = [found[pair.pair.id] for pair in tokenised]
    vectors = torch.stack([ends.residuals for ends in in_order])
    names = [pair.pair.id for pair in tokenised]
    columns = {
        "pair": [name for name in names for _ in range(2 * model.n_layers)],
        "end": [end for _ in names for end in "ab" for _ in range(model.n_layers)],
        "layer": [layer for _ in names for _ in range(2) for layer in range(model.n_layers)],
        "norm": torch.linalg.vector_norm(vectors, dim=-1).flatten().numpy(),
        "vector": vectors.reshape(-1, model.d_model).numpy(),
    }
    tables.write(table_path(job.root, job.model, tables.EXTRACT, job.shard), tables.EXTRACT, columns, metadata)
    listed = {name: [ends.row[name] for ends in in_order] for name in tables.ENDPOINTS.columns}
    tables.write(table_path(job.root, job.model, tables.ENDPOINTS, job.shard), tables.ENDPOINTS, listed, metadata)


if __name__ == "__main__":
    run("extract", extract)
