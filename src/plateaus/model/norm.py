"""A LayerNorm or RMSNorm as plain weights, its Jacobian in closed form, and the norm that does nothing.

With P the centring (the identity for RMSNorm), sigma the root of the mean square of P x plus eps, and x^ = P x / sigma,
the normalised vector's Jacobian is (P - x^ x^^T / d) / sigma. `sigma` holds the eps, so nothing is approximated.
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
        gain: (d_model,), what the normalised vector is multiplied by.
        bias: (d_model,), added after the gain; zeros where there is none.
        eps: Added to the mean square before the root.
        centred: Whether the mean is removed first (LayerNorm).
        scaled: Whether there is a norm at all; without one the vector is passed on as it is (OLMo-2, before the MLP).
    """

    gain: Float[Tensor, " d_model"]
    bias: Float[Tensor, " d_model"]
    eps: float
    centred: bool
    scaled: bool = True

    @classmethod
    def none(cls, like: Float[Tensor, " d_model"]) -> Norm:
        """The norm that does nothing, of a vector's width, type and device."""
        return cls(torch.ones_like(like), torch.zeros_like(like), 0.0, centred=False, scaled=False)

    def centre(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """P x: x without its mean over d_model for LayerNorm, x itself for RMSNorm."""
        return x - x.mean(-1, keepdim=True) if self.centred else x

    def normalise(self, x: Rows) -> tuple[Rows, Float[Tensor, "rows 1"]]:
        """The normalised vector before gain and bias, and sigma, the root that it was divided by."""
        if not self.scaled:
            return x, torch.ones_like(x[:, :1])
        centred = self.centre(x)
        sigma = (centred.square().mean(-1, keepdim=True) + self.eps).sqrt()
        return centred / sigma, sigma

    def __call__(self, x: Rows) -> Rows:
        """The norm's output."""
        return self.normalise(x)[0] * self.gain + self.bias

    def push(self, x: Rows, v: Float[Tensor, "*k rows d_model"]) -> Float[Tensor, "*k rows d_model"]:
        """The derivative of the normalised vector (before gain) at x along v: (P v - x^ (x^ . v) / d) / sigma.

        That matrix is symmetric, so this is its product from the left as well.
        """
        normalised, sigma = self.normalise(x)
        return (self.centre(v) - normalised * self._along(normalised, v)) / sigma

    def through(self, x: Rows, whole: Matrices) -> Matrices:
        """`whole`, which is centred already, times the Jacobian of the normalised vector on the right; in place."""
        normalised, sigma = self.normalise(x)
        if not self.scaled:
            return whole
        along = whole @ normalised[:, :, None]
        return whole.addcmul_(along, normalised[:, None, :], value=-1 / x.shape[-1]).div_(sigma[:, :, None])

    def after(self, x: Rows, whole: Matrices) -> Matrices:
        """The Jacobian of the norm, gain included, times `whole`."""
        normalised, sigma = self.normalise(x)
        if not self.scaled:
            return whole
        centred = whole - whole.mean(1, keepdim=True) if self.centred else whole
        removed = normalised[:, :, None] * ((normalised[:, None, :] @ whole) / x.shape[-1])
        return self.gain[:, None] * (centred - removed) / sigma[:, :, None]

    def shrink(self, square: Float[Tensor, " rows"], along: Float[Tensor, " rows"], x: Rows) -> Float[Tensor, " rows"]:
        """|B J_n|_F^2 for any matrix B on centred vectors, from |B|_F^2 and |B x^|^2.

        Since x^ is an eigenvector of the projection, this is (|B|^2 - (2/d)|B x^|^2 + |B x^|^2 |x^|^2 / d^2) / sigma^2.
        """
        if not self.scaled:
            return square
        normalised, sigma = self.normalise(x)
        d = x.shape[-1]
        kept = square - along * (2 / d) + along * normalised.square().sum(-1) / d**2
        return kept.clamp_min(0) / sigma.squeeze(-1).square()

    def jacobian_norm(self, x: Rows) -> Float[Tensor, " rows"]:
        """|J|_F of the norm itself, gain included (the post, footnote 4)."""
        gain, d = self.gain.square(), x.shape[-1]
        whole = (gain.sum() * (1 - 1 / d if self.centred else 1)).expand(len(x))
        return self.shrink(whole, (gain * self.normalise(x)[0].square()).sum(-1), x).sqrt()

    def _along(self, normalised: Rows, v: Float[Tensor, "*k rows d_model"]) -> Float[Tensor, "*k rows 1"]:
        if not self.scaled:
            return torch.zeros_like(v[..., :1])
        return (normalised * v).sum(-1, keepdim=True) / v.shape[-1]
