"""Collect the provenance of a run: model cards, versions, and the time and memory of each job."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from plateaus.config.stages import STAGES

PACKAGES = (
    "plateaus", "torch", "transformers", "transformer-lens", "snakemake", "numpy", "scipy", "pandas", "pyarrow",
    "matplotlib", "safetensors", "tokenizers",
)  # fmt: skip
"""Packages that the results can depend on."""


def versions() -> dict[str, str]:
    """Return the installed version of each of `PACKAGES`."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def environment() -> dict[str, str]:
    """Return the version of Python and the operating system."""
    return {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}


def cards(model_folders: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Read the card of each model, by model id."""
    return {
        model: json.loads((Path(folder) / "card.json").read_text(encoding="utf-8"))
        for model, folder in model_folders.items()
    }


def records(root: Path, models: Sequence[str], parts: Sequence[str]) -> list[dict[str, Any]]:
    """Read the record (time, peak memory and more) of each job of this run, in the order of the DAG.

    A job that did not have to run again keeps the record of its last execution.

    Args:
        root: `results/<run>`.
        models: Ids of the models.
        parts: Names of the parts into which jobs are split: names of shards, and keys of fetched models.
    """
    found = []
    for stage in STAGES:
        for model in ("all", *models):
            for part in ("all", *parts):
                path = root / "benchmarks" / model / stage / f"{part}.json"
                if path.is_file():
                    found.append(json.loads(path.read_text(encoding="utf-8")))
    return found
