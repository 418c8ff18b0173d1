"""A few points of a path that stand for all: its nodes.

The Jacobians along a path change smoothly with alpha, so that those at a few of its steps, the nodes, have those at all
others as linear combinations of them. Which steps, and which combinations, is read off sketches: images of random
directions, which are cheap to have at every step. A random sketch keeps the lengths of all combinations of so few
matrices to within some per cent (Johnson and Lindenstrauss), so what a combination leaves out of the sketch is what it
leaves out of the matrix. It is the interpolative decomposition of the sketches (Cheng, Gimbutas, Martinsson and Rokhlin
2005), by a pivoted Cholesky factorisation: nodes are added where most is left out, until no step is further from the
combinations than `tolerance` of its own length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

TOLERANCE = 2e-5
"""Of a matrix's Frobenius norm: a few times what float32 loses through the blocks of a model, so that the combinations
do not chase its rounding."""
SHORTEST = 1e-2
"""Of the typical length of its kind: shorter ones are approximated as if they were that long, or what is next to
nothing would have to be told from rounding."""
DIMENSIONS_PER_STEP = 8
"""Numbers that a sketch has for every step, at least; with fewer, combinations could be found that are none."""


def directions(steps: int, d_model: int) -> int:
    """How many random directions a sketch takes."""
    return max(4, -(-DIMENSIONS_PER_STEP * steps // d_model))


class Nodes(NamedTuple):
    """The nodes of a path.

    Attributes:
        steps: Which steps they are, in the order in which they were taken.
        weights: (steps of the path, nodes), float64: every step as a combination of them.
    """

    steps: tuple[int, ...]
    weights: Float[Tensor, "steps nodes"]


def every_step(steps: int) -> Nodes:
    """All steps as nodes."""
    return Nodes(tuple(range(steps)), torch.eye(steps, dtype=torch.float64))


def choose(
    sketches: Sequence[Float[Tensor, "steps numbers"]], before: Sequence[int] = (), *, tolerance: float = TOLERANCE
) -> Nodes:
    """The nodes for matrices of several kinds at once.

    Args:
        sketches: One per kind, on any device.
        before: Steps that are taken before others.
        tolerance: How much of a step's sketch may be left out, as a share of its length.
    """
    steps = len(sketches[0])
    if min(sketch.shape[1] for sketch in sketches) < DIMENSIONS_PER_STEP * steps:
        return every_step(steps)
    # One combination serves all kinds, so each is scaled as a whole; a step's own length says what it may leave out.
    grams = torch.stack([(whole := _in_float64(sketch)) @ whole.T for sketch in sketches]).cpu()
    squares = grams.diagonal(dim1=1, dim2=2)
    scales = squares.mean(1).clamp_min(torch.finfo(torch.float64).tiny)
    gram = (grams / scales[:, None, None]).sum(0)
    if not bool(torch.isfinite(gram).all()):
        return every_step(steps)  # a model that overflows is reported where its tables are checked
    allowed = tolerance**2 * (squares / scales[:, None]).amin(0).clamp_min(SHORTEST**2)
    left_out, factor = gram.diagonal().clone(), gram.new_zeros(steps, steps)
    preferred = torch.zeros(steps, dtype=torch.bool)
    preferred[list(before)] = True
    chosen: list[int] = []
    while (excess := left_out / allowed).max() > 1:
        among = excess * preferred
        step = int((among if among.max() > 1 else excess).argmax())
        column = gram[:, step] - factor @ factor[step]
        column[chosen] = 0
        column = column / column[step].sqrt()
        factor[:, len(chosen)] = column
        left_out = (left_out - column.square()).clamp_min(0)
        left_out[step] = 0
        chosen.append(step)
    factor = factor[:, : len(chosen)]
    weights = torch.linalg.solve_triangular(factor[chosen], factor, upper=False, left=False)
    return Nodes(tuple(chosen), weights)


def _in_float64(sketch: Tensor) -> Tensor:
    return (sketch.cpu() if sketch.device.type == "mps" else sketch).double()


def norms(nodes: Nodes, matrices: Float[Tensor, "nodes rows columns"]) -> Float[Tensor, " steps"]:
    """The Frobenius norm at every step, from the matrices at the nodes and their products with each other."""
    flat = matrices.flatten(1)
    gram = (flat @ flat.T).double().cpu()
    own = torch.linalg.vector_norm(flat, dim=1)
    square = ((nodes.weights @ gram) * nodes.weights).sum(1)
    found = square.clamp_min(0).sqrt().to(own.dtype).to(own.device)
    found[list(nodes.steps)] = own
    return found
