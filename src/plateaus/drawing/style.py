"""How figures look and how they are saved: one style, and the same bytes for the same drawing.

Sizes are chosen for the narrowest screen: a figure is drawn 5.8 inches wide with text of 10.6 points, so that on a
phone, which shows it 358 pixels wide, the text is still 9 pixels high.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

import matplotlib
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from plateaus.data.tables import atomic_path

WIDTH = 5.8
"""Width of a figure, in inches."""
TEXT = 10.6
"""Size of all text in points; nothing on a figure is smaller."""

INK = "#222222"
GREY = "#767676"
PALE = "#d9d9d9"
COLOUR_A = "#0b5394"
COLOUR_B = "#b45309"
"""The colours of A and B differ in lightness in print, and can be told apart with all common kinds of colour vision."""

CATEGORIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c6d00", "#56b4e9", "#444444")
"""The colours of Okabe and Ito, with yellow darkened so that it is readable on white."""
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)))
"""Line styles, used in turn so that lines do not differ by colour alone."""

PARAMETERS: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib
    "font.size": TEXT,
    "axes.titlesize": TEXT,
    "axes.labelsize": TEXT,
    "xtick.labelsize": TEXT,
    "ytick.labelsize": TEXT,
    "legend.fontsize": TEXT,
    "figure.titlesize": TEXT,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.4,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "text.parse_math": False,  # the words of a prompt may contain dollar signs
    "svg.fonttype": "path",
    "savefig.facecolor": "white",
}


@contextlib.contextmanager
def applied() -> Iterator[None]:
    """Apply Matplotlib's defaults with this style inside a `with` block."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(cast(Any, PARAMETERS))  # the stubs list every key
        yield


def write(figure: Figure, path: Path, *, salt: str, dpi: int) -> None:
    """Write a figure atomically as SVG or PNG, without a time, a version or a random id in the file.

    Args:
        figure: The figure.
        path: The file to write; its suffix gives the format.
        salt: Salt for the hashed ids inside an SVG, so that two figures in one page do not share ids.
        dpi: Resolution of a PNG file.
    """
    kind = path.suffix[1:]
    metadata: dict[str, Any] = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    hashed = hashlib.sha256(salt.encode()).hexdigest()[:16]
    with applied(), matplotlib.rc_context({"svg.hashsalt": hashed}), atomic_path(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=dpi, metadata=metadata)


def layer_colours(colormap: str, layers: list[int]) -> ScalarMappable:
    """Map layers to colours, without the last tenth of the colour map, which is hard to see on white."""
    whole = matplotlib.colormaps[colormap]
    part = ListedColormap(whole([0.9 * step / 255 for step in range(256)]), name=f"{colormap}-dark")
    low, high = min(layers), max(layers)
    return ScalarMappable(Normalize(low, high if high > low else low + 1), part)


@cache
def _characters() -> frozenset[int]:
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(font_manager.findfont("DejaVu Sans")).get_charmap())


def drawable(text: str, *, space: str = " ") -> str:
    """Return text that the font of the figures can draw.

    Line ends and tabs become symbols such as ⏎, and other characters that the font lacks become their code point.

    Args:
        text: Any text.
        space: Replacement for each space at the beginning or the end of the text.
    """
    inner = text.strip(" ")
    ends = len(text) - len(text.lstrip(" ")), (len(text) - len(text.rstrip(" "))) if inner else 0
    named = {"\n": "⏎", "\r": "␍", "\t": "⇥"}
    shown = [
        named[letter] if letter in named else letter if ord(letter) in _characters() else f"U+{ord(letter):04X}"
        for letter in inner
    ]
    return space * ends[0] + "".join(shown) + space * ends[1]
