"""Figure 11: how densely the path crosses the hinges of the hidden units in the MLP of each layer."""

from __future__ import annotations

from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.drawing import by_layer, layer_maps, panels, stacked, wording
from plateaus.drawing.contract import Drawing, LeftOut, Settings

TITLE = "Spline density"
READS = (tables.ENDPOINTS, tables.INTERPOLATE, tables.SPLINE)
PER_MODEL = True


def draw(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    """Draw the spline density between steps over its mean along the path, by layer."""
    pairs = [panels.words(results, pair) for pair in settings.pairs]
    found = {pair: by_layer.profiles(results, model, tables.SPLINE, pair.id, "density") for pair in pairs}
    crossed = {pair: by_layer.profiles(results, model, tables.SPLINE, pair.id, "hamming") for pair in pairs}
    start = settings.trace_layer
    quantity = layer_maps.Quantity("Density / mean", found)
    figure = layer_maps.draw(results, model, [quantity], start=start, colormap=settings.colormap)
    layers = quantity.layers
    means = {pair: sum(one.values.sum() for one in crossed[pair].values()) / len(layers) for pair in pairs}
    totals = wording.listed(f"{wording.significant(mean)} for {pair.markdown}" for pair, mean in means.items())
    caption = (
        f"**Spline density of each MLP.** The density is the number of hidden units whose pre-activation changes sign "
        f"from one step to the next, per unit of distance that the input of the MLP moves. "
        f"{layer_maps.reading(layers, start)} The number of sign changes along the whole path, averaged over the "
        f"layers, is {totals}. {panels.subject(results, model, pairs, stacked.places(len(pairs)))}"
    )
    said = wording.each([(pair.name, by_layer.peaks(found[pair])) for pair in pairs])
    alt = f"{wording.plural(len(pairs), 'column')} of spline density for {model}: {layer_maps.seen(layers)}. {said}"
    return Drawing(figure, caption, alt, READS)
