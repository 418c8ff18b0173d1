"""Figure 9: how sensitive the MLP of each layer is to its input, along the path."""

from __future__ import annotations

from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.drawing import by_layer, panels, style, wording
from plateaus.drawing.contract import Drawing, LeftOut, Settings

TITLE = "Jacobian norms of the MLPs"
READS = (tables.ENDPOINTS, tables.INTERPOLATE, tables.JACOBIAN)
PER_MODEL = True


def draw(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    """Draw the Frobenius norm of the Jacobian of each MLP with its norm layer, over its mean along the path."""
    if not by_layer.has_component(results, model, "mlp"):
        return LeftOut("jacobian.components does not name mlp")
    pairs = [panels.words(results, pair) for pair in settings.pairs]
    found = {
        pair: by_layer.profiles(results, model, tables.JACOBIAN, pair.id, "frobenius", component="mlp")
        for pair in pairs
    }
    layers = sorted(found[pairs[0]])
    figure, axes = panels.grid(len(pairs), 2.9, extra=0.6)
    colours = style.layer_colours(settings.colormap, layers)
    for ax, pair in zip(axes, pairs, strict=True):
        by_layer.lines(ax, found[pair], colours)
        panels.frame(ax, pair)
    by_layer.name_axis(axes, "|J| / mean |J|")
    panels.layer_bar(figure, axes, colours, layers, "Layer")
    ranges = wording.listed(f"{by_layer.span(found[pair])} for {pair.markdown}" for pair in pairs)
    caption = (
        f"**Frobenius norm of the Jacobian of each MLP.** The Jacobian is that of the MLP together with its norm "
        f"layer. There is one line per layer ({wording.layers(layers)}), with the path patched in at layer "
        f"{settings.trace_layer}. Each line is divided by its mean along the path, so that 1 (dotted) is a sensitivity "
        f"that does not change. The means of the layers range {ranges}. {panels.subject(results, model, pairs)}"
    )
    said = wording.each([(pair.name, by_layer.peaks(found[pair])) for pair in pairs])
    alt = (
        f"{wording.plural(len(pairs), 'panel')} of the Jacobian norm of the MLP over its mean against interpolation "
        f"alpha for {model}, with one line for each layer ({wording.layers(layers)}). {said}"
    )
    return Drawing(figure, caption, alt, READS)
