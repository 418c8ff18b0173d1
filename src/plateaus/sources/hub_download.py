"""One file of the hub brought into the local cache: resumed where it stopped, tried again, checked by its hash.

huggingface_hub 2 resumes only within one attempt and leaves nothing of a download that failed. Here the part that came
stays beside the file's place in the cache, so that the next attempt, or the next run, goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from huggingface_hub import constants, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.file_download import http_get, repo_folder_name
from huggingface_hub.utils import WeakFileLock, build_hf_headers, httpx

from plateaus.data.canonical import blob_digest, file_digest
from plateaus.errors import InputError
from plateaus.sources.hub_errors import Asked

PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds between one attempt and the next; counted afresh after an attempt that brought something."""
WORTH_SAYING = 10_000_000
"""Bytes from which on a download is announced."""

Result = TypeVar("Result")


class RemoteFile(NamedTuple):
    """A file of a repository.

    Attributes:
        name: Its name at the repository's root.
        size: In bytes.
        hash: Its sha256 (64 digits), or git's hash of a small file's content (40 digits), as the hub says; empty where
            a cache without links does not tell it.
    """

    name: str
    size: int
    hash: str


def have(file: RemoteFile, commit: str, asked: Asked, progress: Callable[[str], None]) -> Path:
    """A file's place in the cache, downloaded if it is not there; its content is what the hub says it is."""
    cached = _cached_path(file, commit, asked)
    if cached is not None:
        _check(cached, file, asked)
        return cached
    blob = _blob(file, asked)
    blob.parent.mkdir(parents=True, exist_ok=True)
    lock = Path(constants.HF_HUB_CACHE) / ".locks" / blob.parent.parent.name / f"{file.hash}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        if blob.exists():
            _check(blob, file, asked)
        else:
            _download(file, hf_hub_url(asked.id, file.name, revision=commit), blob, asked, progress)
    placed = Path(hf_hub_download(asked.id, file.name, revision=commit))  # finds the blob and links to it
    if placed.resolve() != blob.resolve():
        _check(placed, file, asked)
    return placed


def _download(file: RemoteFile, url: str, blob: Path, asked: Asked, progress: Callable[[str], None]) -> None:
    """Download into a file beside `blob` that outlives this process, so that the next attempt goes on from there."""
    partial = blob.with_name(f"{blob.name}.incomplete")
    if _partial_size(blob) > file.size:
        partial.unlink()

    def attempt() -> None:
        have = _partial_size(blob)
        if have or file.size >= WORTH_SAYING:
            size = f"{file.size / 1e6:.4g} MB"
            progress(f"downloading {file.name}, {size}" + (f", from {have / 1e6:.4g} MB on" if have else ""))
        headers = build_hf_headers(headers={"Accept-Encoding": "identity"})
        try:
            with partial.open("ab") as handle:
                http_get(
                    url,
                    handle,
                    resume_size=have,
                    headers=headers,
                    expected_size=file.size,
                    displayed_filename=file.name,
                )
        except OSError as error:
            # An answer of another size than was said is an error without a number; its hash will not fit.
            if isinstance(error, HfHubHTTPError | OfflineModeIsEnabled) or error.errno is not None:
                raise

    patiently(attempt, progress, lambda: _partial_size(blob))
    _check(partial, file, asked)
    partial.replace(blob)


def patiently(
    attempt: Callable[[], Result], progress: Callable[[str], None], got: Callable[[], int] = lambda: 0
) -> Result:
    """Try again, with longer and longer pauses, what may pass; from the first pause on where the last one got more."""
    pauses, before = list(PAUSES), got()
    while True:
        try:
            return attempt()
        except (httpx.TransportError, HfHubHTTPError) as error:
            if (after := got()) > before:
                pauses, before = list(PAUSES), after
            if not pauses or not may_pass(error):
                raise
            progress(f"{_short(error)}; trying again in {pauses[0]:g} s")
            time.sleep(pauses.pop(0))


def may_pass(error: Exception) -> bool:
    """Whether the next attempt may do better: the connection, too many requests, the server's own trouble."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in (408, 429) or error.response.status_code >= 500
    return not isinstance(error, httpx.ProxyError | httpx.UnsupportedProtocol)


def _short(error: Exception) -> str:
    if isinstance(error, HfHubHTTPError):
        return f"the hub answered {error.response.status_code}"
    return "the hub did not answer in time" if isinstance(error, httpx.TimeoutException) else "the connection was lost"


def _check(path: Path, file: RemoteFile, asked: Asked) -> None:
    """Compare a file with the hub's hash; one that differs is removed from the cache."""
    if not file.hash:
        return
    found = file_digest(path) if len(file.hash) == 64 else blob_digest(path)
    if found == file.hash:
        return
    path.resolve().unlink()
    with suppress(FileNotFoundError):
        path.unlink()
    raise InputError(
        f"{asked.where}: {file.name} has the wrong hash ({found[:12]}… where the hub says {file.hash[:12]}…) and was "
        "deleted: run again; if it comes wrong again, something between here and the hub changes files"
    )


def _cached_path(file: RemoteFile, commit: str, asked: Asked) -> Path | None:
    found = try_to_load_from_cache(asked.id, file.name, revision=commit)
    return Path(found) if isinstance(found, str) else None


def missing_bytes(file: RemoteFile, commit: str, asked: Asked) -> int:
    """How much of a file is still to be downloaded."""
    blob = _blob(file, asked)
    there = _cached_path(file, commit, asked) is not None or blob.exists()
    return 0 if there else max(file.size - _partial_size(blob), 0)


def repository(asked: Asked) -> Path:
    """The folder of a repository in the cache."""
    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=asked.id, repo_type="model")


def _blob(file: RemoteFile, asked: Asked) -> Path:
    return repository(asked) / "blobs" / file.hash


def _partial_size(blob: Path) -> int:
    partial = blob.with_name(f"{blob.name}.incomplete")
    return partial.stat().st_size if partial.exists() else 0
