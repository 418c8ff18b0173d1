"""Make model folders in the Hugging Face layout, from a random initialisation, a local folder or downloaded files."""

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
    """Write a model with random weights and the tokenizer of `like` into `folder`.

    Args:
        folder: An empty folder.
        like: Folder of the model whose architecture and tokenizer are used.
        seed: Seed of the initialisation, which follows the rule that transformers has for the architecture.
    """
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
    """Link the weights of the Hugging Face folder `source` into `folder`, and copy its config and tokenizer files."""
    weights = [
        path.name for pattern in ("*.safetensors", "*.safetensors.index.json") for path in sorted(source.glob(pattern))
    ]
    names = ("config.json", "generation_config.json", *weights, *TOKENIZER_FILES)
    make_linked(folder, {name: source / name for name in names if (source / name).is_file()})


def make_linked(folder: Path, files: Mapping[str, Path]) -> None:
    """Put files into `folder`, and write tokenizer.json if the tokenizer is in an older format.

    Weights are hard links, or copies if the file system cannot link them. The other files are small and always copied,
    because writing to a link would change the original file.

    Args:
        folder: An existing folder.
        files: File name in `folder` to the path of the original file.
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
