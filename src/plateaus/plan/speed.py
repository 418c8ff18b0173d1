"""Measure this machine's speed at float32 matrix products, on which the stages spend most of their time."""

from __future__ import annotations

import os
import time
from typing import NamedTuple


class Speed(NamedTuple):
    """A measured speed.

    Attributes:
        gflops: Speed of one job with all its threads, in billions of floating-point operations per second.
        threads: Number of threads of one job.
        device: The device on which it was measured and on which the jobs will run.
        machine: Name of the processor and number of cores.
    """

    gflops: float
    threads: int
    device: str
    machine: str


ROWS, INNER, COLUMNS = 1024, 1024, 4096
"""Sizes of the measured product, (ROWS, INNER) times (INNER, COLUMNS): about an MLP's input weights in a sweep of a
medium-sized model."""


def measure(threads: int, device: str, seconds: float = 1.5) -> Speed:
    """Measure the speed by repeating one matrix product, as the stages compute it.

    On a CPU, processor time is measured, so that other programs do not count: a plan gives the minutes on an otherwise
    idle machine.

    Args:
        threads: Number of threads of one job (`compute.threads`).
        device: Name of the device (`compute.device`).
        seconds: How long to measure.

    Raises:
        InputError: this machine does not have the device.
    """
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    import torch

    from plateaus.model.loading import pick_device
    from plateaus.model.products import matmul
    from plateaus.plan.machine import machine

    torch.set_num_threads(threads)
    chosen = pick_device(device)
    left, right = torch.randn(ROWS, INNER, device=chosen), torch.randn(INNER, COLUMNS, device=chosen)
    matmul(left, right)[0, 0].item()  # the first call initialises the library
    on_cpu = chosen.type == "cpu"
    products, start, busy = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds:
        matmul(left, right)[0, 0].item()  # waits until the device is done
        products += 1
    taken = (time.process_time() - busy) / threads if on_cpu else time.perf_counter() - start
    name = machine() if on_cpu else f"{_accelerator(chosen.type)}, {machine()}"
    gflops = 2.0 * ROWS * INNER * COLUMNS * products / taken / 1e9
    # Round to whole numbers, so that the printed speed is exactly the one used for the plan.
    return Speed(max(1.0, round(gflops)), threads, str(chosen), name)


def _accelerator(kind: str) -> str:
    import torch

    return torch.cuda.get_device_name() if kind == "cuda" else kind


def given(gflops: float, threads: int) -> Speed:
    """Return a speed in GFLOP/s that was measured elsewhere, to plan for another machine."""
    return Speed(gflops, threads, "as given", "another machine")
