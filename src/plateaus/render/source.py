"""Reading a Quarto document: options, includes, shortcodes, cells and inline expressions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from plateaus.render.error import RenderError

FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
INCLUDE = re.compile(r"^\{\{<\s*include\s+(\S+)\s*>\}\}\s*$", re.MULTILINE)
META = re.compile(r"\{\{<\s*meta\s+(\S+?)\s*>\}\}")
PAGEBREAK = re.compile(r"^\{\{<\s*pagebreak\s*>\}\}\s*$", re.MULTILINE)
CELL = re.compile(r"^```\{python\}[^\n]*\n(.*?)^```[ \t]*$", re.DOTALL | re.MULTILINE)
FENCE = re.compile(r"^(`{3,}|~{3,})(?!\{python\}).*?^\1[ \t]*$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`\{python\}\s+([^`]+)`")


class Cell(NamedTuple):
    """A Python cell: its code without option lines, and its options."""

    code: str
    options: dict[str, Any]


class Inline(NamedTuple):
    """An inline expression."""

    expression: str


Part = str | Cell | Inline


def read_options(project: Path) -> tuple[dict[str, Any], str]:
    """The merged options of `_quarto.yml` and the front matter, and the document with its includes."""
    options: dict[str, Any] = {}
    text = (project / "index.qmd").read_text(encoding="utf-8")
    front = FRONT_MATTER.match(text)
    sources = [(project / "_quarto.yml").read_text(encoding="utf-8")] if (project / "_quarto.yml").is_file() else []
    sources += [front[1]] if front else []
    for source in sources:
        loaded = yaml.safe_load(source) or {}
        html = (loaded.pop("format", None) or {}).get("html") or {}
        options |= {**loaded, **(html if isinstance(html, dict) else {})}
    return options, include(text[front.end() :] if front else text, project, project / "index.qmd")


def include(text: str, folder: Path, source: Path, depth: int = 0) -> str:
    """The text with every included file in the place of its shortcode; paths are relative to the including file."""

    def read(match: re.Match[str]) -> str:
        path = folder / match[1]
        if depth > 20 or not path.is_file():
            raise RenderError(f"{source.name}: the included file {match[1]} does not exist: correct its path")
        return include(path.read_text(encoding="utf-8"), path.parent, path, depth + 1)

    return INCLUDE.sub(read, text)


def shortcodes(text: str, metadata: Mapping[str, Any]) -> str:
    """The text with `meta` and `pagebreak` shortcodes replaced."""
    text = META.sub(lambda match: str(metadata.get(match[1], f"?meta:{match[1]}")), text)
    return PAGEBREAK.sub('\n```{=html}\n<div class="pagebreak"></div>\n```\n', text)


def split(text: str) -> list[Part]:
    """The document as Markdown, cells and inline expressions, in order; other fenced code is left alone."""
    parts: list[Part] = []
    position = 0
    while position < len(text):
        found = [match for match in (CELL.search(text, position), FENCE.search(text, position)) if match]
        first = min(found, key=lambda match: match.start(), default=None)
        end = first.start() if first else len(text)
        parts += _inline(text[position:end])
        if first is None:
            break
        parts.append(_cell(first[1]) if first.re is CELL else first[0])
        position = first.end()
    return parts


def _inline(text: str) -> list[Part]:
    parts: list[Part] = []
    position = 0
    for match in INLINE.finditer(text):
        parts += [text[position : match.start()], Inline(match[1].strip())]
        position = match.end()
    return [*parts, text[position:]]


def _cell(body: str) -> Cell:
    lines = body.splitlines()
    count = next((number for number, line in enumerate(lines) if not line.startswith("#|")), len(lines))
    options = yaml.safe_load("\n".join(line[2:].lstrip() for line in lines[:count])) or {}
    return Cell("\n".join(lines[count:]).strip("\n"), options)
