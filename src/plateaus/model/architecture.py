"""What differs between architectures: the one module that asks, on top of the names TransformerLens gives every model.

A block's norms are `ln1` (before attention), `ln2` (before the MLP) and `ln1_post`, `ln2_post` (after each, before the
result is added to the residual stream). GPT-2, OPT, GPT-NeoX, Llama, Qwen and OLMo-1 have the first two, OLMo-2 the
last two, Gemma-2 all four. In GPT-NeoX attention and the MLP both read resid_pre. Nothing here goes by a model's name,
but by what its modules are, so that an architecture of the same parts works without being known.
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
    """A row of the table of what is supported: what the tests prove it on.

    Attributes:
        models: Published models of this architecture.
        layout: Where its norms are, and whether attention and the MLP are parallel.
        mlp: Its MLP.
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
"""Architecture to its row; `make architectures` measures each against plain Hugging Face models and autograd."""


# ---- norms -----------------------------------------------------------------------------------------------------


def norm_of(component: Any, d_model: int, like: Tensor) -> Norm:
    """The weights of a norm component of the bridge.

    Args:
        component: For example `bridge.blocks[0].ln2`.
        d_model: Its width.
        like: A tensor whose type and device missing weights take.
    """
    module = component.original_component
    gain = getattr(module, "weight", None)
    bias = getattr(module, "bias", None)
    centred = "LayerNorm" in type(module).__name__
    eps = next(
        (float(getattr(module, name)) for name in ("eps", "variance_epsilon") if hasattr(module, name)),
        1e-5,  # OLMo-1 writes its own 1e-5 in the forward pass
    )
    ones = torch.ones(d_model, dtype=like.dtype, device=like.device)
    if gain is None:
        gain = ones
    elif type(module).__name__.startswith("Gemma"):
        gain = 1 + gain  # Gemma stores the gain's distance from one
    return Norm(gain.detach(), torch.zeros_like(ones) if bias is None else bias.detach(), eps, centred)


def complete_norms(bridge: Any) -> None:
    """Give norms without weights (OLMo-1) ones, which the bridge multiplies by once a norm's scale is edited."""
    norms = [getattr(block, name) for block in bridge.blocks for name in NORMS if has_norm(block, name)]
    like = next(bridge.original_model.parameters())
    for module in (norm.original_component for norm in [*norms, bridge.ln_final]):
        if getattr(module, "weight", None) is None:
            module.weight = torch.ones(int(bridge.cfg.d_model), dtype=like.dtype, device=like.device)


def restore_scales(bridge: Any) -> None:
    """Set the scale of Gemma's embeddings, a buffer that is rounded where the weights are, to what it is made from."""
    for module in bridge.original_model.modules():
        exact = getattr(module, "scalar_embed_scale", None)
        if exact is not None:
            module.embed_scale.fill_(exact)


HOMOGENEITY = 1e-4
"""Largest defect of a norm that is linear but for its bias; a LayerNorm that works has about 2."""


def homogeneity_defect(norm: Norm) -> float:
    """Max |f(3x) - 3 f(x)| / max |f(x)| of f = norm - bias: 0 where the norm does not divide by what it reads."""
    generator = torch.Generator().manual_seed(0)
    x = 10 * torch.randn(8, len(norm.gain), generator=generator).to(norm.gain)
    at_one, at_three = norm(x) - norm.bias, norm(3 * x) - norm.bias
    return float((at_three - 3 * at_one).abs().max() / at_one.abs().max().clamp_min(1e-30))


def prove_linear(bridge: Any, name: str) -> None:
    """Prove that the norms of an LN-free model (an epsilon of 1e11 or more in any of them) are all linear.

    Args:
        bridge: A TransformerLens bridge.
        name: The model, for the message.

    Raises:
        InputError: one of them is not.
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
                "though others of its norms are: this is neither a stock model nor an LN-free one; fetch it again"
            )


def has_norm(block: Any, name: str) -> bool:
    """Whether a block has the norm of that name in `NORMS`."""
    return name in block.submodules


def attention_norm(block: Any, like: Tensor) -> Norm | None:
    """The norm before attention; None where there is none, or where its output goes through another one."""
    if not has_norm(block, "ln1") or has_norm(block, "ln1_post"):
        return None
    return norm_of(block.ln1, like.shape[0], like)


# ---- the MLP ---------------------------------------------------------------------------------------------------


def mlp_reader(block: Any) -> Any:
    """The module whose input is what the MLP branch reads: the norm before it, or the MLP itself."""
    return block.ln2 if has_norm(block, "ln2") else block.mlp


def mlp_of(bridge: Any, layer: int) -> Mlp:
    """The weights of one layer's MLP branch.

    Args:
        bridge: A TransformerLens bridge.
        layer: Which block.
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
    """Whether attention and the MLP of a block both read resid_pre (GPT-NeoX, Pythia)."""
    return type(bridge.blocks[0]).__name__ == "ParallelBlockBridge"


# ---- what is held still, and what is read -------------------------------------------------------------------------


def freezing_points(block: Any) -> list[tuple[str, Any]]:
    """Kind of component to its hook point, over all components of a block that can be held still."""
    norms = [("norm", getattr(block, name).hook_scale) for name in NORMS if has_norm(block, name)]
    return [("attn", block.hook_attn_out), ("mlp", block.hook_mlp_out), *norms]


def queries_point(attention: Any) -> Any:
    """Where queries are seen as they meet the keys, rotated where the model rotates them."""
    return getattr(attention, "hook_rot_q", attention.q.hook_out)


def score_scale(attention: Any) -> float | None:
    """What q . k is multiplied by; None where scores are more than that product (soft caps, norms of q and k)."""
    module = attention.original_component
    scale = getattr(module, "scaling", None)
    plain = not any(hasattr(module, name) for name in ("q_norm", "k_norm"))
    plain = plain and getattr(module, "attn_logit_softcapping", None) is None
    return scale if plain and isinstance(scale, float) else None


def cap_logits(bridge: Any, logits: Tensor) -> Tensor:
    """The model's soft cap on its logits, where it has one (Gemma-2)."""
    cap = getattr(bridge.original_model.config, "final_logit_softcapping", None)
    return logits if cap is None else torch.tanh(logits / cap) * cap
