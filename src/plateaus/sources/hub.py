"""Fetch a model from a repository of the Hugging Face hub: list its files, choose the ones needed, and check them.

Files are stored in huggingface_hub's own cache (HF_HOME), so nothing is downloaded twice on a machine, and no network
is needed if the cache is complete. Only stage fetch uses this module, and no other stage goes online.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil
from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled
from huggingface_hub.hf_api import ModelInfo
from huggingface_hub.utils import httpx, logging

from plateaus.errors import InputError
from plateaus.sources import hub_download, refusals
from plateaus.sources.checks import TOKENIZERS
from plateaus.sources.folder import TOKENIZER_FILES
from plateaus.sources.hub_download import RemoteFile
from plateaus.sources.hub_errors import Asked, explained

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack")
HALF = ("float16", "bfloat16")


class Listing(NamedTuple):
    """The contents of a repository at one commit.

    Attributes:
        commit: The commit.
        files: File name to the file, for the files at the root of the repository.
        licence: The licence that the model card names, or ``unknown``.
    """

    commit: str
    files: dict[str, RemoteFile]
    licence: str


class Found(NamedTuple):
    """The files that were fetched.

    Attributes:
        commit: The commit of the repository.
        licence: The licence that the model card names, or ``unknown``.
        paths: File name to its path in the cache.
    """

    commit: str
    licence: str
    paths: dict[str, Path]


def get(model: str, id_: str, revision: str, folder: Path, progress: Callable[[str], None]) -> Found:
    """Download the files that a model needs into the local cache, if they are not there yet.

    The small files come first. The weights follow once the kind of model, memory and disk space have been checked.

    Args:
        model: Id of the model in the config, for messages.
        id_: Id of the repository.
        revision: Commit, tag or branch.
        folder: The model folder that the files will be linked into, or copied into if it is on another disk.
        progress: Called with each line for the user.

    Raises:
        InputError: one line that says what is wrong with the connection, the repository, the kind of model or this
            machine, and how to mend it.
    """
    asked = Asked(model, id_, revision)
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # `progress` reports failed attempts instead
    try:
        with explained(asked):
            listing, online = _list(asked, progress)
            paths = {}
            for file in _small(listing, asked):
                paths[file.name] = hub_download.have(file, listing.commit, asked, progress)
            refusals.check_config(paths["config.json"].parent, model, f"{id_} at revision {revision}")
            heavy = _weights(listing, paths.get(INDEX), asked)
            _check_memory(heavy, paths["config.json"], asked)
            _check_disk(heavy, listing, folder, asked)
            for file in heavy:
                paths[file.name] = hub_download.have(file, listing.commit, asked, progress)
            if online:
                # This request uses the name of the revision, so that the cache records the name's commit. A later run
                # can then look it up without a network.
                with suppress(httpx.HTTPError, LocalEntryNotFoundError):
                    hf_hub_download(id_, "config.json", revision=revision)
            return Found(listing.commit, listing.licence, paths)
    finally:
        logging.set_verbosity(verbosity)


# ---- listing the files -----------------------------------------------------------------------------------------


def _list(asked: Asked, progress: Callable[[str], None]) -> tuple[Listing, bool]:
    """Return the listing of the hub and True, or that of the cache and False if the hub cannot be reached."""

    def ask() -> ModelInfo:
        try:
            return HfApi(endpoint=constants.ENDPOINT).model_info(
                asked.id, revision=asked.revision, files_metadata=True, timeout=constants.HF_HUB_ETAG_TIMEOUT
            )
        except HFValidationError:
            raise
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"{asked.where}: {constants.ENDPOINT} does not answer like a model hub: correct HF_ENDPOINT, or log in "
                "to the network if its login page answers instead"
            ) from None

    cached = _cached(asked)
    try:
        return _told(hub_download.patiently(ask, progress) if cached is None else ask(), asked), True
    except (httpx.TransportError, OfflineModeIsEnabled, HfHubHTTPError) as error:
        if isinstance(error, HfHubHTTPError) and not hub_download.may_pass(error):
            raise
        if cached is None:
            raise
        progress(f"no answer from the hub; using {asked.id} at {cached.commit[:12]} from the local cache")
        return cached, False


def _told(info: ModelInfo, asked: Asked) -> Listing:
    files = {}
    for sibling in info.siblings or []:
        name = sibling.rfilename
        hash_ = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
        if "/" not in name and hash_ and sibling.size is not None:
            files[name] = RemoteFile(name, sibling.size, hash_)
    if info.sha is None or (info.siblings and not files):
        raise InputError(
            f"{asked.where} is listed by {constants.ENDPOINT} without commit or hashes, so the files cannot be "
            "checked: unset HF_ENDPOINT, or use source: local"
        )
    licence = getattr(info.card_data, "license", None) or "unknown"
    return Listing(info.sha, files, ", ".join(licence) if isinstance(licence, list) else str(licence))


def _cached(asked: Asked) -> Listing | None:
    """Return the listing of the repository in the local cache, or None if it is missing or incomplete there."""
    config = try_to_load_from_cache(asked.id, "config.json", revision=asked.revision)
    if not isinstance(config, str):
        return None
    snapshot = Path(config).parent
    files = {}
    for path in snapshot.iterdir():
        if path.is_file():
            blob = path.resolve().name
            known = re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", blob)
            files[path.name] = RemoteFile(path.name, path.stat().st_size, blob if known else "")
    listing = Listing(snapshot.name, files, "unknown")
    try:
        _small(listing, asked)
        _weights(listing, snapshot / INDEX, asked)
    except InputError:
        return None
    return listing


# ---- choosing the files ----------------------------------------------------------------------------------------


def _small(listing: Listing, asked: Asked) -> list[RemoteFile]:
    """Return the config, the tokenizer files and, if the weights are in several files, their index.

    Raises:
        InputError: the repository has no config, no usable weights or no tokenizer.
    """
    names = ["config.json", "generation_config.json", *TOKENIZER_FILES]
    if WEIGHTS not in listing.files:
        names.append(INDEX)
    if "config.json" not in listing.files:
        raise InputError(f"{asked.where} has no config.json, so transformers cannot load it: choose another model")
    if not {WEIGHTS, INDEX} & set(listing.files):
        _refuse(listing.files, asked)
    if not set(TOKENIZERS) & set(listing.files):
        raise InputError(
            f"{asked.where} has no tokenizer: download the repository, add the tokenizer.json of its base model, and "
            "use source: local"
        )
    return [listing.files[name] for name in names if name in listing.files]


def _refuse(names: Iterable[str], asked: Asked) -> None:
    others = [name for name in names if name.endswith(".safetensors")]
    pickles = [name for name in names if name.endswith(PICKLES)]
    if pickles and not others:
        raise InputError(
            f"{asked.where} has its weights only as a pickle ({pickles[0]}), which can run code when it is opened: "
            f"set models.{asked.model}.revision to a revision with safetensors (the hub's converter makes one as "
            "refs/pr/N, see the page's Community tab), or, if you trust it, convert it and use source: local"
        )
    raise InputError(
        f"{asked.where} has no {WEIGHTS}" + (f" (only {', '.join(others[:3])})" if others else "") + ": choose a "
        "revision that has it, or download the folder, rename the weights to it and use source: local"
    )


def _weights(listing: Listing, index: Path | None, asked: Asked) -> list[RemoteFile]:
    """Return model.safetensors if the repository has it, as transformers does, or else the files that the index names.

    Raises:
        InputError: the index cannot be read, or names a file that is missing or is not safetensors.
    """
    if WEIGHTS in listing.files or index is None:
        return [listing.files[WEIGHTS]]
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        names = []
    missing = [name for name in names if name not in listing.files or not name.endswith(".safetensors")]
    if not names or missing:
        raise InputError(
            f"{asked.where} has a {INDEX} that does not match its files (it names {missing[0] if names else 'none'}): "
            "choose another revision"
        )
    return [listing.files[name] for name in names]


# ---- checking memory and disk ----------------------------------------------------------------------------------


def _check_memory(heavy: list[RemoteFile], config: Path, asked: Asked) -> None:
    """Refuse weights that do not fit into this machine's memory in float32, the type in which every stage computes."""
    told = json.loads(config.read_text(encoding="utf-8"))
    stored = str(told.get("dtype") or told.get("torch_dtype")).removeprefix("torch.")
    needed = sum(file.size for file in heavy) * (2 if stored in HALF else 1)
    there = psutil.virtual_memory().total
    if needed > there:
        raise InputError(
            f"{asked.where} needs {needed / 1e9:.3g} GB of memory in float32, and this machine has {there / 1e9:.3g} "
            "GB: use a smaller model, or a machine with more memory"
        )


def _check_disk(heavy: list[RemoteFile], listing: Listing, folder: Path, asked: Asked) -> None:
    """Refuse a download that does not fit on the disk of the cache, or on that of the models if it is another disk."""
    cache, target = _existing(hub_download.repository(asked)), _existing(folder)
    needed = {cache: sum(hub_download.missing_bytes(file, listing.commit, asked) for file in heavy)}
    if cache.stat().st_dev != target.stat().st_dev:
        needed[target] = sum(file.size for file in heavy)  # links between disks are impossible, so the files are copied
    for disk, size in needed.items():
        free = psutil.disk_usage(str(disk)).free
        if free < size:
            raise InputError(
                f"{asked.where} needs {size / 1e9:.3g} GB on the disk of {disk}, which has {free / 1e9:.3g} GB free: "
                "make room, or move HF_HOME (the downloads) or resources/ (the models) to a larger disk"
            )


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
