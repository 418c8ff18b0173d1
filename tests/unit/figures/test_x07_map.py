"""The figure of maps: its colours and shares are those of the table, and it says how much lies near a corner."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plateaus import figures
from plateaus.curves import plane
from plateaus.data import tables
from plateaus.data.results import Results, table_path
from plateaus.drawing import maps
from plateaus.drawing.contract import About, Drawing, LeftOut
from tests.unit.figures.test_figures import clipped, settings

FINE, COARSE = 20, 10
TRIPLES = {
    ("big-in-large", FINE): ("big", "in", "large"),
    ("a-b-c", FINE): ("a", "b", "c"),
    ("a-b-c", COARSE): ("a", "b", "c"),
}
CHOSEN = settings()._replace(
    mapped=("m", "m-random"), models={"m": About(), "m-random": About(trained=False, like="m")}
)


def distances(side: int, power: float) -> np.ndarray:
    """Return distances that grow with a power of the distance in the drawing: the higher, the wider the cells."""
    grid = plane.grid(side)
    places = torch.stack([grid.x, grid.y], dim=1)
    return torch.cdist(places, torch.tensor(plane.CORNERS, dtype=torch.float64)).numpy() ** power


def results(root) -> Results:
    for model, power in (("m", 3.0), ("m-random", 1.0)):
        points = {name: [] for name in tables.MAP.columns}
        triples = {name: [] for name in tables.TRIPLES.columns}
        for (triple, side), words in TRIPLES.items():
            grid, found = plane.grid(side), distances(side, power)
            count = side**2
            for name, values in {
                "triple": [triple] * count, "side": [side] * count, "point": range(count), "x": grid.x, "y": grid.y,
                "token_id": [1] * count, "token": ["x"] * count, "probability": [0.5] * count,
                **{f"{site}_{corner}": found[:, number] for site in ("next_token", "logits") for number, corner in enumerate("abc")},
            }.items():  # fmt: skip
                points[name].extend(values)
            row = {"triple": triple, "side": side, "context": "The house was", "ab": 1.0, "bc": 2.0, "ca": 1.0}
            for name, value in (row | dict(zip("abc", words, strict=True))).items():
                triples[name].append(value)
        for table, columns in ((tables.MAP, points), (tables.TRIPLES, triples)):
            tables.write(table_path(root, model, table, "all"), table, columns, {})
    return Results(root, ["m", "m-random"], ["s0-of-1"])


def test_a_row_per_triple_with_random_weights_beside(tmp_path):
    drawing = figures.draw("x07_map", results(tmp_path), "m", CHOSEN)
    assert isinstance(drawing, Drawing)
    images = [ax.images[0].get_array() for ax in drawing.figure.axes]
    assert [image.shape for image in images] == [(FINE, FINE, 3)] * 4
    near, far = (
        float((distances(COARSE, power).min(1) <= maps.NEAR)[plane.grid(COARSE).inside.numpy()].mean())
        for power in (3.0, 1.0)
    )
    assert f"a median of {near:.0%} of the triangle" in drawing.caption
    assert f"and {far:.0%} on `m-random`" in drawing.caption
    assert f"the median difference is {100 * (near - far):.0f} percentage points" in drawing.caption
    assert "longest side is 2.00 times the shortest at most" in drawing.caption
    assert "big, in and large after The house was, m: " in drawing.alt
    figures.save(drawing, tmp_path, "x07_map", 60)
    assert clipped(drawing.figure) == []


def test_colours_are_the_corners_own_at_the_corners_and_a_mixture_between(tmp_path):
    from matplotlib.colors import to_rgb

    (one, _) = maps.maps(results(tmp_path), "m", fine=True)
    at_a = one._replace(distances=np.array([[[0.0, 1.0, 1.0], [0.5, 0.5, 1.0]]]))
    own, between = at_a.colours[0]
    np.testing.assert_allclose(own, to_rgb(maps.COLOURS[0]), atol=0.02)
    weights = np.array([0.55, 0.55, 1.05]) ** -2.0
    np.testing.assert_allclose(
        between, weights / weights.sum() @ np.array([to_rgb(c) for c in maps.COLOURS]), atol=1e-6
    )


@pytest.mark.parametrize(
    ("model", "changed", "reason"),
    [("m-random", {}, "random weights are drawn beside"), ("m", {"mapped": ()}, "map.points is 0")],
)
def test_what_is_left_out_is_said(model, changed, reason, tmp_path):
    left_out = figures.draw("x07_map", results(tmp_path), model, CHOSEN._replace(**changed))
    assert isinstance(left_out, LeftOut)
    assert left_out.reason.startswith(reason)


def with_curves(found: Results) -> Results:
    """Add two pairs of the prompt table, one of them with its curve, to the tables of both models."""
    alpha = np.linspace(0, 1, 11)
    for model, distance in (("m", alpha**4), ("m-random", alpha)):
        ends = {name: [1.0, 1.0] for name in tables.ENDPOINTS.columns}
        ends |= {name: [1, 1] for name in ("token_a", "token_b", "prefix_length")}
        ends |= {"pair": ["big-in", "big-large"], "context": ["The house was"] * 2, "tags": ["published"] * 2}
        ends |= {"a": ["big"] * 2, "b": ["in", "large"], "separator": [" "] * 2}
        rows = {name: np.ones(11) for name in tables.INTERPOLATE.columns}
        rows |= {"pair": ["big-in"] * 11, "site": ["logits"] * 11, "step": range(11), "alpha": alpha}
        rows |= {"interp_layer": [0] * 11, "record_layer": [6] * 11, "distance": distance}
        for table, columns in ((tables.ENDPOINTS, ends), (tables.INTERPOLATE, rows)):
            tables.write(table_path(found.root, model, table, "s0-of-1"), table, columns, {})
    return found


def test_the_overview_has_the_tables_own_map_and_its_curve_for_both_models(tmp_path):
    drawing = figures.draw("x00_overview", with_curves(results(tmp_path)), "", CHOSEN._replace(trace_layer=0))
    assert clipped(drawing.figure) == []
    assert isinstance(drawing, Drawing)
    shown = drawing.figure.axes
    assert [len(ax.images) for ax in shown] == [1, 1, 0, 0]
    for ax, power in zip(shown[2:], (4, 1), strict=True):
        curve = next(line for line in ax.lines if len(line.get_xdata()) == 11)
        np.testing.assert_allclose(curve.get_ydata(), np.linspace(0, 1, 11) ** power, atol=1e-6)
        assert [label.get_text() for label in ax.get_xticklabels()] == ["big", "in"]
    assert "“The house was …” with “big”, “in” and “large” at layer 0" in drawing.caption
    assert "with random weights (`m-random`)" in drawing.caption
    left_out = figures.draw("x00_overview", with_curves(results(tmp_path / "b")), "", CHOSEN._replace(mapped=()))
    assert isinstance(left_out, LeftOut)
