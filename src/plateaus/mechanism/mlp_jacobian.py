"""The Jacobian of an MLP branch: its Frobenius norm in closed form, and its products with directions.

The branch is f(x) = W_out act(W_in n(x) + b_in) + b_out, or f(x) = W_out (act(W_gate n(x)) * (W_in n(x))) if gated,
where n is LayerNorm or RMSNorm. Let A = (W_in * gain) P be the input weights with the norm's gain and centring P folded
in, x^ = P x / sigma the norm's output before the gain, and g = act'(z) the derivative of the activation at the
pre-activation z. The Jacobian of the branch without a gate is W_out diag(g) A (I - x^ x^^T / d) / sigma, and

    |J|_F^2 = (g^T M g - (2/d) |J_fc x^|^2 + |J_fc x^|^2 |x^|^2 / d^2) / sigma^2,   M = (A A^T) * (W_out^T W_out).

One Gram matrix M per layer, computed once, therefore gives the norm at every step of every pair by a quadratic form
instead of d_model backward passes; gated branches have three such matrices. `sigma` includes the norm's eps, so nothing
is approximated.

If the branch's output goes through a norm as well (Gemma-2, OLMo-2), with gain G and y^ = P f / sigma_f, the Jacobian
is G (P - y^ y^^T / d) J / sigma_f. With G P folded into W_out before M is computed, two products with J^T remain:

    |J'|_F^2 = (|G P J|_F^2 - (2/d) (J^T P G^2 y^) . (J^T y^) + |G y^|^2 |J^T y^|^2 / d^2) / sigma_f^2.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from plateaus.model.mlp import Linearisation, Mlp, Rows
from plateaus.model.norm import Norm
from plateaus.model.products import bmm, linear, matmul


class Gram(NamedTuple):
    """The part of the quadratic form that depends on the layer and not on the input.

    The attributes that belong to the gate are None in MLPs without a gate.

    Attributes:
        in_in: (d_mlp, d_mlp), the Gram matrix M of the input weights.
        in_gate: (d_mlp, d_mlp), the same for input weights with gate weights.
        gate_gate: (d_mlp, d_mlp), the same for the gate weights.
        folded_in: (d_mlp, d_model), the input weights as `Mlp.folded` returns them.
        folded_gate: (d_mlp, d_model), the gate weights as `Mlp.folded` returns them.
        post: The same with the gain and centring of the norm after the branch folded into W_out; None if there is no
            such norm.
    """

    in_in: Tensor
    in_gate: Tensor | None
    gate_gate: Tensor | None
    folded_in: Tensor
    folded_gate: Tensor | None
    post: Gram | None = None


BLOCKS = 8
"""Number of parts into which a symmetric matrix is cut each way; blocks above the diagonal are copied, not computed."""


def gram(mlp: Mlp) -> Gram:
    """Compute (A A^T) * (W_out^T W_out) for each pair of input matrices, once per layer for all steps and pairs."""
    a, gate = mlp.folded()
    plain = _gram(a, gate, mlp.w_out.T.contiguous())
    if mlp.post_norm is None:
        return plain
    return plain._replace(post=_gram(a, gate, mlp.post_norm.centre(mlp.w_out.T) * mlp.post_norm.gain))


def _gram(a: Tensor, gate: Tensor | None, out: Tensor) -> Gram:
    """Compute the Gram matrices from the folded input and gate weights and from W_out^T, (d_mlp, d_model)."""
    if gate is None:
        return Gram(_symmetric(a, out), None, None, a, None)
    return Gram(_symmetric(a, out), linear(a, gate).mul_(linear(out, out)), _symmetric(gate, out), a, gate)


def _symmetric(a: Tensor, out: Tensor) -> Tensor:
    """Compute (a a^T) * (out out^T), with each pair of mirrored blocks computed once."""
    n = len(a)
    whole = a.new_empty(n, n)
    size = -(-n // BLOCKS)
    parts = [slice(start, min(start + size, n)) for start in range(0, n, size)]
    for number, rows in enumerate(parts):
        for columns in parts[: number + 1]:
            block = linear(a[rows], a[columns]).mul_(linear(out[rows], out[columns]))
            whole[rows, columns] = block
            whole[columns, rows] = block.T
    return whole


class MlpNorms(NamedTuple):
    """Frobenius norms at every row.

    Attributes:
        mlp: The norm of the branch's Jacobian, including its LayerNorm or RMSNorm layers.
        mlp_fc: That of the branch without those layers, with respect to the normalised vector before the gain
            (restricted to centred vectors for LayerNorm).
        norm: That of one LayerNorm or RMSNorm alone, gain included: the one before the branch, or the one after it if
            there is none before (OLMo-2).
    """

    mlp: Float[Tensor, " rows"]
    mlp_fc: Float[Tensor, " rows"]
    norm: Float[Tensor, " rows"]


def jacobian_norms(mlp: Mlp, matrices: Gram, x: Rows, at: Linearisation) -> MlpNorms:
    """Compute |J|_F in closed form at every row; the module's docstring has the formulas.

    Args:
        mlp: The branch.
        matrices: `gram(mlp)`.
        x: The residual vectors that the branch reads.
        at: `mlp.linearise(x)`.
    """
    form = _form_of(matrices, at)
    if mlp.post_norm is None or matrices.post is None:
        square = mlp.norm.shrink(form, linear(at.along, mlp.w_out).square().sum(-1), x)
    else:
        square = _after_post_norm(mlp, mlp.post_norm, matrices, matrices.post, at, x)
    norm, read = separate_norm(mlp, x)
    return MlpNorms(mlp=square.clamp_min(0).sqrt(), mlp_fc=form.clamp_min(0).sqrt(), norm=norm.jacobian_norm(read))


def _after_post_norm(
    mlp: Mlp, post: Norm, matrices: Gram, folded: Gram, at: Linearisation, x: Rows
) -> Float[Tensor, " rows"]:
    """Compute |J'|_F^2 of a branch with a norm after it; the module's docstring has the formula.

    Args:
        mlp: The branch.
        post: The norm after the branch.
        matrices: `gram(mlp)`.
        folded: `matrices.post`, with the gain and centring of the norm after the branch folded into W_out.
        at: `mlp.linearise(x)`.
        x: The residual vectors that the branch reads.
    """
    d = x.shape[-1]
    y, sigma = post.normalise(mlp.before_post_norm(x))
    along = (post.centre(linear(at.along, mlp.w_out)) * post.gain).square().sum(-1)
    whole = mlp.norm.shrink(_form_of(folded, at), along, x)

    def pull(w: Rows) -> Rows:
        """Return J^T w, where J is the Jacobian of the branch without the norm after it."""
        through = matmul(w, mlp.w_out)
        back = matmul(at.through_in * through, matrices.folded_in)
        if matrices.folded_gate is not None and at.through_gate is not None:
            back = back + matmul(at.through_gate * through, matrices.folded_gate)
        return mlp.norm.push(x, back)

    by_y = pull(y)
    square = (
        whole
        - (2 / d) * (pull(post.centre(post.gain.square() * y)) * by_y).sum(-1)
        + (post.gain * y).square().sum(-1) * by_y.square().sum(-1) / d**2
    )
    return square / sigma.squeeze(-1).square()


def separate_norm(mlp: Mlp, x: Rows) -> tuple[Norm, Rows]:
    """Return the norm that is measured on its own, and the vectors that it reads.

    It is the norm before the branch, or the norm after the branch if there is none before.
    """
    if mlp.norm.scaled or mlp.post_norm is None:
        return mlp.norm, x
    return mlp.post_norm, mlp.before_post_norm(x)


def _form_of(matrices: Gram, at: Linearisation) -> Float[Tensor, " rows"]:
    form = _quadratic(at.through_in, matrices.in_in)
    if at.through_gate is not None:
        assert matrices.in_gate is not None
        assert matrices.gate_gate is not None
        form = form + 2 * (matmul(at.through_in, matrices.in_gate) * at.through_gate).sum(-1)
        form = form + _quadratic(at.through_gate, matrices.gate_gate)
    return form


def _quadratic(x: Float[Tensor, "rows n"], matrix: Float[Tensor, "n n"]) -> Float[Tensor, " rows"]:
    """Return x^T M x at every row for a symmetric M, of which only the blocks on and below the diagonal are read."""
    n = len(matrix)
    size = -(-n // BLOCKS)
    total = torch.zeros_like(x[:, 0])
    for start in range(0, n, size):
        stop = min(start + size, n)
        own, below = slice(start, stop), slice(stop, n)
        product = 2 * matmul(x[:, below], matrix[below, own]) + matmul(x[:, own], matrix[own, own])
        total += (product * x[:, own]).sum(-1)
    return total


def push(mlp: Mlp, x: Rows, at: Linearisation, v: Rows) -> Rows:
    """Return J v of the branch with its norms, for one direction v per row; `at` is `mlp.linearise(x)`."""
    return push_post_norm(mlp, x, push_fc(mlp, at, mlp.norm.push(x, v)))


def push_post_norm(mlp: Mlp, x: Rows, moved: Rows) -> Rows:
    """Return what a change of the output of W_out becomes in the branch's output, through the norm after it if any."""
    if mlp.post_norm is None:
        return moved
    return mlp.post_norm.push(mlp.before_post_norm(x), moved) * mlp.post_norm.gain


def push_fc(mlp: Mlp, at: Linearisation, u: Rows) -> Rows:
    """Return J_fc u of the branch without its norms, where u is a change of the normalised vector before the gain."""
    scaled = u * mlp.norm.gain
    hidden = at.through_in * linear(scaled, mlp.w_in)
    if mlp.w_gate is not None and at.through_gate is not None:
        hidden = hidden + at.through_gate * linear(scaled, mlp.w_gate)
    return linear(hidden, mlp.w_out)


def push_norm(mlp: Mlp, x: Rows, at: Linearisation, v: Rows) -> Rows:
    """Return J v of the norm that is measured on its own (`separate_norm`), gain included.

    v is a direction at x. If the norm is the one after the branch, v is first pushed to that norm's input and then
    normalised to length 1.
    """
    norm, read = separate_norm(mlp, x)
    if read is not x:
        v = torch.nn.functional.normalize(push_fc(mlp, at, v), dim=-1, eps=1e-30)
    return norm.push(read, v) * norm.gain


def jacobian(mlp: Mlp, x: Rows) -> Float[Tensor, "rows d_model d_model"]:
    """Compute the whole Jacobian of the branch with its norms at every row, for the products along the layers."""
    at = mlp.linearise(x)
    a, gate = mlp.folded()
    hidden = at.through_in[:, :, None] * a
    if gate is not None and at.through_gate is not None:
        hidden.addcmul_(at.through_gate[:, :, None], gate)  # in place, since this tensor is the largest one
    whole = mlp.norm.through(x, bmm(mlp.w_out.expand(len(hidden), -1, -1), hidden))
    return whole if mlp.post_norm is None else mlp.post_norm.after(mlp.before_post_norm(x), whole)
