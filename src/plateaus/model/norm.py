"""A LayerNorm or RMSNorm as plain weights, the closed form of its Jacobian, and a norm that does nothing.

Let P be the centring (the identity for RMSNorm), sigma = sqrt(mean((P x)^2) + eps), and x^ = P x / sigma. The Jacobian
of the normalised vector x^ is (P - x^ x^^T / d) / sigma. It is exact, because sigma includes eps.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

Rows = Float[Tensor, "rows d_model"]
Matrices = Float[Tensor, "rows d_model d_model"]


class Norm(NamedTuple):
    """LayerNorm or RMSNorm.

    Attributes:
        gain: Factor of the normalised vector, (d_model,).
        bias: Added after the gain, (d_model,); zeros if the norm has no bias.
        eps: Added to the mean square before the square root.
        centred: Whether the mean is removed first (LayerNorm).
        scaled: Whether there is a norm at all; if not, the vector is passed on unchanged (OLMo-2, before the MLP).
    """

    gain: Float[Tensor, " d_model"]
    bias: Float[Tensor, " d_model"]
    eps: float
    centred: bool
    scaled: bool = True

    @classmethod
    def none(cls, like: Float[Tensor, " d_model"]) -> Norm:
        """Return a norm that does nothing, with the width, dtype and device of a vector."""
        return cls(torch.ones_like(like), torch.zeros_like(like), 0.0, centred=False, scaled=False)

    def centre(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """Return P x, which is x minus its mean over d_model for LayerNorm, and x itself for RMSNorm."""
        return x - x.mean(-1, keepdim=True) if self.centred else x

    def normalise(self, x: Rows) -> tuple[Rows, Float[Tensor, "rows 1"]]:
        """Return the normalised vector before gain and bias, and sigma, by which it was divided."""
        if not self.scaled:
            return x, torch.ones_like(x[:, :1])
        centred = self.centre(x)
        sigma = (centred.square().mean(-1, keepdim=True) + self.eps).sqrt()
        return centred / sigma, sigma

    def __call__(self, x: Rows) -> Rows:
        """Return the norm's output."""
        return self.normalise(x)[0] * self.gain + self.bias

    def push(self, x: Rows, v: Float[Tensor, "*k rows d_model"]) -> Float[Tensor, "*k rows d_model"]:
        """Return the derivative of the normalised vector (before gain) at x along v, (P v - x^ (x^ . v) / d) / sigma.

        The Jacobian is symmetric, so this is also the product of v with the Jacobian from the left.
        """
        normalised, sigma = self.normalise(x)
        return (self.centre(v) - normalised * self._along(normalised, v)) / sigma

    def through(self, x: Rows, whole: Matrices) -> Matrices:
        """Multiply `whole`, whose rows are already centred, by the Jacobian of the normalised vector from the right.

        The product is written into `whole`, which is returned.
        """
        normalised, sigma = self.normalise(x)
        if not self.scaled:
            return whole
        along = whole @ normalised[:, :, None]
        return whole.addcmul_(along, normalised[:, None, :], value=-1 / x.shape[-1]).div_(sigma[:, :, None])

    def after(self, x: Rows, whole: Matrices) -> Matrices:
        """Return the Jacobian of the norm at x, including the gain, times `whole`."""
        normalised, sigma = self.normalise(x)
        if not self.scaled:
            return whole
        centred = whole - whole.mean(1, keepdim=True) if self.centred else whole
        removed = normalised[:, :, None] * ((normalised[:, None, :] @ whole) / x.shape[-1])
        return self.gain[:, None] * (centred - removed) / sigma[:, :, None]

    def shrink(self, square: Float[Tensor, " rows"], along: Float[Tensor, " rows"], x: Rows) -> Float[Tensor, " rows"]:
        """Return |B J_n|_F^2 at every row, for matrices B that act on centred vectors.

        J_n is the Jacobian of the normalised vector. The result is
        (|B|_F^2 - (2/d) |B x^|^2 + |B x^|^2 |x^|^2 / d^2) / sigma^2.

        Args:
            square: |B|_F^2 at every row.
            along: |B x^|^2 at every row.
            x: The inputs of the norm.
        """
        if not self.scaled:
            return square
        normalised, sigma = self.normalise(x)
        d = x.shape[-1]
        kept = square - along * (2 / d) + along * normalised.square().sum(-1) / d**2
        return kept.clamp_min(0) / sigma.squeeze(-1).square()

    def jacobian_norm(self, x: Rows) -> Float[Tensor, " rows"]:
        """Return |J|_F of the norm itself, including the gain (the post, footnote 4)."""
        gain, d = self.gain.square(), x.shape[-1]
        whole = (gain.sum() * (1 - 1 / d if self.centred else 1)).expand(len(x))
        return self.shrink(whole, (gain * self.normalise(x)[0].square()).sum(-1), x).sqrt()

    def _along(self, normalised: Rows, v: Float[Tensor, "*k rows d_model"]) -> Float[Tensor, "*k rows 1"]:
        if not self.scaled:
            return torch.zeros_like(v[..., :1])
        return (normalised * v).sum(-1, keepdim=True) / v.shape[-1]
