"""Load a model folder into TransformerLens' bridge, on a device of this machine."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from plateaus.errors import InputError
from plateaus.model import accelerators, architecture, bfloat16, linear_norms


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


def boot(folder: Path, device: torch.device, centre: bool, *, rounded: bool = False) -> Any:
    """Load the model and return TransformerLens' bridge around it; the arguments are those of `Transformer.load`.

    Raises:
        InputError: the weights are incomplete, the bridge does not know the architecture, or norms that should be
            linear are not.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # raised by these imports
        from transformer_lens.model_bridge import TransformerBridge
        from transformers import AutoTokenizer

    from plateaus.sources.quiet import quiet_libraries

    narrow = bfloat16.stored(folder)
    dtype = torch.bfloat16 if narrow else torch.float32
    with quiet_libraries():
        model = plain(folder, device, dtype)
        if rounded:
            bfloat16.round_weights(model)
        architecture.plain_gelu(model)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        name = type(model).__name__
        model.config.architectures = [name]
        try:
            bridge = TransformerBridge.boot_transformers(
                str(folder), hf_model=model, tokenizer=tokenizer, device=str(device), dtype=dtype
            )
            missing = [part for part in ("blocks", "ln_final", "unembed") if not hasattr(bridge, part)]
        except (AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            if "memory" in str(error):
                raise
            raise InputError(f"TransformerLens cannot use {name} with the options in its config.json") from error
        if missing:
            raise InputError(f"TransformerLens finds no {missing[0]} in {name}")
        architecture.complete_norms(bridge)
        if narrow:
            bfloat16.widen_vectors(bridge)
            architecture.restore_scales(bridge.original_model)
        linear_norms.prove_linear(bridge, str(folder))
        if centre:
            bridge.enable_compatibility_mode(fold_ln=False, center_unembed=False)
        if narrow:
            bfloat16.widen_when_read(bridge)
    bridge.eval()
    return bridge


def plain(folder: Path, device: torch.device, dtype: torch.dtype = torch.float32) -> Any:
    """Load the model as transformers has it, for inference.

    Raises:
        InputError: weights of the architecture are missing in the folder; transformers would make them up at random.
    """
    from transformers import AutoModelForCausalLM

    loaded: Any = AutoModelForCausalLM.from_pretrained(
        folder,
        attn_implementation="eager",
        dtype=dtype,
        local_files_only=True,
        use_safetensors=True,
        output_loading_info=True,
    )
    model, told = loaded
    missing = sorted(told["missing_keys"])
    if missing:
        raise InputError(
            f"{folder} lacks {len(missing)} of the weights of {type(model).__name__}, such as {missing[0]}, which "
            "would be made up at random: give the folder of the whole model"
        )
    model.requires_grad_(False)
    torch.nn.Module.to(model, device)
    model.eval()
    return model


def plain_in_float32(folder: Path, device: torch.device) -> Any:
    """Load the model as transformers has it, computing in float32 whatever type its weights are stored in."""
    if not bfloat16.stored(folder):
        return plain(folder, device)
    model = plain(folder, device, torch.bfloat16)
    bfloat16.widen_vectors(model)
    architecture.restore_scales(model)
    bfloat16.widen_when_read(model)
    return model
