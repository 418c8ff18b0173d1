"""Figure 7: the curve of the logits without LayerNorm, in a model from which it was removed or with frozen scales."""

from __future__ import annotations

from plateaus.data.results import Results
from plateaus.drawing import frozen, panels, style, wording
from plateaus.drawing.contract import Drawing, LeftOut, Settings
from plateaus.figures import f06_freezing

TITLE = "Without LayerNorm"
READS = frozen.READS
PER_MODEL = True


def beside(model: str, settings: Settings) -> list[str]:
    """List the model and the models to compare it with; the list is empty if there are none."""
    controls = settings.about(model).controls
    return [model, *controls] if controls else []


def draw(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    """Draw the model next to its controls or, without controls, with the scales of its norms working and frozen."""
    if beside(model, settings):
        return _beside(results, model, settings)
    if not settings.about(model).layernorm:
        return LeftOut(f"models.{model}.controls names no model to compare it with")
    return _frozen(results, model, settings)


def _beside(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    layer, names = settings.trace_layer, beside(model, settings)
    missing = [name for name in names if layer not in panels.interp_layers(results, name)]
    if missing:
        return LeftOut(f"this run did not interpolate at layer {layer} of {missing[0]}")
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
    first = "from which LayerNorm was removed" if not settings.about(model).layernorm else "which keeps its norms"
    caption = (
        f"**Relative distance of the logits, by model.** The figure compares `{model}`, {first}, with "
        f"{wording.listed(f'`{name}`' for name in names[1:])} on the same pairs. The path is patched in at layer "
        f"{layer}. The boundaries have these widths w. {said}. The dotted line is d = alpha. "
        f"{panels.subject(results, model, pairs)}"
    )
    alt = (
        f"{wording.plural(len(pairs), 'panel')} of relative distance of the logits against interpolation alpha, with "
        f"one line for each of the models {wording.listed(names)}, interpolated at layer {layer}. The boundaries have "
        f"these widths w. {plain}"
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
        f"**Relative distance of the logits with the scales of all norms frozen.** The path is patched in at layer "
        f"{layer}. In every later layer and before the unembedding, the scale of each norm is held at its mean over "
        f"the steps, so that a boundary that remains does not need the norms to rescale. The boundaries have these "
        f"widths w. {widths}. The dotted line is d = alpha. {panels.subject(results, model, pairs)}"
    )
    alt = (
        f"{wording.plural(len(pairs), 'panel')} of relative distance of the logits against interpolation alpha for "
        f"{model}, interpolated at layer {layer}, with and without frozen norm scales. The boundaries have these "
        f"widths w. "
        f"{wording.each([(pair.name, f06_freezing.said(measured)) for pair, measured in found])}"
    )
    return Drawing(figure, caption, alt, READS)
