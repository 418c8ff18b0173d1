"""Options of published checkpoints on tiny random models: each model is right with a long context, or it is refused.

    python -m tests.published [NAME ...]

prints the list with the errors; tests/unit/model/test_published.py bounds them. The architectures that have a row in
the table of supported ones are compared in more detail by tests/architectures.py.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers as hf

from plateaus.data.schemas import QUANTITIES
from plateaus.errors import InputError
from plateaus.model.transformer import Transformer
from plateaus.prompts.pairs import Pair
from plateaus.sources.quiet import OFFLINE, quiet_libraries
from plateaus.sources.refusals import check_config
from plateaus.stages.job import Job
from plateaus.stages.selfcheck import _checked
from tests import architectures, oracle, tiny
from tests.tiny import FULL, GATED, GPT2, PLAIN, SLIDING

TEXT = "house was big in a red car is on a large house in a small red car is on a"
PAIR = Pair("long-big-in", f"The {TEXT} house was", "big", "in", "published")
"""The prompts of the check, of 24 tokens."""
LONGER = Pair("longer-big-in", f"The {TEXT} {TEXT}", "big", "in", "published")
"""Prompts with a prefix of 41 tokens, which is long enough for rows to share a copy of its keys and values."""
STEPS = 8

Config = Callable[[int], Any]
MHA = {**GATED, "num_key_value_heads": 4}
MQA = {**GATED, "num_key_value_heads": 1}
OPT = {
    "hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 5, "num_attention_heads": 4, "max_position_embeddings": 64,
    "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1,
}  # fmt: skip
FALCON = {"hidden_size": 32, "num_hidden_layers": 5, "num_attention_heads": 4, "bos_token_id": 0, "eos_token_id": 0}
MIXED = {"sliding_window": 4, "layer_types": [SLIDING, FULL, SLIDING, SLIDING, FULL]}
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16}
LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16}
LONGROPE = {
    "rope_type": "longrope", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16,
    "short_factor": [1.0, 1.1, 1.2, 1.3], "long_factor": [1.0, 1.5, 2.0, 4.0],
}  # fmt: skip


def partial(share: float) -> dict[str, Any]:
    """Return a rotary embedding of a part of each head."""
    return {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": share}


RIGHT: dict[str, Config] = {
    "GPT-2 of Stanford (scores by layer)": lambda n: hf.GPT2Config(
        vocab_size=n, scale_attn_by_inverse_layer_idx=True, reorder_and_upcast_attn=True, **GPT2
    ),
    "GPT-2 untied (narrow MLP, ReLU)": lambda n: hf.GPT2Config(
        vocab_size=n, n_inner=40, activation_function="relu", tie_word_embeddings=False, **GPT2
    ),
    "GPT-2 with quick_gelu": lambda n: hf.GPT2Config(vocab_size=n, activation_function="quick_gelu", **GPT2),
    "Galactica (OPT with GELU, no biases)": lambda n: hf.OPTConfig(
        vocab_size=n, word_embed_proj_dim=32, activation_function="gelu", enable_bias=False, **OPT
    ),
    "RedPajama-INCITE (NeoX, sequential, whole rotary)": lambda n: hf.GPTNeoXConfig(
        vocab_size=n, use_parallel_residual=False, rope_parameters=partial(1.0), **PLAIN
    ),
    "Dolly (NeoX, tied, gelu_fast)": lambda n: hf.GPTNeoXConfig(
        vocab_size=n, tie_word_embeddings=True, hidden_act="gelu_fast", **PLAIN
    ),
    "CodeGen": lambda n: hf.CodeGenConfig(vocab_size=n, rotary_dim=4, n_ctx=64, **GPT2),
    "GPT-J, whole rotary": lambda n: hf.GPTJConfig(vocab_size=n, rotary_dim=8, n_inner=40, **GPT2),
    "GPT-Neo, global attention": lambda n: hf.GPTNeoConfig(
        vocab_size=n, hidden_size=32, num_layers=4, num_heads=4, attention_types=[[["global"], 4]],
        max_position_embeddings=64, intermediate_size=40, bos_token_id=0, eos_token_id=0,
    ),
    "MPT StoryWriter (clipped)": lambda n: hf.MptConfig(
        vocab_size=n, d_model=32, n_heads=4, n_layers=5, max_seq_len=64,
        attn_config={"clip_qkv": 0.5, "alibi_bias_max": 16, "softmax_scale": 0.2},
    ),
    "Falcon RW (ALiBi)": lambda n: hf.FalconConfig(
        vocab_size=n, multi_query=False, parallel_attn=False, alibi=True, bias=True, **FALCON
    ),
    "XGLM": lambda n: hf.XGLMConfig(
        vocab_size=n, d_model=32, ffn_dim=48, num_layers=5, attention_heads=4, max_position_embeddings=64,
        bos_token_id=0, eos_token_id=0,
    ),
    "Youtu (latent attention)": lambda n: hf.YoutuConfig(
        vocab_size=n, q_lora_rank=16, kv_lora_rank=8, qk_rope_head_dim=4, qk_nope_head_dim=8, v_head_dim=8, **MHA
    ),
    "StarCoder (GPT-BigCode, narrow MLP, untied)": lambda n: hf.GPTBigCodeConfig(
        vocab_size=n, n_inner=40, tie_word_embeddings=False, **GPT2
    ),
    "StarCoder2 with a window, no biases": lambda n: hf.Starcoder2Config(
        vocab_size=n, sliding_window=4, use_bias=False, **MQA
    ),
    "Llama 3.1": lambda n: hf.LlamaConfig(vocab_size=n, rope_parameters=LLAMA3, **GATED),
    "Llama 3.2 (tied)": lambda n: hf.LlamaConfig(
        vocab_size=n, rope_parameters=LLAMA3, tie_word_embeddings=True, **GATED
    ),
    "Granite code (Llama with biases, tied)": lambda n: hf.LlamaConfig(
        vocab_size=n, attention_bias=True, mlp_bias=True, tie_word_embeddings=True, **GATED
    ),
    "LongChat (linear rotary)": lambda n: hf.LlamaConfig(vocab_size=n, rope_parameters=LINEAR, **MHA),
    "Llama with dynamic rotary": lambda n: hf.LlamaConfig(vocab_size=n, rope_parameters=DYNAMIC, **MHA),
    "Yarn-Llama": lambda n: hf.LlamaConfig(vocab_size=n, rope_parameters=YARN, **MHA),
    "Llama, one key head, wide heads, GELU": lambda n: hf.LlamaConfig(
        vocab_size=n, head_dim=16, hidden_act="gelu", **MQA
    ),
    "Mistral Nemo (wide heads, no window)": lambda n: hf.MistralConfig(
        vocab_size=n, head_dim=16, sliding_window=None, **GATED
    ),
    "Ministral 3": lambda n: hf.Ministral3Config(vocab_size=n, head_dim=8, tie_word_embeddings=True, **GATED),
    "Llama with squared ReLU": lambda n: hf.LlamaConfig(vocab_size=n, hidden_act="relu2", **GATED),
    "Qwen2.5 0.5B (tied)": lambda n: hf.Qwen2Config(vocab_size=n, tie_word_embeddings=True, **GATED),
    "Qwen2 with windows in upper layers": lambda n: hf.Qwen2Config(
        vocab_size=n, use_sliding_window=True, sliding_window=4, max_window_layers=2, **GATED
    ),
    "Qwen2.5 with yarn": lambda n: hf.Qwen2Config(vocab_size=n, rope_parameters=YARN, **GATED),
    "Qwen3 0.6B (wide heads, tied)": lambda n: hf.Qwen3Config(
        vocab_size=n, head_dim=16, tie_word_embeddings=True, attention_bias=True, **GATED
    ),
    "Gemma 2B (one key head, exact GELU)": lambda n: hf.GemmaConfig(
        vocab_size=n, head_dim=16, hidden_activation="gelu", **MQA
    ),
    "Gemma 2 9B (windows, caps)": lambda n: hf.Gemma2Config(
        vocab_size=n, head_dim=16, query_pre_attn_scalar=24, attn_logit_softcapping=5.0, final_logit_softcapping=3.0,
        **MIXED, **GATED,
    ),
    "Gemma 2 without caps": lambda n: hf.Gemma2Config(
        vocab_size=n, head_dim=8, query_pre_attn_scalar=8, attn_logit_softcapping=None, final_logit_softcapping=None,
        sliding_window=4, **GATED,
    ),
    "Gemma 3 4B (linear rotary in full layers)": lambda n: hf.Gemma3TextConfig(
        vocab_size=n, head_dim=16, query_pre_attn_scalar=24,
        rope_parameters={FULL: {**LINEAR, "factor": 8.0}, SLIDING: {"rope_type": "default", "rope_theta": 1000.0}},
        **MIXED, **GATED,
    ),
    "VaultGemma": lambda n: hf.VaultGemmaConfig(
        vocab_size=n, head_dim=8, query_pre_attn_scalar=8, attn_logit_softcapping=None, final_logit_softcapping=3.0,
        **MIXED, **GATED,
    ),
    "OLMo 7B (clipped)": lambda n: hf.OlmoConfig(vocab_size=n, clip_qkv=0.5, **MHA),
    "OLMo 2 32B (grouped, tied)": lambda n: hf.Olmo2Config(vocab_size=n, tie_word_embeddings=True, **GATED),
    "OLMo 3 with yarn": lambda n: hf.Olmo3Config(vocab_size=n, rope_parameters=YARN, **MIXED, **GATED),
    "Phi-2 (part of the rotary)": lambda n: hf.PhiConfig(vocab_size=n, rope_parameters=partial(0.5), **PLAIN),
    "Phi-3 mini 4k (window)": lambda n: hf.Phi3Config(vocab_size=n, sliding_window=4, **MHA),
    "Phi-3 mini 128k (longrope)": lambda n: hf.Phi3Config(
        vocab_size=n, rope_parameters=LONGROPE, original_max_position_embeddings=16, **MHA
    ),
    "Phi-4 mini (part of the rotary, tied)": lambda n: hf.Phi3Config(
        vocab_size=n, rope_parameters=partial(0.75), tie_word_embeddings=True, **GATED
    ),
    "Falcon with biases, multi-head": lambda n: hf.FalconConfig(vocab_size=n, multi_query=False, bias=True, **FALCON),
    "Falcon, sequential": lambda n: hf.FalconConfig(
        vocab_size=n, parallel_attn=False, ffn_hidden_size=40, tie_word_embeddings=False, **FALCON
    ),
    "Command R+ (norms of queries and keys)": lambda n: hf.CohereConfig(
        vocab_size=n, logit_scale=0.8, use_qk_norm=True, **GATED
    ),
    "Command A (biases, untied)": lambda n: hf.Cohere2Config(
        vocab_size=n, logit_scale=0.25, attention_bias=True, tie_word_embeddings=False, **MIXED, **GATED
    ),
    "StableLM 3B (part of the rotary)": lambda n: hf.StableLmConfig(
        vocab_size=n, rope_parameters=partial(0.25), tie_word_embeddings=True, **MHA
    ),
    "StableLM, parallel": lambda n: hf.StableLmConfig(
        vocab_size=n, use_parallel_residual=True, use_qkv_bias=True, **GATED
    ),
    "Nemotron (part of the rotary, wide heads, biases)": lambda n: hf.NemotronConfig(
        vocab_size=n, head_dim=16, rope_parameters=partial(0.5), attention_bias=True, mlp_bias=True, **GATED
    ),
    "Granite 3 (tied, biases)": lambda n: hf.GraniteConfig(
        vocab_size=n, residual_multiplier=0.3, embedding_multiplier=2.0, attention_multiplier=0.3, logits_scaling=0.5,
        tie_word_embeddings=True, attention_bias=True, mlp_bias=True, **GATED,
    ),
    "Granite without multipliers": lambda n: hf.GraniteConfig(vocab_size=n, **GATED),
    "SmolLM3 with windows, biases": lambda n: hf.SmolLM3Config(
        vocab_size=n, no_rope_layer_interval=2, use_sliding_window=True, attention_bias=True, mlp_bias=True,
        **MIXED, **GATED,
    ),
    "AFM (yarn)": lambda n: hf.ArceeConfig(vocab_size=n, rope_parameters=YARN, attention_bias=True, **GATED),
    "Apertus (llama3 rotary)": lambda n: hf.ApertusConfig(
        vocab_size=n, rope_parameters=LLAMA3, attention_bias=True, **GATED
    ),
    "EXAONE 4.0 1.2B (no window)": lambda n: hf.Exaone4Config(
        vocab_size=n, sliding_window=None, layer_types=[FULL] * 5, rope_parameters=LLAMA3, tie_word_embeddings=True, **GATED
    ),
    "GLM-4 9B": lambda n: hf.GlmConfig(
        vocab_size=n, head_dim=16, attention_bias=True, rope_parameters=partial(0.5), **GATED
    ),
    "GLM-4 32B (biases)": lambda n: hf.Glm4Config(
        vocab_size=n, head_dim=16, attention_bias=True, rope_parameters=partial(0.5), **GATED
    ),
    "ERNIE 4.5 0.3B": lambda n: hf.Ernie4_5Config(vocab_size=n, use_bias=True, head_dim=16, **GATED),
    "Hunyuan 7B": lambda n: hf.HunYuanDenseV1Config(vocab_size=n, head_dim=8, tie_word_embeddings=True, **GATED),
    "Seed-OSS": lambda n: hf.SeedOssConfig(
        vocab_size=n, head_dim=16, attention_bias=True, attention_out_bias=True, **GATED
    ),
    "Jais 2": lambda n: hf.Jais2Config(vocab_size=n, **GATED),
    "nanochat": lambda n: hf.NanoChatConfig(vocab_size=n, **GATED),
}  # fmt: skip
"""Option sets for which everything is right."""

REFUSED: dict[str, Config] = {
    "NeoX without attention biases": lambda n: hf.GPTNeoXConfig(vocab_size=n, attention_bias=False, **PLAIN),
    "GPT-BigCode, multi-head": lambda n: hf.GPTBigCodeConfig(
        vocab_size=n, multi_query=False, **GPT2
    ),
    "Falcon 40B": lambda n: hf.FalconConfig(vocab_size=n, num_kv_heads=2, new_decoder_architecture=True, **FALCON),
    "BitNet (a norm inside the MLP)": lambda n: hf.BitNetConfig(vocab_size=n, **GATED),
    "OPT 350M (norms after)": lambda n: hf.OPTConfig(
        vocab_size=n, word_embed_proj_dim=16, do_layer_norm_before=False, **OPT
    ),
    "OPT with a projection of its embeddings": lambda n: hf.OPTConfig(vocab_size=n, word_embed_proj_dim=16, **OPT),
    "GPT-1 (norms after)": lambda n: hf.OpenAIGPTConfig(
        vocab_size=n, n_positions=64, n_embd=32, n_layer=5, n_head=4
    ),
    "BERT as a decoder (norms after)": lambda n: hf.BertConfig(
        vocab_size=n, hidden_size=32, num_hidden_layers=4, num_attention_heads=4, intermediate_size=64, is_decoder=True
    ),
    "BioGPT": lambda n: hf.BioGptConfig(vocab_size=n, **{**PLAIN, "pad_token_id": 1}),
    "Phi with norms of queries and keys": lambda n: hf.PhiConfig(vocab_size=n, qk_layernorm=True, **PLAIN),
    "Persimmon": lambda n: hf.PersimmonConfig(vocab_size=n, **PLAIN),
    "Helium": lambda n: hf.HeliumConfig(vocab_size=n, head_dim=8, **GATED),
    "DiffLlama": lambda n: hf.DiffLlamaConfig(vocab_size=n, **GATED),
    "Mixtral (experts)": lambda n: hf.MixtralConfig(
        vocab_size=n, num_local_experts=4, num_experts_per_tok=2, **GATED
    ),
    "ModernBERT decoder (no norm in layer 0)": lambda n: hf.ModernBertDecoderConfig(
        vocab_size=n, local_attention=8, **{**PLAIN, "pad_token_id": 1}
    ),
    "Ministral 8B, in a class of its own": lambda n: hf.MinistralConfig(vocab_size=n, head_dim=16, **MIXED, **GATED),
}  # fmt: skip
"""Option sets that are refused: by config.json, because the bridge cannot take them, or because a trial fails."""


class Found(NamedTuple):
    """The errors of one model.

    Attributes:
        check: The largest error of the check that every run makes, on 24 tokens.
        quantity: The quantity that it belongs to.
        logits: Error of the logits along a path after a prefix of 41 tokens, against plain hooks.
    """

    check: float
    quantity: str
    logits: float


def measure(config: Config, folder: Path) -> Found:
    """Check a tiny model with this configuration, as a run does, and compare its logits with plain hooks.

    Raises:
        InputError: the model is refused.
    """
    tiny.save_config(config, folder)
    check_config(folder, "tiny")
    job = Job(
        stage="extract", root=folder, model="tiny", shard="all", slice={"centre": False, "bos": "auto"},
        model_folder=folder, extra={"check": list(PAIR)}, threads=1, device="cpu", memory_gb=1.0,
        progress=lambda _: None,
    )  # fmt: skip
    with architectures.loaded_once():
        worst = max(_checked(job), key=lambda error: error.error)
        model = Transformer.load(folder, device="cpu", centre=False)
    return Found(worst.error, QUANTITIES[worst.quantity], logits_error(model, folder))


@torch.no_grad()
def logits_error(model: Transformer, folder: Path) -> float:
    """Return the relative error of the logits along a path from layer 0, after a long prefix."""
    plain, tokenizer = oracle.load(folder)
    a, b = architectures.ids(tokenizer, LONGER)
    recorded, expected = oracle.interpolate(plain, a, b, 0, STEPS)
    prefix, rows = model.prefix(a[:-1]), recorded[0]
    assert prefix.length == 41
    for layer in range(1, model.n_layers):
        rows = model.block(layer, rows, prefix).resid_post
    return float((model.logits(rows) - expected).norm() / expected.norm())


def main() -> None:
    """Print every option set with its errors, or with the reason for which it is refused."""
    os.environ.update(OFFLINE)
    for name, config in {**RIGHT, **REFUSED}.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        try:
            with tempfile.TemporaryDirectory() as folder, quiet_libraries():
                found = measure(config, Path(folder))
            said = f"right    check {found.check:.0e} ({found.quantity}), logits {found.logits:.0e}"
        except InputError as error:
            said = f"refused  {error}"
        except Exception as error:
            said = f"FAILS    {type(error).__name__}: {error}"
        print(f"{name:<52} {said}", flush=True)


if __name__ == "__main__":
    main()
