"""The stages in the order of the DAG, which stages each one depends on, and which keys of the config it reads."""

from __future__ import annotations

from typing import Any

from plateaus.config.models import MODEL_KEYS
from plateaus.config.reading import Config

STAGES = ("fetch", "extract", "interpolate", "freeze", "jacobian", "spline", "sharpness", "map", "robustness",
    "claims", "figures", "report",
)  # fmt: skip
"""The stages, in the order of the DAG."""


FOLLOWS = {
    "fetch": (),
    "extract": ("fetch",),
    "interpolate": ("fetch", "extract"),
    "freeze": ("fetch", "extract", "interpolate"),
    "jacobian": ("fetch", "extract", "interpolate"),
    "spline": ("fetch", "extract", "interpolate"),
    "sharpness": ("interpolate", "freeze"),
    "map": ("fetch", "extract"),
    "robustness": ("fetch", "extract"),
    "claims": ("extract", "interpolate", "freeze", "jacobian", "spline", "sharpness"),
    "figures": ("extract", "interpolate", "freeze", "jacobian", "spline", "sharpness", "map", "robustness", "claims"),
    "report": ("figures",),
}
"""Stage to the stages whose outputs it reads."""


RULE = tuple(f"sharpness.{key}" for key in ("w_at_most", "rest_at_least", "departure_at_most", "strength_at_least"))
"""Keys of the plateau rule, which the texts of the figures apply as well."""


LOADING = ("models.*.centre", "models.*.bos")
"""Keys that say how a model is used once it is loaded."""


READS: dict[str, tuple[str, ...]] = {
    "fetch": tuple(f"models.*.{key}" for key in (*MODEL_KEYS, "revisions")),
    "extract": (
        *LOADING,
        *(f"prompts.{key}" for key in ("table", "suite", "sample", "deep", "seed", "shards")),
    ),
    "interpolate": (
        *LOADING,
        *(
            f"interpolate.{key}"
            for key in ("steps", "path", "layers", "suite_stride", "trace_layer", "top_tokens", "endpoint_tolerance")
        ),
    ),
    "freeze": (
        *LOADING,
        "interpolate.steps",
        "interpolate.path",
        "freeze.conditions",
        "freeze.layers",
    ),
    "jacobian": (
        *LOADING,
        "interpolate.path",
        "interpolate.trace_layer",
        "jacobian.components",
        "jacobian.suite_matrices",
        "jacobian.exact_up_to",
        "jacobian.probes",
    ),
    "spline": (*LOADING, "spline.top_neurons"),
    "sharpness": RULE,
    "map": (
        *LOADING,
        "interpolate.trace_layer",
        *(f"map.{key}" for key in ("points", "shown", "triples", "coarse_points")),
    ),
    "robustness": (
        *LOADING,
        "interpolate.steps",
        "interpolate.path",
        "interpolate.trace_layer",
        "robustness.pairs",
    ),
    "claims": (
        "models.*.controls",
        "interpolate.trace_layer",
        *(
            f"claims.{key}"
            for key in (
                "tests",
                "folder",
                "alpha",
                "minimal_effects",
                "equivalence_margin",
                "min_pairs",
                "min_contexts",
                "resamples",
                "seed",
            )
        ),
    ),
    "figures": (
        "models.*.controls",
        "interpolate.trace_layer",
        *RULE,
        *(f"figures.{key}" for key in ("pairs", "depths", "dpi", "colormap")),
    ),
    "report": ("report.title", "report.renderer"),
}
"""Stage to the config keys it reads. The key `run` is not listed: it names the results folder of every stage."""


READS_NOTHING = ("compute.device", "compute.threads", "compute.memory_gb", "compute.container")
"""Keys that say how to compute and not what, so that editing them reruns nothing."""


def follows(config: Config) -> dict[str, tuple[str, ...]]:
    """Return `FOLLOWS` for the stages that a run has: `map` and `robustness` can be turned off."""
    off = {"robustness"} if not config["robustness"]["pairs"] else set()
    if not config["map"]["points"]:
        off.add("map")
    return {
        stage: tuple(one for one in before if one not in off) for stage, before in FOLLOWS.items() if stage not in off
    }


def pick(config: Config, stage: str, model: str | None = None) -> dict[str, Any]:
    """Return what a stage reads of the config: the keys of `READS`, each under the last part of its name.

    Args:
        config: The resolved config.
        stage: Name of the stage.
        model: Id of the model whose keys are included; None leaves out the keys of models.
    """
    picked: dict[str, Any] = {}
    for path in READS[stage]:
        section, *rest = path.split(".")
        if section == "models":
            if model is not None and rest[1] in config["models"][model] and stage != "fetch":
                picked[rest[1]] = config["models"][model][rest[1]]
        else:
            picked[rest[0]] = config[section][rest[0]]
    return picked
