"""One command as a process of its own, and what it took by the operating system's account."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from plateaus.errors import InputError


class Taken(NamedTuple):
    """What a process took.

    Attributes:
        seconds: From its start to its end.
        cpu_seconds: Of all its threads, in the program and in the system for it.
        memory: Peak resident memory, bytes.
        said: What it printed.
    """

    seconds: float
    cpu_seconds: float
    memory: float
    said: str


def run(command: Sequence[str], log: Path, *, plain: bool = False) -> Taken:
    """Run a Python command.

    The system counts a new process's peak from what its parent holds, so the parent should hold little.

    Args:
        command: The arguments of this interpreter.
        log: Where what it says goes.
        plain: Without the settings of the allocator that the workflow gives its jobs.

    Raises:
        InputError: it failed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    printed = log.with_suffix(".out")
    environment = {name: value for name, value in os.environ.items() if not (plain and name.startswith("MALLOC_"))}
    with log.open("w", encoding="utf-8") as errors, printed.open("w", encoding="utf-8") as output:
        start = time.perf_counter()
        process = subprocess.Popen([sys.executable, *command], stdout=output, stderr=errors, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    said = printed.read_text(encoding="utf-8")
    printed.unlink()
    if process.returncode:
        last = (log.read_text(encoding="utf-8").strip().splitlines() or ["it said nothing"])[-1]
        raise InputError(f"{' '.join(command[:3])} failed: {last} (whole story: {log})")
    unit = 1 if sys.platform == "darwin" else 1024
    return Taken(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit, said)
