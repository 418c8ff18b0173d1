"""The names under which TransformerLens' bridge gives the parts of a model, in this module alone.

The norms of a block are `ln1` (before attention), `ln2` (before the MLP), and `ln1_post` and `ln2_post` (after each of
them, before the output is added to the residual stream). Most models have the first two, OLMo-2 has the last two,
Gemma-2 has all four, and Phi has `ln1` alone, whose output attention and the MLP both read. Nothing goes by a model's
name: how a block combines its parts is found by a trial (`plateaus.model.layout`), and so are the formulas of its norms
and its MLP (`plateaus.model.branches`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

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
    "gpt_neo": Family("GPT-Neo", "norms before", "GELU"),
    "gpt_bigcode": Family("SantaCoder, StarCoder", "norms before", "GELU"),
    "starcoder2": Family("StarCoder2", "norms before", "GELU"),
    "mpt": Family("MPT", "norms before", "GELU"),
    "bloom": Family("BLOOM", "norms before", "GELU"),
    "opt": Family("OPT", "norms before", "ReLU"),
    "nemotron": Family("Nemotron-4, Minitron", "norms before", "squared ReLU"),
    "stablelm": Family("StableLM 3B, StableLM 2 1.6B", "norms before", "gated SiLU"),
    "neox": Family("GPT-NeoX, Pythia", "norms before, attention and MLP parallel", "GELU"),
    "gptj": Family("GPT-J", "one norm before, attention and MLP parallel", "GELU"),
    "phi": Family("Phi-1, Phi-1.5, Phi-2", "one norm before, attention and MLP parallel", "GELU"),
    "falcon": Family("Falcon 7B", "one norm before, attention and MLP parallel", "GELU"),
    "cohere": Family("Command R", "one norm before, attention and MLP parallel", "gated SiLU"),
    "cohere2": Family("Command R7B, Command A", "one norm before, attention and MLP parallel", "gated SiLU"),
    "stablelm2": Family(
        "StableLM 2 12B", "one norm before, and of queries and keys, attention and MLP parallel", "gated SiLU"
    ),
    "olmo": Family("OLMo-1", "norms without weights before", "gated SiLU"),
    "llama": Family("Llama 2 and 3, SmolLM2", "RMSNorms before", "gated SiLU"),
    "qwen2": Family("Qwen2, Qwen2.5", "RMSNorms before", "gated SiLU"),
    "smollm3": Family("SmolLM3", "RMSNorms before", "gated SiLU"),
    "mistral": Family("Mistral 7B", "RMSNorms before", "gated SiLU"),
    "granite": Family("Granite 3", "RMSNorms before", "gated SiLU"),
    "phi3": Family("Phi-3, Phi-4", "RMSNorms before", "gated SiLU"),
    "gemma": Family("Gemma 1", "RMSNorms before", "gated GELU"),
    "arcee": Family("AFM-4.5B", "RMSNorms before", "squared ReLU"),
    "qwen3": Family("Qwen3", "RMSNorms before, and of queries and keys", "gated SiLU"),
    "apertus": Family("Apertus", "RMSNorms before, and of queries and keys", "xIELU"),
    "gemma2": Family("Gemma-2", "RMSNorms before and after", "gated GELU"),
    "glm4": Family("GLM-4-0414", "RMSNorms before and after", "gated SiLU"),
    "gemma3": Family("Gemma 3 270M and 1B", "RMSNorms before and after, and of queries and keys", "gated GELU"),
    "olmo2": Family("OLMo-2", "RMSNorms after, and of queries and keys", "gated SiLU"),
    "olmo3": Family("OLMo-3", "RMSNorms after, and of queries and keys", "gated SiLU"),
    "exaone4": Family("EXAONE 4.0", "RMSNorms after, and of queries and keys", "gated SiLU"),
}
"""The supported architectures; `make architectures` compares each with plain Hugging Face models and autograd."""


# ---- norms -----------------------------------------------------------------------------------------------------


def complete_norms(bridge: Any) -> None:
    """Give norms without weights (OLMo-1) weights of one, which the bridge needs when a hook edits a norm's scale."""
    norms = [getattr(block, name) for block in bridge.blocks for name in NORMS if has_norm(block, name)]
    like = next(bridge.original_model.parameters())
    for module in (norm.original_component for norm in [*norms, bridge.ln_final]):
        if getattr(module, "weight", None) is None:
            module.weight = torch.ones(int(bridge.cfg.d_model), dtype=torch.float32, device=like.device)


def restore_scales(model: Any) -> None:
    """Restore the exact scale of Gemma's embeddings, a buffer that was rounded to bfloat16 with the weights."""
    for module in model.modules():
        exact = getattr(module, "scalar_embed_scale", None)
        if exact is not None:
            module.embed_scale.fill_(exact)


def plain_gelu(model: Any) -> None:
    """Replace BLOOM's GELU, which is coded for derivatives in reverse mode only, by the formula that it computes."""
    for part in list(model.modules()):
        for name, child in part.named_children():
            if type(child).__name__ == "BloomGelu":
                setattr(part, name, _BloomGelu())


class _BloomGelu(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        from transformers.models.bloom.modeling_bloom import bloom_gelu_forward

        return bloom_gelu_forward(x)


def has_norm(block: Any, name: str) -> bool:
    """Return whether a block has the norm with this name, one of `NORMS`."""
    return name in block.submodules


# ---- the MLP ---------------------------------------------------------------------------------------------------


def mlp_reader(block: Any) -> Any:
    """Return the module whose input is the input of a sequential MLP branch: the norm before the MLP, or the MLP."""
    return block.ln2 if has_norm(block, "ln2") else block.mlp


# ---- hook points, and the logits ----------------------------------------------------------------------------------


def freezing_points(block: Any) -> list[tuple[str, Any]]:
    """Return the kind (``attn``, ``mlp`` or ``norm``) and hook point of each component that can be held still."""
    norms = [("norm", getattr(block, name).hook_scale) for name in NORMS if has_norm(block, name)]
    return [("attn", block.hook_attn_out), ("mlp", block.hook_mlp_out), *norms]


def queries_point(attention: Any) -> Any:
    """Return the hook point of the queries that are multiplied with the keys, after any rotary embedding, or None."""
    found = getattr(attention, "hook_rot_q", None)
    return found if found is not None else getattr(getattr(attention, "q", None), "hook_out", None)


def score_scale(attention: Any) -> float | None:
    """Return the factor of q . k in the scores; None if it is unknown, or there are soft caps or norms of q and k."""
    module = attention.original_component
    scale = getattr(module, "scaling", None)
    plain = not any(hasattr(module, name) for name in ("q_norm", "k_norm"))
    plain = plain and getattr(module, "attn_logit_softcapping", None) is None
    return scale if plain and isinstance(scale, float) else None


@contextmanager
def hooked(points: Sequence[tuple[Any, Callable[..., Any]]]) -> Iterator[None]:
    """Add TransformerLens hooks to hook points for the duration of a `with` block."""
    for point, function in points:
        point.add_hook(function)
    try:
        with warnings.catch_warnings():
            # The library warns about edited scales, but holding a norm's scale still is intended here, and tested.
            warnings.filterwarnings("ignore", message="A forward hook edited hook_scale")
            yield
    finally:
        for point, _ in points:
            point.remove_hooks()


def logit_cap(bridge: Any) -> float | None:
    """Return the soft cap of the model's logits (Gemma-2), or None if it has none."""
    cap = getattr(bridge.original_model.config, "final_logit_softcapping", None)
    return None if cap is None else float(cap)
