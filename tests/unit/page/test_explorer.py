"""The explorer's data: what is packed is what the tables hold, and what does not fit is left out in a stated order."""

from __future__ import annotations

import base64
import json
import zlib

import numpy as np
import pytest

from plateaus.data import tables
from plateaus.data.results import table_path
from plateaus.page import explorer
from plateaus.page.explorer import payload
from tests.unit.figures.test_f10_mechanism import complete
from tests.unit.figures.test_figures import STEPS, settings


def unpacked(data: bytes, columns: int, unit: float) -> np.ndarray:
    """Undo `payload.packed`, one number at a time."""
    half = len(data) // 2
    folded = [low + 256 * high for low, high in zip(data[:half], data[half:], strict=True)]
    rows = []
    for begin in range(0, half, columns):
        slope = value = 0
        row = []
        for number in folded[begin : begin + columns]:
            slope += -(number + 1) // 2 if number % 2 else number // 2
            value += slope
            row.append(value * unit)
        rows.append(row)
    return np.array(rows)


def opened(text: str) -> tuple[dict, bytes, bytes]:
    data = zlib.decompress(base64.b64decode(text))
    lengths = np.frombuffer(data[:12], "<u4")
    ends = 12 + np.cumsum(lengths)
    parts = [data[end - length : end] for end, length in zip(ends, lengths, strict=True)]
    return json.loads(parts[0]), parts[1], parts[2]


@pytest.fixture
def results(tmp_path):
    found = complete(tmp_path)
    pairs = ["big-in", "big-large"]
    rows = {name: np.full(2, 0.25) for name in tables.SHARPNESS.columns}
    rows |= {"pair": pairs, "stage": ["interpolate"] * 2, "condition": ["none"] * 2, "site": ["logits"] * 2}
    rows |= {"interp_layer": [0, 0], "record_layer": [6, 6], "plateau": [False] * 2, "half_plateau": [False] * 2}
    tables.write(table_path(tmp_path, "m", tables.SHARPNESS, "s0-of-1"), tables.SHARPNESS, rows, {})
    return found


def test_any_numbers_come_back_to_within_half_a_unit():
    values = np.cumsum(np.random.default_rng(0).normal(0, 0.1, (7, 50)), axis=1)
    np.testing.assert_allclose(unpacked(payload.packed(values, 1e-4), 50, 1e-4), values, atol=0.51e-4)


def test_numbers_that_would_not_come_back_are_refused():
    with pytest.raises(ValueError, match="more than 16 bits can hold"):
        payload.packed(np.array([[0.0, 5.0, 0.0]]), 1e-4)


def test_every_curve_of_the_tables_is_there(results):
    found = payload.of_run(results, settings())
    assert (found.unit, found.inner) == (1e-4, True)
    about, distances, probabilities = opened(found.texts["m"])
    curves = unpacked(distances, STEPS, found.unit)
    index = list(zip(*(about["curves"][name] for name in ("pair", "condition", "start", "record")), strict=True))
    assert len(set(index)) == len(index) == len(curves)
    ids = [one["id"] for one in about["pairs"]]
    for table in (tables.INTERPOLATE, tables.FREEZE):
        frame = results.table("m", table)
        for key, rows in frame.groupby(list(table.key[:-1]), observed=True):
            told = dict(zip(table.key, map(str, key), strict=False))
            place = (
                ids.index(told["pair"]), payload.CONDITIONS.index(told.get("condition", "none")),
                int(told["interp_layer"]), int(told["record_layer"]),
            )  # fmt: skip
            np.testing.assert_allclose(curves[index.index(place)], rows["distance"], atol=0.51e-4)
    assert [one["strength"] for one in about["pairs"]] == [[0.25, None]] * 2
    assert len(unpacked(probabilities, STEPS, payload.PROBABILITY)) == len(about["tokens"]["text"]) == 6


def test_what_does_not_fit_is_rounded_more_and_then_left_out(results, monkeypatch):
    sizes = {}
    for name, units in (("fine", (1e-4,)), ("coarse", (1e-3,))):
        monkeypatch.setattr(payload, "UNITS", units)
        sizes[name] = payload.of_run(results, settings()).size
    monkeypatch.setattr(payload, "UNITS", (1e-4, 1e-3))
    assert sizes["coarse"] < sizes["fine"]
    monkeypatch.setattr(payload, "LARGEST", sizes["coarse"])
    assert payload.of_run(results, settings())[1:] == (1e-3, True)
    monkeypatch.setattr(payload, "LARGEST", sizes["coarse"] - 1)
    found = payload.of_run(results, settings("big-in"))
    assert not found.inner
    about, _, _ = opened(found.texts["m"])
    inner = [
        pair for pair, record in zip(about["curves"]["pair"], about["curves"]["record"], strict=True) if record < 6
    ]
    assert {about["pairs"][pair]["id"] for pair in inner} == {"big-in"}
    assert "only for the pairs of the figures" in explorer.html(results, settings("big-in"))
