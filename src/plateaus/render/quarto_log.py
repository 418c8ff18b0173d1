"""What went wrong in Quarto, in the words of the built-in renderer: Quarto often only warns, or names no place."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from plateaus.render import source
from plateaus.render.error import RenderError
from plateaus.render.source import Cell

ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
UNRESOLVED = re.compile(r"Unable to resolve crossref (@[\w-]+)")
UNCITED = re.compile(r"[Cc]iteproc: citation (\S+) not found")
FAILED = re.compile(r"An error occurred while executing the following cell:\n-+\n(.*?)\n-+\n(.*)", re.DOTALL)
RAISED = re.compile(r"^[\w.]*(?:Error|Exception|Interrupt|Exit|Warning)\b.*$", re.MULTILINE)
ID = re.compile(r"""<\w+[^>]*\sid=["']((?:fig|tbl|sec|eq|lst)-[^"']+)["']""")


def cells_of(project: Path) -> list[Cell]:
    """Return the cells of a document before its copy is changed; none if it is malformed."""
    try:
        _, parts = source.read(project, {})
    except RenderError:
        return []  # Quarto itself reports what is wrong with it
    return [part for part in parts if isinstance(part, Cell)]


def check_failure(output: str, cells: Sequence[Cell]) -> None:
    """Raise the error of a run of Quarto that failed.

    Args:
        output: All that Quarto printed.
        cells: The cells of the document.

    Raises:
        RenderError: always; the message is one line.
    """
    text = ANSI.sub("", output)
    failed = FAILED.search(text)
    if failed:
        raised = RAISED.findall(failed[2])
        why = raised[-1].strip() if raised else "see the log"
        raise RenderError(f"{_place(failed[1], cells)} failed: {why}")
    said = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in said if "error" in line.lower()] or said or ["it printed no message"]
    raise RenderError(f"quarto render failed: {telling[-1]}")


def check_page(output: str, page: Path) -> None:
    """Refuse a page that Quarto made with only a warning, or without one.

    Raises:
        RenderError: a cross-reference or a citation leads nowhere, or an id is there twice.
    """
    text = ANSI.sub("", output)
    unresolved = set(UNRESOLVED.findall(text))
    if unresolved:
        raise RenderError(f"the page refers to {', '.join(sorted(unresolved))}, which is not defined: correct it")
    uncited = set(UNCITED.findall(text))
    if uncited:
        raise RenderError(f"the page cites {', '.join(sorted(uncited))}, which the bibliography lacks: correct it")
    ids = Counter(ID.findall(page.read_text(encoding="utf-8")))
    twice = [name for name, count in ids.items() if count > 1]
    if twice:
        raise RenderError(f"the page uses the id {twice[0]} twice: change one of them")


def _place(printed: str, cells: Sequence[Cell]) -> str:
    """Return what to call the cell whose code Quarto printed."""
    wanted = _code(printed.splitlines())
    found = next((cell.name for cell in cells if _code(cell.code.splitlines()) == wanted), None)
    return found or f"the cell “{wanted[0] if wanted else ''}”"


def _code(lines: Sequence[str]) -> list[str]:
    return [line.rstrip() for line in lines if line.strip() and not re.match(r"#\s*\|", line)]
