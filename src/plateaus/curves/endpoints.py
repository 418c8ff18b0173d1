"""The two endpoints of each pair's paths, as `extract` wrote them, and the path between them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from plateaus.curves import geometry
from plateaus.data import tables
from plateaus.data.results import table_path
from plateaus.prompts.pairs import Pair, TokenisedPair, tokenise_with_file


def path_at(
    residuals: Float[Tensor, "end layers d_model"], layer: int, alphas: Tensor, *, path: str, pair: str
) -> Float[Tensor, "steps d_model"]:
    """Return the path that is patched into one layer.

    Args:
        residuals: resid_post of the two unpatched prompts, from extract.
        layer: The interpolation layer.
        alphas: (steps,), interpolation parameters in [0, 1].
        path: ``spherical`` or ``linear``.
        pair: Id of the pair, for the error message.

    Raises:
        InputError: there is no spherical path between the endpoints; see `geometry.interpolate`.
    """
    a, b = residuals[:, layer]
    return geometry.interpolate(a, b, alphas, path=path, name=f"pair '{pair}', layer {layer}")


def shard_pairs(
    root: Path, model: str, shard: str, model_folder: Path, bos: str | bool
) -> Iterator[tuple[TokenisedPair, Tensor]]:
    """Yield each pair of a shard, tokenised, with resid_post of both prompts (end, layer, d_model) as extract wrote it.

    Args:
        root: `results/<run>`.
        model: Id of the model.
        shard: Name of the shard.
        model_folder: The model's folder, for its tokenizer.
        bos: What comes before every text; see `plateaus.sources.bos.leading_tokens`.

    Raises:
        InputError: one of the two tables is missing or unreadable.
    """
    listed = tables.read(tables.ENDPOINTS, [table_path(root, model, tables.ENDPOINTS, shard)]).to_pylist()
    pairs = [Pair(row["pair"], *(row[name] for name in ("context", "a", "b", "tags", "separator"))) for row in listed]
    stored = tables.read(tables.EXTRACT, [table_path(root, model, tables.EXTRACT, shard)])
    residuals = torch.from_numpy(tables.vectors(stored, "vector").copy()).reshape(
        len(pairs), 2, -1, stored["vector"].type.list_size
    )
    tokenised = tokenise_with_file(pairs, model_folder / "tokenizer.json", model, bos)
    # Both tables are sorted by pair, so the n-th block of residuals belongs to the n-th pair.
    yield from zip(tokenised, residuals, strict=True)
