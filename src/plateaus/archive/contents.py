"""What goes into an archive and what is left out of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from plateaus.archive import crate, layout, packing, runs, settings, source
from plateaus.archive.packing import Entry
from plateaus.archive.runs import File, Run
from plateaus.data import tables
from plateaus.figures import drawn
from plateaus.run import lock


class Contents(NamedTuple):
    """The contents of an archive.

    Attributes:
        entries: All of its files.
        left_out: Files of the run's tables that are not among them, with the sizes and hashes that they have.
    """

    entries: list[Entry]
    left_out: list[Entry]


def of_run(root: Path, *, vectors: bool = False, other_code: bool = False) -> Contents:
    """Collect a finished run and the workflow in this folder, and describe both.

    Args:
        root: `results/<run>`.
        vectors: Whether to keep the tables of activations.
        other_code: Whether to pack a run whose tables were made by other code than that in this folder.

    Raises:
        InputError: the run is not finished, or not of one piece with its config, its prompts and the code.
    """
    run = runs.read(root)
    held = lock.hold(root)  # so that no other run changes the files while they are read
    try:
        same_code = runs.check(run, other_code=other_code)
        code = source.read(Path(), settings.inputs(run.config))
        kept, left_out = _tables(run, vectors)
        entries = [Entry(name, Path(name)) for name in code.files]
        entries += [*_records(run), *_figures(run), *kept]
        told = crate.Told(run, code, same_code, left_out)
        entries.append(Entry(layout.GUIDE, crate.guide(told).encode()))
        entries.append(Entry(layout.CRATE, crate.metadata(told, entries)))
        return Contents([*entries, packing.manifest(entries)], left_out)
    finally:
        held.release()


def _tables(run: Run, vectors: bool) -> tuple[list[Entry], list[Entry]]:
    """Return the files of tables to pack, and those to leave out."""
    kept: list[Entry] = []
    left_out: list[Entry] = []
    for file in runs.files(run):
        (left_out if _of_vectors(file) and not vectors else kept).append(_inside(run, file.path))
    return kept, left_out


def _of_vectors(file: File) -> bool:
    """Whether a table is one of activations: nine tenths of a run's size, and read only by its own stages."""
    return tables.VECTOR in file.table.columns.values()


def _records(run: Run) -> Iterable[Entry]:
    yield Entry(layout.CONFIG, settings.text(run.config).encode())
    # Where the results lay on the machine that made them is of no use elsewhere.
    told = {**run.told, "results": f"results/{run.name}"}
    yield Entry(layout.PROVENANCE, (json.dumps(told, indent=2, sort_keys=True) + "\n").encode())
    yield from (_inside(run, run.root / name) for name in runs.FILES)


def _figures(run: Run) -> Iterable[Entry]:
    drawn.check(run.root)
    for found in drawn.read(run.root).values():
        if isinstance(found, drawn.Drawn):
            for suffix in (".svg", ".png"):
                yield _inside(run, (run.root / "figures" / found.file).with_suffix(suffix))


def _inside(run: Run, path: Path) -> Entry:
    return Entry(f"{layout.RUN}/{path.relative_to(run.root).as_posix()}", path)
