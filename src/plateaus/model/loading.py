"""Load a model folder into TransformerLens' bridge, on a device of this machine."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from plateaus.errors import InputError
from plateaus.model import accelerators, architecture, bfloat16


def pick_device(name: str) -> torch.device:
    """Return the device with this name, and of several CUDA devices the first one that no other job holds.

    Args:
        name: ``auto``, ``cpu``, ``cuda`` or ``mps``; ``auto`` is a GPU if there is one, and otherwise the CPU.

    Raises:
        InputError: if this machine has no such device.
    """
    have = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if have[kind])
    if not have[name]:
        raise InputError(f"compute.device: {name} is not available on this machine: use auto or cpu")
    if name == "cuda" and torch.cuda.device_count() > 1:
        return torch.device(name, accelerators.claim(torch.cuda.device_count()))
    return torch.device(name)


def boot(folder: Path, device: torch.device, centre: bool) -> Any:
    """Load the model and return TransformerLens' bridge around it; the arguments are those of `Transformer.load`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # raised by these imports
        from transformer_lens.model_bridge import TransformerBridge
        from transformers import AutoModelForCausalLM, AutoTokenizer

    from plateaus.sources.quiet import quiet_libraries

    narrow = bfloat16.stored(folder)
    dtype = torch.bfloat16 if narrow else torch.float32
    with quiet_libraries():
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            attn_implementation="eager",
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
        )
        model.requires_grad_(False)
        torch.nn.Module.to(model, device)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model.config.architectures = [type(model).__name__]
        bridge = TransformerBridge.boot_transformers(
            str(folder), hf_model=model, tokenizer=tokenizer, device=str(device), dtype=dtype
        )
        architecture.complete_norms(bridge)
        if narrow:
            bfloat16.widen_vectors(bridge)
            architecture.restore_scales(bridge)
        architecture.prove_linear(bridge, str(folder))
        if centre:
            bridge.enable_compatibility_mode(fold_ln=False, center_unembed=False)
        if narrow:
            bfloat16.widen_when_read(bridge)
    bridge.eval()
    return bridge
