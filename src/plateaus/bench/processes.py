"""Run a command as a separate process and measure it by the operating system's records."""

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
    """Time, memory and output of a process.

    Attributes:
        seconds: Wall time.
        cpu_seconds: Processor time of all threads, user and system.
        memory: Peak resident memory, bytes.
        said: The text that the process printed to stdout.
    """

    seconds: float
    cpu_seconds: float
    memory: float
    said: str


def run(command: Sequence[str], log: Path, *, plain: bool = False) -> Taken:
    """Run a Python command and measure it.

    The peak memory of a new process includes the memory of its parent, so the parent should hold little.

    Args:
        command: The arguments for this Python interpreter.
        log: The file for what the command prints to stderr.
        plain: Whether to run without the allocator settings that the workflow gives its jobs.

    Raises:
        InputError: the command failed.
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
        last = (log.read_text(encoding="utf-8").strip().splitlines() or ["it printed no error"])[-1]
        raise InputError(f"{' '.join(command[:3])} failed: {last} (full traceback: {log})")
    unit = 1 if sys.platform == "darwin" else 1024
    return Taken(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit, said)
