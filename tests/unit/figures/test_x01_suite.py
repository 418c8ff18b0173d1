"""Tests of the figure of the prompt suite: which pairs are counted, what is drawn, and what the texts say."""

from __future__ import annotations

import numpy as np
import pytest

from plateaus import figures
from plateaus.curves.sharpness import Rule
from plateaus.data import tables
from plateaus.data.results import Results, table_path
from plateaus.drawing import suite
from plateaus.drawing.contract import Drawing, LeftOut, Settings
from plateaus.figures import drawn as stage_output
from plateaus.figures import x01_suite
from plateaus.page import narrative, notebook

TAGS = {
    "class-1": "suite;same-class;natural",
    "class-2": "suite; same-class; natural",
    "class-3": "natural;suite;same-class",
    "pos-1": "suite;same-pos;natural",
    "cross-1": "suite;cross-pos;natural",
    "cross-2": "suite;cross-pos;natural",
    "tokens-1": "suite;same-class;random-tokens",
    "empty-1": "suite;cross-pos;empty",
    "shown-1": "published",
    "shown-2": "published;suite;same-class;natural",
    "own-1": "",
}
WIDTHS = dict(zip(TAGS, (0.1, 0.2, 0.6, 0.3, 0.7, 0.72, 0.15, 0.75, 0.05, 0.55, 0.01), strict=True))
POOLED = [pair for pair, text in TAGS.items() if "natural" in text and "published" not in text]
SETTINGS = Settings(("shown-1",), (1,), 80, "viridis", 0, Rule())


def make(root, models=("m", "m-random"), pairs=tuple(TAGS), layer=0) -> Results:
    """Write tables in two shards; the second model's widths are 0.8, but `class-3` is narrower than on the first."""
    for model in models:
        for shard in (0, 1):
            own = list(pairs)[shard::2]
            ends = {name: [1.0] * len(own) for name in tables.ENDPOINTS.columns}
            ends |= {name: [1] * len(own) for name in ("token_a", "token_b", "prefix_length")}
            ends |= {"pair": own, "tags": [TAGS[pair] for pair in own], "separator": [" "] * len(own)}
            ends |= {name: ["x"] * len(own) for name in ("context", "a", "b")}
            w = [WIDTHS[pair] if model == "m" else 0.5 if pair == "class-3" else 0.8 for pair in own]
            parts = []
            for stage, site, start, width in (
                ("interpolate", "logits", layer, w),
                ("interpolate", "logits", layer + 1, [0.02] * len(own)),
                ("interpolate", "resid_post", layer, [0.03] * len(own)),
                ("freeze", "logits", layer, [0.04] * len(own)),
            ):
                part = {name: np.full(len(own), 0.1) for name in tables.SHARPNESS.columns}
                part |= {"pair": own, "stage": [stage] * len(own), "condition": ["none"] * len(own), "w": width}
                part |= {"interp_layer": [start] * len(own), "site": [site] * len(own), "record_layer": [9] * len(own)}
                parts.append(part | {"plateau": [one <= 0.25 for one in width]})
            rows = {name: [value for part in parts for value in part[name]] for name in parts[0]}
            for table, columns in ((tables.ENDPOINTS, ends), (tables.SHARPNESS, rows)):
                tables.write(table_path(root, model, table, f"s{shard}-of-2"), table, columns, {})
    return Results(root, list(models), ["s0-of-2", "s1-of-2"])


@pytest.fixture
def results(tmp_path) -> Results:
    return make(tmp_path)


def drawn(results: Results) -> Drawing:
    drawing = figures.draw("x01_suite", results, "m", SETTINGS)
    assert isinstance(drawing, Drawing)
    return drawing


def points(ax) -> dict[str, list[float]]:
    return {
        collection.get_label(): sorted(np.asarray(collection.get_offsets())[:, 0].round(4).tolist())
        for collection in ax.collections
    }


def test_every_pair_is_drawn_in_its_own_row_and_untagged_pairs_are_not(results):
    left, right = drawn(results).figure.axes
    assert points(left) == {
        "same class": [0.1, 0.2, 0.6],
        "same part of speech": [0.3],
        "different part of speech": [0.7, 0.72],
        "control: random tokens": [0.15],
        "control: empty context": [0.75],
        "the post’s pairs": [0.05, 0.55],
    }
    assert points(right)["same class"] == [0.5, 0.8, 0.8]
    rows = [text.get_text().replace("\n", " ") for text in left.get_yticklabels()]
    assert rows == list(points(left))
    for collection, row in zip(left.collections, range(6), strict=True):
        assert np.abs(np.asarray(collection.get_offsets())[:, 1] - row).max() < 0.45
    assert [ax.get_title(loc="left") for ax in (left, right)] == ["m", "m-random"]


def test_filled_points_are_those_that_meet_the_rule(results):
    left = drawn(results).figure.axes[0]
    for collection in left.collections:
        w = np.asarray(collection.get_offsets())[:, 0]
        white = (collection.get_facecolors() == 1).all(axis=1)
        np.testing.assert_array_equal(white, w > 0.25)


def test_the_rule_and_a_straight_line_are_marked(results):
    for ax in drawn(results).figure.axes:
        upright = {line.get_xdata()[0] for line in ax.lines if list(line.get_ydata()) == [0, 1]}
        assert upright == {0.25, 0.8}


def test_medians_are_drawn_for_all_but_the_posts_pairs(results):
    left = drawn(results).figure.axes[0]
    bars = [float(line.get_xdata()[0]) for line in left.lines if len(set(line.get_xdata())) == 1]
    assert [bar for bar in bars if bar not in (0.25, 0.8)] == pytest.approx([0.2, 0.3, 0.71, 0.15, 0.75])


def test_caption_counts_the_natural_pairs_of_the_suite_alone(results):
    """Compare with a count by hand, 2 of 6, and Wilson's interval from its quadratic equation, (0.0968, 0.7000)."""
    n, k, z = len(POOLED), 2, 1.959964
    middle, spread = k / n + z * z / (2 * n), z * np.sqrt(k / n * (1 - k / n) / n + z * z / (4 * n * n))
    low, high = (100 * (middle + sign * spread) / (1 + z * z / n) for sign in (-1, 1))
    caption = drawn(results).caption
    assert f"`m`: 2 of 6 (33.3 %, 95 % interval {low:.1f} to {high:.1f} %)" in caption
    assert "`m-random`: 0 of 6 (0.0 %, 95 % interval 0.0 to 39.0 %)" in caption
    assert "not counted" in caption
    assert "at most 0.25" in caption


def test_alt_says_what_there_is_to_see(results):
    alt = drawn(results).alt
    assert "same class: 3 pairs, median w 0.20, 2 meeting the rule" in alt
    assert "the post’s pairs: w = 0.05 and 0.55" in alt
    assert alt.startswith("2 panels")


def test_finding_compares_the_models_pair_by_pair(results):
    said = narrative.FINDINGS["x01_suite"](results, "m", SETTINGS)
    median = float(np.median([WIDTHS[pair] for pair in POOLED]))
    assert (
        f"On `m` the median of w over 6 pairs in natural contexts is {median:.2f} (by kind: same class 0.20, same"
        in said
    )
    assert "5 of 6 pairs are sharper on `m` than on `m-random`." in said


def page(results: Results) -> notebook.Page:
    """Return the page of a run whose figures stage has drawn this figure."""
    run = stage_output.Run(results.root, results.models, results.shards, SETTINGS)
    task = stage_output.Task("x01_suite", stage_output.ALL)
    stage_output.write(run.root, [stage_output.draw(run, results, task)], {})
    context = {"results": str(run.root), "models": list(run.models), "shards": list(run.shards)}
    return notebook.Page({**context, "settings": SETTINGS._asdict()})


def test_the_page_links_all_shards_of_all_models(results, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    page(results).show("x01_suite")
    printed = capsys.readouterr().out
    for model in results.models:
        for shard in results.shards:
            assert f"(../data/{model}/sharpness/{shard}.parquet)" in printed
    assert "{#fig-x01_suite " in printed
    assert "5 of 6 pairs are sharper" in printed


def test_models_without_the_layer_have_no_panel(tmp_path):
    make(tmp_path, models=("m",))
    make(tmp_path, models=("late",), layer=3)
    drawing = drawn(Results(tmp_path, ["m", "late"], ["s0-of-2", "s1-of-2"]))
    assert [ax.get_title(loc="left") for ax in drawing.figure.axes] == ["m"]
    late = figures.draw("x01_suite", Results(tmp_path, ["late"], ["s0-of-2", "s1-of-2"]), "late", SETTINGS)
    assert isinstance(late, LeftOut)
    assert "did not interpolate at layer 0" in late.reason


@pytest.mark.parametrize("pairs", [("shown-1", "own-1"), ("own-1", "shown-1", "shown-2")])
def test_left_out_without_pairs_of_the_suite(pairs, tmp_path):
    drawing = figures.draw("x01_suite", make(tmp_path, pairs=pairs), "m", SETTINGS)
    assert isinstance(drawing, LeftOut)
    assert "tagged suite" in drawing.reason


def test_the_page_says_why_without_naming_one_model(capsys, tmp_path):
    page(make(tmp_path, pairs=("shown-1", "own-1"))).show("x01_suite")
    assert capsys.readouterr().out.startswith("Not drawn: no pair of this run’s prompt table is tagged suite.")


def test_controls_alone_are_drawn_and_nothing_is_counted(tmp_path):
    results = make(tmp_path, pairs=("tokens-1", "empty-1"))
    assert "`m`: none, because the run has no such pairs" in drawn(results).caption
    assert x01_suite.finding(results, "m", SETTINGS) == "No pair of the suite is in a natural context."


def test_a_pair_of_the_suite_that_fits_no_kind_is_shown_and_not_counted():
    other = suite.kind_of(suite.tags_of("suite;natural"))
    assert other == suite.OTHER
    assert not other.pooled
    assert suite.kind_of(suite.tags_of("same-class;natural")) is None
    assert suite.kind_of(suite.tags_of("published; suite")) == suite.POST


def test_points_of_one_place_do_not_lie_on_each_other():
    w = np.array([0.8] * 40 + [0.1, 0.8, 0.1])
    offsets = x01_suite.stacked(w)
    assert len({(place, offset) for place, offset in zip(w, offsets, strict=True)}) == len(w)
    assert np.abs(offsets).max() < 0.45
    assert offsets[w == 0.1].sum() == pytest.approx(0)


def test_same_bytes_twice(results, tmp_path):
    for folder in ("one", "two"):
        figures.save(drawn(results), tmp_path / folder, "x01_suite", 80)
    for kind in ("svg", "png"):
        one, two = ((tmp_path / folder / f"x01_suite.{kind}").read_bytes() for folder in ("one", "two"))
        assert one == two
