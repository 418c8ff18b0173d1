"""The parts that all stage commands share: arguments, threads, progress, log, resource record and errors."""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from plateaus.data.canonical import canonical_json, digest
from plateaus.data.tables import atomic_path
from plateaus.errors import InputError
from plateaus.plan.machine import machine


class Job(NamedTuple):
    """One call of a stage.

    Attributes:
        stage: The stage's name.
        root: `results/<run>`.
        model: Id of the model, or `all`.
        shard: Name of the shard, or `all`.
        slice: The stage's slice: the part of the config that the stage reads, and nothing else.
        model_folder: The folder into which fetch puts the model's weights.
        extra: Paths and other arguments that are not part of the slice.
        threads: Number of threads.
        device: Name of the device.
        memory_gb: Memory budget in GB for the intermediate results of one block.
        progress: Prints a line to the terminal and to the log.
    """

    stage: str
    root: Path
    model: str
    shard: str
    slice: dict[str, Any]
    model_folder: Path
    extra: dict[str, Any]
    threads: int
    device: str
    memory_gb: float
    progress: Callable[[str], None]

    def metadata(self) -> dict[str, str]:
        """Return the metadata for the Parquet files of this job: hashes of its parameters, code and weights."""
        from plateaus.run.code_inputs import code_digest

        return {
            "parameters": digest(self.slice),
            "code": code_digest(self.stage),
            "model": self.model_folder.name,
            "weights": json.loads((self.model_folder / "card.json").read_text())["weights_sha256"],
        }


def run(stage: str, body: Callable[[Job], None]) -> None:
    """Run a stage as a command and exit: with 0 if it succeeded, with 1 and a one-line error message if it failed."""
    job, log = _job(stage)
    with log:
        start = time.perf_counter()
        try:
            _set_threads(job.threads)
            body(job)
        except InputError as error:
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
            what = f"{type(error).__name__}: {_line(error)}"
            _say(log, f"error: {stage} {job.model} {job.shard} failed: {what} (full traceback: {log.name})")
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


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:400]


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
