"""Triples are three words of one context, drawn in a seeded order, with a pair for each corner."""

from __future__ import annotations

from plateaus.prompts.pairs import Pair
from plateaus.prompts.triples import choose

SETTINGS = {"points": 4, "shown": 2, "triples": 3, "coarse_points": 3}
OWN = [
    Pair("one", "The car is", "red", "small", ""),
    Pair("house-big-in", "The house was", "big", "in", "published"),
    Pair("house-big-large", "The house was", "big", "large", "published"),
]
WORDS = "abcdefgh"


def natural(context: str, words: str) -> list[Pair]:
    return [
        Pair(f"{context}-{a}{b}", context, a, b, "suite;natural") for a, b in zip(words[::2], words[1::2], strict=True)
    ]


def test_one_triple_of_the_table_and_seeded_ones_of_the_suite():
    suite = [pair for number in range(5) for pair in natural(f"c{number}", f"{WORDS[number]}wxyz{number}")]
    unnatural = [Pair("u", "c9", "p", "q", "suite;unnatural"), Pair("v", "c9", "r", "s", "suite;unnatural")]
    few = natural("few", "uv")
    found = choose([*OWN, *suite, *unnatural, *few], SETTINGS, seed=0)
    assert found[0].id == "big-in-large"
    assert found[0].ends == (("house-big-in", "a"), ("house-big-in", "b"), ("house-big-large", "b"))
    assert [triple.fine for triple in found] == [True, True, True, False, False, False]
    drawn, coarse = found[1:3], found[3:]
    assert [one.id for one in drawn] == [one.id for one in coarse[:2]]
    assert len({one.context for one in coarse}) == 3
    by_id = {pair.id: pair for pair in suite}
    for triple in coarse:
        assert len(set(triple.words)) == 3
        for word, (pair, end) in zip(triple.words, triple.ends, strict=True):
            assert (by_id[pair].context, getattr(by_id[pair], end)) == (triple.context, word)
    # The order of the pairs does not matter, and another seed chooses others.
    assert choose([*reversed(suite), *unnatural, *few, *reversed(OWN)], SETTINGS, seed=0) == found
    assert any(
        {one.id for one in choose([*OWN, *suite], SETTINGS, seed=s)} != {one.id for one in found} for s in (1, 2)
    )


def test_without_three_words_in_a_context_there_is_no_triple():
    assert choose([OWN[0], *natural("few", "uv")], SETTINGS, seed=0) == []
