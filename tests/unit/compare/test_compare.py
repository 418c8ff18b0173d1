"""Two runs side by side: their differences are those of their tables, and bad input is one line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from plateaus.compare import drawing, page, runs
from plateaus.compare.__main__ import main
from plateaus.drawing import style
from plateaus.errors import InputError
from tests.unit.figures import test_x01_suite as made
from tests.unit.figures.test_claim import entry
from tests.unit.figures.test_figures import clipped

SHIFT = {"natural-1": -0.4, "tokens-1": 0.2}
CONFIG = {"run": "x", "interpolate": {"path": "spherical", "steps": 50}, "compute": {"threads": "auto"}}


def finish(root, name: str, models, verdict: str, **config: object) -> None:
    settings = made.settings(models)
    told = {
        "config": {**CONFIG, "run": name, **config},
        "models": list(models),
        "shards": list(made.SHARDS),
        "settings": {**settings._asdict(), "models": {model: list(about) for model, about in settings.models.items()}},
    }
    (root / "provenance.json").write_text(json.dumps(told))
    entries = [entry("C1", "m", verdict, 0.3), entry("C9", "m", "not tested", None)]
    (root / "claims.json").write_text(json.dumps({"rules": {"equivalence_margin": 0.05}, "claims": entries}))


@pytest.fixture
def two(tmp_path, monkeypatch):
    before = made.strength
    made.make(tmp_path / "a", ("m", "n"))
    monkeypatch.setattr(made, "strength", lambda model, pair, site: before(model, pair, site) + SHIFT.get(pair, 0))
    made.make(tmp_path / "b", ("m", "m-random"))
    finish(tmp_path / "a", "first", ("m", "n"), "holds")
    finish(tmp_path / "b", "second", ("m", "m-random"), "not seen", interpolate={"path": "linear", "steps": 50})
    return tmp_path / "a", tmp_path / "b"


def test_strengths_differ_as_the_tables_do_and_the_largest_come_first(two):
    a, b = runs.both(*two)
    assert runs.common_models(a, b) == ["m"]
    rows = runs.strengths(a, b, "m")
    assert len(rows) == 2 * len(made.TAGS)
    for row in rows.itertuples():
        assert row.difference == pytest.approx(SHIFT.get(row.pair, 0), abs=1e-6)
    assert set(rows["pair"][:2]) == {"natural-1"}
    assert set(rows.loc[rows["pair"] == "tokens-1", "kind"]) == {made.CONTROLS}
    natural = rows[(rows["kind"] == made.NATURAL) & (rows["site"] == "logits")]
    middle = runs.median(natural)
    assert middle.pairs == 4
    assert middle.difference == pytest.approx(np.median([-0.4, 0, 0, 0]))
    assert middle.low <= middle.difference <= middle.high


def test_settings_and_verdicts_that_differ(two):
    a, b = runs.both(*two)
    assert runs.settings_that_differ(a, b) == [("interpolate.path", "spherical", "linear")]
    (one,) = runs.verdicts(a, b)
    assert one.words == ("holds", "not seen")


def test_the_page_says_it(two, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = page.Page(*two)
    assert "same for 0 of 1 claims" in shown.answer
    assert f"changes by 0.000 from A to B in the median of {len(made.TAGS)} pairs" in shown.answer
    shown.settings()
    shown.verdicts()
    shown.pairs()
    printed = capsys.readouterr().out
    assert "| `interpolate.path` | `spherical` | `linear` |" in printed
    assert "✔ holds | ○ not seen | **changed** | 0.300 | 0.300" in printed
    assert "| `natural-1` | natural pairs | logits | 0.700 | 0.300 | −0.400 |" in printed
    for kind in (drawing.effects, drawing.strengths):
        with style.applied():
            assert clipped(kind(*runs.both(*two), "m").figure) == []


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ("a", "a", "A and B are both"),
        ("a", "nowhere", "nowhere does not exist: give the folder of a run"),
        ("a", ".", "holds no finished run"),
        ("broken", "a", "provenance.json cannot be read: run snakemake with --forcerun report"),
        ("a", "other", "have no model in common (m, n against n-random)"),
    ],
)
def test_what_cannot_be_compared_is_one_line(two, tmp_path, a, b, message):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "provenance.json").write_text("{")
    made.make(tmp_path / "other", ("n-random",))
    finish(tmp_path / "other", "other", ("n-random",), "holds")
    with pytest.raises(InputError) as error:
        runs.both(tmp_path / a, tmp_path / b)
    assert message in str(error.value)
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / a), str(tmp_path / b)])
    assert str(ended.value).startswith("error: ")
    assert "\n" not in str(ended.value)
