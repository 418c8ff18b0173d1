"""The figure and the page's table of robustness hold the medians of the table, and say what a run left out."""

from __future__ import annotations

import numpy as np
import pytest

from plateaus import figures
from plateaus.data import tables
from plateaus.data.results import Results, table_path
from plateaus.data.schemas import VARIANTS
from plateaus.drawing import robustness
from plateaus.drawing.contract import Drawing, LeftOut
from plateaus.page import tables as page_tables
from tests.unit.figures.test_figures import clipped, settings

PAIRS = [f"p{number}" for number in range(9)]
SITES = ("logits", "next_token")
MADE = [name for name in VARIANTS if name not in ("spherical path", "without begin-of-sequence token")]


def strength(pair: str, variant: str, site: str) -> float:
    """Return a strength that differs for every pair, variant and site; each variant moves all pairs alike."""
    return 0.05 * PAIRS.index(pair) + 0.01 * MADE.index(variant) + 0.2 * SITES.index(site)


def results(root, variants=MADE, pairs=PAIRS) -> Results:
    keys = [(pair, variant, site) for pair in pairs for variant in variants for site in SITES]
    columns = {name: [key[place] for key in keys] for place, name in enumerate(tables.ROBUSTNESS.key)}
    columns |= {name: [0.5] * len(keys) for name in ("w", "w_path", "midpoint")}
    columns["strength"] = [strength(*key) for key in keys]
    tables.write(table_path(root, "m", tables.ROBUSTNESS, "all"), tables.ROBUSTNESS, columns, {})
    return Results(root, ["m"], ["s0-of-2", "s1-of-2"])


CHOSEN = settings()._replace(robust=("m",))


def drawn(found: Results) -> Drawing:
    drawing = figures.draw("x06_robustness", found, "m", CHOSEN)
    assert isinstance(drawing, Drawing)
    return drawing


def test_a_point_per_variant_at_its_median_and_a_line_at_the_runs_own(tmp_path):
    drawing = drawn(results(tmp_path))
    for ax, site in zip(drawing.figure.axes, SITES, strict=True):
        points = [line for line in ax.lines if line.get_marker() == "o"]
        expected = [np.median([strength(pair, variant, site) for pair in PAIRS]) for variant in MADE]
        np.testing.assert_allclose([point.get_xdata()[0] for point in points], expected, atol=1e-6)
        assert [point.get_ydata()[0] for point in points] == list(range(len(MADE)))
        assert ax.lines[0].get_xdata()[0] == pytest.approx(expected[0], abs=1e-6)
    labels = [text.get_text().replace("\n", " ") for text in drawing.figure.axes[0].get_yticklabels()]
    assert labels == MADE
    assert "9 natural pairs" in drawing.caption
    assert all(variant in drawing.alt for variant in MADE)
    figures.save(drawing, tmp_path, "x06_robustness", 60)
    assert clipped(drawing.figure) == []


def test_the_table_has_the_medians_and_the_change_of_each_pair(tmp_path):
    lines = page_tables.robust(results(tmp_path), ["m"]).splitlines()
    row = next(line for line in lines if "linear path" in line)
    assert [cell.strip() for cell in row.split("|")[1:4]] == ["`m`", "linear path", "9"]
    assert "0.21 (" in row
    assert row.count(" 0.010 |") == 2  # every pair moves by as much
    assert next(line for line in lines if "as in the run" in line).count(" 0.000 |") == 2


def test_the_interval_holds_the_median_and_shrinks_with_more_pairs():
    values = np.linspace(0, 1, 101)
    low, high = robustness.interval(values)
    assert low < 0.5 < high
    assert high - low < np.subtract(*robustness.interval(values[::10])[::-1])
    assert robustness.interval(values) == (low, high)
    assert robustness.interval(np.full(5, 0.3)) == pytest.approx((0.3, 0.3))


@pytest.mark.parametrize(
    ("variants", "said"),
    [
        (MADE, ()),
        ([*MADE[:-2], "without begin-of-sequence token", MADE[-1]], ()),
        ([name for name in MADE if "sequence" not in name], ("the tokenizer names none",)),
        ([name for name in MADE if "sequence" not in name and "bfloat16" not in name], ("names none", "stored in")),
    ],
)
def test_the_caption_says_what_is_left_out(variants, said, tmp_path, monkeypatch):
    monkeypatch.setattr(__name__ + ".MADE", variants)
    caption = drawn(results(tmp_path, variants)).caption
    assert all(words in caption for words in said)
    assert bool(said) == ("left out" in caption)


def test_runs_and_models_without_a_table_are_left_out(tmp_path):
    found = results(tmp_path)
    off = figures.draw("x06_robustness", found, "m", settings())
    random = figures.draw("x06_robustness", found, "other", CHOSEN)
    assert isinstance(off, LeftOut)
    assert "robustness.pairs is 0" in off.reason
    assert isinstance(random, LeftOut)
    assert "trained models only" in random.reason
