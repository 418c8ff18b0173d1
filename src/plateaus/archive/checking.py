"""Whether an archive is whole: every file is there, with the bytes that the archive itself lists."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from plateaus.archive import layout
from plateaus.errors import InputError

LINE = re.compile(r"([0-9a-f]{64})  (.+)")
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError, ValueError)
"""What reading a zip file raises when its bytes are not those that were written."""


def check(path: Path) -> dict[str, str]:
    """Check every file of an archive against its manifest, and the manifest against the crate's metadata.

    Args:
        path: The zip file.

    Returns:
        The sha256 of every file that the manifest lists, by name.

    Raises:
        InputError: the file is not an archive of a run, or a file in it is damaged, missing or not listed.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist: give a zip file that `make archive` wrote")
    try:
        with zipfile.ZipFile(path) as file:
            names = [info.filename for info in file.infolist()]
            if not {layout.MANIFEST, layout.CRATE, layout.PROVENANCE} <= set(names):
                raise InputError(f"{path} is a zip file, but not one that `make archive` wrote, or not all of it")
            listed = _listed(path, _read(path, file, layout.MANIFEST))
            for name in names:
                if name not in listed and name != layout.MANIFEST:
                    raise InputError(_damaged(path, name, "is not in its manifest"))
            for name, sha256 in listed.items():
                if name not in names:
                    raise InputError(_damaged(path, name, "is missing"))
                if _digest(path, file, name) != sha256:
                    raise InputError(_damaged(path, name, "is not what its manifest lists"))
            if len(names) > len(set(names)):
                raise InputError(_damaged(path, max(names, key=names.count), "is in it twice"))
            _check_crate(path, listed, _read(path, file, layout.CRATE))
            return listed
    except zipfile.BadZipFile:
        raise InputError(f"{path} is not a zip file, or its end is missing: fetch it again") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}): check its permissions") from None


def _read(path: Path, file: zipfile.ZipFile, name: str) -> bytes:
    try:
        return file.read(name)
    except BROKEN:
        raise InputError(_damaged(path, name, "cannot be read")) from None


def _digest(path: Path, file: zipfile.ZipFile, name: str) -> str:
    try:
        with file.open(name) as content:
            return hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
    except BROKEN:
        raise InputError(_damaged(path, name, "cannot be read")) from None


def _damaged(path: Path, name: str, what: str) -> str:
    return f"{path} is damaged: {name} {what}: fetch the archive again"


def _listed(path: Path, content: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in content.decode("utf-8", "replace").splitlines():
        match = LINE.fullmatch(line)
        if match is None or match[2] in found:
            raise InputError(_damaged(path, layout.MANIFEST, "has a line that is no checksum"))
        place = PurePosixPath(match[2])
        if place.is_absolute() or ".." in place.parts:
            raise InputError(
                f"{path} names {match[2]}, which would lie outside of the archive: do not use this archive"
            )
        found[match[2]] = match[1]
    return found


def _check_crate(path: Path, listed: dict[str, str], content: bytes) -> None:
    """Check that the crate's metadata give the same hashes as the manifest."""
    try:
        entities = json.loads(content)["@graph"]
        told = {unquote(one["@id"]): one["sha256"] for one in entities if "File" in one["@type"]}
    except (ValueError, KeyError, TypeError):
        raise InputError(_damaged(path, layout.CRATE, "is not the description of a run")) from None
    for name, sha256 in listed.items():
        if name != layout.CRATE and told.get(name) != sha256:
            raise InputError(_damaged(path, layout.CRATE, f"and {layout.MANIFEST} disagree about {name}"))
