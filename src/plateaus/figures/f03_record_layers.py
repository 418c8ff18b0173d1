"""Figure 3: the curve at every layer after the interpolation layer."""

from __future__ import annotations

from plateaus.curves.sharpness import Sharpness
from plateaus.data.results import Results
from plateaus.drawing import panels, style, wording
from plateaus.drawing.contract import Drawing, LeftOut, Settings

TITLE = "Relative distance at every later layer"
READS = panels.READS
PER_MODEL = True


def draw(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    """Draw the curve of resid_post at each later layer, and the path itself as a dotted line."""
    start = settings.trace_layer
    if start not in panels.interp_layers(results, model):
        return LeftOut(f"this run did not interpolate at layer {start}")
    layers = list(range(start + 1, panels.n_layers(results, model)))
    if not layers:
        return LeftOut(f"the model has no layer after layer {start}, at which the run interpolated")
    pairs = [panels.words(results, pair) for pair in settings.pairs]
    figure, axes = panels.grid(len(pairs), 2.9, extra=0.6)
    colours = style.layer_colours(settings.colormap, layers)
    found: list[tuple[panels.Words, Sharpness[float], Sharpness[float]]] = []
    for ax, pair in zip(axes, pairs, strict=True):
        of_pair = results.curve(model, pair.id, interp_layer=start)
        curves = {layer: of_pair[of_pair["record_layer"] == layer] for layer in (start, *layers)}
        path = curves.pop(start)
        ax.plot(
            panels.values(path, "alpha"),
            panels.values(path, "distance"),
            color=style.INK,
            linestyle=(0, (1, 1.5)),
            linewidth=1.1,
            zorder=4,
            label="the path itself",
        )
        panels.layer_lines(
            ax,
            ((layer, panels.values(rows, "alpha"), panels.values(rows, "distance")) for layer, rows in curves.items()),
            colours,
        )
        panels.frame(ax, pair)
        found.append((pair, panels.measured(curves[layers[0]]), panels.measured(curves[layers[-1]])))
    panels.distance_axis(axes)
    panels.layer_bar(figure, axes, colours, layers, "Recording layer")
    shown = wording.layers(layers)
    caption = (
        f"**Relative distance at every later layer.** The path is patched in at layer {start}, and there is one line "
        f"per recording layer ({shown}). The dotted line is the path itself, recorded at the layer where it is patched "
        f"in. {panels.subject(results, model, [pair for pair, *_ in found])}"
    )
    return Drawing(figure, caption, _alt(model, start, layers, found), READS)


def _alt(
    model: str, start: int, layers: list[int], found: list[tuple[panels.Words, Sharpness[float], Sharpness[float]]]
) -> str:
    said = wording.each(
        [
            (
                pair.name,
                f"the boundary from d = 0.1 to 0.9 is {wording.number(first.w)} wide at layer {layers[0]} and "
                f"{wording.number(last.w)} wide at layer {layers[-1]}",
            )
            for pair, first, last in found
        ]
    )
    return (
        f"{wording.plural(len(found), 'panel')} of relative distance against interpolation alpha for {model}, "
        f"interpolated at layer {start}, with one line for each recording layer ({wording.layers(layers)}). {said}"
    )
