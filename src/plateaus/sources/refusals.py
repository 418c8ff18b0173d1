"""Refuse kinds of models that cannot be swept, from config.json alone, before any weights are read or downloaded.

A model that can be swept is a decoder with causal attention and a dense MLP in every layer, whose outputs are added to
the residual stream. Each rule below looks for one thing that such a model does not have. The rules go by the keys of
config.json where they can, so that they hold for models that are newer than this file, and by `model_type` where a
kind of model has no key of its own. Neither torch nor transformers is imported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from plateaus.errors import InputError
from plateaus.sources import native
from plateaus.sources.config_json import HEADS, Told, layers_of, read


def check_config(folder: Path, model: str, where: str = "") -> None:
    """Check that the config.json of a Hugging Face folder describes a model that can be swept.

    Args:
        folder: The folder.
        model: Id of the model, for the message.
        where: What the message calls the model's place; the folder by default.

    Raises:
        InputError: says what the model has or lacks, which key of config.json says so, and what to use instead.
    """
    where = f"model {model}: {where or folder}"
    told = read(folder)
    if told is None:
        raise InputError(f"{where} has a config.json that is not a JSON object: copy the file again")
    for rule in RULES:
        found = rule(told)
        if found:
            raise InputError(f"{where} {found}")


# ---- what the rules look for ---------------------------------------------------------------------------------------

DECODER = "use a causal language model (a decoder)"
DENSE = "use a dense model in which every layer has attention and one MLP"
SUB_MODELS = re.compile(r"(text|vision|image|audio|speech|vq)(_\w+)?_config$")
"""Keys that hold the whole config of a model inside the model."""
NOT_CAUSAL: dict[str, tuple[object, ...]] = {
    "use_bidirectional_attention": (True, "all"),
    "bidirectional": (True,),
    "is_causal": (False,),
    "causal": (False,),
    "attn_type": ("bi",),
    "prefix_lm": (True,),
}
"""Keys by which config.json says that tokens attend to later ones, and the values that mean it."""
ENCODERS = {
    "albert", "bert", "bert-generation", "big_bird", "camembert", "convbert", "data2vec-text", "deberta", "deberta-v2",
    "distilbert", "electra", "ernie", "esm", "eurobert", "funnel", "longformer", "megatron-bert", "mobilebert",
    "modernbert", "mpnet", "nomic_bert", "reformer", "rembert", "roberta", "roberta-prelayernorm", "roc_bert",
    "roformer", "squeezebert", "xlm-roberta", "xlm-roberta-xl", "xmod",
}  # fmt: skip
"""Model types that are encoders, unless config.json has `is_decoder: true`."""
ENCODER_HEADS = ("ForMaskedLM", "ForNextSentencePrediction")
"""Endings of classes that only encoders have."""
KINDS_OF_LAYERS = ("layer_types", "layers_block_type", "block_types", "layer_block_types")
"""Keys that hold the kind of every layer. Where there is one, it counts more than any size of a recurrent layer."""
RECURRENT = re.compile(
    "mamba_|ssm_|lru_|linear_(conv|attn|num|key|value)_|short_conv_|rwkv|"
    "(state_size|attention_hidden_size|conv_L_cache|conv_kernel|conv_kernel_size|conv1d_width|hybrid_override_pattern)$"
)
"""Keys that only a model with state-space, recurrent or convolutional layers has."""
RECURRENT_TYPES = re.compile("(rwkv|mamba|xlstm|retnet|hyena|stripedhyena)")
"""Beginnings of model types with such layers, some of which have no key of their own."""
EXPERTS = re.compile(r"(\w+_)?(num|n)_(\w+_)?experts$")
NORMS_AFTER: dict[str, object] = {
    "do_layer_norm_before": False,
    "pre_norm": False,
    "apply_residual_connection_post_layernorm": True,
}
"""Keys by which config.json says that the residual stream itself goes through norms, and the value that means it."""
NORMS_AFTER_TYPES = {
    "bert", "bert-generation", "big_bird", "camembert", "data2vec-text", "electra", "ernie", "openai-gpt", "rembert",
    "roberta", "roc_bert", "roformer", "xlm", "xlm-roberta", "xlnet",
}  # fmt: skip
"""Model types of which the same is true without a key that says so."""
LM_HEADS = re.compile("CausalLM|LMHead")


# ---- the rules: each returns the rest of a sentence that begins with the model's place, or None --------------------


def multimodal(told: Told) -> str | None:
    """A model of text and images or sound, which holds a text model."""
    key = next(
        (key for key, value in told.items() if SUB_MODELS.match(key) and isinstance(value, dict) and value), None
    )
    if key is None:
        return None
    return (
        f"is a multimodal model ({key} in config.json), of which only the text model can be used: save that alone, "
        "with its own config.json, or use a model of text only"
    )


def encoder_decoder(told: Told) -> str | None:
    """An encoder and a decoder that reads it."""
    key = next((key for key in ("is_encoder_decoder", "add_cross_attention") if told.get(key) is True), None)
    return key and f"is an encoder-decoder ({key} is true in config.json): {DECODER}"


def encoder(told: Told) -> str | None:
    """A model whose tokens see later ones, by its kind or by the head that it was saved with."""
    kind = told.get("model_type")
    if kind in ENCODERS and told.get("is_decoder") is not True:
        why = f"model_type is {kind} in config.json, without is_decoder: true"
    elif any(name.endswith(ENCODER_HEADS) for name in _architectures(told)):
        why = f"architectures is {_architectures(told)[0]} in config.json"
    else:
        return None
    return f"is an encoder, not a language model that predicts the next token ({why}): {DECODER}"


def not_causal(told: Told) -> str | None:
    """A model in which a key turns causal attention off."""
    for key, value in _nested(told):
        if any(value is wrong or (isinstance(wrong, str) and value == wrong) for wrong in NOT_CAUSAL.get(key, ())):
            return f"has attention that is not causal ({key} is {_shown(value)} in config.json): {DECODER}"
    return None


def recurrent(told: Told) -> str | None:
    """A model with layers that carry a state from token to token."""
    lists = {key: told[key] for key in KINDS_OF_LAYERS if isinstance(told.get(key), list) and told[key]}
    others = [f"'{kind}' in {key}" for key, kinds in lists.items() for kind in kinds if not _is_attention(str(kind))]
    sizes = [f"{key} is {_shown(value)}" for key, value in told.items() if value and RECURRENT.match(key)]
    kind = str(told.get("model_type"))
    if others:
        why = others[0]
    elif lists:
        return None
    elif sizes:
        why = sizes[0]
    elif RECURRENT_TYPES.match(kind):
        why = f"model_type is {kind}"
    else:
        return None
    return f"has state-space, recurrent or convolutional layers, not only attention ({why} in config.json): {DENSE}"


def experts(told: Told) -> str | None:
    """A mixture of experts: several MLPs in a layer, of which each token uses some."""
    if told.get("is_moe") is False or told.get("enable_moe_block") is False:
        return None
    for key, value in _nested(told):
        numbers = [number for number in (value if isinstance(value, list) else [value]) if isinstance(number, int)]
        if EXPERTS.match(key) and "shared" not in key and max(numbers, default=0) > 1:
            return f"is a mixture of experts ({key} is {max(numbers)} in config.json): {DENSE}"
    return None


def without_heads(told: Told) -> str | None:
    """A model without attention heads."""
    given = [told[key] for key in HEADS if told.get(key)]
    if given:
        return None
    key = next((key for key in HEADS if key in told), HEADS[0])
    return f"has no attention heads (config.json gives no {key}): {DENSE}"


def remote_code(told: Told) -> str | None:
    """A model of a kind that the installed transformers does not have, with or without code of its own."""
    kind, known = told.get("model_type"), native.model_types()
    if not kind and not told.get("auto_map"):
        return "has no model_type in config.json: give the folder that save_pretrained wrote"
    if not known or kind in known:  # many supported models still carry an auto_map from before they were supported
        return None
    if told.get("auto_map"):
        return (
            f"needs Python code of its own (auto_map in config.json, model_type {_shown(kind)}), and code that comes "
            f"with a model is never run here: use a model that transformers {_version()} has itself"
        )
    return (
        f"is of a kind that transformers {_version()} does not know (model_type {_shown(kind)} in config.json): "
        "correct it, or use another model"
    )


def without_language_model(told: Told) -> str | None:
    """A model of a kind, or saved from a class, that predicts no next token."""
    kind, known, languages = told.get("model_type"), native.model_types(), native.causal_language_models()
    if kind in known and languages and kind not in languages:
        return f"is not a language model (transformers has no causal language model of model_type {kind}): {DECODER}"
    names = _architectures(told)
    if names and names[0].endswith("Model") and told.get("tie_word_embeddings") is not False:
        return None  # the head may be the embedding; if it is not, loading the weights finds that it is missing
    if not names or any(LM_HEADS.search(name) or name in languages.values() for name in names):
        return None
    return (
        f"was saved without a language-model head (architectures is {names[0]} in config.json), so its next-token "
        "probabilities would mean nothing: use the model that it was made from, saved as a causal language model"
    )


def quantised(told: Told) -> str | None:
    """A model whose weights are stored in fewer bits."""
    stored = next((told[key] for key in ("quantization_config", "compression_config") if told.get(key)), None)
    if stored is None:
        return None
    method = stored.get("quant_method", "") if isinstance(stored, dict) else ""
    return (
        f"has quantised weights (quantization_config in config.json{method and f': {method}'}): dequantise them first "
        "(model.dequantize(), then save_pretrained), or use the model that was quantised"
    )


def norms_after(told: Told) -> str | None:
    """A model whose residual stream itself is normalised in every layer, so that outputs do not add up in it."""
    key = next((key for key, wrong in NORMS_AFTER.items() if told.get(key) is wrong), None)
    kind = told.get("model_type")
    if key is None and kind not in NORMS_AFTER_TYPES:
        return None
    why = f"model_type {kind}" if key is None else f"{key} is {_shown(told[key])} in config.json"
    return (
        f"normalises the residual stream itself, after each sum ({why}), so what its layers add does not add up: "
        "use a model with its norms before attention and the MLP, or at their outputs"
    )


def too_shallow(told: Told) -> str | None:
    """A model without a layer that a patch could be followed to."""
    layers = layers_of(told)
    if layers is None or layers > 1:
        return None
    return f"has {layers} layer{'' if layers == 1 else 's'}, so no patch has a later layer: use a model of 2 or more"


RULES: Sequence[Callable[[Told], str | None]] = (
    multimodal,
    encoder_decoder,
    encoder,
    not_causal,
    recurrent,
    experts,
    remote_code,
    without_language_model,
    without_heads,
    norms_after,
    quantised,
    too_shallow,
)
"""In this order, so that a model is refused for what nobody can change about it before what could be mended."""


# ---- reading config.json -------------------------------------------------------------------------------------------


def _architectures(told: Told) -> list[str]:
    names = told.get("architectures")
    return [str(name) for name in names] if isinstance(names, list) else []


def _nested(told: Told) -> Iterator[tuple[str, Any]]:
    """Yield the keys and values of config.json and of the objects in it, such as Dbrx's ffn_config."""
    for key, value in told.items():
        yield key, value
        if isinstance(value, dict):
            yield from value.items()


def _is_attention(kind: str) -> bool:
    """Whether a kind of layer has attention over all earlier tokens or a window of them."""
    return (kind.endswith("attention") and not re.search("linear|lightning", kind)) or kind in ("global", "local")


def _shown(value: object) -> str:
    """A value as config.json writes it."""
    return value if isinstance(value, str) else json.dumps(value)


def _version() -> str:
    try:
        return metadata.version("transformers")
    except metadata.PackageNotFoundError:
        return "(not installed)"
