"""The Jacobian of attention at the last token in closed form, from what the model itself computes.

A head's output is z = sum_j p_j v_j with p = softmax(s) and s_j = c (k_j . q). With the prefix fixed, the only key and
value that depend on the residual vector of the last token t are its own, k_t and v_t. Therefore

    dz = c [sum_j p_j (v_j - z) k_j^T] dq + c p_t (v_t - z) q^T dk + p_t dv,

If queries, keys and values (after the rotation by position) are affine functions of the normalised residual vector,
dq, dk and dv are matrices that are the same at every step, and they are read from the model once per layer and prefix
length. With the output weights W of the head, W dz is p_t W dv, a multiple of a fixed matrix, plus one outer product
per token j, that of W p_j (v_j - z) and c k_j^T dq; for j = t, c q^T dk is added to the second factor. If there are at
least as many tokens as a head has dimensions, the sum over tokens is taken before the multiplication by W and dq.

If attention computes more than this (norms of queries and keys, soft caps), the closed form does not hold, and
`plateaus.mechanism.attention_jacobian` differentiates through the model instead.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from plateaus.model import architecture, branches, trial
from plateaus.model.architecture import score_scale
from plateaus.model.norm import Norm
from plateaus.model.prefix import Prefix
from plateaus.model.products import linear
from plateaus.model.transformer import Transformer

TRIED = 8
"""Number of random vectors on which the output weights are tried."""


class Heads(NamedTuple):
    """What attention computes at the last token.

    Attributes:
        queries: (rows, heads, d_head), as they are multiplied by the keys, after any rotation by position.
        keys: (rows, kv_heads, length, d_head), the prefix and then the row's own token.
        values: (rows, kv_heads, length, d_head), in the same order.
        z: (rows, heads * d_head), the heads' outputs, to which the output weights are applied.
    """

    queries: Tensor
    keys: Tensor
    values: Tensor
    z: Tensor


class Affine(NamedTuple):
    """Derivatives of queries, keys and values with respect to the normalised residual vector (before the gain).

    Attributes:
        queries: (heads, d_head, d_model).
        keys: (kv_heads, d_head, d_model), for the last token's own key.
        values: (kv_heads, d_head, d_model), for the last token's own value.
        out: (d_model, heads * d_head), the output weights.
        scale: c, the factor by which k . q is multiplied.
        norm: The norm before attention.
    """

    queries: Tensor
    keys: Tensor
    values: Tensor
    out: Tensor
    scale: float
    norm: Norm


class _Shares(NamedTuple):
    """What `push` and `jacobian` both need, with the keys and values repeated so that every query head has its own.

    Attributes:
        p: (rows, heads, length), the attention weights.
        keys: (rows, heads, length, d_head).
        away: (rows, heads, length, d_head), p_j (v_j - z).
        through_own: (rows, heads, d_model), c q^T dk.
    """

    p: Tensor
    keys: Tensor
    away: Tensor
    through_own: Tensor


def _shares(affine: Affine, heads: Heads) -> _Shares:
    n, count, width = heads.queries.shape
    groups = count // heads.keys.shape[1]
    keys, values = (x.repeat_interleave(groups, dim=1) for x in (heads.keys, heads.values))
    scores = affine.scale * torch.einsum("nhjd,nhd->nhj", keys, heads.queries)
    p = scores.softmax(-1)
    away = p[..., None] * (values - heads.z.view(n, count, 1, width))
    own_keys = affine.keys.repeat_interleave(groups, dim=0)
    through_own = affine.scale * torch.einsum("nhk,hkd->nhd", heads.queries, own_keys)
    return _Shares(p, keys, away, through_own)


def push(
    affine: Affine, heads: Heads, rows: Float[Tensor, "rows d_model"], v: Float[Tensor, "k rows d_model"]
) -> Float[Tensor, "k rows d_model"]:
    """Return J_attn v for k directions at every row, including the norm before attention.

    Args:
        affine: The layer's matrices.
        heads: What attention computes at these rows.
        rows: resid_pre.
        v: The directions.
    """
    shares = _shares(affine, heads)
    u = affine.norm.push(rows, v)
    count, width = heads.queries.shape[1:]
    moved_queries = linear(u, affine.queries.flatten(0, 1)).unflatten(-1, (count, width))
    moved_scores = affine.scale * torch.einsum("nhjd,knhd->knhj", shares.keys, moved_queries)
    moved_scores[..., -1] += torch.einsum("nhd,knd->knh", shares.through_own, u)
    z = torch.einsum("nhjv,knhj->knhv", shares.away, moved_scores)
    moved_values = linear(u, affine.values.flatten(0, 1)).unflatten(-1, (-1, width))
    z += shares.p[..., -1, None] * moved_values.repeat_interleave(count // moved_values.shape[-2], dim=-2)
    return linear(z.flatten(-2), affine.out)


def jacobian(
    affine: Affine, heads: Heads, rows: Float[Tensor, "rows d_model"], values: Float[Tensor, "heads d d"] | None = None
) -> Float[Tensor, "rows d_model d_model"]:
    """Return J_attn at every row, including the norm before attention.

    Args:
        affine: The layer's matrices.
        heads: What attention computes at these rows.
        rows: resid_pre.
        values: `through_out(affine)` if it has been computed already; computed here if None.
    """
    shares = _shares(affine, heads)
    values = through_out(affine) if values is None else values
    matrices = (shares.p[..., -1] @ values.flatten(1)).view(len(rows), *values.shape[1:])
    whole = _through_tokens if shares.keys.shape[2] < heads.queries.shape[2] else _through_heads
    return affine.norm.through(rows, whole(matrices, affine, shares.keys, shares.away, shares.through_own))


def _through_tokens(matrices: Tensor, affine: Affine, keys: Tensor, away: Tensor, through_own: Tensor) -> Tensor:
    """Add the derivative through the scores to `matrices`, in place, as one outer product per head and token.

    Args:
        matrices: (rows, d_model, d_model), the derivative through the last token's own value.
        affine: The layer's matrices.
        keys: (rows, heads, length, d_head).
        away: (rows, heads, length, d_head), p_j (v_j - z).
        through_own: (rows, heads, d_model), c q^T dk.
    """
    heads, width = away.shape[1], away.shape[-1]
    left = torch.einsum("mhv,nhjv->nhjm", affine.out.view(-1, heads, width), away)
    right = affine.scale * torch.einsum("nhjk,hkd->nhjd", keys, affine.queries)
    right[:, :, -1] += through_own
    return matrices.baddbmm_(left.flatten(1, 2).mT, right.flatten(1, 2))


def _through_heads(matrices: Tensor, affine: Affine, keys: Tensor, away: Tensor, through_own: Tensor) -> Tensor:
    """Return what `_through_tokens` returns, from the same arguments, but with the sum over tokens taken first."""
    through_q = affine.scale * torch.einsum("nhjv,nhjk->nhvk", away, keys)
    z = through_q @ affine.queries + away[:, :, -1, :, None] * through_own[:, :, None, :]
    return matrices + affine.out @ z.flatten(1, 2)


def through_out(affine: Affine) -> Float[Tensor, "heads d_model d_model"]:
    """Return W dv of each head, its output weights times the derivative of the value, which all rows share."""
    width = affine.values.shape[1]
    heads = affine.out.shape[1] // width
    own = affine.values.repeat_interleave(heads // len(affine.values), dim=0)
    return torch.einsum("mhv,hvd->hmd", affine.out.reshape(-1, heads, width), own)


def read_heads(model: Transformer, layer: int, rows: Tensor, prefix: Prefix) -> Heads:
    """Run attention on rows of resid_pre and return its queries, keys, values and z."""
    return Heads(**model.attention_parts(layer, rows, prefix))


def read_affine(model: Transformer, layer: int, prefix: Prefix) -> Affine | None:
    """Read the matrices of a layer from the model, by computing its queries, keys and values at the basis vectors.

    Returns:
        The matrices; None if there is no closed form, because attention has no norm before it or has one after it, its
        scores are not k . q times one factor, or the model does not expose the queries that are multiplied by the keys.
    """
    block = model.bridge.blocks[layer]
    scale = score_scale(block.attn)
    if scale is None or not architecture.has_norm(block, "ln1") or architecture.has_norm(block, "ln1_post"):
        return None
    out = block.attn.W_O.detach().reshape(-1, model.d_model).T
    norm = branches.norm_of(block.ln1, model.d_model, out)
    basis = torch.cat([torch.zeros(1, model.d_model, dtype=out.dtype, device=out.device), torch.diag(norm.gain)])
    tried = model.attention_parts(layer, basis[:1], prefix, after_norm=True)
    if "queries" not in tried or tried["queries"].shape[-1] != tried["keys"].shape[-1]:
        return None
    factor = _output_factor(model, layer, prefix, out)
    if factor is None:
        return None
    if factor != 1:
        out = factor * out
    seen = model.attention_parts(layer, basis, prefix, after_norm=True)

    def derived(values: Tensor) -> Tensor:
        # Centred here once, so that the matrices computed from these need not be centred again.
        return norm.centre((values[1:] - values[:1]).permute(1, 2, 0)).contiguous()

    return Affine(
        queries=derived(seen["queries"]),
        keys=derived(seen["keys"][:, :, -1]),
        values=derived(seen["values"][:, :, -1]),
        out=out,
        scale=scale,
        norm=norm,
    )


def _output_factor(model: Transformer, layer: int, prefix: Prefix, out: Tensor) -> float | None:
    """Return the factor between W z and what attention adds to the residual stream; None if there is no such factor.

    Differences between random vectors are compared, so that the bias of the output does not matter.
    """
    rows = trial.rows(TRIED, model.d_model, out, seed=layer)
    z, added = model.attention_parts(layer, rows, prefix)["z"], model.attention(layer, rows, prefix)
    known = trial.numbers_of(model.bridge.original_model.config, model.bridge.blocks[layer].original_component)
    factor, left = trial.factor(z.diff(dim=0) @ out.T, added.diff(dim=0), known)
    return factor if left < trial.AGREEMENT else None
