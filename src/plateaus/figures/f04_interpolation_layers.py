"""Figure 4: the curve at the last layer for every interpolation layer."""

from __future__ import annotations

from plateaus.curves.sharpness import Sharpness
from plateaus.data.results import Results
from plateaus.drawing import panels, style, wording
from plateaus.drawing.contract import Drawing, LeftOut, Settings

TITLE = "Relative distance at the last layer, by interpolation layer"
READS = panels.READS
PER_MODEL = True


def draw(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    """Draw the curve of resid_post at the last layer, one line per interpolation layer before it."""
    last = panels.n_layers(results, model) - 1
    layers = [layer for layer in panels.interp_layers(results, model, settings.pairs) if layer < last]
    if len(layers) < 2:
        return LeftOut(f"this run interpolated at fewer than two layers before the last one (layer {last})")
    pairs = [panels.words(results, pair) for pair in settings.pairs]
    figure, axes = panels.grid(len(pairs), 2.9, extra=0.6)
    colours = style.layer_colours(settings.colormap, layers)
    found: list[tuple[panels.Words, Sharpness[float], Sharpness[float]]] = []
    for ax, pair in zip(axes, pairs, strict=True):
        of_pair = results.curve(model, pair.id, record_layer=last)
        curves = {layer: of_pair[of_pair["interp_layer"] == layer] for layer in layers}
        # Early layers are in front, because their curves differ most from the line d = alpha.
        panels.layer_lines(
            ax,
            (
                (layer, panels.values(rows, "alpha"), panels.values(rows, "distance"))
                for layer, rows in reversed(curves.items())
            ),
            colours,
        )
        for line, layer in zip(ax.lines[-len(layers) :], reversed(layers), strict=True):
            line.set_zorder(3 - layer / 1000)
        panels.frame(ax, pair)
        found.append((pair, panels.measured(curves[layers[0]]), panels.measured(curves[layers[-1]])))
    panels.distance_axis(axes)
    panels.layer_bar(figure, axes, colours, layers, "Interpolation layer")
    caption = (
        f"**Relative distance at the last layer, by interpolation layer.** There is one line per interpolation layer "
        f"({wording.layers(layers)}), and all are recorded at the last layer ({last}). "
        f"{panels.subject(results, model, pairs)}"
    )
    return Drawing(figure, caption, _alt(model, last, layers, found), READS)


def _alt(
    model: str, last: int, layers: list[int], found: list[tuple[panels.Words, Sharpness[float], Sharpness[float]]]
) -> str:
    said = wording.each(
        [
            (
                pair.name,
                f"the boundary from d = 0.1 to 0.9 is {wording.number(first.w)} wide when interpolating at layer "
                f"{layers[0]} and {wording.number(final.w)} wide at layer {layers[-1]}",
            )
            for pair, first, final in found
        ]
    )
    return (
        f"{wording.plural(len(found), 'panel')} of relative distance at the last layer, {last}, against interpolation "
        f"alpha for {model}, with one line for each interpolation layer ({wording.layers(layers)}). {said}"
    )
