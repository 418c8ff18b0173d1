"""The prompt suite is balanced, natural by its words' classes, has one token per word, and is what the builder makes."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from plateaus.errors import InputError
from plateaus.prompts import depth, suite, vocabularies
from plateaus.prompts.pairs import NATURAL, Pair, read_pairs
from plateaus.prompts.sampling import PER_CONTROL, natural_of, pairs_of, sample

POST = "config/prompts/post.tsv"


@pytest.fixture(scope="module")
def folder(root):
    return root / "config/prompts"


@pytest.fixture(scope="module")
def pairs(folder):
    return read_pairs(folder / suite.TABLE)


@pytest.fixture(scope="module")
def natural(pairs):
    return [pair for pair in pairs if NATURAL in pair.labels]


@pytest.fixture(scope="module")
def contexts(folder):
    return {context.text: context for context in suite.read_contexts(folder)}


@pytest.fixture(scope="module")
def tokenizers():
    return vocabularies.both()


# ---- contexts, words and pairs -----------------------------------------------------------------------------------


def test_contexts_are_many_and_have_many_words_of_several_classes(contexts):
    drawn = [context for context in contexts.values() if context.words]
    assert len(drawn) >= 24
    assert len({context.kind.split(",")[0] for context in drawn}) >= 6
    for context in drawn:
        assert len(context.words) >= 20, context.name
        assert len({word.kind for word in context.words}) >= 2, context.name


def test_natural_pairs_are_balanced_and_repeat_no_word_in_a_context(natural, contexts):
    assert len(natural) == 240
    drawn = {text: context for text, context in contexts.items() if context.words}
    assert Counter(pair.context for pair in natural) == dict.fromkeys(drawn, 2 * suite.PER_KIND)
    for context in drawn.values():
        own = [pair for pair in natural if pair.context == context.text]
        assert Counter(pair.labels[2] for pair in own) == dict.fromkeys(suite.KINDS, suite.PER_KIND)
        words = [word for pair in own for word in (pair.a, pair.b)]
        assert len(set(words)) == len(words)
        assert not set(words) & {word.strip(",.").lower() for word in context.text.split()}
        listed = {word.text: word.kind for word in context.words}
        for pair in own:
            assert pair.labels[2] == (suite.SAME if listed[pair.a] == listed[pair.b] else suite.OTHER)
    assert len({frozenset((pair.a, pair.b)) for pair in natural}) == len(natural)


def test_each_natural_pair_has_a_match_in_a_context_where_neither_word_can_stand(pairs, natural, contexts):
    by_id = {pair.id: pair for pair in natural}
    matched = [pair for pair in pairs if natural_of(pair) is not None]
    assert sorted(natural_of(pair) for pair in matched) == sorted(by_id)
    for pair in matched:
        original = by_id[natural_of(pair)]
        assert (pair.a, pair.b, pair.labels[:3]) == (original.a, original.b, ("suite", "unnatural", original.labels[2]))
        place = contexts[pair.context]
        assert pair.context != original.context
        assert not {pair.a, pair.b} & {word.text for word in place.words}
        own = {word.text: word.kinds for word in contexts[original.context].words}
        assert not (own[pair.a] | own[pair.b]) & place.fits, pair.id
    assert max(Counter(pair.context for pair in matched).values()) < len(matched) / 4


def test_controls_have_words_of_natural_pairs(pairs, natural):
    words = {(pair.a, pair.b) for pair in natural}
    for tag in (suite.RANDOM, suite.EMPTY):
        own = [pair for pair in pairs if tag in pair.labels]
        assert len(own) == suite.PER_CONTROL
        assert {(pair.a, pair.b) for pair in own} <= words
        assert {len(pair.context.split()) for pair in own} == {suite.RANDOM_LENGTH if tag == suite.RANDOM else 0}


def test_the_published_words_are_not_in_their_own_context(pairs, root):
    published = {(p.context, word) for p in read_pairs(root / POST) for word in (p.a, p.b)}
    assert not published & {(pair.context, word) for pair in pairs for word in (pair.a, pair.b)}


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
        suite.check_tokens([Pair("x", "old", "red", "new", "suite;random-tokens")], tokenizers)


def test_the_builder_makes_the_committed_files(folder):
    for name, text in suite.build(folder).items():
        assert (folder / name).read_bytes() == text.encode(), f"{name}: run `make suite`"


def test_another_seed_draws_other_pairs(contexts, natural):
    other = suite.draw(list(contexts.values()), [], seed=2)
    words = {frozenset((pair.a, pair.b)) for pair in natural}
    assert len(words & {frozenset((pair.a, pair.b)) for pair in other if NATURAL in pair.labels}) < len(words) / 4


def small(tmp_path, words: str, contexts: str = ""):
    head = "name\tkind\tcontext\tfits\n"
    (tmp_path / suite.CONTEXTS).write_text(head + (contexts or "one\tmodal\tYou can\tlexical-verb-base;adverb\n"))
    (tmp_path / suite.WORDS).write_text(
        "context\tword\tclass\tall_classes\none\tgo\tlexical-verb-base\tlexical-verb-base\n" + words
    )
    return suite.read_contexts(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("one\tgo\tadverb\tadverb", r"words\.tsv, line 3: 'go' is already a word of this context"),
        ("one\tg-o\tadverb\tadverb", "line 3: 'g-o' is not one word"),
        ("one\tsoon\tadverb\tnoun", "line 3: the class adverb is not among noun"),
        ("one\tsoon\tadverbial\tadverbial", "line 3: 'adverbial' is not a word class"),
        ("one\tdog\tnoun\tnoun", r"contexts\.tsv, line 2: 'dog' is a noun, which is not in the last column"),
        ("two\tsoon\tadverb\tadverb", r"there is no context 'two' in contexts\.tsv"),
        ("one\tsoon", "line 3: 2 columns"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, message):
    with pytest.raises(InputError, match=message):
        small(tmp_path, line + "\n")


def test_too_few_words_and_a_context_without_contrast_are_refused(tmp_path, contexts):
    with pytest.raises(InputError, match="context one: too few words for 4 same-class pairs"):
        suite.draw(small(tmp_path, ""), [])
    (first, *_) = contexts.values()
    with pytest.raises(InputError, match="there is no context where neither word can stand"):
        suite.draw([first], [])


# ---- sampling ----------------------------------------------------------------------------------------------------


def test_a_larger_sample_holds_the_smaller_one(natural):
    whole = sample(natural, len(natural), 0)
    assert sorted(whole) == sorted(natural)
    for size in (0, 1, 48, 96):
        assert sample(natural, size, 0) == whole[:size]


@pytest.mark.parametrize("size", [10, 48, 96, 200])
def test_a_sample_is_even(natural, size):
    drawn = sample(natural, size, 0)
    for key, most in (
        (lambda pair: (pair.context, pair.tags), 1),
        (lambda pair: pair.context, 1),
        (lambda pair: pair.tags, 2),
    ):
        counts = Counter(dict.fromkeys(map(key, natural), 0))
        counts.update(map(key, drawn))
        assert max(counts.values()) - min(counts.values()) <= most


def test_a_sample_follows_from_the_seed_and_not_from_the_order(natural):
    assert sample(natural[::-1], 48, 0) == sample(natural, 48, 0)
    assert set(sample(natural, 48, 1)) != set(sample(natural, 48, 0))


def section(folder, **changes):
    default = {"table": folder / "post.tsv", "suite": folder / suite.TABLE, "sample": "all", "deep": 48, "seed": 0}
    return {**default, **changes}


@pytest.mark.parametrize(("size", "deep", "went"), [(96, 48, 48), (96, "all", 96), (24, 48, 24), (96, 0, 0)])
def test_a_run_has_the_table_the_natural_pairs_their_matches_and_controls(folder, natural, size, deep, went):
    post = read_pairs(folder / "post.tsv")
    found = pairs_of(section(folder, sample=size, deep=deep))
    assert found[: len(post)] == post
    drawn = found[len(post) : len(post) + size]
    assert [pair._replace(tags=pair.tags.removesuffix(";deep")) for pair in drawn] == sample(natural, size, 0)
    assert [depth.DEEP in pair.labels for pair in drawn] == [True] * went + [False] * (size - went)
    others = found[len(post) + size :]
    assert {natural_of(pair) for pair in others if natural_of(pair)} == {pair.id for pair in drawn}
    controls = [pair for pair in others if natural_of(pair) is None]
    assert Counter(pair.labels[1] for pair in controls) == dict.fromkeys(
        (suite.RANDOM, suite.EMPTY), size // PER_CONTROL
    )


def test_without_a_suite_or_a_sample_there_is_the_table_alone(folder):
    post = read_pairs(folder / "post.tsv")
    assert pairs_of(section(folder, suite="")) == post == pairs_of(section(folder, sample=0))


def test_how_deep_a_pair_goes():
    own, deep, wide = (Pair("x", "The", "a", "b", tags) for tags in ("", "suite;natural;deep", "suite;natural"))
    every = {"stride": 2, "trace_layer": 1, "trained": True}
    assert [depth.layers_of(pair, [0, 1, 2, 3, 4], **every) for pair in (own, deep, wide)] == [
        [0, 1, 2, 3, 4],
        [0, 1, 2, 4],
        [1],
    ]
    untrained = {**every, "trained": False}
    other = Pair("x", "The", "a", "b", "suite;random-tokens")
    assert [depth.layers_of(pair, [0, 1, 2], **untrained) for pair in (own, deep, wide, other)] == [
        [0, 1, 2],
        [1],
        [1],
        [],
    ]
    assert depth.layers_of(other, [0, 1, 2], **every) == [1]
    stages = ("freeze", "jacobian", "spline")
    into = {
        (pair.tags, trained): [stage for stage in stages if depth.goes_into(pair, stage, trained=trained)]
        for pair in (own, deep, wide)
        for trained in (True, False)
    }
    assert list(into.values()) == [[*stages], [*stages], [*stages], ["spline"], [], []]


def test_what_is_wrong_with_a_suite_is_said(folder, tmp_path):
    with pytest.raises(InputError, match=r"prompts\.sample is 241 but .* has only 240 natural pairs"):
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
    assert pairs_of(section(folder, suite=edited))


def test_the_manifest_counts_what_is_there(folder, pairs, contexts):
    found = json.loads((folder / suite.MANIFEST).read_text())
    assert found["pairs"] == len(pairs) == sum(found["pairs_per_tags"].values())
    assert [entry["name"] for entry in found["contexts"]] == [context.name for context in contexts.values()]
    unnatural = Counter(pair.context for pair in pairs if suite.UNNATURAL in pair.labels)
    assert [entry["unnatural_pairs"] for entry in found["contexts"]] == [unnatural[text] for text in contexts]
