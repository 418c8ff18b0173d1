"""A document's options as pandoc takes them."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

# What the template and the filters read; of everything else pandoc is told by flags, or it means nothing here.
SHOWN = (
    "title", "subtitle", "abstract", "abstract-title", "lang", "keywords", "nocite", "rendered-by", "pagetitle",
    "fig-cap-location", "tbl-cap-location", "reference-section-title", "suppress-bibliography",
)  # fmt: skip


def shown(options: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of the page."""
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
    """An author's name, from a string or from Quarto's mapping."""
    name = given.get("name", "") if isinstance(given, Mapping) else given
    if isinstance(name, Mapping):
        name = name.get("literal") or " ".join(str(name[key]) for key in ("given", "family") if key in name)
    return str(name)


def date(given: object, language: str) -> str:
    """A date written out, as Quarto does; what is no date is left as it is."""
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
    """Command-line options for pandoc."""
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
    """`html-math-method`, which may be a mapping."""
    return given.get("method") if isinstance(given, Mapping) else given


def listed(given: object) -> list[Any]:
    """One value as a list, and a list as it is."""
    return given if isinstance(given, list) else [given]
