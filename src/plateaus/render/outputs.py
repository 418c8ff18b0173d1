"""Turn a cell and its outputs into Markdown."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from plateaus.render.kernel import ANSI

SPECIAL = re.compile(r"([\\`*_{}\[\]()>#+!|~^$@<-])")
# The printed value of a last line such as `axes.plot(...)`, which is not shown beside the picture that it drew.
DRAWING = re.compile(r"^(\[?\(?<matplotlib|Text\(|<Axes|<Figure|\(?array\(\[<)")


def escape(text: str) -> str:
    """Escape text so that Markdown shows it unchanged."""
    return SPECIAL.sub(r"\\\1", text)


def inline(outputs: Sequence[Any]) -> str:
    """Format the value of an inline expression: Markdown and HTML unchanged, text escaped and without its quotes."""
    data: Mapping[str, str] = next((one.data for one in outputs if one.output_type == "execute_result"), {})
    if "text/markdown" in data:
        return str(data["text/markdown"])
    if "text/html" in data:
        return f"`{data['text/html']}`{{=html}}"
    plain = str(data.get("text/plain", "None"))
    if plain[:1] in {"'", '"'} and plain[-1:] == plain[:1]:
        import ast

        plain = str(ast.literal_eval(plain))
    return escape(plain)


def cell(code: str, outputs: Sequence[Any], options: Mapping[str, Any], folder: Path, name: str) -> str:
    """Return the Markdown of a cell: its code, folded or not, and its outputs, as a figure or table if it has a label.

    Args:
        code: The code without its option lines.
        outputs: The outputs that the kernel returned.
        options: The options of the cell, with those of the document as defaults.
        folder: The folder in which pictures are written.
        name: The beginning of the file names of those pictures.
    """
    if options.get("include") is False:
        return ""
    shown = _code(code, options) if options.get("echo", True) is not False and code else ""
    wanted = options.get("output", True)
    if wanted is False:
        return f"\n\n{shown}\n\n" if shown else ""
    pictures = [one for one in outputs if _picture(one)]
    kept = [one for one in outputs if options.get("warning", True) or one.get("name") != "stderr"]
    if pictures:
        kept = [one for one in kept if _picture(one) or not DRAWING.match(one.get("data", {}).get("text/plain", ""))]
    label = str(options.get("label", ""))
    alone = len(pictures) == 1 and len(kept) == 1
    parts = []
    for place, output in enumerate(kept):
        number = pictures.index(output) if output in pictures else 0
        parts.append(_output(output, _caption(options, label, alone, number), wanted, folder, f"{name}-{place}"))
    body = "\n\n".join(part for part in parts if part)
    kind = label[:4] if label[:4] in {"fig-", "tbl-"} else ""
    if body and kind and not alone:
        layout = "".join(f" {key}={quoted(options[key])}" for key in ("layout-ncol", "layout-nrow") if key in options)
        caption = options.get("fig-cap" if kind == "fig-" else "tbl-cap") or ""
        body = f":::::: {{#{label}{layout}}}\n\n{body}\n\n{caption if isinstance(caption, str) else ''}\n\n::::::"
    return "\n\n".join(["", *filter(None, [shown, body]), ""])


def quoted(value: object) -> str:
    """Quote a value as an attribute in Markdown."""
    text = " ".join(str(value).split())
    return '"' + text.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"') + '"'


def fenced(text: str, attributes: str) -> str:
    """Put text into a fenced block, with a fence longer than any run of backticks in the text."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{attributes}\n{text.rstrip()}\n{fence}"


def _code(code: str, options: Mapping[str, Any]) -> str:
    block = fenced(code, "{.python .cell-code}")
    if not options.get("code-fold"):
        return block
    state = " open" if options["code-fold"] == "show" else ""
    opening = f'<details class="code-fold"{state}><summary>{options.get("code-summary", "Code")}</summary>'
    return f"{fenced(opening, '{=html}')}\n\n{block}\n\n{fenced('</details>', '{=html}')}"


def _picture(output: Any) -> bool:
    data = output.get("data", {})
    return "text/markdown" not in data and ("image/svg+xml" in data or "image/png" in data)


def _caption(options: Mapping[str, Any], label: str, alone: bool, number: int) -> dict[str, str]:
    """Return the caption, id and alternative text of the picture with this number."""
    caption, alt = options.get("fig-cap", ""), options.get("fig-alt", "")
    if not alone:
        parts = options.get("fig-subcap") or []
        own = caption if isinstance(caption, list) else parts
        caption = own[number] if isinstance(own, list) and number < len(own) else ""
    of_this = alt[number] if isinstance(alt, list) and number < len(alt) else alt
    identifier = label if alone and label.startswith("fig-") else ""
    if not alone and caption and label.startswith("fig-"):
        identifier = f"{label}-{number + 1}"
    return {"caption": str(caption), "id": identifier, "alt": of_this if isinstance(of_this, str) else ""}


def _output(output: Any, picture: Mapping[str, str], wanted: object, folder: Path, name: str) -> str:
    if output.output_type == "stream":
        text = str(output.text)
        # A warning is never Markdown, even in a cell whose printed output is.
        if wanted == "asis" and output.name == "stdout":
            return text
        return fenced(ANSI.sub("", text), "{.cell-output}")
    if output.output_type == "error":
        return fenced(f"{output.ename}: {ANSI.sub('', output.evalue)}", "{.cell-output}")
    data = output.get("data", {})
    if "text/markdown" in data:
        return str(data["text/markdown"])
    for kind, suffix in (("image/svg+xml", "svg"), ("image/png", "png")):
        if kind in data:
            content = data[kind].encode() if suffix == "svg" else base64.b64decode(data[kind])
            (folder / f"{name}.{suffix}").write_bytes(content)
            size = output.get("metadata", {}).get(kind, {})
            attributes = [f"#{picture['id']}"] if picture["id"] else []
            attributes += [f"fig-alt={quoted(picture['alt'])}"] if picture["alt"] else []
            attributes += [f"{side}={size[side]}" for side in ("width", "height") if side in size]
            return f"![{picture['caption']}]({name}.{suffix}){{{' '.join(attributes)}}}"
    if "text/html" in data:
        return fenced(str(data["text/html"]), "{=html}")
    if "text/plain" in data:
        return str(data["text/plain"]) if wanted == "asis" else fenced(str(data["text/plain"]), "{.cell-output}")
    return ""
