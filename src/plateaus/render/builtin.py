"""The built-in renderer: cells by nbclient, the page by pandoc with a filter for what Quarto adds to Markdown."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plateaus.render import cells, source
from plateaus.render.error import RenderError

HERE = Path(__file__).parent
READER = "markdown+emoji-tex_math_single_backslash"
PANDOC_SECONDS = 300
SHOWN = ("title", "subtitle", "author", "date", "abstract", "lang")


def pandoc() -> str:
    """The path of the pandoc that pypandoc carries."""
    import pypandoc

    return str(pypandoc.get_pandoc_path())


def pandoc_version() -> str:
    """Its version."""
    import pypandoc

    return str(pypandoc.get_pandoc_version())


def render_builtin(project: Path, env: Mapping[str, str], metadata: Mapping[str, str]) -> Path:
    """Render `index.qmd` in `project` and return the page.

    Raises:
        RenderError: a cell failed, pandoc did, or a cross-reference leads nowhere.
    """
    options, text = source.read_options(project)
    options |= metadata
    execute = options.get("execute") or {}
    defaults = {**execute, **{key: options[key] for key in ("code-fold", "code-summary") if key in options}}
    text = cells.run(source.split(source.shortcodes(text, options)), project, env, defaults)
    (project / "page.md").write_text(text, encoding="utf-8")
    shown = {key: options[key] for key in SHOWN if key in options}
    shown |= {"toc-title": options.get("toc-title", "Contents"), "link-citations": True}
    # As files to include, since metadata is read as Markdown, which would set quotation marks in a script.
    for tag, suffix in (("style", "css"), ("script", "js")):
        content = (HERE / f"page.{suffix}").read_text(encoding="utf-8")
        (project / f"page-{tag}.html").write_text(f"<{tag}>\n{content}</{tag}>\n", encoding="utf-8")
    (project / "metadata.json").write_text(json.dumps(shown), encoding="utf-8")
    command = [
        pandoc(), "page.md", "--from", READER, "--to", "html5", "--standalone", "--output", "page.html",
        "--template", str(HERE / "page.html"), "--metadata-file", "metadata.json",
        "--lua-filter", str(HERE / "quarto.lua"), "--embed-resources", "--section-divs", "--wrap", "none",
        "--include-in-header", "page-style.html", "--include-after-body", "page-script.html",
    ]  # fmt: skip
    command += _flags(options)
    try:
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=PANDOC_SECONDS)
    except subprocess.TimeoutExpired:
        raise RenderError(f"pandoc did not make the page within {PANDOC_SECONDS} seconds") from None
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    unresolved = [line.split("unresolved reference ", 1)[1] for line in lines if "unresolved reference " in line]
    if unresolved:
        raise RenderError(
            f"the page refers to {', '.join(sorted(set(unresolved)))}, which is nowhere defined: correct it"
        )
    wrong = [line for line in lines if "Could not fetch" in line or "citeproc: citation" in line.lower()]
    if done.returncode != 0 or wrong:
        raise RenderError(f"pandoc could not make the page: {(wrong or lines or ['it said nothing'])[-1]}")
    return project / "page.html"


def _flags(options: Mapping[str, Any]) -> list[str]:
    flags = []
    if options.get("bibliography"):
        flags += ["--citeproc", "--bibliography", str(options["bibliography"])]
    if options.get("toc"):
        flags += ["--toc", "--toc-depth", str(options.get("toc-depth", 3))]
    if options.get("number-sections"):
        flags.append("--number-sections")
    if options.get("html-math-method") == "mathml":
        flags.append("--mathml")
    css = options.get("css") or []
    for path in [css] if isinstance(css, str) else css:
        flags += ["--css", str(path)]
    return flags
