"""Checks of model folders that need no model to be loaded: the files are complete, and LayerNorm is as configured."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from plateaus.errors import InputError

TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt", "tokenizer.model")
"""Files that hold a tokenizer; a folder without any of them has none."""


def check_local(folder: Path, model: str) -> None:
    """Check a Hugging Face folder before anything is loaded: all files are there and can be read.

    Args:
        folder: The folder.
        model: Id of the model, for the message.

    Raises:
        InputError: names the model and the file, and says how to mend it.
    """
    where = f"model {model}: {folder}"
    if not folder.is_dir():
        raise InputError(f"{where} is not a folder: set models.{model}.path to the path of a Hugging Face model folder")
    try:
        json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{where} has no config.json: give the folder that save_pretrained wrote") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{where}/config.json cannot be read ({error}): copy the file again") from None
    shards = sorted(folder.glob("*.safetensors"))
    if not shards:
        pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(pattern))
        if pickles:
            raise InputError(
                f"{where} has its weights only as a pickle ({pickles[0]}), which can run code when it is opened: "
                "if you trust it, convert it with "
                "AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new_folder)"
            )
        raise InputError(f"{where} has no *.safetensors file: copy the weights into it")
    for shard in shards:
        check_safetensors(shard, model)
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise InputError(f"{where} has no tokenizer (tokenizer.json): add it with tokenizer.save_pretrained(folder)")


def check_safetensors(path: Path, model: str) -> None:
    """Check the header of a safetensors file against the file size, to find a truncated or overwritten file.

    The weights themselves are not read.

    Raises:
        InputError: names the model and the file, and says how to mend it.
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
            f"model {model}: {path} is not a complete safetensors file ({problem}): copy or download it again"
        )


LN_FREE_EPS = 1e11
"""From this epsilon on, LayerNorm no longer normalises its input. Published LN-free checkpoints have 1e12."""


def check_layernorm(folder: Path, removed: bool, model: str) -> None:
    """Check that the LayerNorm in a folder's config.json is the one that the config declares, before weights are read.

    Args:
        folder: A Hugging Face folder.
        removed: Whether the config says `layernorm: removed`.
        model: Id of the model, for the message.

    Raises:
        InputError: a stock model is declared LN-free, an LN-free model is not declared so, or an LN-free checkpoint
            is stored in float16.
    """
    told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    name = next((key for key in ("layer_norm_epsilon", "layer_norm_eps") if key in told), None)
    eps = float(told[name]) if name is not None else None
    if removed and (eps is None or eps < LN_FREE_EPS):
        has = f"{name} {eps:g}" if name is not None else "no LayerNorm epsilon"
        raise InputError(
            f"model {model}: {folder}/config.json has {has}, so its norms still normalise their input, but "
            f"models.{model}.layernorm says removed: delete that line, or give an LN-free checkpoint "
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


def check_folder(folder: Path) -> None:
    """Check that a fetched folder still has every file of its card, with the size that the card gives.

    Raises:
        InputError: a file is missing or has another size.
    """
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    for name, entry in card["files"].items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != entry["bytes"]:
            raise InputError(f"{path} is missing or has changed since it was fetched: delete {folder} and run again")
