"""extract: record resid_post of every layer at the last token of both prompts, and how the two prompts differ."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from plateaus.curves.geometry import angle
from plateaus.data import tables
from plateaus.data.results import table_path
from plateaus.errors import InputError
from plateaus.model.transformer import Transformer
from plateaus.prompts.lengths import check_lengths
from plateaus.prompts.pairs import TokenisedPair, pairs_digest, split, tokenise_with_file
from plateaus.prompts.sampling import pairs_of
from plateaus.sources.quiet import go_offline
from plateaus.stages.job import Job
from plateaus.stages.runner import run


def jensen_shannon(logits_a: Float[Tensor, " vocab"], logits_b: Float[Tensor, " vocab"]) -> float:
    """Return the Jensen-Shannon divergence of two next-token distributions in nats, from 0 (equal) to ln 2 (disjoint).

    It is computed in float64, because it is a small difference of sums over the whole vocabulary.
    """
    log_a, log_b = (torch.log_softmax(logits.double(), -1) for logits in (logits_a, logits_b))
    log_mixture = torch.logaddexp(log_a, log_b) - math.log(2)
    return float(0.5 * ((log_a.exp() * (log_a - log_mixture)).sum() + (log_b.exp() * (log_b - log_mixture)).sum()))


def endpoints(model: Transformer, pair: TokenisedPair) -> tuple[Float[Tensor, "end layers d_model"], dict[str, Any]]:
    """Run a full forward pass on both prompts of a pair.

    Returns:
        resid_post of every layer at the last token (first a, then b), and the row of the `endpoints` table, which holds
        the pair and its tokens, the log probability (natural logarithm) of each last token after the prefix (NaN
        without a prefix), the Jensen-Shannon divergence (nats) of the two next-token distributions, and the angle
        (radians) and the ratio of lengths (b over a) of resid_post at layer 0.
    """
    runs = [model.run([*pair.prefix, token]) for token in (pair.token_a, pair.token_b)]
    residuals = torch.stack([resid for resid, _ in runs])
    logits_a, logits_b = (logits.cpu() for _, logits in runs)  # not every device has float64
    log_p = torch.log_softmax(logits_a[-2].double(), -1) if pair.prefix else None
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
        "jsd": jensen_shannon(logits_a[-1], logits_b[-1]),
        "angle": angle(first_a, first_b),
        "norm_ratio": float(torch.linalg.vector_norm(first_b) / torch.linalg.vector_norm(first_a)),
    }
    return residuals, row


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
    rows: list[dict[str, Any]] = []
    residuals: list[Tensor] = []
    for number, pair in enumerate(tokenised, start=1):
        job.progress(f"pair {number} of {len(tokenised)}, {pair.pair.id}")
        found, row = endpoints(model, pair)
        residuals.append(found.cpu())
        rows.append(row)
    metadata = job.metadata()
    vectors = torch.stack(residuals)
    names = [pair.pair.id for pair in tokenised]
    columns = {
        "pair": [name for name in names for _ in range(2 * model.n_layers)],
        "end": [end for _ in names for end in "ab" for _ in range(model.n_layers)],
        "layer": [layer for _ in names for _ in range(2) for layer in range(model.n_layers)],
        "norm": torch.linalg.vector_norm(vectors, dim=-1).flatten().numpy(),
        "vector": vectors.reshape(-1, model.d_model).numpy(),
    }
    tables.write(table_path(job.root, job.model, tables.EXTRACT, job.shard), tables.EXTRACT, columns, metadata)
    listed = {name: [row[name] for row in rows] for name in tables.ENDPOINTS.columns}
    tables.write(table_path(job.root, job.model, tables.ENDPOINTS, job.shard), tables.ENDPOINTS, listed, metadata)


if __name__ == "__main__":
    run("extract", extract)
