"""The prefix that both prompts of a pair share: its keys and values, and the arguments of each block after it."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

SHARED_FROM = 32
"""Shortest prefix, in tokens, for which several rows share a copy of its keys and values."""
PREFIX_PER_ROW = 8
"""At most one row per this many prefix tokens shares a copy: the scores between rows that share one are wasted."""
ALIBI = "alibi"
"""The argument of a block that holds ALiBi's bias of every key: (sequences * heads, 1, keys) in BLOOM, and
(sequences, heads, 1, keys) in Falcon."""


class Prefix(NamedTuple):
    """A prefix as every row sees it.

    Attributes:
        length: Number of prefix tokens.
        keys: The keys of each layer, (1, kv_heads, length, d_head), after any rotary embedding.
        values: The values of each layer, with the shape of the keys.
        calls: The arguments with which the model calls the block of each layer for the token after the prefix,
            without the residual input.
    """

    length: int
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    calls: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...]

    def together(self, rows: int, layer: int) -> int:
        """Return how many rows to put into one sequence, where they share a copy of the prefix's keys and values.

        Each sequence of a batch needs its own copy of the keys and values of the prefix. All rows are at the position
        after the prefix, so several rows can form one sequence in which a mask hides them from each other.

        Args:
            rows: Number of rows; the result divides it.
            layer: Index of the block.
        """
        args, kwargs = self.calls[layer]
        if self.length < SHARED_FROM or not any(map(_is_mask, (*args, *kwargs.values()))):
            return 1
        return max(count for count in range(1, self.length // PREFIX_PER_ROW + 1) if rows % count == 0)

    def call(
        self, layer: int, sequences: int, seen: dict[str, Tensor] | None = None, *, together: int = 1
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of a block that follow its residual input, with this prefix as its cache.

        Args:
            layer: Index of the block.
            sequences: How many sequences the residual input has; most blocks broadcast their mask to them, some do not.
            seen: If given, the dictionary in which the `keys` and `values` that attention reads are stored.
            together: How many rows form a sequence, in which they share a copy of the prefix's keys and values.
        """
        args, kwargs = self.calls[layer]
        cache = _Cache(self, seen)

        def given(value: Any, name: str = "") -> Any:
            if _is_cache(value):
                return cache
            if name == ALIBI and isinstance(value, Tensor):
                return _same_for_all(value, sequences, together)
            return _own_token_alone(value, together).expand(sequences, -1, -1, -1) if _is_mask(value) else value

        args = tuple(given(value) for value in args)
        kwargs = {name: given(value, name) for name, value in kwargs.items()}
        kwargs.pop("hidden_states", None)
        return args, kwargs


class _Cache:
    """The key-value cache that is passed to a block: the prefix, which all rows share, then the row's own token."""

    def __init__(self, prefix: Prefix, seen: dict[str, Tensor] | None = None) -> None:
        self._prefix, self._seen = prefix, seen

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        rows = keys.shape[0]
        keys = torch.cat([self._prefix.keys[layer].expand(rows, -1, -1, -1), keys], dim=2)
        values = torch.cat([self._prefix.values[layer].expand(rows, -1, -1, -1), values], dim=2)
        if self._seen is not None:
            self._seen |= {"keys": keys, "values": values}
        return keys, values

    def get_seq_length(self, *_: Any) -> int:
        return self._prefix.length


def _is_cache(value: Any) -> bool:
    return hasattr(value, "get_seq_length") and hasattr(value, "update")


def _is_mask(value: Any) -> bool:
    """Return whether an argument of a block is its attention mask, (batch, heads, queries, keys)."""
    return isinstance(value, Tensor) and value.dim() == 4


def _same_for_all(bias: Tensor, sequences: int, together: int) -> Tensor:
    """Extend the bias of one token after a prefix to sequences of `together` rows, all of which have its position."""
    own = bias[..., -1:].expand(*bias.shape[:-1], together)
    return torch.cat([bias[..., :-1], own], dim=-1).repeat(sequences, *[1] * (bias.dim() - 1))


def _own_token_alone(mask: Tensor, together: int) -> Tensor:
    """Extend the mask of one token after a prefix to `together` rows, each of which sees the prefix and itself only."""
    if together == 1:
        return mask
    hidden = False if mask.dtype == torch.bool else torch.finfo(mask.dtype).min
    own = torch.full((together, together), hidden, dtype=mask.dtype, device=mask.device)
    own.diagonal().copy_(mask[0, 0, 0, -1].expand(together))
    own = own.expand(*mask.shape[:2], -1, -1)
    return torch.cat([mask[..., :-1].expand(-1, -1, together, -1), own], dim=-1)
