"""The tokens that a model's tokenizer puts before every text, such as a begin-of-sequence token.

They are found as transformers finds them, in the post-processor of tokenizer.json; `add_bos_token` in
tokenizer_config.json does not count beside it. A tokenizer in an older format is saved as tokenizer.json when the model
is fetched, and its post-processor then does what the flag asks for. Neither torch nor transformers is needed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plateaus.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

AUTO = "auto"


def leading_tokens(tokenizer: Tokenizer, folder: Path, bos: str | bool, model: str) -> tuple[int, ...]:
    """Return the tokens that come before the tokens of every text.

    Args:
        tokenizer: The model's tokenizer.
        folder: The model's folder.
        bos: ``auto`` for the tokens that the model's own tokenizer puts before a text, True for a begin-of-sequence
            token in any case, False for none.
        model: Id of the model, for the message.

    Raises:
        InputError: `bos` is True, and the folder names no begin-of-sequence token.
    """
    if bos is False:
        return ()
    own = leading(tokenizer.encode("a").ids, tokenizer.encode("a", add_special_tokens=False).ids)
    if own or bos == AUTO:
        return own
    found = _bos_id(tokenizer, _read(folder / "tokenizer_config.json"), _read(folder / "config.json"))
    if found is None:
        raise InputError(
            f"model {model}: models.{model}.bos is true, but {folder} names no begin-of-sequence token "
            "(bos_token in tokenizer_config.json): set it to auto or false"
        )
    return (found,)


def text_of(folder: Path, bos: str | bool, model: str) -> str:
    """Return the text of the tokens that come before every prompt, or ``none``; see `leading_tokens`."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokens = leading_tokens(tokenizer, folder, bos, model)
    return "".join(str(tokenizer.id_to_token(token)) for token in tokens) or "none"


def leading(with_special: Sequence[int], without: Sequence[int]) -> tuple[int, ...]:
    """Return the tokens that precede a text's own tokens; tokens after the text are left out.

    Args:
        with_special: The text's tokens with the special tokens that the tokenizer adds.
        without: The text's tokens alone.
    """
    for start in range(len(with_special) - len(without) + 1):
        if list(with_special[start : start + len(without)]) == list(without):
            return tuple(with_special[:start])
    return ()


def _bos_id(tokenizer: Tokenizer, told: dict[str, Any], config: dict[str, Any]) -> int | None:
    token = told.get("bos_token")
    if isinstance(token, dict):
        token = token.get("content")
    found = tokenizer.token_to_id(token) if isinstance(token, str) else None
    if found is None and isinstance(config.get("bos_token_id"), int):
        found = int(config["bos_token_id"])
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
