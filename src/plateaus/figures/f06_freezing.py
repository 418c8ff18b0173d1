"""Figure 6: the curve of the logits with attention or the MLPs frozen."""

from __future__ import annotations

from plateaus.curves.sharpness import Sharpness
from plateaus.data.results import Results
from plateaus.drawing import frozen, panels, wording
from plateaus.drawing.contract import Drawing, LeftOut, Settings

TITLE = "Freezing attention and the MLPs"
READS = frozen.READS
PER_MODEL = True
SHOWN = ("none", "attn_mean", "attn_secant", "mlp_mean", "mlp_secant", "attn_mlp_mean")


def draw(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    """Draw one panel per pair, with one line per freezing condition."""
    layer = settings.trace_layer
    if layer not in frozen.layers(results, model):
        return LeftOut(f"freeze.layers does not name layer {layer}")
    names = [name for name in SHOWN if name in frozen.conditions(results, model)]
    if len(names) == 1:
        return LeftOut("freeze.conditions names neither attention nor the MLPs")
    pairs = [panels.words(results, pair) for pair in settings.pairs]
    figure, axes = panels.grid(len(pairs), 2.9, extra=0.75)
    found: list[tuple[panels.Words, dict[str, Sharpness[float]]]] = []
    for ax, pair in zip(axes, pairs, strict=True):
        found.append((pair, frozen.lay_over(ax, results, model, pair.id, names, layer)))
        panels.frame(ax, pair)
    panels.distance_axis(axes)
    frozen.legend(figure, axes)
    widths = "; ".join(f"{pair.markdown}: {said(measured)}" for pair, measured in found)
    caption = (
        f"**Relative distance of the logits with a component frozen.** The path is patched in at layer {layer}, and "
        f"the component is frozen in every later layer. Its output is held at its mean over the steps (as in the "
        f"post), or it follows the secant, the straight line between its outputs in the two prompts (ours, dashed). "
        f"The boundaries of the curves have these widths w. {widths}. The thin dotted line is d = alpha. "
        f"{panels.subject(results, model, pairs)}"
    )
    alt = (
        f"{wording.plural(len(pairs), 'panel')} of relative distance of the logits against interpolation alpha for "
        f"{model}, interpolated at layer {layer}, with one line for each way of freezing a component. The boundaries "
        f"have these widths w. "
        f"{wording.each([(pair.name, said(measured)) for pair, measured in found])}"
    )
    return Drawing(figure, caption, alt, READS)


def said(measured: dict[str, Sharpness[float]]) -> str:
    """Say in words how wide the boundary of every curve is."""
    return wording.listed(f"{wording.number(one.w)} with {frozen.LOOKS[name].label}" for name, one in measured.items())
