"""A series in the config: one entry that lists revisions stands for one model per checkpoint of a training run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from plateaus.errors import InputError

PLACEHOLDER = "{revision}"
"""Where a local path takes a revision of its series."""


def expand(models: Mapping[str, Any], name_pattern: str) -> dict[str, Any]:
    """Put the members of every series in its place, in the order of its revisions.

    A member is called `<series>-<revision>` and has what its series has, the `revision` in place of `revisions` (a
    local one has it in its `path`), the id of its `series` and its training `step`.

    Args:
        models: The section `models` of a config that fits the schema; it is not changed.
        name_pattern: What the id of a model must look like.

    Returns:
        The models without series.

    Raises:
        InputError: one line that names the series, what is wrong with it, and the mend.
    """
    expanded: dict[str, Any] = {}
    for name, model in models.items():
        members = _members(name, model) if model.get("revisions") else {name: model}
        _check_placeholder(name, model)
        for member, told in members.items():
            if member in expanded or (member in models and member != name):
                raise InputError(
                    f"config: models.{name}.revisions makes the model '{member}', which is there already: rename one"
                )
            if not re.search(name_pattern, member):
                raise InputError(
                    f"config: models.{name}.revisions makes the model '{member}', which is used in file names: "
                    "letters, digits, '.', '_' and '-' only, up to 64; shorten the series' id, or give each revision "
                    "as a model of its own"
                )
            expanded[member] = told
    return expanded


def step_of(revision: str) -> int | None:
    """The training step that a revision's name tells: the number after `step`, or else its only number."""
    numbers = re.findall(r"step[-_]?(\d+)", revision, re.IGNORECASE) or re.findall(r"\d+", revision)
    return int(numbers[0]) if len(numbers) == 1 else None


def members(models: Mapping[str, Any], series: str) -> list[str]:
    """Ids of a series' models, in order; empty where there is no such series."""
    return [name for name, model in models.items() if model.get("series") == series]


def _members(name: str, model: Mapping[str, Any]) -> dict[str, Any]:
    where = f"config: models.{name}.revisions"
    if "revision" in model:
        raise InputError(f"config: models.{name} has both revision and revisions: take one of them out")
    found: dict[str, Any] = {}
    steps: dict[int, str] = {}
    for revision in model["revisions"]:
        step = step_of(revision)
        if step is None:
            raise InputError(
                f"{where} has '{revision}', which does not tell its training step: its name must have one number, or "
                "one after 'step', as in step1000"
            )
        if step in steps:
            raise InputError(f"{where} has '{steps[step]}' and '{revision}', both of step {step}: take one of them out")
        steps[step] = revision
        told = {key: value for key, value in model.items() if key != "revisions"}
        if model["source"] == "local":
            told["path"] = model["path"].replace(PLACEHOLDER, revision)
        else:
            told["revision"] = revision
        found[f"{name}-{revision}"] = {**told, "series": name, "step": step}
    return found


def _check_placeholder(name: str, model: Mapping[str, Any]) -> None:
    if model["source"] != "local" or (PLACEHOLDER in model["path"]) == bool(model.get("revisions")):
        return
    if model.get("revisions"):
        raise InputError(
            f"config: models.{name}.path is '{model['path']}', the same folder for all of its revisions: write "
            f"{PLACEHOLDER} where they differ"
        )
    raise InputError(
        f"config: models.{name}.path has {PLACEHOLDER}, but the model has no revisions: list them, "
        "revisions: [step0, step1000]"
    )
