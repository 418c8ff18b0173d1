"""The stages in the order of the DAG, what each takes of the others, and which keys of the config each one reads."""

from __future__ import annotations

from typing import Any

from plateaus.config.models import MODEL_KEYS
from plateaus.config.reading import Config

STAGES = ("fetch", "extract", "interpolate", "freeze", "jacobian", "spline", "sharpness",
    "claims", "figures", "report",
)  # fmt: skip
"""In the order of the DAG."""


FOLLOWS = {
    "fetch": (),
    "extract": ("fetch",),
    "interpolate": ("fetch", "extract"),
    "freeze": ("fetch", "extract"),
    "jacobian": ("fetch", "extract", "interpolate"),
    "spline": ("fetch", "extract", "interpolate"),
    "sharpness": ("interpolate", "freeze"),
    "claims": ("extract", "interpolate", "freeze", "jacobian", "spline", "sharpness"),
    "figures": ("extract", "interpolate", "freeze", "jacobian", "spline", "sharpness", "claims"),
    "report": ("figures",),
}
"""Stage to the stages whose outputs it takes."""


RULE = ("sharpness.w_at_most", "sharpness.rest_at_least", "sharpness.departure_at_most")
"""The plateau rule, which the figures' texts apply as well."""


READS: dict[str, tuple[str, ...]] = {
    "fetch": tuple(f"models.*.{key}" for key in (*MODEL_KEYS, "revisions")),
    "extract": ("models.*.centre", *(f"prompts.{key}" for key in ("table", "suite", "sample", "seed", "shards"))),
    "interpolate": (
        "models.*.centre",
        *(
            f"interpolate.{key}"
            for key in ("steps", "path", "layers", "suite_stride", "trace_layer", "top_tokens", "endpoint_tolerance")
        ),
    ),
    "freeze": ("models.*.centre", "interpolate.steps", "interpolate.path", "freeze.conditions", "freeze.layers"),
    "jacobian": (
        "models.*.centre",
        "interpolate.path",
        "interpolate.trace_layer",
        "jacobian.components",
        "jacobian.suite_matrices",
        "jacobian.exact_up_to",
        "jacobian.probes",
    ),
    "spline": ("models.*.centre", "spline.top_neurons"),
    "sharpness": RULE,
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
"""Stage to the config keys it reads. `run` names the folder of all results and is read by every stage."""


READS_NOTHING = ("compute.device", "compute.threads", "compute.memory_gb")
"""Keys that say how to compute, not what: no result depends on them."""


def pick(config: Config, stage: str, model: str | None = None) -> dict[str, Any]:
    """What a stage reads of the config: exactly the keys of `READS`, for one model where they are a model's."""
    picked: dict[str, Any] = {}
    for path in READS[stage]:
        section, *rest = path.split(".")
        if section == "models":
            if model is not None and rest[1] in config["models"][model] and stage != "fetch":
                picked[rest[1]] = config["models"][model][rest[1]]
        else:
            picked[rest[0]] = config[section][rest[0]]
    return picked
