"""The configuration: read, checked against the closed schema, defaults filled in; and which stage reads what."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from plateaus import series
from plateaus.canonical import digest
from plateaus.errors import InputError

SCHEMA = Path("workflow/schemas/config.schema.yaml")
Config = dict[str, Any]

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

MODEL_KEYS = ("source", "id", "revision", "dtype", "path", "like", "seed", "layernorm", "storage")
"""The keys of a model that say which weights it has; the others say how they are used."""

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


def load_schema(path: Path = SCHEMA) -> dict[str, Any]:
    """The JSON schema of the configuration."""
    import yaml

    schema: dict[str, Any] = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    return schema


def resolve(raw: Mapping[str, Any], schema: Mapping[str, Any]) -> Config:
    """Check a configuration and fill in its defaults.

    Args:
        raw: As read from YAML.
        schema: See `load_schema`.

    Returns:
        A new dictionary in which every key of the schema is present and every series is one model per revision.

    Raises:
        InputError: one line that names the key, what is wrong with it, and the mend.
    """
    import jsonschema

    validator = jsonschema.Draft202012Validator(schema)
    errors = sorted(validator.iter_errors(raw), key=lambda error: [str(part) for part in error.absolute_path])
    if errors:
        raise InputError(_explain(errors[0], schema))
    config = copy.deepcopy(dict(raw))
    _fill(config, schema)
    config["models"] = series.expand(config["models"], schema["properties"]["models"]["propertyNames"]["pattern"])
    for name, model in config["models"].items():
        _fill(model, schema["$defs"][model["source"]], schema["$defs"])
        _check_like(config, name)
        _check_controls(config, name)
    layers, trace = config["interpolate"]["layers"], config["interpolate"]["trace_layer"]
    if layers != "all" and trace not in layers and min(layers) >= 0:
        raise InputError(
            f"config: interpolate.trace_layer is {trace}, which is not among interpolate.layers {layers}: add it there"
        )
    return config


def _fill(value: dict[str, Any], schema: Mapping[str, Any], definitions: Mapping[str, Any] | None = None) -> None:
    for key, part in schema.get("properties", {}).items():
        if "$ref" in part and definitions is not None:
            part = definitions[part["$ref"].rsplit("/", 1)[1]]
        if key not in value and "default" in part:
            value[key] = copy.deepcopy(part["default"])
        if isinstance(value.get(key), dict) and "properties" in part:
            _fill(value[key], part)


def _check_like(config: Config, name: str) -> None:
    seen = [name]
    while config["models"][seen[-1]]["source"] == "random":
        like = config["models"][seen[-1]]["like"]
        if like not in config["models"]:
            raise InputError(
                f"config: models.{seen[-1]}.like names '{like}', which is not among the models "
                f"({', '.join(config['models'])}){_meant(like, config['models'])}"
            )
        if like in seen:
            raise InputError(f"config: models.{name}.like leads back to itself: name a model with weights of its own")
        if config["models"][like].get("layernorm") == "removed":
            raise InputError(
                f"config: models.{seen[-1]}.like names '{like}', whose LayerNorm was removed: with fresh weights its "
                "norms would pass on nothing; name the stock model"
            )
        seen.append(like)


def _check_controls(config: Config, name: str) -> None:
    for control in config["models"][name].get("controls", []):
        if control not in config["models"] or control == name:
            others = [other for other in config["models"] if other != name]
            raise InputError(
                f"config: models.{name}.controls names '{control}', which is not another of the models "
                f"({', '.join(others)}){_meant(control, {other: config['models'][other] for other in others})}"
            )


def _explain(error: Any, schema: Mapping[str, Any]) -> str:
    """One line for a schema error."""
    path = [str(part) for part in error.absolute_path]
    if error.validator == "oneOf" and path[:1] == ["models"] and len(path) == 2:
        # The branches differ by `source` alone, so report what is wrong with the branch that was meant.
        import jsonschema

        source = error.instance.get("source") if isinstance(error.instance, dict) else None
        choices = schema["properties"]["models"]["additionalProperties"]["properties"]["source"]["enum"]
        if source is not None and source not in choices:
            near = _nearest(str(source), choices)
            return f"config: {'.'.join(path)}.source is {source!r}{near}; possible: {', '.join(choices)}"
        if source in choices:
            branch = {**schema["$defs"][source], "$defs": schema["$defs"]}
            inner = next(jsonschema.Draft202012Validator(branch).iter_errors(error.instance), None)
            if inner is not None:
                error, path = inner, path + [str(part) for part in inner.absolute_path]
    key = ".".join(path) or "the top level"
    match error.validator:
        case "additionalProperties":
            known = list(error.schema.get("properties", {}))
            unknown = next(name for name in error.instance if name not in known)
            where = ".".join([*path, str(unknown)])
            return f"config: unknown key {where}{_nearest(str(unknown), known)}; known here: {', '.join(known)}"
        case "required":
            missing = next(name for name in error.validator_value if name not in error.instance)
            return f"config: {key} lacks the key '{missing}': add it"
        case "type":
            return f"config: {key} is {error.instance!r}, which is not of type {error.validator_value}: {_hint(error)}"
        case "enum" | "const":
            choices = error.validator_value if error.validator == "enum" else [error.validator_value]
            return (
                f"config: {key} is {error.instance!r}{_nearest(str(error.instance), choices)}; "
                f"possible: {', '.join(map(str, choices))}" + (f": {why}" if (why := error.schema.get("x-why")) else "")
            )
        case "oneOf":
            return f"config: {key} is {error.instance!r}, which fits none of its forms: {_describe(error.schema)}"
        case "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum":
            words = {
                "minimum": "at least",
                "exclusiveMinimum": "more than",
                "maximum": "at most",
                "exclusiveMaximum": "less than",
            }
            return f"config: {key} is {error.instance}; it must be {words[error.validator]} {error.validator_value}"
        case "pattern":
            if form := error.schema.get("x-form"):
                return f"config: {key} is '{error.instance}': give {form}"
            allowed = "letters, digits, '.', '_' and '-' only, up to 64"
            return f"config: {key} has '{error.instance}', which is used in file names: {allowed}"
        case "uniqueItems":
            twice = next(item for item in error.instance if error.instance.count(item) > 1)
            return f"config: {key} has {twice!r} twice: take one of them out"
        case "contains":
            return f"config: {key} lacks {error.validator_value.get('const')!r}: add it"
        case _:
            return f"config: {key}: {error.message}"


def _hint(error: Any) -> str:
    if isinstance(error.instance, str):
        return (
            "remove the quotes (with --config, values of nested keys arrive as text: "
            "use an overlay file with --configfile)"
        )
    if error.validator_value == "string" and isinstance(error.instance, int | float):
        return "put it in quotes"
    return "change it"


def _describe(schema: Mapping[str, Any]) -> str:
    return str(schema.get("description", "see config/README.md"))


def _nearest(word: str, known: Any) -> str:
    near = difflib.get_close_matches(word, [str(name) for name in known], n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _meant(word: str, models: Mapping[str, Any]) -> str:
    if members := series.members(models, word):
        return f": '{word}' is a series, so name one of its models, such as {members[-1]}"
    return _nearest(word, models)


def leaves(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every key of the schema that holds a value, as a dotted path (models.* for any model), with its part of it."""
    for key, part in schema["properties"].items():
        if key == "models":
            yield "models.*.source", part["additionalProperties"]["properties"]["source"]
            # Sources share keys, so each is told once; a shared one is described under its own name.
            found = {
                leaf: schema["$defs"][leaf] if "$ref" in definition else definition
                for source in schema["$defs"].values()
                for leaf, definition in source.get("properties", {}).items()
                if leaf != "source"
            }
            yield from ((f"models.*.{leaf}", definition) for leaf, definition in found.items())
        elif part.get("type") == "object":
            for name, inner in part["properties"].items():
                yield f"{key}.{name}", inner
        else:
            yield key, part


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
