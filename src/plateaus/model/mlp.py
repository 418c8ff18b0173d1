"""An MLP branch with its norms as plain weights, and its first-order coefficients at every input.

f(x) = W_out act(W_in n(x) + b_in) + b_out, or gated, f(x) = W_out (act(W_gate n(x)) * (W_in n(x))), where n is
LayerNorm or RMSNorm. `plateaus.mechanism.mlp_jacobian` makes the branch's Jacobian of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from plateaus.model.norm import Norm

Rows = Float[Tensor, "rows d_model"]


class Mlp(NamedTuple):
    """One layer's MLP branch.

    Attributes:
        norm: What it reads its input through.
        post_norm: What its output goes through before it is added to the residual stream; None in most models.
        w_in: (d_mlp, d_model).
        b_in: (d_mlp,).
        w_gate: (d_mlp, d_model) in gated MLPs, else None.
        b_gate: (d_mlp,), else None.
        w_out: (d_model, d_mlp).
        b_out: (d_model,).
        activation: Elementwise.
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
        """The branch's output, what it adds to the residual stream."""
        out = self.before_post_norm(x)
        return out if self.post_norm is None else self.post_norm(out)

    def before_post_norm(self, x: Rows) -> Rows:
        """The output of W_out."""
        read = self.norm(x)
        z = self.pre_activation(x)
        hidden = self.activation(z)
        if self.w_gate is not None:
            hidden = hidden * (read @ self.w_in.T + self.b_in)
        return hidden @ self.w_out.T + self.b_out

    def pre_activation(self, x: Rows) -> Float[Tensor, "rows d_mlp"]:
        """What the activation function is applied to: the gate's in gated MLPs."""
        read = self.norm(x)
        if self.w_gate is None or self.b_gate is None:
            return read @ self.w_in.T + self.b_in
        return read @ self.w_gate.T + self.b_gate

    def linearise(self, x: Rows) -> Linearisation:
        """The branch's first-order coefficients at every row."""
        z = self.pre_activation(x)
        slope = derivative(self.activation, z)
        if self.w_gate is None:
            return Linearisation(through_in=slope, through_gate=None)
        return Linearisation(
            through_in=self.activation(z), through_gate=slope * (self.norm(x) @ self.w_in.T + self.b_in)
        )

    def folded(self) -> tuple[Tensor, Tensor | None]:
        """Input weights with the norm's gain and centring folded in, A = (W_in * gain) P, and the same of the gate."""
        fold = [None if w is None else self.norm.centre(w * self.norm.gain) for w in (self.w_in, self.w_gate)]
        assert fold[0] is not None
        return fold[0], fold[1]


class Linearisation(NamedTuple):
    """Coefficients of the hidden units: the Jacobian is W_out (diag(through_in) W_in + diag(through_gate) W_gate).

    Attributes:
        through_in: (rows, d_mlp); act'(z), or act(gate) in gated MLPs.
        through_gate: (rows, d_mlp); act'(gate) * up in gated MLPs, else None.
    """

    through_in: Float[Tensor, "rows d_mlp"]
    through_gate: Float[Tensor, "rows d_mlp"] | None

    def of_rows(self, rows: slice) -> Linearisation:
        """The same of some of the rows."""
        return Linearisation(self.through_in[rows], None if self.through_gate is None else self.through_gate[rows])


def derivative(activation: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """The derivative of any elementwise function at every element."""
    with torch.enable_grad():
        leaf = z.detach().requires_grad_()
        (slope,) = torch.autograd.grad(activation(leaf).sum(), leaf)
    return slope
