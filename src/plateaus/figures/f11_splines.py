"""Figure 11: how densely the path crosses the hinges of the hidden units in the MLP of each layer."""

from __future__ import annotations

from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.drawing import by_layer, panels, style, wording
from plateaus.drawing.contract import Drawing, LeftOut, Settings

TITLE = "Spline density"
READS = (tables.ENDPOINTS, tables.INTERPOLATE, tables.SPLINE)
PER_MODEL = True


def draw(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    """Draw the spline density between steps over its mean along the path, one line per layer."""
    pairs = [panels.words(results, pair) for pair in settings.pairs]
    found = {pair: by_layer.profiles(results, model, tables.SPLINE, pair.id, "density") for pair in pairs}
    crossed = {pair: by_layer.profiles(results, model, tables.SPLINE, pair.id, "hamming") for pair in pairs}
    layers = sorted(found[pairs[0]])
    figure, axes = panels.grid(len(pairs), 2.9, extra=0.6)
    colours = style.layer_colours(settings.colormap, layers)
    for ax, pair in zip(axes, pairs, strict=True):
        by_layer.lines(ax, found[pair], colours)
        panels.frame(ax, pair)
    for ax in axes:
        ax.set_ylim(bottom=0)
    by_layer.name_axis(axes, "Density / mean density")
    panels.layer_bar(figure, axes, colours, layers, "Layer")
    means = {pair: sum(one.values.sum() for one in crossed[pair].values()) / len(layers) for pair in pairs}
    totals = wording.listed(f"{wording.significant(mean)} for {pair.markdown}" for pair, mean in means.items())
    caption = (
        f"**Spline density of each MLP.** The density is the number of hidden units whose pre-activation changes sign "
        f"from one step to the next, per unit of distance that the input of the MLP moves. There is one line per layer "
        f"({wording.layers(layers)}), divided by its mean along the path (1, dotted), with the path patched in at "
        f"layer {settings.trace_layer}. The number of sign changes along the whole path, averaged over the layers, is "
        f"{totals}. {panels.subject(results, model, pairs)}"
    )
    said = wording.each([(pair.name, by_layer.peaks(found[pair])) for pair in pairs])
    alt = (
        f"{wording.plural(len(pairs), 'panel')} of spline density over its mean against interpolation alpha for "
        f"{model}, with one line for each layer ({wording.layers(layers)}). {said}"
    )
    return Drawing(figure, caption, alt, READS)
