"""Model folders in the Hugging Face layout: made from each source, checked, and described by a card."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plateaus.canonical import digest, file_digest
from plateaus.errors import InputError

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt", "vocab.txt",
    "tokenizer.model", "added_tokens.json",
)  # fmt: skip
TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt", "tokenizer.model")
"""A folder with none of these has no tokenizer."""


# ---- checks that need no model ---------------------------------------------------------------------------------


def check_local(folder: Path, model: str) -> None:
    """Check a Hugging Face folder before anything is loaded: files present, safetensors whole, JSON readable.

    Raises:
        InputError: naming the model, the file and the mend.
    """
    where = f"model {model}: {folder}"
    if not folder.is_dir():
        raise InputError(f"{where} is not a folder: give models.{model}.path the path of a Hugging Face model folder")
    try:
        json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{where} has no config.json: give the folder that save_pretrained made") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{where}/config.json cannot be read ({error}): copy the file again") from None
    shards = sorted(folder.glob("*.safetensors"))
    if not shards:
        pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(pattern))
        if pickles:
            raise InputError(
                f"{where} has its weights only as a pickle ({pickles[0]}), which can run code when it is opened: "
                "convert it where you trust it, "
                "AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new_folder)"
            )
        raise InputError(f"{where} has no *.safetensors file: copy the weights into it")
    for shard in shards:
        check_safetensors(shard, model)
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise InputError(f"{where} has no tokenizer (tokenizer.json): copy it there, tokenizer.save_pretrained(folder)")


def check_safetensors(path: Path, model: str) -> None:
    """Check a safetensors file's header against its size: a cut or overwritten file is found without reading it.

    Raises:
        InputError: naming the file and the mend.
    """
    size = path.stat().st_size
    problem = None
    try:
        with path.open("rb") as handle:
            (length,) = struct.unpack("<Q", handle.read(8))
            if not 0 < length <= min(size - 8, 100_000_000):
                problem = "its header is damaged"
            else:
                header = json.loads(handle.read(length))
                ends = [part["data_offsets"][1] for name, part in header.items() if name != "__metadata__"]
                if 8 + length + max(ends, default=0) != size:
                    problem = f"it has {size} bytes instead of {8 + length + max(ends, default=0)}"
    except (OSError, struct.error, ValueError, KeyError, TypeError, AttributeError):
        problem = "its header is damaged"
    if problem:
        raise InputError(
            f"model {model}: {path} is not a whole safetensors file ({problem}): copy or download it again"
        )


LN_FREE_EPS = 1e11
"""From this epsilon on a LayerNorm no longer divides by what it reads: published LN-free checkpoints have 1e12."""


def check_layernorm(folder: Path, removed: bool, model: str) -> None:
    """Check that a folder's config.json has the LayerNorm that the config says, before any weight is read.

    Args:
        folder: A Hugging Face folder.
        removed: Whether the config says `layernorm: removed`.
        model: Id of the model, for the message.

    Raises:
        InputError: a stock model declared LN-free, or an LN-free one that is not declared so.
    """
    told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    name = next((key for key in ("layer_norm_epsilon", "layer_norm_eps") if key in told), None)
    eps = float(told[name]) if name is not None else None
    if removed and (eps is None or eps < LN_FREE_EPS):
        has = f"{name} {eps:g}" if name is not None else "no LayerNorm epsilon"
        raise InputError(
            f"model {model}: {folder}/config.json has {has}, so its norms do divide by what they read, but "
            f"models.{model}.layernorm says removed: take that line out, or give an LN-free checkpoint "
            "(such as schaeff/gpt2-large_LNFree600)"
        )
    if removed and str(told.get("dtype", told.get("torch_dtype"))).removeprefix("torch.") == "float16":
        raise InputError(
            f"model {model}: {folder} is stored in float16, in which the gains of an LN-free checkpoint (1e6 over a "
            "standard deviation) are infinite: use the checkpoint as published, in float32"
        )
    if not removed and eps is not None and eps >= LN_FREE_EPS:
        raise InputError(
            f"model {model}: {folder}/config.json has {name} {eps:g}, which makes its LayerNorm linear: "
            f"it is an LN-free checkpoint, so add `layernorm: removed` to models.{model}"
        )


# ---- making a folder -------------------------------------------------------------------------------------------


def make_random(folder: Path, like: Path, seed: int) -> None:
    """Initialise the architecture in `like` afresh, by the library's own rule and a fixed seed, into `folder`."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from plateaus.quiet import quiet_libraries

    with quiet_libraries():
        config = AutoConfig.from_pretrained(like, local_files_only=True)
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        model.save_pretrained(folder)
    for name in TOKENIZER_FILES:
        if (like / name).is_file():
            _link(like / name, folder / name)


def make_local(folder: Path, source: Path) -> None:
    """Link a Hugging Face folder's weights into `folder` (copied where the file system cannot link), with the rest."""
    weights = [
        path.name for pattern in ("*.safetensors", "*.safetensors.index.json") for path in sorted(source.glob(pattern))
    ]
    names = ("config.json", "generation_config.json", *weights, *TOKENIZER_FILES)
    make_linked(folder, {name: source / name for name in names if (source / name).is_file()})


def make_linked(folder: Path, files: Mapping[str, Path]) -> None:
    """Have files in `folder` by their names there, and make the tokenizer.json of an older tokenizer.

    Only weights are linked: the others are small, and a link that is written to would change the file it came from.
    """
    for name, path in files.items():
        (_link if name.endswith(".safetensors") else shutil.copyfile)(path, folder / name)
    if not (folder / "tokenizer.json").is_file():
        from transformers import AutoTokenizer

        from plateaus.quiet import quiet_libraries

        with quiet_libraries():
            AutoTokenizer.from_pretrained(folder, local_files_only=True).save_pretrained(folder)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


# ---- the card ----------------------------------------------------------------------------------------------------


def describe(
    folder: Path, name: str, source: dict[str, Any], licence: str, commit: str | None = None
) -> dict[str, Any]:
    """The card of a model folder: what it is, where it came from, its shape, and the sha256 and size of every file.

    Args:
        folder: A whole model folder without a card.
        name: What to call the model for people.
        source: The fetch slice.
        licence: Licence of the weights, or ``unknown``.
        commit: The commit of the repository that a revision of the hub stood for.

    Returns:
        A JSON-ready dictionary; `weights_sha256` is one hash over config and weights.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    files = {
        path.name: {"sha256": file_digest(path), "bytes": path.stat().st_size}
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != "card.json"
    }

    def first(*names: str) -> Any:
        return next((config[name] for name in names if config.get(name) is not None), None)

    heavy = {
        name: entry["sha256"] for name, entry in files.items() if name.endswith(".safetensors") or name == "config.json"
    }
    return {
        "name": name,
        "source": source,
        "licence": licence,
        **({} if commit is None else {"commit": commit}),
        "architecture": (config.get("architectures") or [config.get("model_type", "unknown")])[0],
        "layers": first("num_hidden_layers", "n_layer"),
        "d_model": first("hidden_size", "n_embd"),
        "d_mlp": first("intermediate_size", "n_inner", "ffn_dim") or 4 * (first("hidden_size", "n_embd") or 0),
        "heads": first("num_attention_heads", "n_head"),
        "vocabulary": config.get("vocab_size"),
        "activation": first("hidden_activation", "hidden_act", "activation_function"),
        "norm": "RMSNorm" if "rms_norm_eps" in config else "LayerNorm",
        "parameters": sum(count_parameters(folder / name) for name in files if name.endswith(".safetensors")),
        "weights_sha256": digest(heavy),
        "files": files,
    }


def count_parameters(path: Path) -> int:
    """Number of parameters in a safetensors file, from its header."""
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


def check_folder(folder: Path) -> None:
    """Check that a fetched folder still has every file of its card, in its size.

    Raises:
        InputError: a file is missing or has another size.
    """
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    for name, entry in card["files"].items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != entry["bytes"]:
            raise InputError(f"{path} is missing or has changed since it was fetched: delete {folder} and run again")
