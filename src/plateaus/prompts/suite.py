"""Draw the prompt suite: pairs drawn with a seed from a lexicon of word classes, without looking at any model's output.

    python -m plateaus.prompts.suite

writes config/prompts/suite.tsv and its manifest. config/prompts/README.md explains how pairs are drawn, and why.
The draw sorts by sha256 rather than using a random number generator, so it is the same on every version of Python.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, combinations, product, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from plateaus.data.canonical import file_digest
from plateaus.errors import InputError
from plateaus.prompts.pairs import COLUMNS, Pair, Reader, read_pairs, tokenise

if TYPE_CHECKING:
    from tokenizers import Tokenizer

VERSION = 1
"""Version of the drawing method; add one when the same lexicon and seed would give other pairs."""

SEED = 1
"""The first seed from 0 whose random words are one token each for both tokenizers; seed 0 has a word of two tokens."""
PER_STRATUM = 8
"""Number of pairs of one stratum in one context."""

STRATA = ("same-class", "same-pos", "cross-pos")
NATURAL = {
    "house": "The house was",
    "letter": "She opened the letter and",
    "market": "At the market they saw",
    "teacher": "The teacher told us that",
    "winter": "Every winter the old man",
    "think": "I think it is",
    "list": "The most important words are",
    "train": "When the train stopped, everyone looked",
}
"""Maps names to contexts: beginnings of sentences that differ in length and in the kind of their last word."""

RANDOM, EMPTY = "random", "empty"
RANDOM_LENGTH = 5
"""Number of words in the random-token context; each word is one token."""

COLUMNS_OF_LEXICON = ("word", "part_of_speech", "class")
LEXICON, PUBLISHED = "lexicon.tsv", "post.tsv"
TABLE, MANIFEST = "suite.tsv", "suite.manifest.json"

Item = TypeVar("Item")


class WordClass(NamedTuple):
    """A class of words of one kind, such as animals.

    Attributes:
        part_of_speech: Part of speech of all words of the class.
        name: Name of the class, unique in the lexicon.
        words: The words, in the lexicon's order.
    """

    part_of_speech: str
    name: str
    words: tuple[str, ...]


def read_lexicon(path: Path) -> list[WordClass]:
    """Read a lexicon and check every line; classes are returned in the order of the file.

    Args:
        path: A tab-separated table with the columns `COLUMNS_OF_LEXICON`; lines that begin with ``#`` are comments.

    Raises:
        InputError: if a line is wrong; the message names the line and says how to mend it.
    """
    parts_of_speech: dict[str, str] = {}
    words: dict[str, list[str]] = {}
    seen: set[str] = set()
    header = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("#") or not line:
            continue
        cells = tuple(line.split("\t"))
        where = f"{path}, line {number}"
        if not header:
            if cells != COLUMNS_OF_LEXICON:
                raise InputError(f"{where}: the header is not the tab-separated {' '.join(COLUMNS_OF_LEXICON)}")
            header = True
            continue
        if len(cells) != len(COLUMNS_OF_LEXICON):
            raise InputError(f"{where}: {len(cells)} columns instead of {len(COLUMNS_OF_LEXICON)}, separated by tabs")
        word, part_of_speech, name = cells
        if not (word.isascii() and word.isalpha() and word.islower()):
            raise InputError(f"{where}: '{word}' is not one word of the letters a to z: change it")
        if word in seen:
            raise InputError(f"{where}: '{word}' is already in the lexicon: a word has one class, so remove one line")
        if parts_of_speech.setdefault(name, part_of_speech) != part_of_speech:
            raise InputError(f"{where}: class '{name}' is {parts_of_speech[name]} in an earlier line: rename one")
        seen.add(word)
        words.setdefault(name, []).append(word)
    return [WordClass(parts_of_speech[name], name, tuple(found)) for name, found in words.items()]


# ---- the draw ----------------------------------------------------------------------------------------------------


def shuffled(items: Iterable[Item], *key: object) -> list[Item]:
    """Return the items sorted by a hash of the key and the item, so their original order does not matter."""

    def place(item: Item) -> bytes:
        return hashlib.sha256("/".join(map(str, (*key, item))).encode()).digest()

    return sorted(items, key=place)


def contexts_of(lexicon: Sequence[WordClass], seed: int) -> dict[str, str]:
    """Map names to contexts: the natural ones, a string of random words of the lexicon, and the empty context."""
    words = shuffled((word for group in lexicon for word in group.words), seed, RANDOM)
    return {**NATURAL, RANDOM: " ".join(words[:RANDOM_LENGTH]), EMPTY: ""}


def kinds(lexicon: Sequence[WordClass], stratum: str, *key: object) -> list[tuple[WordClass, WordClass]]:
    """Return the pairs of classes from which a stratum may draw, in an order in which parts of speech take turns.

    Args:
        lexicon: The classes.
        stratum: One of `STRATA`.
        key: Values that determine the order, such as the seed and the name of the context.
    """
    named = {group.name: group for group in lexicon}
    classes: dict[str, list[str]] = {}
    for group in lexicon:
        classes.setdefault(group.part_of_speech, []).append(group.name)
    turns: dict[tuple[str, ...], list[tuple[str, str]]]
    if stratum == "same-class":
        turns = {(part,): [(name, name) for name in names] for part, names in classes.items()}
    elif stratum == "same-pos":
        turns = {(part,): list(combinations(sorted(names), 2)) for part, names in classes.items()}
    else:
        turns = {(a, b): list(product(classes[a], classes[b])) for a, b in combinations(sorted(classes), 2)}
    groups = [shuffled(turns[speech], *key, stratum) for speech in shuffled(turns, *key, stratum)]
    order = (kind for turn in zip_longest(*groups) for kind in turn if kind is not None)
    return [(named[left], named[right]) for left, right in order]


def draw(lexicon: Sequence[WordClass], published: Iterable[Pair], seed: int = SEED) -> list[Pair]:
    """Draw all pairs of the suite.

    Args:
        lexicon: The classes.
        published: The published pairs, whose words are not drawn for the context in which they were published.
        seed: Seed of the draw.

    Returns:
        `PER_STRATUM` pairs of every stratum in every context. No word occurs in two pairs of one context, and no pair
        uses a word of its own context.

    Raises:
        InputError: if the lexicon has too few words.
    """
    taken_by_post: dict[str, set[str]] = {}
    for pair in published:
        taken_by_post.setdefault(pair.context, set()).update((pair.a, pair.b))
    pairs: list[Pair] = []
    for name, context in contexts_of(lexicon, seed).items():
        taken = {word.strip(",.").lower() for word in context.split()} | taken_by_post.get(context, set())
        for stratum in STRATA:
            tag = {RANDOM: "random-tokens", EMPTY: "empty"}.get(name, "natural")
            for a, b in _draw(lexicon, stratum, taken, (seed, name)):
                pairs.append(Pair(f"suite-{name}-{a}-{b}", context, a, b, f"suite;{stratum};{tag}"))
    return pairs


def _draw(lexicon: Sequence[WordClass], stratum: str, taken: set[str], key: tuple[object, ...]) -> Iterator[list[str]]:
    """Yield the two words of each pair of one stratum in one context, and add them to `taken`."""
    found = 0
    for left, right in kinds(lexicon, stratum, *key):
        free = [[word for word in shuffled(group.words, *key) if word not in taken] for group in (left, right)]
        pair = free[0][:2] if left == right else [words[0] for words in free if words]
        if len(pair) == 2:
            taken.update(pair)
            yield shuffled(pair, *key, stratum)
            found += 1
            if found == PER_STRATUM:
                return
    raise InputError(f"the lexicon has words for only {found} {stratum} pairs, and {PER_STRATUM} are needed: add words")


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
            if "random-tokens" in pair.tags and len(prefix) != RANDOM_LENGTH:
                raise InputError(
                    f"tokenizer {name}: '{pair.context}' is {len(prefix)} tokens instead of {RANDOM_LENGTH}: "
                    "choose another seed"
                )


def table_text(pairs: Sequence[Pair]) -> str:
    """Return the text of the table, in the form that `plateaus.prompts.pairs.read_pairs` reads."""
    return "".join("\t".join(row) + "\n" for row in chain([COLUMNS], (pair[: len(COLUMNS)] for pair in pairs)))


def manifest(pairs: Sequence[Pair], table: str, lexicon_sha256: str, seed: int) -> dict[str, Any]:
    """Return the manifest: the sources of the suite with their hashes, and its numbers of pairs.

    Args:
        pairs: The pairs of the suite.
        table: The text of the table.
        lexicon_sha256: Hash of the lexicon.
        seed: Seed of the draw.
    """
    from plateaus.prompts.vocabularies import SOURCES

    strata = Counter(pair.tags.split(";")[1] for pair in pairs)
    return {
        "builder": "plateaus.prompts.suite",
        "builder_version": VERSION,
        "seed": seed,
        "lexicon_sha256": lexicon_sha256,
        "suite_sha256": hashlib.sha256(table.encode()).hexdigest(),
        "tokenizers": SOURCES,
        "pairs": len(pairs),
        "pairs_per_stratum": {stratum: strata[stratum] for stratum in STRATA},
        "contexts": [
            {"name": pair_name(of[0]), "context": context, "kind": of[0].tags.split(";")[2], "pairs": len(of)}
            for context in dict.fromkeys(pair.context for pair in pairs)
            if (of := [pair for pair in pairs if pair.context == context])
        ],
    }


def pair_name(pair: Pair) -> str:
    """Return the name of a suite pair's context, which is part of the pair's id."""
    return pair.id.split("-")[1]


def build(folder: Path, seed: int = SEED) -> dict[str, str]:
    """Make the suite from the lexicon and the published pairs in a folder.

    Returns:
        The text of the table and of the manifest, by file name.

    Raises:
        InputError: if an input is wrong, or a word is not one token; nothing is written in any case.
    """
    from plateaus.prompts.vocabularies import both

    lexicon = read_lexicon(folder / LEXICON)
    pairs = draw(lexicon, read_pairs(folder / PUBLISHED), seed)
    check_tokens(pairs, both())
    table = table_text(pairs)
    made = manifest(pairs, table, file_digest(folder / LEXICON), seed)
    return {TABLE: table, MANIFEST: json.dumps(made, indent=2) + "\n"}


def main() -> None:
    """Write the suite and its manifest into the folder of the lexicon."""
    parser = argparse.ArgumentParser(description="Draw the prompt suite from its lexicon.")
    parser.add_argument("--folder", type=Path, default=Path("config/prompts"), help="the folder of lexicon.tsv")
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
