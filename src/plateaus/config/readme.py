"""config/README.md, written from the schema: every key with its meaning, default, bounds and what editing it reruns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plateaus.config.reading import SCHEMA, leaves, load_schema
from plateaus.config.stages import FOLLOWS, READS, STAGES

HEAD = """# Configuration

<!-- Written by `make docs` from workflow/schemas/config.schema.yaml; edit that file. -->

`config/config.yaml` is the default. Another config is given by `--configfile`:

- one that names `models` stands alone: what it leaves out has the defaults below;
- one that does not is laid over `config/config.yaml`.

Nested keys cannot be given by `--config` on the command line, where their values arrive as text: write a small overlay
file. Numbers like `1e-5` are text in YAML: write `1.0e-5`.

The last column says which stages run again after an edit: those that read the key, and what follows from them.

| key | default | possible | meaning | edit reruns |
|---|---|---|---|---|
"""

TAIL = """
## Prompt pairs

The table has the tab-separated columns `id`, `context`, `a`, `b`, `tags`. A pair is the two prompts `context + " " + a`
and `context + " " + b`, which must be the same tokens but for the last, each word being one token of every model. Lines
that begin with `#` are comments. Ids are used in file names: letters, digits, `.`, `_` and `-`.
"""


def text(schema: Mapping[str, Any]) -> str:
    """The whole file."""
    return HEAD + "".join(_row(key, part) for key, part in leaves(schema)) + TAIL


def _row(key: str, part: Mapping[str, Any]) -> str:
    shown = key.replace("models.*", "models.&lt;id&gt;")
    default = f"`{json.dumps(_default(part))}`" if "default" in part else "(required)"
    meaning = " ".join(str(part["description"]).split())
    return f"| `{shown}` | {default} | {_possible(part)} | {meaning} | {_reruns(key)} |\n".replace("&lt;", "<").replace(
        "&gt;", ">"
    )


def _default(part: Mapping[str, Any]) -> Any:
    inner = {name: one["default"] for name, one in part.get("properties", {}).items() if "default" in one}
    return inner or part["default"]


def _possible(part: Mapping[str, Any]) -> str:
    unit = f" ({part['x-unit']})" if "x-unit" in part else ""
    if "enum" in part:
        return ", ".join(f"`{value}`" for value in part["enum"]) + unit
    if "oneOf" in part:
        return " or ".join(_possible(branch) for branch in part["oneOf"]) + unit
    if "const" in part:
        return f"`{part['const']}`"
    if part.get("type") == "array":
        return f"list of {_possible(part['items'])}{unit}"
    names = {"integer": "whole number", "number": "number", "string": "text", "boolean": "`true`, `false`"}
    names["object"] = "a number for each of " + ", ".join(f"`{name}`" for name in part.get("properties", {}))
    bounds = [
        f"{word} {part[name]}"
        for name, word in (("minimum", "from"), ("exclusiveMinimum", "above"), ("maximum", "to"))
        if name in part
    ]
    return " ".join([names[part["type"]], *bounds]) + unit


def _reruns(key: str) -> str:
    if key == "run":
        return "all but fetch, into a new folder"
    stages = {stage for stage, keys in READS.items() if key in keys}
    for stage in STAGES:
        if stages & set(FOLLOWS[stage]):
            stages.add(stage)
    return ", ".join(stage for stage in STAGES if stage in stages) or "nothing"


if __name__ == "__main__":
    Path("config/README.md").write_text(text(load_schema(SCHEMA)), encoding="utf-8")
