"""The words of the sentences follow the numbers for any result, and the page's cells print Markdown."""

from __future__ import annotations

import json
import os
import re

import numpy as np
import pytest

from plateaus import figures
from plateaus.curves.sharpness import Rule, Sharpness, is_plateau
from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.errors import InputError
from plateaus.figures import drawn
from plateaus.page import narrative, notebook
from plateaus.page import tables as page_tables
from tests.unit.figures.test_figures import LAYERS, OURS, distance, make, settings


@pytest.fixture
def results(tmp_path) -> Results:
    return make(tmp_path)


def curve(alpha10: float, midpoint: float, alpha90: float, departure: float) -> Sharpness[float]:
    return Sharpness(alpha10, midpoint, 1 - alpha90, alpha10 + 1 - alpha90, 1.0, departure)


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (curve(0.4, 0.5, 0.6, 0.0), "meets the plateau rule"),
        (curve(0.1, 0.5, 0.9, 0.0), "about as gradual as a straight line"),
        (curve(0.3, 0.5, 0.7, 0.0), "does not meet the plateau rule (w is above 0.25)"),
        (curve(0.01, 0.02, 0.2, 0.0), "rests near A for less than 0.1"),
        (curve(0.8, 0.9, 0.95, 0.0), "rests near B for less than 0.1"),
        (curve(0.4, 0.5, 0.6, 0.3), "departs from a monotone curve by more than 0.1"),
        (
            curve(0.05, 0.5, 0.6, 0.3),
            "w is above 0.25, it rests near A for less than 0.1 and it departs from a monotone curve",
        ),
    ],
)
def test_shape(found, word):
    assert word in narrative.shape(found, Rule())


def test_shape_follows_the_rule_of_the_config():
    found = curve(0.35, 0.5, 0.65, 0.0)
    assert "w is above 0.25" in narrative.shape(found, Rule())
    assert narrative.shape(found, Rule(w_at_most=0.31)) == "meets the plateau rule"
    assert "rests near A for less than 0.4 and it rests near B for less than 0.4" in narrative.shape(
        found, Rule(0.31, 0.4)
    )


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ([0.8, 0.6, 0.4, 0.2], "falls steadily"),
        ([0.2, 0.4, 0.6, 0.8], "rises steadily"),
        ([0.2, 0.6, 0.4, 0.8], "rises on the whole"),
        ([0.8, 0.2, 0.8, 0.2], "has no clear trend"),
        ([0.80, 0.81, 0.82, 0.83], "hardly changes"),
        ([0.5, 0.5, 0.5, 0.5], "hardly changes"),
        ([0.2, 0.8], "rises steadily"),
    ],
)
def test_trend(values, word):
    if word == "has no clear trend":
        values = [0.2, 0.8, 0.7, 0.1]
    assert narrative.trend(range(len(values)), values) == word


def test_findings_speak_of_every_pair_and_of_measured_numbers(results):
    for name in set(OURS) & set(narrative.FINDINGS):
        said = narrative.FINDINGS[name](results, "m", settings())
        assert said.count("\\[big → in\\]") == said.count("\\[big → large\\]") == 1, name
        assert "nan" not in said
    found = narrative.widths(results, "m", "big-in", interp=0, record=None)
    said = narrative.record_layers(results, "m", settings())
    assert set(found) == set(range(1, LAYERS))
    assert f"falls steadily with the recording layer, from {found[1]:.2f} at layer 1 to {found[5]:.2f}" in said
    assert "w hardly changes with the recording layer, from 0.80" in said
    largest = max(found[layer] - found[layer + 1] for layer in range(1, LAYERS - 1))
    assert f"The largest single fall is {largest:.2f} of {found[1] - found[5]:.2f}" in said


def test_findings_of_one_layer_and_one_depth(tmp_path):
    small = make(tmp_path, n_layers=2, layers=range(2))
    for name in ("f02_logits", "f03_record_layers", "f05_fixed_depth", "f08_step_sizes", "x02_tokens"):
        assert "\\[big → in\\]" in narrative.FINDINGS[name](small, "m", settings())


def test_interpolation_layers_and_fixed_depth_follow_the_number_of_layers_between(results):
    assert "w rises steadily with the interpolation layer" in narrative.interpolation_layers(results, "m", settings())
    said = narrative.fixed_depth(results, "m", settings())
    assert "the median of w over L falls steadily with N" in said
    assert "As L grows at a fixed N, w hardly changes at N = 1" in said


def test_step_sizes_name_a_peak_only_where_there_is_one(results):
    said = narrative.step_sizes(results, "m", settings())
    peak = np.diff(distance("big-in", 5)).max() * 20
    assert f"at layer 5 the largest step is {peak:.2f} times the mean" in said
    assert "inside its boundary" in said
    assert "For \\[big → large\\], there is no peak at layer 5" in said


def test_overview_counts_plateaus(results):
    said = narrative.overview(results, settings())
    rows = narrative.summary(results, settings())
    assert [is_plateau(row.sharpness, Rule()) for row in rows] == [True, False]
    assert said.startswith("Of 2 curves, 1 meets the plateau rule.")
    assert "The sharpest is \\[big → in\\] on `m`" in said
    none = settings()._replace(rule=Rule(w_at_most=0.001))
    assert narrative.overview(results, none).startswith("Of 2 curves, none meets the plateau rule.")
    assert narrative.overview(results, settings("big-large")).startswith("Of 1 curve, none meets the plateau rule.")


def test_overview_without_the_trace_layer(tmp_path):
    assert "No model" in narrative.overview(make(tmp_path, layers=[1]), settings())


# The page


@pytest.fixture
def page(tmp_path, monkeypatch) -> notebook.Page:
    make(tmp_path / "run", model="m.1")
    make(tmp_path / "run", model="m-1")
    check = {"pair": ["big-in"], "interp_layer": [0], "end": ["a"], "logit_error": [2.34e-5]}
    for model in ("m.1", "m-1"):
        path = notebook.table_path(tmp_path / "run", model, tables.ENDPOINT_CHECK, "s0-of-1")
        tables.write(path, tables.ENDPOINT_CHECK, check, {})
    job = {"shard": "s0-of-1", "seconds": 2.0, "cpu_seconds": 1.5, "peak_memory_gb": 1.25, "machine": "a | machine"}
    context = {
        "results": str(tmp_path / "run"),
        "models": ["m.1", "m-1"],
        "shards": ["s0-of-1"],
        "settings": settings()._asdict(),
        "title": "T",
        "config": {"interpolate": {"path": "linear"}, "models": {"m.1": {"centre": True}, "m-1": {}}},
        "stages": [{**job, "stage": "extract", "model": "m.1"}, {**job, "stage": "extract", "model": "m.1"}],
        "bos": {"m.1": "<bos>", "m-1": "none"},
        "cards": {"m.1": {"name": "A_model", "layers": 6, "weights_sha256": "0" * 64, "files": {"x": 1}}, "m-1": {}},
        "versions": {"plateaus": "0.1.0"},
        "dag": None,
    }
    (tmp_path / "context.json").write_text(json.dumps(context))
    monkeypatch.setenv(notebook.VARIABLE, str(tmp_path / "context.json"))
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "run", settings())
    return notebook.Page.from_environment()


def draw(root, chosen) -> None:
    """Draw and record figures as the figures stage does, limited to those that the tables of this test allow."""
    run = drawn.Run(root, ("m.1", "m-1"), ("s0-of-1",), chosen)
    tasks = [drawn.Task("f02_logits", model) for model in run.models] + [drawn.Task("f01_method", drawn.ALL)]
    drawn.write(root, [drawn.draw(run, run.results, task) for task in tasks], {})


def test_show_prints_a_tab_per_model_and_saves_what_it_prints(page, capsys, tmp_path):
    page.show("f02_logits")
    printed = capsys.readouterr().out
    assert printed.count('::: {.panel-tabset group="model"}') == 1
    assert re.findall(r"^## (.*)$", printed, re.MULTILINE) == ["m.1", "m-1"]
    pictures = re.findall(r"\]\((drawn/\S+\.svg)\)\{#(\S+) fig-alt=\"", printed)
    assert [name for _, name in pictures] == ["fig-f02_logits-m-1-0", "fig-f02_logits-m-1-1"]
    for file, _ in pictures:
        assert (tmp_path / file).is_file()
    assert "(../figures/m.1/f02_logits.svg)" in printed
    assert "(../data/m.1/interpolate/s0-of-1.parquet)" in printed
    assert "(../data/m.1/extract/s0-of-1.endpoints.parquet)" in printed
    assert page.ref("f02_logits") == "@fig-f02_logits-m-1-0"
    drawing = figures.draw("f02_logits", page.results, "m.1", page.settings)
    figures.save(drawing, tmp_path / "again", "f02_logits", 80)
    assert (tmp_path / "again" / "f02_logits.svg").read_bytes() == (tmp_path / pictures[0][0]).read_bytes()
    assert page.drawing("f02_logits", "m.1").caption == drawing.caption
    assert page.drawing("f02_logits", "m.1").tables == drawing.tables


def test_figures_are_the_same_from_any_number_of_processes(page, tmp_path, monkeypatch):
    run = drawn.Run(tmp_path / "run", ("m.1", "m-1"), ("s0-of-1",), settings())
    todo = [drawn.Task("f01_method", drawn.ALL), drawn.Task("f02_logits", "m.1")]
    monkeypatch.setattr(drawn, "tasks", lambda run: todo)
    made = []
    for processes in (1, 2):
        rows = dict(drawn.draw_all(run, processes))
        made.append((rows, [(run.root / "figures" / task.file).read_bytes() for task in todo]))
    assert made[0] == made[1]
    assert list(made[0][0]) == todo


def test_a_figure_that_was_deleted_is_named(page, tmp_path):
    drawn.check(tmp_path / "run")
    (tmp_path / "run" / "figures" / "m-1" / "f02_logits.svg").unlink()
    with pytest.raises(InputError, match=r"m-1/f02_logits.svg is missing: .*--forcerun figures"):
        drawn.check(tmp_path / "run")


def test_show_of_a_figure_of_no_model(page, capsys):
    page.show("f01_method")
    printed = capsys.readouterr().out
    assert "{#fig-f01_method " in printed
    assert "panel-tabset" not in printed
    assert "(../figures/f01_method.png)" in printed


def test_show_says_why_a_figure_is_left_out(page, capsys, tmp_path):
    draw(tmp_path / "run", settings()._replace(trace_layer=99))
    page = notebook.Page.from_environment()
    page.show("f02_logits")
    assert "Not drawn for `m.1`: this run did not interpolate at layer 99." in capsys.readouterr().out
    assert not page.ref("f02_logits").startswith("@")


def test_numbers_of_sentences(page):
    assert (page.steps, page.trace_layer) == (21, 0)
    assert page.endpoint_error == "$2 \\times 10^{-5}$"
    assert page.path == "linear"
    assert page.rule == Rule()
    assert page.centred == "for `m.1`"
    assert page.pairs.startswith("“The house was …” \\[big → in\\] and")
    assert page.model_list == "`m.1` (6 layers) and `m-1` (6 layers)"
    assert page.version._repr_markdown_() == "0.1.0"


def test_tables_are_pipe_tables(page, capsys):
    page.summary()
    page.endpoints()
    page.cards()
    page.versions()
    page.stages()
    page.config()
    page.workflow()
    printed = capsys.readouterr().out
    for name in ("tbl-summary", "tbl-endpoints", "tbl-models", "tbl-versions", "tbl-stages"):
        assert f"{{#{name}}}" in printed
    assert "| extract | `m.1` | 2 | 4.0 | 3.0 | 1.25 |" in printed
    assert "a \\| machine" in printed
    assert "`0000000000000000…`" in printed
    assert "path: linear" in printed
    bars = {
        len(re.findall(r"(?<!\\)\|", line)) for line in printed.split("{#tbl-summary}")[0].splitlines() if "|" in line
    }
    assert len(bars) == 1


def test_text_in_attributes_is_quoted():
    assert notebook.attribute('a "b" \\ & <c>\nd') == '"a \\"b\\" \\\\ &amp; &lt;c&gt; d"'
    assert page_tables.described(None) == "–"


def test_the_page_needs_its_run(monkeypatch):
    monkeypatch.delenv(notebook.VARIABLE, raising=False)
    assert notebook.VARIABLE not in os.environ
    with pytest.raises(InputError, match="report stage"):
        notebook.Page.from_environment()


def test_a_model_in_bfloat16_stands_beside_its_twin(page, capsys):
    plain = {"source": "hub", "id": "a/b", "storage": "float32", "centre": False}
    models = {
        "plain": plain,
        "half": {**plain, "storage": "bfloat16"},
        "other": {**plain, "id": "a/c", "storage": "bfloat16"},
    }
    assert page_tables.twins(models) == {"half": "plain", "other": None}
    page.context["config"]["models"] = {"other": models["other"]}
    page.storage()
    assert (
        "The weights of `other` are stored in bfloat16. How much this changes cannot be said here"
        in capsys.readouterr().out
    )
    page.context["config"]["models"] = {"plain": plain}
    page.storage()
    assert capsys.readouterr().out == ""


def test_the_largest_differences_between_twins(page, capsys):
    root = page.results.root
    curve = {
        name: ["big-in" if name == "pair" else "logits" if name == "site" else 0] for name in tables.INTERPOLATE.columns
    }
    bare = {
        "stage": "interpolate",
        "condition": "none",
        "site": "logits",
        "pair": "big-in",
        "plateau": False,
        "half_plateau": False,
    }
    for model, more in (("m.1", 0.0), ("m-1", 0.25)):
        tables.write(
            notebook.table_path(root, model, tables.INTERPOLATE, "s0-of-1"),
            tables.INTERPOLATE,
            {**curve, "distance": [0.5 + more], "step_size": [float("nan")]},
            {},
        )
        sharp = {name: [bare.get(name, 0)] for name in tables.SHARPNESS.columns}
        path = notebook.table_path(root, model, tables.SHARPNESS, "s0-of-1")
        tables.write(path, tables.SHARPNESS, {**sharp, "w": [0.5 - more / 2]}, {})
        norms = {name: [0] for name in tables.JACOBIAN.columns} | {"pair": ["big-in"], "component": ["mlp"]}
        path = notebook.table_path(root, model, tables.JACOBIAN, "s0-of-1")
        tables.write(path, tables.JACOBIAN, {**norms, "frobenius": [10.0 + more]}, {})
    print(page_tables.storage(notebook.Page.from_environment().results, {"m-1": "m.1"}))
    assert "| `m-1` | `m.1` | 0.2500 | 0.2500 | 0.1250 | 2.5 % |" in capsys.readouterr().out
