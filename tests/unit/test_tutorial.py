"""The tutorial is run cell by cell, and says what it says in the repository."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from plateaus.render import kernel
from plateaus.render.source import Cell, Line

NOTEBOOK = Path("docs/tutorial.ipynb")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


def said(outputs) -> str:
    """Return what a cell prints or shows as text, without warnings of libraries and the size of a picture."""
    shown = [one for one in outputs if one.get("name") != "stderr"]
    parts = [one.get("text") or one["data"].get("text/plain", "") for one in shown]
    return "".join(part for part in parts if not part.startswith("<Figure"))


@pytest.mark.slow
def test_the_tutorial_runs_and_its_outputs_are_those_of_the_repository():
    cells = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    assert len(cells) == 10
    with kernel.running(
        NOTEBOOK.parent, {"OMP_NUM_THREADS": "1", "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    ) as python:
        for number, cell in enumerate(cells):
            outputs = python.cell(Cell(cell.source, {}, Line(cell.source, str(NOTEBOOK), number)))
            new, old = said(outputs), said(cell.outputs)
            assert NUMBER.sub("#", new).split() == NUMBER.sub("#", old).split()
            # The last digit that is shown may be rounded otherwise on another processor.
            assert [float(one) for one in NUMBER.findall(new)] == pytest.approx(
                list(map(float, NUMBER.findall(old))), rel=1e-3, abs=0.0101
            )
    assert "The claim" in old
