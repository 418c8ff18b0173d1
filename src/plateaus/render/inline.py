"""What an inline expression becomes in the text; runs in the page's kernel."""

from __future__ import annotations

import json
import re

SPECIAL = re.compile(r"([\\`*_{}\[\]()>#+!|~^$@<-])")


def as_markdown(value: object) -> str:
    """Markdown objects as they are; text escaped, so that it stays what it says, as Quarto does."""
    if hasattr(value, "_repr_markdown_"):
        return str(value._repr_markdown_())
    return SPECIAL.sub(r"\\\1", value) if isinstance(value, str) else str(value)


def show(value: object) -> None:
    """Print the text as JSON, for the renderer to read."""
    print(json.dumps(as_markdown(value)), end="")
