"""Slices of the config: the part that each job is given.

A job is given nothing else, so that editing a key reruns only the jobs that read it and those that depend on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plateaus.config.models import weights_of
from plateaus.config.reading import Config
from plateaus.config.stages import pick
from plateaus.prompts import triples
from plateaus.prompts.pairs import NATURAL, SUITE, Pair, pairs_digest


def fetch_slice(config: Config, model: str) -> dict[str, Any]:
    """Return the slice of fetch: the keys that determine a model's weights."""
    return weights_of(config, model)


def extract_slice(config: Config, model: str, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Return the slice of extract: how the model is loaded, and a hash of the pairs of the shard.

    The pairs themselves would be too long for a command line.
    """
    told = config["models"][model]
    return {"centre": told["centre"], "bos": told["bos"], "pairs": pairs_digest(pairs)}


def stage_slice(config: Config, stage: str, model: str) -> dict[str, Any]:
    """Return the slice of a stage from interpolate to sharpness: exactly the keys that it reads, for one model."""
    picked = pick(config, stage, model)
    if stage in ("interpolate", "freeze", "jacobian"):
        picked["trained"] = config["models"][model]["source"] != "random"
    return picked


def robust_models(config: Config) -> list[str]:
    """Return the models whose robustness is measured: the trained ones, or none if the config gives no pairs."""
    models = config["models"] if config["robustness"]["pairs"] else {}
    return [name for name, model in models.items() if model["source"] != "random"]


def robust_pairs(config: Config, pairs: Sequence[Pair]) -> list[str]:
    """Return the ids of the pairs whose robustness is measured: the suite's first natural ones, as they were drawn."""
    natural = [pair.id for pair in pairs if {SUITE, NATURAL} <= set(pair.labels)]
    return natural[: config["robustness"]["pairs"]]


def robustness_slice(config: Config, model: str, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Return the slice of robustness: the keys that it reads, with the ids of the pairs in place of their number."""
    return {**stage_slice(config, "robustness", model), "pairs": robust_pairs(config, pairs)}


def map_models(config: Config) -> list[str]:
    """Return the models of which maps are made: all of them, or none if the config turns maps off."""
    return list(config["models"]) if config["map"]["points"] else []


def map_slice(config: Config, model: str, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Return the slice of map: the keys that it reads, and the triples that were chosen."""
    chosen = triples.choose(pairs, config["map"], config["prompts"]["seed"])
    return {**stage_slice(config, "map", model), "chosen": chosen}


def shown_pairs(config: Config, pairs: Sequence[Pair]) -> list[str]:
    """Return the ids of the pairs that the figures show, from left to right."""
    return list(config["figures"]["pairs"]) or [pair.id for pair in pairs[:2]]


def about(config: Config, model: str) -> dict[str, Any]:
    """Return what the figures need to know about a model besides its results."""
    told = config["models"][model]
    return {
        "layernorm": told.get("layernorm", "kept") == "kept",
        "controls": list(told.get("controls", [])),
        "series": told.get("series", ""),
        "training_step": told.get("step", 0),
        "trained": told["source"] != "random",
        "like": told.get("like", ""),
    }


def random_controls(config: Config) -> dict[str, str]:
    """Map each model that has a copy with random weights in the config to the first such copy."""
    found: dict[str, str] = {}
    for name, model in config["models"].items():
        if model["source"] == "random":
            found.setdefault(model["like"], name)
    return found


def claims_slice(config: Config, shards: Mapping[str, Any]) -> dict[str, Any]:
    """Return the slice of claims: the decision rules, the models and shards, and the control of each model."""
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
    """Return the slice of figures: the keys that they read, the models and shards, and the pairs that are shown."""
    return {
        **pick(config, "figures"),
        "about": {model: about(config, model) for model in config["models"]},
        "pairs": shown_pairs(config, pairs),
        "mapped": map_models(config),
        "robust": robust_models(config),
        "models": list(config["models"]),
        "shards": list(shards),
    }


def report_slice(config: Config, pairs: Sequence[Pair], shards: Mapping[str, Any]) -> dict[str, Any]:
    """Return the slice of report: the config that the report shows, without `compute`, and the slice of figures."""
    shown = {section: value for section, value in config.items() if section != "compute"}
    return {"config": shown, "figures": figures_slice(config, pairs, shards)}
