"""Spline codes: which side of its hinge each hidden unit of an MLP is on, and how often that changes along a path.

A ReLU MLP is linear within a polytope, the set of inputs with the same code. For smooth activations the sign of the
pre-activation is kept as the code, as the post does for GELU (Balestriero & Baraniuk; Humayun et al.; Black et al.).
In gated MLPs the pre-activation is the gate's: the sign of act(gate) * up would be a different thing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from plateaus.mechanism.mlp_jacobian import Gram
from plateaus.model.mlp import Mlp

Packed = UInt8[np.ndarray, "steps bytes"]


def codes(mlp: Mlp, x: Float[Tensor, "steps d_model"]) -> Packed:
    """The code at every step, eight units to a byte."""
    packed: Packed = np.packbits((mlp.pre_activation(x) > 0).cpu().numpy(), axis=-1)
    return packed


def hamming(packed: Packed) -> np.ndarray:
    """How many units change sides from each step to the next, (steps - 1,)."""
    changed: np.ndarray = np.bitwise_count(packed[1:] ^ packed[:-1]).sum(-1, dtype=np.int64)
    return changed


class Density(NamedTuple):
    """Between consecutive steps, (steps - 1,) each.

    Attributes:
        hamming: Units that change sides; the number of hinges crossed, at least.
        input_step: |change of the vector that the MLP reads|.
        density: hamming / input_step, 0 where the input did not move.
    """

    hamming: np.ndarray
    input_step: np.ndarray
    density: np.ndarray


def density(mlp: Mlp, x: Float[Tensor, "steps d_model"]) -> Density:
    """Spline density along a path of MLP inputs."""
    changed = hamming(codes(mlp, x))
    moved = torch.linalg.vector_norm(x[1:] - x[:-1], dim=-1).double().cpu().numpy()
    per_length = np.divide(changed, moved, out=np.zeros_like(moved), where=moved > 0)
    return Density(changed, moved, per_length)


class Switches(NamedTuple):
    """What single units of a ReLU MLP do for |J_fc|_F^2 (the post, footnote 10), (steps, d_mlp) each.

    Attributes:
        active: Whether the unit is on.
        contribution: g_i (M g)_i; over all units this sums to |J_fc|_F^2.
        switch: The change of |J_fc|_F^2 if this unit alone were switched.
    """

    active: Tensor
    contribution: Tensor
    switch: Tensor


def switches(mlp: Mlp, matrices: Gram, x: Float[Tensor, "steps d_model"]) -> Switches:
    """Every unit's share of the Jacobian's squared norm, and what switching it would change.

    With g the 0/1 code, |J_fc|_F^2 = g^T M g; turning unit i by s = 1 - 2 g_i adds 2 s (M g)_i + M_ii.

    Raises:
        ValueError: the MLP is gated or its activation is not ReLU.
    """
    if not is_relu(mlp):
        raise ValueError("single units can be switched in ReLU MLPs without a gate alone")
    active = mlp.pre_activation(x) > 0
    g = active.to(x.dtype)
    through = g @ matrices.in_in
    return Switches(active, g * through, 2 * (1 - 2 * g) * through + matrices.in_in.diagonal())


def is_relu(mlp: Mlp) -> bool:
    """Whether the MLP is piecewise linear: ReLU and no gate."""
    z = torch.tensor([-2.0, -0.5, 0.5, 2.0], dtype=mlp.w_in.dtype, device=mlp.w_in.device)
    return mlp.w_gate is None and torch.equal(mlp.activation(z), z.clamp_min(0))
