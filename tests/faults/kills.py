"""Kill -9 at seeded moments of the tiny workflow; the same command must end with the bytes of a run left alone.

A round is one run, from nothing to the end, in which processes are killed several times. After each kill every file that
has its final name must have the bytes that it has in the undisturbed run, and the same command is given again immediately:
after the driver alone was killed, the jobs that it left behind are still at work then.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path
from typing import NamedTuple

from tests.faults.common import Process, Tally, differences, fresh, not_recovered, processes, start
from tests.workflow.project import Project

KINDS = ("a stage's process", "a job's command", "the shared start-up", "the driver alone", "all processes")
OF_DRIVER = ("the driver alone", "all processes")
PER_ROUND = 6
LOGS = 32
"""Number of logs of a whole run, by which its progress is known."""


class Moment(NamedTuple):
    """What to kill, and when: so many jobs have begun, and then so many seconds have passed."""

    kind: str
    jobs: int
    delay: float


def victims(kind: str, found: dict[int, Process], driver: int) -> list[int]:
    """Return the processes that a kind of fault kills, in any order; empty if there is none at this moment."""
    servers = {pid for pid, one in found.items() if "warm.serve(" in one.command}
    stages = [
        pid
        for pid, one in found.items()
        # The shared process forks one that attends to a request, and that one forks the job.
        if (pid in servers and one.parent in servers and found[one.parent].parent in servers)
        or "-m plateaus.stages." in one.command
    ]
    if kind == "a stage's process":
        return stages[:1]
    if kind == "a job's command":
        return [pid for pid, one in found.items() if "-m plateaus." in one.command][:1]
    if kind == "the shared start-up":
        return [pid for pid in servers if found[pid].parent not in servers]
    if kind == "the driver alone":
        return [driver]
    return [driver, *(pid for pid in found if pid != driver)]


def begun(project: Project) -> set[Path]:
    """The logs of all jobs that have begun."""
    return set((project.folder / "results" / "tiny" / "logs").glob("*/*/*.log"))


def strike(project: Project, kind: str, driver: int) -> int:
    """Kill, and return how many processes were killed."""
    killed = 0
    for pid in victims(kind, processes(project), driver):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            killed += 1
    return killed


def play(project: Project, moments: list[Moment], undisturbed: Project) -> list[tuple[Moment, str | None]]:
    """Kill at these moments, and give the command again whenever it has ended, until all of them are over.

    Returns:
        The moments at which something was killed, with what was wrong with the results right afterwards.
    """
    struck: list[tuple[Moment, str | None]] = []
    waiting = list(moments)
    driver = start(project)
    try:
        while waiting:
            if (status := driver.poll()) is not None:
                if status == 0:
                    break  # it was faster than the remaining moments
                driver = start(project)
            if len(begun(project)) < waiting[0].jobs:
                time.sleep(0.01)
                continue
            moment = waiting.pop(0)
            until = time.monotonic() + moment.delay
            killed = 0
            while driver.poll() is None and not killed:
                if time.monotonic() >= until:
                    killed = strike(project, moment.kind, driver.pid)
                time.sleep(0.01)
            if killed:
                if moment.kind in OF_DRIVER:
                    driver.wait(60)
                struck.append((moment, differences(project, undisturbed, complete=False)))
                print(f"  {moment.kind}: {killed} killed when {len(begun(project))} jobs had begun", flush=True)
    finally:
        # A driver that is left goes on with the other jobs and then says what failed.
        driver.wait(600)
    return struck


def check(undisturbed: Project, work: Path, number: int, seed: int) -> bool:
    """Kill `number` times, and print how it went."""
    tally = Tally("kill -9 of")
    chance = random.Random(seed)
    kinds = [KINDS[n % len(KINDS)] for n in range(number)]
    chance.shuffle(kinds)
    rounds = 0
    while kinds and rounds < number:  # a moment that comes after the end is tried again in another round
        project = fresh(undisturbed, work / "killed")
        moments = []
        for n, kind in enumerate(kinds[:PER_ROUND]):
            jobs = chance.randint(n * LOGS // PER_ROUND, (n + 1) * LOGS // PER_ROUND - 1)
            moments.append(Moment(kind, jobs, chance.random()))
        print(f"round {rounds}: {', '.join(f'{one.kind} at {one.jobs}' for one in moments)}", flush=True)
        struck = play(project, moments, undisturbed)
        problem = not_recovered(project, undisturbed)
        for moment, at_once in struck:
            tally.add(moment.kind, at_once or problem)
            kinds.remove(moment.kind)
        rounds += 1
        if problem or any(at_once for _, at_once in struck):
            project.folder.rename(work / f"lost-{rounds}")
    return tally.show() and not kinds
