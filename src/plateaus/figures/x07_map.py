"""The map of plateaus: the plane through three prompts' activations, coloured by the prediction that it leads to."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.drawing import maps, robustness, style, wording
from plateaus.drawing.contract import Drawing, LeftOut, Settings
from plateaus.drawing.maps import Map

TITLE = "Map of plateaus"
READS = (tables.MAP, tables.TRIPLES)
PER_MODEL = True


def draw(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    """Draw a row per triple: the model on the left and its copy with random weights, if there is one, on the right."""
    if model not in settings.mapped:
        return LeftOut("map.points is 0 in the config, so this run makes no maps")
    if not settings.about(model).trained:
        return LeftOut("random weights are drawn beside the trained model")
    drawn = {model: maps.maps(results, model, fine=True)}
    copies = (one for one in results.models if settings.about(one).like == model and one in settings.mapped)
    drawn |= {copy: maps.maps(results, copy, fine=True) for copy in list(copies)[:1]}
    if not drawn[model]:
        return LeftOut("no context of this run has three words, so there is no plane to draw")
    rows = len(drawn[model])
    figure = Figure(figsize=(style.WIDTH, 2.75 * rows + 0.3), layout="constrained")
    axes = figure.subplots(rows, len(drawn), squeeze=False, sharex=True, sharey=True)
    for column, (name, of_model) in enumerate(drawn.items()):
        for row, one in enumerate(of_model):
            maps.panel(axes[row][column], one, title=_title(one, name, first=column == 0))
    shares = _shares(results, list(drawn))
    return Drawing(figure, _caption(drawn, shares), _alt(drawn), READS)


def _title(one: Map, model: str, *, first: bool) -> str:
    context = f"{style.drawable(wording.shortened(one.context, 30, keep_end=True))} …" if first else ""
    return f"{context}\n{style.drawable(wording.shortened(model, 30))}"


def _shares(results: Results, models: list[str]) -> dict[str, dict[str, float]]:
    """Return, by model and triple, the share of each coarse map that lies near a corner."""
    return {model: {one.triple: one.near for one in maps.maps(results, model, fine=False)} for model in models}


def _caption(drawn: dict[str, list[Map]], shares: dict[str, dict[str, float]]) -> str:
    model, *copies = drawn
    many = len(drawn[model]) > 1
    said = (
        f"**Map of plateaus.** The plane through the activations of three prompts that differ in their last word"
        f"{', one triple per row' if many else ''}, run to the output of `{model}`"
        f"{f' (left) and of `{copies[0]}` (right)' if copies else ''}. Colours mix those of the three words by how "
        "near a point’s next-token distribution is to each corner’s; white contours lie at "
        f"{wording.listed([wording.number(level, 1) for level in maps.CONTOURS])} of the corners’ mean distance from "
        "the nearest corner. Cells with contours packed at their borders are plateaus; evenly spaced rings are none. "
        "The triangle is drawn with equal sides; "
    )
    apart = [max(one.sides) / min(one.sides) for one in drawn[model]]
    said += f"its activations’ longest side is {wording.number(max(apart), 2)} times the shortest"
    said += f"{' at most' if many else ''}. "
    return said + measured(shares)


def measured(shares: dict[str, dict[str, float]]) -> str:
    """Say how much of the coarse maps lies near a corner, with the interval of the difference to random weights."""
    (model, own), *others = shares.items()
    if not own:
        return "No triples are measured on a coarse grid."
    said = (
        f"Over {wording.plural(len(own), 'triple')} of the suite, a median of {np.median(list(own.values())):.0%} of "
        f"the triangle has a next-token distribution within {wording.number(maps.NEAR, 2)} of a corner’s on `{model}`"
    )
    if not others or not others[0][1]:
        return f"{said}."
    copy, random = others[0]
    both = sorted(own.keys() & random.keys())
    differences = np.array([own[triple] - random[triple] for triple in both])
    low, high = robustness.interval(differences)
    return (
        f"{said}, and {np.median([random[triple] for triple in both]):.0%} on `{copy}`; the median difference is "
        f"{100 * np.median(differences):.0f} percentage points (95 % interval {100 * low:.0f} to {100 * high:.0f})."
    )


def _alt(drawn: dict[str, list[Map]]) -> str:
    said = [
        (
            f"{wording.listed(one.words)} after {one.context or 'nothing'}, {model}",
            f"{one.near:.0%} of the triangle lies within {wording.number(maps.NEAR, 2)} of a corner",
        )
        for model, of_model in drawn.items()
        for one in of_model
    ]
    return f"{wording.plural(len(said), 'map')} in the colours of three words. {wording.each(said)}"
