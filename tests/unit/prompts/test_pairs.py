"""Prompt pairs: which pairs are accepted, how they are assigned to shards, and what the messages say."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from plateaus.errors import InputError
from plateaus.prompts.pairs import (
    Pair,
    Reader,
    check_pair,
    checked_pair,
    pairs_digest,
    read_pairs,
    shard_of,
    split,
    tokenise,
    tokenise_with_file,
)

PAIRS = [
    Pair(f"p{number}", "The house was", "big", word, "") for number, word in enumerate(["in", "on", "at", "by", "of"])
]


def encode(text: str) -> list[int]:
    """Give each known word its own token, and unknown words a token by their first letter."""
    known = ["The", "house", "was", "big", "in", "on", "at", "by", "of"]
    return [known.index(word) if word in known else 100 + ord(word[0]) for word in text.split(" ") if word]


def test_the_shipped_table_holds_the_posts_pairs(root):
    pairs = read_pairs(root / "config/prompts/post.tsv")
    assert [(pair.id, pair.prompt(pair.a), pair.prompt(pair.b)) for pair in pairs] == [
        ("house-big-in", "The house was big", "The house was in"),
        ("house-big-large", "The house was big", "The house was large"),
    ]


def test_a_pair_is_one_prefix_and_two_last_tokens():
    found = tokenise(PAIRS[0], Reader(encode, str))
    assert (found.prefix, found.token_a, found.token_b) == ((0, 1, 2), 3, 4)


def test_a_prefix_that_is_read_differently_before_the_word_is_refused():
    def merges(text: str) -> list[int]:
        return encode(text.replace("was big", "wasbig"))

    with pytest.raises(InputError, match="pair 'p0': 'The house was big' is read by this model as"):
        tokenise(PAIRS[0], Reader(merges, str))


def test_two_words_that_are_one_token_are_refused():
    with pytest.raises(InputError, match="same token"):
        tokenise(Pair("x", "The house was", "zebra", "zoo", ""), Reader(encode, str))


def test_a_pairs_shard_follows_from_its_id_alone():
    for shards in (1, 2, 7):
        parts = split(PAIRS, shards)
        assert sorted(pair for part in parts.values() for pair in part) == sorted(PAIRS)
        for name, part in parts.items():
            assert {shard_of(pair.id, shards) for pair in part} == {name}
        fewer = split(PAIRS[1:], shards)
        changed = [name for name in parts if fewer.get(name) != parts[name]]
        assert changed == [shard_of("p0", shards)]


def test_the_digest_sees_content_and_not_order():
    assert pairs_digest(PAIRS) == pairs_digest(PAIRS[::-1])
    assert pairs_digest(PAIRS) != pairs_digest([PAIRS[0]._replace(a="small"), *PAIRS[1:]])


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path):
    (tmp_path / "t.tsv").write_bytes("﻿id\tcontext\ta\tb\ttags\r\nx\tThe\tbig\tin\tt\r\n".encode())
    assert read_pairs(tmp_path / "t.tsv") == [Pair("x", "The", "big", "in", "t")]


def test_a_table_that_is_not_text_and_a_tokenizer_that_is_none_are_named(tmp_path):
    (tmp_path / "pairs.tsv").write_bytes(b"id\tcontext\ta\tb\ttags\nx\tThe \xff\n")
    with pytest.raises(InputError, match=r"pairs\.tsv cannot be read .*save it as UTF-8"):
        read_pairs(tmp_path / "pairs.tsv")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match=r"model m: .*tokenizer\.json cannot be read as a tokenizer"):
        tokenise_with_file([Pair("x", "The", "a", "b", "")], tmp_path / "tokenizer.json", "m")


def test_a_sixth_column_says_what_stands_before_the_words(tmp_path):
    header = "id\tcontext\ta\tb\ttags\tseparator\n"
    (tmp_path / "t.tsv").write_text(header + "x\t東京は\t大\t小\t\t\ny\tThe\tbig\tin\t\t \n", encoding="utf-8")
    without, spaced = read_pairs(tmp_path / "t.tsv")
    assert without.prompt("大") == "東京は大"
    assert spaced == Pair("y", "The", "big", "in", "")
    assert pairs_digest([without]) != pairs_digest([without._replace(separator=" ")])


@pytest.mark.parametrize(
    ("pair", "told"),
    [
        (Pair("x", "The", "big", "in", "", "-"), "the separator is '-', which is neither empty nor a space"),
        (Pair("x", "The ", "big", "in", ""), "the context ends in a space: remove it"),
    ],
)
def test_what_joins_context_and_word_is_a_space_or_nothing(pair, told):
    with pytest.raises(InputError, match=told):
        check_pair(pair, "line 1")
    check_pair(Pair("x", "The ", "big", "in", "", ""), "line 1")  # the space belongs to the context


UNKNOWN = {
    "WordLevel": lambda: models.WordLevel({"<unk>": 0, "The": 1, "big": 2, "in": 3}, unk_token="<unk>"),
    "Unigram": lambda: models.Unigram([("<unk>", 0.0), ("The", -1.0), ("big", -1.0), ("in", -1.0)], unk_id=0),
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_text_that_the_tokenizer_does_not_know_is_refused(kind, tmp_path):
    tokenizer = Tokenizer(UNKNOWN[kind]())
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (found,) = tokenise_with_file([Pair("x", "The", "big", "in", "")], tmp_path / "tokenizer.json", "m")
    assert found.prefix == (1,)
    for pair, told in (
        (Pair("x", "The", "big", "zebra", ""), "model m, pair 'x': the tokenizer does not know the word 'zebra'"),
        (Pair("x", "Zebra", "big", "in", ""), "model m, pair 'x': the tokenizer does not know part of the context"),
    ):
        with pytest.raises(InputError, match=told):
            tokenise_with_file([pair], tmp_path / "tokenizer.json", "m")


def test_the_pair_that_models_are_checked_on_does_not_depend_on_order_or_on_the_suite():
    suite = [Pair(f"s{number}", "The house was", "big", "in", "suite") for number in range(9)]
    chosen = checked_pair([*PAIRS, *suite])
    assert chosen in PAIRS
    assert checked_pair([*suite, *PAIRS[::-1]]) == chosen
    assert checked_pair(suite) in suite
