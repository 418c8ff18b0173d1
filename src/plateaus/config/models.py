"""Which weights a model of the config has, and the name of the folder that holds them."""

from __future__ import annotations

from typing import Any

from plateaus.config.reading import Config
from plateaus.data.canonical import digest

MODEL_KEYS = ("source", "name", "id", "revision", "dtype", "path", "like", "seed", "layernorm", "storage")
"""The keys of a model that determine its weights; the other keys say how the weights are used."""


def weights_of(config: Config, model: str) -> dict[str, Any]:
    """Return the keys that determine a model's weights, which are the fetch stage's slice of the config.

    For random weights, `like` is replaced by the same keys of the model that it names.
    """
    chosen = {key: value for key, value in config["models"][model].items() if key in MODEL_KEYS}
    for key, nothing in (("name", "smollm2-135m"), ("layernorm", "kept"), ("storage", "float32")):
        if chosen.get(key) == nothing:
            del chosen[key]  # so that the default names the same folder as leaving the key out
    if "like" in chosen:
        chosen["like"] = weights_of(config, chosen["like"])
    return chosen


def model_key(config: Config, model: str) -> str:
    """Return the name of the folder of a model's weights: its id and a hash of the keys that determine the weights."""
    return f"{model}-{digest(weights_of(config, model))[:8]}"
