"""Model folders in the Hugging Face layout, made from a random initialisation, a local folder or downloaded files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt", "vocab.txt",
    "tokenizer.model", "added_tokens.json",
)  # fmt: skip


def make_random(folder: Path, like: Path, seed: int) -> None:
    """Initialise the architecture in `like` afresh, by the library's own rule and a fixed seed, into `folder`."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from plateaus.sources.quiet import quiet_libraries

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

        from plateaus.sources.quiet import quiet_libraries

        with quiet_libraries():
            AutoTokenizer.from_pretrained(folder, local_files_only=True).save_pretrained(folder)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)
