"""The nodes of a path: a few of its steps that represent all others.

The Jacobians along a path change smoothly with alpha, so the Jacobian at any step is close to a linear combination of
the Jacobians at a few steps, the nodes. The nodes and the combinations are found from sketches: images of random
directions, which are cheap to compute at every step. A random sketch preserves the lengths of all combinations of so
few matrices to within a few per cent (Johnson and Lindenstrauss), so the error of a combination in the sketch is close
to its error in the matrices. The method is the interpolative decomposition of the sketches (Cheng, Gimbutas, Martinsson
and Rokhlin 2005), computed by a pivoted Cholesky factorisation: a node is added where the error is largest, until the
error at every step is at most `tolerance` times the length of its own sketch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

TOLERANCE = 5e-4
"""Allowed error of a combination, as a share of the matrix's Frobenius norm. The norms follow with less than that: on
the embedded model, those of attention and blocks are off by at most 6e-5, that of the chain of 29 blocks by 2e-4."""
SHORTEST = 1e-2
"""Share of the root mean square length of the sketches of one kind. A shorter sketch is allowed the error of one of
this length, because a smaller error would be lost in rounding."""
DIMENSIONS_PER_STEP = 8
"""Smallest number of entries of a sketch per step of the path. With fewer, combinations might fit the sketches without
fitting the matrices."""


def directions(steps: int, d_model: int) -> int:
    """Return the number of random directions that a sketch needs, for a path of `steps` steps."""
    return max(4, -(-DIMENSIONS_PER_STEP * steps // d_model))


class Nodes(NamedTuple):
    """The nodes of a path.

    Attributes:
        steps: The steps that are nodes, in the order in which they were chosen.
        weights: (steps of the path, nodes), float64, the coefficients of every step's combination of the nodes.
    """

    steps: tuple[int, ...]
    weights: Float[Tensor, "steps nodes"]


def every_step(steps: int) -> Nodes:
    """Return all steps as nodes, each representing only itself."""
    return Nodes(tuple(range(steps)), torch.eye(steps, dtype=torch.float64))


def choose(
    sketches: Sequence[Float[Tensor, "steps numbers"]], before: Sequence[int] = (), *, tolerance: float = TOLERANCE
) -> Nodes:
    """Choose nodes that serve matrices of several kinds with the same combinations.

    Args:
        sketches: One per kind, on any device.
        before: Steps that are preferred as nodes, such as the nodes of the layer before.
        tolerance: Allowed error of a step's sketch, as a share of its length.

    Returns:
        The nodes. Every step is a node if a sketch is too small or holds a value that is not finite.
    """
    steps = len(sketches[0])
    if min(sketch.shape[1] for sketch in sketches) < DIMENSIONS_PER_STEP * steps:
        return every_step(steps)
    # One combination serves all kinds, so each kind is scaled as a whole. The error allowed at a step is relative to
    # the length of the step's own sketch.
    grams = torch.stack([(whole := _in_float64(sketch)) @ whole.T for sketch in sketches]).cpu()
    squares = grams.diagonal(dim1=1, dim2=2)
    scales = squares.mean(1).clamp_min(torch.finfo(torch.float64).tiny)
    gram = (grams / scales[:, None, None]).sum(0)
    if not bool(torch.isfinite(gram).all()):
        return every_step(steps)  # an overflow in the model is reported when its tables are checked
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
    # Apple's GPU backend (mps) has no float64.
    return (sketch.cpu() if sketch.device.type == "mps" else sketch).double()


def norms(nodes: Nodes, matrices: Float[Tensor, "nodes rows columns"]) -> Float[Tensor, " steps"]:
    """Return the Frobenius norm at every step, from the inner products of the matrices at the nodes."""
    flat = matrices.flatten(1)
    gram = (flat @ flat.T).double().cpu()
    own = torch.linalg.vector_norm(flat, dim=1)
    square = ((nodes.weights @ gram) * nodes.weights).sum(1)
    found = square.clamp_min(0).sqrt().to(own.dtype).to(own.device)
    found[list(nodes.steps)] = own
    return found
