"""What the model itself computes along a real path: the model as transformers has it, on whole prompts, differentiated.

Nothing here uses the bridge, the prefix cache or a closed form, so the results are independent of everything that the
stages use. They are what `plateaus.mechanism.selfcheck` compares the stages' formulas with.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from plateaus.curves import geometry
from plateaus.errors import InputError

ROWS = 4
"""Number of points of the path, including both ends."""


class AtBlock(NamedTuple):
    """One block at the last token, (rows, d_model) each.

    Attributes:
        resid_pre: What the block reads at the points of the path.
        resid_post: What it returns.
        v: Random directions, one per point.
        pushed: J v, the derivative of resid_post along v, by differentiation.
        hinge: (rows, d_mlp), what the MLP's activation function is applied to; None if it is not a module of its own.
    """

    resid_pre: Tensor
    resid_post: Tensor
    v: Tensor
    pushed: Tensor
    hinge: Tensor | None


class Reference(NamedTuple):
    """The results of the model itself.

    Attributes:
        path: (rows, d_model), the path that is patched into resid_post of the interpolation layer.
        prompts: (2, layers, d_model), resid_post of both prompts at the last token.
        prompt_logits: (2, d_vocab), the logits of both prompts after the last token.
        blocks: The blocks after the interpolation layer.
        looks_ahead: Largest change, relative to the vectors, of what the model computes for the tokens of the prefix
            when the last token changes; 0 if attention is causal and the prefix is not empty.
    """

    path: Float[Tensor, "rows d_model"]
    prompts: Float[Tensor, "end layers d_model"]
    prompt_logits: Float[Tensor, "end d_vocab"]
    blocks: tuple[AtBlock, ...]
    looks_ahead: float


def blocks_of(model: torch.nn.Module, count: int) -> Sequence[torch.nn.Module]:
    """Return the blocks of a transformers model, which form the outermost list of `count` modules.

    Raises:
        InputError: there is no such list.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == count:
            return list(module)
    raise InputError(f"{type(model).__name__} has no list of {count} blocks")


@torch.no_grad()
def along_path(
    model: Any, ids: tuple[list[int], list[int]], *, layer: int, path: str, name: str, seed: int
) -> Reference:
    """Run the model on both prompts and along the path between them.

    Args:
        model: A model of transformers, for inference.
        ids: The tokens of both prompts, which differ in the last token.
        layer: The interpolation layer.
        path: ``spherical`` or ``linear``.
        name: Name of the path, for messages.
        seed: Seed of the random directions.

    Raises:
        InputError: see `blocks_of` and `geometry.interpolate`.
    """
    config = model.config
    blocks = blocks_of(model, int(config.num_hidden_layers))
    device = next(itertools.chain(model.parameters(), model.buffers())).device
    runs = [_run(model, blocks, torch.tensor([one], device=device)) for one in ids]
    prompts = torch.stack([torch.stack([post[0, -1] for post in run.posts]) for run in runs])
    before = [torch.stack([post[0, :-1] for post in run.posts]) for run in runs]
    size = before[0].abs().amax().clamp_min(1e-30) if before[0].numel() else 1
    looks_ahead = float(((before[0] - before[1]).abs().amax() if before[0].numel() else torch.zeros(())) / size)
    a, b = prompts[:, layer].cpu()
    rows = geometry.interpolate(a, b, geometry.alphas(ROWS), path=path, name=name).to(device)
    patched = _run(model, blocks, torch.tensor([ids[0]] * ROWS, device=device), (layer, rows))
    generator = torch.Generator().manual_seed(seed)
    found = []
    for number in range(layer + 1, len(blocks)):
        x = patched.calls[number][0][:, -1]
        v = torch.nn.functional.normalize(torch.randn(x.shape, generator=generator).to(x), dim=-1)
        pushed = _push(_of_last(blocks[number], *patched.calls[number]), x, v)
        found.append(AtBlock(x, patched.posts[number][:, -1], v, pushed, patched.hinges.get(number)))
    logits = torch.stack([run.logits[0, -1] for run in runs])
    return Reference(rows, prompts, logits.float(), tuple(found), looks_ahead)


class _Run(NamedTuple):
    """A forward pass: the logits, and each block's arguments, output and activation function's input."""

    logits: Tensor
    calls: list[tuple[Tensor, tuple[Any, ...], dict[str, Any]]]
    posts: list[Tensor]
    hinges: dict[int, Tensor]


def _run(model: Any, blocks: Sequence[torch.nn.Module], ids: Tensor, patch: tuple[int, Tensor] | None = None) -> _Run:
    """Run the model, with the last token's output of one block replaced if `patch` is given."""
    calls: list[tuple[Tensor, tuple[Any, ...], dict[str, Any]]] = []
    posts: list[Tensor] = []
    hinges: dict[int, Tensor] = {}
    handles = []

    def keep_call(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        rest = {name: value for name, value in kwargs.items() if name != "hidden_states"}
        hidden = args[0] if args else kwargs["hidden_states"]
        calls.append((hidden, args[1:], rest))

    def keep_post(number: int) -> Callable[..., Any]:
        def hook(_: Any, __: Any, output: Any) -> Any:
            hidden = output[0] if isinstance(output, tuple) else output
            if patch is not None and patch[0] == number:
                hidden = torch.cat([hidden[:, :-1], patch[1][:, None]], dim=1)
                posts.append(hidden)
                return (hidden, *output[1:]) if isinstance(output, tuple) else hidden
            posts.append(hidden)
            return None

        return hook

    def keep_hinge(number: int) -> Callable[..., None]:
        def hook(_: Any, inputs: tuple[Any, ...]) -> None:
            value = inputs[0]
            hinges[number] = value.reshape(len(ids), -1, value.shape[-1])[:, -1]

        return hook

    for number, block in enumerate(blocks):
        handles.append(block.register_forward_pre_hook(keep_call, with_kwargs=True))
        handles.append(block.register_forward_hook(keep_post(number)))
        activations = [part for name, part in block.named_modules() if _is_activation(name, part)]
        if len(activations) == 1:
            handles.append(activations[0].register_forward_pre_hook(keep_hinge(number)))
    try:
        logits: Tensor = model(input_ids=ids, use_cache=False).logits
    finally:
        for handle in handles:
            handle.remove()
    return _Run(logits, calls, posts, hinges)


def _is_activation(name: str, module: torch.nn.Module) -> bool:
    """Return whether a module is the activation function of an MLP, which has "act" in its name."""
    return "act" in name.split(".")[-1].lower() and not list(module.children())


def _of_last(
    block: torch.nn.Module, hidden: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Callable[[Tensor], Tensor]:
    """Return the block as a function of the last token's vector, with the tokens before it held fixed."""

    def run(x: Tensor) -> Tensor:
        output = block(torch.cat([hidden[:, :-1], x[:, None]], dim=1), *args, **kwargs)
        last: Tensor = (output[0] if isinstance(output, tuple) else output)[:, -1]
        return last

    return run


def _push(function: Callable[[Tensor], Tensor], x: Tensor, v: Tensor) -> Tensor:
    """Return the derivative along v, in forward mode; by two reverse passes where an operation has no forward mode."""
    try:
        pushed: Tensor = torch.func.jvp(function, (x,), (v,))[1]
    except RuntimeError:  # what torch raises for an operation without a forward mode
        with torch.enable_grad():
            pushed = torch.autograd.functional.jvp(function, x, v)[1]
    return pushed.detach()
