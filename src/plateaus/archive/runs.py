"""A finished run: its records, its tables, and whether they are made from one config by one version of the code."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from plateaus.config import slices
from plateaus.data import tables
from plateaus.data.canonical import digest
from plateaus.data.results import Results
from plateaus.errors import InputError
from plateaus.prompts import sampling
from plateaus.prompts.pairs import Pair, split
from plateaus.run import code_inputs

FILES = ("report/index.html", "claims.json", "claims.md")
"""What every finished run has beside its tables, figures and provenance.json."""
OF_ALL = ("claims", "figures")
"""Stages whose tables are of all models together."""


class Run(NamedTuple):
    """A finished run.

    Attributes:
        root: Its folder, `results/<run>`.
        told: What its provenance.json holds.
        config: Its resolved config, with the models in the order of the run.
        models: Ids of the models.
        shards: Names of the shards.
    """

    root: Path
    told: dict[str, Any]
    config: dict[str, Any]
    models: tuple[str, ...]
    shards: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the run."""
        return str(self.config["run"])


class File(NamedTuple):
    """A file of a table; `model` is `all` for a table of all models together, and `shard` for one that is not split."""

    path: Path
    table: tables.Table
    model: str
    shard: str


def read(root: Path) -> Run:
    """Read the records of a finished run.

    Raises:
        InputError: the folder holds no finished run.
    """
    if not root.is_dir():
        raise InputError(f"{root} does not exist: give the folder of a finished run, such as results/default")
    record = root / "provenance.json"
    for path in (record, *(root / name for name in FILES)):
        if not path.is_file():
            name = path.relative_to(root)
            raise InputError(f"{root} holds no finished run (it has no {name}): finish it with `make report` first")
    try:
        told = json.loads(record.read_text(encoding="utf-8"))
        models, shards = tuple(told["models"]), tuple(told["shards"])
        config = {**told["config"], "models": {model: told["config"]["models"][model] for model in models}}
        return Run(root, told, config, models, shards)
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{record} cannot be read: run snakemake with --forcerun report") from None


def files(run: Run) -> Iterator[File]:
    """Yield every file of every table of a run, in the order of the stages.

    Raises:
        InputError: a file is missing.
    """
    results = Results(run.root, run.models, run.shards)
    made = {"map": slices.map_models(run.config), "robustness": slices.robust_models(run.config)}
    for table in tables.TABLES.values():
        for model in ("all",) if table.stage in OF_ALL else made.get(table.stage, run.models):
            for shard, path in zip(run.shards if table.sharded else ("all",), results.paths(model, table), strict=True):
                if not path.is_file():
                    raise InputError(
                        f"{run.root} is not finished ({path} is missing): finish it with `make report` first"
                    )
                yield File(path, table, model, shard)


def check(run: Run, *, other_code: bool = False) -> bool:
    """Check that every table is made from the run's config and prompts, by the code in this folder.

    Snakemake does this by its own records. A run that was stopped between two jobs, or edited since, has tables of two
    configs, and its page shows only one of them.

    Args:
        run: The run.
        other_code: Whether tables that other code has made are allowed.

    Returns:
        Whether all of the tables were made by the code in this folder.

    Raises:
        InputError: a table was made from something else.
    """
    pairs = sampling.pairs_of(run.config["prompts"])
    shards = split(pairs, run.config["prompts"]["shards"])
    same = True
    for file in files(run):
        if file.table is tables.SELFCHECK:
            continue  # a check of the code, with which no later table changes
        known = not file.table.sharded or file.shard in shards
        expected = digest(_slice(run, file, pairs, shards)) if known else ""
        made = tables.metadata_of(file.path)
        if made.get("parameters") != expected:
            raise InputError(
                f"{file.path} was made from another config or other prompts than {run.root / 'provenance.json'} says: "
                "bring the run up to date with `make report`"
            )
        if made.get("code") != code_inputs.code_digest(file.table.stage):
            same = False
            if not other_code:
                raise InputError(
                    f"{file.path} was made by other code than that in this folder: bring the run up to date with `make "
                    "report`, or pack it with --other-code, which the archive then says"
                )
    return same


def _slice(run: Run, file: File, pairs: Sequence[Pair], shards: Mapping[str, Sequence[Pair]]) -> dict[str, Any]:
    """Return the slice of the config that a file should have been made from, as the workflow's rules give it."""
    stage, config = file.table.stage, run.config
    if stage == "claims":
        return slices.claims_slice(config, shards)
    if stage == "figures":
        return slices.figures_slice(config, pairs, shards)
    if stage == "extract":
        return slices.extract_slice(config, file.model, shards[file.shard])
    if stage == "map":
        return slices.map_slice(config, file.model, pairs)
    if stage == "robustness":
        return slices.robustness_slice(config, file.model, pairs)
    return slices.stage_slice(config, stage, file.model)
