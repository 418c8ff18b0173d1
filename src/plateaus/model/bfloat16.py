"""Keep weights in bfloat16 and compute in float32: half the disk space and memory, at the price of rounded weights.

The fetch stage rewrites the files once. In a loaded model every matrix stays in bfloat16 and is converted to float32
whenever a component reads it, so only one matrix at a time exists in both types. Vectors (biases and gains of norms)
are small and are converted permanently. The rest of the model needs no change: `module.weight` is a float32 tensor.
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
    """Round all weights of a Hugging Face folder to bfloat16, file by file; links are replaced, not followed."""
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            kept = {name: _rounded(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118  # not a mapping
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


def round_weights(module: torch.nn.Module) -> None:
    """Round all weights of a model in memory to what `store` would keep of them, leaving their type as it is."""
    for parameter in module.parameters():
        # A new tensor, because the weights may be the memory of a file that other jobs read.
        parameter.data = _rounded(parameter.data).to(parameter.dtype)


def stored(folder: Path) -> bool:
    """Return whether fetch made this folder with `storage: bfloat16`, according to the folder's card.json."""
    try:
        source = json.loads((folder / CARD).read_text(encoding="utf-8"))["source"]
    except (OSError, ValueError, KeyError):
        return False
    return bool(source.get("storage") == "bfloat16")


def widen_vectors(module: torch.nn.Module) -> None:
    """Convert one-dimensional parameters and all floating-point buffers to float32, in place."""
    for parameter in module.parameters():
        if parameter.dim() < 2:
            parameter.data = parameter.data.float()
    for buffer in module.buffers():
        if buffer.is_floating_point():
            buffer.data = buffer.data.float()


def widen_when_read(module: torch.nn.Module) -> None:
    """Replace every bfloat16 parameter in a module by a property that converts it to float32 each time it is read."""
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
        # The class keeps its name because libraries identify components by it.
        part.__class__ = type(kind.__name__, (kind,), {name: property(_widened(name)) for name in names})


def _kept(name: str) -> str:
    return f"{name}_in_bfloat16"


def _widened(name: str) -> Any:
    def read(module: torch.nn.Module) -> Tensor:
        kept: Tensor = getattr(module, _kept(name))
        return kept.float()

    return read
