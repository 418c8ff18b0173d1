"""This machine's speed at what the stages spend their time on: float32 matrix products."""

from __future__ import annotations

import os
import time
from typing import NamedTuple


class Speed(NamedTuple):
    """A measured speed.

    Attributes:
        gflops: Billions of operations a second of one job, on its threads.
        threads: Threads of one job.
        device: Where it was measured, and so where the jobs will run.
        machine: The processor's name and core count.
    """

    gflops: float
    threads: int
    device: str
    machine: str


ROWS, INNER, COLUMNS = 1024, 1024, 4096
"""About what passes an MLP at once in a sweep of a middle-sized model."""


def measure(threads: int, device: str, seconds: float = 1.5) -> Speed:
    """Repeat a matrix product.

    On a CPU the time is the processor's own, so that whatever else runs on the machine does not count: the minutes of
    a plan are those of a machine that is free.

    Args:
        threads: `compute.threads`.
        device: `compute.device`.
        seconds: For how long.
    """
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    import torch

    from plateaus.model.loading import pick_device
    from plateaus.plan.machine import machine

    torch.set_num_threads(threads)
    chosen = pick_device(device)
    left, right = torch.randn(ROWS, INNER, device=chosen), torch.randn(INNER, COLUMNS, device=chosen)
    (left @ right)[0, 0].item()  # the first call prepares the library
    on_cpu = chosen.type == "cpu"
    products, start, busy = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds:
        (left @ right)[0, 0].item()  # waits for the device to be done
        products += 1
    taken = (time.process_time() - busy) / threads if on_cpu else time.perf_counter() - start
    name = machine() if on_cpu else f"{_accelerator(chosen.type)}, {machine()}"
    gflops = 2.0 * ROWS * INNER * COLUMNS * products / taken / 1e9
    # Whole numbers, so that what is printed is what was reckoned with.
    return Speed(max(1.0, round(gflops)), threads, str(chosen), name)


def _accelerator(kind: str) -> str:
    import torch

    return torch.cuda.get_device_name() if kind == "cuda" else kind


def given(gflops: float, threads: int) -> Speed:
    """A speed that was measured elsewhere, for a plan for another machine."""
    return Speed(gflops, threads, "as given", "another machine")
