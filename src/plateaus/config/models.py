"""Which weights a model of the config has, and the folder that they lie in."""

from __future__ import annotations

from typing import Any

from plateaus.config.reading import Config
from plateaus.data.canonical import digest

MODEL_KEYS = ("source", "id", "revision", "dtype", "path", "like", "seed", "layernorm", "storage")
"""The keys of a model that say which weights it has; the others say how they are used."""


def weights_of(config: Config, model: str) -> dict[str, Any]:
    """Which weights a model has, with the model it is like resolved: the fetch stage's slice of the config."""
    chosen = {key: value for key, value in config["models"][model].items() if key in MODEL_KEYS}
    for key, nothing in (("layernorm", "kept"), ("storage", "float32")):
        if chosen.get(key) == nothing:
            del chosen[key]  # says nothing about which weights these are
    if "like" in chosen:
        chosen["like"] = weights_of(config, chosen["like"])
    return chosen


def model_key(config: Config, model: str) -> str:
    """Folder name of a model's weights: its id and a hash of which weights they are."""
    return f"{model}-{digest(weights_of(config, model))[:8]}"
