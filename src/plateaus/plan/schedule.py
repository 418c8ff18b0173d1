"""Simulate jobs that wait for each other and run on a few slots, to find the time and memory of the whole run."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import NamedTuple

Key = tuple[str, str, str]
"""Stage, model and shard of a job."""


class Job(NamedTuple):
    """One job.

    Attributes:
        key: Stage, model and shard.
        seconds: How long the job runs.
        memory: Peak memory, bytes.
        after: Keys of the jobs that must finish first.
    """

    key: Key
    seconds: float
    memory: float
    after: tuple[Key, ...]


class Schedule(NamedTuple):
    """The result of a simulation.

    Attributes:
        seconds: Time from the start of the first job to the end of the last one.
        memory: The largest sum of the peak memory of jobs that run side by side, bytes.
    """

    seconds: float
    memory: float


def simulate(jobs: Sequence[Job], slots: int) -> Schedule:
    """Simulate a run: each job starts, in the given order, once its predecessors are done and a slot is free.

    Args:
        jobs: Jobs without cyclic dependencies; every key of `after` belongs to one of them.
        slots: Number of jobs that can run side by side.

    Raises:
        ValueError: a job waits for a job that is not in the list, or jobs wait for each other.
    """
    waiting, done, now, peak = list(jobs), set[Key](), 0.0, 0.0
    running: list[tuple[float, int, Job]] = []
    while waiting or running:
        while len(running) < slots:
            ready = next((job for job in waiting if done.issuperset(job.after)), None)
            if ready is None:
                break
            waiting.remove(ready)
            heapq.heappush(running, (now + ready.seconds, len(waiting), ready))
        if not running:
            raise ValueError(f"these jobs wait for jobs that never run: {[job.key for job in waiting]}")
        peak = max(peak, sum(job.memory for *_, job in running))
        now, _, ended = heapq.heappop(running)
        done.add(ended.key)
    return Schedule(now, peak)
