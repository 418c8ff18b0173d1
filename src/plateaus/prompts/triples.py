"""Triples: three words that continue one context, for the map of plateaus."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from plateaus.prompts.pairs import NATURAL, SUITE, Pair

CORNERS = 3


class Triple(NamedTuple):
    """Three words in one context.

    Attributes:
        id: The words, joined by hyphens.
        context: The context.
        words: The words, corner by corner.
        ends: For each word, the id of a pair that has it, and the end (a or b) at which the pair has it.
        fine: Whether the triple is drawn, on the fine grid; the others are only measured, on the coarse one.
    """

    id: str
    context: str
    words: tuple[str, ...]
    ends: tuple[tuple[str, str], ...]
    fine: bool


def choose(pairs: Sequence[Pair], settings: Mapping[str, Any], seed: int) -> list[Triple]:
    """Return the triples of a run: one of the prompt table, and some of the suite's natural words.

    The table's triple has the first three words of the first context that has so many; it is drawn. The suite's
    contexts, and the words in each, are taken in the order of a hash, so that nothing about them is looked at. The
    first `map.triples` contexts with three words are measured on the coarse grid, and the first `map.shown` are drawn.

    Args:
        pairs: The pairs of the run.
        settings: The section `map` of the config.
        seed: Seed of the order.
    """
    in_order = sorted(pairs, key=lambda pair: pair.id)  # the order of a table's rows does not matter
    own = [pair for pair in in_order if SUITE not in pair.labels]
    natural = [pair for pair in in_order if {SUITE, NATURAL} <= set(pair.labels)]
    first = [_triple(context, words, fine=True) for context, words in _words(own).items() if len(words) >= CORNERS][:1]
    known = {context: words for context, words in _words(natural).items() if len(words) >= CORNERS}
    drawn: dict[str, Triple] = {}  # by their words, of which no two triples have the same three
    for context in _shuffled(known, seed):
        words = {word: known[context][word] for word in _shuffled(known[context], seed)}
        triple = _triple(context, words, fine=False)
        drawn.setdefault(triple.id, triple)
    coarse = list(drawn.values())[: settings["triples"]]
    shown = [one._replace(fine=True) for one in drawn.values() if one.id not in {own.id for own in first}]
    return [*first, *shown[: settings["shown"]], *coarse]


def _words(pairs: Sequence[Pair]) -> dict[str, dict[str, tuple[str, str]]]:
    """Return, by context, each word with a pair and an end that has it, in the order in which they come."""
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for pair in pairs:
        for end, word in (("a", pair.a), ("b", pair.b)):
            found.setdefault(pair.context, {}).setdefault(word, (pair.id, end))
    return found


def _triple(context: str, words: Mapping[str, tuple[str, str]], *, fine: bool) -> Triple:
    chosen = list(words)[:CORNERS]
    return Triple("-".join(chosen), context, tuple(chosen), tuple(words[word] for word in chosen), fine)


def _shuffled(words: Iterable[str], seed: int) -> list[str]:
    return sorted(words, key=lambda word: hashlib.sha256(f"{seed}:triple:{word}".encode()).hexdigest())
