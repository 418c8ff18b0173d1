"""Jacobians of attention, of a whole block and of the chain of blocks, at the last token with the prefix fixed.

Directions are pushed through attention and the MLP without computing any matrix. Frobenius norms need the matrices,
which are computed only at the nodes of the path; the norms at all other steps follow from those at the nodes
(`plateaus.mechanism.nodes`). The Jacobian of the MLP always has a closed form, and that of attention has one on some
architectures (`plateaus.mechanism.attention_jacobian`). The block's Jacobian is (I + J_mlp) (I + J_attn), or
I + J_mlp + J_attn if attention and MLP are parallel. Unlike the "MLP product" of the post's released code, this
includes the identity of the skip connection and counts no block twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from plateaus.mechanism import mlp_jacobian, nodes
from plateaus.mechanism.attention_jacobian import AttentionAt
from plateaus.mechanism.nodes import Nodes
from plateaus.model.mlp import Linearisation, Mlp
from plateaus.model.products import bmm

Matrices = Float[Tensor, "steps d_model d_model"]


class Branches(NamedTuple):
    """The two parts of a block along one path.

    Attributes:
        parallel: Whether attention and the MLP both read resid_pre.
        attention: Attention at the path's rows.
        mlp: The MLP branch.
        mlp_input: (steps, d_model), the residual vectors that the MLP branch reads.
        at: The MLP branch linearised at `mlp_input`.
    """

    parallel: bool
    attention: AttentionAt
    mlp: Mlp
    mlp_input: Tensor
    at: Linearisation


class Pushed(NamedTuple):
    """Images of directions under the Jacobian of a block's attention and under that of the whole block."""

    attn: Float[Tensor, "k steps d_model"]
    block: Float[Tensor, "k steps d_model"]


def push(of: Branches, v: Float[Tensor, "k steps d_model"]) -> Pushed:
    """Return J_attn v and J_block v for k directions at every row, without computing the matrices."""
    parts = [_push(of, some) for some in v.split(of.attention.directions_at_once(v.shape[1]))]
    return parts[0] if len(parts) == 1 else Pushed(*(torch.cat(images) for images in zip(*parts, strict=True)))


def _push(of: Branches, v: Tensor) -> Pushed:
    return _through_block(of.parallel, of.mlp, of.mlp_input, of.at, v, of.attention.push(v))


def push_paths(
    parallel: bool,
    paths: Sequence[AttentionAt],
    mlp: Mlp,
    mlp_input: Float[Tensor, "rows d_model"],
    at: Linearisation,
    v: Float[Tensor, "rows d_model"],
) -> Pushed:
    """Return J_attn v and J_block v for one direction at every row of several paths, which go through the MLP together.

    Args:
        parallel: Whether attention and the MLP both read resid_pre.
        paths: Attention at the rows of each path; each has its own prefix.
        mlp: The MLP branch.
        mlp_input: What the MLP branch reads at the rows of all paths, one path after the other.
        at: The MLP branch linearised at `mlp_input`.
        v: The directions, in the same order.
    """
    parts = zip(paths, v.split([len(path) for path in paths]), strict=True)
    of_attention = torch.cat([path.push(part[None]) for path, part in parts], dim=1)
    return _through_block(parallel, mlp, mlp_input, at, v[None], of_attention)


def _through_block(
    parallel: bool, mlp: Mlp, mlp_input: Tensor, at: Linearisation, v: Tensor, of_attention: Tensor
) -> Pushed:
    after_attention = v + of_attention
    through = v if parallel else after_attention
    return Pushed(of_attention, after_attention + mlp_jacobian.push(mlp, mlp_input, at, through))


# ---- norms from whole matrices at the nodes -----------------------------------------------------------------------


class Chain(NamedTuple):
    """The product of the Jacobians of all blocks so far.

    Attributes:
        nodes: The nodes of the path that were chosen at the last of these blocks.
        matrices: (nodes, d_model, d_model), the product at each node.
    """

    nodes: Nodes
    matrices: Matrices

    def at(self, steps: list[int]) -> Matrices:
        """Return the product at some steps: unchanged at nodes, at other steps the linear combination of the nodes'."""
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
    """Frobenius norms of attention, block and chain at every step of one layer, and the chain including this layer."""

    attn: Float[Tensor, " steps"]
    block: Float[Tensor, " steps"]
    of_chain: Float[Tensor, " steps"]
    chain: Chain


def exact_norms(of: Branches, chain: Chain | None, sketches: Pushed, images: Tensor, *, memory_gb: float) -> Norms:
    """Compute the Frobenius norms of attention, block and chain from their matrices at the nodes.

    Args:
        of: The block along one path.
        chain: The product of the blocks before this one; None if this is the first block of the chain.
        sketches: Images of random directions, which are the same at every step, under attention and the block.
        images: (k, steps, d_model), images of random directions under the product of all blocks including this one.
        memory_gb: Memory budget in GB for the MLP's matrices, which are computed for a few nodes at a time.
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
    for some in parts:  # the block's matrices replace those of attention, to save memory
        matrices[some] = compose(of.parallel, mlp_jacobian.jacobian(of.mlp, of.mlp_input[steps[some]]), matrices[some])
    block = nodes.norms(chosen, matrices)
    product = matrices
    if chain is not None:
        product = torch.empty_like(matrices)
        for some in parts:
            bmm(matrices[some], chain.at(steps[some]), out=product[some])
    return Norms(attn, block, nodes.norms(chosen, product), Chain(chosen, product))


def compose(parallel: bool, of_mlp: Matrices, of_attention: Matrices) -> Matrices:
    """Compose the block's Jacobian from those of its MLP and attention; the matrices of attention are overwritten."""
    of_attention.diagonal(dim1=-2, dim2=-1).add_(1)
    return of_attention.add_(of_mlp if parallel else bmm(of_mlp, of_attention))


# ---- norms from random directions -----------------------------------------------------------------------------------


def frobenius_estimate(
    pushed: Float[Tensor, "k steps d_model"],
) -> tuple[Float[Tensor, " steps"], Float[Tensor, " steps"]]:
    """Estimate |J|_F from J v at k random sign vectors v (Hutchinson), with the standard error of the estimate.

    E |J v|^2 = |J|_F^2 if the entries of v are independent with mean 0 and variance 1. The standard error of |J|_F
    follows from that of |J|_F^2 by the delta method.
    """
    squares = pushed.square().sum(-1)
    estimate = squares.mean(0).sqrt()
    error = squares.std(0) / len(squares) ** 0.5 / (2 * estimate)
    return estimate, error


def random_signs(k: int, rows: Tensor, seed: int) -> Float[Tensor, "k steps d_model"]:
    """Return k vectors of random signs, each the same at every step, so that noise is not mistaken for a change.

    Args:
        k: Number of vectors.
        rows: (steps, d_model), which give shape, type and device.
        seed: Seed of the random numbers.
    """
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(0, 2, (k, 1, rows.shape[-1]), generator=generator).to(rows) * 2 - 1
    return signs.expand(k, *rows.shape)
