"""Tiny models and a tokenizer, made offline from configurations, for every test that needs a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    ApertusConfig,
    ArceeConfig,
    AutoModelForCausalLM,
    BloomConfig,
    Cohere2Config,
    CohereConfig,
    Exaone4Config,
    FalconConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    Glm4Config,
    GPT2Config,
    GPTBigCodeConfig,
    GPTJConfig,
    GPTNeoConfig,
    GPTNeoXConfig,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    MptConfig,
    NemotronConfig,
    Olmo2Config,
    Olmo3Config,
    OlmoConfig,
    OPTConfig,
    Phi3Config,
    PhiConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    SmolLM3Config,
    StableLmConfig,
    Starcoder2Config,
)

WORDS = [
    "The",
    " house",
    " was",
    " big",
    " in",
    " large",
    " small",
    " old",
    " a",
    " red",
    " car",
    " is",
    " on",
]
"""Each is a single token of the tiny tokenizer; other text is split into beginnings of these words and into bytes."""

GATED = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 5, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None,
}  # fmt: skip

GPT2 = {"n_positions": 64, "n_embd": 32, "n_layer": 5, "n_head": 4, "bos_token_id": 0, "eos_token_id": 0}

PLAIN = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 5, "num_attention_heads": 4,
    "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip

SLIDING, FULL = "sliding_attention", "full_attention"

SHAPES = {
    "gpt2": lambda vocabulary: GPT2Config(
        vocab_size=vocabulary, n_positions=64, n_embd=32, n_layer=5, n_head=4, bos_token_id=0, eos_token_id=0
    ),
    "llama": lambda vocabulary: LlamaConfig(vocab_size=vocabulary, **GATED),
    "opt": lambda vocabulary: OPTConfig(
        vocab_size=vocabulary, hidden_size=32, ffn_dim=64, num_hidden_layers=5, num_attention_heads=4,
        word_embed_proj_dim=32, max_position_embeddings=64, bos_token_id=0, eos_token_id=0, pad_token_id=1,
    ),
    "neox": lambda vocabulary: GPTNeoXConfig(
        vocab_size=vocabulary, hidden_size=32, intermediate_size=64, num_hidden_layers=5, num_attention_heads=4,
        max_position_embeddings=64, bos_token_id=0, eos_token_id=0,
    ),
    "qwen2": lambda vocabulary: Qwen2Config(vocab_size=vocabulary, **GATED),
    "qwen3": lambda vocabulary: Qwen3Config(vocab_size=vocabulary, head_dim=8, **GATED),
    "gemma2": lambda vocabulary: Gemma2Config(
        vocab_size=vocabulary, head_dim=8, query_pre_attn_scalar=8, attn_logit_softcapping=5.0,
        final_logit_softcapping=3.0, **GATED,
    ),
    "olmo": lambda vocabulary: OlmoConfig(vocab_size=vocabulary, **GATED),
    "olmo2": lambda vocabulary: Olmo2Config(vocab_size=vocabulary, **GATED),
    "olmo3": lambda vocabulary: Olmo3Config(vocab_size=vocabulary, sliding_window=4, **GATED),
    "smollm3": lambda vocabulary: SmolLM3Config(vocab_size=vocabulary, no_rope_layer_interval=3, **GATED),
    "mistral": lambda vocabulary: MistralConfig(vocab_size=vocabulary, sliding_window=4, **GATED),
    "granite": lambda vocabulary: GraniteConfig(
        vocab_size=vocabulary, residual_multiplier=0.22, embedding_multiplier=12.0, attention_multiplier=0.05,
        logits_scaling=8.0, **GATED,
    ),
    "phi3": lambda vocabulary: Phi3Config(vocab_size=vocabulary, **GATED),
    "gemma": lambda vocabulary: GemmaConfig(vocab_size=vocabulary, head_dim=8, **GATED),
    "gemma3": lambda vocabulary: Gemma3TextConfig(
        vocab_size=vocabulary, head_dim=8, query_pre_attn_scalar=8, sliding_window=4,
        layer_types=[SLIDING, SLIDING, FULL, SLIDING, FULL], **GATED,
    ),
    "glm4": lambda vocabulary: Glm4Config(vocab_size=vocabulary, head_dim=8, **GATED),
    "exaone4": lambda vocabulary: Exaone4Config(
        vocab_size=vocabulary, sliding_window=4, layer_types=[SLIDING, SLIDING, FULL, SLIDING, FULL], **GATED
    ),
    "apertus": lambda vocabulary: ApertusConfig(vocab_size=vocabulary, **GATED),
    "arcee": lambda vocabulary: ArceeConfig(vocab_size=vocabulary, **GATED),
    "nemotron": lambda vocabulary: NemotronConfig(vocab_size=vocabulary, **GATED),
    "starcoder2": lambda vocabulary: Starcoder2Config(vocab_size=vocabulary, **GATED),
    "gpt_bigcode": lambda vocabulary: GPTBigCodeConfig(vocab_size=vocabulary, multi_query=True, **GPT2),
    "gpt_neo": lambda vocabulary: GPTNeoConfig(
        vocab_size=vocabulary, hidden_size=32, num_layers=4, num_heads=4, attention_types=[[["global", "local"], 2]],
        window_size=4, max_position_embeddings=64, bos_token_id=0, eos_token_id=0,
    ),
    "mpt": lambda vocabulary: MptConfig(vocab_size=vocabulary, d_model=32, n_heads=4, n_layers=5, max_seq_len=64),
    "bloom": lambda vocabulary: BloomConfig(
        vocab_size=vocabulary, hidden_size=32, n_layer=5, n_head=4, bos_token_id=0, eos_token_id=0
    ),
    "gptj": lambda vocabulary: GPTJConfig(vocab_size=vocabulary, rotary_dim=4, **GPT2),
    "phi": lambda vocabulary: PhiConfig(vocab_size=vocabulary, **PLAIN),
    "falcon": lambda vocabulary: FalconConfig(
        vocab_size=vocabulary, hidden_size=32, num_hidden_layers=5, num_attention_heads=4, bos_token_id=0,
        eos_token_id=0,
    ),
    "cohere": lambda vocabulary: CohereConfig(vocab_size=vocabulary, logit_scale=0.0625, **GATED),
    "cohere2": lambda vocabulary: Cohere2Config(
        vocab_size=vocabulary, sliding_window=4, layer_types=[SLIDING, SLIDING, FULL, SLIDING, FULL], **GATED
    ),
    "stablelm": lambda vocabulary: StableLmConfig(vocab_size=vocabulary, use_qkv_bias=True, **GATED),
    "stablelm2": lambda vocabulary: StableLmConfig(
        vocab_size=vocabulary, use_parallel_residual=True, qk_layernorm=True, **GATED
    ),
}  # fmt: skip


def tokenizer() -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer in which the words of `WORDS` are one token each."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: number for number, symbol in enumerate(alphabet)}
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        symbols = word.replace(" ", "Ġ")
        for end in range(2, len(symbols) + 1):
            if symbols[:end] not in vocabulary:
                vocabulary[symbols[:end]] = len(vocabulary)
                merges.append((symbols[: end - 1], symbols[end - 1]))
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="!", bos_token="!")


def save_without_layernorm(folder: Path, *, seed: int = 0) -> Path:
    """Save a tiny LN-free GPT-2 in the published format, whose norms are linear.

    LayerNorm's epsilon is 1e12, its weights are multiplied by 1e6 over a fixed standard deviation, and its biases are
    unchanged. It therefore centres its input and multiplies it, but no longer divides it by its own scale.
    """
    save("gpt2", folder, seed=seed)
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "ln_" in name and name.endswith("weight"):
                parameter.mul_(1e6 / (0.5 + 2 * float(torch.rand(1, generator=generator))))
    model.config.layer_norm_epsilon = 1e12
    model.save_pretrained(folder)
    return folder


def save(kind: str, folder: Path, *, seed: int = 0) -> Path:
    """Save a random model of a kind; see `save_config`."""
    return save_config(SHAPES[kind], folder, seed=seed)


def save_config(config: Callable[[int], PretrainedConfig], folder: Path, *, seed: int = 0, scale: float = 0.3) -> Path:
    """Save a random model and the tiny tokenizer.

    Args:
        config: Maps the size of the vocabulary to the model's configuration.
        folder: The folder to write.
        seed: Seed of the weights. Norms and biases are random too, so that no part is an identity by accident.
        scale: Size of the weights.
    """
    words = tokenizer()
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config(len(words)))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
            elif "embed" not in name and "wte" not in name:
                parameter.copy_(scale * torch.randn_like(parameter) / parameter.shape[-1] ** 0.5 * 2)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder
