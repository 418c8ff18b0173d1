"""Choose the number of threads of each job."""

from __future__ import annotations

from plateaus.config.reading import Config


def of_job(config: Config, cores: int | None, accelerators: int = 0) -> int:
    """Return the threads of one job: as the config says, or the cores divided among the jobs that run side by side.

    The jobs that run side by side are those of one stage, one per model and shard; with accelerators, at most one job
    per accelerator. If there are more cores than such jobs, each job gets several threads; otherwise one thread each is
    best.

    Args:
        config: The resolved config.
        cores: The value of Snakemake's --cores; None if each job runs on a machine of its own.
        accelerators: Number of accelerators that the jobs share; 0 if the jobs run on the CPU.
    """
    told: int | str = config["compute"]["threads"]
    if isinstance(told, int):
        return told
    side_by_side: int = len(config["models"]) * config["prompts"]["shards"]
    if accelerators:
        side_by_side = min(side_by_side, accelerators)
    return max(1, (cores or 1) // side_by_side)
