"""An MLP branch with its norm as plain weights, and its Jacobian's norm in closed form.

f(x) = W_out act(W_in n(x) + b_in) + b_out, or gated, f(x) = W_out (act(W_gate n(x)) * (W_in n(x))), where n is
LayerNorm or RMSNorm. With the norm's gain and centring P folded into A = (W_in * gain) P, its output before the gain
x^ = P x / sigma and g = act'(z), the Jacobian is W_out diag(g) A (I - x^ x^T / d) / sigma, and

    |J|_F^2 = (g^T M g - (2/d) |J_fc x^|^2 + |J_fc x^|^2 |x^|^2 / d^2) / sigma^2,   M = (A A^T) * (W_out^T W_out),

so that one Gram matrix per layer, made once, gives every step of every pair by a quadratic form in place of d_model
backward passes. `sigma` holds the norm's eps, so nothing is approximated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

Rows = Float[Tensor, "rows d_model"]


class Norm(NamedTuple):
    """LayerNorm or RMSNorm.

    Attributes:
        gain: (d_model,), what the normalised vector is multiplied by.
        bias: (d_model,), added after the gain; zeros where there is none.
        eps: Added to the mean square before the root.
        centred: Whether the mean is removed first (LayerNorm).
    """

    gain: Float[Tensor, " d_model"]
    bias: Float[Tensor, " d_model"]
    eps: float
    centred: bool

    def centre(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """P x: x without its mean over d_model for LayerNorm, x itself for RMSNorm."""
        return x - x.mean(-1, keepdim=True) if self.centred else x

    def normalise(self, x: Rows) -> tuple[Rows, Float[Tensor, "rows 1"]]:
        """The normalised vector before gain and bias, and sigma, the root that it was divided by."""
        centred = self.centre(x)
        sigma = (centred.square().mean(-1, keepdim=True) + self.eps).sqrt()
        return centred / sigma, sigma

    def __call__(self, x: Rows) -> Rows:
        """The norm's output."""
        return self.normalise(x)[0] * self.gain + self.bias

    def push(self, x: Rows, v: Rows) -> Rows:
        """The derivative of the normalised vector (before gain) at x along v: (P v - x^ (x^ . v) / d) / sigma."""
        normalised, sigma = self.normalise(x)
        along = (normalised * v).sum(-1, keepdim=True) / x.shape[-1]
        return (self.centre(v) - normalised * along) / sigma

    def jacobian_norm(self, x: Rows) -> Float[Tensor, " rows"]:
        """|J|_F of the norm itself, gain included (the post, footnote 4)."""
        normalised, sigma = self.normalise(x)
        d = x.shape[-1]
        gain = self.gain.square()
        kept = gain.sum() * (1 - 1 / d if self.centred else 1)
        removed = (gain * normalised.square()).sum(-1)
        square = kept - removed * (2 / d) + removed * normalised.square().sum(-1) / d**2
        return square.clamp_min(0).sqrt() / sigma.squeeze(-1)


class Mlp(NamedTuple):
    """One layer's MLP branch.

    Attributes:
        norm: What it reads its input through.
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

    def __call__(self, x: Rows) -> Rows:
        """The branch's output, what it adds to the residual stream."""
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


class Gram(NamedTuple):
    """What of the quadratic form belongs to the layer and not to the input; the gate's are None in plain MLPs.

    Attributes:
        in_in: (d_mlp, d_mlp).
        in_gate: Likewise, between input and gate.
        gate_gate: Likewise.
        folded_in: `Mlp.folded`'s input weights, (d_mlp, d_model).
        folded_gate: Its gate weights.
    """

    in_in: Tensor
    in_gate: Tensor | None
    gate_gate: Tensor | None
    folded_in: Tensor
    folded_gate: Tensor | None


BLOCKS = 8
"""Into how many parts the rows of a symmetric matrix are cut, of which those above the diagonal are not computed."""


def gram(mlp: Mlp) -> Gram:
    """(A A^T) * (W_out^T W_out) for each pair of input matrices: made once per layer, for all steps and pairs."""
    a, gate = mlp.folded()
    out = mlp.w_out.T.contiguous()
    if gate is None:
        return Gram(_symmetric(a, out), None, None, a, None)
    return Gram(_symmetric(a, out), (a @ gate.T).mul_(out @ out.T), _symmetric(gate, out), a, gate)


def _symmetric(a: Tensor, out: Tensor) -> Tensor:
    """(a a^T) * (out out^T), with each pair of blocks computed once."""
    n = len(a)
    whole = a.new_empty(n, n)
    size = -(-n // BLOCKS)
    parts = [slice(start, min(start + size, n)) for start in range(0, n, size)]
    for number, rows in enumerate(parts):
        for columns in parts[: number + 1]:
            block = (a[rows] @ a[columns].T).mul_(out[rows] @ out[columns].T)
            whole[rows, columns] = block
            whole[columns, rows] = block.T
    return whole


class MlpNorms(NamedTuple):
    """Frobenius norms at every row.

    Attributes:
        mlp: Of the branch with its norm.
        mlp_fc: Of the branch without it, with respect to the normalised vector before the gain (within the space of
            centred vectors for LayerNorm).
        norm: Of the norm alone, gain included.
    """

    mlp: Float[Tensor, " rows"]
    mlp_fc: Float[Tensor, " rows"]
    norm: Float[Tensor, " rows"]


def jacobian_norms(mlp: Mlp, matrices: Gram, x: Rows) -> MlpNorms:
    """|J|_F in closed form at every row; see the module's docstring.

    Args:
        mlp: The branch.
        matrices: `gram(mlp)`.
        x: The residual vectors that the branch reads.
    """
    at = mlp.linearise(x)
    a, gate = matrices.folded_in, matrices.folded_gate
    normalised, sigma = mlp.norm.normalise(x)
    d = x.shape[-1]
    form = _form(at.through_in, matrices.in_in, at.through_in)
    along = at.through_in * (normalised @ a.T)
    if gate is not None and at.through_gate is not None:
        assert matrices.in_gate is not None
        assert matrices.gate_gate is not None
        form = form + 2 * _form(at.through_in, matrices.in_gate, at.through_gate)
        form = form + _form(at.through_gate, matrices.gate_gate, at.through_gate)
        along = along + at.through_gate * (normalised @ gate.T)
    removed = (along @ mlp.w_out.T).square().sum(-1)
    square = form - removed * (2 / d) + removed * normalised.square().sum(-1) / d**2
    return MlpNorms(
        mlp=square.clamp_min(0).sqrt() / sigma.squeeze(-1),
        mlp_fc=form.clamp_min(0).sqrt(),
        norm=mlp.norm.jacobian_norm(x),
    )


def _form(left: Tensor, matrix: Tensor, right: Tensor) -> Tensor:
    return ((left @ matrix) * right).sum(-1)


def push(mlp: Mlp, x: Rows, v: Rows) -> Rows:
    """J v of the branch with its norm, one direction per row."""
    return push_fc(mlp, x, mlp.norm.push(x, v))


def push_fc(mlp: Mlp, x: Rows, u: Rows) -> Rows:
    """J_fc u of the branch without its norm, u being a change of the normalised vector before the gain."""
    at = mlp.linearise(x)
    scaled = u * mlp.norm.gain
    hidden = at.through_in * (scaled @ mlp.w_in.T)
    if mlp.w_gate is not None and at.through_gate is not None:
        hidden = hidden + at.through_gate * (scaled @ mlp.w_gate.T)
    return hidden @ mlp.w_out.T


def jacobian(mlp: Mlp, x: Rows) -> Float[Tensor, "rows d_model d_model"]:
    """The whole Jacobian of the branch with its norm at every row, for products along the layers."""
    at = mlp.linearise(x)
    a, gate = mlp.folded()
    normalised, sigma = mlp.norm.normalise(x)
    hidden = at.through_in[:, :, None] * a
    if gate is not None and at.through_gate is not None:
        hidden = hidden + at.through_gate[:, :, None] * gate
    whole = mlp.w_out @ hidden
    removed = (whole @ normalised[:, :, None]) * (normalised[:, None, :] / x.shape[-1])
    return (whole - removed) / sigma[:, :, None]


def derivative(activation: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """The derivative of any elementwise function at every element."""
    with torch.enable_grad():
        leaf = z.detach().requires_grad_()
        (slope,) = torch.autograd.grad(activation(leaf).sum(), leaf)
    return slope
