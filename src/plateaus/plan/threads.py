"""How many threads a job of a run takes."""

from __future__ import annotations

from plateaus.config.reading import Config


def of_job(config: Config, cores: int | None, accelerators: int = 0) -> int:
    """Threads of one job: as the config says, or the cores shared out over the jobs that can run side by side.

    Those are the jobs of one stage: a model's shard each, and no more of them than there are accelerators, where there
    are any. Cores above their number speed up each of them; with fewer cores than jobs one thread each is best.

    Args:
        config: The config.
        cores: What Snakemake was given; None where each job goes to a machine of its own.
        accelerators: How many of them the jobs share; 0 where they run on the CPU.
    """
    told: int | str = config["compute"]["threads"]
    if isinstance(told, int):
        return told
    side_by_side: int = len(config["models"]) * config["prompts"]["shards"]
    if accelerators:
        side_by_side = min(side_by_side, accelerators)
    return max(1, (cores or 1) // side_by_side)
