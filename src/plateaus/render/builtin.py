"""The built-in renderer: nbclient runs the cells, and pandoc makes the page, with filters for Quarto's Markdown."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from plateaus.render import cells, includes, page_options, source
from plateaus.render.error import RenderError

HERE = Path(__file__).parent
READER = "markdown"
PANDOC_SECONDS = 300
# The order matters: hidden content and the headings of tabs and callouts must be gone before anything is numbered.
FILTERS = ("blocks.lua", "floats.lua", "references.lua", "layout.lua")
UNRESOLVED, TWICE = "unresolved reference ", "duplicate id "


def pandoc() -> str:
    """Return the path of the pandoc that comes with pypandoc."""
    import pypandoc

    return str(pypandoc.get_pandoc_path())


def pandoc_version() -> str:
    """Return the version of that pandoc."""
    import pypandoc

    return str(pypandoc.get_pandoc_version())


def render_builtin(project: Path, env: Mapping[str, str], metadata: Mapping[str, str]) -> Path:
    """Render `index.qmd` in `project` and return the path of the page.

    Args:
        project: A copy of the project folder, in which files are written.
        env: Variables to add to the environment of the cells.
        metadata: Document metadata that overrides the document's own.

    Raises:
        RenderError: A cell failed, pandoc failed, or a cross-reference leads nowhere.
    """
    options, parts = source.read(project, metadata)
    text = cells.run(parts, project, env, options)
    (project / "page.md").write_text(text, encoding="utf-8")
    header, footer = includes.write(project, ("page", "tabs"))
    shown = page_options.shown(options)
    (project / "metadata.json").write_text(json.dumps(shown), encoding="utf-8")
    command = [
        pandoc(), "page.md", "--from", READER, "--to", "html5", "--standalone", "--output", "page.html",
        "--template", str(HERE / "page.html"), "--metadata-file", "metadata.json",
        "--embed-resources", "--section-divs", "--wrap", "none",
        "--include-in-header", header, "--include-after-body", footer,
    ]  # fmt: skip
    for name in FILTERS:  # before citeproc, which would read @fig-... as a citation
        command += ["--lua-filter", str(HERE / name)]
    command += page_options.flags(options)
    try:
        done = subprocess.run(
            command, cwd=project, capture_output=True, text=True, encoding="utf-8", check=False, timeout=PANDOC_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise RenderError(f"pandoc did not make the page within {PANDOC_SECONDS} seconds") from None
    _check(done.returncode, [line.strip() for line in done.stderr.splitlines() if line.strip()])
    return project / "page.html"


def _check(status: int, said: list[str]) -> None:
    """Raise RenderError if the page is incomplete, even if pandoc only printed a warning."""
    twice = next((line.split(TWICE, 1)[1] for line in said if TWICE in line), None)
    if twice:
        raise RenderError(f"the page uses the id {twice} twice: change one of them")
    unresolved = {line.split(UNRESOLVED, 1)[1] for line in said if UNRESOLVED in line}
    if unresolved:
        raise RenderError(f"the page refers to {', '.join(sorted(unresolved))}, which is not defined: correct it")
    wrong = [line for line in said if "Could not fetch" in line or "citeproc: citation" in line.lower()]
    if status != 0 or wrong:
        raise RenderError(f"pandoc could not make the page: {(wrong or said or ['it printed no message'])[-1]}")
