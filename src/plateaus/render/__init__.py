"""A Quarto project to one self-contained page: by Quarto where there is one, else by a renderer faithful to it."""

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
"""What earlier renderings leave in a project's folder."""


def render(
    project: Path,
    output: Path,
    *,
    renderer: Literal["auto", "quarto", "builtin"] = "auto",
    env: Mapping[str, str] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> str:
    """Render `index.qmd` of a Quarto project, in a copy of it, so that two renderings never meet in one folder.

    Args:
        project: The folder with `_quarto.yml` and `index.qmd`.
        output: The page, written whole or not at all.
        renderer: ``quarto``, ``builtin``, or ``auto``: Quarto where there is one.
        env: Added to the environment of the cells.
        metadata: Document metadata, above that of the document; `rendered-by`, what made the page, is added.

    Returns:
        What made the page, with its version.

    Raises:
        InputError: Quarto is asked for and not there.
        RenderError: a cell failed, or a cross-reference leads nowhere.
    """
    from plateaus.data.tables import atomic_path  # brings pyarrow

    if not (project / "index.qmd").is_file():
        raise InputError(f"{project} is no Quarto project: it has no index.qmd")
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
