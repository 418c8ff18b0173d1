"""Figure 8: how far each layer's activations move in one interpolation step."""

from __future__ import annotations

import pandas as pd

from plateaus.data.results import Results
from plateaus.drawing import by_layer, layer_maps, panels, stacked, wording
from plateaus.drawing.by_layer import Profile, Profiles
from plateaus.drawing.contract import Drawing, LeftOut, Settings

TITLE = "Step sizes at every later layer"
READS = panels.READS
PER_MODEL = True


def steps_of(rows: pd.DataFrame) -> Profile:
    """Return the step sizes of the rows of one curve, one fewer than its points, at the middles of the steps."""
    alpha = panels.values(rows, "alpha")
    return Profile((alpha[:-1] + alpha[1:]) / 2, panels.values(rows, "step_size")[:-1])


def draw(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    """Draw the step sizes over their mean along the path, at each layer after the interpolation layer."""
    start = settings.trace_layer
    if start not in panels.interp_layers(results, model):
        return LeftOut(f"this run did not interpolate at layer {start}")
    layers = list(range(start + 1, panels.n_layers(results, model)))
    if not layers:
        return LeftOut(f"the model has no layer after layer {start}, at which the run interpolated")
    pairs = [panels.words(results, pair) for pair in settings.pairs]
    found: dict[panels.Words, Profiles] = {}
    for pair in pairs:
        of_pair = panels.split(results.curve(model, pair.id, interp_layer=start), "record_layer")
        found[pair] = {layer: steps_of(of_pair[layer]) for layer in layers}
        if any(not one.values.mean() > 0 for one in found[pair].values()):
            return LeftOut(f"the activations of pair {pair.id} do not move at all at some layer")
    quantity = layer_maps.Quantity("Step / mean", found)
    figure = layer_maps.draw(results, model, [quantity], start=start, colormap=settings.colormap)
    growth = f" {_growth(found, layers)}" if len(layers) > 1 else ""
    caption = (
        f"**Step sizes at every later layer.** A step size is the distance between the activations of two successive "
        f"steps, drawn at the middle of its step. {layer_maps.reading(layers, start)}{growth} "
        f"{panels.subject(results, model, pairs, stacked.places(len(pairs)))}"
    )
    said = wording.each([(pair.name, by_layer.peaks(found[pair])) for pair in pairs])
    alt = (
        f"{wording.plural(len(pairs), 'column')} of step sizes for {model}, interpolated at layer {start}: "
        f"{layer_maps.seen(layers)}. {said}"
    )
    return Drawing(figure, caption, alt, READS)


def _growth(found: dict[panels.Words, Profiles], layers: list[int]) -> str:
    said = [
        f"from {wording.significant(one[layers[0]].values.mean())} to "
        f"{wording.significant(one[layers[-1]].values.mean())} for {pair.markdown}"
        for pair, one in found.items()
    ]
    return f"From layer {layers[0]} to layer {layers[-1]} the mean step size changes {wording.listed(said)}."
