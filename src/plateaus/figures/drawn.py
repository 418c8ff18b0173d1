"""The output of the figures stage: the files, and a table with the caption and alt text of each, for the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from plateaus import figures
from plateaus.data import tables
from plateaus.data.results import Results, table_path
from plateaus.drawing import style
from plateaus.drawing.contract import Drawing, LeftOut, Settings
from plateaus.errors import InputError
from plateaus.figures import claim
from plateaus.judging import judged

ALL = "all"
"""Stands in place of a model id for a figure that is not of one model."""


class Run(NamedTuple):
    """A run from whose results figures are drawn.

    Attributes:
        root: Folder of the results, `results/<run>`.
        models: Ids of the models.
        shards: Names of the shards.
        settings: The settings of the figures.
    """

    root: Path
    models: tuple[str, ...]
    shards: tuple[str, ...]
    settings: Settings

    @property
    def results(self) -> Results:
        """Read access to the tables, limited to the curves that the figures show."""
        return judged.results_of(self.root, self.models, self.shards, self.settings.pairs)


class Drawn(NamedTuple):
    """A figure that was drawn.

    Attributes:
        file: Its SVG file, relative to the run's folder `figures`; the PNG file is in the same folder.
        caption, alt, tables, whole: As in `plateaus.drawing.contract.Drawing`.
    """

    file: Path
    caption: str
    alt: str
    tables: tuple[tables.Table, ...]
    whole: bool


class Task(NamedTuple):
    """One figure to draw, of one model or of all models."""

    figure: str
    model: str

    @property
    def file(self) -> Path:
        """The SVG file of the figure, relative to the run's folder `figures`."""
        return Path(self.model if self.model != ALL else "", f"{self.figure}.svg")


def of_claim(name: str) -> str:
    """Return the name of the figure of a claim."""
    return f"claim-{name}"


def tasks(run: Run) -> list[Task]:
    """List all figures of a run, those of one model together because they are drawn from the same tables."""
    shared = [name for name, module in figures.FIGURES.items() if not module.PER_MODEL]
    of_all = [*shared, *map(of_claim, judged.verdicts(run.root).claims)]
    own = [name for name in figures.FIGURES if name not in shared]
    return [*(Task(name, model) for model in run.models for name in own), *(Task(name, ALL) for name in of_all)]


def draw_all(run: Run, processes: int) -> Iterator[tuple[Task, dict[str, Any]]]:
    """Draw and save every figure, and yield each task with its row of the table `figures` when it is done.

    Args:
        run: The run whose figures are drawn.
        processes: Number of processes that draw at the same time.

    Raises:
        InputError: if the tables of a figure lack what the config asks for.
    """
    todo = tasks(run)
    if processes == 1:
        results = run.results
        yield from ((task, draw(run, results, task)) for task in todo)
        return
    # Spawned, not forked, because the libraries that read tables have started threads by now.
    with ProcessPoolExecutor(processes, get_context("spawn"), _begin, (run,)) as pool:
        yield from zip(todo, pool.map(_draw, todo), strict=True)


_begun: tuple[Run, Results] | None = None
"""The run that this worker process draws, with the tables that it has read so far."""


def _begin(run: Run) -> None:
    global _begun
    _begun = run, run.results


def _draw(task: Task) -> dict[str, Any]:
    assert _begun is not None
    return draw(*_begun, task)


def draw(run: Run, results: Results, task: Task) -> dict[str, Any]:
    """Draw and save one figure, and return its row of the table `figures`."""
    row = {**task._asdict(), "drawn": False, "whole": False, "reason": "", "caption": "", "alt": "", "tables": ""}
    drawing = _drawing(run, results, task)
    if isinstance(drawing, LeftOut):
        return row | {"reason": drawing.reason}
    figures.save(drawing, run.root / "figures" / task.file.parent, task.figure, run.settings.dpi)
    said = {"caption": drawing.caption, "alt": drawing.alt, "whole": drawing.whole}
    return row | said | {"drawn": True, "tables": " ".join(table.name for table in drawing.tables)}


def _drawing(run: Run, results: Results, task: Task) -> Drawing | LeftOut:
    if task.figure in figures.FIGURES:
        model = results.models[0] if task.model == ALL else task.model
        return figures.draw(task.figure, results, model, run.settings)
    with style.applied():
        return claim.draw(results, task.figure.removeprefix(of_claim("")), run.settings)


def write(root: Path, rows: Sequence[Mapping[str, Any]], metadata: Mapping[str, str]) -> None:
    """Write the table `figures` from rows that `draw` returned.

    Args:
        root: Folder of the results.
        rows: The rows.
        metadata: Metadata of the file, such as the hash of the parameters.
    """
    columns = {name: [row[name] for row in rows] for name in tables.FIGURES.columns}
    tables.write(table_path(root, ALL, tables.FIGURES, ALL), tables.FIGURES, columns, metadata)


def read(root: Path) -> dict[Task, Drawn | LeftOut]:
    """Return what a run drew, and the reason for each figure that it left out."""
    rows = tables.read_frame(tables.FIGURES, [table_path(root, ALL, tables.FIGURES, ALL)])
    return dict(map(_read, rows.to_dict("records")))


def check(root: Path) -> None:
    """Check that the files of all figures exist, because the workflow itself tracks only the table.

    Raises:
        InputError: if a file is missing.
    """
    for found in read(root).values():
        if isinstance(found, Drawn) and not (root / "figures" / found.file).is_file():
            raise InputError(f"{root / 'figures' / found.file} is missing: run snakemake with --forcerun figures")


def _read(row: Mapping[Any, Any]) -> tuple[Task, Drawn | LeftOut]:
    task = Task(str(row["figure"]), str(row["model"]))
    if not row["drawn"]:
        return task, LeftOut(row["reason"])
    sources = tuple(tables.TABLES[name] for name in row["tables"].split())
    return task, Drawn(task.file, row["caption"], row["alt"], sources, bool(row["whole"]))
