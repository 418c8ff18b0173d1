"""Find a working installation of Quarto and run it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import yaml

from plateaus.render import includes, quarto_log
from plateaus.render.source import FRONT_MATTER


class Quarto(NamedTuple):
    """An installation of Quarto that runs: its path and its version."""

    path: str
    version: str


def find_quarto() -> Quarto | None:
    """Return the first Quarto that runs of QUARTO_PATH, PATH and this interpreter's folder, or None."""
    beside = shutil.which("quarto", path=str(Path(sys.executable).parent))
    for path in (os.environ.get("QUARTO_PATH"), shutil.which("quarto"), beside):
        if not path:
            continue
        try:
            done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=60, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        version = done.stdout.strip()
        if done.returncode == 0 and version[:1].isdigit():
            return Quarto(path, version.splitlines()[-1])
    return None


def render_with_quarto(quarto: Quarto, project: Path, env: Mapping[str, str], metadata: Mapping[str, str]) -> Path:
    """Run `quarto render index.qmd` in `project` and return the path of the page.

    Args:
        quarto: The Quarto to run.
        project: A copy of the project folder, in which the front matter of `index.qmd` is rewritten.
        env: Variables to add to Quarto's environment.
        metadata: Document metadata that overrides the document's own.

    Raises:
        RenderError: Quarto failed, or the page is not complete; see `plateaus.render.quarto_log`.
    """
    cells = quarto_log.cells_of(project)
    _set_front_matter(project / "index.qmd", metadata)
    # --output takes only a file name; Quarto writes the page into the project or into its output folder.
    command = [quarto.path, "render", "index.qmd", "--to", "html", "--output", "page.html"]
    for name, value in metadata.items():
        if _plain(value):
            command += ["-M", f"{name}:{value}"]
    header, footer = includes.write(project, ("tabs",))
    command += ["--include-in-header", header, "--include-after-body", footer]
    environment = {**os.environ, **env, "QUARTO_PYTHON": sys.executable}
    done = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, encoding="utf-8", check=False
    )
    output = f"{done.stdout}\n{done.stderr}"
    page = next((path for path in (project / "page.html", project / "_site" / "page.html") if path.is_file()), None)
    if done.returncode != 0 or page is None:
        quarto_log.check_failure(output, cells)
    assert page is not None
    quarto_log.check_page(output, page)
    return page


def _plain(value: str) -> bool:
    """Say whether YAML reads the value as the same string; `-M title:A title: with a colon` gives a mapping."""
    try:
        return bool(yaml.safe_load(value) == value)
    except yaml.YAMLError:
        return False


def _set_front_matter(index: Path, metadata: Mapping[str, str]) -> None:
    """Write the metadata into the front matter, which can hold any value; `index` is in a copy of the project."""
    text = index.read_text(encoding="utf-8")
    front = FRONT_MATTER.match(text)
    try:
        options = (yaml.safe_load(front[1]) if front else None) or {}
    except yaml.YAMLError:
        return  # Quarto itself reports what is wrong with it
    if isinstance(options, dict):
        written = yaml.safe_dump({**options, **metadata}, sort_keys=False, allow_unicode=True)
        index.write_text(f"---\n{written}---\n{text[front.end() :] if front else text}", encoding="utf-8")
