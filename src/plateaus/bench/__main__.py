"""`python -m plateaus.bench`: time each stage the usual way and our way, by turns, and compute the arithmetic limit."""

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
    """Measure, write `results/bench/bench.json`, and render the page; on bad input exit with status 1 and one line."""
    parser = argparse.ArgumentParser(prog="python -m plateaus.bench", description=__doc__)
    parser.add_argument("config", nargs="?", type=Path, default=Path("config/config.yaml"))
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1, help="number of threads of every process")
    parser.add_argument("--repeats", type=int, default=3, help="how often each stage is measured in each way")
    parser.add_argument("--share", type=int, default=20, help="compute the usual Jacobians only at every SHARE-th step")
    parser.add_argument("--page", action="store_true", help="only render the page from the last measurements")
    given = parser.parse_args(arguments)
    job_environment.prepare(Path(__file__).resolve().parents[2])
    try:
        if not given.page:
            run = prepare(given.config, given.cores, given.share)
            write(FOLDER, collect(run, given.repeats))
        made = render_page()
    except (InputError, RenderError) as error:
        sys.exit(f"error: {error}")
    say(f"{FOLDER / 'index.html'}, rendered by {made}")


def collect(run: Run, repeats: int) -> dict[str, Any]:
    """Take all measurements and return them as the content of `bench.json`.

    Heavy libraries are imported last, because the peak memory of a child process counts what its parent holds.
    """
    ways.fetch(run)
    ways.check(run)
    stages, start_up = measure(run, repeats)
    say("measuring the sweep alone, and how its time grows")
    command = ["--model-folder", str(run.model_folder), "--model", run.model, "--threads", str(run.threads)]
    sweeps = json.loads(
        processes.run(["-m", "plateaus.bench.sweeps", *command], run.log("sweeps")).said.splitlines()[-1]
    )
    from plateaus.bench.agreement import differences

    return {
        **about(run, repeats),
        "stages": stages,
        "start_up": start_up,
        "flop": operations(run),
        "gflops": sweeps["gflops"],
        "sweeps": sweeps,
        "differences": differences(run),
    }


def operations(run: Run) -> dict[str, float]:
    """Return the floating-point operations of each stage's matrix products, as the plan counts them."""
    from plateaus.plan import estimate

    config = {**run.config, "models": {run.model: run.config["models"][run.model]}}
    plan = estimate.make(config, run.pairs, ways.MODELS_FOLDER, gflops=None)
    return {line.stage: line.flop for line in plan.lines if line.model == run.model and line.stage in STAGES}


def render_page() -> str:
    """Render the page and its figures from `bench.json`, and return the name of the renderer."""
    from plateaus.bench import page

    return page.write(FOLDER, SOURCE)


def prepare(path: Path, cores: int, share: int) -> Run:
    """Prepare a run of a config's first model on the pairs of its table, in one shard.

    The run is on the CPU, because both ways work there.

    Args:
        path: The config file.
        cores: Number of cores to use.
        share: Compute the usual Jacobians at every `share`-th step.

    Raises:
        InputError: the config cannot be read.
    """
    from plateaus.plan.__main__ import read_config

    config = read_config(path)
    config = {**config, "run": "bench", "prompts": {**config["prompts"], "suite": "", "shards": 1}}
    config["compute"] = {**config["compute"], "device": "cpu"}
    model = next(iter(config["models"]))
    return Run(config, model, FOLDER, threads.of_job({**config, "models": {model: None}}, cores), share)


def measure(run: Run, repeats: int) -> tuple[dict[str, dict[str, list[dict[str, float]]]], list[float]]:
    """Measure every stage in both ways, and the start-up.

    The two ways take turns, so that a slow phase of the machine slows both.

    Returns:
        One measurement per stage, way and repeat, and the seconds of start-up in each repeat.
    """
    found: dict[str, dict[str, list[dict[str, float]]]] = {stage: {"usual": [], "ours": []} for stage in STAGES}
    start_up = []
    for repeat in range(1, repeats + 1):
        ways.clear(run)
        start_up.append(ways.start_up(run))
        for stage in STAGES:
            for way, call in (("usual", ways.usual), ("ours", ways.ours)):
                one: Measured = call(run, stage)
                found[stage][way].append(one._asdict())
                say(f"{repeat} of {repeats}, {stage}, {way}: {one.seconds:.1f} s, {one.memory / 1e9:.2f} GB")
    return found, start_up


def about(run: Run, repeats: int) -> dict[str, Any]:
    """Describe the measured run and the machine."""
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
    """Write the measurements to `bench.json` in a folder."""
    with atomic_path(folder / "bench.json") as path:
        path.write_text(canonical_json(told) + "\n", encoding="utf-8")


def say(line: str) -> None:
    """Print a line to the terminal."""
    print(f"bench: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
