"""The prompt suite is balanced, repeats no word in a context, has one token per word, and is what the builder makes."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from plateaus.errors import InputError
from plateaus.prompts import suite, vocabularies
from plateaus.prompts.pairs import Pair, read_pairs
from plateaus.prompts.sampling import pairs_of, sample

POST = "config/prompts/post.tsv"


@pytest.fixture(scope="module")
def folder(root):
    return root / "config/prompts"


@pytest.fixture(scope="module")
def pairs(folder):
    return read_pairs(folder / suite.TABLE)


@pytest.fixture(scope="module")
def lexicon(folder):
    return suite.read_lexicon(folder / suite.LEXICON)


@pytest.fixture(scope="module")
def tokenizers():
    return vocabularies.both()


def by_context(pairs: list[Pair]) -> dict[str, list[Pair]]:
    return {context: [pair for pair in pairs if pair.context == context] for context in {p.context for p in pairs}}


# ---- lexicon and table -------------------------------------------------------------------------------------------


def test_the_lexicon_is_wide(lexicon):
    assert len(lexicon) >= 20
    assert min(len(group.words) for group in lexicon) >= 12
    assert {group.part_of_speech for group in lexicon} == {"noun", "verb", "adjective", "adverb", "preposition"}
    words = [word for group in lexicon for word in group.words]
    assert len(set(words)) == len(words)


def test_every_context_has_every_stratum_equally_often(pairs):
    assert len(pairs) >= 240
    contexts = by_context(pairs)
    assert len(contexts) == len(suite.NATURAL) + 2
    assert len(suite.NATURAL) >= 8
    for found in contexts.values():
        assert len({pair.tags.split(";")[2] for pair in found}) == 1
        strata = Counter(pair.tags.split(";")[1] for pair in found)
        assert strata == dict.fromkeys(suite.STRATA, suite.PER_STRATUM)
    kinds = Counter(found[0].tags.split(";")[2] for found in contexts.values())
    assert kinds == {"natural": len(suite.NATURAL), "random-tokens": 1, "empty": 1}


def test_no_word_is_in_two_pairs_of_a_context_or_in_the_context(pairs):
    for context, found in by_context(pairs).items():
        words = [word for pair in found for word in (pair.a, pair.b)]
        assert len(set(words)) == len(words)
        assert not set(words) & {word.strip(",").lower() for word in context.split()}


def test_the_published_words_are_not_in_their_own_context(pairs, root):
    published = {(p.context, word) for p in read_pairs(root / POST) for word in (p.a, p.b)}
    assert {context for context, _ in published} <= {pair.context for pair in pairs}
    assert not published & {(pair.context, word) for pair in pairs for word in (pair.a, pair.b)}


def test_a_pairs_stratum_is_that_of_its_words(pairs, lexicon):
    group = {word: found for found in lexicon for word in found.words}
    for pair in pairs:
        a, b = group[pair.a], group[pair.b]
        same = "same-class" if a == b else "same-pos" if a.part_of_speech == b.part_of_speech else "cross-pos"
        assert pair.tags.split(";")[:2] == ["suite", same], pair.id
        assert pair.id == f"suite-{suite.pair_name(pair)}-{pair.a}-{pair.b}"


def test_no_part_of_speech_is_rare(pairs, lexicon):
    speech = {word: found.part_of_speech for found in lexicon for word in found.words}
    counts = Counter(speech[word] for pair in pairs for word in (pair.a, pair.b))
    assert max(counts.values()) < 1.3 * min(counts.values())


@pytest.mark.parametrize("name", sorted(vocabularies.SOURCES))
def test_every_word_is_one_token(pairs, tokenizers, name):
    suite.check_tokens(pairs, {name: tokenizers[name]})
    for pair in pairs:
        prefix = tokenizers[name].encode(pair.context).ids
        for word in (pair.a, pair.b):
            (token,) = tokenizers[name].encode(f" {word}").ids
            assert tokenizers[name].encode(pair.prompt(word)).ids == [*prefix, token], pair.id


def test_the_vocabularies_are_those_of_the_models(tokenizers):
    """The expected ids are those that the models' own tokenizers give."""
    text = "The house was big in large"
    assert tokenizers["gpt2"].encode(text).ids == [464, 2156, 373, 1263, 287, 1588]
    assert tokenizers["gpt2"].get_vocab_size() == 50257
    assert tokenizers["smollm2"].encode(text).ids == [504, 2291, 436, 2066, 281, 1507]
    assert tokenizers["smollm2"].get_vocab_size() == 49152


def test_a_word_of_two_tokens_is_refused(tokenizers):
    with pytest.raises(InputError, match=r"tokenizer gpt2, pair 'x'.*in place of 'zebrafish'"):
        suite.check_tokens([Pair("x", "The house was", "old", "zebrafish", "")], {"gpt2": tokenizers["gpt2"]})
    with pytest.raises(InputError, match="choose another seed"):
        suite.check_tokens([Pair("x", "old", "red", "new", "suite;same-pos;random-tokens")], tokenizers)


def test_the_builder_makes_the_committed_files(folder):
    for name, text in suite.build(folder).items():
        assert (folder / name).read_bytes() == text.encode(), f"{name}: run `make suite`"


def test_another_seed_draws_other_pairs(lexicon, pairs):
    other = suite.draw(lexicon, [], seed=2)
    assert len(other) == len(pairs)
    assert len(set(other) & set(pairs)) < len(pairs) / 10


def test_too_small_a_lexicon_is_refused(lexicon):
    with pytest.raises(InputError, match=r"only \d+ same-class pairs, and 8 are needed"):
        suite.draw(lexicon[:7], [])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("dog\tnoun\tpet", "line 3: 'dog' is already in the lexicon"),
        ("Cat\tnoun\tanimal", "line 3: 'Cat' is not one word"),
        ("cat\tverb\tanimal", "line 3: class 'animal' is noun in an earlier line"),
        ("cat\tnoun", "line 3: 2 columns"),
    ],
)
def test_a_wrong_line_of_the_lexicon_is_named(tmp_path, line, message):
    path = tmp_path / "lexicon.tsv"
    path.write_text(f"word\tpart_of_speech\tclass\ndog\tnoun\tanimal\n{line}\n")
    with pytest.raises(InputError, match=message):
        suite.read_lexicon(path)


# ---- sampling ----------------------------------------------------------------------------------------------------


def test_a_larger_sample_holds_the_smaller_one(pairs):
    whole = sample(pairs, len(pairs), 0)
    assert sorted(whole) == sorted(pairs)
    for size in (0, 1, 30, 48, 100):
        assert sample(pairs, size, 0) == whole[:size]


@pytest.mark.parametrize("size", [10, 30, 48, 77, 200])
def test_a_sample_is_even(pairs, size):
    drawn = sample(pairs, size, 0)
    for key, most in (
        (lambda pair: (pair.context, pair.tags), 1),
        (lambda pair: pair.context, 1),
        (lambda pair: pair.tags.split(";")[1], 2),
    ):
        counts = Counter(dict.fromkeys(map(key, pairs), 0))
        counts.update(map(key, drawn))
        assert max(counts.values()) - min(counts.values()) <= most


def test_a_sample_follows_from_the_seed_and_not_from_the_order(pairs):
    assert sample(pairs[::-1], 48, 0) == sample(pairs, 48, 0)
    assert set(sample(pairs, 48, 1)) != set(sample(pairs, 48, 0))


def section(folder, **changes):
    default = {"table": folder / "post.tsv", "suite": folder / suite.TABLE, "sample": "all", "seed": 0}
    return {**default, **changes}


def test_a_run_has_the_table_and_the_sample(folder, pairs):
    post = read_pairs(folder / "post.tsv")
    assert pairs_of(section(folder, suite="")) == post
    assert pairs_of(section(folder, sample=0)) == post
    assert pairs_of(section(folder, sample=48)) == post + sample(pairs, 48, 0)
    assert sorted(pairs_of(section(folder))) == sorted(post + pairs)


def test_what_is_wrong_with_a_suite_is_said(folder, tmp_path):
    with pytest.raises(InputError, match=r"prompts\.sample is 241 but .* has only 240 pairs"):
        pairs_of(section(folder, sample=241))
    with pytest.raises(InputError, match=r"none\.tsv does not exist"):
        pairs_of(section(folder, suite="none.tsv"))
    with pytest.raises(InputError, match="is both in"):
        pairs_of(section(folder, table=folder / suite.TABLE))
    for name in (suite.TABLE, suite.MANIFEST):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    edited = tmp_path / suite.TABLE
    edited.write_text(edited.read_text() + "# edited\n")
    with pytest.raises(InputError, match=r"is not the table that suite\.manifest\.json describes"):
        pairs_of(section(folder, suite=edited))
    (tmp_path / suite.MANIFEST).write_text("{")
    with pytest.raises(InputError, match="cannot be read as the manifest"):
        pairs_of(section(folder, suite=edited))
    (tmp_path / suite.MANIFEST).unlink()
    assert len(pairs_of(section(folder, suite=edited))) == 242


def test_the_manifest_counts_what_is_there(folder, pairs):
    found = json.loads((folder / suite.MANIFEST).read_text())
    assert found["pairs"] == len(pairs) == sum(found["pairs_per_stratum"].values())
    assert [(entry["context"], entry["pairs"]) for entry in found["contexts"]] == [
        (context, 24) for context in dict.fromkeys(pair.context for pair in pairs)
    ]
