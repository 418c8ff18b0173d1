"""Formatting of words and numbers for captions and alt texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from plateaus.curves.sharpness import Sharpness


def number(value: float, digits: int = 2) -> str:
    """Format a number of the order of one with fixed decimals and a true minus sign, but never as minus zero."""
    text = f"{value:.{digits}f}"
    return text.replace("-", "" if float(text) == 0 else "−")


def significant(value: float) -> str:
    """Format a positive number of any size to two significant digits, without an exponent if it is readable so."""
    if value == 0:
        return "0"
    return f"{value:.2g}" if not 1e-4 <= abs(value) < 1e5 else f"{float(f'{value:.2g}'):,.10g}"


def power(value: float) -> str:
    """Format a small positive number as a digit times a power of ten, in Markdown; 0 stays 0."""
    digit, _, exponent = f"{value:.0e}".partition("e")
    return f"${digit} \\times 10^{{{int(exponent)}}}$" if value > 0 else "0"


def listed(parts: Iterable[str], last: str = "and") -> str:
    """Join items as `a, b and c`; no items give `none`."""
    items = list(parts)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}" if items else "none"


def layers(numbers: Iterable[int]) -> str:
    """Format consecutive layers as `0 to 28`, and other layers as a list."""
    found = sorted(numbers)
    if len(found) > 2 and found == list(range(found[0], found[-1] + 1)):
        return f"{found[0]} to {found[-1]}"
    return listed(map(str, found))


def plural(count: int, noun: str) -> str:
    """Format a count with its noun: `1 step`, `2 steps`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def escape(text: str) -> str:
    """Escape text so that Markdown shows it unchanged; line ends become spaces."""
    return re.sub(r"([\\`*_{}\[\]<>#$@~^|!\"'&])", r"\\\1", text.replace("\n", " "))


def crossings(measured: Sharpness[float]) -> str:
    """Say in words where a curve passes 0.1, 0.5 and 0.9."""
    alphas = (measured.alpha10, measured.midpoint, measured.alpha90)
    return f"passes 0.1, 0.5 and 0.9 at alpha {listed(number(alpha) for alpha in alphas)}"


def shortened(text: str, length: int, *, keep_end: bool = False) -> str:
    """Shorten text to at most `length` characters, with an ellipsis where it was cut.

    Args:
        text: Any text.
        length: Largest number of characters, ellipsis included.
        keep_end: True to cut the beginning of the text, False to cut its end.
    """
    if len(text) <= length:
        return text
    if not keep_end:
        return text[: length - 1].rstrip() + "…"
    kept = text[-length + 1 :]
    # Start at the beginning of a word if there is a space.
    return "…" + (kept.partition(" ")[2] or kept)


def each(items: Sequence[tuple[str, str]]) -> str:
    """Join names and what is said about each of them: `[a → b]: this; [c → d]: that.`."""
    return "; ".join(f"{name}: {said}" for name, said in items) + "."
