"""Choose the memory and the time that a job requests from a cluster, which ends every job that takes more.

A request is what the plan expects, with a margin. It grows with every attempt, so that a job that was ended because it
asked for too little succeeds when it is tried again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from plateaus.config.reading import Config
from plateaus.plan import estimate
from plateaus.prompts.pairs import Pair
from plateaus.run.memory import UNKNOWN_MB, Key

MARGIN = 1.25
"""Factor on the planned memory, which is right within a quarter."""
TIME_MARGIN = 2
"""Factor on the planned time, because the jobs of other users on the same node make it slower."""
SNAKEMAKE_MB = 450
"""Memory that Snakemake takes inside a job, in MB. It runs twice: the job's own call starts another one in a step."""
HELPERS_MB = {"report": 400}
"""Memory of the processes beside a stage's own, in MB; the plan counts the largest process only."""
SLOW_GFLOPS = 25.0
"""Speed per thread, in GFLOP/s in float32, that every node of a cluster is expected to reach; most are faster."""
START_MINUTES = 10
"""Minutes for starting a job: libraries are read from a shared file system, which many jobs read at the same time."""
UNKNOWN_MINUTES = 240
"""Time request, in minutes, of the jobs of a model whose shape is not known before it is fetched."""


class Requests(NamedTuple):
    """The planned memory and time of the largest job of each stage and model.

    Attributes:
        memory: Peak memory by stage and model, bytes.
        seconds: Time at `SLOW_GFLOPS` per thread by stage and model.
    """

    memory: dict[Key, float]
    seconds: dict[Key, float]

    def megabytes(self, stage: str, model: str, attempt: int) -> int:
        """Return the memory that a job requests, in MB.

        Args:
            stage: Name of the stage.
            model: Id of the model, or `all`.
            attempt: 1 at first, 2 when the job is tried again, and so on.
        """
        planned = self.memory.get((stage, model))
        own = UNKNOWN_MB if planned is None else MARGIN * planned / 1e6
        return attempt * math.ceil(own + SNAKEMAKE_MB + HELPERS_MB.get(stage, 0))

    def minutes(self, stage: str, model: str, attempt: int) -> int:
        """Return the time that a job requests, in minutes; for the arguments, see `megabytes`."""
        planned = self.seconds.get((stage, model))
        own = UNKNOWN_MINUTES if planned is None else TIME_MARGIN * planned / 60
        return attempt * math.ceil(own + START_MINUTES)


def requests_of(config: Config, pairs: Sequence[Pair], models_folder: Path, threads: int) -> Requests:
    """Plan the jobs of a run for a cluster.

    Args:
        config: The resolved config.
        pairs: The prompt pairs.
        models_folder: The folder of the fetched models.
        threads: Threads of one job.
    """
    lines = estimate.make(config, pairs, models_folder, gflops=SLOW_GFLOPS * threads, slots=None).lines
    return Requests(
        memory={(line.stage, line.model): line.memory for line in lines},
        seconds={(line.stage, line.model): line.longest or 0.0 for line in lines},
    )
