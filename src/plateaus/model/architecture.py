"""Handle the differences between architectures, in this module alone, through TransformerLens' component names.

The norms of a block are `ln1` (before attention), `ln2` (before the MLP), and `ln1_post` and `ln2_post` (after each of
them, before the output is added to the residual stream). GPT-2, OPT, GPT-NeoX, Llama, Qwen and OLMo-1 have the first
two, OLMo-2 has the last two, and Gemma-2 has all four. In GPT-NeoX, attention and the MLP both read resid_pre. This
module looks at a model's submodules and never at its name, so other architectures with the same parts work as well.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from plateaus.errors import InputError
from plateaus.model.mlp import Mlp
from plateaus.model.norm import Norm
from plateaus.sources.checks import LN_FREE_EPS

NORMS = ("ln1", "ln1_post", "ln2", "ln2_post")


class Family(NamedTuple):
    """A row of the table of supported architectures, each of which is covered by tests.

    Attributes:
        models: Published models of this architecture.
        layout: Where its norms are, and whether attention and the MLP are parallel.
        mlp: Activation function of the MLP, and whether the MLP is gated.
    """

    models: str
    layout: str
    mlp: str


SUPPORTED = {
    "gpt2": Family("GPT-2 (all sizes), LN-free GPT-2", "norms before", "GELU"),
    "opt": Family("OPT", "norms before", "ReLU"),
    "neox": Family("GPT-NeoX, Pythia", "norms before, attention and MLP parallel", "GELU"),
    "llama": Family("Llama 2 and 3, SmolLM2", "RMSNorms before", "gated SiLU"),
    "qwen2": Family("Qwen2, Qwen2.5", "RMSNorms before", "gated SiLU"),
    "qwen3": Family("Qwen3", "RMSNorms before, and of queries and keys", "gated SiLU"),
    "gemma2": Family("Gemma-2", "RMSNorms before and after", "gated GELU"),
    "olmo": Family("OLMo-1", "norms without weights before", "gated SiLU"),
    "olmo2": Family("OLMo-2", "RMSNorms after, and of queries and keys", "gated SiLU"),
}
"""The supported architectures; `make architectures` compares each with plain Hugging Face models and autograd."""


# ---- norms -----------------------------------------------------------------------------------------------------


def norm_of(component: Any, d_model: int, like: Tensor) -> Norm:
    """Return the weights of one of the bridge's norm components.

    Args:
        component: The norm component, for example `bridge.blocks[0].ln2`.
        d_model: Width of the residual stream.
        like: A tensor whose dtype and device are used for weights that the norm lacks.
    """
    module = component.original_component
    gain = getattr(module, "weight", None)
    bias = getattr(module, "bias", None)
    centred = "LayerNorm" in type(module).__name__
    eps = next(
        (float(getattr(module, name)) for name in ("eps", "variance_epsilon") if hasattr(module, name)),
        1e-5,  # OLMo-1 hard-codes 1e-5 in its forward pass
    )
    ones = torch.ones(d_model, dtype=like.dtype, device=like.device)
    if gain is None:
        gain = ones
    elif type(module).__name__.startswith("Gemma"):
        gain = 1 + gain  # Gemma stores the gain minus one
    return Norm(gain.detach(), torch.zeros_like(ones) if bias is None else bias.detach(), eps, centred)


def complete_norms(bridge: Any) -> None:
    """Give norms without weights (OLMo-1) weights of one, which the bridge needs when a hook edits a norm's scale."""
    norms = [getattr(block, name) for block in bridge.blocks for name in NORMS if has_norm(block, name)]
    like = next(bridge.original_model.parameters())
    for module in (norm.original_component for norm in [*norms, bridge.ln_final]):
        if getattr(module, "weight", None) is None:
            module.weight = torch.ones(int(bridge.cfg.d_model), dtype=like.dtype, device=like.device)


def restore_scales(bridge: Any) -> None:
    """Restore the exact scale of Gemma's embeddings, a buffer that was rounded to bfloat16 with the weights."""
    for module in bridge.original_model.modules():
        exact = getattr(module, "scalar_embed_scale", None)
        if exact is not None:
            module.embed_scale.fill_(exact)


HOMOGENEITY = 1e-4
"""Largest homogeneity defect of a norm that counts as linear apart from its bias; a normal LayerNorm has about 2."""


def homogeneity_defect(norm: Norm) -> float:
    """Return max |f(3x) - 3 f(x)| / max |f(x)| for f = norm - bias; 0 if f does not divide by its input's scale."""
    generator = torch.Generator().manual_seed(0)
    x = 10 * torch.randn(8, len(norm.gain), generator=generator).to(norm.gain)
    at_one, at_three = norm(x) - norm.bias, norm(3 * x) - norm.bias
    return float((at_three - 3 * at_one).abs().max() / at_one.abs().max().clamp_min(1e-30))


def prove_linear(bridge: Any, name: str) -> None:
    """Check that all norms of an LN-free model are linear; any norm with an epsilon of 1e11 or more makes it LN-free.

    Args:
        bridge: A TransformerLens bridge.
        name: Name of the model, for the message.

    Raises:
        InputError: if a norm of an LN-free model is not linear.
    """
    parts = [(f"block {n} {kind}", block, kind) for n, block in enumerate(bridge.blocks) for kind in NORMS]
    found = [(place, getattr(part, kind)) for place, part, kind in parts if has_norm(part, kind)]
    like = next(bridge.original_model.parameters())[..., 0].flatten()[:1]
    norms = [(place, norm_of(part, int(bridge.cfg.d_model), like)) for place, part in found]
    norms.append(("the final norm", norm_of(bridge.ln_final, int(bridge.cfg.d_model), like)))
    if all(norm.eps < LN_FREE_EPS for _, norm in norms):
        return
    for place, norm in norms:
        defect = homogeneity_defect(norm)
        if not defect < HOMOGENEITY:
            raise InputError(
                f"{name}: {place} is not linear (homogeneity defect {defect:.2g}, at most {HOMOGENEITY:g} allowed), "
                "but the model has a norm with an LN-free epsilon, so it is neither stock nor LN-free: fetch it again"
            )


def has_norm(block: Any, name: str) -> bool:
    """Return whether a block has the norm with this name, one of `NORMS`."""
    return name in block.submodules


def attention_norm(block: Any, like: Tensor) -> Norm | None:
    """Return the norm before attention, or None if there is no such norm or attention's output has a norm as well."""
    if not has_norm(block, "ln1") or has_norm(block, "ln1_post"):
        return None
    return norm_of(block.ln1, like.shape[0], like)


# ---- the MLP ---------------------------------------------------------------------------------------------------


def mlp_reader(block: Any) -> Any:
    """Return the module whose input is the input of the MLP branch: the norm before the MLP, or the MLP itself."""
    return block.ln2 if has_norm(block, "ln2") else block.mlp


def mlp_of(bridge: Any, layer: int) -> Mlp:
    """Return the weights of one layer's MLP branch.

    Args:
        bridge: A TransformerLens bridge.
        layer: Index of the block.
    """
    from transformers.activations import ACT2FN

    block, config = bridge.blocks[layer], bridge.original_model.config
    part = block.mlp
    w_in, w_out, w_gate = part.W_in.detach(), part.W_out.detach(), getattr(part, "W_gate", None)
    name = next(
        str(getattr(config, key))
        for key in ("hidden_activation", "activation_function", "hidden_act")
        if getattr(config, key, None) is not None
    )

    def bias(submodule: str, size: int) -> Tensor:
        found = getattr(part.submodules[submodule].original_component, "bias", None)
        return torch.zeros(size, dtype=w_in.dtype, device=w_in.device) if found is None else found.detach()

    d_model, d_mlp = w_in.shape
    return Mlp(
        norm=norm_of(block.ln2, d_model, w_in) if has_norm(block, "ln2") else Norm.none(w_in[:, 0]),
        w_in=w_in.T.contiguous(),
        b_in=bias("in", d_mlp),
        w_gate=None if w_gate is None else w_gate.detach().T.contiguous(),
        b_gate=None if w_gate is None else bias("gate", d_mlp),
        w_out=w_out.T.contiguous(),
        b_out=bias("out", d_model),
        activation=ACT2FN[name],
        post_norm=norm_of(block.ln2_post, d_model, w_in) if has_norm(block, "ln2_post") else None,
    )


def is_parallel(bridge: Any) -> bool:
    """Return whether attention and the MLP of a block both read resid_pre (GPT-NeoX, Pythia)."""
    return type(bridge.blocks[0]).__name__ == "ParallelBlockBridge"


# ---- hook points, and the logits ----------------------------------------------------------------------------------


def freezing_points(block: Any) -> list[tuple[str, Any]]:
    """Return the kind (``attn``, ``mlp`` or ``norm``) and hook point of each component that can be held still."""
    norms = [("norm", getattr(block, name).hook_scale) for name in NORMS if has_norm(block, name)]
    return [("attn", block.hook_attn_out), ("mlp", block.hook_mlp_out), *norms]


def queries_point(attention: Any) -> Any:
    """Return the hook point of the queries that are multiplied with the keys, after any rotary embedding."""
    return getattr(attention, "hook_rot_q", attention.q.hook_out)


def score_scale(attention: Any) -> float | None:
    """Return the factor of q . k in the scores; None if it is unknown, or there are soft caps or norms of q and k."""
    module = attention.original_component
    scale = getattr(module, "scaling", None)
    plain = not any(hasattr(module, name) for name in ("q_norm", "k_norm"))
    plain = plain and getattr(module, "attn_logit_softcapping", None) is None
    return scale if plain and isinstance(scale, float) else None


def cap_logits(bridge: Any, logits: Tensor) -> Tensor:
    """Apply the model's soft cap to its logits, if it has one (Gemma-2)."""
    cap = getattr(bridge.original_model.config, "final_logit_softcapping", None)
    return logits if cap is None else torch.tanh(logits / cap) * cap
