"""The part of the config that each job is given, and nothing else: editing a key reruns just what reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plateaus.config.models import weights_of
from plateaus.config.reading import Config
from plateaus.config.stages import pick
from plateaus.prompts.pairs import Pair, pairs_digest


def fetch_slice(config: Config, model: str) -> dict[str, Any]:
    """Which weights."""
    return weights_of(config, model)


def extract_slice(config: Config, model: str, pairs: Sequence[Pair]) -> dict[str, Any]:
    """How the model is read, and the hash of the shard's pairs (the rows themselves are too long for a command)."""
    return {"centre": config["models"][model]["centre"], "pairs": pairs_digest(pairs)}


def stage_slice(config: Config, stage: str, model: str) -> dict[str, Any]:
    """How the model is read, and the stage's own section, for the stages between extract and figures."""
    return pick(config, stage, model)


def shown_pairs(config: Config, pairs: Sequence[Pair]) -> list[str]:
    """Ids of the pairs that the figures show, from left to right."""
    return list(config["figures"]["pairs"]) or [pair.id for pair in pairs[:2]]


def about(config: Config, model: str) -> dict[str, Any]:
    """What figures must know of a model beside its results."""
    told = config["models"][model]
    return {
        "layernorm": told.get("layernorm", "kept") == "kept",
        "controls": list(told.get("controls", [])),
        "series": told.get("series", ""),
        "training_step": told.get("step", 0),
        "trained": told["source"] != "random",
    }


def random_controls(config: Config) -> dict[str, str]:
    """Model to the first model of the config that has its architecture and random weights, where there is one."""
    found: dict[str, str] = {}
    for name, model in config["models"].items():
        if model["source"] == "random":
            found.setdefault(model["like"], name)
    return found


def claims_slice(config: Config, shards: Mapping[str, Any]) -> dict[str, Any]:
    """The decision rules, which models and shards there are, and which model is the control of which."""
    return {
        **pick(config, "claims"),
        "models": list(config["models"]),
        "random": [name for name, model in config["models"].items() if model["source"] == "random"],
        "controls": random_controls(config),
        "without_layernorm": {
            name: next(iter(model["controls"]), "")
            for name, model in config["models"].items()
            if model.get("layernorm") == "removed"
        },
        "shards": list(shards),
    }


def figures_slice(config: Config, pairs: Sequence[Pair], shards: Mapping[str, Any]) -> dict[str, Any]:
    """The section of the figures, which models and shards there are, and the layer of the single-layer figures."""
    return {
        **pick(config, "figures"),
        "about": {model: about(config, model) for model in config["models"]},
        "pairs": shown_pairs(config, pairs),
        "models": list(config["models"]),
        "shards": list(shards),
    }


def report_slice(config: Config, pairs: Sequence[Pair], shards: Mapping[str, Any]) -> dict[str, Any]:
    """All of the config but how to compute, since the report shows it."""
    shown = {section: value for section, value in config.items() if section != "compute"}
    return {"config": shown, "figures": figures_slice(config, pairs, shards)}
