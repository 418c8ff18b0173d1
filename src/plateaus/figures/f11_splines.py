"""Figure 11: how densely the hinges of each layer's MLP lie along the path."""

from __future__ import annotations

from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.drawing import by_layer, panels, style, wording
from plateaus.drawing.contract import Drawing, LeftOut, Settings

TITLE = "Spline density"
READS = (tables.ENDPOINTS, tables.INTERPOLATE, tables.SPLINE)
PER_MODEL = True


def draw(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    """Units that change sides per unit of input moved, over its mean along the path, between steps."""
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
        f"**Spline density of each MLP**: hidden units whose pre-activation changes sign from one step to the next, "
        f"per unit of distance that the MLP's input moves, at layers {wording.layers(layers)}, interpolating at layer "
        f"{settings.trace_layer}; divided by its mean along the path (dotted: 1). Along the whole path a layer's units "
        f"change sides {totals} times on average. {panels.subject(results, model, pairs)}"
    )
    said = wording.each([(pair.name, by_layer.peaks(found[pair])) for pair in pairs])
    alt = (
        f"{wording.plural(len(pairs), 'panel')} of spline density over its mean against interpolation alpha for "
        f"{model}, one line per layer ({wording.layers(layers)}). {said}"
    )
    return Drawing(figure, caption, alt, READS)
