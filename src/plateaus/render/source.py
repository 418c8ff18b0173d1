"""Read a Quarto document: its options, includes, shortcodes, cells and inline expressions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from plateaus.render.error import RenderError

FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
INCLUDE = re.compile(r"^\s*\{\{<\s*include\s+[\"']?([^\"'>]+?)[\"']?\s*>\}\}\s*$")
SHORTCODE = re.compile(r"\{\{\{<(.*?)>\}\}\}|\{\{<\s*meta\s+(\S+?)\s*>\}\}")
PAGEBREAK = re.compile(r"^\s*\{\{<\s*pagebreak\s*>\}\}\s*$")
FENCE = re.compile(r"^\s*(`{3,}|~{3,})\s*([^`]*?)\s*$")
CELL = re.compile(r"^\{python(?:[ ,][^}]*)?\}$")
# Quarto's own rule: an inline expression is on one line and does not follow another backtick.
INLINE = re.compile(r"(?<!`)`\{python\}[ \t]([^`\n]+)`")
DEEPEST = 20


class Line(NamedTuple):
    """A line of the document, with the file and the line number that it comes from."""

    text: str
    file: str
    number: int


class Cell(NamedTuple):
    """A Python cell: its code without option lines, its options, and the line that opens it."""

    code: str
    options: dict[str, Any]
    where: Line

    @property
    def name(self) -> str:
        """What an error message calls the cell: its file, its label if it has one, and its line."""
        label = self.options.get("label")
        return f"{self.where.file}: the cell {f'{label} ' if label else ''}in line {self.where.number}"


class Inline(NamedTuple):
    """An inline expression and the line that it is on."""

    expression: str
    where: Line


Part = str | Cell | Inline


def read(project: Path, metadata: Mapping[str, str]) -> tuple[dict[str, Any], list[Part]]:
    """Return the merged options of `_quarto.yml`, the front matter and `metadata`, and the parts of the document.

    Raises:
        RenderError: A file cannot be read, options are not valid YAML, or a file includes itself.
    """
    index = project / "index.qmd"
    text = read_text(index, index)
    front = FRONT_MATTER.match(text)
    options: dict[str, Any] = {}
    config = project / "_quarto.yml"
    if config.is_file():
        options = flat(config.name, read_text(config, config))
    if front:
        options = merge(options, flat(index.name, front[1]))
    options = {**options, **metadata}
    lines = include(text, index, project, front[0].count("\n") if front else 0)
    return options, split(shortcodes(lines, options))


def flat(name: str, text: str) -> dict[str, Any]:
    """Parse one source of options, and merge those under `format: html:` into the top level."""
    try:
        options = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise RenderError(f"{name} is not YAML: {str(error).splitlines()[-1].strip()}") from None
    if not isinstance(options, dict):
        raise RenderError(f"{name}: options must be a mapping of names to values")
    formats = options.pop("format", None)
    html = formats.get("html") if isinstance(formats, dict) else None
    return merge(options, html) if isinstance(html, dict) else options


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge `over` into a copy of `base`: mappings are merged, lists are joined, and other values are replaced."""
    merged = dict(base)
    for key, value in over.items():
        known = merged.get(key)
        if isinstance(known, dict) and isinstance(value, dict):
            value = merge(known, value)
        elif isinstance(known, list) and isinstance(value, list):
            value = known + [one for one in value if one not in known]
        merged[key] = value
    return merged


def read_text(path: Path, source: Path) -> str:
    """Return the text of a file; `source`, the file that asks for it, is named in the error."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise RenderError(f"{source.name}: {path.name} does not exist or is not UTF-8 text") from None


def include(text: str, path: Path, project: Path, skip: int = 0, depth: int = 0) -> list[Line]:
    """Return the lines of a document, with each include replaced by the lines of the included file.

    Args:
        text: The text of the document.
        path: The path of the document. Included paths are relative to its folder, or to the project folder if they
            begin with a slash.
        project: The project folder.
        skip: The number of lines of front matter, which are left out.
        depth: The number of includes that lead to this document.

    Raises:
        RenderError: An included file does not exist or cannot be read, or a file includes itself.
    """
    name = path.relative_to(project).as_posix() if path.is_relative_to(project) else path.name
    lines: list[Line] = []
    for number, line in enumerate(text.splitlines(keepends=True)[skip:], start=skip + 1):
        match = INCLUDE.match(line)
        if match is None:
            lines.append(Line(line, name, number))
            continue
        included = project / match[1][1:] if match[1].startswith("/") else path.parent / match[1]
        if not included.is_file():
            raise RenderError(f"{name}, line {number}: the included file {match[1]} does not exist: correct its path")
        if depth >= DEEPEST:
            raise RenderError(f"{name}, line {number}: {match[1]} is included within itself: remove one include")
        content = read_text(included, path)
        front = FRONT_MATTER.match(content)
        lines += include(content, included, project, front[0].count("\n") if front else 0, depth + 1)
        if lines and not lines[-1].text.endswith("\n"):
            lines[-1] = lines[-1]._replace(text=lines[-1].text + "\n")
    return lines


def shortcodes(lines: Sequence[Line], options: Mapping[str, Any]) -> list[Line]:
    """Return the lines with `meta` and `pagebreak` shortcodes replaced, and escaped shortcodes without the escape."""

    def replace(match: re.Match[str]) -> str:
        if match[1] is not None:
            return f"{{{{<{match[1]}>}}}}"
        value: Any = options
        for key in match[2].split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        return f"?meta:{match[2]}" if value is None else str(value)

    replaced = []
    for line in lines:
        text = SHORTCODE.sub(replace, line.text)
        if PAGEBREAK.match(text):
            text = '\n<div class="pagebreak"></div>\n\n'
        replaced.append(line._replace(text=text))
    return replaced


def split(lines: Sequence[Line]) -> list[Part]:
    """Split the document into Markdown, cells and inline expressions, in order; other fenced code stays Markdown."""
    parts: list[Part] = []
    rest = iter(lines)
    for line in rest:
        fence = FENCE.match(line.text)
        if fence is None:
            parts += _inline(line)
            continue
        body = list(_fenced(rest, fence[1]))
        if CELL.match(fence[2]):
            parts.append(_cell([one.text for one in body[:-1]], line))
        elif fence[2].startswith("{{"):
            parts.append(_shown_cell(line.text, [one.text for one in body]))
        else:
            parts.append("".join([line.text, *(one.text for one in body)]))
    return parts


def _fenced(lines: Iterator[Line], opening: str) -> Iterator[Line]:
    """Yield the lines up to and including the one that closes a fence."""
    closing = re.compile(rf"^\s*{re.escape(opening[0])}{{{len(opening)},}}\s*$")
    for line in lines:
        yield line
        if closing.match(line.text):
            return


def _shown_cell(opening: str, body: Sequence[str]) -> str:
    """Return a cell with doubled braces as Markdown that shows the cell and its fence; it is not run."""
    text = "".join([opening.replace("{{", "{").replace("}}", "}"), *body])
    around = "`" * (2 + opening.count("`"))
    return f"{around}\n{text.rstrip()}\n{around}\n"


def _inline(line: Line) -> Iterator[Part]:
    position = 0
    for match in INLINE.finditer(line.text):
        yield line.text[position : match.start()]
        yield Inline(match[1].strip(), line)
        position = match.end()
    yield line.text[position:]


def _cell(body: Sequence[str], where: Line) -> Cell:
    count = next((number for number, line in enumerate(body) if not re.match(r"#\s*\|", line)), len(body))
    text = "".join(re.sub(r"^#\s*\| ?", "", line) for line in body[:count])
    try:
        options = yaml.safe_load(text) or {}
    except yaml.YAMLError:
        options = None
    if not isinstance(options, dict):
        raise RenderError(f"{where.file}, line {where.number}: the cell's options (#|) are not YAML: correct them")
    return Cell("".join(body[count:]).strip("\n"), options, where)
