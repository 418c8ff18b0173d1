"""Where things lie in an archive: the source as in the repository, the run in one folder, three files about both."""

from __future__ import annotations

RUN = "run"
"""Folder of the run's page, figures, tables and records. It is not `results/<run>`, so that the unpacked archive can be
run as it is: Snakemake refuses tables that come without its records."""
CONFIG = f"{RUN}/config.yaml"
PROVENANCE = f"{RUN}/provenance.json"
CRATE = "ro-crate-metadata.json"
MANIFEST = "manifest-sha256.txt"
"""In the form that `sha256sum --check` reads. It lists every file but itself."""
GUIDE = "ARCHIVE.md"
RESERVED = (CRATE, MANIFEST, GUIDE)


def reserved(name: str) -> bool:
    """Whether a path in the repository would stand where the archive has something of its own."""
    return name in RESERVED or name.split("/")[0] == RUN
