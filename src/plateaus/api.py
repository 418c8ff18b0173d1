"""The package's public functions, which `import plateaus` offers for use in a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from plateaus.config.models import model_key, weights_of
from plateaus.curves.sharpness import Sharpness, measure_one
from plateaus.data.results import Results
from plateaus.errors import InputError
from plateaus.prompts.pairs import Pair, check_pair, tokenise_with_file
from plateaus.run.golden import of_run
from plateaus.sources import embedded

if TYPE_CHECKING:
    import pandas as pd

    from plateaus.model.transformer import Transformer


def load_model(
    source: str | Path = embedded.DEFAULT,
    *,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    centre: bool = False,
    models_folder: str | Path = "resources/models",
) -> Transformer:
    """Load an embedded model, or a model from a folder.

    Args:
        source: ``smollm2-135m`` or ``gemma-3-270m``, the embedded models, or the path of a Hugging Face folder with
            safetensors and a tokenizer.
        device: The device to compute on; ``auto`` uses a GPU if the machine has one.
        centre: Whether to remove the mean over d_model from everything that is written to the residual stream, as
            the post does (only for models with LayerNorm; the logits stay the same).
        models_folder: Where the workflow keeps fetched models; an embedded model is written there on first use.

    Returns:
        The model, on its device.

    Raises:
        InputError: the folder does not hold a complete model, the embedded model's package is not installed, or this
            machine does not have the device.
    """
    from plateaus.model.transformer import Transformer
    from plateaus.sources.checks import check_local
    from plateaus.sources.quiet import go_offline
    from plateaus.sources.refusals import check_config
    from plateaus.stages.fetch import make_model

    go_offline()
    if source in embedded.MODELS:
        name = str(source)
        config = {"models": {name: {"source": "embedded", "name": name}}}
        folder = Path(models_folder) / model_key(config, name)
        if not (folder / "card.json").is_file():
            make_model(name, weights_of(config, name), folder)
    else:
        folder = Path(source)
        check_local(folder, str(source))
        check_config(folder, str(source))
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
    """Measure how far a model's outputs have moved from prompt A to prompt B, along the path between the two.

    Args:
        model: A model from `load_model`.
        context: The text that both prompts begin with, after any begin-of-sequence token that the model's own tokenizer
            adds.
        a: Last word of prompt A, a single token after the context and a space.
        b: Last word of prompt B, also a single token.
        layer: The layer at whose resid_post the path is patched in, at the last token.
        record: Where outputs are recorded: the number of a layer for its resid_post, ``logits``, or ``all`` sites.
        steps: Number of points on the path, evenly spaced in alpha from 0 to 1.
        path: ``spherical`` (directions by slerp, lengths linear) or ``linear``.
        freeze: The freezing condition in every later layer; one of `plateaus.model.freezing.CONDITIONS`.

    Returns:
        One row per recording site and step, with the columns of the table `freeze` (see `plateaus.data.schemas`).
        They include alpha and distance, which is |x - A| / (|x - A| + |x - B|): 0 at prompt A and 1 at prompt B.

    Raises:
        InputError: the prompts do not differ in exactly their last token, the model has no such layer, or there is
            no such condition.
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
    (tokenised,) = tokenise_with_file([pair], model.folder / "tokenizer.json", model.folder.name)
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
    """Measure how sharp one curve is: the width w of its boundary, its midpoint, its rests and its largest slope.

    Args:
        curve: The rows of one recording site, as `curve` returns them, with the columns alpha and distance.

    Returns:
        The measures, in units of alpha unless `plateaus.curves.sharpness.Sharpness` says otherwise.

    Raises:
        ValueError: alpha does not rise from 0 to 1, for example because the rows of several curves were given.
    """
    return measure_one(curve["alpha"].to_numpy(), curve["distance"].to_numpy())


def read_run(folder: str | Path) -> Results:
    """Open the tables of a finished run.

    Args:
        folder: The results folder of the run, such as results/default.

    Returns:
        An object that reads the run's tables when they are asked for.

    Raises:
        InputError: the run has not finished.
    """
    return of_run(Path(folder))
