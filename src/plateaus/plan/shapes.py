"""Every model's sizes from files that are at hand or from the table of published ones; never from a network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from plateaus.config.models import model_key
from plateaus.config.reading import Config

GATED = {"llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "olmo", "olmo2", "smollm3"}
PARALLEL = {"gpt_neox"}
DIFFERENTIATED = {"gpt_neox", "qwen3", "gemma2", "olmo2"}
"""Model types whose attention has no closed-form Jacobian here, as the trial in `attention_jacobian` finds."""

EMBEDDED: dict[str, Any] = {
    "model_type": "llama",
    "num_hidden_layers": 30,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
}
"""The configuration of SmolLM2-135M."""
EMBEDDED_PARAMETERS = 134_515_008


class Shape(NamedTuple):
    """The sizes of a model that its cost follows from.

    Attributes:
        layers: Number of blocks.
        d_model: Width of the residual stream.
        d_mlp: Hidden units of one MLP.
        heads: Query heads.
        kv_heads: Key and value heads.
        d_head: Width of a head.
        vocabulary: Number of tokens.
        parameters: Numbers in the model, tied weights counted once.
        file_bytes: Size of the weights on disk.
        gated: Whether the MLP has a gate.
        parallel: Whether attention and MLP read the same vector.
        relu: Whether the MLP is piecewise linear, so that the table `neurons` has rows.
        closed: Whether attention's Jacobian is in closed form.
        centred: Whether the norm is LayerNorm, not RMSNorm.
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

    @property
    def attention_weights(self) -> int:
        """Weights of one attention: queries, keys, values and output."""
        return 2 * self.d_model * self.d_head * (self.heads + self.kv_heads)

    @property
    def mlp_inputs(self) -> int:
        """Number of weight matrices that read the MLP's input: 2 in gated MLPs."""
        return 2 if self.gated else 1

    @property
    def mlp_weights(self) -> int:
        """Weights of one MLP."""
        return (self.mlp_inputs + 1) * self.d_model * self.d_mlp

    @property
    def model_bytes(self) -> int:
        """The model in memory, float32."""
        return 4 * self.parameters

    def bytes_per_row(self, prefix: int) -> int:
        """As `Transformer.bytes_per_row`, by which the stages cut their rows into chunks."""
        attention = 2 * self.heads * (prefix + 1) + 4 * (prefix + 1) * self.d_model
        return 4 * 2 * (8 * self.d_model + 4 * self.d_mlp + attention)


def shape_from(config: Mapping[str, Any], parameters: int, file_bytes: int) -> Shape:
    """The shape of a model from its `config.json`.

    Args:
        config: As Hugging Face writes it.
        parameters: Number of parameters.
        file_bytes: Size of the weights on disk.

    Raises:
        KeyError: the file names its sizes in no way known here.
    """

    def first(*names: str) -> Any:
        return next((config[name] for name in names if config.get(name) is not None), None)

    layers, d_model = first("num_hidden_layers", "n_layer"), first("hidden_size", "n_embd")
    heads = first("num_attention_heads", "n_head")
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
    )


class Known(NamedTuple):
    """One entry of `known_shapes.yaml`."""

    config: dict[str, Any]
    parameters: int
    file_bytes: int


@cache
def known() -> dict[str, Known]:
    """Hub id to what is published of it."""
    import yaml

    entries = yaml.safe_load((Path(__file__).parent / "known_shapes.yaml").read_text(encoding="utf-8"))
    return {
        name: Known(entry["config"], entry["parameters"], round(entry["file_mb"] * 1e6))
        for entry in entries
        for name in entry["ids"]
    }


def shape_of(config: Config, model: str, models_folder: Path) -> Shape | None:
    """The shape of a model of the config, or None where it cannot be known before the model is fetched."""
    found = _shape_of(config, model, models_folder)
    if found is not None and config["models"][model].get("storage") == "bfloat16":
        return found._replace(file_bytes=found.model_bytes // 2)
    return found


def _shape_of(config: Config, model: str, models_folder: Path) -> Shape | None:
    """The same, as it is before fetch rounds it.

    Looked for in the fetched folder, then by source: the local folder, the embedded model's constants, the table of
    published shapes, or the model that a random one is like.
    """
    entry = config["models"][model]
    fetched = _of_folder(models_folder / model_key(config, model))
    if fetched is not None:
        return fetched
    match entry["source"]:
        case "embedded":
            return shape_from(EMBEDDED, EMBEDDED_PARAMETERS, 4 * EMBEDDED_PARAMETERS)
        case "local":
            return _of_folder(Path(entry["path"]))
        case "random":
            like = _shape_of(config, entry["like"], models_folder)
            return None if like is None else like._replace(file_bytes=like.model_bytes)
        case _:
            published = known().get(str(entry.get("id")))
            return None if published is None else shape_from(*published)


def _of_folder(folder: Path) -> Shape | None:
    """The shape of a Hugging Face folder, fetched or local; None where there is no such folder or it is not whole."""
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
