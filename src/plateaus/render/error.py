"""The error that is raised when a page cannot be rendered."""

from __future__ import annotations

from plateaus.errors import InputError


class RenderError(InputError):
    """A cell of the page failed, Quarto or pandoc failed, or a cross-reference leads nowhere."""
