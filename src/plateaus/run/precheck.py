"""What can be wrong with a run before anything is computed: found in seconds, without loading a model."""

from __future__ import annotations

import os
import shutil
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

from plateaus.claims import registry
from plateaus.config.models import model_key
from plateaus.config.reading import Config
from plateaus.config.slices import shown_pairs
from plateaus.data.canonical import digest
from plateaus.errors import InputError
from plateaus.plan import estimate
from plateaus.prompts.pairs import Pair, tokenise_with_file
from plateaus.sources import checks, embedded


def check_run(config: Config, pairs: Sequence[Pair], models_folder: Path, results: Path) -> None:
    """Everything below, in the order in which a user would meet it.

    Raises:
        InputError: the first thing that is wrong.
    """
    check_shown(config, pairs)
    check_claims(config)
    check_writable(results)
    check_writable(models_folder)
    check_models(config, models_folder)
    check_room(config, pairs, models_folder, results)
    check_tokenisation(config, pairs, models_folder)
    check_renderer(config)


def check_shown(config: Config, pairs: Sequence[Pair]) -> None:
    """Every pair that the figures are to show is in the table."""
    known = {pair.id for pair in pairs}
    for pair in shown_pairs(config, pairs):
        if pair not in known:
            raise InputError(
                f"config: figures.pairs names '{pair}', which is not an id of {_tables(config)} "
                f"(it has {', '.join(sorted(known)[:6])}{', ...' if len(known) > 6 else ''}): "
                "correct it or leave figures.pairs empty"
            )


def check_claims(config: Config) -> None:
    """Every claim that is to be tested has a module."""
    registry.check(config["claims"]["tests"], config["claims"]["folder"])


def _tables(config: Config) -> str:
    """Where the run's pairs come from, for messages."""
    table, suite, size = (config["prompts"][key] for key in ("table", "suite", "sample"))
    if not suite:
        return str(table)
    return f"{table} or {suite}" if size == "all" else f"{table} or of the {size} pairs drawn from {suite}"


def check_writable(folder: Path) -> None:
    """A folder, or the nearest one above it that exists, can be written to."""
    probe = folder
    while not probe.exists():
        probe = probe.parent
    if not probe.is_dir():
        raise InputError(f"{probe} is not a folder, so {folder} cannot be made: move it away")
    # os.access asks for the real user and says yes to root on a read-only file system, so try it.
    trial = probe / f".plateaus-{os.getpid()}.tmp"
    try:
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise InputError(
            f"{probe} cannot be written to ({error.strerror}): change its permissions or run elsewhere"
        ) from None


def check_models(config: Config, models_folder: Path) -> None:
    """Local folders are whole, the embedded package is there, fetched folders are as they were."""
    for name, model in config["models"].items():
        fetched = models_folder / model_key(config, name)
        if (fetched / "card.json").is_file():
            checks.check_folder(fetched)
        elif model["source"] == "local":
            checks.check_local(Path(model["path"]), name)
            checks.check_layernorm(Path(model["path"]), model["layernorm"] == "removed", name)
        elif model["source"] == "embedded":
            embedded.gguf_file()


def check_room(config: Config, pairs: Sequence[Pair], models_folder: Path, results: Path) -> None:
    """There is room on the disk for the models still to be made and for the results, by the plan's figures.

    Models from the hub are left to fetch, which knows what is in the local cache.
    """
    needed = 0.0
    for line in estimate.make(config, pairs, models_folder, gflops=None).lines:
        if line.stage == "fetch":
            made = (models_folder / model_key(config, line.model) / "card.json").is_file()
            if made or config["models"][line.model]["source"] == "hub":
                continue
        needed += line.disk
    probe = results
    while not probe.exists():
        probe = probe.parent
    free = shutil.disk_usage(probe).free
    if free < needed:
        raise InputError(
            f"{probe.resolve()} has {free / 1e9:.2g} GB free and this run needs about {needed / 1e9:.2g} GB: "
            "make room or put results/ and resources/ on a larger disk (a symbolic link will do)"
        )


def check_tokenisation(config: Config, pairs: Sequence[Pair], models_folder: Path) -> None:
    """Every model whose tokenizer is at hand reads every pair as one shared prefix and one last token."""
    for name, model in config["models"].items():
        folder = models_folder / model_key(config, name)
        if not (folder / "tokenizer.json").is_file() and model["source"] == "local":
            folder = Path(model["path"])
        if (folder / "tokenizer.json").is_file():
            tokenise_with_file(pairs, folder / "tokenizer.json", name)


def check_renderer(config: Config) -> None:
    """Quarto is there if the config insists on it."""
    if config["report"]["renderer"] == "quarto":
        from plateaus.render import find_quarto

        if find_quarto() is None:
            raise InputError(
                "config: report.renderer is quarto, but no working quarto was found on PATH: install Quarto, "
                "or use auto or builtin"
            )


def check_records(expected: Mapping[Path, dict[str, object]]) -> None:
    """Results that were copied here without Snakemake's records are still those of this config.

    Snakemake reruns a job after an edit because it has a record of how the file was made; for a file without a
    record it would say that there is nothing to do, whatever was edited. Each Parquet file says what it was made
    from, so such a file is compared with the config here.

    Args:
        expected: Parquet file to the config slice that it should have been made from.

    Raises:
        InputError: a file without a record was made from another config.
    """
    from plateaus.data.tables import metadata_of

    for path, slice_ in expected.items():
        if snakemake_record(path).is_file() or not path.is_file():
            continue
        try:
            made_from = metadata_of(path).get("parameters")
        except (OSError, ValueError):
            made_from = None
        if made_from != digest(slice_):
            raise InputError(
                f"{path} was copied here without Snakemake's records and is not what this config would make: "
                f"delete it (or all of {path.parents[3]}), or run `snakemake --forcerun extract`"
            )


def snakemake_record(path: Path, metadata: Path = Path(".snakemake/metadata")) -> Path:
    """Where Snakemake's file backend keeps its record of an output file (base64 of the path, cut to name length)."""
    name = urlsafe_b64encode(str(path).encode()).decode()
    limit = 254
    parts = [name[start : start + limit] for start in range(0, len(name), limit)]
    return metadata.joinpath(*[f"@{part}" for part in parts[:-1]], parts[-1])
