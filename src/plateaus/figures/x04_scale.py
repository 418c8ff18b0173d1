"""The sharpness of the trained models of the run, against their size."""

from __future__ import annotations

from plateaus.data.results import Results
from plateaus.drawing import across, wording
from plateaus.drawing.contract import Drawing, LeftOut, Settings

TITLE = "Sharpness over model sizes"
READS = across.READS
PER_MODEL = False


def sizes(settings: Settings) -> dict[str, float]:
    """Map the trained models with LayerNorm that are not checkpoints of a series to their numbers of weights.

    Only the first model of each size is taken, because the others are variants of it.
    """
    found: dict[float, str] = {}
    for model, about in settings.models.items():
        if about.trained and about.layernorm and not about.series and about.parameters:
            found.setdefault(float(about.parameters), model)
    return {model: size for size, model in found.items()}


def draw(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    """Draw one point per model and shown pair."""
    found = across.points(results, settings, sizes(settings))
    if len(found) < 2:
        return LeftOut("this run has trained models of fewer than two sizes")
    figure, ax = across.frame()
    across.draw(ax, found, results, settings)
    ax.set_xscale("log")
    ax.set_xlabel("Weights of the model")
    ax.set_xticks([point.x for point in found], [_short(point.x) for point in found])
    ax.set_xticks([], minor=True)
    ax.legend(loc="best")
    models = wording.listed(f"`{point.model}` ({_short(point.x)})" for point in found)
    caption = f"**Width of the boundary against model size.** The models are {models}. {across.reading(settings)}"
    alt = (
        f"The width of the boundary at the logits against the number of weights of {len(found)} models. "
        f"{wording.each(across.ends(found, results, settings))}"
    )
    return Drawing(figure, caption, alt, READS, whole=True)


def _short(parameters: float) -> str:
    return f"{parameters / 1e9:.2g} B" if parameters >= 1e9 else f"{max(parameters / 1e6, 0.01):.3g} M"
