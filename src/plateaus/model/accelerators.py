"""Which accelerators this machine has, and that each of them serves one job at a time.

A job fills a GPU by itself, so jobs that share one only take its memory from each other: each takes one of the
machine's accelerators as a resource of the scheduler's, and then the first that no other job of this user has.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

NVIDIA = Path("/proc/driver/nvidia/gpus")
VISIBLE = "CUDA_VISIBLE_DEVICES"

_held: list[Any] = []
"""Locks of this process; the system releases them when it ends, however it ends."""


def names(device: str) -> list[str]:
    """The accelerators that jobs on `compute.device` may take on this machine, without loading torch.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
    """
    if device in ("auto", "cuda"):
        visible = os.environ.get(VISIBLE)
        installed = sorted(path.name for path in NVIDIA.iterdir()) if NVIDIA.is_dir() else []
        found = installed if visible is None else [name for name in visible.split(",") if name.strip()]
        if found and installed:
            return found
    if device in ("auto", "mps") and sys.platform == "darwin" and platform.machine() == "arm64":
        return ["mps"]
    return []


def claim(count: int) -> int:
    """The number of the first of `count` accelerators that no other job has; the first where all are taken."""
    from filelock import FileLock, Timeout

    listed = names("cuda")
    for number in range(count):
        name = listed[number] if number < len(listed) else str(number)
        path = Path(tempfile.gettempdir()) / f"plateaus-{os.getuid()}-{name.replace(os.sep, '-')}.lock"
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        _held.append(lock)
        return number
    return 0
