"""Jacobians of attention, of a whole block and of the chain of blocks, at the last token with the prefix fixed.

Directions are pushed through attention and the MLP without any matrix. Where norms are wanted, the matrices are made
only at the path's nodes, and those at all other steps follow from them (`plateaus.mechanism.nodes`). Attention's matrix
has a closed form where that holds (`plateaus.mechanism.attention_jacobian`), the MLP's always has one, and the block's
is their product, (I + J_mlp) (I + J_attn), or I + J_mlp + J_attn where the two are parallel. Unlike
the post's released "MLP product", this includes the identity of the skip path and counts no block twice.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from plateaus.mechanism import mlp_jacobian, nodes
from plateaus.mechanism.attention_jacobian import AttentionAt
from plateaus.mechanism.nodes import Nodes
from plateaus.model.architecture import is_parallel
from plateaus.model.mlp import Linearisation, Mlp
from plateaus.model.transformer import Transformer

Matrices = Float[Tensor, "steps d_model d_model"]


class Branches(NamedTuple):
    """The two parts of a block along one path.

    Attributes:
        model: The model.
        attention: Attention at the path's rows.
        mlp: The MLP.
        mlp_input: (steps, d_model), what it reads.
        at: The MLP linearised there.
    """

    model: Transformer
    attention: AttentionAt
    mlp: Mlp
    mlp_input: Tensor
    at: Linearisation


class Pushed(NamedTuple):
    """Images of directions under a block's Jacobian and under that of its attention."""

    attn: Float[Tensor, "k steps d_model"]
    block: Float[Tensor, "k steps d_model"]


def push(of: Branches, v: Float[Tensor, "k steps d_model"]) -> Pushed:
    """J_attn v and J_block v for k directions at every row, without making the matrices."""
    parts = [_push(of, some) for some in v.split(of.attention.directions_at_once(v.shape[1]))]
    return parts[0] if len(parts) == 1 else Pushed(*(torch.cat(images) for images in zip(*parts, strict=True)))


def _push(of: Branches, v: Tensor) -> Pushed:
    of_attention = of.attention.push(v)
    after_attention = v + of_attention
    through = v if is_parallel(of.model.bridge) else after_attention
    return Pushed(of_attention, after_attention + mlp_jacobian.push(of.mlp, of.mlp_input, of.at, through))


# ---- norms from whole matrices at the nodes -----------------------------------------------------------------------


class Chain(NamedTuple):
    """The product of all blocks so far.

    Attributes:
        nodes: Of the path, at the layer before.
        matrices: The product at each node.
    """

    nodes: Nodes
    matrices: Matrices

    def at(self, steps: list[int]) -> Matrices:
        """The product at some steps: as it is where they are nodes, else as a combination of those at the nodes."""
        known = {step: place for place, step in enumerate(self.nodes.steps)}
        if all(step in known for step in steps):
            return self.matrices[[known[step] for step in steps]]
        weights = self.nodes.weights[steps].to(self.matrices)
        for row, step in enumerate(steps):
            if step in known:
                weights[row] = 0
                weights[row, known[step]] = 1
        return (weights @ self.matrices.flatten(1)).view(-1, *self.matrices.shape[1:])


class Norms(NamedTuple):
    """Frobenius norms at every step of one layer, and the chain after it."""

    attn: Float[Tensor, " steps"]
    block: Float[Tensor, " steps"]
    of_chain: Float[Tensor, " steps"]
    chain: Chain


def exact_norms(of: Branches, chain: Chain | None, sketches: Pushed, images: Tensor, *, memory_gb: float) -> Norms:
    """The norms of attention, block and chain.

    Args:
        of: The block.
        chain: The product of the blocks before; None before the first.
        sketches: Images of random directions, the same at every step.
        images: (k, steps, d_model), theirs under the product of all blocks, this one included.
        memory_gb: Budget for the MLP's matrices, of which some are made at a time.
    """
    kinds = [values.transpose(0, 1).flatten(1) for values in (sketches.attn, sketches.block, images)]
    chosen = nodes.choose(kinds, () if chain is None else chain.nodes.steps)
    d = of.mlp_input.shape[1]
    steps = list(chosen.steps)
    together = max(1, int(memory_gb * 1e9 / (4 * d * (4 * len(of.mlp.b_in) + 4 * d))))
    parts = [slice(start, start + together) for start in range(0, len(steps), together)]
    matrices = of.mlp_input.new_empty(len(steps), d, d)
    for some in parts:
        matrices[some] = of.attention.matrices(steps[some])
    attn = nodes.norms(chosen, matrices)
    for some in parts:  # the block's take the place of attention's
        matrices[some] = compose(of.model, mlp_jacobian.jacobian(of.mlp, of.mlp_input[steps[some]]), matrices[some])
    block = nodes.norms(chosen, matrices)
    product = matrices
    if chain is not None:
        product = torch.empty_like(matrices)
        for some in parts:
            torch.bmm(matrices[some], chain.at(steps[some]), out=product[some])
    return Norms(attn, block, nodes.norms(chosen, product), Chain(chosen, product))


def compose(model: Transformer, of_mlp: Matrices, of_attention: Matrices) -> Matrices:
    """The block's Jacobian from its parts'; attention's is overwritten."""
    of_attention.diagonal(dim1=-2, dim2=-1).add_(1)
    return of_attention.add_(of_mlp) if is_parallel(model.bridge) else torch.baddbmm(of_attention, of_mlp, of_attention)


# ---- norms from random directions -----------------------------------------------------------------------------------


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
