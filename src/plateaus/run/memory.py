"""Choose how much memory the jobs of a run may use together, and how large the blocks of rows in each job are."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from plateaus.config.reading import Config
from plateaus.errors import InputError
from plateaus.plan import estimate
from plateaus.prompts.pairs import Pair

BLOCKS_GB = (1.0, 0.5, 0.25, 0.125)
"""Allowed sizes of a job's intermediate results in GB, largest first; larger blocks would not be faster."""
SHARE = 0.75
"""Share of the free memory that the jobs may use if compute.memory_gb is auto."""
UNKNOWN_MB = 4000
"""Memory request, in MB, of the jobs of a model whose shape is not known before it is fetched."""

Key = tuple[str, str]
"""Stage, and model or `all` for a stage over all models."""


class Room(NamedTuple):
    """The memory that the jobs of a run need, and the memory that they may use.

    Attributes:
        budget: Bytes for all jobs side by side; None if every job has a machine of its own.
        block_gb: Memory for the intermediate results of a block of rows, GB.
        needs: Peak memory of the largest job by stage and model, bytes.
    """

    budget: float | None
    block_gb: float
    needs: dict[Key, float]

    def megabytes(self, stage: str, model: str) -> int:
        """Return the memory that a job on this machine requests from Snakemake, in MB; see also `run.requests`."""
        if (stage, model) not in self.needs:
            return UNKNOWN_MB
        return max(1, round(self.needs[stage, model] / 1e6))

    def megabytes_together(self) -> int:
        """Return the memory, in MB, that jobs on this machine may request together; every single job fits into it."""
        assert self.budget is not None
        return max(UNKNOWN_MB, round(self.budget / 1e6), *(self.megabytes(*key) for key in self.needs))


def budget_of(told: float | str) -> float:
    """Return the memory for all jobs on this machine, in bytes.

    Args:
        told: `compute.memory_gb`, a number of GB or ``auto``.
    """
    if told == "auto":
        import psutil

        return SHARE * float(psutil.virtual_memory().available)
    return 1e9 * float(told)


def room_of(config: Config, pairs: Sequence[Pair], models_folder: Path, *, budget: float | None) -> Room:
    """Choose the largest blocks with which every job fits into the budget, or the smallest if no size fits.

    Args:
        config: The resolved config.
        pairs: The prompt pairs.
        models_folder: The folder of the fetched models.
        budget: Bytes for all jobs side by side; None if every job has a machine of its own.
    """
    for block_gb in BLOCKS_GB:
        plan = estimate.make(config, pairs, models_folder, gflops=None, block_gb=block_gb)
        room = Room(budget, block_gb, {(line.stage, line.model): line.memory for line in plan.lines})
        if budget is None or max(room.needs.values()) <= budget:
            return room
    return room


def check(room: Room, pending: Collection[Key], told: float | str) -> None:
    """Check before the run starts that each job that still has to run fits into the budget.

    Args:
        room: The memory of the run.
        pending: Stages and models without results.
        told: `compute.memory_gb`, for the message.

    Raises:
        InputError: a job does not fit; the message names the largest such job and the memory that it needs.
    """
    too_large = {key: room.needs[key] for key in pending if room.needs.get(key, 0.0) > (room.budget or float("inf"))}
    if not too_large:
        return
    (stage, model), needed = max(too_large.items(), key=lambda item: item[1])
    auto = ", three quarters of what is free" if told == "auto" else ""
    raise InputError(
        f"model {model}: {stage} needs about {needed / 1e9:.2g} GB of memory, more than the "
        f"{(room.budget or 0) / 1e9:.2g} GB of compute.memory_gb ({told}{auto}): close other programs, raise "
        "compute.memory_gb, use more prompts.shards, or choose a smaller model"
    )
