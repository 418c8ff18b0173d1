"""Distances between logits without logits: short vectors that have the same lengths and angles.

Logits are an affine map of the output y of the final norm, logits = W y + b, with one row of W per token. Lengths,
distances and inner products of logits depend on W and b only through G = [W b]^T [W b], whose size is that of the
residual stream. With any square root R of it, R^T R = G, the vectors z = R [y; 1] have the same lengths and inner
products as the logits, and so do their differences. A row costs d_model^2 products instead of d_model d_vocab.

Everything here is in float64. In float32, rounding would be worse than in logits: the rows of W have a large common
part, so a few entries of z are large, and their rounding errors point along the differences that are to be measured.
Those of d_vocab logits point in all directions.

This does not hold for logits that are not affine, such as the soft-capped ones of Gemma-2. `root_of` therefore compares
the lengths of a few vectors with those of real logits, and returns nothing if they do not agree.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

BLOCK_BYTES = 6.4e7
"""Bytes of the rows of W that are converted to float64 at a time."""
STRIP = 128
"""Columns of G that are computed in one product, on and below the diagonal alone, which is all that is read."""
TOLERANCE = 1e-4
"""Largest relative difference between the lengths of coordinates and of logits; rounding makes about 1e-6."""
TRIED = 4
"""Numbers of random residual vectors, and of rows of W, at which the two lengths are compared."""


class Root(NamedTuple):
    """A square root R of G in float64, as it is applied to row vectors.

    Attributes:
        linear: (d_model, n), the part of R^T that multiplies y; n is d_model, or d_model + 1 if the logits have a bias.
        constant: (n,), what is added, from the bias of the logits; None if they have none.
    """

    linear: Float[Tensor, "d_model n"]
    constant: Float[Tensor, " n"] | None

    def __call__(self, y: Float[Tensor, "rows d_model"]) -> Float[Tensor, "rows n"]:
        """Return the coordinates, in float64, of the logits of these outputs of the final norm."""
        exact = y.to(self.linear)
        return exact @ self.linear if self.constant is None else torch.addmm(self.constant, exact, self.linear)


def square_root(weight: Float[Tensor, "d_vocab d_model"], bias: Float[Tensor, " d_vocab"] | None = None) -> Root:
    """Compute the square root for logits = weight y + bias, in float64.

    The eigenvectors of G give the root, since G need not be invertible. Negative eigenvalues, which only rounding
    makes, count as zero.

    Args:
        weight: W, in any floating-point type.
        bias: b, or None if there is none.

    Returns:
        The root, on the device of W if that has float64, else on the CPU.
    """
    width = weight.shape[1] + (bias is not None)
    exact = torch.device("cpu") if weight.device.type == "mps" else weight.device
    gram = torch.zeros(width, width, dtype=torch.float64, device=exact)
    rows = max(1, int(BLOCK_BYTES / (8 * width)))
    for start in range(0, len(weight), rows):
        block = weight[start : start + rows].to(exact, torch.float64)
        if bias is not None:
            block = torch.cat([block, bias[start : start + rows, None].to(block)], dim=1)
        for first in range(0, width, STRIP):
            gram[first:, first : first + STRIP] += block[:, first:].T @ block[:, first : first + STRIP]
    values, vectors = torch.linalg.eigh(gram, UPLO="L")
    root = vectors * values.clamp_min(0).sqrt()
    d_model = weight.shape[1]
    return Root(root[:d_model].contiguous(), None if bias is None else root[d_model])


def root_of(
    weight: Float[Tensor, "d_vocab d_model"],
    bias: Float[Tensor, " d_vocab"] | None,
    scale: float,
    normalise: Callable[[Tensor], Tensor],
    logits: Callable[[Tensor], Tensor],
) -> Root | None:
    """Compute the square root of a model and compare it with the model's logits.

    Args:
        weight: The unembedding matrix.
        bias: The unembedding's bias, or None if there is none.
        scale: The factor by which the model multiplies the output of the unembedding.
        normalise: The final norm, from (rows, d_model) to (rows, d_model).
        logits: All of it, from (rows, d_model) before the final norm to (rows, d_vocab).

    Returns:
        The root, or None if the lengths of some logits or of their differences are not those of the coordinates, so
        that the logits are not this affine map.
    """
    plain = square_root(weight, bias)
    root = Root(scale * plain.linear, None if plain.constant is None else scale * plain.constant)
    # Rows of W as residual vectors make some logits large. They alternate with random rows, since two rows of W may be
    # so close that their difference is nothing but rounding.
    generator = torch.Generator().manual_seed(0)
    random = torch.randn(TRIED, weight.shape[1], generator=generator).to(weight.device)
    tokens = torch.randint(len(weight), (TRIED,), generator=generator).to(weight.device)
    rows = torch.stack([random, weight[tokens].float()], dim=1).flatten(0, 1)
    short, full = (torch.cat([x, x.diff(dim=0)]).norm(dim=-1).cpu() for x in (root(normalise(rows)), logits(rows)))
    return root if bool(((short - full).abs() <= TOLERANCE * full).all()) else None  # a NaN is a disagreement
