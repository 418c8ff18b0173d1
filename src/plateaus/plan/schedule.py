"""Jobs, what each waits for, and cores: how long the whole takes."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import NamedTuple

Key = tuple[str, str, str]
"""Stage, model, shard."""


class Job(NamedTuple):
    """One job.

    Attributes:
        key: What it is.
        seconds: How long it takes.
        memory: Its peak memory, bytes.
        after: The jobs it waits for.
    """

    key: Key
    seconds: float
    memory: float
    after: tuple[Key, ...]


class Schedule(NamedTuple):
    """What comes of it.

    Attributes:
        seconds: From the first job's start to the last one's end.
        memory: The largest sum of peaks of jobs that run side by side, bytes.
    """

    seconds: float
    memory: float


def simulate(jobs: Sequence[Job], slots: int) -> Schedule:
    """Start jobs in the order given as soon as those they wait for are done and one of the slots is free.

    Args:
        jobs: No circles, and every key of `after` among them.
        slots: How many jobs run side by side.
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
            raise ValueError(f"jobs wait for what is not among them: {[job.key for job in waiting]}")
        peak = max(peak, sum(job.memory for *_, job in running))
        now, _, ended = heapq.heappop(running)
        done.add(ended.key)
    return Schedule(now, peak)
