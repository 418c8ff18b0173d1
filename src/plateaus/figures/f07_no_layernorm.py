"""Figure 7: the curve of the logits without the norms' part in it."""

from __future__ import annotations

from plateaus.figures import f06_freezing, frozen, panels, wording
from plateaus.figures.contract import Drawing, LeftOut, Settings
from plateaus.results import Results

TITLE = "Without LayerNorm"
READS = frozen.READS
PER_MODEL = True


def draw(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    """The baseline and the run in which every norm's scale stays at its mean over the steps."""
    layer = settings.trace_layer
    if layer not in frozen.layers(results, model):
        return LeftOut(f"freeze.layers does not name layer {layer}")
    if "norm_mean" not in frozen.conditions(results, model):
        return LeftOut("freeze.conditions does not name norm_mean")
    pairs = [panels.words(results, pair) for pair in settings.pairs]
    figure, axes = panels.grid(len(pairs), 2.9, extra=0.4)
    found = []
    for ax, pair in zip(axes, pairs, strict=True):
        found.append((pair, frozen.lay_over(ax, results, model, pair.id, ["none", "norm_mean"], layer)))
        panels.frame(ax, pair)
    panels.distance_axis(axes)
    frozen.legend(figure, axes)
    widths = "; ".join(f"{pair.markdown}: {f06_freezing.said(measured)}" for pair, measured in found)
    caption = (
        f"**Relative distance of the logits with every norm's scale frozen** at its mean over the steps, in all layers "
        f"after layer {layer} and before the unembedding: what is left is what does not need the norm to rescale. "
        f"Width of the boundary, w: {widths}. Dotted: a straight line. {panels.subject(results, model, pairs)}"
    )
    alt = (
        f"{wording.plural(len(pairs), 'panel')} of relative distance of the logits against interpolation alpha for "
        f"{model}, interpolated at layer {layer}, with and without frozen norm scales. "
        f"{wording.each([(pair.name, f06_freezing.said(measured)) for pair, measured in found])}"
    )
    return Drawing(figure, caption, alt, READS)
