"""Choose the prompt pairs of a run: all pairs of its table, and a seeded, balanced sample of the suite."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from plateaus.data.canonical import file_digest
from plateaus.errors import InputError
from plateaus.prompts.depth import DEEP
from plateaus.prompts.pairs import NATURAL, Pair, read_pairs

MATCH = "of:"
"""Beginning of the tag that names the natural pair with the same two words."""
PER_CONTROL = 8
"""One pair of each further kind of control is taken for this many natural pairs."""


def pairs_of(prompts: Mapping[str, Any]) -> list[Pair]:
    """Return the prompt pairs of a run: those of the table, then the sample of the suite.

    Args:
        prompts: The section `prompts` of the config, with the keys table, suite, sample, deep and seed.

    Raises:
        InputError: if a table is wrong, an id is in both tables, or the suite does not match its manifest or has
            fewer natural pairs than `sample` asks for.
    """
    pairs = read_pairs(Path(prompts["table"]))
    if not prompts["suite"]:
        return pairs
    path = Path(prompts["suite"])
    if not path.is_file():
        raise InputError(
            f"prompts.suite: {path} does not exist: give the path of a tab-separated table, or leave it out"
        )
    check_manifest(path)
    suite = read_pairs(path)
    known = {pair.id for pair in pairs}
    for pair in suite:
        if pair.id in known:
            raise InputError(f"the id '{pair.id}' is both in {prompts['table']} and in {path}: leave one of them out")
    natural = [pair for pair in suite if NATURAL in pair.labels]
    size = len(natural) if prompts["sample"] == "all" else prompts["sample"]
    if size > len(natural):
        raise InputError(
            f"config: prompts.sample is {size} but {path} has only {len(natural)} natural pairs: ask for at most that "
            "many, or for all of them (all)"
        )
    return pairs + of_suite(suite, size, prompts["deep"], prompts["seed"])


def of_suite(suite: Sequence[Pair], size: int, deep: int | str, seed: int) -> list[Pair]:
    """Draw natural pairs of the suite, and add the pairs that they are compared with.

    Args:
        suite: All pairs of the suite.
        size: Number of natural pairs to draw (see `sample`).
        deep: How many of them get the tag `deep`: the first ones that are drawn, or ``all``.
        seed: Seed of the draw.

    Returns:
        The natural pairs in the order in which they were drawn; the pairs with the same two words in a context where
        neither is natural, which have the tag `of:` with the natural pair's id; and for every `PER_CONTROL` natural
        pairs one of every other kind of control, such as the empty context.
    """
    drawn = sample([pair for pair in suite if NATURAL in pair.labels], size, seed)
    count = len(drawn) if deep == "all" else int(deep)
    tagged = [pair._replace(tags=f"{pair.tags};{DEEP}") if n < count else pair for n, pair in enumerate(drawn)]
    chosen = {pair.id for pair in drawn}
    matched = [pair for pair in suite if natural_of(pair) in chosen]
    others: dict[str, list[Pair]] = {}
    for pair in suite:
        if NATURAL not in pair.labels and natural_of(pair) is None:
            others.setdefault(pair.tags, []).append(pair)
    controls = [pair for kind in others.values() for pair in sample(kind, min(len(kind), size // PER_CONTROL), seed)]
    return tagged + matched + controls


def natural_of(pair: Pair) -> str | None:
    """Return the id of the natural pair that an unnatural one has its words from, or None for other pairs."""
    return next((label.removeprefix(MATCH) for label in pair.labels if label.startswith(MATCH)), None)


def sample(pairs: Sequence[Pair], size: int, seed: int) -> list[Pair]:
    """Draw pairs as evenly as possible over their kinds (context and tags together), over contexts and over tags.

    Pairs are drawn one after the other, so a larger sample contains every smaller one. Each pair is taken from the
    kind with the fewest drawn pairs so far. Ties go to the context, then to the tags, with the fewest drawn pairs,
    and then to a hash of the seed. The sample depends neither on the order of `pairs` nor on the version of Python.

    Args:
        pairs: The pairs to draw from.
        size: Number of pairs to draw; at most `len(pairs)`.
        seed: Seed of the draw.

    Returns:
        The drawn pairs, in the order in which they were drawn.
    """
    waiting: dict[tuple[str, str], list[Pair]] = {}
    for pair in sorted(pairs, key=lambda pair: _hash(seed, pair.id), reverse=True):
        waiting.setdefault((pair.context, pair.tags), []).append(pair)
    kinds: Counter[tuple[str, str]] = Counter()
    contexts: Counter[str] = Counter()
    tags: Counter[str] = Counter()
    drawn: list[Pair] = []
    for _ in range(size):
        kind = min(waiting, key=lambda kind: (kinds[kind], contexts[kind[0]], tags[kind[1]], _hash(seed, *kind)))
        pair = waiting[kind].pop()
        if not waiting[kind]:
            del waiting[kind]
        kinds[kind] += 1
        contexts[pair.context] += 1
        tags[pair.tags] += 1
        drawn.append(pair)
    return drawn


def _hash(*key: object) -> bytes:
    return hashlib.sha256("/".join(map(str, key)).encode()).digest()


def check_manifest(path: Path) -> None:
    """Check that a table matches its manifest, `<name>.manifest.json` in the same folder, if it has one.

    Raises:
        InputError: if the table does not match the manifest, or the manifest cannot be read.
    """
    beside = path.with_suffix(".manifest.json")
    if not beside.is_file():
        return
    try:
        expected = json.loads(beside.read_text(encoding="utf-8"))["suite_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{beside} cannot be read as the manifest of {path}: restore it from the repository") from None
    if file_digest(path) != expected:
        raise InputError(
            f"prompts.suite: {path} is not the table that {beside.name} describes: restore both from the repository "
            "(`make suite` draws them again), or give an edited table another name"
        )
