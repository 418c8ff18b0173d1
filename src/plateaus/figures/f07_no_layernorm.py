"""Figure 7: the curve of the logits without LayerNorm: in a model that has none, or with every norm's scale frozen."""

from __future__ import annotations

from plateaus.data.results import Results
from plateaus.drawing import frozen, panels, style, wording
from plateaus.drawing.contract import Drawing, LeftOut, Settings
from plateaus.figures import f06_freezing

TITLE = "Without LayerNorm"
READS = frozen.READS
PER_MODEL = True


def beside(model: str, settings: Settings) -> list[str]:
    """The model and those that it is to be compared with; empty where there are none."""
    controls = settings.about(model).controls
    return [model, *controls] if controls else []


def draw(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    """The model beside its controls; where it has none, its own curve with its norms' scales as they are and frozen."""
    if beside(model, settings):
        return _beside(results, model, settings)
    if not settings.about(model).layernorm:
        return LeftOut(f"models.{model}.controls names no model to compare it with")
    return _frozen(results, model, settings)


def _beside(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    layer, names = settings.trace_layer, beside(model, settings)
    missing = [name for name in names if layer not in panels.interp_layers(results, name)]
    if missing:
        return LeftOut(f"layer {layer} was not interpolated at in {missing[0]}")
    pairs = [panels.words(results, pair) for pair in settings.pairs]
    figure, axes = panels.grid(len(pairs), 2.9, extra=0.5)
    found = []
    for ax, pair in zip(axes, pairs, strict=True):
        panels.straight(ax)
        widths = {}
        for number, name in enumerate(names):
            rows = results.curve(name, pair.id, interp_layer=layer, site="logits")
            ax.plot(
                panels.values(rows, "alpha"),
                panels.values(rows, "distance"),
                color=style.CATEGORIES[number],
                linestyle=style.DASHES[min(number, len(style.DASHES) - 1)],
                linewidth=1.7,
                zorder=4 - number / 10,
                label=name,
            )
            widths[name] = panels.measured(rows).w
        found.append((pair, widths))
        panels.frame(ax, pair)
    panels.distance_axis(axes)
    frozen.legend(figure, axes)
    said = "; ".join(f"{pair.markdown}: {_said(widths)}" for pair, widths in found)
    plain = wording.each([(pair.name, _said(widths).replace("`", "")) for pair, widths in found])
    first = "without LayerNorm" if not settings.about(model).layernorm else "as it is"
    caption = (
        f"**Relative distance of the logits of `{model}`**, {first}, beside "
        f"{wording.listed(f'`{name}`' for name in names[1:])} on the same pairs, interpolating at layer {layer}. Width "
        f"of the boundary, w: {said}. Dotted: a straight line. {panels.subject(results, model, pairs)}"
    )
    alt = (
        f"{wording.plural(len(pairs), 'panel')} of relative distance of the logits against interpolation alpha, one "
        f"line per model: {wording.listed(names)}, interpolated at layer {layer}. {plain}"
    )
    return Drawing(figure, caption, alt, panels.READS)


def _said(widths: dict[str, float]) -> str:
    return wording.listed(f"{wording.number(w)} in `{name}`" for name, w in widths.items())


def _frozen(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    layer = settings.trace_layer
    if layer not in frozen.layers(results, model):
        return LeftOut(f"freeze.layers does not name layer {layer}")
    if "norm_mean" not in frozen.conditions(results, model):
        return LeftOut("freeze.conditions does not name norm_mean")
    pairs = [panels.words(results, pair) for pair in settings.pairs]
    figure, axes = panels.grid(len(pairs), 2.9, extra=0.4)
    found = []
    for ax, pair in zip(axes, pairs, strict=True):
        found.append((pair, frozen.lay_over(ax, results, model, pair.id, ["none", "norm_mean"], layer)))
        panels.frame(ax, pair)
    panels.distance_axis(axes)
    frozen.legend(figure, axes)
    widths = "; ".join(f"{pair.markdown}: {f06_freezing.said(measured)}" for pair, measured in found)
    caption = (
        f"**Relative distance of the logits with every norm's scale frozen** at its mean over the steps, in all layers "
        f"after layer {layer} and before the unembedding: what is left is what does not need the norm to rescale. "
        f"Width of the boundary, w: {widths}. Dotted: a straight line. {panels.subject(results, model, pairs)}"
    )
    alt = (
        f"{wording.plural(len(pairs), 'panel')} of relative distance of the logits against interpolation alpha for "
        f"{model}, interpolated at layer {layer}, with and without frozen norm scales. "
        f"{wording.each([(pair.name, f06_freezing.said(measured)) for pair, measured in found])}"
    )
    return Drawing(figure, caption, alt, READS)
