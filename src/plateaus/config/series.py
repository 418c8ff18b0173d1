"""Expand each series in the config, an entry that lists revisions, to one model per checkpoint of a training run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from plateaus.errors import InputError

PLACEHOLDER = "{revision}"
"""Placeholder for the revision in the `path` of a local series."""


def expand(models: Mapping[str, Any], name_pattern: str) -> dict[str, Any]:
    """Replace every series by its members, in the order of its revisions.

    A member is called `<series>-<revision>`. It has the keys of its series, with `revision` in place of `revisions` (or
    with the revision in its `path`, if it is local), and in addition the id of its `series` and its training `step`.

    Args:
        models: The section `models` of a config that is valid under the schema; it is not changed.
        name_pattern: Regular expression that the id of a model must match.

    Returns:
        The models, in which no series is left.

    Raises:
        InputError: one line that names the series and says what is wrong with it and how to mend it.
    """
    expanded: dict[str, Any] = {}
    for name, model in models.items():
        members = _members(name, model) if model.get("revisions") else {name: model}
        _check_placeholder(name, model)
        for member, told in members.items():
            if member in expanded or (member in models and member != name):
                raise InputError(
                    f"config: models.{name}.revisions makes the model '{member}', which already exists: rename one of "
                    "them"
                )
            if not re.search(name_pattern, member):
                raise InputError(
                    f"config: models.{name}.revisions makes the model '{member}', which is used in file names: "
                    "use only letters, digits, '.', '_' and '-', up to 64; shorten the series' id, or list each "
                    "revision as a model of its own"
                )
            expanded[member] = told
    return expanded


def step_of(revision: str) -> int | None:
    """Return the training step that is in a revision's name: the number after `step`, or else its only number.

    None if there is no such number, or more than one.
    """
    numbers = re.findall(r"step[-_]?(\d+)", revision, re.IGNORECASE) or re.findall(r"\d+", revision)
    return int(numbers[0]) if len(numbers) == 1 else None


def members(models: Mapping[str, Any], series: str) -> list[str]:
    """Return the ids of the models of a series, in order; empty if there is no such series."""
    return [name for name, model in models.items() if model.get("series") == series]


def _members(name: str, model: Mapping[str, Any]) -> dict[str, Any]:
    where = f"config: models.{name}.revisions"
    if "revision" in model:
        raise InputError(f"config: models.{name} has both revision and revisions: remove one of them")
    found: dict[str, Any] = {}
    steps: dict[int, str] = {}
    for revision in model["revisions"]:
        step = step_of(revision)
        if step is None:
            raise InputError(
                f"{where} has '{revision}', whose name gives no training step: the name must have one number, or one "
                "after 'step', as in step1000"
            )
        if step in steps:
            raise InputError(f"{where} has '{steps[step]}' and '{revision}', both of step {step}: remove one of them")
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
