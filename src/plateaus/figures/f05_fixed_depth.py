"""Figure 5: curves recorded a fixed number of layers after the interpolation layer."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plateaus.data.results import Results
from plateaus.drawing import panels, style, wording
from plateaus.drawing.contract import Drawing, LeftOut, Settings

TITLE = "Relative distance a fixed number of layers after the interpolation"
READS = panels.READS
PER_MODEL = True

Widths = dict[tuple[int, str], list[tuple[int, float]]]
"""Maps a depth and a pair id to the interpolation layers, each with its boundary width w (units of alpha)."""


def draw(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    """Draw curves interpolated at layer L and recorded at L + N: a row per N, a column per pair, a line per L."""
    n_layers = panels.n_layers(results, model)
    starts = {
        depth: [layer for layer in panels.interp_layers(results, model, settings.pairs) if layer + depth < n_layers]
        for depth in sorted(settings.depths)
    }
    depths = [depth for depth, layers in starts.items() if layers]
    if not depths:
        return LeftOut(
            f"none of the depths {wording.listed(map(str, starts))} fits a model of {n_layers} layers and the "
            "interpolation layers of this run"
        )
    pairs = [panels.words(results, pair) for pair in settings.pairs]
    layers = sorted({layer for depth in depths for layer in starts[depth]})
    colours = style.layer_colours(settings.colormap, layers)
    figure, axes = _grid(len(depths), len(pairs))
    widths: Widths = {}
    for column, pair in enumerate(pairs):
        curves_from = panels.split(results.curve(model, pair.id), "interp_layer")
        for row, depth in enumerate(depths):
            ax = axes[row][column]
            curves = {layer: panels.split(curves_from[layer], "record_layer")[layer + depth] for layer in starts[depth]}
            panels.layer_lines(
                ax,
                ((layer, panels.values(c, "alpha"), panels.values(c, "distance")) for layer, c in curves.items()),
                colours,
                width=1.0,
            )
            panels.frame(ax, pair, title=row == 0, words_below=row == len(depths) - 1)
            ax.tick_params(labelbottom=row == len(depths) - 1)
            ax.text(0.03, 0.95, f"N = {depth}", transform=ax.transAxes, va="top", fontweight="bold", zorder=5)
            widths[depth, pair.id] = [(layer, panels.measured(c).w) for layer, c in curves.items()]
    _axis_of_distance(axes)
    panels.layer_bar(figure, [ax for line in axes for ax in line], colours, layers, "Interpolation layer L")
    left_out = [depth for depth in starts if depth not in depths]
    return Drawing(
        figure,
        _caption(results, model, pairs, depths, left_out, n_layers),
        _alt(model, pairs, depths, widths),
        READS,
    )


def _grid(rows: int, columns: int) -> tuple[Figure, list[list[Axes]]]:
    # More than two columns would be too narrow for their labels, so the figure is made wider.
    width = style.WIDTH if columns <= 2 else style.WIDTH * columns / 2
    figure = Figure(figsize=(width, 1.45 * rows + 1.6), layout="constrained")
    panels.apart(figure)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    return figure, [list(line) for line in axes]


def _axis_of_distance(axes: list[list[Axes]]) -> None:
    for line in axes:
        for ax in line:
            ax.set_ylim(-0.03, 1.03)
            ax.set_yticks(panels.DISTANCE_TICKS, ["0", "0.5", "1"])
        line[0].set_ylabel("Distance d")


def _caption(
    results: Results,
    model: str,
    pairs: list[panels.Words],
    depths: list[int],
    left_out: list[int],
    n_layers: int,
) -> str:
    missing = (
        f" Nothing is drawn for N = {wording.listed(map(str, left_out))}, because no interpolation layer has that many "
        f"of this model's {n_layers} layers after it."
        if left_out
        else ""
    )
    places = [""] if len(pairs) == 1 else [f"column {number}" for number in range(1, len(pairs) + 1)]
    return (
        f"**Relative distance a fixed number of layers after the interpolation.** The path is patched in at layer L "
        f"and recorded at layer L + N. The rows are N = {wording.listed(map(str, depths))}, and the lines are all "
        f"interpolation layers L of the run for which the model has a layer L + N.{missing} "
        f"{panels.subject(results, model, pairs, places)}"
    )


def _alt(model: str, pairs: list[panels.Words], depths: list[int], widths: Widths) -> str:
    def span(depth: int, pair: panels.Words) -> str:
        found = [width for _, width in widths[depth, pair.id]]
        low, high = wording.number(min(found)), wording.number(max(found))
        return f"{low} at N = {depth}" if low == high else f"{low} to {high} at N = {depth}"

    said = wording.each([(pair.name, wording.listed(span(depth, pair) for depth in depths)) for pair in pairs])
    return (
        f"{wording.plural(len(depths), 'row')} of {wording.plural(len(pairs), 'panel')} of relative distance against "
        f"interpolation alpha for {model}, with one row for each number of layers N from interpolation to recording "
        f"and one line for each interpolation layer. These are the widths of the boundary from d = 0.1 to 0.9, as a "
        f"range over the lines. {said}"
    )
