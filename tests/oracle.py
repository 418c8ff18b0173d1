"""The slow route: one plain Hugging Face run per interpolation layer, full sequences, forward hooks, no bridge."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer


def load(folder: Path) -> tuple[torch.nn.Module, object]:
    """The model and its tokenizer, by transformers alone."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    return model.eval(), AutoTokenizer.from_pretrained(folder)


def blocks_of(model: torch.nn.Module) -> torch.nn.ModuleList:
    """The list of blocks, wherever this architecture keeps it."""
    return max(
        (module for module in model.modules() if isinstance(module, torch.nn.ModuleList)), key=lambda found: len(found)
    )


def slerp(a: Tensor, b: Tensor, steps: int) -> Tensor:
    """The post's path, written out with loops in float64."""
    a, b = a.double(), b.double()
    u, v = a / a.norm(), b / b.norm()
    theta = torch.arccos((u @ v).clamp(-1, 1))
    points = []
    for step in range(steps):
        t = step / (steps - 1)
        direction = torch.sin((1 - t) * theta) / torch.sin(theta) * u + torch.sin(t * theta) / torch.sin(theta) * v
        points.append(direction * ((1 - t) * a.norm() + t * b.norm()))
    return torch.stack(points).float()


@torch.no_grad()
def resid_post(model: torch.nn.Module, ids: list[int]) -> tuple[Tensor, Tensor]:
    """resid_post of every layer at the last token, and the logits there, of a plain forward pass."""
    seen: list[Tensor] = []
    handles = [
        block.register_forward_hook(lambda _, __, out: seen.append((out[0] if isinstance(out, tuple) else out)[0, -1]))
        for block in blocks_of(model)
    ]
    logits = model(torch.tensor([ids]), use_cache=False).logits[0, -1]
    for handle in handles:
        handle.remove()
    return torch.stack(seen), logits


@torch.no_grad()
def interpolate(
    model: torch.nn.Module, ids_a: list[int], ids_b: list[int], layer: int, steps: int
) -> tuple[dict[int, Tensor], Tensor]:
    """Patch the path into resid_post of `layer` at the last token of the full sequence, all steps as one batch.

    Returns:
        Recording layer to its resid_post (steps, d_model), and the logits (steps, d_vocab).
    """
    path = slerp(resid_post(model, ids_a)[0][layer], resid_post(model, ids_b)[0][layer], steps)
    recorded: dict[int, Tensor] = {}

    def patch(_: object, __: object, out: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
        hidden = (out[0] if isinstance(out, tuple) else out).clone()
        hidden[:, -1] = path
        return (hidden, *out[1:]) if isinstance(out, tuple) else hidden

    def record(index: int):
        def hook(_: object, __: object, out: Tensor | tuple[Tensor, ...]) -> None:
            recorded[index] = (out[0] if isinstance(out, tuple) else out)[:, -1].clone()

        return hook

    blocks = blocks_of(model)
    handles = [blocks[layer].register_forward_hook(patch)]
    handles += [blocks[index].register_forward_hook(record(index)) for index in range(layer, len(blocks))]
    logits = model(torch.tensor([ids_a] * steps), use_cache=False).logits[:, -1]
    for handle in handles:
        handle.remove()
    return recorded, logits


def relative_distance(x: Tensor) -> Tensor:
    """The post's measure, point by point."""
    x = x.double()
    values = []
    for point in x:
        to_a, to_b = (point - x[0]).norm(), (point - x[-1]).norm()
        values.append(to_a / (to_a + to_b))
    return torch.stack(values)
