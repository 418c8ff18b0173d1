"""Figure 9: how sensitive the MLP of each layer is to its input, along the path."""

from __future__ import annotations

from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.drawing import by_layer, layer_maps, panels, stacked, wording
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
    start = settings.trace_layer
    quantity = layer_maps.Quantity("|J| / mean", found)
    figure = layer_maps.draw(results, model, [quantity], start=start, colormap=settings.colormap)
    ranges = wording.listed(f"{by_layer.span(found[pair])} for {pair.markdown}" for pair in pairs)
    caption = (
        f"**Frobenius norm of the Jacobian of each MLP.** The Jacobian is that of the MLP together with its norm "
        f"layer. {layer_maps.reading(quantity.layers, start)} The means of the layers range {ranges}. "
        f"{panels.subject(results, model, pairs, stacked.places(len(pairs)))}"
    )
    said = wording.each([(pair.name, by_layer.peaks(found[pair])) for pair in pairs])
    alt = (
        f"{wording.plural(len(pairs), 'column')} of the Jacobian norm of the MLP for {model}: "
        f"{layer_maps.seen(quantity.layers)}. {said}"
    )
    return Drawing(figure, caption, alt, READS)
