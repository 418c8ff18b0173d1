"""How much memory the jobs of a run may take together, and how large the blocks are that each of them works on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from plateaus.config.reading import Config
from plateaus.errors import InputError
from plateaus.plan import estimate
from plateaus.prompts.pairs import Pair

BLOCKS_GB = (1.0, 0.5, 0.25, 0.125)
"""Sizes of a job's intermediate results, the largest first: a larger one is not faster."""
SHARE = 0.75
"""Of what is free, where the config leaves it to us."""
MARGIN = 1.25
"""The plan's figures are within a quarter of what jobs take; a cluster ends a job that takes more than it asked for."""
UNKNOWN_MB = 4000
"""Asked for by the jobs of a model whose shape is not known before it is fetched."""

Key = tuple[str, str]
"""Stage and model, or `all` where it is over all models."""


class Room(NamedTuple):
    """What the jobs of a run take, and what they may.

    Attributes:
        budget: Bytes for all jobs side by side; None where every job has a machine of its own.
        block_gb: Size of the blocks of rows that the stages work on.
        needs: Stage and model to the peak of its largest job, bytes.
    """

    budget: float | None
    block_gb: float
    needs: dict[Key, float]

    def megabytes(self, stage: str, model: str) -> int:
        """What a job asks the scheduler for."""
        if (stage, model) not in self.needs:
            return UNKNOWN_MB
        return max(1, round(self.needs[stage, model] * (MARGIN if self.budget is None else 1.0) / 1e6))

    def megabytes_together(self) -> int:
        """What the scheduler may give out at once on this machine: every job that is allowed at all fits alone."""
        assert self.budget is not None
        return max(UNKNOWN_MB, round(self.budget / 1e6), *(self.megabytes(*key) for key in self.needs))


def budget_of(told: float | str) -> float:
    """Bytes for the jobs of this machine, from `compute.memory_gb`."""
    if told == "auto":
        import psutil

        return SHARE * float(psutil.virtual_memory().available)
    return 1e9 * float(told)


def room_of(config: Config, pairs: Sequence[Pair], models_folder: Path, *, budget: float | None) -> Room:
    """The largest blocks with which every job fits into the budget, or the smallest where none do.

    Args:
        config: Resolved.
        pairs: The prompt pairs.
        models_folder: Where fetched models lie.
        budget: Bytes, or None where nothing is shared.
    """
    for block_gb in BLOCKS_GB:
        plan = estimate.make(config, pairs, models_folder, gflops=None, block_gb=block_gb)
        room = Room(budget, block_gb, {(line.stage, line.model): line.memory for line in plan.lines})
        if budget is None or max(room.needs.values()) <= budget:
            return room
    return room


def check(room: Room, pending: Collection[Key], told: float | str) -> None:
    """Check that each job that is still to run fits, before any of them does.

    Args:
        room: The run's.
        pending: Stages and models without results.
        told: `compute.memory_gb`.

    Raises:
        InputError: naming the largest job that does not, with the figure that it needs.
    """
    too_large = {key: room.needs[key] for key in pending if room.needs.get(key, 0.0) > (room.budget or float("inf"))}
    if not too_large:
        return
    (stage, model), needed = max(too_large.items(), key=lambda item: item[1])
    auto = ", three quarters of what is free" if told == "auto" else ""
    raise InputError(
        f"model {model}: {stage} needs about {needed / 1e9:.2g} GB of memory, more than the "
        f"{(room.budget or 0) / 1e9:.2g} GB of compute.memory_gb ({told}{auto}): close other programs, raise it, take "
        "more prompts.shards, or a smaller model"
    )
