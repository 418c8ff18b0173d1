"""The config of a run as a file that runs it again."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from plateaus.config.series import PLACEHOLDER
from plateaus.errors import InputError


def text(config: Mapping[str, Any]) -> str:
    """Return a resolved config as YAML that resolves to the same config."""
    head = f"# The config of the run `{config['run']}`, with every default filled in.\n"
    folded = {**config, "models": fold(config["models"])}
    ordered = {key: folded[key] for key in ("run", "models")} | folded
    return head + yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True, width=120)


def fold(models: Mapping[str, Any]) -> dict[str, Any]:
    """Put the members of each series together again, which resolving had made models of their own.

    Args:
        models: The section `models` of a resolved config.

    Returns:
        The section as a user would write it, with `revisions` in place of the members; other models are unchanged.
    """
    found: dict[str, Any] = {}
    for name, model in models.items():
        told = copy.deepcopy(dict(model))
        series = told.pop("series", "")
        if not series:
            found[name] = told
            continue
        told.pop("step")
        revision = name.removeprefix(f"{series}-")
        told.pop("revision", None)
        if told["source"] == "local":
            told["path"] = told["path"].replace(revision, PLACEHOLDER)
        found.setdefault(series, {**told, "revisions": []})["revisions"].append(revision)
    return found


def inputs(config: Mapping[str, Any]) -> list[Path]:
    """Return the files beside the models that a config names: prompt tables with their manifests, and own claims.

    Raises:
        InputError: a file is outside of this folder, so that an archive could not hold it where the config names it.
    """
    named = [Path(config["prompts"][key]) for key in ("table", "suite") if config["prompts"][key]]
    named += [path.with_suffix(".manifest.json") for path in named]
    if config["claims"]["folder"]:
        named += sorted(Path(config["claims"]["folder"]).glob("*.py"))
    here = Path.cwd().resolve()
    for path in named:
        if path.is_absolute() or not path.resolve().is_relative_to(here):
            raise InputError(
                f"the config names {path}, which is outside of this folder, so that nobody could run the archive: copy "
                "it here and name it by a relative path"
            )
    return [path for path in named if path.is_file()]
