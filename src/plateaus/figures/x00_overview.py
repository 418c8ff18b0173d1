"""The overview: the map of the post's own words, trained beside random weights, and the curve along one side."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.drawing import maps, panels, style, suite, wording
from plateaus.drawing.contract import Drawing, LeftOut, Settings
from plateaus.drawing.maps import Map
from plateaus.prompts.pairs import SUITE

TITLE = "Overview"
READS = (tables.MAP, tables.TRIPLES, tables.INTERPOLATE)
PER_MODEL = False


def draw(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    """Draw the map of the prompt table's triple and its first two words' curve, for a model and its random copy."""
    trained = [name for name in settings.mapped if settings.about(name).trained]
    if not trained:
        return LeftOut(
            "map.points is 0 in the config, or the run has no trained model, so there is no map to begin with"
        )
    copies = [name for name in settings.mapped if settings.about(name).like == trained[0]]
    found = ((name, _of_table(results, name)) for name in [trained[0], *copies[:1]])
    shown = {name: one for name, one in found if one is not None}
    if trained[0] not in shown:
        return LeftOut("no context of the prompt table has three words, so there is no map to begin with")
    pair = _pair(results, shown[trained[0]])
    figure = Figure(figsize=(style.WIDTH, 4.1), layout="constrained")
    axes = figure.subplots(2, len(shown), squeeze=False, height_ratios=(2.6, 1.3), sharey="row", sharex="row")
    for column, (name, one) in enumerate(shown.items()):
        maps.panel(axes[0][column], one, title=style.drawable(wording.shortened(name, 30)))
        axes[0][column].annotate("", (0.96, 0), (0.04, 0), arrowprops={"arrowstyle": "->", "color": "white", "lw": 1.6})
        if pair:
            _curve(axes[1][column], results, name, pair, settings, one.words)
    return Drawing(figure, _caption(shown, settings), _alt(shown), READS)


def _of_table(results: Results, model: str) -> Map | None:
    """Return the map of the prompt table's own triple, if there is one."""
    rows = results.pairs[["context", "a", "b", "tags"]].astype(str).itertuples(index=False)
    own = {(context, word) for context, a, b, tags in rows if SUITE not in suite.tags_of(tags) for word in (a, b)}
    found = maps.maps(results, model, fine=True)
    return next((one for one in found if all((one.context, word) in own for word in one.words)), None)


def _pair(results: Results, one: Map) -> str:
    """Return the id of the pair of the map's first two words; empty if the run has none."""
    listed = results.pairs
    mine = listed[(listed["context"] == one.context) & (listed["a"] == one.words[0]) & (listed["b"] == one.words[1])]
    return str(mine.index[0]) if len(mine) else ""


def _curve(ax: Axes, results: Results, model: str, pair: str, settings: Settings, words: tuple[str, str, str]) -> None:
    rows = results.curve(model, pair, interp_layer=settings.trace_layer, site="logits")
    measured = panels.measured(rows)
    ax.axvspan(measured.alpha10, measured.alpha90, color="#e8edf4", linewidth=0, zorder=0)
    panels.straight(ax)
    ax.plot(panels.values(rows, "alpha"), panels.values(rows, "distance"), color=style.INK, zorder=3)
    ax.text(0.97, 0.05, f"w = {wording.number(measured.w)}", ha="right", va="bottom", zorder=4)
    ax.set_xlim(0, 1)
    ax.set_ylim(-0.03, 1.03)
    ax.set_yticks([0, 1])
    ax.set_xticks([0, 1], [style.drawable(wording.shortened(word, 10)) for word in words[:2]])
    for label, colour, side in zip(ax.get_xticklabels(), maps.COLOURS[:2], ("left", "right"), strict=True):
        label.set(color=colour, fontweight="bold", ha=side)
    if ax.get_subplotspec().is_first_col():  # type: ignore[union-attr]
        ax.set_ylabel("distance d")


def _caption(shown: dict[str, Map], settings: Settings) -> str:
    model, *copies = shown
    one = shown[model]
    said = (
        f"**Where the prediction changes.** Every point is a mixture of the activations of “{one.context} …” with "
        f"{wording.listed(f'“{word}”' for word in one.words)} at layer {settings.trace_layer}. Its colour says which "
        f"word’s prediction it leads to, in `{model}`"
    )
    said += f" and with random weights (`{copies[0]}`)" if copies else ""
    return (
        f"{said}; white contours are {wording.listed([wording.number(level, 1) for level in maps.CONTOURS])} of the "
        "corners’ mean distance from the nearest corner. Below: the logits’ relative distance along the path of the "
        "arrow, with the boundary shaded."
    )


def _alt(shown: dict[str, Map]) -> str:
    said = [
        (name, f"{one.near:.0%} of the triangle lies within {wording.number(maps.NEAR)} of a corner’s prediction")
        for name, one in shown.items()
    ]
    maps_of = wording.plural(len(said), "map")
    return f"{maps_of} in the colours of three words, with a curve under each. {wording.each(said)}"
