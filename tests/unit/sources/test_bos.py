"""What comes before every prompt: the tokens that the model's own tokenizer adds, all or none on request, never twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from plateaus.errors import InputError
from plateaus.prompts.pairs import Pair, tokenise_with_file
from plateaus.sources import bos
from plateaus.sources.folder import make_linked

WORDS = ["The", "house", "was", "big", "in"]
PAIR = Pair("x", "The house was", "big", "in", "")


def vocabulary(*extra: str) -> dict[str, int]:
    return {
        word: number for number, word in enumerate(["<unk>", "<s>", "</s>", *extra, *(f"▁{word}" for word in WORDS)])
    }


def sentencepiece(prepend: str) -> Tokenizer:
    """A tokenizer that puts a space before every text, as SentencePiece does, by its normaliser or pre-tokenizer."""
    tokenizer = Tokenizer(models.WordLevel(vocabulary("▁"), unk_token="<unk>"))
    if prepend == "normaliser":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prepend)
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


def template(single: str) -> Any:
    return processors.TemplateProcessing(single=single, pair=None, special_tokens=[("<s>", 1), ("</s>", 2)])


def save(folder: Path, tokenizer: Tokenizer, **told: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    told = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", **told}
    (folder / "tokenizer_config.json").write_text(json.dumps(told), encoding="utf-8")
    return folder


def of(folder: Path, setting: str | bool) -> tuple[int, ...]:
    return bos.leading_tokens(Tokenizer.from_file(str(folder / "tokenizer.json")), folder, setting, "m")


@pytest.mark.parametrize("prepend", ["normaliser", "first", "always"])
@pytest.mark.parametrize(
    ("single", "told", "own"),
    [
        (None, {}, ()),
        ("<s> $A", {}, (1,)),
        ("<s> $A </s>", {}, (1,)),
        ("$A </s>", {}, ()),
        (None, {"add_bos_token": True}, ()),  # transformers lets tokenizer.json decide
        ("<s> $A", {"add_bos_token": False}, (1,)),
    ],
)
def test_auto_is_what_transformers_puts_before_a_text(prepend, single, told, own, tmp_path: Path):
    tokenizer = sentencepiece(prepend)
    if single is not None:
        tokenizer.post_processor = template(single)
    folder = save(tmp_path, tokenizer, **told)
    theirs = AutoTokenizer.from_pretrained(folder)
    assert isinstance(theirs, PreTrainedTokenizerFast)
    text = "The house was"
    assert bos.leading(theirs(text).input_ids, theirs(text, add_special_tokens=False).input_ids) == own
    assert of(folder, "auto") == own
    assert of(folder, True) == (1,)
    assert of(folder, False) == ()
    assert bos.text_of(folder, "auto", "m") == ("<s>" if own else "none")


def test_a_token_that_the_tokenizer_does_not_name_is_taken_from_the_config_or_asked_for(tmp_path: Path):
    folder = save(tmp_path, sentencepiece("first"), bos_token=None)
    assert of(folder, "auto") == ()
    with pytest.raises(InputError, match=r"models\.m\.bos is true, but .* names no begin-of-sequence token"):
        of(folder, True)
    (folder / "config.json").write_text('{"bos_token_id": 1}', encoding="utf-8")
    assert of(folder, True) == (1,)


def test_a_tokenizer_in_an_older_format_keeps_what_its_flag_asks_for(tmp_path: Path):
    """OPT's tokenizer has no tokenizer.json."""
    alphabet = {symbol: number for number, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    told = {"tokenizer_class": "GPT2Tokenizer", "bos_token": "!", "eos_token": "!", "unk_token": "!"}
    for flag, own in ((True, (alphabet["!"],)), (False, ())):
        old, folder = tmp_path / f"old-{flag}", tmp_path / f"new-{flag}"
        old.mkdir()
        folder.mkdir()
        files = {"vocab.json": json.dumps(alphabet), "merges.txt": "#version: 0.2\n"}
        files["tokenizer_config.json"] = json.dumps({**told, "add_bos_token": flag})
        files["config.json"] = json.dumps({"model_type": "opt"})
        for name, text in files.items():
            (old / name).write_text(text, encoding="utf-8")
        make_linked(folder, {name: old / name for name in files})
        assert of(folder, "auto") == own


@pytest.mark.parametrize("setting", ["auto", True])
def test_the_token_is_part_of_the_prefix_once_even_if_the_text_begins_with_it(setting, tmp_path: Path):
    tokenizer = sentencepiece("always")
    tokenizer.post_processor = template("<s> $A")
    tokenizer.add_special_tokens(["<s>"])
    file = save(tmp_path, tokenizer) / "tokenizer.json"
    (plain,) = tokenise_with_file([PAIR], file, "m", False)
    (found,) = tokenise_with_file([PAIR], file, "m", setting)
    (written,) = tokenise_with_file([PAIR._replace(context="<s>The house was")], file, "m", setting)
    assert found.prefix == (1, *plain.prefix) == written.prefix
    assert (found.token_a, found.token_b) == (plain.token_a, plain.token_b)


@pytest.mark.parametrize("prepend", ["normaliser", "first", "always"])
@pytest.mark.parametrize("setting", [True, False])
def test_without_a_context_a_word_is_read_as_after_a_space(prepend, setting, tmp_path: Path):
    file = save(tmp_path, sentencepiece(prepend)) / "tokenizer.json"
    (after,) = tokenise_with_file([PAIR], file, "m", setting)
    (alone,) = tokenise_with_file([PAIR._replace(context="")], file, "m", setting)
    assert (alone.token_a, alone.token_b) == (after.token_a, after.token_b)
    assert alone.prefix == ((1,) if setting else ())
