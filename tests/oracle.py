"""The slow route: one plain Hugging Face run of full sequences per interpolation layer, with forward hooks, no bridge."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer


def load(folder: Path) -> tuple[torch.nn.Module, object]:
    """Load the model and its tokenizer with transformers alone."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    return model.eval(), AutoTokenizer.from_pretrained(folder)


def blocks_of(model: torch.nn.Module) -> torch.nn.ModuleList:
    """Return the list of blocks, which is the longest module list of the model."""
    return max(
        (module for module in model.modules() if isinstance(module, torch.nn.ModuleList)),
        key=lambda found: len(found),
    )


def slerp(a: Tensor, b: Tensor, steps: int) -> Tensor:
    """Return the post's path, (steps, d_model), computed with a loop in float64."""
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
    """Return resid_post of every layer at the last token and the logits there, from a plain forward pass."""
    seen, logits = _resid_posts(model, [ids])
    return seen[:, 0], logits[0]


def _resid_posts(model: torch.nn.Module, prompts: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Return resid_post, (layers, prompts, d_model), and the logits, (prompts, d_vocab), at the last token of each."""
    seen: list[Tensor] = []
    handles = [
        block.register_forward_hook(lambda _, __, out: seen.append((out[0] if isinstance(out, tuple) else out)[:, -1]))
        for block in blocks_of(model)
    ]
    logits = model(torch.tensor(prompts), use_cache=False).logits[:, -1]
    for handle in handles:
        handle.remove()
    return torch.stack(seen), logits


@torch.no_grad()
def interpolate(
    model: torch.nn.Module, ids_a: list[int], ids_b: list[int], layer: int, steps: int
) -> tuple[dict[int, Tensor], Tensor]:
    """Patch the path into resid_post of `layer`; see `patched`."""
    return patched(model, ids_a, layer, slerp(*_resid_posts(model, [ids_a, ids_b])[0][layer], steps))


@torch.no_grad()
def patched(model: torch.nn.Module, ids: list[int], layer: int, rows: Tensor) -> tuple[dict[int, Tensor], Tensor]:
    """Patch rows into resid_post of `layer` at the last token of the full sequence, all rows as one batch.

    Returns:
        resid_post (rows, d_model) by recording layer, and the logits (rows, d_vocab).
    """
    recorded: dict[int, Tensor] = {}

    def patch(_: object, __: object, out: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
        hidden = (out[0] if isinstance(out, tuple) else out).clone()
        hidden[:, -1] = rows
        return (hidden, *out[1:]) if isinstance(out, tuple) else hidden

    def record(index: int):
        def hook(_: object, __: object, out: Tensor | tuple[Tensor, ...]) -> None:
            recorded[index] = (out[0] if isinstance(out, tuple) else out)[:, -1].clone()

        return hook

    blocks = blocks_of(model)
    handles = [blocks[layer].register_forward_hook(patch)]
    handles += [blocks[index].register_forward_hook(record(index)) for index in range(layer, len(blocks))]
    logits = model(torch.tensor([ids] * len(rows)), use_cache=False).logits[:, -1]
    for handle in handles:
        handle.remove()
    return recorded, logits


@torch.no_grad()
def interpolate_embedding(model: torch.nn.Module, ids_a: list[int], ids_b: list[int], steps: int) -> Tensor:
    """Patch the path into what the first block reads at the last token; return the logits (steps, d_vocab)."""
    first, ends = blocks_of(model)[0], []

    def hidden_of(args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> Tensor:
        return args[0] if args else kwargs["hidden_states"]

    def keep(_: object, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> None:
        ends.append(hidden_of(args, kwargs)[0, -1].clone())

    handle = first.register_forward_pre_hook(keep, with_kwargs=True)
    for ids in (ids_a, ids_b):
        model(torch.tensor([ids]), use_cache=False)
    handle.remove()
    path = slerp(*ends, steps)

    def patch(_: object, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> tuple[tuple, dict]:
        hidden = hidden_of(args, kwargs).clone()
        hidden[:, -1] = path
        return ((hidden, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": hidden})

    handle = first.register_forward_pre_hook(patch, with_kwargs=True)
    logits = model(torch.tensor([ids_a] * steps), use_cache=False).logits[:, -1]
    handle.remove()
    return logits


@torch.no_grad()
def output_of(model: torch.nn.Module, ids: list[int], layer: int, rows: Tensor, name: str) -> Tensor:
    """Return the output of a module of block `layer` at the last token, where the block reads `rows`."""
    blocks, seen = blocks_of(model), []

    def patch(_: object, __: object, out: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
        hidden = (out[0] if isinstance(out, tuple) else out).clone()
        hidden[:, -1] = rows
        return (hidden, *out[1:]) if isinstance(out, tuple) else hidden

    def keep(_: object, __: object, out: Tensor) -> None:
        seen.append(out.reshape(len(rows), len(ids), -1)[:, -1])

    handles = [blocks[layer - 1].register_forward_hook(patch)]
    handles.append(blocks[layer].get_submodule(name).register_forward_hook(keep))
    model(torch.tensor([ids] * len(rows)), use_cache=False)
    for handle in handles:
        handle.remove()
    return seen[0]


def relative_distance(x: Tensor) -> Tensor:
    """Return the post's relative distance, computed point by point in float64."""
    x = x.double()
    values = []
    for point in x:
        to_a, to_b = (point - x[0]).norm(), (point - x[-1]).norm()
        values.append(to_a / (to_a + to_b))
    return torch.stack(values)


class Parts(NamedTuple):
    """Plain modules of a block, by name.

    Attributes:
        attention: The module whose output attention adds to the residual stream.
        mlp: The modules of the MLP branch in their order, from its norm to the one whose output is added.
        norms: The norms before and after attention and the MLP.
    """

    attention: str
    mlp: tuple[str, ...]
    norms: tuple[str, ...]


GPT2 = Parts("attn", ("ln_2", "mlp"), ("ln_1", "ln_2"))
LLAMA = Parts("self_attn", ("post_attention_layernorm", "mlp"), ("input_layernorm", "post_attention_layernorm"))
SHARED = Parts("self_attn", ("input_layernorm", "mlp"), ("input_layernorm",))
AFTER = Parts(
    "post_attention_layernorm",
    ("mlp", "post_feedforward_layernorm"),
    ("post_attention_layernorm", "post_feedforward_layernorm"),
)
GEMMA2 = Parts(
    "post_attention_layernorm",
    ("pre_feedforward_layernorm", "mlp", "post_feedforward_layernorm"),
    ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"),
)
GLM4 = Parts(
    "post_self_attn_layernorm",
    ("post_attention_layernorm", "mlp", "post_mlp_layernorm"),
    ("input_layernorm", "post_self_attn_layernorm", "post_attention_layernorm", "post_mlp_layernorm"),
)

PARTS = {
    **dict.fromkeys(("gpt2", "gpt_neo", "gpt_bigcode"), GPT2),
    **dict.fromkeys(("llama", "qwen2", "qwen3", "olmo", "smollm3", "mistral", "granite", "phi3", "gemma"), LLAMA),
    **dict.fromkeys(("nemotron", "arcee", "starcoder2", "stablelm"), LLAMA),
    **dict.fromkeys(("olmo2", "olmo3", "exaone4"), AFTER),
    **dict.fromkeys(("gemma2", "gemma3"), GEMMA2),
    **dict.fromkeys(("phi", "cohere", "cohere2", "stablelm2"), SHARED),
    "glm4": GLM4,
    "neox": LLAMA._replace(attention="attention"),
    "falcon": SHARED._replace(attention="self_attention"),
    "gptj": Parts("attn", ("ln_1", "mlp"), ("ln_1",)),
    "apertus": Parts("self_attn", ("feedforward_layernorm", "mlp"), ("attention_layernorm", "feedforward_layernorm")),
    "opt": Parts(
        "self_attn", ("final_layer_norm", "fc1", "activation_fn", "fc2"), ("self_attn_layer_norm", "final_layer_norm")
    ),
    # The modules of the whole attention and MLP add the residual stream to their outputs.
    "bloom": Parts(
        "self_attention.dense",
        ("post_attention_layernorm", "mlp.dense_h_to_4h", "mlp.gelu_impl", "mlp.dense_4h_to_h"),
        ("input_layernorm", "post_attention_layernorm"),
    ),
    "mpt": Parts("attn", ("norm_2", "ffn.up_proj", "ffn.act", "ffn.down_proj"), ("norm_1", "norm_2")),
}
"""The parts of a block of each kind."""


def normalised(norm: torch.nn.Module, x: Tensor, scale: Tensor | None = None) -> Tensor:
    """Return the output of any norm in the dtype of x, divided by `scale` if given (library RMSNorms compute in float32)."""
    centred = x - x.mean(-1, keepdim=True) if "LayerNorm" in type(norm).__name__ else x
    value = centred / (scale_of(norm, x) if scale is None else scale)
    if getattr(norm, "weight", None) is not None:
        # Gemma and Nemotron store the gain minus one, which is added in float32, even if x is in another dtype.
        minus_one = any(name in type(norm).__name__ for name in ("Gemma", "LayerNorm1P"))
        value = value * ((norm.weight.float() + 1).to(norm.weight) if minus_one else norm.weight)
    return value + norm.bias if getattr(norm, "bias", None) is not None else value


def scale_of(norm: torch.nn.Module, x: Tensor) -> Tensor:
    """Return the scale by which a norm divides."""
    centred = x - x.mean(-1, keepdim=True) if "LayerNorm" in type(norm).__name__ else x
    eps = next((getattr(norm, name) for name in ("eps", "variance_epsilon") if hasattr(norm, name)), 1e-5)
    return (centred.square().mean(-1, keepdim=True) + eps).sqrt()


def mlp_branch(block: torch.nn.Module, kind: str):
    """Return one layer's MLP branch, from its input to what it adds to the residual stream, with plain modules."""
    parts = PARTS[kind]

    def branch(x: Tensor) -> Tensor:
        for name in parts.mlp:
            module = block.get_submodule(name)
            x = normalised(module, x) if name in parts.norms else module(x)
        return x * getattr(block, "residual_multiplier", 1.0)

    return branch


def final_norm(model: torch.nn.Module) -> torch.nn.Module:
    """Return the norm before the unembedding."""
    names = (
        "transformer.ln_f", "transformer.norm_f", "model.norm", "model.final_layernorm",
        "model.decoder.final_layer_norm", "gpt_neox.final_layer_norm",
    )  # fmt: skip
    for name in names:
        try:
            return model.get_submodule(name)
        except AttributeError:
            continue
    raise LookupError(type(model).__name__)


@torch.no_grad()
def freeze(
    model: torch.nn.Module,
    kind: str,
    ids_a: list[int],
    ids_b: list[int],
    layer: int,
    steps: int,
    condition: str,
) -> Tensor:
    """Return the logits (steps, d_vocab) of a patched run in which plain hooks hold a component still after `layer`."""
    parts = PARTS[kind]
    attention, mlp = parts.attention, parts.mlp[-1]
    blocks = blocks_of(model)[layer + 1 :]
    handles = []

    def last(out: Tensor | tuple[Tensor, ...]) -> Tensor:
        hidden = out[0] if isinstance(out, tuple) else out
        return hidden.reshape(-1, len(ids_a), hidden.shape[-1])  # OPT's MLP works on flattened positions

    def replaced(out: Tensor | tuple[Tensor, ...], value: Tensor) -> Tensor | tuple[Tensor, ...]:
        hidden = last(out).clone()
        hidden[:, -1] = value
        shape = (out[0] if isinstance(out, tuple) else out).shape
        return (hidden.reshape(shape), *out[1:]) if isinstance(out, tuple) else hidden.reshape(shape)

    def to_mean(_: object, __: object, out: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
        return replaced(out, last(out)[:, -1].mean(0))

    for name in {"attn_mean": [attention], "mlp_mean": [mlp], "attn_mlp_mean": [attention, mlp]}.get(condition, []):
        handles += [block.get_submodule(name).register_forward_hook(to_mean) for block in blocks]

    if condition.endswith("_secant"):
        name = attention if condition.startswith("attn") else mlp
        modules = [block.get_submodule(name) for block in blocks]
        seen: list[Tensor] = []
        kept = [one.register_forward_hook(lambda _, __, out: seen.append(last(out)[:, -1].clone())) for one in modules]
        model(torch.tensor([ids_a, ids_b]), use_cache=False)
        for handle in kept:
            handle.remove()
        for module, (a, b) in zip(modules, seen, strict=True):
            line = torch.stack([(1 - t) * a + t * b for t in torch.linspace(0, 1, steps)])
            handles.append(
                module.register_forward_hook(
                    lambda _, __, out, line=line: replaced(out, line) if len(last(out)) == steps else None
                )
            )

    if condition == "norm_mean":

        def frozen_scale(norm: torch.nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:
            x = last(inputs[0])[:, -1]
            return replaced(out, normalised(norm, x, scale_of(norm, x).mean()))

        norms = [block.get_submodule(name) for block in blocks for name in parts.norms]
        handles += [norm.register_forward_hook(frozen_scale) for norm in norms]
        handles.append(final_norm(model).register_forward_hook(frozen_scale))

    try:
        return interpolate(model, ids_a, ids_b, layer, steps)[1]
    finally:
        for handle in handles:
            handle.remove()
