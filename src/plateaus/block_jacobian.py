"""Jacobians of attention, of a whole block and of the chain of blocks, at the last token with the prefix fixed.

Attention's matrix comes from its closed form where that holds (`plateaus.attention`), else from forward-mode
differentiation along all basis directions at once; the MLP's from its closed form; and the block's is their product:
(I + J_mlp) (I + J_attn), or I + J_mlp + J_attn where the two are parallel. Unlike the post's released "MLP product",
the identity of the skip path is there, and no block is counted twice.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from plateaus import attention
from plateaus import mlp as closed
from plateaus.architecture import is_parallel
from plateaus.mlp import Linearisation, Mlp
from plateaus.transformer import Prefix, Transformer

Matrices = Float[Tensor, "steps d_model d_model"]


def attention_push(
    model: Transformer,
    layer: int,
    rows: Tensor,
    prefix: Prefix,
    directions: Float[Tensor, "k steps d_model"],
    chunk: int,
) -> Float[Tensor, "k steps d_model"]:
    """J_attn v for k directions at every row, the norm before attention included.

    Args:
        model: The model.
        layer: Which block.
        rows: (steps, d_model), resid_pre.
        prefix: The prefix, held fixed.
        directions: k directions for each row.
        chunk: How many of them to push at a time.
    """

    def push(v: Tensor) -> Tensor:
        moved: Tensor = torch.func.jvp(lambda x: model.attention(layer, x, prefix), (rows,), (v,))[1]
        return moved

    with torch.no_grad():  # forward mode needs no graph, and one triples the memory
        pushed: Tensor = torch.func.vmap(push, chunk_size=max(1, chunk))(directions)
    return pushed


AGREEMENT = 1e-3
"""Largest relative difference between the closed form and a derivative taken through the model, in float32."""


class Trial(NamedTuple):
    """Derivatives of attention taken through the model, to try a closed form on.

    Attributes:
        directions: (steps, d_model), one per row.
        images: (steps, d_model), J_attn times each.
    """

    directions: Float[Tensor, "steps d_model"]
    images: Float[Tensor, "steps d_model"]


class Norms(NamedTuple):
    """Frobenius norms at every step of one layer, and the chain's matrices after it.

    Attributes:
        attn: Of attention.
        block: Of the whole block.
        chain: Of the product of all blocks so far.
        product: That product.
    """

    attn: Float[Tensor, " steps"]
    block: Float[Tensor, " steps"]
    chain: Float[Tensor, " steps"]
    product: Matrices


def exact_norms(
    model: Transformer,
    layer: int,
    mlp: Mlp,
    rows: Tensor,
    mlp_input: Tensor,
    prefix: Prefix,
    chain: Matrices | None,
    trial: Trial,
    *,
    memory_gb: float,
) -> Norms:
    """The norms of attention, block and chain from their whole matrices, some steps at a time.

    The chain's new matrices take the place of the old ones, so that those of all steps are in memory once.

    Args:
        model: The model.
        layer: Which block.
        mlp: Its MLP.
        rows: (steps, d_model), resid_pre.
        mlp_input: (steps, d_model).
        prefix: The prefix.
        chain: The product of the blocks before, which is overwritten; None before the first.
        trial: What the closed form of attention is tried on.
        memory_gb: Budget for the matrices.
    """
    affine = attention.read_affine(model, layer, prefix)
    d, d_mlp = len(mlp.norm.gain), len(mlp.b_in)
    steps = max(1, int(memory_gb * 1e9 / (4 * d * (4 * d_mlp + 8 * d))))
    chunk = max(1, int(memory_gb * 1e9 / (steps * model.bytes_per_row(prefix.length))))
    product = rows.new_empty(len(rows), d, d) if chain is None else chain
    parts = []
    for some in torch.arange(len(rows)).tensor_split(-(-len(rows) // steps)):
        of_trial = Trial(*(values[some] for values in trial))
        of_attention = attention_jacobian(model, layer, rows[some], prefix, chunk, affine, of_trial)
        block = compose(model, mlp, mlp_input[some], of_attention)
        product[some] = block if chain is None else block @ chain[some]
        parts.append([torch.linalg.matrix_norm(matrix) for matrix in (of_attention, block, product[some])])
    attn, whole, so_far = (torch.cat(values) for values in zip(*parts, strict=True))
    return Norms(attn, whole, so_far, product)


def attention_jacobian(
    model: Transformer,
    layer: int,
    rows: Tensor,
    prefix: Prefix,
    chunk: int,
    affine: attention.Affine | None,
    trial: Trial,
) -> Matrices:
    """J_attn at every row: in closed form where that is what this model does, by differentiation where it is not.

    Which of the two is found by trial: the closed form is compared with one directional derivative through the model
    at every row.
    """
    if affine is not None:
        matrices = attention.jacobian(affine, attention.read_heads(model, layer, rows, prefix), rows)
        found = (matrices @ trial.directions[:, :, None]).squeeze(-1)
        difference = torch.linalg.vector_norm(found - trial.images)
        if difference <= AGREEMENT * torch.linalg.vector_norm(trial.images):
            return matrices
    return attention_jacobian_by_differentiation(model, layer, rows, prefix, chunk)


def attention_jacobian_by_differentiation(
    model: Transformer, layer: int, rows: Tensor, prefix: Prefix, chunk: int
) -> Matrices:
    """J_attn at every row, one forward derivative per basis vector."""
    steps, d = rows.shape
    basis = torch.eye(d, dtype=rows.dtype, device=rows.device)[:, None, :].expand(d, steps, d)
    return attention_push(model, layer, rows, prefix, basis, chunk).permute(1, 2, 0)


def compose(model: Transformer, mlp: Mlp, mlp_input: Tensor, of_attention: Matrices) -> Matrices:
    """The block's Jacobian from attention's.

    Args:
        model: The model.
        mlp: The layer's MLP.
        mlp_input: (steps, d_model), what it reads.
        of_attention: J_attn at the same rows.
    """
    of_mlp = closed.jacobian(mlp, mlp_input)
    both = of_mlp + of_attention
    if not is_parallel(model.bridge):
        both = torch.baddbmm(both, of_mlp, of_attention)
    both.diagonal(dim1=-2, dim2=-1).add_(1)
    return both


class Pushed(NamedTuple):
    """Images of directions under a block's Jacobian and under that of its attention."""

    attn: Float[Tensor, "k steps d_model"]
    block: Float[Tensor, "k steps d_model"]


def block_push(
    model: Transformer,
    layer: int,
    mlp: Mlp,
    rows: Tensor,
    mlp_input: Tensor,
    at: Linearisation,
    prefix: Prefix,
    v: Tensor,
    chunk: int,
) -> Pushed:
    """J_attn v and J_block v for k directions at every row, without making the matrices.

    Args:
        model: The model.
        layer: Which block.
        mlp: Its MLP.
        rows: (steps, d_model), resid_pre.
        mlp_input: (steps, d_model).
        at: The MLP linearised at `mlp_input`.
        prefix: The prefix.
        v: (k, steps, d_model).
        chunk: How many directions to push through attention at a time.
    """
    of_attention = attention_push(model, layer, rows, prefix, v, chunk)
    after_attention = v + of_attention
    through = v if is_parallel(model.bridge) else after_attention
    return Pushed(
        of_attention, after_attention + torch.stack([closed.push(mlp, mlp_input, at, one) for one in through])
    )


def frobenius_estimate(
    pushed: Float[Tensor, "k steps d_model"],
) -> tuple[Float[Tensor, " steps"], Float[Tensor, " steps"]]:
    """|J|_F from J v at k random sign vectors v (Hutchinson), and the standard error of that estimate.

    E |J v|^2 = |J|_F^2 for v with independent entries of mean 0 and variance 1; the error of the root follows from
    that of the square by the delta method.
    """
    squares = pushed.square().sum(-1)
    estimate = squares.mean(0).sqrt()
    error = squares.std(0) / len(squares) ** 0.5 / (2 * estimate)
    return estimate, error


def random_signs(k: int, rows: Tensor, seed: int) -> Float[Tensor, "k steps d_model"]:
    """Vectors of random signs, k of them, the same at every step so that noise is not taken for a change."""
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(0, 2, (k, 1, rows.shape[-1]), generator=generator).to(rows) * 2 - 1
    return signs.expand(k, *rows.shape)
