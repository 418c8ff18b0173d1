"""Batches: pairs that go through the model together, because they share a prefix."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


def batches(items: Sequence[T], *, alike: Callable[[T], Any], most: Callable[[T], int]) -> Iterator[list[T]]:
    """Yield the items in lists of items that are alike.

    Args:
        items: In any order; items that are alike keep their order.
        alike: What all items of a list have in common; it must be possible to sort by it.
        most: The largest number of items in a list, from its first item.
    """
    for _, group in itertools.groupby(sorted(items, key=alike), alike):
        listed = list(group)
        several = max(1, most(listed[0]))
        yield from (listed[start : start + several] for start in range(0, len(listed), several))
