"""Read and check prompt pairs: two prompts that share every token except the last one."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from plateaus.data.canonical import digest
from plateaus.errors import InputError
from plateaus.sources import bos as bos_tokens

COLUMNS = ("id", "context", "a", "b", "tags")
"""The columns of a table of prompt pairs."""
SEPARATOR = "separator"
"""An optional sixth column: what stands between the context and the words, one space if the column is missing."""
SUITE = "suite"
"""Tag of the pairs of the prompt suite; there are many of them, so fewer layers and matrices are computed for each."""
NATURAL = "natural"
"""Tag of the suite's pairs whose words both continue their context naturally; the claims are tested on these."""
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
LONGEST = 100_000
"""Longest text of a column, in characters, which is more than any supported model reads."""
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Pair(NamedTuple):
    """Two prompts, `context + separator + a` and `context + separator + b`.

    Attributes:
        id: Unique name, also used in file names.
        context: The text that both prompts begin with; may be empty.
        a: Last word of the first prompt.
        b: Last word of the second prompt.
        tags: Semicolon-separated labels, such as ``published``.
        separator: What stands between the context and the word: one space, or nothing in a language without spaces.
    """

    id: str
    context: str
    a: str
    b: str
    tags: str
    separator: str = " "

    @property
    def labels(self) -> tuple[str, ...]:
        """The tags as a tuple, without the spaces around them."""
        return tuple(tag.strip() for tag in self.tags.split(";") if tag.strip())

    def prompt(self, word: str) -> str:
        """The whole prompt that ends in `word`."""
        return f"{self.context}{self.separator}{word}"


class TokenisedPair(NamedTuple):
    """A pair as token ids: the shared prefix and the two last tokens.

    Attributes:
        pair: The pair.
        prefix: Token ids before the last token: any begin-of-sequence token, and those of the context.
        token_a: Token id of the last word of the first prompt.
        token_b: Token id of the last word of the second prompt.
    """

    pair: Pair
    prefix: tuple[int, ...]
    token_a: int
    token_b: int


def read_pairs(path: Path) -> list[Pair]:
    """Read a table of prompt pairs, in the table's order, and check every pair.

    Args:
        path: A tab-separated UTF-8 table with the columns `COLUMNS` and possibly `SEPARATOR`; lines that begin with
            ``#`` are comments.

    Raises:
        InputError: if the table cannot be read or a line is wrong; the message says where and how to mend it.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"prompts.table: {path} does not exist: give the path of a tab-separated table") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"prompts.table: {path} cannot be read ({error}): save it as UTF-8 text") from None
    # Only these end a line: splitlines() would also break a text at signs such as U+2028, which a context may have.
    rows = [line.split("\t") for line in re.split("\r\n|\n|\r", text)]
    columns = tuple(rows[0])
    if columns not in (COLUMNS, (*COLUMNS, SEPARATOR)):
        raise InputError(
            f"{path}, line 1: the header is '{' '.join(columns) or 'nothing'}' instead of the tab-separated "
            f"{' '.join(COLUMNS)} (and possibly {SEPARATOR})"
        )
    pairs: dict[str, Pair] = {}
    for number, row in enumerate(rows[1:], start=2):
        if row == [""] or row[0].startswith("#"):
            continue
        where = f"{path}, line {number}"
        if len(row) != len(columns):
            raise InputError(
                f"{where}: {len(row)} columns instead of {len(columns)} ({', '.join(columns)}), separated by tabs"
            )
        pair = Pair(*row)
        check_pair(pair, where)
        if pair.id in pairs:
            raise InputError(f"{where}: the id '{pair.id}' is already taken: give every pair its own")
        pairs[pair.id] = pair
    if not pairs:
        raise InputError(f"{path} has no prompt pairs: add at least one line below the header")
    return list(pairs.values())


def check_pair(pair: Pair, where: str) -> None:
    """Check one pair by itself: its id, its two words, and the end of its context.

    Args:
        pair: The pair.
        where: The file and line of the pair, for the message.

    Raises:
        InputError: if the pair is wrong; the message names the place and the pair and says how to mend it.
    """
    for name, value in zip((*COLUMNS, SEPARATOR), pair, strict=True):
        if hidden := CONTROL.search(value):
            raise InputError(
                f"{where}, column {name}: it has the control character {hidden[0]!a}, which no text should have: "
                "remove it, and save the table as UTF-8 text"
            )
        if len(value) > LONGEST:
            raise InputError(
                f"{where}, column {name}: it has {len(value)} characters, more than {LONGEST}: shorten it, and check "
                "that every pair has a line of its own"
            )
    if not ID.fullmatch(pair.id):
        raise InputError(
            f"{where}: the id '{pair.id}' is used in file names: use letters, digits, '.', '_' and '-' only, "
            "beginning with a letter or digit"
        )
    for name, word in (("a", pair.a), ("b", pair.b)):
        if not word or word != word.strip() or len(word.split()) != 1:
            raise InputError(
                f"{where}: pair '{pair.id}', column {name}: '{word}' is not one word without spaces around it: "
                "write one word, and put what else the prompts share into the context"
            )
    if pair.a == pair.b:
        raise InputError(
            f"{where}: pair '{pair.id}': both words are '{pair.a}', so there is nothing to interpolate: change one"
        )
    if pair.context != pair.context.rstrip() and pair.separator[:1].isspace():
        raise InputError(
            f"{where}: pair '{pair.id}': the context ends in a space: remove it; one is added before each word"
        )
    if pair.separator.strip():
        raise InputError(
            f"{where}: pair '{pair.id}': the separator is '{pair.separator}', which is neither empty nor a space: "
            "put other text into the context"
        )


class Reader(NamedTuple):
    """How a model reads a text.

    Attributes:
        encode: Function from a text to its token ids, without special tokens.
        show: Function from a token id to the token's text, for messages.
        leading: Token ids that come before those of every text, such as a begin-of-sequence token.
        unknown: Id of the token for text that the tokenizer does not know; None if it knows all text.
    """

    encode: Callable[[str], Sequence[int]]
    show: Callable[[int], str]
    leading: tuple[int, ...] = ()
    unknown: int | None = None


def tokenise(pair: Pair, reader: Reader) -> TokenisedPair:
    """Tokenise both prompts and check that they differ in exactly the last token.

    Args:
        pair: The pair.
        reader: How the model reads a text.

    Raises:
        InputError: if they differ in more or less, or hold text that the tokenizer does not know; the message shows the
            tokens and says how to mend the pair.
    """
    prefix, a, b = (tuple(reader.encode(text)) for text in (pair.context, *_prompts(pair, reader)))
    for word, tokens in ((pair.a, a), (pair.b, b)):
        if len(tokens) != len(prefix) + 1 or tokens[:-1] != prefix:
            split = " | ".join(reader.show(token) for token in tokens)
            raise InputError(
                f"pair '{pair.id}': '{pair.prompt(word)}' is read by this model as [{split}], which is not the "
                f"{len(prefix)} tokens of '{pair.context}' followed by one token: "
                f"choose a word that is a single token in place of '{word}'"
            )
        if reader.unknown is not None and reader.unknown in tokens:
            what = f"the word '{word}'" if tokens[-1] == reader.unknown else f"part of the context '{pair.context}'"
            raise InputError(
                f"pair '{pair.id}': the tokenizer does not know {what} and reads it as "
                f"{reader.show(reader.unknown)}: choose text that is in its vocabulary"
            )
    if a[-1] == b[-1]:
        raise InputError(f"pair '{pair.id}': '{pair.a}' and '{pair.b}' are the same token for this model: change one")
    if prefix[: len(reader.leading)] != reader.leading:  # the text itself may begin with the token
        prefix = (*reader.leading, *prefix)
    return TokenisedPair(pair, prefix, a[-1], b[-1])


def _prompts(pair: Pair, reader: Reader) -> list[str]:
    """Return both prompts as they are tokenised.

    Some tokenizers (SentencePiece's) add a space of their own at the beginning of a text. Without a context, a word is
    then written without its separator, if that gives the token of the word after a space.
    """
    words = (pair.a, pair.b)
    prompts = [pair.prompt(word) for word in words]
    if pair.context or pair.separator != " " or all(len(reader.encode(prompt)) == 1 for prompt in prompts):
        return prompts
    bare = [tuple(reader.encode(word)) for word in words]
    after = [tuple(reader.encode(f"a {word}"))[-1:] for word in words]
    return list(words) if bare == after else prompts


_tokenizers: dict[tuple[int, ...], Any] = {}


def _tokenizer(path: str, *identity: int) -> Any:
    """Read a tokenizer once: several models may link to the same file, and the checks of a run ask for it again."""
    from tokenizers import Tokenizer

    if identity not in _tokenizers:
        _tokenizers[identity] = Tokenizer.from_file(path)
    return _tokenizers[identity]


def tokenise_with_file(
    pairs: Sequence[Pair], tokenizer_json: Path, model: str, bos: str | bool = bos_tokens.AUTO
) -> list[TokenisedPair]:
    """Tokenise all pairs with a model folder's tokenizer.json, which needs neither torch nor transformers.

    Args:
        pairs: The pairs.
        tokenizer_json: The model's tokenizer file.
        model: Name of the model, for the message.
        bos: What comes before every text; see `plateaus.sources.bos.leading_tokens`.

    Raises:
        InputError: if the file cannot be read, or as in `tokenise`; the message names the model.
    """
    try:
        about = tokenizer_json.stat()
        tokenizer = _tokenizer(str(tokenizer_json), about.st_dev, about.st_ino, about.st_mtime_ns)
    except Exception as error:  # the library raises bare Exception
        raise InputError(
            f"model {model}: {tokenizer_json} cannot be read as a tokenizer ({error}): fetch it again"
        ) from None
    reader = Reader(
        encode=lambda text: list(tokenizer.encode(text, add_special_tokens=False).ids),
        show=lambda token: str(tokenizer.decode([token], skip_special_tokens=False)),
        leading=bos_tokens.leading_tokens(tokenizer, tokenizer_json.parent, bos, model),
        unknown=_unknown_of(tokenizer, tokenizer_json),
    )
    try:
        return [tokenise(pair, reader) for pair in pairs]
    except InputError as error:
        raise InputError(f"model {model}, {error}") from None


def _unknown_of(tokenizer: Any, tokenizer_json: Path) -> int | None:
    """Return the id of the token that stands for unknown text, or None if the tokenizer has none."""
    if type(tokenizer.model).__name__ == "Unigram":  # the library does not tell this kind's unknown token
        number = json.loads(tokenizer_json.read_text(encoding="utf-8"))["model"].get("unk_id")
        return None if number is None else int(number)
    token = getattr(tokenizer.model, "unk_token", None)
    found = None if token is None else tokenizer.token_to_id(token)
    return None if found is None else int(found)


def shard_of(pair_id: str, shards: int) -> str:
    """Return the name of the shard that a pair belongs to, which depends only on its id and the number of shards."""
    number = int.from_bytes(hashlib.sha256(pair_id.encode()).digest()[:8], "big") % shards
    return f"s{number}-of-{shards}"


def split(pairs: Sequence[Pair], shards: int) -> dict[str, list[Pair]]:
    """Map each shard's name to its pairs, sorted by shard name and pair id; empty shards are left out."""
    parts: dict[str, list[Pair]] = {}
    for pair in sorted(pairs):
        parts.setdefault(shard_of(pair.id, shards), []).append(pair)
    return dict(sorted(parts.items()))


def checked_pair(pairs: Sequence[Pair]) -> Pair:
    """Choose the pair on whose path a model is checked, one with the longest context, and of the suite only if need be.

    Windows and biases by position show best after a long context. Among equals, a hash of the id decides.
    """
    own = [pair for pair in pairs if SUITE not in pair.labels] or pairs
    return min(own, key=lambda pair: (-len(pair.context), digest(pair.id)))


def pairs_digest(pairs: Sequence[Pair]) -> str:
    """Return one hash of a shard's pairs, which does not depend on their order."""
    return digest([list(pair) for pair in sorted(pairs)])
