"""Tests on made-up tables that figures draw what the tables hold, and that their texts say what is drawn."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from plateaus import figures
from plateaus.curves.sharpness import measure_one
from plateaus.data import tables
from plateaus.data.results import Results, table_path
from plateaus.drawing import style, wording
from plateaus.drawing.contract import Drawing, LeftOut, Settings
from plateaus.errors import InputError
from plateaus.page import dag

STEPS, LAYERS = 21, 6
WORDS = {
    "big-in": ("The house was", "big", "in"),
    "big-large": ("The house was", "big", "large"),
    "odd": ("", "a_b$c", "*x*"),
    "long": ("A beginning that is far too long to be written above a panel", "extraordinary", "unbelievable"),
}
ALPHA = np.linspace(0, 1, STEPS)
OURS = (
    "f01_method",
    "f02_logits",
    "f03_record_layers",
    "f04_interpolation_layers",
    "f05_fixed_depth",
    "f08_step_sizes",
    "x02_tokens",
)
CURVES = ("f03_record_layers", "f04_interpolation_layers")


def distance(pair: str, between: int) -> np.ndarray:
    """Return a straight line for `big-large`, and for other pairs a curve that sharpens with the layers in between."""
    if pair == "big-large" or between == 0:
        return ALPHA.copy()
    raw = 1 / (1 + np.exp(-4 * between * (ALPHA - 0.52)))
    return (raw - raw[0]) / (raw[-1] - raw[0])


def make(root: Path, pairs=("big-in", "big-large"), model="m", layers=range(LAYERS), n_layers=LAYERS) -> Results:
    """Write a results folder with one shard, whose curves are those of `distance`."""
    columns: dict[str, list] = {name: [] for name in tables.INTERPOLATE.columns}
    for pair in pairs:
        for start in layers:
            sites = [("resid_post", end) for end in range(start, n_layers)] + [("logits", n_layers)]
            for site, end in sites:
                d = distance(pair, end - start)
                size = np.append(np.diff(d) * 10 * (end + 1), np.nan)
                values = {"distance": d, "distance_a": d, "distance_b": 1 - d, "step_size": size, "norm": d + 1}
                values |= {"projection": d, "detour": 0 * d, "alpha": ALPHA, "step": np.arange(STEPS)}
                values |= {"pair": [pair] * STEPS, "interp_layer": [start] * STEPS, "site": [site] * STEPS}
                values["record_layer"] = [end] * STEPS
                for name, part in values.items():
                    columns[name].extend(part)
    tokens: dict[str, list] = {name: [] for name in tables.TOKENS.columns}
    for pair in pairs:
        for token, text, probability in (
            (1, " here", 0.6 * (1 - ALPHA)),
            (2, " there", 0.5 * ALPHA),
            (3, "\n", 0 * ALPHA + 0.01),
        ):
            tokens["pair"] += [pair] * STEPS
            tokens["token_id"] += [token] * STEPS
            tokens["step"] += range(STEPS)
            tokens["alpha"] += list(ALPHA)
            tokens["token"] += [text] * STEPS
            tokens["probability"] += list(probability)
    ends = {name: [1.0] * len(pairs) for name in tables.ENDPOINTS.columns}
    ends |= {name: [1] * len(pairs) for name in ("token_a", "token_b", "prefix_length")}
    ends |= {"pair": list(pairs), "tags": ["" for _ in pairs], "separator": [" " for _ in pairs]}
    ends |= {name: [WORDS[pair][place] for pair in pairs] for place, name in enumerate(("context", "a", "b"))}
    for table, data in ((tables.INTERPOLATE, columns), (tables.TOKENS, tokens), (tables.ENDPOINTS, ends)):
        tables.write(table_path(root, model, table, "s0-of-1"), table, data, {})
    return Results(root, [model], ["s0-of-1"])


def settings(*pairs: str, depths=(1, 2, 24), trace_layer=0) -> Settings:
    return Settings(pairs or ("big-in", "big-large"), depths, 80, "viridis", trace_layer)


def drawn(name: str, results: Results, chosen: Settings) -> Drawing:
    drawing = figures.draw(name, results, "m", chosen)
    assert isinstance(drawing, Drawing)
    return drawing


def panels_of(drawing: Drawing) -> list:
    return [ax for ax in drawing.figure.axes if ax.get_title(loc="left")]


def lines(ax, prefix: str = "layer ") -> dict[str, np.ndarray]:
    return {str(line.get_label()): line.get_ydata() for line in ax.lines if str(line.get_label()).startswith(prefix)}


def clipped(figure) -> list[str]:
    """Return the edges that something on a figure reaches beyond, and texts smaller than the style's."""
    import matplotlib.text

    figure.draw_without_rendering()
    reach, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    beyond = {"left": -reach.x0, "below": -reach.y0, "right": reach.x1 - width, "above": reach.y1 - height}
    small = [
        text for text in figure.findobj(matplotlib.text.Text) if text.get_text() and text.get_fontsize() < style.TEXT
    ]
    return [f"{side} by {by:.2f} in" for side, by in beyond.items() if by > 0.02] + [text.get_text() for text in small]


def texts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Results:
    return make(tmp_path_factory.mktemp("run"), tuple(WORDS))


@pytest.mark.parametrize("name", OURS)
def test_same_bytes_twice(name, results, tmp_path):
    for folder in ("one", "two"):
        figures.save(drawn(name, results, settings()), tmp_path / folder, name, 80)
    for suffix in ("svg", "png"):
        first, second = ((tmp_path / folder / f"{name}.{suffix}").read_bytes() for folder in ("one", "two"))
        assert first == second
    svg = (tmp_path / "one" / f"{name}.svg").read_text()
    assert "<dc:date>" not in svg
    assert "<text" not in svg  # text is drawn as paths, so that no font is needed


def test_style_does_not_depend_on_the_users(results, tmp_path):
    import matplotlib

    figures.save(drawn("f02_logits", results, settings()), tmp_path, "plain", 80)
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "savefig.bbox": "tight"}):
        before = dict(matplotlib.rcParams)
        figures.save(drawn("f02_logits", results, settings()), tmp_path, "plain2", 80)
        assert dict(matplotlib.rcParams) == before
    plain, second = ((tmp_path / f"{name}.png").read_bytes() for name in ("plain", "plain2"))
    assert plain == second


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("pairs", [("big-in",), ("big-in", "big-large"), ("odd", "long", "big-in"), tuple(WORDS)])
def test_one_to_four_pairs(name, pairs, results, tmp_path):
    drawing = drawn(name, results, settings(*pairs))
    figures.save(drawing, tmp_path, name, 40)
    with style.applied():
        assert clipped(drawing.figure) == []
    assert "`m`" in drawing.caption or name == "f01_method"
    for pair in pairs if name != "f01_method" else ():
        assert WORDS[pair][1] in drawing.alt
    if name not in ("f01_method", "f05_fixed_depth"):
        shown = panels_of(drawing)
        assert len(shown) == len(pairs)
        assert len({ax.get_ylim() for ax in shown}) == 1


def test_logits_draws_the_rows_of_the_table(results):
    drawing = drawn("f02_logits", results, settings())
    for ax, pair in zip(panels_of(drawing), ("big-in", "big-large"), strict=True):
        (curve,) = lines(ax, "logits").values()
        expected = results.curve("m", pair, interp_layer=0, site="logits")["distance"]
        np.testing.assert_array_equal(curve, expected.to_numpy(np.float64))
        assert {WORDS[pair][1], WORDS[pair][2]} <= set(texts(ax))
        assert ax.get_xlabel() == "Interpolation alpha"
        dashed = [line.get_xdata()[0] for line in ax.lines if list(line.get_xdata()) in ([0, 0], [1, 1])]
        assert sorted(dashed) == [0, 1]


def test_caption_and_alt_hold_the_measured_numbers(results):
    drawing = drawn("f02_logits", results, settings())
    curve = results.curve("m", "big-in", interp_layer=0, site="logits")
    found = measure_one(curve["alpha"], curve["distance"])
    assert f"w = {found.w:.2f} for \\[big → in\\]" in drawing.caption
    assert f"w = {0.8:.2f} for \\[big → large\\]" in drawing.caption
    assert f"at alpha {found.alpha10:.2f}, {found.midpoint:.2f} and {found.alpha90:.2f}" in drawing.alt
    assert "0.10, 0.50 and 0.90" in drawing.alt
    assert f"{STEPS} interpolation steps" in drawing.caption


@pytest.mark.parametrize(
    ("name", "layers"), [("f03_record_layers", range(1, 6)), ("f04_interpolation_layers", range(5))]
)
def test_one_line_per_layer(name, layers, results):
    for ax, pair in zip(panels_of(drawn(name, results, settings())), ("big-in", "big-large"), strict=True):
        found = lines(ax)
        assert set(found) == {f"layer {layer}" for layer in layers}
        for layer in layers:
            between = layer if name == "f03_record_layers" else LAYERS - 1 - layer
            np.testing.assert_allclose(found[f"layer {layer}"], distance(pair, between), atol=1e-6)


def test_the_path_itself_is_drawn_where_it_is_put_in(results):
    for ax in panels_of(drawn("f03_record_layers", results, settings())):
        np.testing.assert_allclose(lines(ax, "the path")["the path itself"], ALPHA, atol=1e-6)


@pytest.mark.parametrize("name", CURVES)
def test_colours_go_by_layer_and_have_a_bar(name, results):
    drawing = drawn(name, results, settings())
    colours = [line.get_color() for line in panels_of(drawing)[0].lines if str(line.get_label()).startswith("layer")]
    assert len(set(colours)) == len(colours) == 5
    labels = [ax.get_xlabel() for ax in drawing.figure.axes]
    assert sum(label in ("Recording layer", "Interpolation layer") for label in labels) == 1


def test_fixed_depth_has_a_row_per_depth_that_fits(results):
    drawing = drawn("f05_fixed_depth", results, settings())
    axes = [ax for ax in drawing.figure.axes if lines(ax)]
    assert len(axes) == 4
    assert [len(lines(ax)) for ax in axes] == [5, 5, 4, 4]
    assert [next(text for text in texts(ax) if "N =" in text) for ax in axes] == ["N = 1", "N = 1", "N = 2", "N = 2"]
    np.testing.assert_allclose(lines(axes[2])["layer 3"], distance("big-in", 2), atol=1e-6)
    assert "N = 24, because no interpolation layer has that many of this model's 6 layers after it" in drawing.caption


def test_step_sizes_are_over_their_mean_at_the_midpoints(results):
    drawing = drawn("f08_step_sizes", results, settings())
    for ax, pair in zip(panels_of(drawing), ("big-in", "big-large"), strict=True):
        sizes = [np.diff(distance(pair, layer)) for layer in range(1, LAYERS)]
        np.testing.assert_allclose(ax.images[0].get_array(), [one / one.mean() for one in sizes], rtol=1e-3)
        left, right, low, high = ax.images[0].get_extent()
        np.testing.assert_allclose((left, right, low, high), (0, 1, -0.5, LAYERS - 1.5), atol=1e-6)
    peak = np.argmax(np.diff(distance("big-in", 5)))
    assert f"at alpha {(ALPHA[peak] + ALPHA[peak + 1]) / 2:.2f}" in drawing.alt
    assert f"from {wording.significant(20 / 20)} to {wording.significant(60 / 20)}" in drawing.caption


def test_layer_maps_have_the_boundary_and_lines_of_a_few_layers(results):
    drawing = drawn("f08_step_sizes", results, settings())
    ax = panels_of(drawing)[0]
    edges = [line.get_xdata() for line in ax.lines if line.get_label() == "_boundary"]
    sharp = [measure_one(ALPHA, distance("big-in", layer)) for layer in range(1, LAYERS)]
    expected = [[getattr(one, name) for one in sharp] for name in ("alpha10", "midpoint", "alpha90")]
    np.testing.assert_allclose(edges, expected, atol=1e-4)
    shown = [found for ax in drawing.figure.axes if not ax.images and (found := lines(ax))]
    assert [list(found) for found in shown] == [[f"layer {layer}" for layer in (1, 2, 4, 5)]] * 2
    assert "for layers 1, 2, 4 and 5" in drawing.caption
    sizes = np.diff(distance("big-in", 4))
    np.testing.assert_allclose(shown[0]["layer 4"], sizes / sizes.mean(), rtol=1e-3)


def test_tokens_switch_where_the_curves_cross(results):
    drawing = drawn("x02_tokens", results, settings())
    cross = 0.6 / 1.1
    after = ALPHA[np.searchsorted(ALPHA, cross)]
    switch = after - (ALPHA[1] - ALPHA[0]) / 2
    assert f"from “ here” to “ there” at alpha {switch:.2f}" in drawing.alt
    ax = panels_of(drawing)[0]
    np.testing.assert_allclose(lines(ax, " here")[" here"], 60 * (1 - ALPHA), rtol=1e-5)
    marked = [line.get_xdata()[0] for line in ax.lines if line.get_label() == "_switch"]
    np.testing.assert_allclose(marked, [switch], atol=1e-6)
    legends = [text.get_text() for ax in drawing.figure.axes if ax.get_legend() for text in ax.get_legend().get_texts()]
    assert legends[:3] == ["“ here”", "“ there”", "“⏎”"]


def test_method_shows_the_words_and_no_measurement(results):
    drawing = drawn("f01_method", results, settings("big-in"))
    assert {"big", "in", "The", "house", "was"} <= set(texts(drawing.figure.axes[0]))
    assert drawing.tables == (tables.ENDPOINTS,)
    assert not figures.FIGURES["f01_method"].PER_MODEL


@pytest.mark.parametrize("name", OURS)
def test_figures_say_what_they_read(name, results):
    assert drawn(name, results, settings()).tables == figures.FIGURES[name].READS
    assert figures.FIGURES[name].TITLE


@pytest.mark.parametrize("name", ["f02_logits", "f03_record_layers", "f08_step_sizes"])
def test_left_out_without_the_trace_layer(name, tmp_path):
    drawing = figures.draw(name, make(tmp_path, layers=[1, 2]), "m", settings())
    assert isinstance(drawing, LeftOut)
    assert "did not interpolate at layer 0" in drawing.reason


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("f03_record_layers", "no layer after layer 5"),
        ("f08_step_sizes", "no layer after layer 5"),
        ("f04_interpolation_layers", "fewer than two layers"),
        ("f05_fixed_depth", "none of the depths 1, 2 and 24 fits a model of 6 layers"),
    ],
)
def test_left_out_when_no_layer_is_left(name, reason, tmp_path):
    drawing = figures.draw(name, make(tmp_path, layers=[5]), "m", settings(trace_layer=5))
    assert isinstance(drawing, LeftOut)
    assert reason in drawing.reason


def test_tokens_left_out_when_none_were_followed(tmp_path):
    results = make(tmp_path)
    other = make(tmp_path / "other", pairs=("odd",))
    table_path(other.root, "m", tables.TOKENS, "s0-of-1").rename(table_path(tmp_path, "m", tables.TOKENS, "s0-of-1"))
    assert isinstance(figures.draw("x02_tokens", results, "m", settings()), LeftOut)


def test_one_later_layer_is_enough(tmp_path):
    results = make(tmp_path, n_layers=2, layers=range(2))
    for name in ("f03_record_layers", "f08_step_sizes", "f05_fixed_depth"):
        figures.save(drawn(name, results, settings()), tmp_path, name, 40)


def test_unknown_pair_is_an_input_error(results):
    with pytest.raises(InputError, match=r"no prompt pair 'nowhere'.*big-in"):
        figures.draw("f02_logits", results, "m", settings("nowhere"))


def test_registry():
    assert set(OURS) <= set(figures.NAMES)
    assert list(figures.FIGURES) == list(figures.NAMES)
    assert len(figures.FIGURES) == len(figures.NAMES)
    with pytest.raises(KeyError):
        figures.FIGURES["f99"]


def test_no_torch_and_no_pyplot():
    import subprocess
    import sys

    code = "import sys, plateaus.figures as f; [f.FIGURES[n] for n in f.NAMES]; import plateaus.page.notebook; "
    code += "print(sorted({'torch', 'matplotlib.pyplot', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# The wording of captions and alt texts


def test_wording():
    assert wording.number(-0.001) == "0.00"
    assert wording.number(-0.5) == "−0.50"
    assert [wording.significant(x) for x in (0, 0.000123, 12.34, 123456.0, 0.25)] == [
        "0",
        "0.00012",
        "12",
        "1.2e+05",
        "0.25",
    ]
    assert wording.layers([3, 1, 2]) == "1 to 3"
    assert wording.layers([0, 4]) == "0 and 4"
    assert wording.listed([]) == "none"
    assert wording.listed("ab") == "a and b"
    assert re.sub(r"\\(.)", r"\1", wording.escape("[a_b] *c* $d$ <e> @f")) == "[a_b] *c* $d$ <e> @f"
    assert wording.shortened("abcdef", 4) == "abc…"
    assert wording.shortened("abcdef", 4, keep_end=True) == "…def"


def test_letters_that_the_font_lacks_are_named():
    assert style.drawable(" 房\n") == " U+623F⏎"
    assert style.drawable("  x ", space="␣") == "␣␣x␣"
    assert style.drawable("   ", space="␣") == "␣␣␣"


def test_layer_colours_of_one_layer():
    assert len(style.layer_colours("magma", [3]).to_rgba(np.asarray(3))) == 4


# The picture of the workflow

EDGES = {
    "fetch": (),
    "extract": ("fetch",),
    "interpolate": ("fetch", "extract"),
    "freeze": ("extract",),
    "report": ("interpolate", "freeze", "fetch"),
}


def test_workflow_picture(tmp_path):
    assert dag.depths(EDGES) == {"fetch": 0, "extract": 1, "interpolate": 2, "freeze": 2, "report": 3}
    assert set(dag.needed(EDGES)) == {
        ("fetch", "extract"),
        ("extract", "interpolate"),
        ("extract", "freeze"),
        ("interpolate", "report"),
        ("freeze", "report"),
    }
    for name in ("one", "two"):
        dag.save(dag.draw(EDGES), tmp_path / f"{name}.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert "report takes interpolate, freeze, fetch" in dag.alt(EDGES)


def test_workflow_picture_of_a_circle():
    with pytest.raises(ValueError, match="a -> b -> a"):
        dag.depths({"a": ("b",), "b": ("a",)})
