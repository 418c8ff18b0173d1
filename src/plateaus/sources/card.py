"""The card of a model folder (card.json), which records the origin, the shape and the files of the model."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from plateaus.data.canonical import digest, file_digest
from plateaus.sources import bos, config_json


def describe(
    folder: Path, name: str, source: dict[str, Any], licence: str, commit: str | None = None
) -> dict[str, Any]:
    """Return the card of a model folder: its name, origin and shape, and the sha256 and size of every file.

    Args:
        folder: A complete model folder, whose card.json is ignored if it has one.
        name: Name of the model for readers.
        source: The slice of the config that stage fetch is given.
        licence: Licence of the weights, or ``unknown``.
        commit: For a model of the hub, the commit that its revision resolved to.

    Returns:
        A dictionary that can be written as JSON. Its `weights_sha256` is one hash over config.json and the weights, its
        `bos` is what the tokenizer itself puts before every text, and sizes are in bytes.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    files = {
        path.name: {"sha256": file_digest(path), "bytes": path.stat().st_size}
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != "card.json"
    }

    def first(*names: str) -> Any:
        return next((config[name] for name in names if config.get(name) is not None), None)

    width = first("hidden_size", "n_embd", "d_model")
    heavy = {
        name: entry["sha256"] for name, entry in files.items() if name.endswith(".safetensors") or name == "config.json"
    }
    return {
        "name": name,
        "source": source,
        "licence": licence,
        **({} if commit is None else {"commit": commit}),
        "architecture": (config.get("architectures") or [config.get("model_type", "unknown")])[0],
        "layers": first(*config_json.LAYERS),
        "d_model": width,
        "d_mlp": first("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size") or 4 * (width or 0),
        "heads": first(*config_json.HEADS),
        "vocabulary": config.get("vocab_size"),
        "bos": bos.text_of(folder, bos.AUTO, name),
        "activation": first("hidden_activation", "hidden_act", "activation_function"),
        "norm": "RMSNorm" if "rms_norm_eps" in config else "LayerNorm",
        "parameters": sum(count_parameters(folder / name) for name in files if name.endswith(".safetensors")),
        "weights_sha256": digest(heavy),
        "files": files,
    }


def count_parameters(path: Path) -> int:
    """Return the number of parameters in a safetensors file, from its header."""
    with path.open("rb") as handle:
        (length,) = struct.unpack("<Q", handle.read(8))
        header = json.loads(handle.read(length))
    total = 0
    for name, part in header.items():
        if name != "__metadata__":
            size = 1
            for extent in part["shape"]:
                size *= extent
            total += size
    return total
