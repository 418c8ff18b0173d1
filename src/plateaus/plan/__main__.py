"""`python -m plateaus.plan`: what a run will take on this machine; nothing is run or downloaded for it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from plateaus import config as configuration
from plateaus import prompts
from plateaus.errors import InputError
from plateaus.plan import estimate, layout, measured, speed

MODELS_FOLDER = Path("resources/models")


def main(arguments: list[str] | None = None) -> None:
    """Print the plan of one config; exits with 1 and one line when the config cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m plateaus.plan", description=__doc__)
    parser.add_argument("config", nargs="?", type=Path, default=Path("config/config.yaml"))
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1, help="as in snakemake --cores")
    parser.add_argument("--gflops", type=float, help="take this speed of one job instead of measuring it")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--comment", action="store_true", help="print the cost comment of a config's header")
    form.add_argument("--check", action="store_true", help="print predicted against measured, where results exist")
    given = parser.parse_args(arguments)
    try:
        config = read_config(given.config)
        pairs = prompts.read_pairs(Path(config["prompts"]["table"]))
        compute = config["compute"]
        if given.gflops is None:
            found = speed.measure(compute["threads"], compute["device"])
        else:
            found = speed.given(given.gflops, compute["threads"])
        slots = max(1, given.cores // compute["threads"])
        plan = estimate.make(config, pairs, MODELS_FOLDER, gflops=found.gflops, slots=slots)
    except InputError as error:
        sys.exit(f"error: {error}")
    if given.comment:
        print(layout.comment(plan, found, slots), end="")
    elif given.check:
        root = Path("results") / config["run"]
        folders = {model: MODELS_FOLDER / configuration.model_key(config, model) for model in config["models"]}
        print(measured.table(plan, [measured.read(root, line, folders.get(line.model)) for line in plan.lines]), end="")
    else:
        print(layout.table(plan, found, slots, str(given.config)), end="")


def read_config(path: Path) -> configuration.Config:
    """A config file as the workflow reads it: one that names no models is laid over the default.

    Raises:
        InputError: it cannot be read, or is not a config.
    """
    import yaml

    def load(file: Path) -> configuration.Config:
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
    return configuration.resolve(raw, configuration.load_schema())


def _over(below: configuration.Config, above: configuration.Config) -> configuration.Config:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _over(merged[key], value) if both else value
    return merged


if __name__ == "__main__":
    main()
