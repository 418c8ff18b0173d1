"""The public face of the package: the functions that `import plateaus` offers for use in a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from plateaus.config.models import model_key
from plateaus.curves.sharpness import Sharpness, measure_one
from plateaus.data.results import Results
from plateaus.errors import InputError
from plateaus.prompts.pairs import Pair, check_pair, tokenise
from plateaus.run.golden import of_run

if TYPE_CHECKING:
    import pandas as pd

    from plateaus.model.transformer import Transformer

EMBEDDED = "smollm2-135m"
"""Name of the embedded model."""


def load_model(
    source: str | Path = EMBEDDED,
    *,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    centre: bool = False,
    models_folder: str | Path = "resources/models",
) -> Transformer:
    """Load a model.

    Args:
        source: ``smollm2-135m``, the embedded model, or the path of a Hugging Face folder with safetensors and a
            tokenizer.
        device: Where it computes; ``auto`` takes a GPU where there is one.
        centre: Whether to remove the mean over d_model from what is written to the residual stream, as the post does
            (LayerNorm models; the logits do not depend on it).
        models_folder: Where the workflow keeps the models that it has fetched; the embedded one is made there once.

    Raises:
        InputError: the folder is not a whole model, or the device is not on this machine.
    """
    from plateaus.model.transformer import Transformer
    from plateaus.sources.checks import check_local
    from plateaus.sources.quiet import go_offline
    from plateaus.stages.fetch import make_model

    go_offline()
    if source == EMBEDDED:
        weights = {"source": "embedded"}
        folder = Path(models_folder) / model_key({"models": {EMBEDDED: weights}}, EMBEDDED)
        if not (folder / "card.json").is_file():
            make_model(EMBEDDED, weights, folder)
    else:
        folder = Path(source)
        check_local(folder, str(source))
    return Transformer.load(folder, device=device, centre=centre)


def curve(
    model: Transformer,
    context: str,
    a: str,
    b: str,
    *,
    layer: int = 0,
    record: int | Literal["logits", "all"] = "logits",
    steps: int = 50,
    path: Literal["spherical", "linear"] = "spherical",
    freeze: str = "none",
) -> pd.DataFrame:
    """How far a model's outputs have moved from prompt A to prompt B, along the path between them.

    Args:
        model: See `load_model`.
        context: What both prompts begin with.
        a: Last word of prompt A, a single token after the context and a space.
        b: Last word of prompt B, likewise.
        layer: The layer at whose resid_post the path is patched in, at the last token.
        record: The layer at whose resid_post the outputs are recorded, ``logits``, or ``all`` of them.
        steps: Points of the path, from alpha 0 to 1.
        path: ``spherical`` (directions by slerp, lengths linear) or ``linear``.
        freeze: What is held still in every later layer; one of `plateaus.model.freezing.CONDITIONS`.

    Returns:
        One row per recording site and step, with the columns of the table `freeze` (see `plateaus.data.schemas`):
        among them alpha and distance, |x - A| / (|x - A| + |x - B|), from 0 at prompt A to 1 at prompt B.

    Raises:
        InputError: the prompts do not differ in exactly their last token, or there is no such layer or condition.
    """
    import pandas as pd
    import torch

    from plateaus.curves.layers import choose_layers
    from plateaus.model.freezing import CONDITIONS
    from plateaus.stages.freeze import freeze_pair

    if freeze not in CONDITIONS:
        raise InputError(f"freeze is '{freeze}': choose one of {', '.join(CONDITIONS)}")
    try:
        (chosen,) = choose_layers([layer], model.n_layers)
        site = choose_layers([record], model.n_layers)[0] if isinstance(record, int) else record
    except ValueError as error:
        raise InputError(str(error)) from None
    pair = Pair(f"{a}-{b}", context, a, b, "")
    check_pair(pair, "curve")
    tokenizer = model.bridge.tokenizer
    tokenised = tokenise(pair, lambda text: tokenizer.encode(text, add_special_tokens=False), model.token)
    prompts = ([*tokenised.prefix, token] for token in (tokenised.token_a, tokenised.token_b))
    residuals = torch.stack([model.run(prompt)[0] for prompt in prompts])
    columns = freeze_pair(
        model, tokenised, residuals, conditions=[freeze], layers=[chosen], steps=steps, path=path, memory_gb=0.5
    )
    frame = pd.DataFrame(columns)
    if site == "logits":
        frame = frame[frame["site"] == "logits"]
    elif site != "all":
        frame = frame[(frame["site"] == "resid_post") & (frame["record_layer"] == site)]
        if frame.empty:
            raise InputError(f"record is layer {site}, which comes before the interpolation layer {chosen}")
    return frame.reset_index(drop=True)


def sharpness(curve: pd.DataFrame) -> Sharpness[float]:
    """How sharp one curve is: width of its boundary w, midpoint, lengths of its rests, largest slope.

    Args:
        curve: The rows of one recording site, as `curve` returns them: columns alpha and distance.

    Raises:
        ValueError: alpha does not rise from 0 to 1, as where the rows of several curves are given.
    """
    return measure_one(curve["alpha"].to_numpy(), curve["distance"].to_numpy())


def read_run(folder: str | Path) -> Results:
    """The tables of a finished run.

    Args:
        folder: Its results folder, such as results/default.

    Raises:
        InputError: the run has not been finished.
    """
    return of_run(Path(folder))
