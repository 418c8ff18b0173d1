"""Footnote 6: by how much each layer stretches a small step along the path, instead of a step in any direction."""

from __future__ import annotations

from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.drawing import by_layer, panels, stacked, style, wording
from plateaus.drawing.contract import Drawing, LeftOut, Settings

TITLE = "Directional gain"
READS = (tables.ENDPOINTS, tables.INTERPOLATE, tables.JACOBIAN)
PER_MODEL = True


def draw(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    """Draw |J v|, with v the unit tangent of the path: of the MLP above, of the whole block below."""
    missing = [name for name in ("mlp", "block") if not by_layer.has_component(results, model, name)]
    if missing:
        return LeftOut(f"jacobian.components does not name {wording.listed(missing)}")
    pairs = [panels.words(results, pair) for pair in settings.pairs]
    found = {
        name: {
            pair: by_layer.profiles(results, model, tables.JACOBIAN, pair.id, "gain", component=name) for pair in pairs
        }
        for name in ("mlp", "block")
    }
    layers = sorted(found["mlp"][pairs[0]])
    figure, axes = stacked.grid(len(pairs))
    colours = style.layer_colours(settings.colormap, layers)
    for column, pair in enumerate(pairs):
        by_layer.lines(axes[0][column], found["mlp"][pair], colours)
        by_layer.lines(axes[1][column], found["block"][pair], colours, relative=False)
        axes[1][column].set_yscale("log")
        axes[1][column].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes[1][column].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes[1][column].yaxis.set_minor_formatter(NullFormatter())
    stacked.frames(axes, pairs)
    by_layer.name_axis(axes[0], "MLP gain / mean")
    by_layer.name_axis(axes[1], "Block gain |J v|")
    panels.layer_bar(figure, [ax for row in axes for ax in row], colours, layers, "Layer")
    caption = (
        f"**Directional gain.** The gain is |J v|, where v is the unit direction in which the path moves at that "
        f"layer. The top row shows each MLP together with its norm, over its mean along the path (1, dotted). The "
        f"bottom row shows each whole block with its skip connections, on a logarithmic scale: above 1 (dotted) a step "
        f"grows, and below 1 it shrinks. There is one line per layer ({wording.layers(layers)}), with the path patched "
        f"in at layer {settings.trace_layer}. "
        f"{panels.subject(results, model, pairs, stacked.places(len(pairs)))}"
    )
    said = wording.each([(pair.name, f"for the MLP, {by_layer.peaks(found['mlp'][pair])}") for pair in pairs])
    alt = (
        f"Two rows of {wording.plural(len(pairs), 'panel')} against interpolation alpha for {model}: directional gain "
        f"of the MLP over its mean, and of the whole block, with one line for each layer "
        f"({wording.layers(layers)}). {said}"
    )
    return Drawing(figure, caption, alt, READS)
