"""Real Quarto: finding one that works, and calling it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from plateaus.render.error import RenderError


class Quarto(NamedTuple):
    """A Quarto that answers."""

    path: str
    version: str


def find_quarto() -> Quarto | None:
    """The Quarto named by QUARTO_PATH, on PATH, or beside this interpreter; None when none of them runs."""
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
    """Run `quarto render index.qmd` in `project` and return the page.

    Raises:
        RenderError: with the last line that says what went wrong.
    """
    command = [quarto.path, "render", "index.qmd", "--to", "html", "--output", "page.html"]
    for name, value in metadata.items():
        command += ["-M", f"{name}:{value}"]
    environment = {**os.environ, **env, "QUARTO_PYTHON": sys.executable}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    page = next((path for path in (project / "page.html", project / "_site" / "page.html") if path.is_file()), None)
    if done.returncode != 0 or page is None:
        lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        telling = [line for line in lines if "Error" in line or "ERROR" in line] or lines or ["it said nothing"]
        raise RenderError(f"quarto render failed: {telling[-1]}")
    return page
