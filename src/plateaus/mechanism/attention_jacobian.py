"""Attention of one layer, to be differentiated: in closed form where that holds, else through the model.

A trial finds out whether the closed form (`plateaus.mechanism.closed_attention`) is what the model does: at some rows
it is compared with a forward-mode derivative through the model itself, once per layer and length of the prefix.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from plateaus.mechanism import closed_attention
from plateaus.mechanism.closed_attention import Affine
from plateaus.model.prefix import Prefix
from plateaus.model.transformer import Transformer

AGREEMENT = 1e-3
"""Largest relative difference between the closed form and a derivative taken through the model, in float32."""
TRIED = 3
"""At how many rows, spread over the path."""


class LayerAttention:
    """Attention of one layer; what does not depend on the rows is read off the model once."""

    def __init__(self, model: Transformer, layer: int, *, memory_gb: float) -> None:
        """The attention of a layer.

        Args:
            model: The model.
            layer: Which block.
            memory_gb: Budget for what is differentiated through the model.
        """
        self.model, self.layer, self.memory_gb = model, layer, memory_gb
        self._closed: dict[int, Affine | None] = {}
        self._values: dict[int, Tensor] = {}

    def at(self, rows: Float[Tensor, "rows d_model"], prefix: Prefix) -> AttentionAt:
        """The same at rows of resid_pre."""
        if prefix.length not in self._closed:  # positions are all that queries and keys depend on beside the rows
            affine = closed_attention.read_affine(self.model, self.layer, prefix)
            held = affine is not None and self._holds(affine, rows, prefix)
            self._closed[prefix.length] = affine if held else None
        return AttentionAt(self, rows, prefix, self._closed[prefix.length])

    def values(self, length: int, affine: Affine) -> Tensor:
        """`closed_attention.through_out`, made only where it is needed because it is as large as a matrix per head."""
        if length not in self._values:
            self._values[length] = closed_attention.through_out(affine)
        return self._values[length]

    def _holds(self, affine: Affine, rows: Tensor, prefix: Prefix) -> bool:
        tried = rows[torch.linspace(0, len(rows) - 1, min(TRIED, len(rows))).long()]
        generator = torch.Generator().manual_seed(self.layer)
        v = torch.randn(1, *tried.shape, generator=generator).to(tried)
        found = closed_attention.push(
            affine, closed_attention.read_heads(self.model, self.layer, tried, prefix), tried, v
        )
        expected = push_by_differentiation(self.model, self.layer, tried, prefix, v, 1)
        difference = torch.linalg.vector_norm(found - expected)
        return bool(difference <= AGREEMENT * torch.linalg.vector_norm(expected))


class AttentionAt:
    """Attention of one layer at the rows of one path."""

    def __init__(self, of: LayerAttention, rows: Tensor, prefix: Prefix, affine: Affine | None) -> None:
        """Attention at rows.

        Args:
            of: The layer's.
            rows: (rows, d_model), resid_pre.
            prefix: The prefix, held fixed.
            affine: Its closed form; None where it has none.
        """
        self._of, self._rows, self._prefix, self.affine = of, rows, prefix, affine
        self._heads = None if affine is None else closed_attention.read_heads(of.model, of.layer, rows, prefix)

    def push(self, v: Float[Tensor, "k rows d_model"]) -> Float[Tensor, "k rows d_model"]:
        """J_attn v for k directions at every row, the norm before attention included."""
        if self.affine is not None and self._heads is not None:
            return closed_attention.push(self.affine, self._heads, self._rows, v)
        of = self._of
        chunk = self.directions_at_once(len(self._rows))
        return push_by_differentiation(of.model, of.layer, self._rows, self._prefix, v, chunk)

    def matrices(self, rows: Sequence[int]) -> Float[Tensor, "rows d_model d_model"]:
        """J_attn at some of the rows."""
        some = torch.tensor(list(rows), device=self._rows.device)
        if self.affine is not None and self._heads is not None:
            heads = closed_attention.Heads(*(values[some] for values in self._heads))
            values = self._of.values(self._prefix.length, self.affine)
            return closed_attention.jacobian(self.affine, heads, self._rows[some], values)
        chunk = self.directions_at_once(len(some))
        return by_differentiation(self._of.model, self._of.layer, self._rows[some], self._prefix, chunk)

    def directions_at_once(self, rows: int) -> int:
        """How many directions to push at so many rows within the budget."""
        return max(1, int(self._of.memory_gb * 1e9 / (rows * self._of.model.bytes_per_row(self._prefix.length))))


def push_by_differentiation(
    model: Transformer, layer: int, rows: Tensor, prefix: Prefix, v: Float[Tensor, "k rows d_model"], chunk: int
) -> Float[Tensor, "k rows d_model"]:
    """J_attn v by forward-mode differentiation through the model, `chunk` directions at a time."""

    def push(one: Tensor) -> Tensor:
        moved: Tensor = torch.func.jvp(lambda x: model.attention(layer, x, prefix), (rows,), (one,))[1]
        return moved

    with torch.no_grad():  # forward mode needs no graph, and one triples the memory
        pushed: Tensor = torch.func.vmap(push, chunk_size=max(1, chunk))(v)
    return pushed


def by_differentiation(
    model: Transformer, layer: int, rows: Tensor, prefix: Prefix, chunk: int
) -> Float[Tensor, "rows d_model d_model"]:
    """J_attn at every row, one forward derivative per basis vector."""
    count, d = rows.shape
    basis = torch.eye(d, dtype=rows.dtype, device=rows.device)[:, None, :].expand(d, count, d)
    return push_by_differentiation(model, layer, rows, prefix, basis, chunk).permute(1, 2, 0)
