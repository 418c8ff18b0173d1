"""Run a document's cells and inline expressions in order, and put each result in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from plateaus.render import outputs
from plateaus.render.source import Cell, Inline, Part

# Cell options that a document may set for all cells outside `execute:`.
SHARED = ("code-fold", "code-summary")


def run(parts: Sequence[Part], project: Path, env: Mapping[str, str], options: Mapping[str, Any]) -> str:
    """Run all code of a document in order in one kernel, and return the document as Markdown with the results.

    Args:
        parts: The parts of the document.
        project: The working directory of the kernel.
        env: Variables to add to the kernel's environment.
        options: The options of the document.

    Raises:
        RenderError: A cell or an inline expression failed; the message names it and gives the last line of its error.
    """
    execute = options.get("execute")
    defaults = dict(execute) if isinstance(execute, dict) else {}
    defaults |= {key: options[key] for key in SHARED if key in options}
    if all(isinstance(part, str) for part in parts):
        return "".join(str(part) for part in parts)  # a page without code needs no kernel
    from plateaus.render import kernel

    text = []
    with kernel.running(project, env) as python:
        for number, part in enumerate(parts):
            if isinstance(part, Cell):
                chosen = {**defaults, **part.options}
                made = []
                if chosen.get("eval", True) is not False and part.code:
                    made = python.cell(part, may_fail=bool(chosen.get("error", False)))
                text.append(outputs.cell(part.code, made, chosen, project, f"cell-{number}"))
            elif isinstance(part, Inline):
                text.append(outputs.inline(python.inline(part)))
            else:
                text.append(part)
    return "".join(text)
