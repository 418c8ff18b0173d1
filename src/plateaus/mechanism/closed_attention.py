"""The Jacobian of attention at the last token in closed form, from what the model itself computes.

With the prefix fixed, a head's output is z = sum_j p_j v_j, p = softmax(s), s_j = c (k_j . q); of the keys and values
only the token's own, k_t and v_t, depend on its residual vector. So

    dz = c [sum_j p_j (v_j - z) k_j^T] dq + c p_t (v_t - z) q^T dk + p_t dv,

and where queries, keys and values (rotated) are affine functions of the normalised residual vector, dq, dk and dv are
matrices that are the same at every step: they are read off the model once per layer. With the output weights W of the
head, W dz is p_t times one of these, W dv, and a matrix of the rank of the number of tokens, the sum of the products of
W p_j (v_j - z) and c k_j^T dq, to which at the token's own place comes c q^T dk. Where there are more tokens than a
head is wide, the sum over them is taken first. Where a model does more (norms of queries and keys, soft caps), the
caller finds that the closed form does not hold and differentiates instead; see `plateaus.mechanism.block_jacobian`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from plateaus.model.architecture import attention_norm, score_scale
from plateaus.model.norm import Norm
from plateaus.model.prefix import Prefix
from plateaus.model.transformer import Transformer


class Heads(NamedTuple):
    """What attention computes at the last token.

    Attributes:
        queries: (rows, heads, d_head), as they meet the keys.
        keys: (rows, kv_heads, length, d_head), the row's own token last.
        values: (rows, kv_heads, length, d_head).
        z: (rows, heads * d_head), what the output weights are applied to.
    """

    queries: Tensor
    keys: Tensor
    values: Tensor
    z: Tensor


class Affine(NamedTuple):
    """Derivatives of queries, keys and values with respect to the normalised residual vector (before the gain).

    Attributes:
        queries: (heads, d_head, d_model).
        keys: (kv_heads, d_head, d_model), of the token's own key.
        values: (kv_heads, d_head, d_model).
        out: (d_model, heads * d_head), the output weights.
        scale: c, what k . q is multiplied by.
        norm: The norm before attention.
    """

    queries: Tensor
    keys: Tensor
    values: Tensor
    out: Tensor
    scale: float
    norm: Norm


class _Shares(NamedTuple):
    """What both ways need: (rows, heads, length) and (rows, heads, length, d_head), queries' and keys' heads matched.

    Attributes:
        p: How much of each token's value a head takes.
        keys: As in `Heads`, one per query head.
        away: p_j (v_j - z).
        through_own: c q^T dk, (rows, heads, d_model).
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
    """J_attn v for k directions at every row, the norm included; arguments as of `jacobian`."""
    shares = _shares(affine, heads)
    u = affine.norm.push(rows, v)
    count, width = heads.queries.shape[1:]
    moved_queries = (u @ affine.queries.flatten(0, 1).T).unflatten(-1, (count, width))
    moved_scores = affine.scale * torch.einsum("nhjd,knhd->knhj", shares.keys, moved_queries)
    moved_scores[..., -1] += torch.einsum("nhd,knd->knh", shares.through_own, u)
    z = torch.einsum("nhjv,knhj->knhv", shares.away, moved_scores)
    moved_values = (u @ affine.values.flatten(0, 1).T).unflatten(-1, (-1, width))
    z += shares.p[..., -1, None] * moved_values.repeat_interleave(count // moved_values.shape[-2], dim=-2)
    return z.flatten(-2) @ affine.out.T


def jacobian(
    affine: Affine, heads: Heads, rows: Float[Tensor, "rows d_model"], values: Float[Tensor, "heads d d"] | None = None
) -> Float[Tensor, "rows d_model d_model"]:
    """J_attn at every row, the norm included.

    Args:
        affine: The layer's matrices.
        heads: What attention computes at these rows.
        rows: resid_pre.
        values: `through_out(affine)`, where it is at hand.
    """
    shares = _shares(affine, heads)
    values = through_out(affine) if values is None else values
    matrices = (shares.p[..., -1] @ values.flatten(1)).view(len(rows), *values.shape[1:])
    whole = _through_tokens if shares.keys.shape[2] < heads.queries.shape[2] else _through_heads
    return affine.norm.through(rows, whole(matrices, affine, shares.keys, shares.away, shares.through_own))


def _through_tokens(matrices: Tensor, affine: Affine, keys: Tensor, away: Tensor, through_own: Tensor) -> Tensor:
    """The part of the scores, one outer product per head and token, added to `matrices`.

    Args:
        matrices: (rows, d_model, d_model).
        affine: The layer's matrices.
        keys: (rows, heads, length, d_head).
        away: p_j (v_j - z), of the same shape.
        through_own: c q^T dk, (rows, heads, d_model).
    """
    heads, width = away.shape[1], away.shape[-1]
    left = torch.einsum("mhv,nhjv->nhjm", affine.out.view(-1, heads, width), away)
    right = affine.scale * torch.einsum("nhjk,hkd->nhjd", keys, affine.queries)
    right[:, :, -1] += through_own
    return matrices.baddbmm_(left.flatten(1, 2).mT, right.flatten(1, 2))


def _through_heads(matrices: Tensor, affine: Affine, keys: Tensor, away: Tensor, through_own: Tensor) -> Tensor:
    """The same with the sum over tokens taken first; arguments as of `_through_tokens`."""
    through_q = affine.scale * torch.einsum("nhjv,nhjk->nhvk", away, keys)
    z = through_q @ affine.queries + away[:, :, -1, :, None] * through_own[:, :, None, :]
    return matrices + affine.out @ z.flatten(1, 2)


def through_out(affine: Affine) -> Float[Tensor, "heads d_model d_model"]:
    """Each head's output weights times the derivative of its token's own value, for the matrices of many rows."""
    width = affine.values.shape[1]
    heads = affine.out.shape[1] // width
    own = affine.values.repeat_interleave(heads // len(affine.values), dim=0)
    return torch.einsum("mhv,hvd->hmd", affine.out.reshape(-1, heads, width), own)


def read_heads(model: Transformer, layer: int, rows: Tensor, prefix: Prefix) -> Heads:
    """Run attention on rows of resid_pre and keep what meets in it."""
    return Heads(**model.attention_parts(layer, rows, prefix))


def read_affine(model: Transformer, layer: int, prefix: Prefix) -> Affine | None:
    """Read the matrices of a layer off the model: what its queries, keys and values are at the basis vectors.

    Returns:
        None where attention has no norm before it, has no single scale, or does not show its queries as they meet the
        keys, so that the closed form cannot be had.
    """
    block = model.bridge.blocks[layer]
    scale = score_scale(block.attn)
    out = block.attn.W_O.detach().reshape(-1, model.d_model).T
    norm = attention_norm(block, out[:, 0])
    if norm is None or scale is None:
        return None
    basis = torch.cat([torch.zeros(1, model.d_model, dtype=out.dtype, device=out.device), torch.diag(norm.gain)])
    if "queries" not in model.attention_parts(layer, basis[:1], prefix, after_norm=True):
        return None
    seen = model.attention_parts(layer, basis, prefix, after_norm=True)

    def derived(values: Tensor) -> Tensor:
        # Centred here once, and so not in every matrix that is made of them.
        return norm.centre((values[1:] - values[:1]).permute(1, 2, 0)).contiguous()

    return Affine(
        queries=derived(seen["queries"]),
        keys=derived(seen["keys"][:, :, -1]),
        values=derived(seen["values"][:, :, -1]),
        out=out,
        scale=scale,
        norm=norm,
    )
