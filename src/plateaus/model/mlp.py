"""An MLP branch and its norms as plain weights, and the first-order coefficients of its hidden units at every input.

f(x) = W_out act(W_in n(x) + b_in) + b_out, or gated, f(x) = W_out (act(W_gate n(x)) * (W_in n(x))), where n is
LayerNorm or RMSNorm. `plateaus.mechanism.mlp_jacobian` computes the Jacobian of the branch from these coefficients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from plateaus.model.norm import Norm
from plateaus.model.products import linear

Rows = Float[Tensor, "rows d_model"]


class Mlp(NamedTuple):
    """The MLP branch of one layer.

    Attributes:
        norm: The norm that is applied to the input.
        post_norm: The norm that is applied to the output before it is added to the residual stream; None in most
            models.
        w_in: Input weights, (d_mlp, d_model).
        b_in: Input biases, (d_mlp,).
        w_gate: Gate weights, (d_mlp, d_model); None in MLPs without a gate.
        b_gate: Gate biases, (d_mlp,); None in MLPs without a gate.
        w_out: Output weights, (d_model, d_mlp).
        b_out: Output biases, (d_model,).
        activation: The elementwise activation function.
    """

    norm: Norm
    w_in: Float[Tensor, "d_mlp d_model"]
    b_in: Float[Tensor, " d_mlp"]
    w_gate: Float[Tensor, "d_mlp d_model"] | None
    b_gate: Float[Tensor, " d_mlp"] | None
    w_out: Float[Tensor, "d_model d_mlp"]
    b_out: Float[Tensor, " d_model"]
    activation: Callable[[Tensor], Tensor]
    post_norm: Norm | None = None

    def __call__(self, x: Rows) -> Rows:
        """Return the branch's output, which is added to the residual stream."""
        out = self.before_post_norm(x)
        return out if self.post_norm is None else self.post_norm(out)

    def before_post_norm(self, x: Rows) -> Rows:
        """Return the output of W_out, before `post_norm`."""
        read = self.norm(x)
        z = self.pre_activation(x)
        hidden = self.activation(z)
        if self.w_gate is not None:
            hidden = hidden * linear(read, self.w_in, self.b_in)
        return linear(hidden, self.w_out, self.b_out)

    def pre_activation(self, x: Rows) -> Float[Tensor, "rows d_mlp"]:
        """Return the pre-activation, which is that of the gate in gated MLPs."""
        read = self.norm(x)
        if self.w_gate is None or self.b_gate is None:
            return linear(read, self.w_in, self.b_in)
        return linear(read, self.w_gate, self.b_gate)

    def linearise(self, x: Rows) -> Linearisation:
        """Return the first-order coefficients of the hidden units at every row."""
        z = self.pre_activation(x)
        slope = derivative(self.activation, z)
        # Less its value at x^ = 0, which comes from the biases, a unit's input is its own derivative along x^.
        if self.w_gate is None or self.b_gate is None:
            along = slope * (z - self.w_in @ self.norm.bias - self.b_in)
            return Linearisation(through_in=slope, through_gate=None, along=along)
        factor = linear(self.norm(x), self.w_in, self.b_in)
        through_in, through_gate = self.activation(z), slope * factor
        along = through_in * (factor - self.w_in @ self.norm.bias - self.b_in)
        along += through_gate * (z - self.w_gate @ self.norm.bias - self.b_gate)
        return Linearisation(through_in, through_gate, along)

    def folded(self) -> tuple[Tensor, Tensor | None]:
        """Fold the norm's gain and centring into the input weights, A = (W_in * gain) P, and into the gate weights."""
        fold = [None if w is None else self.norm.centre(w * self.norm.gain) for w in (self.w_in, self.w_gate)]
        assert fold[0] is not None
        return fold[0], fold[1]


class Linearisation(NamedTuple):
    """Coefficients of the hidden units in the branch's Jacobian, at every row.

    The Jacobian before `post_norm` is W_out (diag(through_in) W_in + diag(through_gate) W_gate) J_n, where J_n is the
    Jacobian of `norm`.

    Attributes:
        through_in: act'(z), or act(gate) in gated MLPs; (rows, d_mlp).
        through_gate: act'(gate) times the output of W_in, (rows, d_mlp); None in MLPs without a gate.
        along: The derivative of the hidden units along x^, the normalised vector before gain and bias, (rows, d_mlp).
    """

    through_in: Float[Tensor, "rows d_mlp"]
    through_gate: Float[Tensor, "rows d_mlp"] | None
    along: Float[Tensor, "rows d_mlp"]

    def at(self, rows: slice) -> Linearisation:
        """Return the coefficients of some of the rows."""
        gate = None if self.through_gate is None else self.through_gate[rows]
        return Linearisation(self.through_in[rows], gate, self.along[rows])


def derivative(activation: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """Return the derivative of an elementwise function at every element of z, with the shape of z."""
    with torch.enable_grad():
        leaf = z.detach().requires_grad_()
        (slope,) = torch.autograd.grad(activation(leaf).sum(), leaf)
    return slope
