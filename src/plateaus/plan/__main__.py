"""`python -m plateaus.plan`: estimate the cost of a run on this machine, without running or downloading anything."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from plateaus.config import models
from plateaus.config.reading import Config, load_schema, resolve
from plateaus.errors import InputError
from plateaus.plan import estimate, layout, measured, speed, threads
from plateaus.plan.speed import Speed
from plateaus.prompts import sampling

MODELS_FOLDER = Path("resources/models")


def main(arguments: list[str] | None = None) -> None:
    """Print the plan of each config, or exit with status 1 and a one-line error if a config cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m plateaus.plan", description=__doc__)
    parser.add_argument("config", nargs="*", type=Path, default=[Path("config/config.yaml")])
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1, help="as in snakemake --cores")
    parser.add_argument("--gflops", type=float, help="speed of one job, instead of measuring it")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--comment", action="store_true", help="write the cost into the header of the config")
    form.add_argument("--check", action="store_true", help="compare predictions with the records of finished jobs")
    given = parser.parse_args(arguments)
    speeds: dict[tuple[int, str], Speed] = {}
    try:
        for path in given.config:
            config = read_config(path)
            per_job, device = threads.of_job(config, given.cores), config["compute"]["device"]
            if (per_job, device) not in speeds:
                told = given.gflops is not None
                speeds[per_job, device] = speed.given(given.gflops, per_job) if told else speed.measure(per_job, device)
            _show(path, config, speeds[per_job, device], max(1, given.cores // per_job), given)
    except InputError as error:
        sys.exit(f"error: {error}")


def _show(path: Path, config: Config, found: Speed, slots: int, given: argparse.Namespace) -> None:
    """Print the plan of one config, compare it with measurements, or write it into the config's header."""
    pairs = sampling.pairs_of(config["prompts"])
    # The header must not depend on which models have been fetched on this machine.
    folder = Path(os.devnull) if given.comment else MODELS_FOLDER
    plan = estimate.make(config, pairs, folder, gflops=found.gflops, slots=slots)
    if given.comment:
        text = path.read_text(encoding="utf-8")
        path.write_text(layout.with_comment(text, layout.comment(plan, found, slots)), encoding="utf-8")
    elif given.check:
        root = Path("results") / config["run"]
        folders = {model: MODELS_FOLDER / models.model_key(config, model) for model in config["models"]}
        print(measured.table(plan, [measured.read(root, line, folders.get(line.model)) for line in plan.lines]), end="")
    else:
        print(layout.table(plan, found, slots, str(path)), end="")


def read_config(path: Path) -> Config:
    """Read a config file as the workflow does: a config that names no models overrides keys of the default config.

    Args:
        path: The YAML file.

    Returns:
        The resolved config.

    Raises:
        InputError: the file cannot be read, or is not a valid config.
    """
    import yaml

    def load(file: Path) -> Config:
        try:
            found = yaml.safe_load(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{file} cannot be read ({error.strerror}): give the path of a YAML file") from None
        except (UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError(f"{file} is not YAML ({' '.join(str(error).split())}): correct it") from None
        if not isinstance(found, dict):
            raise InputError(f"{file} holds no keys: see config/README.md")
        return found

    raw = load(path)
    if "models" not in raw:
        raw = _over(load(Path("config/config.yaml")), raw)
    return resolve(raw, load_schema())


def _over(below: Config, above: Config) -> Config:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _over(merged[key], value) if both else value
    return merged


if __name__ == "__main__":
    main()
