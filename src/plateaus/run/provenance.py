"""What a run was made from and with: config, model cards, versions, and what each job took."""

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
"""The packages that results can depend on."""


def versions() -> dict[str, str]:
    """Installed version of each of `PACKAGES`."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def environment() -> dict[str, str]:
    """The interpreter and the system."""
    return {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}


def cards(model_folders: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Model id to its card."""
    return {
        model: json.loads((Path(folder) / "card.json").read_text(encoding="utf-8"))
        for model, folder in model_folders.items()
    }


def records(root: Path, models: Sequence[str], parts: Sequence[str]) -> list[dict[str, Any]]:
    """Seconds and peak memory of each job that made this run, in the order of the DAG.

    Jobs that did not have to run again keep the record of when they did.

    Args:
        root: `results/<run>`.
        models: Ids of the models.
        parts: What the jobs are told apart by: names of the shards, and keys of the fetched models.
    """
    found = []
    for stage in STAGES:
        for model in ("all", *models):
            for part in ("all", *parts):
                path = root / "benchmarks" / model / stage / f"{part}.json"
                if path.is_file():
                    found.append(json.loads(path.read_text(encoding="utf-8")))
    return found
