"""Tests of the figure of the prompt suite: which pairs each line stands for, what is marked, and what the texts say."""

from __future__ import annotations

from statistics import median

import numpy as np
import pytest

from plateaus import figures
from plateaus.curves.sharpness import Rule
from plateaus.data import tables
from plateaus.data.results import Results, table_path
from plateaus.drawing import suite
from plateaus.drawing.contract import About, Drawing, LeftOut, Settings
from plateaus.figures import drawn as stage_output
from plateaus.figures import x01_suite
from plateaus.page import narrative, notebook
from tests.unit.figures.test_figures import clipped

TAGS = {
    "natural-1": "suite;natural;same-class",
    "natural-2": "suite; natural; other-class; deep",
    "natural-3": "natural;suite;other-class",
    "natural-4": "suite;natural;same-class;deep",
    "unnatural-1": "suite;unnatural;same-class;of:natural-1",
    "unnatural-2": "suite;unnatural;other-class;of:natural-2",
    "unnatural-3": "suite; unnatural; other-class; of:natural-3",
    "tokens-1": "suite;random-tokens",
    "empty-1": "suite;empty",
    "shown-1": "published",
    "shown-2": "published;suite;natural;same-class",
    "own-1": "natural",
}
NATURAL, UNNATURAL, CONTROLS = "natural pairs", "same words where neither can stand", "random tokens or no context"
RANDOM = "natural pairs, random weights"
MEMBERS = {
    NATURAL: [f"natural-{number}" for number in (1, 2, 3, 4)],
    UNNATURAL: [f"unnatural-{number}" for number in (1, 2, 3)],
    CONTROLS: ["tokens-1", "empty-1"],
    RANDOM: [f"natural-{number}" for number in (1, 2, 3, 4)],
}
MODELS = {
    "m": About(parameters=100),
    "m-random": About(parameters=100, trained=False, like="m"),
    "n": About(parameters=900),
    "n-random": About(parameters=900, trained=False, like="n"),
}
SHARDS = ("s0-of-2", "s1-of-2")
STRONG = {
    "natural-1": 0.7,
    "natural-2": 0.5,
    "natural-3": 0.125,
    "natural-4": -0.1,
    "unnatural-1": 0.25,
    "shown-1": 0.9,
}


def strength(model: str, pair: str, site: str) -> float:
    """Return a strength that differs for every model, pair and site; with random weights natural-3 has the largest."""
    number = list(TAGS).index(pair)
    if not MODELS[model].trained:
        return (0.05 if pair == "natural-3" else -0.02) + (0.002 * number if model == "m-random" else 0.001 * number)
    s = STRONG.get(pair, 0.01 * number)
    return s - (0.015 if model == "n" else 0) + (0.03 if site == "next_token" else 0)


def make(root, models=tuple(MODELS), pairs=tuple(TAGS), layer=0) -> Results:
    """Write tables in two shards, with further curves that the figure must not show."""
    for model in models:
        for number, shard in enumerate(SHARDS):
            own = list(pairs)[number::2]
            ends = {name: [1.0] * len(own) for name in tables.ENDPOINTS.columns}
            ends |= {name: [ord(model[0])] * len(own) for name in ("token_a", "token_b", "prefix_length")}
            ends |= {"pair": own, "tags": [TAGS[pair] for pair in own], "separator": [" "] * len(own)}
            ends |= {"context": ["x"] * len(own), "a": ["big"] * len(own), "b": own}
            parts = []
            for stage, site, start, add in (
                ("interpolate", "logits", layer, 0),
                ("interpolate", "next_token", layer, 0),
                ("interpolate", "logits", layer + 1, 1),
                ("interpolate", "resid_post", layer, 2),
                ("freeze", "logits", layer, 3),
            ):
                s = [strength(model, pair, site) + add for pair in own]
                part = {name: np.full(len(own), 0.1) for name in tables.SHARPNESS.columns}
                part |= {"pair": own, "stage": [stage] * len(own), "condition": ["none"] * len(own), "strength": s}
                part |= {"interp_layer": [start] * len(own), "site": [site] * len(own), "record_layer": [9] * len(own)}
                part |= {"plateau": [one > 0.69 for one in s], "half_plateau": [one >= 0.5 for one in s]}
                parts.append(part)
            rows = {name: [value for part in parts for value in part[name]] for name in parts[0]}
            for table, columns in ((tables.ENDPOINTS, ends), (tables.SHARPNESS, rows)):
                tables.write(table_path(root, model, table, shard), table, columns, {})
    return Results(root, list(models), SHARDS)


def settings(models=tuple(MODELS), **changes) -> Settings:
    about = {model: MODELS[model] for model in models}
    return Settings(("shown-1",), (1,), 80, "viridis", 0, Rule(), about)._replace(**changes)


SETTINGS = settings()


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Results:
    return make(tmp_path_factory.mktemp("suite"))


def drawn(results: Results, using: Settings = SETTINGS) -> Drawing:
    drawing = figures.draw("x01_suite", results, "m", using)
    assert isinstance(drawing, Drawing)
    return drawing


def lines(ax) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {str(line.get_label()): (np.asarray(line.get_xdata()), np.asarray(line.get_ydata())) for line in ax.lines}


def panels_of(drawing: Drawing):
    """Yield each panel with its model, the copy of the model and the site that it should show."""
    places = [(model, f"{model}-random", site) for model in ("m", "n") for site in ("logits", "next_token")]
    return zip(drawing.figure.axes, places, strict=True)


def test_each_line_is_the_distribution_of_its_own_pairs(results):
    """Count at every x by a loop, and compare with the height of the steps there."""
    for ax, (model, copy, site) in panels_of(drawn(results)):
        found = lines(ax)
        assert [label for label in found if label in MEMBERS] == list(MEMBERS)
        for label, members in MEMBERS.items():
            values = [strength(copy if label == RANDOM else model, pair, site) for pair in members]
            x, y = found[label]
            for at in np.arange(-0.2, 1.03, 0.0037):
                counted = sum(one <= at for one in values) / len(values)
                assert y[np.searchsorted(x, at, side="right") - 1] == pytest.approx(counted), (label, at)
    assert all(line.get_drawstyle() == "steps-post" for line in ax.lines if line.get_label() in MEMBERS)


def test_panels_are_named_and_share_their_axes(results):
    axes = drawn(results).figure.axes
    titles = [ax.get_title(loc="left").split("\n") for ax in axes]
    assert titles == [[model, name] for model in ("m", "n") for name in ("Logits", "Next-token distributions")]
    assert len({ax.get_xlim() for ax in axes}) == 1
    assert all(axes[0].get_xlim()[0] < x for ax in axes for label in MEMBERS for x in lines(ax)[label][0][1:])


def test_medians_lie_on_their_lines(results):
    for ax, (model, copy, site) in panels_of(drawn(results)):
        found = lines(ax)
        for label, members in MEMBERS.items():
            x, y = found[f"median of {label}"]
            values = [strength(copy if label == RANDOM else model, pair, site) for pair in members]
            assert (x[0], y[0]) == (pytest.approx(median(values)), 0.5)


def test_lines_differ_by_more_than_colour(results):
    drawing = drawn(results)
    shown = [line for line in drawing.figure.axes[0].lines if line.get_label() in MEMBERS]
    assert len({line.get_color() for line in shown}) == len({str(line._dash_pattern) for line in shown}) == len(MEMBERS)
    [legend] = drawing.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(MEMBERS)
    assert len({handle.get_marker() for handle in legend.legend_handles}) == len(MEMBERS)


def test_the_path_and_the_rule_are_marked(results):
    using = SETTINGS._replace(rule=Rule(strength_at_least=0.4))
    for ax in drawn(results, using).figure.axes:
        upright = [line.get_xdata()[0] for line in ax.lines if list(line.get_ydata()) == [0, 1]]
        assert upright == [0, 0.4]
        assert {"follows the path", "half-plateau"} <= {text.get_text() for text in ax.texts}
    assert "From s = 0.4 (dashed)" in drawn(results, using).caption


def test_the_posts_pairs_are_ticks_with_their_words(results):
    for ax, (model, _, site) in panels_of(drawn(results)):
        ticks = {label: x[0] for label, (x, y) in lines(ax).items() if list(y) == [0, 0.05]}
        assert ticks == {
            f"_big → {pair}": pytest.approx(strength(model, pair, site)) for pair in ("shown-1", "shown-2")
        }
        assert {"big → shown-1", "big → shown-2"} <= {text.get_text() for text in ax.texts}
        assert not any("own-1" in text.get_text().replace("shown", "") for text in ax.texts)


def test_caption_counts_the_pairs_of_every_line(results):
    caption = drawn(results).caption
    assert (
        "On `m`, measured by logits: 50.0 % and 25.0 % of 4 natural pairs, 0.0 % and 0.0 % of 3 pairs of the same words "
        "where neither can stand, 0.0 % and 0.0 % of 2 pairs after random tokens or without a context and 0.0 % and "
        "0.0 % of 4 natural pairs under random weights (`m-random`)." in caption
    )
    assert "On `n`, measured by logits: 25.0 % and 0.0 % of 4" in caption
    assert "not counted" in caption


def test_alt_says_what_there_is_to_see(results):
    alt = drawn(results).alt
    assert alt.startswith("4 panels of the share of prompt pairs against strength s")
    assert "m, logits: natural pairs, rising from s = −0.10 to 0.70 with median 0.31;" in alt
    assert "natural pairs, random weights, rising from s = −0.02 to 0.05 with median −0.02;" in alt
    assert "tick of [big → shown-1] at s = 0.90" in alt


def test_finding_compares_natural_pairs_with_both_controls(results):
    said = narrative.FINDINGS["x01_suite"](results, "m", SETTINGS)
    assert (
        "On `m`, measured by logits, the median of s is 0.31 over 4 natural pairs, 0.06 for the same words where "
        "neither can stand and −0.02 for natural pairs under random weights; 3 of the 4 natural pairs are above 0.05, "
        "the largest s under random weights." in said
    )
    assert said.count("largest s under random weights") == 4


def test_without_a_copy_there_is_no_line_of_it(tmp_path):
    results, using = make(tmp_path, models=("m",)), settings(["m"])
    drawing = drawn(results, using)
    assert [label for label in lines(drawing.figure.axes[0]) if label in MEMBERS] == [NATURAL, UNNATURAL, CONTROLS]
    assert "random weights" not in drawing.caption + drawing.alt + x01_suite.finding(results, "m", using)


def test_a_copy_is_the_first_one_of_its_model(results):
    twice = SETTINGS._replace(models={**MODELS, "n-random": About(trained=False, like="m")})
    assert suite.random_copies(results, SETTINGS) == {"m": "m-random", "n": "n-random"}
    assert suite.random_copies(results, twice) == {"m": "m-random"}


def page(results: Results, using: Settings) -> notebook.Page:
    """Return the page of a run whose figures stage has drawn this figure."""
    run = stage_output.Run(results.root, results.models, results.shards, using)
    task = stage_output.Task("x01_suite", stage_output.ALL)
    stage_output.write(run.root, [stage_output.draw(run, results, task)], {})
    context = {"results": str(run.root), "models": list(run.models), "shards": list(run.shards)}
    return notebook.Page({**context, "settings": using._asdict()})


def test_the_page_links_all_shards_of_all_models(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    results = make(tmp_path, models=("m", "m-random"))
    page(results, settings(results.models)).show("x01_suite")
    printed = capsys.readouterr().out
    for model in results.models:
        for shard in results.shards:
            assert f"(../data/{model}/sharpness/{shard}.parquet)" in printed
    assert "{#fig-x01_suite " in printed
    assert "3 of the 4 natural pairs are above 0.05" in printed


def test_models_without_the_layer_have_no_panel(tmp_path):
    make(tmp_path, models=("m",))
    make(tmp_path, models=("n",), layer=3)
    drawing = drawn(Results(tmp_path, ["m", "n"], SHARDS), settings(["m", "n"]))
    assert len(drawing.figure.axes) == 2
    late = figures.draw("x01_suite", Results(tmp_path, ["n"], SHARDS), "n", settings(["n"]))
    assert isinstance(late, LeftOut)
    assert "did not interpolate at layer 0" in late.reason


@pytest.mark.parametrize("pairs", [("shown-1", "own-1"), ("own-1", "shown-1", "shown-2")])
def test_left_out_without_pairs_of_the_suite(pairs, tmp_path, capsys):
    results, using = make(tmp_path, models=("m",), pairs=pairs), settings(["m"])
    page(results, using).show("x01_suite")
    assert capsys.readouterr().out.startswith("Not drawn: no pair of this run’s prompt table is tagged suite.")


def test_left_out_without_a_trained_model(tmp_path):
    results = make(tmp_path, models=("m-random",))
    drawing = figures.draw("x01_suite", results, "m-random", settings(["m-random"]))
    assert isinstance(drawing, LeftOut)
    assert "no trained model" in drawing.reason


def test_controls_alone_are_drawn(tmp_path):
    results, using = (
        make(tmp_path, models=("m", "m-random"), pairs=("tokens-1", "empty-1")),
        settings(["m", "m-random"]),
    )
    assert [label for label in lines(drawn(results, using).figure.axes[0]) if label in MEMBERS] == [CONTROLS]
    assert x01_suite.finding(results, "m", using) == "No pair of the suite is in a natural context."


@pytest.mark.parametrize("at", [[0.0], [0.1, 0.1], [-0.2, 0.0, 0.01], [0.5, 0.9, 0.95, 1.0], [-0.2, 0.3, 1.0]])
def test_labels_are_moved_apart_and_stay_inside(at):
    places, widths = np.array(at), np.full(len(at), 0.3)
    middles = x01_suite.spread(places, widths, -0.2, 1.03)
    assert np.all(np.diff(middles) >= 0.3 - 1e-9)
    assert middles[0] - 0.15 >= -0.2 - 1e-9
    assert middles[-1] + 0.15 <= 1.03 + 1e-9
    far = x01_suite.spread(np.array([0.0, 0.5]), np.array([0.3, 0.3]), -0.2, 1.03)
    np.testing.assert_array_equal(far, [0.0, 0.5])


def test_same_bytes_twice(results, tmp_path):
    assert clipped(drawn(results).figure) == []
    for folder in ("one", "two"):
        figures.save(drawn(results), tmp_path / folder, "x01_suite", 80)
    for kind in ("svg", "png"):
        one, two = ((tmp_path / folder / f"x01_suite.{kind}").read_bytes() for folder in ("one", "two"))
        assert one == two
