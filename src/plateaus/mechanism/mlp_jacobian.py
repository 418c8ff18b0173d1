"""The Jacobian of an MLP branch: its Frobenius norm in closed form, and its products with directions.

f(x) = W_out act(W_in n(x) + b_in) + b_out, or gated, f(x) = W_out (act(W_gate n(x)) * (W_in n(x))), where n is
LayerNorm or RMSNorm. With the norm's gain and centring P folded into A = (W_in * gain) P, its output before the gain
x^ = P x / sigma and g = act'(z), the Jacobian is W_out diag(g) A (I - x^ x^T / d) / sigma, and

    |J|_F^2 = (g^T M g - (2/d) |J_fc x^|^2 + |J_fc x^|^2 |x^|^2 / d^2) / sigma^2,   M = (A A^T) * (W_out^T W_out).

One Gram matrix M per layer, made once, therefore gives the norm at every step of every pair by a quadratic form, in
place of d_model backward passes. `sigma` includes the norm's eps, so nothing is approximated.

Where the branch's output goes through a norm as well (Gemma-2, OLMo-2), y^ = P f / sigma_f and gain G, the Jacobian is
G (P - y^ y^^T / d) J / sigma_f. With G P folded into W_out before M is made, that leaves two products from the left:

    |J'|_F^2 = (|G P J|_F^2 - (2/d) (J^T P G^2 y^) . (J^T y^) + |G y^|^2 |J^T y^|^2 / d^2) / sigma_f^2.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from plateaus.model.mlp import Linearisation, Mlp, Rows
from plateaus.model.norm import Norm


class Gram(NamedTuple):
    """What of the quadratic form belongs to the layer and not to the input; the gate's are None in plain MLPs.

    Attributes:
        in_in: (d_mlp, d_mlp).
        in_gate: Likewise, between input and gate.
        gate_gate: Likewise.
        folded_in: `Mlp.folded`'s input weights, (d_mlp, d_model).
        folded_gate: Its gate weights.
        post: The same three with the gain of the norm after the branch folded into W_out; None where there is no such
            norm.
    """

    in_in: Tensor
    in_gate: Tensor | None
    gate_gate: Tensor | None
    folded_in: Tensor
    folded_gate: Tensor | None
    post: Gram | None = None


BLOCKS = 8
"""Into how many parts the rows of a symmetric matrix are cut, of which those above the diagonal are not computed."""


def gram(mlp: Mlp) -> Gram:
    """(A A^T) * (W_out^T W_out) for each pair of input matrices: made once per layer, for all steps and pairs."""
    a, gate = mlp.folded()
    plain = _gram(a, gate, mlp.w_out.T.contiguous())
    if mlp.post_norm is None:
        return plain
    return plain._replace(post=_gram(a, gate, mlp.post_norm.centre(mlp.w_out.T) * mlp.post_norm.gain))


def _gram(a: Tensor, gate: Tensor | None, out: Tensor) -> Gram:
    """Of input matrices and W_out^T."""
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
        mlp: Of the branch with its norms.
        mlp_fc: Of the branch without them, with respect to the normalised vector before the gain (within the space of
            centred vectors for LayerNorm).
        norm: Of one norm alone, gain included: the one before the branch, or after it where there is none before
            (OLMo-2).
    """

    mlp: Float[Tensor, " rows"]
    mlp_fc: Float[Tensor, " rows"]
    norm: Float[Tensor, " rows"]


def jacobian_norms(mlp: Mlp, matrices: Gram, x: Rows, at: Linearisation) -> MlpNorms:
    """|J|_F in closed form at every row; see the module's docstring.

    Args:
        mlp: The branch.
        matrices: `gram(mlp)`.
        x: The residual vectors that the branch reads.
        at: `mlp.linearise(x)`.
    """
    form = _form_of(matrices, at)
    hidden = _through_hidden(matrices, at, mlp.norm.normalise(x)[0])
    if mlp.post_norm is None or matrices.post is None:
        square = mlp.norm.shrink(form, (hidden @ mlp.w_out.T).square().sum(-1), x)
    else:
        square = _after_post_norm(mlp, mlp.post_norm, matrices, matrices.post, at, hidden, x)
    norm, read = separate_norm(mlp, x)
    return MlpNorms(mlp=square.clamp_min(0).sqrt(), mlp_fc=form.clamp_min(0).sqrt(), norm=norm.jacobian_norm(read))


def _after_post_norm(
    mlp: Mlp, post: Norm, matrices: Gram, folded: Gram, at: Linearisation, hidden: Tensor, x: Rows
) -> Float[Tensor, " rows"]:
    """|J'|_F^2 with the norm after the branch; see the module's docstring.

    Args:
        mlp: The branch.
        post: The norm after it.
        matrices: The layer's.
        folded: Those with that norm's gain folded into W_out.
        at: The hidden units' coefficients.
        hidden: What the hidden units change by along x^.
        x: The residual vectors that the branch reads.
    """
    d = x.shape[-1]
    y, sigma = post.normalise(mlp.before_post_norm(x))
    along = (post.centre(hidden @ mlp.w_out.T) * post.gain).square().sum(-1)
    whole = mlp.norm.shrink(_form_of(folded, at), along, x)

    def pull(w: Rows) -> Rows:
        """J^T w of the branch before its last norm."""
        through = w @ mlp.w_out
        back = (at.through_in * through) @ matrices.folded_in
        if matrices.folded_gate is not None and at.through_gate is not None:
            back = back + (at.through_gate * through) @ matrices.folded_gate
        return mlp.norm.push(x, back)

    by_y = pull(y)
    square = (
        whole
        - (2 / d) * (pull(post.centre(post.gain.square() * y)) * by_y).sum(-1)
        + (post.gain * y).square().sum(-1) * by_y.square().sum(-1) / d**2
    )
    return square / sigma.squeeze(-1).square()


def separate_norm(mlp: Mlp, x: Rows) -> tuple[Norm, Rows]:
    """The norm that is looked at alone and what it reads: before the branch, or after it if there is none before."""
    if mlp.norm.scaled or mlp.post_norm is None:
        return mlp.norm, x
    return mlp.post_norm, mlp.before_post_norm(x)


def _form_of(matrices: Gram, at: Linearisation) -> Float[Tensor, " rows"]:
    form = _form(at.through_in, matrices.in_in, at.through_in)
    if at.through_gate is not None:
        assert matrices.in_gate is not None
        assert matrices.gate_gate is not None
        form = form + 2 * _form(at.through_in, matrices.in_gate, at.through_gate)
        form = form + _form(at.through_gate, matrices.gate_gate, at.through_gate)
    return form


def _form(left: Tensor, matrix: Tensor, right: Tensor) -> Tensor:
    return ((left @ matrix) * right).sum(-1)


def _through_hidden(matrices: Gram, at: Linearisation, u: Rows) -> Float[Tensor, "rows d_mlp"]:
    """What the hidden units change by along a centred change u of the normalised vector."""
    hidden = at.through_in * (u @ matrices.folded_in.T)
    if matrices.folded_gate is not None and at.through_gate is not None:
        hidden = hidden + at.through_gate * (u @ matrices.folded_gate.T)
    return hidden


def push(mlp: Mlp, x: Rows, at: Linearisation, v: Rows) -> Rows:
    """J v of the branch with its norms, one direction per row; `at` is the branch linearised at x."""
    moved = push_fc(mlp, at, mlp.norm.push(x, v))
    if mlp.post_norm is None:
        return moved
    return mlp.post_norm.push(mlp.before_post_norm(x), moved) * mlp.post_norm.gain


def push_fc(mlp: Mlp, at: Linearisation, u: Rows) -> Rows:
    """J_fc u of the branch without its norms, u being a change of the normalised vector before the gain."""
    scaled = u * mlp.norm.gain
    hidden = at.through_in * (scaled @ mlp.w_in.T)
    if mlp.w_gate is not None and at.through_gate is not None:
        hidden = hidden + at.through_gate * (scaled @ mlp.w_gate.T)
    return hidden @ mlp.w_out.T


def push_norm(mlp: Mlp, x: Rows, at: Linearisation, v: Rows) -> Rows:
    """J v of the norm that is looked at alone (`separate_norm`), gain included.

    v is a direction at x; for a norm after the branch it is carried to that norm's input, and made as long as v.
    """
    norm, read = separate_norm(mlp, x)
    if read is not x:
        v = torch.nn.functional.normalize(push_fc(mlp, at, v), dim=-1, eps=1e-30)
    return norm.push(read, v) * norm.gain


def jacobian(mlp: Mlp, x: Rows) -> Float[Tensor, "rows d_model d_model"]:
    """The whole Jacobian of the branch with its norms at every row, for products along the layers."""
    at = mlp.linearise(x)
    a, gate = mlp.folded()
    hidden = at.through_in[:, :, None] * a
    if gate is not None and at.through_gate is not None:
        hidden.addcmul_(at.through_gate[:, :, None], gate)  # in place: this is the largest thing there is
    whole = mlp.norm.through(x, mlp.w_out @ hidden)
    return whole if mlp.post_norm is None else mlp.post_norm.after(mlp.before_post_norm(x), whole)
