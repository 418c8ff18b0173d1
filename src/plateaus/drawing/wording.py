"""Words and numbers as they are written in captions and alt texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from plateaus.curves.sharpness import Sharpness


def number(value: float, digits: int = 2) -> str:
    """A number of the order of one, with a fixed number of decimals; a minus sign and never minus zero."""
    text = f"{value:.{digits}f}"
    return text.replace("-", "" if float(text) == 0 else "−")


def significant(value: float) -> str:
    """A positive number of any size, to two significant digits and without an exponent where that is readable."""
    if value == 0:
        return "0"
    return f"{value:.2g}" if not 1e-4 <= abs(value) < 1e5 else f"{float(f'{value:.2g}'):,.10g}"


def listed(parts: Iterable[str], last: str = "and") -> str:
    """`a, b and c`."""
    items = list(parts)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}" if items else "none"


def layers(numbers: Iterable[int]) -> str:
    """`0 to 28` for a run of layers, otherwise all of them."""
    found = sorted(numbers)
    if len(found) > 2 and found == list(range(found[0], found[-1] + 1)):
        return f"{found[0]} to {found[-1]}"
    return listed(map(str, found))


def plural(count: int, noun: str) -> str:
    """`1 step`, `2 steps`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def escape(text: str) -> str:
    """Text that stays as it is in Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>#$@~^|!\"'&])", r"\\\1", text.replace("\n", " "))


def crossings(measured: Sharpness[float]) -> str:
    """Where a curve passes .1, .5 and .9."""
    alphas = (measured.alpha10, measured.midpoint, measured.alpha90)
    return f"passes 0.1, 0.5 and 0.9 at alpha {listed(number(alpha) for alpha in alphas)}"


def shortened(text: str, length: int, *, keep_end: bool = False) -> str:
    """Text of at most `length` characters, with an ellipsis where something was cut off."""
    if len(text) <= length:
        return text
    if not keep_end:
        return text[: length - 1].rstrip() + "…"
    kept = text[-length + 1 :]
    # From the beginning of a word, where there is one.
    return "…" + (kept.partition(" ")[2] or kept)


def each(items: Sequence[tuple[str, str]]) -> str:
    """What is said of each of several things: `[a → b]: this; [c → d]: that.`."""
    return "; ".join(f"{name}: {said}" for name, said in items) + "."
