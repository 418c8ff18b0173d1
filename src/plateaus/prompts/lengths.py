"""Check that prompts are not longer than a model can read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from plateaus.errors import InputError
from plateaus.prompts.pairs import TokenisedPair
from plateaus.sources.config_json import limit_of, read


def check_lengths(pairs: Sequence[TokenisedPair], folder: Path, model: str) -> None:
    """Check that no prompt has more tokens than a model has positions; models with ALiBi have no such limit.

    Args:
        pairs: The pairs, as the model's tokenizer splits them.
        folder: A Hugging Face folder, whose config.json gives the number of positions.
        model: Id of the model, for the message.

    Raises:
        InputError: names the first pair that is too long, its length and the limit.
    """
    told = read(folder)
    limit = None if told is None else limit_of(told)
    if limit is None:
        return
    for pair in pairs:
        tokens = len(pair.prefix) + 1
        if tokens > limit.positions:
            raise InputError(
                f"model {model}: the prompts of pair '{pair.pair.id}' have {tokens} tokens, and this model reads at "
                f"most {limit.positions} ({limit.key} in {folder}/config.json): shorten the context"
            )
