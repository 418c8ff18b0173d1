"""The Jacobian of attention at the last token in closed form, from what the model itself computes.

With the prefix fixed, a head's output is z = sum_j p_j v_j, p = softmax(s), s_j = c (k_j . q); of the keys and values
only the token's own, k_t and v_t, depend on its residual vector. So

    dz = c [sum_j p_j (v_j - z) k_j^T] dq + c p_t (v_t - z) q^T dk + p_t dv,

and where queries, keys and values (rotated) are affine functions of the normalised residual vector, dq, dk and dv are
matrices that are the same at every step: they are read off the model once per layer. With the output weights W of the
head, W dz is p_t times one of these, W dv, and a matrix of the rank of the number of tokens, the sum of the products of
W p_j (v_j - z) and c k_j^T dq, to which at the token's own place comes c q^T dk. Where there are more tokens than a
head is wide, the sum over them is taken first. Where a model does more (norms of queries and keys, soft caps), the
caller finds that the closed form does not hold and differentiates instead; see `plateaus.block_jacobian`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from plateaus.architecture import attention_norm, score_scale
from plateaus.norm import Norm
from plateaus.transformer import Prefix, Transformer


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
        out_values: (heads, d_model, d_model), each head's output weights times its `values`.
        scale: c, what k . q is multiplied by.
        norm: The norm before attention.
    """

    queries: Tensor
    keys: Tensor
    values: Tensor
    out: Tensor
    out_values: Tensor
    scale: float
    norm: Norm


def jacobian(
    affine: Affine, heads: Heads, rows: Float[Tensor, "rows d_model"]
) -> Float[Tensor, "rows d_model d_model"]:
    """J_attn at every row, the norm included.

    Args:
        affine: The layer's matrices.
        heads: What attention computes at these rows.
        rows: resid_pre.
    """
    n, count, width = heads.queries.shape
    groups = count // heads.keys.shape[1]
    keys, values = (x.repeat_interleave(groups, dim=1) for x in (heads.keys, heads.values))
    scores = affine.scale * torch.einsum("nhjd,nhd->nhj", keys, heads.queries)
    p = scores.softmax(-1)
    away = p[..., None] * (values - heads.z.view(n, count, 1, width))
    own_keys = affine.keys.repeat_interleave(groups, dim=0)
    through_own = affine.scale * torch.einsum("nhk,hkd->nhd", heads.queries, own_keys)
    whole = _through_tokens if keys.shape[2] < width else _through_heads
    matrices = (p[..., -1] @ affine.out_values.flatten(1)).view(n, *affine.out_values.shape[1:])
    matrices = whole(matrices, affine, keys, away, through_own)
    return affine.norm.through(rows, affine.norm.centre(matrices))


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
    return torch.baddbmm(matrices, left.flatten(1, 2).mT, right.flatten(1, 2))


def _through_heads(matrices: Tensor, affine: Affine, keys: Tensor, away: Tensor, through_own: Tensor) -> Tensor:
    """The same with the sum over tokens taken first; arguments as of `_through_tokens`."""
    through_q = affine.scale * torch.einsum("nhjv,nhjk->nhvk", away, keys)
    z = through_q @ affine.queries + away[:, :, -1, :, None] * through_own[:, :, None, :]
    return matrices + affine.out @ z.flatten(1, 2)


def through_out(
    out: Float[Tensor, "d_model heads*d_head"], values: Float[Tensor, "kv_heads d_head d_model"]
) -> Float[Tensor, "heads d_model d_model"]:
    """Each head's output weights times the derivative of its token's own value."""
    heads = out.shape[1] // values.shape[1]
    own = values.repeat_interleave(heads // len(values), dim=0)
    return torch.einsum("mhv,hvd->hmd", out.reshape(-1, heads, values.shape[1]), own)


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
    seen = model.attention_parts(layer, basis, prefix, after_norm=True)
    if "queries" not in seen:
        return None

    def derived(values: Tensor) -> Tensor:
        return (values[1:] - values[:1]).permute(1, 2, 0)

    values = derived(seen["values"][:, :, -1])
    return Affine(
        queries=derived(seen["queries"]),
        keys=derived(seen["keys"][:, :, -1]),
        values=values,
        out=out,
        out_values=through_out(out, values),
        scale=scale,
        norm=norm,
    )
