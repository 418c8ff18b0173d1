"""Convert a document's options to the metadata and flags of pandoc."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

# The options that the template and the filters read. Other options become flags for pandoc or have no effect here.
SHOWN = (
    "title", "subtitle", "abstract", "abstract-title", "lang", "keywords", "nocite", "rendered-by", "pagetitle",
    "fig-cap-location", "tbl-cap-location", "reference-section-title", "suppress-bibliography",
)  # fmt: skip


def shown(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of the page."""
    metadata = {key: options[key] for key in SHOWN if options.get(key) is not None}
    metadata |= {
        "toc-title": options.get("toc-title", "Contents"),
        "abstract-title": options.get("abstract-title", "Abstract"),
        "link-citations": options.get("link-citations", True),
    }
    if options.get("author"):
        metadata["author"] = [author(one) for one in listed(options["author"])]
    if options.get("date"):
        metadata["date"] = date(options["date"], str(options.get("lang", "en")))
    return metadata


def author(given: object) -> str:
    """Return an author's name, given as a string or as Quarto's mapping."""
    name = given.get("name", "") if isinstance(given, Mapping) else given
    if isinstance(name, Mapping):
        name = name.get("literal") or " ".join(str(name[key]) for key in ("given", "family") if key in name)
    return str(name)


def date(given: object, language: str) -> str:
    """Write a date out in words, as Quarto does; text that is not a date is returned unchanged."""
    if given == "today":
        given = datetime.date.today()
    try:
        day = given if isinstance(given, datetime.date) else datetime.date.fromisoformat(str(given))
    except ValueError:
        return str(given)
    if not language.startswith("en"):
        return day.strftime("%Y-%m-%d")
    american = language in {"en", "en-US"}
    return day.strftime(f"%B {day.day}, %Y" if american else f"{day.day} %B %Y")


def flags(options: Mapping[str, Any]) -> list[str]:
    """Return the command-line options for pandoc."""
    given = []
    if options.get("bibliography"):
        given.append("--citeproc")
        for path in listed(options["bibliography"]):
            given += ["--bibliography", str(path)]
        if options.get("csl"):
            given += ["--csl", str(options["csl"])]
    if options.get("toc"):
        given += ["--toc", "--toc-depth", str(options.get("toc-depth", 3))]
    if options.get("number-sections"):
        given.append("--number-sections")
    if method(options.get("html-math-method")) == "mathml":
        given.append("--mathml")
    for path in listed(options.get("css") or []):
        given += ["--css", str(path)]
    return given


def method(given: object) -> object:
    """Return the value of `html-math-method`, which may be given as a mapping."""
    return given.get("method") if isinstance(given, Mapping) else given


def listed(given: object) -> list[Any]:
    """Return a list unchanged, and any other value as a list of one."""
    return given if isinstance(given, list) else [given]
