"""Draw the prompt suite: pairs of words that continue a context naturally, and the same pairs where neither word can.

    python -m plateaus.prompts.suite

writes config/prompts/suite.tsv and its manifest from contexts.tsv and words.tsv, which were written and reviewed
without running a model; config/prompts/README.md explains how, and why. The draw sorts by sha256 rather than using a
random number generator, so it is the same on every version of Python.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from plateaus.data.canonical import file_digest
from plateaus.errors import InputError
from plateaus.prompts.pairs import COLUMNS, NATURAL, Pair, Reader, read_pairs, tokenise
from plateaus.prompts.sampling import MATCH

if TYPE_CHECKING:
    from tokenizers import Tokenizer

VERSION = 2
"""Version of the drawing method; add one when the same words and seed would give other pairs."""
SEED = 0

CLASSES = frozenset({
    "noun", "plural-noun", "adjective", "comparative", "lexical-verb-past", "lexical-verb-base", "participle", "gerund",
    "modal", "auxiliary", "adverb", "preposition", "determiner", "pronoun", "conjunction", "number",
})  # fmt: skip
"""The word classes."""
PER_KIND = 4
"""Number of pairs of one kind (two words of the same class, or of two classes) in one context."""
KINDS = SAME, OTHER = ("same-class", "other-class")
UNNATURAL, RANDOM, EMPTY = "unnatural", "random-tokens", "empty"
"""Tags of the pairs that the natural ones are compared with."""
PER_CONTROL = 30
"""Number of natural pairs whose words are also put after random words, and after nothing."""
RANDOM_LENGTH = 5
"""Number of words in the random context."""

COLUMNS_OF_CONTEXTS = ("name", "kind", "context", "fits")
COLUMNS_OF_WORDS = ("context", "word", "class", "all_classes")
CONTEXTS, WORDS, PUBLISHED = "contexts.tsv", "words.tsv", "post.tsv"
TABLE, MANIFEST = "suite.tsv", "suite.manifest.json"

Item = TypeVar("Item")


class Word(NamedTuple):
    """A word that continues a context naturally.

    Attributes:
        text: The word.
        kind: Its class in this context.
        kinds: All classes that it can have.
    """

    text: str
    kind: str
    kinds: frozenset[str]


class Context(NamedTuple):
    """A context and the words that a reader accepts after it.

    Attributes:
        name: Short name, part of the ids of its pairs.
        kind: What the next word follows, such as a determiner.
        text: The context.
        fits: The classes of words that can stand after it at all.
        words: The words; empty for a context that only takes words that cannot stand after it.
    """

    name: str
    kind: str
    text: str
    fits: frozenset[str]
    words: tuple[Word, ...]


# ---- reading -----------------------------------------------------------------------------------------------------


def read_contexts(folder: Path) -> list[Context]:
    """Read contexts and words, in the order of the files, and check every line.

    Raises:
        InputError: a line is wrong; the message names the line and says how to mend it.
    """
    words: dict[str, list[Word]] = {}
    for where, (name, text, kind, all_kinds) in _lines(folder / WORDS, COLUMNS_OF_WORDS):
        word = Word(text, kind, _classes(all_kinds, where))
        if not (text.isascii() and text.isalpha()):
            raise InputError(f"{where}: '{text}' is not one word of letters from a to z: change it")
        if kind not in word.kinds:
            raise InputError(f"{where}: the class {kind} is not among {all_kinds}: add it to the last column")
        if text in {known.text for known in words.setdefault(name, [])}:
            raise InputError(f"{where}: '{text}' is already a word of this context: remove one line")
        words[name].append(word)
    found = []
    for where, (name, kind, text, fits) in _lines(folder / CONTEXTS, COLUMNS_OF_CONTEXTS):
        context = Context(name, kind, text, _classes(fits, where), tuple(words.pop(name, ())))
        for word in context.words:
            if word.kind not in context.fits:
                raise InputError(f"{where}: '{word.text}' is a {word.kind}, which is not in the last column: add it")
        found.append(context)
    if words:
        raise InputError(f"{folder / WORDS}: there is no context '{min(words)}' in {CONTEXTS}: correct the name")
    return found


def _lines(path: Path, columns: tuple[str, ...]) -> Iterable[tuple[str, list[str]]]:
    header = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("#") or not line:
            continue
        cells = line.split("\t")
        where = f"{path}, line {number}"
        if not header:
            if tuple(cells) != columns:
                raise InputError(f"{where}: the header is not the tab-separated {' '.join(columns)}")
            header = True
        elif len(cells) != len(columns):
            raise InputError(f"{where}: {len(cells)} columns instead of {len(columns)}, separated by tabs")
        else:
            yield where, cells


def _classes(text: str, where: str) -> frozenset[str]:
    found = frozenset(text.split(";"))
    if not found <= CLASSES:
        raise InputError(f"{where}: '{min(found - CLASSES)}' is not a word class: use {', '.join(sorted(CLASSES))}")
    return found


# ---- the draw ----------------------------------------------------------------------------------------------------


def shuffled(items: Iterable[Item], *key: object) -> list[Item]:
    """Return the items sorted by a hash of the key and the item, so their original order does not matter."""

    def place(item: Item) -> bytes:
        return hashlib.sha256("/".join(map(str, (*key, item))).encode()).digest()

    return sorted(items, key=place)


class Drawn(NamedTuple):
    """A natural pair as it was drawn: its context, its two words in order, and its kind, one of `KINDS`."""

    context: Context
    a: Word
    b: Word
    kind: str

    @property
    def id(self) -> str:
        """The id of the natural pair."""
        return f"{NATURAL}-{self.context.name}-{self.a.text}-{self.b.text}"


def draw(contexts: Sequence[Context], published: Iterable[Pair], seed: int = SEED) -> list[Pair]:
    """Draw all pairs of the suite.

    Args:
        contexts: The contexts with their words.
        published: The published pairs, whose words are not drawn for the context in which they were published.
        seed: Seed of the draw.

    Returns:
        `PER_KIND` natural pairs of each kind in every context, in which no word occurs twice, and no two words are a
        pair in two contexts; for each of them the same words in a context where neither can stand; and controls.

    Raises:
        InputError: a context has too few words, or there is no context where neither word of a pair can stand.
    """
    by_post: dict[str, set[str]] = {}
    for pair in published:
        by_post.setdefault(pair.context, set()).update((pair.a, pair.b))
    taken: set[frozenset[str]] = set()
    natural: list[Drawn] = []
    for context in contexts:
        if context.words:
            natural += _natural(context, by_post.get(context.text, set()), taken, seed)
    pairs = [_pair(one.id, one.context.text, one, NATURAL, one.kind) for one in natural]
    pairs += _unnatural(natural, contexts, seed)
    letters = shuffled({word.text for context in contexts for word in context.words}, seed, RANDOM)
    texts = {RANDOM: " ".join(letters[:RANDOM_LENGTH]), EMPTY: ""}
    for tag, text in texts.items():
        free = [one for one in natural if not {one.a.text, one.b.text} & set(text.split())]
        chosen = {one.id: one for one in free}
        for name in shuffled(chosen, seed, tag)[:PER_CONTROL]:
            one = chosen[name]
            pairs.append(_pair(f"{tag.split('-')[0]}-{one.a.text}-{one.b.text}", text, one, tag))
    return pairs


def _pair(name: str, text: str, one: Drawn, *tags: str) -> Pair:
    return Pair(name, text, one.a.text, one.b.text, ";".join(("suite", *tags)))


def _natural(context: Context, not_these: set[str], taken: set[frozenset[str]], seed: int) -> list[Drawn]:
    """Draw the natural pairs of one context, and add their words to `taken`.

    Classes take turns. Pairs of one class come first, since they need two words of a class.
    """
    own = {word.strip(",.").lower() for word in context.text.split()} | not_these
    key = (seed, context.name)
    order = shuffled((word.text for word in context.words if word.text not in own), *key)
    free = {word.text: word for word in context.words if word.text in order}
    found: list[Drawn] = []
    used: Counter[tuple[str, ...]] = Counter()
    for kind in KINDS:
        for _ in range(PER_KIND):
            options = [
                (a, b)
                for a, b in combinations([text for text in order if text in free], 2)
                if (free[a].kind == free[b].kind) == (kind == SAME) and frozenset((a, b)) not in taken
            ]
            if not options:
                raise InputError(f"context {context.name}: too few words for {PER_KIND} {kind} pairs: add some")
            turn = {pair: tuple(sorted(free[text].kind for text in pair)) for pair in options}
            pair = min(options, key=lambda pair: used[turn[pair]])
            used[turn[pair]] += 1
            taken.add(frozenset(pair))
            a, b = (free.pop(text) for text in shuffled(pair, *key, kind))
            found.append(Drawn(context, a, b, kind))
    return found


def _unnatural(natural: Sequence[Drawn], contexts: Sequence[Context], seed: int) -> list[Pair]:
    """Put each pair's words into a context where neither can stand, by any class that it can have."""
    count: Counter[str] = Counter()
    pairs = []
    for one in sorted(natural, key=lambda one: hashlib.sha256(f"{seed}/{one.id}".encode()).digest()):
        classes = one.a.kinds | one.b.kinds
        places = [place for place in contexts if not classes & place.fits and not _holds(place, one)]
        if not places:
            raise InputError(
                f"pair {one.id}: there is no context where neither word can stand: remove one of the words"
            )
        names = shuffled((place.name for place in places), seed, one.id)
        place = min(places, key=lambda place: (count[place.name], names.index(place.name)))
        count[place.name] += 1
        name = f"{UNNATURAL}-{place.name}-{one.a.text}-{one.b.text}"
        pairs.append(_pair(name, place.text, one, UNNATURAL, one.kind, f"{MATCH}{one.id}"))
    return sorted(pairs, key=lambda pair: [one.id for one in natural].index(pair.tags.split(MATCH)[1]))


def _holds(place: Context, one: Drawn) -> bool:
    """Return whether a context has one of a pair's words among its own words or in its text."""
    words = {word.text for word in place.words} | {word.strip(",.").lower() for word in place.text.split()}
    return bool({one.a.text, one.b.text} & words)


# ---- the files ---------------------------------------------------------------------------------------------------


def check_tokens(pairs: Sequence[Pair], tokenizers: Mapping[str, Tokenizer]) -> None:
    """Check that every word is one token after its context, and every random word one token, for every tokenizer.

    Args:
        pairs: The pairs of the suite.
        tokenizers: The tokenizers, by name.

    Raises:
        InputError: if a word is not one token; the message names the tokenizer and the word or context.
    """
    for name, tokenizer in tokenizers.items():

        def encode(text: str, tokenizer: Tokenizer = tokenizer) -> list[int]:
            return list(tokenizer.encode(text, add_special_tokens=False).ids)

        def show(token: int, tokenizer: Tokenizer = tokenizer) -> str:
            return str(tokenizer.decode([token]))

        for pair in pairs:
            try:
                prefix = tokenise(pair, Reader(encode, show)).prefix
            except InputError as error:
                raise InputError(f"tokenizer {name}, {error}") from None
            if RANDOM in pair.labels and len(prefix) != RANDOM_LENGTH:
                raise InputError(
                    f"tokenizer {name}: '{pair.context}' is {len(prefix)} tokens instead of {RANDOM_LENGTH}: "
                    "choose another seed"
                )


def table_text(pairs: Sequence[Pair]) -> str:
    """Return the text of the table, in the form that `plateaus.prompts.pairs.read_pairs` reads."""
    return "".join("\t".join(row) + "\n" for row in chain([COLUMNS], (pair[: len(COLUMNS)] for pair in pairs)))


def manifest(
    pairs: Sequence[Pair], contexts: Sequence[Context], table: str, sources: Mapping[str, str], seed: int
) -> dict[str, Any]:
    """Return the manifest: the sources of the suite with their hashes, and its numbers of pairs.

    Args:
        pairs: The pairs of the suite.
        contexts: The contexts.
        table: The text of the table.
        sources: File name to hash, of the files from which the suite was drawn.
        seed: Seed of the draw.
    """
    from plateaus.prompts.vocabularies import SOURCES

    tags = Counter(";".join(label for label in pair.labels[1:] if not label.startswith(MATCH)) for pair in pairs)
    places = {text: name for name, text in [(one.name, one.text) for one in contexts]}
    unnatural = Counter(places[pair.context] for pair in pairs if UNNATURAL in pair.labels)
    return {
        "builder": "plateaus.prompts.suite",
        "builder_version": VERSION,
        "seed": seed,
        "sources_sha256": dict(sources),
        "suite_sha256": hashlib.sha256(table.encode()).hexdigest(),
        "tokenizers": SOURCES,
        "pairs": len(pairs),
        "pairs_per_tags": dict(sorted(tags.items())),
        "contexts": [
            {
                "name": one.name,
                "kind": one.kind,
                "words": len(one.words),
                "natural_pairs": 2 * PER_KIND if one.words else 0,
                "unnatural_pairs": unnatural[one.name],
            }
            for one in contexts
        ],
    }


def build(folder: Path, seed: int = SEED) -> dict[str, str]:
    """Make the suite from the contexts, the words and the published pairs in a folder.

    Returns:
        The text of the table and of the manifest, by file name.

    Raises:
        InputError: if an input is wrong, or a word is not one token; nothing is written in any case.
    """
    from plateaus.prompts.vocabularies import both

    contexts = read_contexts(folder)
    pairs = draw(contexts, read_pairs(folder / PUBLISHED), seed)
    check_tokens(pairs, both())
    table = table_text(pairs)
    sources = {name: file_digest(folder / name) for name in (CONTEXTS, WORDS)}
    made = manifest(pairs, contexts, table, sources, seed)
    return {TABLE: table, MANIFEST: json.dumps(made, indent=2) + "\n"}


def main() -> None:
    """Write the suite and its manifest into the folder of the contexts."""
    parser = argparse.ArgumentParser(description="Draw the prompt suite from its contexts and words.")
    parser.add_argument("--folder", type=Path, default=Path("config/prompts"), help="the folder of contexts.tsv")
    parser.add_argument("--seed", type=int, default=SEED, help=f"seed of the draw ({SEED})")
    arguments = parser.parse_args()
    try:
        for name, text in build(arguments.folder, arguments.seed).items():
            (arguments.folder / name).write_bytes(text.encode())
            print(f"wrote {arguments.folder / name}")
    except InputError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
