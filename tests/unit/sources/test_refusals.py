"""Which kinds of models are refused from config.json alone, and that no dense decoder is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import transformers
from transformers import AutoConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from plateaus.errors import InputError
from plateaus.prompts.lengths import check_lengths
from plateaus.prompts.pairs import Pair, TokenisedPair
from plateaus.sources import config_json, native, refusals


def published(kind: str, architecture: str = "", **changes: Any) -> dict[str, Any]:
    """The config.json that save_pretrained writes for a kind of model, with a few keys changed."""
    told = json.loads(AutoConfig.for_model(kind).to_json_string())
    named = architecture or MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(kind)
    return {**told, **({"architectures": [named]} if named else {}), **changes}


LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_hidden_layers": 4, "num_attention_heads": 4,
    "hidden_size": 32, "max_position_embeddings": 64, "vocab_size": 100,
}  # fmt: skip


def llama(**changes: Any) -> dict[str, Any]:
    """A config.json of a dense decoder, with a few keys changed; a key that is changed to ... is left out."""
    return {key: value for key, value in {**LLAMA, **changes}.items() if value is not ...}


EXPERTS = "is a mixture of experts"
RECURRENT = "has state-space, recurrent or convolutional layers"
ENCODER = "is an encoder, not a language model"
REFUSED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "Mixtral": (published("mixtral"), (EXPERTS, "num_local_experts is 8")),
    "Qwen3-MoE": (published("qwen3_moe"), (EXPERTS, "num_local_experts is 128")),
    "Qwen3-MoE as published": (llama(model_type="qwen3_moe", num_experts=128), (EXPERTS, "num_experts is 128")),
    "OLMoE": (published("olmoe"), (EXPERTS, "num_experts is 64")),
    "DeepSeek-V3": (published("deepseek_v3"), (EXPERTS, "n_routed_experts is 256")),
    "Dbrx": (published("dbrx"), (EXPERTS, "moe_num_experts is 4")),
    "ERNIE-4.5": (published("ernie4_5_moe"), (EXPERTS, "moe_num_experts is 64")),
    "gpt-oss": (published("gpt_oss", quantization_config={"quant_method": "mxfp4"}), (EXPERTS, "is 128")),
    "experts by layer": (llama(num_experts=[1, 1, 8, 8]), (EXPERTS, "num_experts is 8")),
    "Mamba": (published("mamba"), (RECURRENT, "conv_kernel is 4", "attention and one MLP")),
    "Mamba-2": (published("mamba2"), (RECURRENT, "conv_kernel is 4")),
    "Falcon-Mamba": (published("falcon_mamba"), (RECURRENT, "conv_kernel is 4")),
    "RWKV": (published("rwkv"), (RECURRENT, "attention_hidden_size is 4096")),
    "RWKV-7, with its own code": (llama(model_type="rwkv7", auto_map={"AutoConfig": "x"}), (RECURRENT, "is rwkv7")),
    "xLSTM": (published("xlstm"), (RECURRENT, "model_type is xlstm")),
    "RecurrentGemma": (published("recurrent_gemma"), (RECURRENT, "'recurrent' in block_types")),
    "Jamba": (published("jamba"), (RECURRENT, "mamba_")),
    "Bamba": (published("bamba"), (RECURRENT, "mamba_")),
    "Zamba2": (published("zamba2"), (RECURRENT, "in layers_block_type")),
    "Falcon-H1": (published("falcon_h1"), (RECURRENT, "mamba_")),
    "Nemotron-H": (published("nemotron_h"), (RECURRENT, "in layers_block_type")),
    "LFM2": (published("lfm2", layer_types=["conv", "full_attention"]), (RECURRENT, "'conv' in layer_types")),
    "LFM2 without a list of layers": (published("lfm2", layer_types=None), (RECURRENT, "conv_L_cache is 3")),
    "Qwen3-Next": (published("qwen3_next"), (RECURRENT, "'linear_attention' in layer_types")),
    "Granite-4.0-H": (published("granitemoehybrid", layer_types=["mamba", "attention"]), (RECURRENT, "'mamba'")),
    "T5": (published("t5"), ("is an encoder-decoder", "is_encoder_decoder is true")),
    "BART": (published("bart"), ("is an encoder-decoder",)),
    "a decoder that reads an encoder": (llama(add_cross_attention=True), ("encoder-decoder", "add_cross_attention")),
    "BERT": (published("bert", "BertForMaskedLM"), (ENCODER, "model_type is bert", "without is_decoder")),
    "RoBERTa": (published("roberta", "RobertaForMaskedLM"), (ENCODER, "model_type is roberta")),
    "ELECTRA": (published("electra", "ElectraForPreTraining"), (ENCODER, "model_type is electra")),
    "DistilBERT": (published("distilbert", "DistilBertForMaskedLM"), (ENCODER, "distilbert")),
    "DeBERTa": (published("deberta", "DebertaForMaskedLM"), (ENCODER, "deberta")),
    "ModernBERT": (published("modernbert", "ModernBertForMaskedLM"), (ENCODER, "modernbert")),
    "saved as an encoder": (llama(architectures=["XForMaskedLM"]), (ENCODER, "architectures is XForMaskedLM")),
    "XLNet": (published("xlnet"), ("attention that is not causal", "attn_type is bi")),
    "EmbeddingGemma": (published("gemma3_text", use_bidirectional_attention=True), ("not causal", "is true")),
    "GTE-Qwen2": (published("qwen2", is_causal=False), ("attention that is not causal", "is_causal is false")),
    "Gemma-3": (published("gemma3"), ("is a multimodal model (text_config", "only the text model")),
    "Llama-4": (published("llama4"), ("is a multimodal model (text_config",)),
    "Phi-4-multimodal": (published("phi4_multimodal"), ("is a multimodal model",)),
    "Moshi": (published("moshi"), ("is a multimodal model (audio_encoder_config",)),
    "code of its own": (
        llama(model_type="telechat", auto_map={"AutoModelForCausalLM": "modeling.Model"}),
        ("needs Python code of its own", "auto_map", "model_type telechat", transformers.__version__),
    ),
    "unknown kind": (llama(model_type="lama"), ("does not know", "model_type lama", transformers.__version__)),
    "no kind": (llama(model_type=...), ("has no model_type", "save_pretrained")),
    "ViT": (published("vit", "ViTModel"), ("is not a language model", "model_type vit")),
    "GPT-2 that classifies": (
        published("gpt2", "GPT2ForSequenceClassification"),
        ("without a language-model head", "architectures is GPT2ForSequenceClassification"),
    ),
    "GPT-2 without a head": ({**published("gpt2", "GPT2Model"), "tie_word_embeddings": False}, ("without a language-model head", "GPT2Model")),
    "no heads": (llama(num_attention_heads=0), ("has no attention heads", "no num_attention_heads")),
    "heads unknown": (llama(num_attention_heads=...), ("has no attention heads",)),
    "GPTQ": (llama(quantization_config={"quant_method": "gptq"}), ("quantised weights", ": gptq)", "dequantise")),
    "OPT-350M": (published("opt", do_layer_norm_before=False), ("the residual stream itself", "norm_before is false")),
    "BLOOM with late norms": (
        published("bloom", apply_residual_connection_post_layernorm=True),
        ("the residual stream itself", "apply_residual_connection_post_layernorm is true"),
    ),
    "GPT-1": (published("openai-gpt"), ("the residual stream itself", "model_type openai-gpt")),
    "BERT as a decoder": (published("bert", is_decoder=True), ("the residual stream itself", "model_type bert")),
    "one layer": (llama(num_hidden_layers=1), ("has 1 layer,", "2 or more")),
}  # fmt: skip

DENSE = [
    "apertus", "arcee", "biogpt", "bloom", "codegen", "cohere", "cohere2", "ctrl", "cwm", "ernie4_5", "exaone4",
    "falcon", "gemma", "gemma2", "gemma3_text", "glm", "glm4", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox",
    "gpt_neox_japanese", "gptj", "granite", "helium", "hunyuan_v1_dense", "llama", "ministral", "mistral",
    "modernbert-decoder", "mpt", "nanochat", "nemotron", "olmo", "olmo2", "olmo3", "opt", "persimmon", "phi", "phi3",
    "qwen2", "qwen3", "seed_oss", "smollm3", "stablelm", "starcoder2", "vaultgemma", "xglm",
]  # fmt: skip

ALSO_FINE = {
    "an auto_map from before": published("falcon", auto_map={"AutoModelForCausalLM": "modeling_falcon.RWModel"}),
    "MPT's own name of its class": published("mpt", "MPTForCausalLM", auto_map={"AutoConfig": "x"}),
    "one expert": llama(num_local_experts=1),
    "no expert": llama(num_experts=0, num_experts_per_tok=2, n_shared_experts=2, n_routed_experts=None),
    "experts that are not used": published("doge"),
    "Granite-4.0 without Mamba": published("granitemoehybrid", layer_types=["attention"] * 4, num_local_experts=0),
    "no architectures": llama(architectures=...),
    "bidirectional for images only": llama(use_bidirectional_attention="vision"),
    "GPT-NeoX says it is no decoder": published("gpt_neox", is_decoder=False),
    "empty keys": llama(quantization_config=None, text_config=None, auto_map=None, layer_types=None),
    "heads by layer": llama(num_attention_heads=[4, 4, 2, 2]),
}


def written(folder: Path, told: object) -> Path:
    (folder / "config.json").write_text(json.dumps(told), encoding="utf-8")
    return folder


@pytest.mark.parametrize("case", REFUSED)
def test_a_model_that_cannot_be_swept_is_refused_in_one_line(case, tmp_path: Path):
    told, expected = REFUSED[case]
    with pytest.raises(InputError) as caught:
        refusals.check_config(written(tmp_path, told), "mine")
    message = str(caught.value)
    assert message.startswith(f"model mine: {tmp_path} ")
    assert message.count(": ") > 1  # what is wrong and where, and then how to mend it
    for part in expected:
        assert part in message, message


@pytest.mark.parametrize("kind", DENSE)
def test_a_dense_decoder_is_not_refused(kind, tmp_path: Path):
    refusals.check_config(written(tmp_path, published(kind)), "mine")


@pytest.mark.parametrize("case", ALSO_FINE)
def test_a_key_that_only_looks_wrong_is_not_refused(case, tmp_path: Path):
    refusals.check_config(written(tmp_path, ALSO_FINE[case]), "mine")


def test_a_config_that_is_no_object_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="is not a JSON object"):
        refusals.check_config(written(tmp_path, [1]), "mine")


def test_the_place_can_be_a_repository(tmp_path: Path):
    with pytest.raises(InputError, match=r"^model mine: owner/name at revision main has 1 layer, so"):
        refusals.check_config(written(tmp_path, llama(num_hidden_layers=1)), "mine", "owner/name at revision main")


def test_kinds_of_models_are_those_of_transformers():
    assert native.model_types() == set(CONFIG_MAPPING_NAMES)
    assert native.causal_language_models() == dict(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def test_a_transformers_that_cannot_be_read_refuses_nothing(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(native, "find_spec", lambda name: None)
    native._table.cache_clear()
    try:
        assert native.model_types() == frozenset()
        refusals.check_config(written(tmp_path, llama(model_type="lama")), "mine")
    finally:
        native._table.cache_clear()


def test_nothing_heavy_is_imported(tmp_path: Path):
    program = (
        "import sys; from pathlib import Path; from plateaus.run import precheck; from plateaus.sources import refusals\n"
        "refusals.check_config(Path(sys.argv[1]), 'mine'); print({'torch', 'transformers'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", program, str(written(tmp_path, LLAMA))]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("told", "limit"),
    [
        (published("gpt2"), ("n_positions", 1024)),
        (published("llama"), ("max_position_embeddings", 2048)),
        (published("gptj"), ("n_positions", 2048)),
        (published("mpt"), ("max_seq_len", 2048)),
        (published("falcon"), ("max_position_embeddings", 2048)),
        (published("falcon", alibi=True), None),
        (published("bloom"), None),
        (llama(max_position_embeddings=None), None),
    ],
    ids=lambda value: value["model_type"] if isinstance(value, dict) else "",
)
def test_limit_of_positions(told, limit):
    assert config_json.limit_of(told) == limit


def test_a_prompt_that_is_too_long_is_refused(tmp_path: Path):
    folder = written(tmp_path, llama(max_position_embeddings=8))
    fits, longer = (TokenisedPair(Pair(f"of-{n}", "x", "a", "b", ""), (1,) * (n - 1), 2, 3) for n in (8, 9))
    check_lengths([fits], folder, "mine")
    with pytest.raises(InputError, match=r"^model mine: .* pair 'of-9' have 9 tokens, .* at most 8 \(max_position"):
        check_lengths([fits, longer], folder, "mine")


@pytest.mark.parametrize("kind", DENSE)
def test_sizes_are_found_under_the_names_that_each_kind_has(kind):
    told = published(kind)
    config = AutoConfig.for_model(kind)
    assert config_json.layers_of(told) == config.num_hidden_layers
    limit = config_json.limit_of(told)
    assert limit is None or limit.positions == getattr(config, "max_position_embeddings", limit.positions)
