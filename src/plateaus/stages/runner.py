"""The parts that all stage commands share: arguments, threads, progress, log, resource record and errors."""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from plateaus.data.canonical import canonical_json
from plateaus.data.tables import atomic_path
from plateaus.errors import InputError
from plateaus.plan.machine import machine
from plateaus.stages.job import Job

MODEL_STAGES = frozenset({"extract", "interpolate", "freeze", "jacobian", "spline", "map", "robustness"})
"""The stages that use a model, which is checked first; see `plateaus.stages.selfcheck`."""


def run(stage: str, body: Callable[[Job], None]) -> None:
    """Run a stage as a command and exit: with 0 if it succeeded, with 1 and a one-line error message if it failed."""
    job, log = _job(stage)
    with log:
        start = time.perf_counter()
        try:
            _set_threads(job.threads)
            if stage in MODEL_STAGES and "check" in job.extra:  # the workflow names the pair to check a model on
                from plateaus.stages import selfcheck

                selfcheck.ensure(job)
            body(job)
        except InputError as error:
            if error.__cause__ is not None:
                log.write(traceback.format_exc())
            _say(log, f"error: {error}")
            sys.exit(1)
        except BrokenPipeError:
            sys.exit(1)
        except OSError as error:
            log.write(traceback.format_exc())
            what = f"{error.strerror or error} ({error.filename or job.root})"
            _say(log, f"error: {stage} {job.model}: {what}: make room or check permissions, then run again")
            sys.exit(1)
        except Exception as error:
            log.write(traceback.format_exc())
            _say(log, f"error: {_unforeseen(job, error)}, which has the traceback: {log.name}")
            sys.exit(1)
        seconds = time.perf_counter() - start
        _record(job, seconds)
        job.progress(f"done in {seconds:.0f} s")
    leave()


def leave() -> None:
    """End the process immediately: all output is written, and shutting down the libraries takes about a second."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _job(stage: str) -> tuple[Job, TextIO]:
    parser = argparse.ArgumentParser(prog=f"python -m plateaus.stages.{stage}")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--model", default="all")
    parser.add_argument("--shard", default="all")
    parser.add_argument("--slice", type=json.loads, required=True)
    parser.add_argument("--model-folder", type=Path, default=Path())
    parser.add_argument("--extra", type=json.loads, default={})
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--memory-gb", type=float, default=1.0)
    given = parser.parse_args()
    path = given.root / "logs" / given.model / stage / f"{given.shard}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    log = path.open("w", encoding="utf-8")
    label = " ".join(part for part in (stage, given.model, given.shard) if part != "all")
    job = Job(stage=stage, progress=lambda text: _say(log, f"{label}: {text}"), **vars(given))
    return job, log


def _say(log: TextIO, line: str) -> None:
    print(line, file=sys.stderr, flush=True)
    print(line, file=log, flush=True)


TELLING = (ValueError, RuntimeError, ArithmeticError, MemoryError, ImportError)
"""Errors whose text may help a user; that of the others, such as a missing attribute, only says where a mistake is."""
CLASS_NAME = re.compile(r"\b(?:\w+\.)*[A-Z]\w*(?:Error|Exception|Warning)\b:?\s*")


def _unforeseen(job: Job, error: Exception) -> str:
    """Say which job and which architecture an error that nothing expects came from, and what to do, in plain words."""
    label = " ".join(part for part in (job.stage, job.model, job.shard) if part != "all")
    architecture = job.architecture()
    told = CLASS_NAME.sub("", " ".join(str(error).split()))[:400].strip() if isinstance(error, TELLING) else ""
    return (
        f"{label} failed in a way that was not foreseen"
        + (f", on a model of the architecture {architecture}" if architecture else "")
        + (f" ({told})" if told else "")
        + ": please report this line together with the log"
    )


def _set_threads(threads: int) -> None:
    # These must be set before a numerical library is loaded; stages that use torch also call torch.set_num_threads.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)


def _record(job: Job, seconds: float) -> None:
    """Record the time and peak memory of this job for the report's appendix; no stage's result depends on them."""
    # Child processes count as well, because they render the page.
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    unit = 1 if sys.platform == "darwin" else 1024
    record = {
        "stage": job.stage,
        "model": job.model,
        "shard": job.shard,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(sum(usage.ru_utime + usage.ru_stime for usage in usages), 2),
        "peak_memory_gb": round(max(usage.ru_maxrss for usage in usages) * unit / 1e9, 3),
        "threads": job.threads,
        "machine": machine(),
    }
    path = job.root / "benchmarks" / job.model / job.stage / f"{job.shard}.json"
    with atomic_path(path) as temporary:
        temporary.write_text(canonical_json(record) + "\n", encoding="utf-8")
