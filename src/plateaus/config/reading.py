"""Read the configuration: check it against the closed schema and fill in the defaults."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from plateaus.config import series
from plateaus.config.explain import explain, meant
from plateaus.config.values import check_values
from plateaus.errors import InputError

SCHEMA = Path("workflow/schemas/config.schema.yaml")
Config = dict[str, Any]


def load_schema(path: Path = SCHEMA) -> dict[str, Any]:
    """Read the JSON schema of the configuration."""
    import yaml

    schema: dict[str, Any] = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    return schema


def resolve(raw: Mapping[str, Any], schema: Mapping[str, Any]) -> Config:
    """Check a configuration and fill in its defaults.

    Args:
        raw: The configuration as read from YAML; it is not changed.
        schema: See `load_schema`.

    Returns:
        A new dictionary in which every key with a default is present and every series is one model per revision.

    Raises:
        InputError: one line that names the key and says what is wrong with it and how to mend it.
    """
    check_values(raw)
    validator = _validator(schema)
    errors = sorted(validator.iter_errors(raw), key=lambda error: [str(part) for part in error.absolute_path])
    if errors:
        raise InputError(explain(errors[0], schema))
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


def _validator(schema: Mapping[str, Any]) -> Any:
    """Return a validator that takes 50.0 for a number with a fraction, whereas JSON Schema takes it for a whole one."""
    import jsonschema

    kinds = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    )
    extend: Any = jsonschema.validators.extend  # which has no types
    return extend(jsonschema.Draft202012Validator, type_checker=kinds)(schema)


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
                f"({', '.join(config['models'])}){meant(like, config['models'])}"
            )
        if like in seen:
            raise InputError(f"config: models.{name}.like leads back to itself: name a model with weights of its own")
        if config["models"][like].get("layernorm") == "removed":
            raise InputError(
                f"config: models.{seen[-1]}.like names '{like}', whose LayerNorm was removed: with random weights "
                "its norms would output almost zero; name the stock model"
            )
        seen.append(like)


def _check_controls(config: Config, name: str) -> None:
    for control in config["models"][name].get("controls", []):
        if control not in config["models"] or control == name:
            others = [other for other in config["models"] if other != name]
            raise InputError(
                f"config: models.{name}.controls names '{control}', which is not another of the models "
                f"({', '.join(others)}){meant(control, {other: config['models'][other] for other in others})}"
            )


def leaves(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every key of the schema that holds a value, as a dotted path (models.* for any model), with its schema."""
    for key, part in schema["properties"].items():
        if key == "models":
            yield "models.*.source", part["additionalProperties"]["properties"]["source"]
            # Sources share keys, and each key is yielded once. Shared definitions are stored under the name of the key.
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
