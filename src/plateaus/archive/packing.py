"""Writing an archive, so that the same inputs give the same bytes."""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

from plateaus.archive import layout
from plateaus.data.canonical import file_digest
from plateaus.data.tables import atomic_path

TIME = (2026, 1, 1, 0, 0, 0)
"""The time that every file of an archive has, because the real ones differ between two runs of the same thing."""


class Entry:
    """A file to pack.

    Attributes:
        name: Its path in the archive.
        content: Its bytes, or where they are read from.
        executable: Whether it is a program.
    """

    def __init__(self, name: str, content: Path | bytes) -> None:
        self.name, self.content = name, content
        self.executable = isinstance(content, Path) and os.access(content, os.X_OK)

    @cached_property
    def size(self) -> int:
        """Its length in bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    @cached_property
    def sha256(self) -> str:
        """Its sha256, as hexadecimal digits."""
        if isinstance(self.content, bytes):
            return hashlib.sha256(self.content).hexdigest()
        return file_digest(self.content)


def manifest(entries: Iterable[Entry]) -> Entry:
    """Return the file that lists the sha256 of all others, sorted by their names."""
    lines = [f"{entry.sha256}  {entry.name}\n" for entry in sorted(entries, key=lambda entry: entry.name)]
    return Entry(layout.MANIFEST, "".join(lines).encode())


def write(path: Path, entries: Sequence[Entry]) -> None:
    """Write a zip file: the files that describe the archive first, then all others by name.

    Nothing is compressed: nearly all of it is already, and the bytes that come out of zlib depend on its version.
    """
    order = sorted(entries, key=lambda entry: (entry.name not in layout.RESERVED, entry.name))
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as file:
        for entry in order:
            info = zipfile.ZipInfo(entry.name, TIME)
            info.create_system = 3  # Unix, whose permissions follow
            info.external_attr = (0o100755 if entry.executable else 0o100644) << 16
            info.file_size = entry.size
            with file.open(info, "w") as target:
                if isinstance(entry.content, bytes):
                    target.write(entry.content)
                else:
                    with entry.content.open("rb") as source:
                        shutil.copyfileobj(source, target, 1 << 20)
