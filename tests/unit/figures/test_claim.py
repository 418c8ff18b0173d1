"""Tests that the claims' table, forest plot and sections of the report agree with the verdicts."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from plateaus import figures
from plateaus.data import tables
from plateaus.data.results import Results, table_path
from plateaus.drawing import style
from plateaus.drawing.contract import Drawing, LeftOut
from plateaus.figures import claim
from plateaus.judging import judged
from plateaus.page import narrative
from plateaus.page import tables as page_tables
from tests.unit.figures.test_figures import clipped, make, settings

PAIRS = ("big-in", "big-large", "odd", "long")


def entry(name: str, model: str, verdict: str, estimate: float | None, **changes: object) -> dict[str, object]:
    """Make an entry of claims.json."""
    told: dict[str, object] = {
        "model": model, "claim": name, "title": f"title of {name}", "says": f"the post says {name}",
        "measure": "change of w", "figure": "f02_logits", "verdict": verdict, "reason": "", "expected": 1, "null": 0.0,
        "minimal_effect": 0.1, "sentence": f"{verdict}: {estimate}.",
    }  # fmt: skip
    if estimate is None:
        return told | {"reason": "the run has no such thing", "sentence": "Not tested."}
    told |= {"statistic": "median", "estimate": estimate, "interval": [estimate - 0.1, estimate + 0.1], "n": 30}
    told |= {"oriented": {"e": estimate, "low": estimate - 0.1, "high": estimate + 0.1}, "secondary": []}
    told |= {"counter_examples": [{"pair": "odd", "value": -0.2}, {"pair": "long", "value": -0.1}]}
    return told | changes


ENTRIES = [
    entry("C1", "m", "holds", 0.3),
    entry("C1", "other", "contradicted", -0.9),
    entry("C4", "m", "not seen", 0.02, counter_examples=[]),
    entry("C4", "other", "not tested", None),
    entry("C6", "m", "holds weakly", 0.04, expected=0, measure="closeness of the largest step of the logits " * 3),
    entry("C6", "other", "not tested", None),
    entry("C9", "m", "not tested", None),
    entry("C9", "other", "not tested", None),
]


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Results:
    root = tmp_path_factory.mktemp("claims")
    for model in ("m", "other"):
        make(root, PAIRS, model=model)
    whole = {"rules": {"equivalence_margin": 0.05, "alpha": 0.05}, "claims": ENTRIES}
    (root / "claims.json").write_text(json.dumps(whole), encoding="utf-8")
    rows = [
        {"model": "m", "claim": name, "pair": pair, "value": value, "x": x, "pooled": pair != "big-in"}
        for name, related in (("C1", False), ("C4", True), ("C6", False))
        for number, pair in enumerate(PAIRS)
        for value, x in ((0.1 * number, float(number) if related else np.nan),)
    ]
    rows += [{**row, "model": "other"} for row in rows if row["claim"] == "C1"]
    columns = {name: [row[name] for row in rows] for name in tables.CLAIM_VALUES.columns}
    tables.write(table_path(root, "all", tables.CLAIM_VALUES, "all"), tables.CLAIM_VALUES, columns, {})
    return judged.results_of(root, ["m", "other"], ["s0-of-1"], settings().pairs)


def drawn(results: Results, name: str) -> Drawing:
    with style.applied():
        drawing = claim.draw(results, name, settings())
    assert isinstance(drawing, Drawing)
    return drawing


def test_the_forest_is_in_smallest_effects(results):
    drawing = figures.draw("x05_claims", results, "m", settings())
    assert isinstance(drawing, Drawing)
    (ax,) = drawing.figure.axes
    marks = [
        float(line.get_xdata()[0]) for line in ax.get_lines() if line.get_marker() in "o<>" and len(line.get_xdata())
    ]
    # 0.3 / 0.1; -0.9 / 0.1, which is drawn at the edge; 0.02 / 0.1; and an equivalence in margins, 0.04 / 0.05.
    np.testing.assert_allclose(sorted(marks), [-3, 0.2, 0.8, 3])
    assert [one.get_text() for one in ax.get_yticklabels()] == [
        f"{name}  title of {name}" for name in ("C1", "C4", "C6")
    ]
    assert "C1 on other: contradicted." in drawing.alt
    assert "1 holds, 1 holds weakly, 1 not seen and 1 contradicted" in drawing.alt


def test_a_section_shows_values_and_counter_examples(results):
    drawing = drawn(results, "C1")
    left, right = drawing.figure.axes
    points = np.concatenate([part.get_offsets()[:, 0] for part in left.collections])
    np.testing.assert_allclose(sorted(points), sorted([0, 0.1, 0.2, 0.3] * 2), atol=1e-6)
    names = {"[a_b$c → *x*]", "[extraordinary → un…]"}
    labels = {line.get_label() for line in right.get_lines() if not line.get_label().startswith("_")}
    assert len(labels) == 2
    assert "[a_b$c → *x*]" in labels, (labels, names)
    rows = results.curve("m", "odd", interp_layer=0, site="logits")
    found = next(line for line in right.get_lines() if line.get_label() == "[a_b$c → *x*]")
    np.testing.assert_allclose(found.get_ydata(), rows["distance"])
    assert {table.name for table in drawing.tables} == {"claim_values", "interpolate"}
    assert "3 pooled pairs of `m` and 3 pooled pairs of `other`" in drawing.caption


@pytest.mark.parametrize("name", ["C1", "C4", "C6"])
def test_the_whole_measure_stands_above_the_panels_and_nothing_is_clipped(name, results):
    figure = drawn(results, name).figure
    entry = next(one for one in ENTRIES if one["claim"] == name)
    assert figure.get_suptitle().split() == entry["measure"].split()
    assert clipped(figure) == []


def test_the_forest_plot_is_not_clipped(results):
    assert clipped(figures.draw("x05_claims", results, "m", settings()).figure) == []


def test_a_relation_is_a_scatter_without_counter_examples(results):
    drawing = drawn(results, "C4")
    (ax,) = drawing.figure.axes
    np.testing.assert_allclose(np.sort(ax.collections[0].get_offsets()[:, 0]), [1, 2, 3])
    assert "against the quantity to which the claim relates it" in drawing.caption


def test_what_was_not_tested_is_left_out(results):
    with style.applied():
        assert isinstance(claim.draw(results, "C9", settings()), LeftOut)


def test_the_table_has_a_row_for_what_was_tested_and_a_reason_for_what_was_not(results):
    text = page_tables.claims(results, {name: f"#{name}" for name in ("C1", "C4", "C6", "C9")})
    rows = [line for line in text.splitlines() if line.startswith("|")][2:]
    assert len(rows) == 5
    assert rows[0] == "| C1 | [title of C1](#C1) | ✔ holds | 0.30 (0.20 to 0.40) | 30 | `m` |"
    assert re.match(r"\|  \|  \| ✘ contradicted \| [−-]0\.90 ", rows[1])
    assert "– not tested: the run has no such thing" in rows[-1]


def test_the_overview_names_every_claim_once_per_model(results):
    said = narrative.claims(results)
    assert (
        "The verdicts on `m` are *holds* for C1; *holds weakly* for C6; *not seen* for C4; *not tested* for C9." in said
    )
    assert "The verdicts on `other` are *contradicted* for C1; *not tested* for C4, C6 and C9." in said


def test_without_verdicts_there_is_nothing_but_a_sentence(tmp_path):
    empty = make(tmp_path, PAIRS)
    assert narrative.claims(empty).startswith("None of the claims was tested")
    assert isinstance(figures.draw("x05_claims", empty, "m", settings()), LeftOut)


def test_only_the_wanted_pairs_curves_are_read(results):
    shown = Results(results.root, ["m"], ["s0-of-1"], ["odd"])
    assert set(shown.table("m", tables.INTERPOLATE)["pair"]) == {"odd"}
    assert set(shown.table("m", tables.ENDPOINTS)["pair"]) == set(PAIRS)
