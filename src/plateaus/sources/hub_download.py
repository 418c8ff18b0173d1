"""Download one file of the hub into the local cache, with resuming, retries and a check of its hash.

huggingface_hub 2 resumes only within one attempt and deletes what it has of a failed download. Here the partial file
stays beside the file's place in the cache, so that the next attempt, or the next run, resumes from it.
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
"""Seconds between attempts. The sequence starts again after an attempt that received some data."""
WORTH_SAYING = 10_000_000
"""Size in bytes from which a download is announced."""

Result = TypeVar("Result")


class RemoteFile(NamedTuple):
    """A file of a repository.

    Attributes:
        name: Name of the file at the root of the repository.
        size: Size in bytes.
        hash: The sha256 of a large file (64 digits), or git's hash of the content of a small file (40 digits), as given
            by the hub. Empty if the file was listed from a cache without links, which does not record hashes.
    """

    name: str
    size: int
    hash: str


def have(file: RemoteFile, commit: str, asked: Asked, progress: Callable[[str], None]) -> Path:
    """Return the path of a file in the cache, after downloading it if necessary and checking its hash.

    Args:
        file: The file.
        commit: The commit of the repository.
        asked: The request that the file belongs to, for messages.
        progress: Called with each line for the user.

    Raises:
        InputError: the hash is not the one that the hub gives.
        httpx.HTTPError: the download failed, and another attempt would not help or all attempts are used up.
    """
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
    placed = Path(hf_hub_download(asked.id, file.name, revision=commit))  # finds the blob in the cache and links to it
    if placed.resolve() != blob.resolve():
        _check(placed, file, asked)
    return placed


def _download(file: RemoteFile, url: str, blob: Path, asked: Asked, progress: Callable[[str], None]) -> None:
    """Download into a partial file beside `blob`, which stays after a failure so that the next attempt can resume."""
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
            # A download of the wrong size raises an OSError without errno. It is left to the check of the hash.
            if isinstance(error, HfHubHTTPError | OfflineModeIsEnabled) or error.errno is not None:
                raise

    patiently(attempt, progress, lambda: _partial_size(blob))
    _check(partial, file, asked)
    partial.replace(blob)


def patiently(
    attempt: Callable[[], Result], progress: Callable[[str], None], got: Callable[[], int] = lambda: 0
) -> Result:
    """Call `attempt` until it succeeds, with growing pauses after errors that may go away.

    Args:
        attempt: The call.
        progress: Called with a line for the user before each pause.
        got: Returns the number of bytes received so far. After progress the pauses start again from the shortest.

    Returns:
        The result of `attempt`.

    Raises:
        httpx.HTTPError: the last error, once the pauses are used up or if another attempt would not help.
    """
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
    """Whether another attempt may succeed: after a lost connection, a timeout, too many requests or a server error."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in (408, 429) or error.response.status_code >= 500
    return not isinstance(error, httpx.ProxyError | httpx.UnsupportedProtocol)


def _short(error: Exception) -> str:
    if isinstance(error, HfHubHTTPError):
        return f"the hub answered {error.response.status_code}"
    return "the hub did not answer in time" if isinstance(error, httpx.TimeoutException) else "the connection was lost"


def _check(path: Path, file: RemoteFile, asked: Asked) -> None:
    """Compare the hash of a file with the hub's, and delete the file from the cache if they differ.

    Raises:
        InputError: the hashes differ.
    """
    if not file.hash:
        return
    found = file_digest(path) if len(file.hash) == 64 else blob_digest(path)
    if found == file.hash:
        return
    path.resolve().unlink()
    with suppress(FileNotFoundError):
        path.unlink()
    raise InputError(
        f"{asked.where}: {file.name} has the wrong hash ({found[:12]}…, but the hub gives {file.hash[:12]}…) and was "
        "deleted: run again; if the hash is wrong again, something between this machine and the hub alters files"
    )


def _cached_path(file: RemoteFile, commit: str, asked: Asked) -> Path | None:
    found = try_to_load_from_cache(asked.id, file.name, revision=commit)
    return Path(found) if isinstance(found, str) else None


def missing_bytes(file: RemoteFile, commit: str, asked: Asked) -> int:
    """Return how many bytes of a file are still to be downloaded."""
    blob = _blob(file, asked)
    there = _cached_path(file, commit, asked) is not None or blob.exists()
    return 0 if there else max(file.size - _partial_size(blob), 0)


def repository(asked: Asked) -> Path:
    """Return the folder of a repository in the cache."""
    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=asked.id, repo_type="model")


def _blob(file: RemoteFile, asked: Asked) -> Path:
    return repository(asked) / "blobs" / file.hash


def _partial_size(blob: Path) -> int:
    partial = blob.with_name(f"{blob.name}.incomplete")
    return partial.stat().st_size if partial.exists() else 0
