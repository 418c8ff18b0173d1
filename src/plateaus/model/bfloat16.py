"""Weights kept in bfloat16, arithmetic in float32: half of the room on disk and in memory, and rounded weights.

Files are rewritten once, by fetch. Loaded, every matrix stays as it is stored and is widened to float32 whenever a
component reads it, so that one matrix at a time is there in both; vectors (biases and gains of norms), which take no
room, are widened for good. Nothing else of a model knows of it: `module.weight` is a float32 tensor as ever.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

CARD = "card.json"


def store(folder: Path) -> None:
    """Round all weights of a Hugging Face folder to bfloat16, file by file; links are replaced, not written through."""
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            kept = {name: _rounded(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118  # no mapping
            metadata = file.metadata()
        new = path.with_suffix(".tmp")
        save_file(kept, new, metadata=metadata)
        new.chmod(path.stat().st_mode)
        new.replace(path)
    config = folder / "config.json"
    told = json.loads(config.read_text(encoding="utf-8"))
    told.pop("torch_dtype", None)
    told["dtype"] = str(torch.bfloat16).removeprefix("torch.")
    config.write_text(json.dumps(told, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _rounded(weights: Tensor) -> Tensor:
    import torch

    return weights.to(torch.bfloat16) if weights.is_floating_point() else weights


def stored(folder: Path) -> bool:
    """Whether fetch has made this folder with `storage: bfloat16`."""
    try:
        source = json.loads((folder / CARD).read_text(encoding="utf-8"))["source"]
    except (OSError, ValueError, KeyError):
        return False
    return bool(source.get("storage") == "bfloat16")


def widen_vectors(module: torch.nn.Module) -> None:
    """Make parameters of one dimension, and all buffers, float32."""
    for parameter in module.parameters():
        if parameter.dim() < 2:
            parameter.data = parameter.data.float()
    for buffer in module.buffers():
        if buffer.is_floating_point():
            buffer.data = buffer.data.float()


def widen_when_read(module: torch.nn.Module) -> None:
    """Make every bfloat16 parameter below a module a float32 tensor that is made anew whenever it is read."""
    import torch

    for part in list(module.modules()):
        names = [name for name, value in part.named_parameters(recurse=False) if value.dtype == torch.bfloat16]
        if not names:
            continue
        for name in names:
            kept = getattr(part, name).data
            delattr(part, name)
            part.register_buffer(_kept(name), kept, persistent=False)
        kind: Any = type(part)
        # The class keeps its name, by which libraries ask what a component is.
        part.__class__ = type(kind.__name__, (kind,), {name: property(_widened(name)) for name in names})


def _kept(name: str) -> str:
    return f"{name}_in_bfloat16"


def _widened(name: str) -> Any:
    def read(module: torch.nn.Module) -> Tensor:
        kept: Tensor = getattr(module, _kept(name))
        return kept.float()

    return read
