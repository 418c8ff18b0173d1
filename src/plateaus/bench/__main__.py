"""`python -m plateaus.bench`: every stage the usual way and ours, in turn on this machine, and the arithmetic limit."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from plateaus.bench import processes, ways
from plateaus.bench.summary import STAGES
from plateaus.bench.ways import Measured, Run
from plateaus.data.canonical import canonical_json
from plateaus.data.tables import atomic_path
from plateaus.errors import InputError
from plateaus.plan import threads
from plateaus.render.error import RenderError
from plateaus.run import job_environment

FOLDER = Path("results/bench")
SOURCE = Path("report")


def main(arguments: list[str] | None = None) -> None:
    """Measure, and write `results/bench/bench.json` and what is made of it; exits with 1 and one line on bad input."""
    parser = argparse.ArgumentParser(prog="python -m plateaus.bench", description=__doc__)
    parser.add_argument("config", nargs="?", type=Path, default=Path("config/config.yaml"))
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1, help="threads of every process")
    parser.add_argument("--repeats", type=int, default=3, help="how often each stage is measured each way")
    parser.add_argument("--share", type=int, default=20, help="make every so many-th of the usual way's Jacobians")
    parser.add_argument("--page", action="store_true", help="make the page of what was measured before, and no more")
    given = parser.parse_args(arguments)
    job_environment.prepare(Path(__file__).resolve().parents[2])
    try:
        if not given.page:
            run = prepare(given.config, given.cores, given.share)
            write(FOLDER, collect(run, given.repeats))
        made = render_page()
    except (InputError, RenderError) as error:
        sys.exit(f"error: {error}")
    say(f"{FOLDER / 'index.html'}, by {made}")


def collect(run: Run, repeats: int) -> dict[str, Any]:
    """Everything that is measured, heavy libraries last: a process's peak is counted from what its parent holds."""
    ways.fetch(run)
    ways.check(run)
    stages = measure(run, repeats)
    say("the sweep alone, and how its time grows")
    command = ["--model-folder", str(run.model_folder), "--model", run.model, "--threads", str(run.threads)]
    sweeps = json.loads(
        processes.run(["-m", "plateaus.bench.sweeps", *command], run.log("sweeps")).said.splitlines()[-1]
    )
    from plateaus.bench.agreement import differences

    return {
        **about(run, repeats),
        "stages": stages,
        "flop": operations(run),
        "gflops": sweeps["gflops"],
        "sweeps": sweeps,
        "differences": differences(run),
    }


def operations(run: Run) -> dict[str, float]:
    """Operations of each stage's matrix products, as the plan counts them."""
    from plateaus.plan import estimate

    config = {**run.config, "models": {run.model: run.config["models"][run.model]}}
    plan = estimate.make(config, run.pairs, ways.MODELS_FOLDER, gflops=None)
    return {line.stage: line.flop for line in plan.lines if line.model == run.model and line.stage in STAGES}


def render_page() -> str:
    """The page and its figures, from what was measured."""
    from plateaus.bench import page

    return page.write(FOLDER, SOURCE)


def prepare(path: Path, cores: int, share: int) -> Run:
    """The first model of a config and the pairs of its table, in one shard, on the CPU, where both ways can run.

    Raises:
        InputError: the config cannot be read.
    """
    from plateaus.plan.__main__ import read_config

    config = read_config(path)
    config = {**config, "run": "bench", "prompts": {**config["prompts"], "suite": "", "shards": 1}}
    config["compute"] = {**config["compute"], "device": "cpu"}
    model = next(iter(config["models"]))
    return Run(config, model, FOLDER, threads.of_job({**config, "models": {model: None}}, cores), share)


def measure(run: Run, repeats: int) -> dict[str, dict[str, list[dict[str, float]]]]:
    """Stage to way to one measurement per repeat; the two ways take turns, so that a slower hour slows both."""
    found: dict[str, dict[str, list[dict[str, float]]]] = {stage: {"usual": [], "ours": []} for stage in STAGES}
    for repeat in range(1, repeats + 1):
        ways.clear(run)
        for stage in STAGES:
            for way, call in (("usual", ways.usual), ("ours", ways.ours)):
                one: Measured = call(run, stage)
                found[stage][way].append(one._asdict())
                say(f"{repeat} of {repeats}, {stage}, {way}: {one.seconds:.1f} s, {one.memory / 1e9:.2f} GB")
    return found


def about(run: Run, repeats: int) -> dict[str, Any]:
    """What was measured, and where."""
    from importlib.metadata import version

    from plateaus.plan.machine import machine

    return {
        "machine": machine(),
        "threads": run.threads,
        "torch": version("torch"),
        "model": run.model,
        "pairs": [pair.id for pair in run.pairs],
        "steps": run.config["interpolate"]["steps"],
        "repeats": repeats,
        "share": run.share,
    }


def write(folder: Path, told: dict[str, Any]) -> None:
    """Write what was measured."""
    with atomic_path(folder / "bench.json") as path:
        path.write_text(canonical_json(told) + "\n", encoding="utf-8")


def say(line: str) -> None:
    """A line on the terminal."""
    print(f"bench: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
