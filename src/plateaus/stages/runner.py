"""The parts that all stage commands share: arguments, threads, progress, log, resource record and errors."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import resource
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from plateaus.data.canonical import canonical_json
from plateaus.data.tables import atomic_path
from plateaus.errors import InputError
from plateaus.plan.machine import machine
from plateaus.stages.job import Job

MODEL_STAGES = frozenset({"extract", "interpolate", "freeze", "jacobian", "spline", "map", "robustness"})
"""The stages that use a model, which is checked first; see `plateaus.stages.selfcheck`."""


FULL_DISK = "No space left on device"
FULL = re.compile(rf"{FULL_DISK}|os error 28\b", re.IGNORECASE)
"""What libraries that raise errors of their own say of a full disk."""


def run(stage: str, body: Callable[[Job], None]) -> None:
    """Run a stage as a command and exit: with 0 if it succeeded, with 1 and a one-line error message if it failed."""
    try:
        job, log = _job(stage)
    except OSError as error:
        print(f"error: {stage}: {_refused(error, 'its log')}", file=sys.stderr)
        sys.exit(1)
    with log:
        start = time.perf_counter()
        try:
            _set_threads(job.threads)
            if stage in MODEL_STAGES and "check" in job.extra:  # the workflow names the pair to check a model on
                from plateaus.stages import selfcheck

                selfcheck.ensure(job)
            body(job)
            seconds = time.perf_counter() - start
            _record(job, seconds)
        except InputError as error:
            if error.__cause__ is not None:
                log.write(traceback.format_exc())
            _say(log, f"error: {error}")
            sys.exit(1)
        except BrokenPipeError:
            sys.exit(1)
        except OSError as error:
            log.write(traceback.format_exc())
            _say(log, f"error: {stage} {job.model}: {_refused(error, job.root)}")
            sys.exit(1)
        except Exception as error:
            log.write(traceback.format_exc())
            if FULL.search(str(error)):  # safetensors has an error of its own for this
                _say(log, f"error: {stage} {job.model}: {_refused(OSError(FULL_DISK), job.root)}")
            else:
                _say(log, f"error: {_unforeseen(job, error)}, which has the traceback: {log.name}")
            sys.exit(1)
        job.progress(f"done in {seconds:.0f} s")
    leave()


def leave() -> None:
    """End the process immediately: all output is written, and shutting down the libraries takes about a second."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


class Log:
    """A job's log. A disk that is full must not hide what the job has to say, so what does not fit is left out."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.name = str(path)
        self.file = path.open("wb", buffering=0)  # a buffer would be tried again, and fail, when the file is closed

    def write(self, text: str) -> None:
        """Write as much of a text as there is room for."""
        with contextlib.suppress(OSError):
            self.file.write(text.encode("utf-8", "backslashreplace"))

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


def _refused(error: OSError, where: object) -> str:
    return f"{error.strerror or error} ({error.filename or where}): make room or check permissions, then run again"


def _job(stage: str) -> tuple[Job, Log]:
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
    log = Log(path)
    label = " ".join(part for part in (stage, given.model, given.shard) if part != "all")
    job = Job(stage=stage, progress=lambda text: _say(log, f"{label}: {text}"), **vars(given))
    return job, log


def _say(log: Log, line: str) -> None:
    print(line, file=sys.stderr, flush=True)
    log.write(f"{line}\n")


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
