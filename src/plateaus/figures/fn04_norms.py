"""Footnote 4: the length of the residual vector along the path, and the sensitivity of the norm before the MLP."""

from __future__ import annotations

import numpy as np

from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.drawing import by_layer, layer_maps, panels, stacked, wording
from plateaus.drawing.by_layer import Profile, Profiles
from plateaus.drawing.contract import Drawing, LeftOut, Settings

TITLE = "Residual norms and the Jacobian of the norm"
READS = (tables.ENDPOINTS, tables.INTERPOLATE, tables.JACOBIAN)
PER_MODEL = True


def draw(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    """Draw |resid_post| (above) and the Frobenius norm of the norm's Jacobian (below), each over its mean."""
    if not settings.about(model).layernorm:
        return LeftOut("its LayerNorm was removed, so its norms are linear and do not rescale their input")
    if not by_layer.has_component(results, model, "norm"):
        return LeftOut("jacobian.components does not name norm")
    if settings.trace_layer not in panels.interp_layers(results, model):
        return LeftOut(f"this run did not interpolate at layer {settings.trace_layer}")
    pairs = [panels.words(results, pair) for pair in settings.pairs]
    lengths = {pair: _lengths(results, model, pair.id, settings.trace_layer) for pair in pairs}
    jacobians = {
        pair: by_layer.profiles(results, model, tables.JACOBIAN, pair.id, "frobenius", component="norm")
        for pair in pairs
    }
    start = settings.trace_layer
    quantities = [layer_maps.Quantity("|resid| / mean", lengths), layer_maps.Quantity("|J| / mean", jacobians)]
    figure = layer_maps.draw(results, model, quantities, start=start, colormap=settings.colormap)
    layers = quantities[1].layers
    caption = (
        f"**Residual norms, and the Jacobian of the norm layer.** The upper half shows the length of the residual "
        f"vector after each layer, and the lower half the Frobenius norm of the Jacobian of the norm layer before the "
        f"MLP. {layer_maps.reading(layers, start)} "
        f"{panels.subject(results, model, pairs, stacked.places(len(pairs)))}"
    )
    said = wording.each(
        [(pair.name, f"{_dip(lengths[pair])}; for the Jacobian, {by_layer.peaks(jacobians[pair])}") for pair in pairs]
    )
    alt = (
        f"The length of the residual vector, and below it the Jacobian norm of the norm layer, for {model}, with "
        f"{wording.plural(len(pairs), 'column')} each: {layer_maps.seen(layers)}. {said}"
    )
    return Drawing(figure, caption, alt, READS)


def _lengths(results: Results, model: str, pair: str, start: int) -> Profiles:
    rows = results.curve(model, pair, interp_layer=start)
    return {
        int(one["record_layer"].iloc[0]): Profile(panels.values(one, "alpha"), panels.values(one, "norm"))
        for _, one in rows[rows["record_layer"] > start].groupby("record_layer")
    }


def _dip(found: Profiles) -> str:
    lowest = min(found, key=lambda layer: found[layer].relative.min())
    profile = found[lowest]
    at = float(profile.alpha[int(np.argmin(profile.values))])
    return (
        f"the residual vector is shortest, relative to its layer's mean, at layer {lowest} and alpha "
        f"{wording.number(at)}, where it is {wording.number(float(profile.relative.min()))} of the mean"
    )
