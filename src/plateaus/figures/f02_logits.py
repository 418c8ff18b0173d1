"""Figure 2: how far the logits have moved from those of prompt A to those of prompt B, along the path."""

from __future__ import annotations

from plateaus.curves.sharpness import Sharpness
from plateaus.data.results import Results
from plateaus.drawing import panels, wording
from plateaus.drawing.contract import Drawing, LeftOut, Settings

TITLE = "Relative distance of the logits"
READS = panels.READS
PER_MODEL = True


def draw(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    """Draw one curve per pair, with the boundary shaded: from d = 0.1 to d = 0.9 of the monotone fit."""
    layer = settings.trace_layer
    if layer not in panels.interp_layers(results, model):
        return LeftOut(f"this run did not interpolate at layer {layer}")
    pairs = [panels.words(results, pair) for pair in settings.pairs]
    figure, axes = panels.grid(len(pairs), 2.9)
    found: list[tuple[panels.Words, Sharpness[float]]] = []
    for ax, pair in zip(axes, pairs, strict=True):
        rows = results.curve(model, pair.id, interp_layer=layer, site="logits")
        measured = panels.measured(rows)
        found.append((pair, measured))
        ax.axvspan(measured.alpha10, measured.alpha90, color="#e8edf4", linewidth=0, zorder=0)
        panels.straight(ax)
        ax.plot(
            panels.values(rows, "alpha"),
            panels.values(rows, "distance"),
            color="#31478c",
            marker="o",
            markersize=2.6,
            linewidth=1.5,
            zorder=3,
            label="logits",
        )
        ax.text(0.98, 0.04, f"w = {wording.number(measured.w)}", ha="right", va="bottom", zorder=4)
        panels.frame(ax, pair)
    panels.distance_axis(axes)
    return Drawing(figure, _caption(results, model, layer, found), _alt(model, layer, found), READS)


def _caption(results: Results, model: str, layer: int, found: list[tuple[panels.Words, Sharpness[float]]]) -> str:
    pairs = [pair for pair, _ in found]
    widths = wording.listed(f"w = {wording.number(measured.w)} for {pair.markdown}" for pair, measured in found)
    return (
        f"**Relative distance of the logits.** The path is patched in at layer {layer}, and each dot is an "
        f"interpolation step. The shaded band is the boundary, which reaches from d = 0.1 to d = 0.9 of the monotone "
        f"fit and has width w ({widths}). The dotted line is d = alpha. {panels.subject(results, model, pairs)}"
    )


def _alt(model: str, layer: int, found: list[tuple[panels.Words, Sharpness[float]]]) -> str:
    said = wording.each([(pair.name, f"the curve {wording.crossings(measured)}") for pair, measured in found])
    return (
        f"{wording.plural(len(found), 'panel')} of relative distance of the logits against interpolation alpha, from "
        f"0 to 1, for {model} interpolated at layer {layer}. {said}"
    )
