"""The layout of a block: what its MLP reads, and how attention and the MLP are added to the residual stream.

The layout is found by running the block once on random vectors, so it does not depend on the model's name. A block is
regular if

    resid_mid  = resid_pre + attn_scale * attn_out
    resid_post = resid_mid + mlp_scale * mlp_out

and if its MLP reads resid_mid, or resid_pre (attention and MLP are then parallel), with one norm or none before it.
Attention and a parallel MLP may share a norm. Other blocks, such as those with a norm after the sum, are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from plateaus.errors import InputError
from plateaus.model import architecture, trial

PROBES = 8
"""How many random vectors a block is tried on."""


class Layout(NamedTuple):
    """The layout of one block.

    Attributes:
        parallel: Whether the MLP reads resid_pre, as attention does, and not resid_mid.
        mlp_norm: Name of the norm whose output the MLP reads, ``ln1`` or ``ln2``; None if there is no such norm.
        attn_scale: Factor of `hook_attn_out` in the sum.
        mlp_scale: Factor of `hook_mlp_out` in the sum.
        mlp_input: (probes, d_model), the residual vectors that the MLP branch read in the trial, before its norm.
        mlp_added: (probes, d_model), what the MLP branch added to the residual stream in the trial.
    """

    parallel: bool
    mlp_norm: str | None
    attn_scale: float
    mlp_scale: float
    mlp_input: Float[Tensor, "probes d_model"]
    mlp_added: Float[Tensor, "probes d_model"]


class _Seen(NamedTuple):
    """What went through a block in the trial, (probes, d_model) each; of the norms, inputs and outputs by name."""

    before: Tensor
    after: Tensor
    attn_out: Tensor
    mlp_out: Tensor
    mlp_read: Tensor
    norms: dict[str, tuple[Tensor, Tensor]]


@torch.no_grad()
def of_block(
    block: Any, call: Callable[[Tensor], Tensor], d_model: int, like: Tensor, config: object, layer: int
) -> Layout:
    """Find the layout of a block.

    Args:
        block: One of the bridge's blocks.
        call: Runs the block on residual vectors at the last position, (rows, d_model).
        d_model: Width of the residual stream.
        like: A tensor whose dtype and device the vectors get.
        config: The model's configuration, whose numbers are tried as factors.
        layer: Index of the block, for messages.

    Raises:
        InputError: the block is not regular.
    """
    seen = _run(block, call, trial.rows(PROBES, d_model, like, seed=layer))
    if not bool(torch.isfinite(seen.after).all()):
        raise InputError(f"layer {layer} computes values that are not finite: copy or download the weights again")
    known = trial.numbers_of(config, block.original_component)
    attn_scale, mlp_scale = _scales(seen, known)
    attn_added, mlp_added = attn_scale * seen.attn_out, mlp_scale * seen.mlp_out
    if trial.misfit(seen.before + attn_added + mlp_added, seen.after) > trial.AGREEMENT:
        raise InputError(
            f"in layer {layer}, what attention and the MLP write does not add up to the change of the residual stream "
            "(there may be a norm after the sum)"
        )
    middle = seen.before + attn_added
    for name in ("ln2", "ln1", None):
        if name is not None and name not in seen.norms:
            continue
        residual, read = seen.norms[name] if name is not None else (seen.mlp_read, seen.mlp_read)
        if trial.misfit(read, seen.mlp_read) > trial.AGREEMENT:
            continue
        for parallel, stream in ((False, middle), (True, seen.before)):
            if trial.misfit(residual, stream) < trial.AGREEMENT:
                return Layout(parallel, name, attn_scale, mlp_scale, stream, mlp_added)
    raise InputError(
        f"in layer {layer}, the MLP reads neither the residual stream before or after attention nor a norm of it"
    )


def _run(block: Any, call: Callable[[Tensor], Tensor], x: Tensor) -> _Seen:
    seen: dict[str, Tensor] = {}
    norms: dict[str, tuple[Tensor, Tensor]] = {}

    def keep(name: str) -> Callable[..., None]:
        return lambda value, hook: seen.__setitem__(name, value.reshape(x.shape).clone())

    def keep_norm(name: str) -> Callable[..., None]:
        def hook(_: Any, inputs: tuple[Any, ...], output: Any) -> None:
            norms[name] = (inputs[0].reshape(x.shape).clone(), output.reshape(x.shape).clone())

        return hook

    def keep_input(name: str) -> Callable[..., None]:
        def hook(_: Any, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            value = inputs[0] if inputs else next(iter(kwargs.values()))
            if isinstance(value, Tensor) and value.numel() == x.numel():
                seen[name] = value.reshape(x.shape).clone()

        return hook

    points = [(block.hook_attn_out, keep("attn_out")), (block.hook_mlp_out, keep("mlp_out"))]
    readers = {"mlp": block.mlp, "in": block.mlp.submodules.get("in")}
    with ExitStack() as stack:
        stack.enter_context(architecture.hooked(points))
        for name in architecture.NORMS:
            if architecture.has_norm(block, name):
                handle = getattr(block, name).register_forward_hook(keep_norm(name))
                stack.callback(handle.remove)
        for name, module in readers.items():
            if module is not None:
                handle = module.register_forward_pre_hook(keep_input(name), with_kwargs=True)
                stack.callback(handle.remove)
        after = call(x)
    read = seen.get("in", seen.get("mlp"))
    if read is None or not {"attn_out", "mlp_out"} <= set(seen):
        raise InputError("a block does not show what its attention and its MLP read and write")
    return _Seen(x, after, seen["attn_out"], seen["mlp_out"], read, norms)


def _scales(seen: _Seen, known: list[float]) -> tuple[float, float]:
    """Return the factors of attention and the MLP in the sum, by least squares, replaced by exact numbers if close."""
    columns = torch.stack([seen.attn_out.flatten(), seen.mlp_out.flatten()], dim=1).double().cpu()
    change = (seen.after - seen.before).flatten().double().cpu()
    fitted = torch.linalg.lstsq(columns, change[:, None]).solution.flatten().tolist()
    # The two factors are fitted together, which is less accurate than one alone.
    attn_scale, mlp_scale = (trial.snapped(scale, known, 10 * trial.AGREEMENT) for scale in fitted)
    return attn_scale, mlp_scale
