"""The Jacobian of one layer's attention: in closed form if that holds for the model, else by differentiation.

A trial decides whether the closed form (`plateaus.mechanism.closed_attention`) describes the model: at a few rows it is
compared with a forward-mode derivative through the model itself, once per layer and prefix length.
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
"""Largest accepted relative difference between the closed form and the derivative through the model, in float32."""
TRIED = 3
"""Number of rows, spread evenly over the path, at which the closed form is tried."""


class LayerAttention:
    """Attention of one layer. What does not depend on the rows is read from the model once per prefix length."""

    def __init__(self, model: Transformer, layer: int, *, memory_gb: float) -> None:
        """Prepare the attention of one layer.

        Args:
            model: The model.
            layer: Index of the block.
            memory_gb: Memory budget in GB for pushing directions through attention.
        """
        self.model, self.layer, self.memory_gb = model, layer, memory_gb
        self._closed: dict[int, Affine | None] = {}
        self._values: dict[int, Tensor] = {}

    def at(self, rows: Float[Tensor, "rows d_model"], prefix: Prefix) -> AttentionAt:
        """Return the attention of this layer at rows of resid_pre, after a prefix that is held fixed."""
        if prefix.length not in self._closed:  # beside the rows, the form depends only on positions
            affine = closed_attention.read_affine(self.model, self.layer, prefix)
            held = affine is not None and self._holds(affine, rows, prefix)
            self._closed[prefix.length] = affine if held else None
        return AttentionAt(self, rows, prefix, self._closed[prefix.length])

    def values(self, length: int, affine: Affine) -> Tensor:
        """Return `closed_attention.through_out`, (heads, d_model, d_model), computed once per prefix length.

        It holds one matrix per head, so it is computed only when it is needed.
        """
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
        """Run attention at the rows if it has a closed form.

        Args:
            of: The attention of the layer.
            rows: (rows, d_model), resid_pre.
            prefix: The prefix, held fixed.
            affine: The layer's matrices for the closed form; None if the closed form does not hold.
        """
        self._of, self._rows, self._prefix, self.affine = of, rows, prefix, affine
        self._heads = None if affine is None else closed_attention.read_heads(of.model, of.layer, rows, prefix)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    def push(self, v: Float[Tensor, "k rows d_model"]) -> Float[Tensor, "k rows d_model"]:
        """Return J_attn v for k directions at every row, including the norm before attention."""
        if self.affine is not None and self._heads is not None:
            return closed_attention.push(self.affine, self._heads, self._rows, v)
        of = self._of
        chunk = self.directions_at_once(len(self._rows))
        return push_by_differentiation(of.model, of.layer, self._rows, self._prefix, v, chunk)

    def matrices(self, rows: Sequence[int]) -> Float[Tensor, "rows d_model d_model"]:
        """Return J_attn at the rows with the given indices."""
        some = torch.tensor(list(rows), device=self._rows.device)
        if self.affine is not None and self._heads is not None:
            heads = closed_attention.Heads(*(values[some] for values in self._heads))
            values = self._of.values(self._prefix.length, self.affine)
            return closed_attention.jacobian(self.affine, heads, self._rows[some], values)
        chunk = self.directions_at_once(len(some))
        return by_differentiation(self._of.model, self._of.layer, self._rows[some], self._prefix, chunk)

    def directions_at_once(self, rows: int) -> int:
        """Return how many directions can be pushed at this number of rows at a time within the memory budget."""
        return max(1, int(self._of.memory_gb * 1e9 / (rows * self._of.model.bytes_per_row(self._prefix.length))))


def push_by_differentiation(
    model: Transformer, layer: int, rows: Tensor, prefix: Prefix, v: Float[Tensor, "k rows d_model"], chunk: int
) -> Float[Tensor, "k rows d_model"]:
    """Return J_attn v by forward-mode differentiation through the model, `chunk` directions at a time."""

    def push(one: Tensor) -> Tensor:
        moved: Tensor = torch.func.jvp(lambda x: model.attention(layer, x, prefix), (rows,), (one,))[1]
        return moved

    with torch.no_grad():  # forward mode needs no graph, which would triple the memory
        pushed: Tensor = torch.func.vmap(push, chunk_size=max(1, chunk))(v)
    return pushed


def by_differentiation(
    model: Transformer, layer: int, rows: Tensor, prefix: Prefix, chunk: int
) -> Float[Tensor, "rows d_model d_model"]:
    """Return J_attn at every row, from one forward-mode derivative per basis vector, `chunk` of them at a time."""
    count, d = rows.shape
    basis = torch.eye(d, dtype=rows.dtype, device=rows.device)[:, None, :].expand(d, count, d)
    return push_by_differentiation(model, layer, rows, prefix, basis, chunk).permute(1, 2, 0)
