"""Tests of the figures of the mechanism on made-up tables: freezing, Jacobians, gains, splines and the picture."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest

from plateaus import figures
from plateaus.data import tables
from plateaus.data.results import Results, table_path
from plateaus.drawing import picture, style
from plateaus.drawing.contract import Drawing, LeftOut
from plateaus.model.freezing import CONDITIONS
from plateaus.page import findings, narrative, player
from tests.unit.figures.test_figures import ALPHA, LAYERS, STEPS, clipped, distance, lines, make, settings

OURS = (
    "f06_freezing",
    "f07_no_layernorm",
    "f09_jacobians",
    "f10_mechanism",
    "f11_splines",
    "fn04_norms",
    "fn06_directional",
    "fn10_relu",
)
PAIRS = ("big-in", "big-large")
COMPONENTS = ("mlp", "mlp_fc", "norm", "attn", "block", "chain")
PEAK = 0.52


def bump(layer: int) -> np.ndarray:
    """Return a bump around PEAK that is higher in later layers, shape (STEPS,)."""
    return 1 + layer * np.exp(-((ALPHA - PEAK) ** 2) / 0.02)


def complete(root: Path, *, conditions=CONDITIONS, components=COMPONENTS, relu=True, frozen_layer=0) -> Results:
    """Write the tables of `make` and those of the mechanism; with the MLPs frozen the curve is a straight line."""
    results = make(root, PAIRS)
    later = range(1, LAYERS)
    freeze = {name: [] for name in tables.FREEZE.columns}
    for pair in PAIRS:
        for condition in conditions:
            d = ALPHA if condition.startswith("mlp") else distance(pair, LAYERS)
            values = {
                "distance": d,
                "distance_a": d,
                "distance_b": 1 - d,
                "norm": d + 1,
                "projection": d,
                "detour": 0 * d,
            }
            values |= {"step_size": np.append(np.diff(d), np.nan), "alpha": ALPHA, "step": np.arange(STEPS)}
            values |= {"pair": [pair] * STEPS, "condition": [condition] * STEPS, "site": ["logits"] * STEPS}
            values |= {"interp_layer": [frozen_layer] * STEPS, "record_layer": [LAYERS] * STEPS}
            for name, part in values.items():
                freeze[name].extend(part)
    jacobian = {name: [] for name in tables.JACOBIAN.columns}
    spline = {name: [] for name in tables.SPLINE.columns}
    neurons = {name: [] for name in tables.NEURONS.columns}
    for pair in PAIRS:
        for layer in later:
            for component in components:
                shape = bump(layer) if pair == "big-in" else np.ones(STEPS)
                rows = {"pair": [pair] * STEPS, "component": [component] * STEPS, "layer": [layer] * STEPS}
                rows |= {"step": range(STEPS), "alpha": ALPHA, "frobenius": 3 * shape, "gain": shape}
                rows["frobenius_error"] = [np.nan] * STEPS
                for name, part in rows.items():
                    jacobian[name].extend(part)
            middle = (ALPHA[1:] + ALPHA[:-1]) / 2
            rows = {
                "pair": [pair] * (STEPS - 1),
                "layer": [layer] * (STEPS - 1),
                "step": range(STEPS - 1),
                "alpha": middle,
            }
            rows |= {"hamming": [2] * (STEPS - 1), "input_step": [0.5] * (STEPS - 1), "density": bump(layer)[:-1]}
            for name, part in rows.items():
                spline[name].extend(part)
            rows = {"pair": [pair] * STEPS, "layer": [layer] * STEPS, "step": range(STEPS), "rank": [0] * STEPS}
            rows |= {
                "neuron": [7] * STEPS,
                "active": [False] * STEPS,
                "contribution": [0.0] * STEPS,
                "switch": [0.9] * STEPS,
            }
            for name, part in rows.items():
                neurons[name].extend(part)
    if not relu:
        neurons = {name: np.array([], dtype=object) for name in tables.NEURONS.columns}
    for table, data in (
        (tables.FREEZE, freeze),
        (tables.JACOBIAN, jacobian),
        (tables.SPLINE, spline),
        (tables.NEURONS, neurons),
    ):
        tables.write(table_path(root, "m", table, "s0-of-1"), table, data, {})
    return results


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Results:
    return complete(tmp_path_factory.mktemp("mechanism"))


def drawn(name: str, results: Results, chosen=None) -> Drawing:
    drawing = figures.draw(name, results, "m", chosen or settings())
    assert isinstance(drawing, Drawing)
    return drawing


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("pairs", [("big-in",), PAIRS])
def test_drawn_with_words_for_everybody_and_the_same_bytes_twice(name, pairs, results, tmp_path):
    for folder in ("one", "two"):
        drawing = drawn(name, results, settings(*pairs))
        figures.save(drawing, tmp_path / folder, name, 50)
    for suffix in ("svg", "png"):
        assert (tmp_path / "one" / f"{name}.{suffix}").read_bytes() == (
            tmp_path / "two" / f"{name}.{suffix}"
        ).read_bytes()
    with style.applied():
        assert clipped(drawing.figure) == []
    assert "`m`" in drawing.caption
    assert "[big → in]" in drawing.alt
    assert [table.name for table in drawing.tables] == [table.name for table in figures.FIGURES[name].READS]
    assert narrative.FINDINGS[name](results, "m", settings(*pairs))


def test_frozen_curves_are_the_tables(results):
    drawing = drawn("f06_freezing", results)
    left = lines(drawing.figure.axes[0], prefix="")
    np.testing.assert_allclose(left["MLPs frozen at their mean"], ALPHA, atol=1e-6)
    np.testing.assert_allclose(left["nothing frozen"], distance("big-in", LAYERS), atol=1e-6)
    assert {line for line in left if "frozen" in line} == {
        "nothing frozen", "attention frozen at its mean", "attention frozen on its secant", "MLPs frozen at their mean",
        "MLPs frozen on their secant", "attention and MLPs frozen",
    }  # fmt: skip
    assert "0.80 with MLPs frozen at their mean" in drawing.caption


def test_what_freezing_does_is_said_by_the_stated_threshold(results):
    said = findings.freezing(results, "m", settings("big-in"))
    assert "with attention frozen at its mean, it hardly changes" in said
    assert re.search(r"with MLPs frozen at their mean, it widens \(from w = 0\.\d\d to 0\.80\)", said)
    assert findings.change(0.5, 0.4).startswith("narrows")


@pytest.mark.parametrize(
    ("name", "component"),
    [
        ("f09_jacobians", "mlp"),
        ("fn06_directional", "block"),
        ("f10_mechanism", "block"),
        ("fn04_norms", "norm"),
        ("fn10_relu", "mlp_fc"),
    ],
)
def test_left_out_with_the_reason_where_a_component_was_not_asked_for(name, component, tmp_path):
    rest = tuple(other for other in COMPONENTS if other != component)
    left = figures.draw(name, complete(tmp_path, components=rest), "m", settings())
    assert isinstance(left, LeftOut)
    assert component in left.reason


def test_left_out_where_conditions_layers_or_relu_are_missing(tmp_path):
    only = complete(tmp_path / "a", conditions=("none",), relu=False)
    assert "freeze.conditions" in figures.draw("f06_freezing", only, "m", settings()).reason
    assert "norm_mean" in figures.draw("f07_no_layernorm", only, "m", settings()).reason
    assert "not ReLU" in figures.draw("fn10_relu", only, "m", settings()).reason
    elsewhere = complete(tmp_path / "b", frozen_layer=3)
    assert "freeze.layers does not name layer 0" in figures.draw("f06_freezing", elsewhere, "m", settings()).reason


@pytest.mark.parametrize("name", ["f09_jacobians", "fn04_norms", "f11_splines"])
def test_rows_of_maps_are_divided_by_their_mean(name, results):
    shown = [ax.images[0].get_array() for ax in drawn(name, results).figure.axes if ax.images][::2][-1]
    values = [bump(layer)[:-1] if name == "f11_splines" else bump(layer) for layer in range(1, LAYERS)]
    np.testing.assert_allclose(shown, [one / one.mean() for one in values], rtol=1e-5)


def test_peaks_are_counted_against_chance(results):
    said = findings.FINDINGS["f09_jacobians"](results, "m", settings("big-in"))
    assert f"in {LAYERS - 1} of {LAYERS - 1} layers" in said


def test_the_picture_lays_stretched_steps_end_to_end(results):
    frames = picture.of_model(results, "m", "big-in", 0)
    assert len(frames.layers) == LAYERS
    steps = np.diff(distance("big-in", 0)) * 10
    for layer in range(1, LAYERS):
        gain = bump(layer)
        steps = steps * np.sqrt(gain[1:] * gain[:-1])
        expected = np.concatenate([[0], np.cumsum(steps)]) / steps.sum()
        np.testing.assert_allclose(frames.position[layer], expected, atol=1e-5)
    assert picture.errors(frames)[1] > 0


def test_the_toy_grows_a_plateau_from_shallow_bumps():
    toy = picture.toy()
    assert max(toy.gain[1]) / min(toy.gain[1]) < 2
    widths = [np.interp(0.9, row, toy.alpha) - np.interp(0.1, row, toy.alpha) for row in toy.position]
    assert all(later < earlier for earlier, later in itertools.pairwise(widths))
    assert widths[-1] < 0.4
    assert (toy.position[:, 0] == 0).all()
    np.testing.assert_allclose(toy.position[:, -1], 1)


def test_the_player_holds_every_frame_and_nothing_from_elsewhere(results):
    html = player.html(results, "m", settings())
    assert html is not None
    data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)[1])
    assert data["frames"] == [f"layer {layer}" for layer in range(LAYERS)]
    toy, first, second = data["panels"]
    assert toy["measured"] is None
    assert len(first["position"]) == len(first["measured"]) == LAYERS
    np.testing.assert_allclose(second["position"][-1], ALPHA, atol=1e-4)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", html + player.script())
    for needed in ("prefers-reduced-motion", "aria-valuetext", "Pause"):
        assert needed in player.script()
