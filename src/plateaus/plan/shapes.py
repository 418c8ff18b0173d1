"""Find the sizes of every model from local files or from the table of published shapes, never from the network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from plateaus.config.models import model_key
from plateaus.config.reading import Config
from plateaus.sources import config_json

GATED = {
    "llama", "mistral", "ministral3", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "vaultgemma", "olmo", "olmo2",
    "olmo3", "smollm3", "granite", "phi3", "cohere", "cohere2", "stablelm", "glm", "glm4", "exaone4", "ernie4_5",
    "hunyuan_v1_dense", "seed_oss",
}  # fmt: skip
PARALLEL = {"gpt_neox", "gptj", "codegen", "phi", "falcon", "cohere", "cohere2"}
DIFFERENTIATED = {
    "gpt_neox", "gptj", "codegen", "gpt_neo", "mpt", "bloom", "falcon", "phi3", "qwen3", "apertus", "gemma2",
    "gemma3_text", "vaultgemma", "glm4", "olmo2", "olmo3", "exaone4", "nanochat", "hunyuan_v1_dense",
}  # fmt: skip
"""Model types whose attention has no closed-form Jacobian here: they fail the check in `attention_jacobian`."""
NORM_AFTER = {"gemma2", "gemma3_text", "glm4", "olmo2", "olmo3", "exaone4"}
"""Model types whose MLP has a norm between its output and the residual stream."""


class Shape(NamedTuple):
    """The sizes of a model that determine its cost.

    Attributes:
        layers: Number of blocks.
        d_model: Width of the residual stream.
        d_mlp: Number of hidden units of one MLP.
        heads: Number of query heads.
        kv_heads: Number of key and value heads.
        d_head: Width of a head.
        vocabulary: Number of tokens in the vocabulary.
        parameters: Number of parameters, with tied weights counted once.
        file_bytes: Size of the weights on disk, bytes.
        gated: Whether the MLP has a gate.
        parallel: Whether attention and MLP read the same vector.
        relu: Whether the MLP is piecewise linear, so that the table `neurons` has rows.
        closed: Whether attention's Jacobian is computed in closed form.
        centred: Whether the norms are LayerNorm rather than RMSNorm.
        norm_after: Whether the output of the MLP goes through a norm.
        capped: Whether the logits have a soft cap.
    """

    layers: int
    d_model: int
    d_mlp: int
    heads: int
    kv_heads: int
    d_head: int
    vocabulary: int
    parameters: int
    file_bytes: int
    gated: bool
    parallel: bool
    relu: bool
    closed: bool
    centred: bool
    norm_after: bool
    capped: bool

    @property
    def attention_weights(self) -> int:
        """Number of weights of one attention layer: queries, keys, values and output."""
        return 2 * self.d_model * self.d_head * (self.heads + self.kv_heads)

    @property
    def mlp_inputs(self) -> int:
        """Number of weight matrices that read the MLP's input: 2 in gated MLPs."""
        return 2 if self.gated else 1

    @property
    def mlp_weights(self) -> int:
        """Number of weights of one MLP."""
        return (self.mlp_inputs + 1) * self.d_model * self.d_mlp

    @property
    def model_bytes(self) -> int:
        """Size of the model in memory in float32, bytes."""
        return 4 * self.parameters

    def bytes_per_row(self, prefix: int) -> int:
        """Return the bytes per row by which the stages split their rows into chunks, as `Transformer.bytes_per_row`."""
        attention = 2 * self.heads * (prefix + 1) + 4 * (prefix + 1) * self.d_model
        return 4 * 2 * (8 * self.d_model + 4 * self.d_mlp + attention)


def shape_from(config: Mapping[str, Any], parameters: int, file_bytes: int) -> Shape:
    """Read the shape of a model from its `config.json`.

    Args:
        config: The content of the file, as Hugging Face writes it.
        parameters: Number of parameters.
        file_bytes: Size of the weights on disk, bytes.

    Raises:
        KeyError: the config has none of the known keys for one of the sizes.
    """

    def first(*names: str) -> Any:
        return next((config[name] for name in names if config.get(name) is not None), None)

    layers, d_model = first(*config_json.LAYERS), first("hidden_size", "n_embd", "d_model")
    heads = first(*config_json.HEADS)
    if None in (layers, d_model, heads) or "vocab_size" not in config:
        raise KeyError("config.json lacks the number of layers, the width, the number of heads or the vocabulary")
    kind = str(config.get("model_type", ""))
    activation = str(first("hidden_activation", "hidden_act", "activation_function"))
    return Shape(
        layers=int(layers),
        d_model=int(d_model),
        d_mlp=int(first("intermediate_size", "n_inner", "ffn_dim") or 4 * d_model),
        heads=int(heads),
        kv_heads=int(first("num_key_value_heads") or heads),
        d_head=int(first("head_dim") or d_model // heads),
        vocabulary=int(config["vocab_size"]),
        parameters=parameters,
        file_bytes=file_bytes,
        gated=kind in GATED,
        parallel=kind in PARALLEL,
        relu=activation == "relu" and kind not in GATED,
        closed=kind not in DIFFERENTIATED,
        centred="rms_norm_eps" not in config,
        norm_after=kind in NORM_AFTER,
        # A config of Gemma-2 need not name its cap, which is then the one that its type has by default.
        capped=config.get("final_logit_softcapping", kind == "gemma2") not in (None, False),
    )


class Known(NamedTuple):
    """What is known about a model before it is fetched: its config.json, parameters and the bytes of its weights."""

    config: dict[str, Any]
    parameters: int
    file_bytes: int


EMBEDDED = {
    "smollm2-135m": Known(
        {
            "model_type": "llama",
            "num_hidden_layers": 30,
            "hidden_size": 576,
            "intermediate_size": 1536,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "vocab_size": 49152,
            "rms_norm_eps": 1e-5,
            "hidden_act": "silu",
            "tie_word_embeddings": True,
        },
        parameters=134_515_008,
        file_bytes=4 * 134_515_008,
    ),
    "gemma-3-270m": Known(
        {
            "model_type": "gemma3_text",
            "num_hidden_layers": 18,
            "hidden_size": 640,
            "intermediate_size": 2048,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "head_dim": 256,
            "vocab_size": 262144,
            "rms_norm_eps": 1e-6,
            "hidden_activation": "gelu_pytorch_tanh",
            "tie_word_embeddings": True,
        },
        parameters=268_098_176,
        file_bytes=4 * 268_098_176,
    ),
}
"""The embedded models by their names in the config, as their config.json says and with weights in float32."""


@cache
def known() -> dict[str, Known]:
    """Return the published config, parameter count and file size of each known model, by hub id."""
    import yaml

    entries = yaml.safe_load((Path(__file__).parent / "known_shapes.yaml").read_text(encoding="utf-8"))
    return {
        name: Known(entry["config"], entry["parameters"], round(entry["file_mb"] * 1e6))
        for entry in entries
        for name in entry["ids"]
    }


def shape_of(config: Config, model: str, models_folder: Path) -> Shape | None:
    """Return the shape of a model of the config, or None if it is not known before the model is fetched."""
    found = _shape_of(config, model, models_folder)
    if found is not None and config["models"][model].get("storage") == "bfloat16":
        return found._replace(file_bytes=found.model_bytes // 2)
    return found


def _shape_of(config: Config, model: str, models_folder: Path) -> Shape | None:
    """Return the shape of a model as it is before the stage fetch rounds its weights, or None if it is not known.

    The fetched folder comes first. Without it, the shape comes from the model's source: the local folder, the constants
    of an embedded model, the table of published shapes, or the model whose architecture a random model has.
    """
    entry = config["models"][model]
    fetched = _of_folder(models_folder / model_key(config, model))
    if fetched is not None:
        return fetched
    match entry["source"]:
        case "embedded":
            return shape_from(*EMBEDDED[entry["name"]])
        case "local":
            return _of_folder(Path(entry["path"]))
        case "random":
            like = _shape_of(config, entry["like"], models_folder)
            return None if like is None else like._replace(file_bytes=like.model_bytes)
        case _:
            published = known().get(str(entry.get("id")))
            return None if published is None else shape_from(*published)


def _of_folder(folder: Path) -> Shape | None:
    """Read the shape of the model in a Hugging Face folder; None if the folder does not exist or is incomplete."""
    from plateaus.sources.card import count_parameters

    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            return None
        parameters = sum(count_parameters(path) for path in files)
        return shape_from(config, parameters, sum(path.stat().st_size for path in files))
    except (OSError, ValueError, KeyError):
        return None
