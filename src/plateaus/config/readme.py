"""Write config/README.md from the schema: the meaning, default, bounds and reruns of every key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plateaus.config.reading import SCHEMA, leaves, load_schema
from plateaus.config.stages import FOLLOWS, READS, STAGES

HEAD = """# Configuration

<!-- Written by `make docs` from workflow/schemas/config.schema.yaml; edit that file. -->

`config/config.yaml` is the default. Choose another config with `--configfile`:

- a config with the key `models` stands alone: keys that it leaves out have the defaults below;
- a config without `models` is an overlay: keys that it leaves out are taken from `config/config.yaml`.

Nested keys cannot be set with `--config` on the command line, because their values arrive as text: write a small
overlay file instead. Numbers like `1e-5` are text in YAML: write `1.0e-5`.

The last column says which stages run again after an edit: the stages that read the key, and all that depend on them.

| key | default | possible | meaning | edit reruns |
|---|---|---|---|---|
"""

TAIL = """
## Prompt pairs

The table has the tab-separated columns `id`, `context`, `a`, `b`, `tags`. A pair is the two prompts `context + " " + a`
and `context + " " + b`; a sixth column `separator` replaces the space, possibly by nothing. All tokens except the last
must be the same in both prompts, so each word must be a single token for every model. Lines that begin with `#` are
comments. Ids are used in file names, so they may contain only letters, digits, `.`, `_` and `-`. Tags are separated by
semicolons.
"""


def text(schema: Mapping[str, Any]) -> str:
    """Return the text of config/README.md."""
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
        named = (value if isinstance(value, str) else json.dumps(value) for value in part["enum"])
        return ", ".join(f"`{value}`" for value in named) + unit
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
