"""Find the accelerators of this machine and make sure that each of them runs one job at a time.

One job keeps a GPU busy, so jobs that share a GPU only compete for its memory. Every job therefore requests one
accelerator from the scheduler and then claims the first one that no other job of this user holds.
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
"""File locks of this process; the operating system releases them when the process ends, even if it is killed."""


def names(device: str) -> list[str]:
    """Return the names of the accelerators that jobs on `compute.device` may use here, without importing torch.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Returns:
        One name per accelerator; empty if the jobs run on the CPU.
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
    """Claim the first of `count` accelerators that no other job holds, and return its number; 0 if all are taken."""
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
