"""Check that a config holds only values that can be hashed, written as JSON and given on a command line.

YAML knows more than that: dates, sets, bytes, keys that are not text, numbers without end, and values that contain
themselves. This is checked before the schema, which takes a config for granted that JSON could hold.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from typing import Any

from plateaus.errors import InputError

MOST = 100_000
"""Most values in a config. A value that contains itself, by an anchor of YAML, has more than any number."""
DEEPEST = 20
"""Most levels of keys and lists inside each other; the schema has five."""
LARGEST = 2**63
"""Whole numbers are smaller than this, because Parquet files and the libraries hold them in 64 bits."""
HIDDEN = {"Cc", "Cs"}
"""Unicode categories that cannot be in a file's name or in a message: control characters and halves of surrogates."""


def check_values(raw: Mapping[str, Any]) -> None:
    """Check every key and value of a config.

    Args:
        raw: The config as read from YAML.

    Raises:
        InputError: names the first key that is wrong, and says how to mend it.
    """
    waiting: list[tuple[str, int, Any]] = [("", 0, raw)]
    seen = 0
    while waiting:
        where, depth, value = waiting.pop()
        seen += 1
        if seen > MOST or depth > DEEPEST:
            raise InputError(
                f"config: it has more than {MOST} values or {DEEPEST} levels, or a value that contains itself, near "
                f"{where}: shorten its lists, and look at its anchors (&) and aliases (*)"
            )
        if isinstance(value, dict):
            for key in value:
                _check_key(where, key)
            inside = [(f"{where}.{key}" if where else key, depth + 1, inner) for key, inner in value.items()]
            waiting += reversed(inside)
        elif isinstance(value, list):
            inside = [(f"{where}.{number}", depth + 1, inner) for number, inner in enumerate(value[: MOST + 1])]
            waiting += reversed(inside)
        elif problem := _problem(value):
            raise InputError(f"config: {where} {problem}")


def _check_key(where: str, key: object) -> None:
    place = f"a key of {where}" if where else "a key at the top level"
    if not isinstance(key, str):
        raise InputError(f"config: {place} is {_shown(key)}, which is not text: put it in quotes, or correct it")
    if problem := _problem(key):
        raise InputError(f"config: {place} {problem}")


def _problem(value: object) -> str | None:
    """Say what is wrong with a value that is neither a dictionary nor a list, or return None."""
    if isinstance(value, str):
        bad = next((sign for sign in value if unicodedata.category(sign) in HIDDEN), None)
        if bad is None:
            return None
        if bad == "\n":
            return "has a line break: write it in one line (in YAML, '>-' in place of '>' or '|')"
        return f"has the character {bad!a}, which cannot be shown or be in a path: remove it"
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int):
        return None if abs(value) < LARGEST else "is a whole number of more than 63 bits: choose a smaller one"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"is {value}, which is not a finite number: give a number"
    return (
        f"is {_shown(value)}, which YAML reads as {type(value).__name__} and not as text or a number: put it in quotes"
    )


def _shown(value: object) -> str:
    try:
        return str(value)
    except ValueError:  # a whole number with thousands of digits
        return "a number too long to be shown"
