"""Tests of the figures that compare models, on made-up tables."""

from __future__ import annotations

import re

import numpy as np
import pytest

from plateaus import figures
from plateaus.data import tables
from plateaus.data.results import Results, table_path
from plateaus.drawing.contract import About, Drawing, LeftOut
from plateaus.page import findings
from tests.unit.figures.test_figures import LAYERS, clipped, make, settings

PAIRS = ("big-in", "big-large", "odd")
ABOUT = {
    "free": About(layernorm=False, controls=("tuned", "stock"), parameters=100),
    "tuned": About(parameters=100),
    "stock": About(parameters=100),
    "larger": About(parameters=4000),
    "random": About(trained=False, parameters=4000),
    "run-step0": About(series="run", training_step=0, parameters=50),
    "run-step8": About(series="run", training_step=8, parameters=50),
    "run-step512": About(series="run", training_step=512, parameters=50),
}


def width(model: str, pair: str) -> float:
    """Return a width that differs for every model and pair."""
    return 0.05 + 0.1 * list(ABOUT).index(model) + 0.01 * PAIRS.index(pair)


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Results:
    root = tmp_path_factory.mktemp("models")
    for model in ABOUT:
        make(root, PAIRS, model=model)
        rows = [
            {
                "pair": pair, "stage": "interpolate", "condition": "none", "interp_layer": layer, "site": "logits",
                "record_layer": LAYERS, "w": width(model, pair) if layer == 0 else 0.99, "plateau": False, "half_plateau": False,
            }
            for pair in PAIRS
            for layer in (0, 1)
        ]  # fmt: skip
        columns = {name: [row.get(name, 0.0) for row in rows] for name in tables.SHARPNESS.columns}
        tables.write(table_path(root, model, tables.SHARPNESS, "s0-of-1"), tables.SHARPNESS, columns, {})
    return Results(root, list(ABOUT), ["s0-of-1"])


def chosen(**changes):
    return settings()._replace(models=ABOUT)._replace(**changes)


def drawn(name: str, results: Results, model: str) -> Drawing:
    drawing = figures.draw(name, results, model, chosen())
    assert isinstance(drawing, Drawing)
    return drawing


def line(ax, label: str):
    return next(one for one in ax.get_lines() if one.get_label() == label)


def test_a_model_without_layernorm_stands_beside_its_controls(results):
    drawing = drawn("f07_no_layernorm", results, "free")
    assert clipped(drawing.figure) == []
    for ax, pair in zip(drawing.figure.axes, settings().pairs, strict=True):
        for model in ("free", "tuned", "stock"):
            rows = results.curve(model, pair, interp_layer=0, site="logits")
            np.testing.assert_allclose(line(ax, model).get_ydata(), rows["distance"])
    assert "from which LayerNorm was removed, with `tuned` and `stock`" in drawing.caption
    assert "freeze" not in {table.name for table in drawing.tables}
    said = findings.no_layernorm(results, "free", chosen())
    assert said.count("from that on `tuned`") == said.count("from that on `stock`") == 2


def test_without_controls_there_is_nothing_to_compare_with(results):
    alone = chosen(models={"free": About(layernorm=False)})
    found = figures.draw("f07_no_layernorm", results, "free", alone)
    assert found == LeftOut("models.free.controls names no model to compare it with")


def test_norms_that_are_linear_are_not_plotted(results):
    found = figures.draw("fn04_norms", results, "free", chosen())
    assert isinstance(found, LeftOut)
    assert "LayerNorm was removed" in found.reason


def test_training_shows_the_width_at_every_checkpoint(results):
    drawing = drawn("x03_training", results, "stock")
    assert clipped(drawing.figure) == []
    (ax,) = drawing.figure.axes
    assert list(line(ax, "[big → in]").get_xdata()) == [0, 8, 512]
    np.testing.assert_allclose(
        line(ax, "[big → in]").get_ydata(), [width(f"run-step{step}", "big-in") for step in (0, 8, 512)], rtol=1e-6
    )
    other = line(ax, "1 other pair: median and quartiles")
    np.testing.assert_allclose(other.get_ydata()[1], width("run-step8", "odd"), rtol=1e-6)
    assert "3 checkpoints of `run`" in drawing.caption
    assert re.search(r"w is 0\.55 in run-step0 and 0\.75 in run-step512", drawing.alt)


def test_scale_takes_one_trained_model_of_each_size(results):
    drawing = drawn("x04_scale", results, "stock")
    assert clipped(drawing.figure) == []
    (ax,) = drawing.figure.axes
    assert list(line(ax, "[big → large]").get_xdata()) == [100, 4000]
    np.testing.assert_allclose(
        line(ax, "[big → large]").get_ydata(), [width("tuned", "big-large"), width("larger", "big-large")], rtol=1e-6
    )
    assert "`random`" not in drawing.caption


def test_a_run_of_one_model_has_neither(results):
    one = chosen(models={"stock": About(parameters=100), "run-step0": About(series="run")})
    assert "revisions" in figures.draw("x03_training", results, "stock", one).reason
    assert "fewer than two sizes" in figures.draw("x04_scale", results, "stock", one).reason
