"""Spline codes: the side of its hinge on which each hidden unit of an MLP is, and how often it changes along a path.

A ReLU MLP is linear within a polytope, the set of inputs with the same code. For smooth activations the code is also
the sign of the pre-activation, as in the post for GELU (Balestriero & Baraniuk; Humayun et al.; Black et al.). In gated
MLPs it is the sign of the gate's pre-activation, which differs from the sign of act(gate) * up.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from plateaus.mechanism.mlp_jacobian import Gram
from plateaus.model.mlp import Mlp
from plateaus.model.products import matmul

Packed = UInt8[np.ndarray, "steps bytes"]


def codes(mlp: Mlp, x: Float[Tensor, "steps d_model"]) -> Packed:
    """Return the code at every step, with eight units packed into each byte."""
    packed: Packed = np.packbits((mlp.pre_activation(x) > 0).cpu().numpy(), axis=-1)
    return packed


def hamming(packed: Packed) -> np.ndarray:
    """Count the units that change sides from each step to the next, (steps - 1,)."""
    changed: np.ndarray = np.bitwise_count(packed[1:] ^ packed[:-1]).sum(-1, dtype=np.int64)
    return changed


class Density(NamedTuple):
    """Spline density between consecutive steps; each attribute has shape (steps - 1,).

    Attributes:
        hamming: Number of units that change sides, which is at most the number of hinges crossed.
        input_step: Length of the change of the residual vector that the MLP branch reads.
        density: hamming / input_step, or 0 if the input did not move.
    """

    hamming: np.ndarray
    input_step: np.ndarray
    density: np.ndarray


def density(mlp: Mlp, x: Float[Tensor, "steps d_model"]) -> Density:
    """Compute the spline density along a path of MLP inputs."""
    changed = hamming(codes(mlp, x))
    moved = torch.linalg.vector_norm(x[1:] - x[:-1], dim=-1).double().cpu().numpy()
    per_length = np.divide(changed, moved, out=np.zeros_like(moved), where=moved > 0)
    return Density(changed, moved, per_length)


class Switches(NamedTuple):
    """The contribution of each unit of a ReLU MLP to |J_fc|_F^2 (the post, footnote 10), (steps, d_mlp) each.

    Attributes:
        active: Whether the unit is on.
        contribution: g_i (M g)_i, which sums to |J_fc|_F^2 over all units.
        switch: The change of |J_fc|_F^2 if only this unit were switched on or off.
    """

    active: Tensor
    contribution: Tensor
    switch: Tensor


def switches(mlp: Mlp, matrices: Gram, x: Float[Tensor, "steps d_model"]) -> Switches:
    """Compute every unit's share of the Jacobian's squared norm, and the change if the unit were switched.

    With g the 0/1 code, |J_fc|_F^2 = g^T M g. Switching unit i changes g_i by s = 1 - 2 g_i, which adds
    2 s (M g)_i + M_ii.

    Args:
        mlp: The MLP branch.
        matrices: `plateaus.mechanism.mlp_jacobian.gram(mlp)`.
        x: The residual vectors that the branch reads.

    Raises:
        ValueError: the MLP is gated or its activation is not ReLU.
    """
    if not is_relu(mlp):
        raise ValueError("single units can only be switched in ReLU MLPs without a gate")
    active = mlp.pre_activation(x) > 0
    g = active.to(x.dtype)
    through = matmul(g, matrices.in_in)
    return Switches(active, g * through, 2 * (1 - 2 * g) * through + matrices.in_in.diagonal())


def is_relu(mlp: Mlp) -> bool:
    """Tell whether the MLP is piecewise linear, with a ReLU activation and no gate."""
    z = torch.tensor([-2.0, -0.5, 0.5, 2.0], dtype=mlp.w_in.dtype, device=mlp.w_in.device)
    return mlp.w_gate is None and torch.equal(mlp.activation(z), z.clamp_min(0))
