"""Running a document's cells and inline expressions in one kernel, and what they give as Markdown."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from plateaus.render.error import RenderError
from plateaus.render.source import Cell, Inline, Part

SETUP = "from plateaus.render.inline import show as _show_inline"


def run(parts: Sequence[Part], project: Path, env: Mapping[str, str], defaults: Mapping[str, Any]) -> str:
    """Run everything in order and put the results in its place.

    Args:
        parts: The document.
        project: The working directory of the kernel.
        env: Added to the kernel's environment.
        defaults: The document's `execute` options and `code-fold`, `code-summary`.

    Raises:
        RenderError: naming the cell and the last line of its error.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError

    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(SETUP)]
    for part in parts:
        if isinstance(part, Inline):
            notebook.cells.append(nbformat.v4.new_code_cell(f"_show_inline({part.expression})"))
        elif isinstance(part, Cell) and part.options.get("eval", True):
            notebook.cells.append(nbformat.v4.new_code_cell(part.code))
    client = NotebookClient(
        notebook, timeout=1200, kernel_name="python3", resources={"metadata": {"path": str(project)}}
    )
    before = dict(os.environ)
    os.environ.update(env)
    try:
        client.execute()
    except CellExecutionError as error:
        where = next((cell for cell in notebook.cells if _failed(cell)), None)
        code = "" if where is None else where.source.strip().splitlines()[-1]
        last = [line for line in re.sub(r"\x1b\[[0-9;]*m", "", str(error)).splitlines() if line.strip()][-1]
        raise RenderError(f"the page's cell that ends in `{code}` failed: {last.strip()}") from None
    except CellTimeoutError:
        raise RenderError("a cell of the page ran for more than 20 minutes") from None
    finally:
        os.environ.clear()
        os.environ.update(before)
    outputs = iter(notebook.cells[1:])
    text = []
    for number, part in enumerate(parts):
        if isinstance(part, str):
            text.append(part)
        elif isinstance(part, Inline):
            text.append(json.loads("".join(output.get("text", "") for output in next(outputs).outputs) or '""'))
        else:
            made = next(outputs).outputs if part.options.get("eval", True) else []
            text.append(_shown(part, made, {**defaults, **part.options}, project, number))
    return "".join(text)


def _failed(cell: Any) -> bool:
    return any(output.output_type == "error" for output in cell.get("outputs", []))


def _shown(cell: Cell, outputs: Sequence[Any], options: Mapping[str, Any], project: Path, number: int) -> str:
    if options.get("include") is False:
        return ""
    parts = []
    if options.get("echo", True) and cell.code:
        parts.append(f"```{{.python .cell-code}}\n{cell.code}\n```")
        if options.get("code-fold"):
            state = " open" if options["code-fold"] == "show" else ""
            summary = options.get("code-summary", "Code")
            parts = [
                f'```{{=html}}\n<details class="code-fold"{state}><summary>{summary}</summary>\n```',
                *parts,
                "```{=html}\n</details>\n```",
            ]
    if options.get("output", True) is not False:
        for place, output in enumerate(outputs):
            parts.append(_output(output, options, project, f"cell-{number}-{place}"))
    return "\n\n".join(["", *filter(None, parts), ""])


def _output(output: Any, options: Mapping[str, Any], project: Path, name: str) -> str:
    if output.output_type == "stream":
        if output.name == "stderr" and not options.get("warning", True):
            return ""
        return str(output.text) if options.get("output") == "asis" else f"```\n{output.text}\n```"
    data = output.get("data", {})
    if "text/markdown" in data:
        return str(data["text/markdown"])
    if "image/svg+xml" in data or "image/png" in data:
        suffix, content = (
            ("svg", data["image/svg+xml"].encode())
            if "image/svg+xml" in data
            else ("png", base64.b64decode(data["image/png"]))
        )
        (project / f"{name}.{suffix}").write_bytes(content)
        label = options.get("label", "")
        attributes = [f"#{label}"] if str(label).startswith("fig-") else []
        attributes += [f'fig-alt="{options["fig-alt"]}"'] if "fig-alt" in options else []
        return f"![{options.get('fig-cap', '')}]({name}.{suffix}){{{' '.join(attributes)}}}"
    if "text/html" in data:
        return f"```{{=html}}\n{data['text/html']}\n```"
    return f"```\n{data['text/plain']}\n```" if "text/plain" in data else ""
