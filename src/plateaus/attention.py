"""The Jacobian of attention at the last token in closed form, from what the model itself computes.

With the prefix fixed, a head's output is z = sum_j p_j v_j, p = softmax(s), s_j = c (k_j . q); of the keys and values
only the token's own, k_t and v_t, depend on its residual vector. So

    dz = c [sum_j p_j (v_j - z) k_j^T] dq + c p_t (v_t - z) q^T dk + p_t dv,

and where queries, keys and values (rotated) are affine functions of the normalised residual vector, dq, dk and dv are
matrices that are the same at every step: they are read off the model once per layer. What is left per step is small,
but for one product with the output weights. Where a model does more (norms of queries and keys, soft caps), the
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
        scale: c, what k . q is multiplied by.
        norm: The norm before attention.
    """

    queries: Tensor
    keys: Tensor
    values: Tensor
    out: Tensor
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
    away = values - heads.z.view(n, count, 1, width)
    through_q = affine.scale * torch.einsum("nhj,nhjv,nhjk->nhvk", p, away, keys)
    own = p[..., -1]
    through_k = affine.scale * own[..., None, None] * away[:, :, -1, :, None] * heads.queries[:, :, None, :]
    own_keys, own_values = (x.repeat_interleave(groups, dim=0) for x in (affine.keys, affine.values))
    z = through_q @ affine.queries + through_k @ own_keys + own[..., None, None] * own_values
    whole = affine.out @ z.reshape(n, count * width, -1)
    return affine.norm.through(rows, affine.norm.centre(whole))


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

    return Affine(
        queries=derived(seen["queries"]),
        keys=derived(seen["keys"][:, :, -1]),
        values=derived(seen["values"][:, :, -1]),
        out=out,
        scale=scale,
        norm=norm,
    )
