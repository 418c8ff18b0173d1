"""Check a run for errors before anything is computed; this takes seconds and loads no model."""

from __future__ import annotations

import os
import shutil
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

from plateaus.claims import registry
from plateaus.config.models import model_key
from plateaus.config.reading import Config
from plateaus.config.slices import robust_pairs, shown_pairs
from plateaus.curves.layers import choose_layers
from plateaus.data.canonical import digest
from plateaus.errors import InputError
from plateaus.plan import estimate, shapes
from plateaus.prompts.lengths import check_lengths
from plateaus.prompts.pairs import Pair, tokenise_with_file
from plateaus.sources import checks, config_json, embedded, refusals

TEMPORARY_MB = 20
"""Room that a run needs for temporary files, in MB."""


def check_run(config: Config, pairs: Sequence[Pair], models_folder: Path, results: Path) -> None:
    """Run all checks of this module except `check_records`, in the order in which a user would meet the errors.

    Args:
        config: The resolved config.
        pairs: The prompt pairs of the run.
        models_folder: The folder of the fetched models.
        results: `results/<run>`.

    Raises:
        InputError: the first error that is found.
    """
    check_shown(config, pairs)
    check_robustness(config, pairs)
    check_claims(config)
    check_writable(results)
    check_writable(models_folder)
    check_models(config, models_folder)
    check_layers(config, models_folder)
    check_room(config, pairs, models_folder, results)
    check_temporary()
    check_tokenisation(config, pairs, models_folder)
    check_renderer(config)


def check_shown(config: Config, pairs: Sequence[Pair]) -> None:
    """Check that every pair that the figures should show is in the prompt table.

    Raises:
        InputError: a pair of `figures.pairs` is not in the table.
    """
    known = {pair.id for pair in pairs}
    for pair in shown_pairs(config, pairs):
        if pair not in known:
            raise InputError(
                f"config: figures.pairs names '{pair}', which is not an id of {_tables(config)} "
                f"(it has {', '.join(sorted(known)[:6])}{', ...' if len(known) > 6 else ''}): "
                "correct it or leave figures.pairs empty"
            )


def check_robustness(config: Config, pairs: Sequence[Pair]) -> None:
    """Check that the run has the natural pairs whose robustness is to be measured.

    Raises:
        InputError: it has fewer than `robustness.pairs`.
    """
    asked, found = config["robustness"]["pairs"], len(robust_pairs(config, pairs))
    if found < asked:
        raise InputError(
            f"config: robustness.pairs is {asked}, but prompts.sample gives this run {found} natural "
            f"pair{'' if found == 1 else 's'} of the suite: ask for fewer, or raise prompts.sample"
        )


def check_claims(config: Config) -> None:
    """Check that every claim in `claims.tests` has a module.

    Raises:
        InputError: a claim has no module or more than one, or a module in `claims.folder` is not valid.
    """
    registry.check(config["claims"]["tests"], config["claims"]["folder"])


def _tables(config: Config) -> str:
    """Describe where the pairs of the run come from, for messages."""
    table, suite, size = (config["prompts"][key] for key in ("table", "suite", "sample"))
    if not suite:
        return str(table)
    return f"{table} or {suite}" if size == "all" else f"{table} or of the {size} pairs drawn from {suite}"


def check_writable(folder: Path) -> None:
    """Check that a folder, or its nearest existing parent, can be written to.

    Raises:
        InputError: it cannot be written to, or it is a file.
    """
    probe = _nearest(folder)
    if not probe.is_dir():
        raise InputError(f"{probe} is not a folder, so {folder} cannot be created: move the file away")
    # os.access checks the real user and allows root to write to a read-only file system, so write a file instead.
    trial = probe / f".plateaus-{os.getpid()}.tmp"
    try:
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise InputError(
            f"{probe} cannot be written to ({error.strerror}): change its permissions or run elsewhere"
        ) from None


def check_models(config: Config, models_folder: Path) -> None:
    """Check that local folders are complete, the embedded models are installed, and fetched folders are unchanged.

    Of local and fetched models the kind is checked as well; random weights have the architecture of another model.

    Raises:
        InputError: one of these is not so, or a model is of a kind that cannot be swept; the message names the folder
            or the package.
    """
    for name, model in config["models"].items():
        fetched = models_folder / model_key(config, name)
        if (fetched / "card.json").is_file():
            checks.check_folder(fetched)
            if model["source"] != "random":
                refusals.check_config(fetched, name)
        elif model["source"] == "local":
            checks.check_local(Path(model["path"]), name)
            refusals.check_config(Path(model["path"]), name)
            checks.check_layernorm(Path(model["path"]), model["layernorm"] == "removed", name)
        elif model["source"] == "embedded":
            embedded.parts(model["name"])


def check_layers(config: Config, models_folder: Path) -> None:
    """Check that every model whose number of layers is known has the layers that the config names.

    The stages check this as well, for models whose shape is known only once they are fetched.

    Raises:
        InputError: a layer is not in a model, or the trace layer is a model's last one.
    """
    asked = config["interpolate"]["layers"], config["interpolate"]["trace_layer"], config["freeze"]["layers"]
    for name in config["models"]:
        count = _layers(config, name, models_folder)
        if count is None:
            continue
        key = "interpolate.layers or trace_layer"
        try:
            choose_layers(asked[0], count)
            trace_layer = choose_layers([asked[1]], count)[0]
            key = "freeze.layers"
            choose_layers(asked[2], count)
        except ValueError as error:
            raise InputError(f"model {name}: {key}: {error}") from None
        if trace_layer == count - 1:
            raise InputError(
                f"model {name}: interpolate.trace_layer is {trace_layer}, the last of its {count} layers, so there is "
                "no later layer to record: choose an earlier one"
            )


def _layers(config: Config, name: str, models_folder: Path) -> int | None:
    """Return the number of layers of a model, or None if it is not known before the model is fetched."""
    told = config_json.read(_folder(config, name, models_folder))
    if told is not None:
        return config_json.layers_of(told)
    shape = shapes.shape_of(config, name, models_folder)
    return None if shape is None else shape.layers


def _folder(config: Config, name: str, models_folder: Path) -> Path:
    """Return the folder of a model: the fetched one, or before that, for a local model, the one it is fetched from."""
    fetched = models_folder / model_key(config, name)
    model = config["models"][name]
    return Path(model["path"]) if model["source"] == "local" and not (fetched / "card.json").is_file() else fetched


def check_room(config: Config, pairs: Sequence[Pair], models_folder: Path, results: Path) -> None:
    """Check that the disks have room, by the plan's estimate, for the results and the models that are not made yet.

    Models from the hub are checked in the stage fetch, which knows what is in the local cache.

    Raises:
        InputError: a disk has less free space than the run needs there.
    """
    disks: dict[int, tuple[Path, float]] = {}  # results and models may be on different disks, or on the same one
    for line in estimate.make(config, pairs, models_folder, gflops=None).lines:
        if line.stage == "fetch":
            made = (models_folder / model_key(config, line.model) / "card.json").is_file()
            if made or config["models"][line.model]["source"] == "hub":
                continue
        folder = _nearest(models_folder if line.stage == "fetch" else results)
        first, needed = disks.get(_disk(folder), (folder, 0.0))
        disks[_disk(folder)] = first, needed + line.disk
    for folder, needed in disks.values():
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise InputError(
                f"{folder.resolve()} has {free / 1e9:.2g} GB free and this run needs about {needed / 1e9:.2g} GB: "
                "make room or put results/ and resources/ on a larger disk (a symbolic link will do)"
            )


def check_temporary() -> None:
    """Check that there is room for temporary files.

    Python takes another folder if /tmp is full, but the solver by which Snakemake chooses jobs does not.

    Raises:
        InputError: there is less than `TEMPORARY_MB`.
    """
    of_solver = os.environ.get("TMP") or os.environ.get("TMPDIR") or "/tmp"
    for folder in (tempfile.gettempdir(), of_solver):
        free = shutil.disk_usage(folder).free if Path(folder).is_dir() else 0
        if free < 1e6 * TEMPORARY_MB:
            raise InputError(
                f"{folder}, the folder for temporary files, has {free / 1e6:.2g} MB free and a run needs "
                f"{TEMPORARY_MB}: make room, or name another folder in the environment variable TMPDIR"
            )


def _nearest(folder: Path) -> Path:
    """Return a folder, or its nearest parent that exists."""
    while not folder.exists():
        folder = folder.parent
    return folder


def _disk(folder: Path) -> int:
    """Return the number of the disk that a folder is on."""
    return folder.stat().st_dev


def check_tokenisation(config: Config, pairs: Sequence[Pair], models_folder: Path) -> None:
    """Check that each pair has a shared prefix and one last token in every tokenizer that is on this machine.

    Raises:
        InputError: a pair is not of this form in one of the tokenizers, or is longer than its model can read.
    """
    for name in config["models"]:
        folder = _folder(config, name, models_folder)
        if (folder / "tokenizer.json").is_file():
            tokenised = tokenise_with_file(pairs, folder / "tokenizer.json", name, config["models"][name]["bos"])
            check_lengths(tokenised, folder, name)


def check_renderer(config: Config) -> None:
    """Check that Quarto is installed if the config requires it.

    Raises:
        InputError: `report.renderer` is quarto and no working Quarto is on PATH.
    """
    if config["report"]["renderer"] == "quarto":
        from plateaus.render import find_quarto

        if find_quarto() is None:
            raise InputError(
                "config: report.renderer is quarto, but no working quarto was found on PATH: install Quarto, "
                "or use auto or builtin"
            )


def check_records(expected: Mapping[Path, dict[str, object]]) -> None:
    """Check that results copied here without Snakemake's records belong to this config.

    Snakemake reruns a job after an edit because it has a record of how the output was made. For a file without a record
    it reports that there is nothing to do, even after an edit. Each Parquet file stores the hash of the slice that it
    was made from, so this function compares that hash with the config.

    Args:
        expected: For each Parquet file, the slice of the config that it should have been made from.

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
                f"{path} was copied here without Snakemake's records and was not made from this config: "
                f"delete it (or all of {path.parents[3]}), or run `snakemake --forcerun extract`"
            )


def snakemake_record(path: Path, metadata: Path = Path(".snakemake/metadata")) -> Path:
    """Return the path of Snakemake's record of an output file: the path in base64, split to the name length limit."""
    name = urlsafe_b64encode(str(path).encode()).decode()
    limit = 254
    parts = [name[start : start + limit] for start in range(0, len(name), limit)]
    return metadata.joinpath(*[f"@{part}" for part in parts[:-1]], parts[-1])
