"""One call of a stage: which model and pairs, which part of the config, and how to compute."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from plateaus.data.canonical import digest


class Job(NamedTuple):
    """One call of a stage.

    Attributes:
        stage: The stage's name.
        root: `results/<run>`.
        model: Id of the model, or `all`.
        shard: Name of the shard, or `all`.
        slice: The stage's slice: the part of the config that the stage reads, and nothing else.
        model_folder: The folder into which fetch puts the model's weights.
        extra: Paths and other arguments that are not part of the slice.
        threads: Number of threads.
        device: Name of the device.
        memory_gb: Memory budget in GB for the intermediate results of one block.
        progress: Prints a line to the terminal and to the log.
    """

    stage: str
    root: Path
    model: str
    shard: str
    slice: dict[str, Any]
    model_folder: Path
    extra: dict[str, Any]
    threads: int
    device: str
    memory_gb: float
    progress: Callable[[str], None]

    def metadata(self) -> dict[str, str]:
        """Return the metadata for the Parquet files of this job: hashes of its parameters, code and weights."""
        from plateaus.run.code_inputs import code_digest

        return {
            "parameters": digest(self.slice),
            "code": code_digest(self.stage),
            "model": self.model_folder.name,
            "weights": json.loads((self.model_folder / "card.json").read_text())["weights_sha256"],
        }

    def architecture(self) -> str:
        """Return the architecture of the model from its card; empty if the job is of no model or there is no card."""
        try:
            return str(json.loads((self.model_folder / "card.json").read_text(encoding="utf-8"))["architecture"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""
