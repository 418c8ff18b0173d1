"""Footnote 10: in a ReLU model, the MLP's Jacobian depends on which neurons are active; the effect of switching one."""

from __future__ import annotations

from typing import Any

import numpy as np

from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.drawing import by_layer, panels, stacked, style, wording
from plateaus.drawing.by_layer import Profile, Profiles
from plateaus.drawing.contract import Drawing, LeftOut, Settings

TITLE = "Active neurons and the Jacobian"
READS = (tables.ENDPOINTS, tables.INTERPOLATE, tables.JACOBIAN, tables.NEURONS)
PER_MODEL = True


def draw(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    """Draw the Jacobian norm without the norm layer (above) and what switching the best neuron would add (below)."""
    neurons = results.table(model, tables.NEURONS)
    if neurons.empty:
        return LeftOut("its MLPs are not ReLU, so their Jacobian does not depend only on which neurons are active")
    if not by_layer.has_component(results, model, "mlp_fc"):
        return LeftOut("jacobian.components does not name mlp_fc")
    pairs = [panels.words(results, pair) for pair in settings.pairs]
    norms = {
        pair: by_layer.profiles(results, model, tables.JACOBIAN, pair.id, "frobenius", component="mlp_fc")
        for pair in pairs
    }
    gains = {pair: _switches(neurons[neurons["pair"] == pair.id], norms[pair]) for pair in pairs}
    layers = sorted(norms[pairs[0]])
    figure, axes = stacked.grid(len(pairs))
    colours = style.layer_colours(settings.colormap, layers)
    for column, pair in enumerate(pairs):
        by_layer.lines(axes[0][column], norms[pair], colours)
        panels.layer_lines(
            axes[1][column], ((layer, one.alpha, 100 * one.values) for layer, one in gains[pair].items()), colours
        )
    stacked.frames(axes, pairs)
    by_layer.name_axis(axes[0], "|J| / mean |J|")
    by_layer.name_axis(axes[1], "Best switch, % of |J|²")
    panels.layer_bar(figure, [ax for row in axes for ax in row], colours, layers, "Layer")
    most = wording.listed(
        f"{wording.number(100 * max(float(one.values.max()) for one in gains[pair].values()), 1)} % for {pair.markdown}"
        for pair in pairs
    )
    caption = (
        f"**Active neurons and the Jacobian of each MLP.** There is one line per layer. The top row shows the "
        f"Frobenius norm of the Jacobian of the MLP without its norm layer, over its mean along the path (1, dotted); "
        f"in a ReLU model it depends only on which neurons are active. The bottom row shows by what percentage |J|² "
        f"would rise if one neuron, the best one at that step, were switched. The largest rise is {most}. "
        f"{panels.subject(results, model, pairs, stacked.places(len(pairs)))}"
    )
    said = wording.each([(pair.name, by_layer.peaks(norms[pair])) for pair in pairs])
    alt = (
        f"Two rows of {wording.plural(len(pairs), 'panel')} against interpolation alpha for {model}: the Jacobian norm "
        f"from active neurons over its mean, and the rise of its square that switching the best neuron would "
        f"give, as a percentage. {said}"
    )
    return Drawing(figure, caption, alt, READS)


def _switches(rows: Any, norms: Profiles) -> Profiles:
    best = rows[rows["rank"] == 0]
    found = {}
    for layer, one in best.groupby("layer"):
        profile = norms[int(layer)]
        raised = np.clip(panels.values(one, "switch"), 0, None) / profile.values**2
        found[int(layer)] = Profile(profile.alpha, raised)
    return found
