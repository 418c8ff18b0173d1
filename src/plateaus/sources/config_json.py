"""Read config.json, in which each family of models has its own names for the same sizes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

Told = Mapping[str, Any]
"""The content of a config.json."""

LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads", "num_query_heads")
POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "n_ctx")
WITHOUT_LIMIT = {"bloom"}
"""Model types that always have ALiBi. MPT has it too, but transformers computes it for `max_seq_len` positions only."""


def read(folder: Path) -> dict[str, Any] | None:
    """Return the content of a folder's config.json, or None if it is missing or not a JSON object."""
    try:
        told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return told if isinstance(told, dict) else None


def layers_of(told: Told) -> int | None:
    """Return the number of layers, or None if config.json does not give it."""
    return next((told[key] for key in LAYERS if isinstance(told.get(key), int)), None)


class Limit(NamedTuple):
    """The number of positions of a model, and the key of config.json that gives it."""

    key: str
    positions: int


def limit_of(told: Told) -> Limit | None:
    """Return the largest number of tokens that a model reads, or None if there is no limit or none is given.

    A model with ALiBi has no positions of its own, so its prompts may have any length.
    """
    if told.get("alibi") is True or told.get("model_type") in WITHOUT_LIMIT:
        return None
    return next((Limit(key, told[key]) for key in POSITIONS if isinstance(told.get(key), int)), None)
