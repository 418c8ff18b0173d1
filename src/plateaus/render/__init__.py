"""Render a Quarto project to one self-contained page, by Quarto if it is installed and else by a built-in renderer."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from plateaus.errors import InputError
from plateaus.render.error import RenderError
from plateaus.render.quarto import find_quarto, render_with_quarto

__all__ = ["RenderError", "find_quarto", "render"]

LEFT = (".quarto", ".jupyter_cache", "_site", "_freeze", "index.html", "index_files")
"""Names of files and folders that earlier renderings leave in a project; they are not copied."""


def render(
    project: Path,
    output: Path,
    *,
    renderer: Literal["auto", "quarto", "builtin"] = "auto",
    env: Mapping[str, str] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> str:
    """Render `index.qmd` of a Quarto project, in a copy of the project so that two renderings never share a folder.

    Args:
        project: The folder with `_quarto.yml` and `index.qmd`.
        output: Path of the page, which is written completely or not at all.
        renderer: ``quarto``, ``builtin``, or ``auto``, which uses Quarto if it is installed.
        env: Variables to add to the environment of the cells.
        metadata: Document metadata that overrides the document's own; `rendered-by`, the name of the renderer, is
            added to it.

    Returns:
        The name of the renderer, with its version.

    Raises:
        InputError: The folder has no `index.qmd`, or Quarto is asked for but no working Quarto was found.
        RenderError: A cell failed, Quarto or pandoc failed, or a cross-reference leads nowhere.
    """
    from plateaus.data.tables import atomic_path  # imported here because it loads pyarrow

    if not (project / "index.qmd").is_file():
        raise InputError(f"{project} is not a Quarto project: it has no index.qmd")
    quarto = find_quarto() if renderer != "builtin" else None
    if renderer == "quarto" and quarto is None:
        raise InputError("no working quarto was found on PATH: install Quarto, or use report.renderer auto or builtin")
    with tempfile.TemporaryDirectory(prefix="plateaus-render-") as temporary:
        copy = Path(temporary) / "project"
        shutil.copytree(project, copy, ignore=shutil.ignore_patterns(*LEFT))
        if quarto is not None:
            name = f"Quarto {quarto.version}"
            page = render_with_quarto(quarto, copy, env or {}, {**(metadata or {}), "rendered-by": name})
        else:
            from plateaus.render.builtin import pandoc_version, render_builtin

            name = f"the built-in renderer (pandoc {pandoc_version()})"
            page = render_builtin(copy, env or {}, {**(metadata or {}), "rendered-by": name})
        with atomic_path(output) as path:
            shutil.copyfile(page, path)
    return name
