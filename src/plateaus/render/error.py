"""What goes wrong while a page is made."""

from __future__ import annotations

from plateaus.errors import InputError


class RenderError(InputError):
    """A cell of the page failed, Quarto or pandoc did, or a cross-reference leads nowhere."""
