"""`python -m plateaus.archive.verify FILE`: check an archive, compute its run again on this machine, and compare.

It is the archive's own workflow that runs, in a new folder, from the archive's own config, in this environment. What is
compared are the values that `plateaus.run.golden` watches, within the same tolerances.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from plateaus.archive import checking, layout
from plateaus.data.canonical import file_digest
from plateaus.errors import InputError
from plateaus.run import golden

FOLDER = Path("results/verify")


class Outcome(NamedTuple):
    """How the run that was computed here differs from the archive's.

    Attributes:
        compared: Number of values compared.
        moved: Those that differ.
        tables: Number of tables in the archive.
        same: How many of them are the same here, byte for byte.
    """

    compared: int
    moved: list[golden.Moved]
    tables: int
    same: int

    @property
    def outside(self) -> int:
        """How many values differ by more than their tolerance."""
        return sum(one.outside for one in self.moved)


def unpack(path: Path, folder: Path) -> None:
    """Write every file of a checked archive into a new folder."""
    with zipfile.ZipFile(path) as file:
        for info in file.infolist():
            file.extract(info, folder)
            if info.external_attr >> 16 & 0o100:
                (folder / info.filename).chmod(0o755)


def link_models(config: Mapping[str, Any], folder: Path) -> None:
    """Make the local models of a config that are named by relative paths reachable from the new folder.

    Raises:
        InputError: a local model is not on this machine.
    """
    for name, model in config["models"].items():
        if model["source"] != "local":
            continue
        revisions = model.get("revisions") or [""]
        for place in (Path(model["path"].replace("{revision}", revision)) for revision in revisions):
            if not place.is_dir():
                raise InputError(
                    f"the archive does not hold the weights of its model {name}: put the model's folder at {place}, "
                    "where its config looks for it"
                )
            if not place.is_absolute() and not (folder / place).exists():
                (folder / place).parent.mkdir(parents=True, exist_ok=True)
                (folder / place).symlink_to(place.resolve())


def recompute(folder: Path, cores: int) -> None:
    """Run the workflow of an unpacked archive from its own config; Snakemake's lines go to the terminal.

    Raises:
        InputError: it failed.
    """
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores), "--configfile", layout.CONFIG]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # its own code must run
    if subprocess.run(command, cwd=folder, env=environment, check=False).returncode:
        raise InputError(
            f"the archive's run could not be computed here, for the reason above; what there is is in {folder}"
        )


def compare(archived: Path, recomputed: Path) -> Outcome:
    """Compare the tables and verdicts of two runs.

    Args:
        archived: The folder of the archive's run.
        recomputed: The folder of the run that was computed here.

    Raises:
        InputError: a table cannot be read.
    """
    was, now = (golden.values(golden.of_run(root)) for root in (archived, recomputed))
    files = sorted((archived / "data").rglob("*.parquet"))
    others = [recomputed / path.relative_to(archived) for path in files]
    same = sum(
        other.is_file() and file_digest(path) == file_digest(other) for path, other in zip(files, others, strict=True)
    )
    return Outcome(len({*was, *now}), golden.compare(was, now), len(files), same)


def differences(archived: Mapping[str, Any], recomputed: Mapping[str, Any]) -> list[str]:
    """Say in lines what differs between the machines and models of two runs, from their provenance.json."""
    lines = []
    was, now = ({**told.get("versions", {}), **told.get("environment", {})} for told in (archived, recomputed))
    changed = [f"{name} {was.get(name, '?')} -> {now.get(name, '?')}" for name in now if was.get(name) != now.get(name)]
    if changed:
        lines.append(f"this environment is another one: {', '.join(changed)}")
    for model in archived["models"]:
        cards = [told["cards"].get(model, {}).get("weights_sha256") for told in (archived, recomputed)]
        if cards[0] != cards[1]:
            lines.append(f"the weights of {model} are others here: sha256 {cards[1]} in place of {cards[0]}")
    return lines


def verify(path: Path, cores: int, parent: Path = FOLDER) -> Outcome:
    """Check an archive, compute its run again, compare, and print what was found.

    Args:
        path: The zip file.
        cores: Number of cores for the workflow.
        parent: Where the new folder is made. It is removed if no value differs by more than its tolerance.

    Raises:
        InputError: the archive is damaged, or its run cannot be computed here, or a value is outside its tolerance.
    """
    files = checking.check(path)
    print(f"{path}: {len(files)} files, each with the sha256 that the archive lists", flush=True)
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{path.stem}-", dir=parent))
    unpack(path, folder)
    config = yaml.safe_load((folder / layout.CONFIG).read_text(encoding="utf-8"))
    try:
        link_models(config, folder)
    except InputError:
        shutil.rmtree(folder)
        raise
    print(f"computing the run {config['run']} again in {folder}", flush=True)
    recompute(folder, cores)
    archived, recomputed = folder / layout.RUN, folder / "results" / config["run"]
    told = [json.loads((root / "provenance.json").read_text(encoding="utf-8")) for root in (archived, recomputed)]
    outcome = compare(archived, recomputed)
    for line in differences(*told):
        print(line)
    print(golden.report(outcome.moved, outcome.compared))
    print(f"{outcome.same} of {outcome.tables} tables are the same byte for byte.")
    if outcome.outside:
        raise InputError(
            f"{outcome.outside} of {outcome.compared} values differ from the archive's by more than their tolerance: "
            f"both runs are in {folder}"
        )
    shutil.rmtree(folder)
    return outcome


def main(arguments: list[str] | None = None) -> None:
    """Verify an archive; exit with status 1 and one line if it is damaged or its values differ."""
    parser = argparse.ArgumentParser(prog="python -m plateaus.archive.verify", description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="zip file that `make archive` wrote")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1, help="cores for the workflow (default: all)")
    given = parser.parse_args(arguments)
    try:
        verify(given.file, given.cores)
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error.filename or FOLDER}: {error.strerror or error}: make room or check permissions")
    except KeyboardInterrupt:
        sys.exit(f"interrupted; what there is is in {FOLDER}")


if __name__ == "__main__":
    main()
