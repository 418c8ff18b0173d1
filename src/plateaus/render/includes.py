"""Styles and scripts of this package as files that pandoc and Quarto can include in a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent


def write(project: Path, names: Sequence[str]) -> tuple[str, str]:
    """Write the styles and the scripts of some names, in their order, into two files.

    They are included as files, because metadata is read as Markdown, which changes the quotation marks of a script.

    Args:
        project: The folder in which to write.
        names: Stems of the files beside this one, such as ``tabs`` for `tabs.css` and `tabs.js`.

    Returns:
        The names of the file for the head of the page and of the one for the end of its body.
    """
    written = []
    for tag, suffix in (("style", "css"), ("script", "js")):
        parts = [(HERE / f"{name}.{suffix}").read_text(encoding="utf-8") for name in names]
        file = f"plateaus-{tag}.html"
        text = "".join(f"<{tag}>\n{part}</{tag}>\n" for part in parts)
        (project / file).write_text(text, encoding="utf-8")
        written.append(file)
    header, footer = written
    return header, footer
