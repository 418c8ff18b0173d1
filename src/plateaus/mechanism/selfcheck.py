"""Compare the formulas that the stages use with the model itself, in every block, at points of a real path.

A formula that does not hold for a model gives plausible numbers, so each is compared with what the model itself does
(`plateaus.mechanism.reference`). All errors are relative, |found - expected| / |expected|. Of a block, what it adds to
the residual stream is compared, because the residual vector itself may be much longer and would hide an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from plateaus.mechanism import block_jacobian, mlp_jacobian, splines
from plateaus.mechanism.attention_jacobian import LayerAttention
from plateaus.mechanism.block_jacobian import Branches
from plateaus.mechanism.reference import AtBlock, Reference
from plateaus.model import architecture, branches, trial
from plateaus.model.freezing import Freezing
from plateaus.model.prefix import Prefix
from plateaus.model.transformer import Transformer

TOLERANCE = 1e-3
"""Largest error at which a model counts as right; spline codes must all be right, apart from units close to a hinge."""
MATRICES_UP_TO = 2048
"""Widest residual stream for which whole Jacobians are computed here."""
MATRIX_LAYERS = 3
"""In how many blocks, spread evenly, norms from whole Jacobians are compared."""
HINGE = 1e-4
"""A hidden unit whose pre-activation is below this share of the largest one may be on either side by rounding."""


class Error(NamedTuple):
    """The error of one quantity in one block; logits have the number of blocks as their layer.

    Attributes:
        layer: Index of the block.
        quantity: One of `plateaus.data.schemas.QUANTITIES`.
        error: The error; for spline codes, the share of units on the wrong side.
        tolerance: Largest error at which the model counts as right.
    """

    layer: int
    quantity: str
    error: float
    tolerance: float

    @property
    def fails(self) -> bool:
        """Whether the error is above the tolerance, or is not a number."""
        return not self.error <= self.tolerance


def errors(
    model: Transformer, expected: Reference, ids: tuple[list[int], list[int]], *, centred: bool, memory_gb: float
) -> Iterator[Error]:
    """Yield the error of every quantity in every block after the interpolation layer.

    Args:
        model: The model as the stages use it.
        expected: What the model itself computes.
        ids: The tokens of both prompts.
        centred: Whether `model` has the mean removed from its residual stream (`centre: true`).
        memory_gb: Memory budget in GB for intermediate results.
    """

    def at(x: Tensor) -> Tensor:
        return x - x.mean(-1, keepdim=True) if centred else x

    n = model.n_layers
    yield Error(n, "causal", expected.looks_ahead, TOLERANCE)
    runs = [model.run(one) for one in ids]
    for layer in range(n):
        found = torch.stack([resid[layer] for resid, _ in runs])
        yield Error(layer, "prompt", trial.misfit(found, at(expected.prompts[:, layer])), TOLERANCE)
    prefix = model.prefix(ids[0][:-1])
    rows = at(expected.path)
    first = n - len(expected.blocks)
    spread = np.linspace(first, n - 1, MATRIX_LAYERS).round().astype(int).tolist()
    for layer, block in enumerate(expected.blocks, start=first):
        # The reference's rows are used in every block, so that errors of earlier blocks do not add up.
        own = AtBlock(at(block.resid_pre), at(block.resid_post), at(block.v), at(block.pushed), block.hinge)
        yield from _of_block(model, layer, own, prefix, matrices=layer in spread, memory_gb=memory_gb)
        rows = model.block(layer, rows, prefix).resid_post
    found = model.logits(rows[[0, -1]])
    yield Error(n, "logits", trial.misfit(found, expected.prompt_logits), TOLERANCE)


def _of_block(
    model: Transformer, layer: int, expected: AtBlock, prefix: Prefix, *, matrices: bool, memory_gb: float
) -> Iterator[Error]:
    rows, v = expected.resid_pre, expected.v
    output = model.block(layer, rows, prefix, parts=True)
    attn_out, mlp_out = output.parts["attn_out"], output.parts["mlp_out"]
    change = output.resid_post - rows
    yield Error(layer, "resid_post", trial.misfit(change, expected.resid_post - rows), TOLERANCE)
    yield Error(layer, "sum", trial.misfit(attn_out + mlp_out, change), TOLERANCE)
    mlp = model.mlp(layer)
    yield Error(layer, "mlp", trial.misfit(mlp(output.mlp_input), mlp_out), TOLERANCE)

    def parts(x: Tensor) -> tuple[Tensor, Tensor]:
        both = model.block(layer, x, prefix, parts=True).parts
        return both["attn_out"], both["mlp_out"]

    with torch.no_grad():
        moved: tuple[Tensor, Tensor] = torch.func.jvp(parts, (rows,), (v,))[1]
    attn_moved, mlp_moved = moved
    parallel = model.layout(layer).parallel
    attention = LayerAttention(model, layer, memory_gb=memory_gb).at(rows, prefix)
    of = Branches(parallel, attention, mlp, output.mlp_input, mlp.linearise(output.mlp_input))
    pushed = block_jacobian.push(of, v[None])
    through = v if parallel else v + attn_moved
    of_mlp = mlp_jacobian.push(mlp, of.mlp_input, of.at, through)
    yield Error(layer, "attn_jvp", trial.misfit(pushed.attn[0], attn_moved), TOLERANCE)
    yield Error(layer, "mlp_jvp", trial.misfit(of_mlp, mlp_moved), TOLERANCE)
    yield Error(layer, "block_jvp", trial.misfit(pushed.block[0] - v, expected.pushed - v), TOLERANCE)
    if matrices and model.d_model <= MATRICES_UP_TO:
        yield Error(layer, "frobenius", _matrix_error(of, expected), TOLERANCE)
    yield Error(layer, "held", _held_error(model, layer, of, rows, attn_out, prefix), TOLERANCE)
    if expected.hinge is not None:
        yield Error(layer, "codes", _code_error(splines.codes(mlp, output.mlp_input), expected.hinge), 0.0)


def _matrix_error(of: Branches, expected: AtBlock) -> float:
    """Return the largest error of the norms that come from whole matrices, at the middle of the path.

    The closed-form norm of the MLP is compared with that of its matrix, and the matrix of the block with J v.
    """
    row = len(expected.v) // 2
    v = expected.v[row]
    read = of.mlp_input[[row]]
    matrix = mlp_jacobian.jacobian(of.mlp, read)
    norms = mlp_jacobian.jacobian_norms(of.mlp, mlp_jacobian.gram(of.mlp), read, of.mlp.linearise(read))
    worst = trial.misfit(norms.mlp, torch.linalg.matrix_norm(matrix))
    block = block_jacobian.compose(of.parallel, matrix, of.attention.matrices([row]))
    return max(worst, trial.misfit(block[0] @ v - v, expected.pushed[row] - v))


def _held_error(model: Transformer, layer: int, of: Branches, rows: Tensor, attn_out: Tensor, prefix: Prefix) -> float:
    """Return the error of a block whose attention and MLP are held at their means, and of norms with a mean scale."""
    frozen = model.block(layer, rows, prefix, Freezing(("attn_mlp_mean",), {})).resid_post
    middle = rows + attn_out.mean(0)
    expected = middle + of.mlp(rows if of.parallel else middle).mean(0)
    worst = trial.misfit(frozen - rows, expected - rows)
    block = model.bridge.blocks[layer]
    kinds = [getattr(block, name) for name in architecture.NORMS if architecture.has_norm(block, name)]
    for component in [*kinds, model.bridge.ln_final]:
        norm = branches.norm_of(component, model.d_model, rows)
        scale = norm.normalise(rows)[1].mean()
        hold = [(component.hook_scale, lambda value, hook, scale=scale: torch.full_like(value, float(scale)))]
        with torch.no_grad(), architecture.hooked(hold):
            found = component(rows[:, None])[:, 0]
        worst = max(worst, trial.misfit(found, norm.centre(rows) / scale * norm.gain + norm.bias))
    return worst


def _code_error(packed: splines.Packed, hinge: Tensor) -> float:
    """Return the share of hidden units that are on the wrong side of their hinge, apart from those close to it."""
    units = hinge.shape[-1]
    found = torch.from_numpy(np.unpackbits(packed, axis=-1, count=units)).to(hinge.device).bool()
    if found.shape != hinge.shape:
        return float("inf")
    clear = hinge.abs() > HINGE * hinge.abs().amax(-1, keepdim=True)
    return float((found != (hinge > 0))[clear].double().mean())
