"""Explain what is wrong with a configuration, in one line that names the key and says how to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from plateaus.config import series


def explain(error: Any, schema: Mapping[str, Any]) -> str:
    """Explain a schema error in one line: the key, what is wrong with it, and how to mend it.

    Args:
        error: A `jsonschema.ValidationError`.
        schema: The schema of the configuration.
    """
    path = [str(part) for part in error.absolute_path]
    if error.validator == "oneOf" and path[:1] == ["models"] and len(path) == 2:
        # `source` selects the branch, so report what is wrong with the branch that was meant.
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
            return f"config: {key} is {error.instance!r}, which is not allowed: {_describe(error.schema)}"
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
            allowed = "use only letters, digits, '.', '_' and '-', up to 64"
            return f"config: {key} has '{error.instance}', which is used in file names: {allowed}"
        case "uniqueItems":
            twice = next(item for item in error.instance if error.instance.count(item) > 1)
            return f"config: {key} has {twice!r} twice: remove one of them"
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
    if error.validator_value == "integer" and isinstance(error.instance, float):
        return "give a whole number, without a decimal point"
    if error.validator_value == "string" and isinstance(error.instance, int | float):
        return "put it in quotes"
    return "change it"


def _describe(schema: Mapping[str, Any]) -> str:
    return str(schema.get("description", "see config/README.md"))


def _nearest(word: str, known: Any) -> str:
    near = difflib.get_close_matches(word, [str(name) for name in known], n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def meant(word: str, models: Mapping[str, Any]) -> str:
    """Suggest the model that a wrong id probably meant, as the end of a message; empty if no id is similar."""
    if members := series.members(models, word):
        return f": '{word}' is a series, so name one of its models, such as {members[-1]}"
    return _nearest(word, models)
