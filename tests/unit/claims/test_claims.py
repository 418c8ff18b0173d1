"""The claims find simulated effects, say what they cannot test, and are easy to add to."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from plateaus.claims import registry
from plateaus.claims.c04_distance import fit
from plateaus.claims.c09_spikes import widths
from plateaus.config.reading import SCHEMA, load_schema, resolve
from plateaus.data import tables
from plateaus.errors import InputError
from plateaus.judging import testing, written
from plateaus.judging.interface import Claim, Finding, Rules, Side
from plateaus.judging.measures import Boundary, Profile, closeness, contrast
from plateaus.judging.testing import Models
from plateaus.judging.verdicts import Oriented, judge, orient, verdict
from tests import simulate_claims as simulate
from tests.simulate_claims import EFFECTS, MODEL, RANDOM, Made, Pairs

RULES = Rules(resamples=100)
IDS = tuple(EFFECTS)


@pytest.fixture(scope="module")
def made() -> Made:
    return simulate.make(np.random.default_rng(3), EFFECTS)


# ---- the rule ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("e", "low", "high", "p", "side", "expected"),
    [
        (0.3, 0.2, 0.4, 0.001, "met", "holds"),
        (0.1, 0.05, 0.15, 0.001, "met", "holds weakly"),  # less than the minimal effect
        (0.3, -0.01, 0.6, 0.04, "met", "holds weakly"),  # the interval and the test disagree
        (0.3, 0.2, 0.4, 0.001, "open", "holds weakly"),
        (0.3, 0.2, 0.4, 0.001, "broken", "contradicted"),
        (0.3, -0.2, 0.8, 0.3, "met", "not seen"),
        (0.3, 0.2, 0.4, 0.05, "met", "not seen"),  # p must be below alpha
        (-0.3, -0.4, -0.2, 0.001, "met", "contradicted"),
        (-0.3, -0.7, 0.1, 0.04, "met", "not seen"),
        (-0.3, -0.4, -0.2, 0.2, "met", "not seen"),
        (0.0, 0.0, 0.0, 1.0, "met", "not seen"),
    ],
)
def test_the_rule_of_verdicts(e, low, high, p, side, expected):
    assert verdict(Oriented(e, low, high), p, 0.2, 0.05, side) == expected


def test_estimates_are_turned_to_where_the_post_predicts():
    def finding(estimate: float, low: float, high: float, margin: float = np.nan) -> Finding:
        return Finding(estimate, low, high, 0.01, 30, 1.0, "mean", {}, margin=margin)

    up, down, none = (Claim("X", "", "", "", {}, sign) for sign in (1, -1, 0))
    assert orient(up._replace(null=0.1), finding(0.4, 0.3, 0.5)) == pytest.approx((0.3, 0.2, 0.4))
    assert orient(down, finding(-0.4, -0.5, -0.3)) == pytest.approx((0.4, 0.3, 0.5))
    assert orient(none, finding(0.01, -0.02, 0.04, 0.05)) == pytest.approx((0.04, 0.01, 0.05))
    assert orient(none, finding(0.2, 0.1, 0.3, 0.05)) == pytest.approx((-0.15, -0.25, -0.05))


def test_correction_is_over_claims_and_models(made):
    judged = simulate.judged(made, IDS, RULES)
    tested = [one for one in judged if one.finding is not None]
    expected = stats.false_discovery_control([one.finding.p for one in tested if one.finding])
    assert [one.p_adjusted for one in tested] == pytest.approx(expected)
    assert {one.model for one in tested} == {MODEL, RANDOM}


# ---- error rates ---------------------------------------------------------------------------------

SETS = 40


@pytest.mark.slow
@pytest.mark.parametrize("claim", IDS)
def test_false_positives_and_power(claim):
    """Without an effect, p < .05 as rarely as it should be; with the stated effect, most runs find it.

    `make claims-power` shows the same for 500 and 200 simulated runs.
    """
    null = simulate.rejections(claim, 0, SETS, 1, RULES)
    assert all(one.finding is not None for one in null), null[0].reason
    rejected = sum(one.finding.p < RULES.alpha for one in null if one.finding)
    assert rejected <= stats.binom.ppf(0.999, SETS, RULES.alpha)
    real = simulate.rejections(claim, EFFECTS[claim], 20, 2, RULES)
    seen = sum(one.verdict in ("holds", "holds weakly") for one in real)
    assert seen >= stats.binom.ppf(0.001, 20, 0.8)


# ---- measures ------------------------------------------------------------------------------------


def test_closeness_of_a_peak():
    alpha = np.linspace(0, 1, 21)
    values = np.zeros((2, 21))
    values[:, 10] = 1
    profile = Profile(np.arange(2.0), alpha, values)
    chance = np.minimum(np.abs(alpha - 0.5), 1 - np.abs(alpha - 0.5)).mean()
    assert closeness(profile, 0.5) == pytest.approx(chance)
    assert closeness(profile, 0.0) == pytest.approx(closeness(profile, 1.0))
    assert closeness(profile, 0.0) < -0.2


def test_contrast_of_a_box():
    alpha = np.linspace(0, 1, 20)
    inside = (alpha > 0.4) & (alpha < 0.6)
    profile = Profile(np.arange(1.0), alpha, np.where(inside, 3.0, 1.0)[None])
    boundary = Boundary(0.4, 0.5, 0.6)
    assert np.log(3) < contrast(profile, boundary) < np.log(3) + 0.5, "some shifts move the box outside the boundary"
    assert contrast(profile._replace(values=np.ones((1, 20))), boundary) == 0
    assert np.isnan(contrast(profile, Boundary(0, 0.5, 1)))
    assert np.isnan(contrast(profile._replace(values=np.zeros((1, 20))), boundary))


def test_width_of_known_spikes():
    steps = np.linspace(0, 1, 2001)
    triangle = 1 - np.abs(2 * steps - 1)
    box = (np.abs(steps - 0.5) < 0.1).astype(float)
    assert widths(np.stack([triangle, box, np.full(2001, 3.0)])) == pytest.approx([0.75, 0.2, 1], abs=2e-3)
    lengths = np.where(np.abs(steps[1:] - 0.5) < 0.1, 4.0, 1.0)
    assert widths(box[None], lengths[None]) == pytest.approx([0.8 / 1.6], abs=5e-3)


def test_the_fit_of_c4_is_the_regression():
    import pandas as pd

    rows = [(depth, record) for depth in range(6) for record in range(depth + 1, 6)]
    frame = pd.DataFrame(rows, columns=["interp_layer", "record_layer"])
    noise = np.random.default_rng(0).standard_normal(len(frame))
    gap = frame["record_layer"] - frame["interp_layer"]
    frame["w_path"] = 0.8
    frame["w"] = 0.8 * np.exp(-0.2 * gap + 0.05 * frame["interp_layer"] + 0.05 * noise)
    found = fit(frame)
    assert (found.slope_n, found.slope_l) == pytest.approx((-0.2, 0.05), abs=0.03)
    y = np.log(frame["w"] / 0.8)

    def residual(column: object) -> np.ndarray:
        design = np.column_stack([np.ones(len(frame)), frame["interp_layer"]])
        return column - design @ np.linalg.lstsq(design, column, rcond=None)[0]

    assert found.r2_n == pytest.approx(np.corrcoef(residual(y), residual(gap))[0, 1] ** 2)


# ---- what cannot be tested -----------------------------------------------------------------------


def reasons(made: Made, claims: tuple[str, ...] = IDS, rules: Rules = RULES, **changes: object) -> dict[str, str]:
    models = simulate.MODELS._replace(**changes)  # type: ignore[arg-type]
    return {one.claim.id: one.reason for one in simulate.judged(made, claims, rules, models) if one.model == MODEL}


def test_without_random_weights_nothing_is_said_of_learning(made):
    assert "no model with random weights" in reasons(made, controls={})["C1"]
    assert reasons(made, controls={})["C2"] == ""


def test_a_control_is_tested_only_where_that_makes_sense(made):
    found = {one.claim.id: one.reason for one in simulate.judged(made, IDS, RULES) if one.model == RANDOM}
    assert found.pop("C0") == ""
    assert "spline" in found.pop("C12"), "C12 is tested there, but the run has no such table"
    assert all("is itself the control" in reason for reason in found.values())


def test_too_few_pairs(made):
    found = reasons(made, rules=RULES._replace(min_pairs=49))
    assert all("48 pairs of the suite in natural contexts, but claims.min_pairs is 49" in one for one in found.values())


def retagged(made: Made, tags: str) -> Made:
    endpoints = {key: frame.assign(tags=tags) for key, frame in made.tables.items() if key[1] == "endpoints"}
    return Made({**made.tables, **endpoints})


def test_published_pairs_are_never_pooled_but_shown(made):
    judged = simulate.judged(retagged(made, "published"), IDS, RULES)
    assert {one.verdict for one in judged} == {"not tested"}
    mine = {one.claim.id: one for one in judged if one.model == MODEL}
    assert all("no pairs of the suite in natural contexts" in one.reason for name, one in mine.items() if name != "C14")
    assert "The published pairs alone" in mine["C1"].sentence
    assert reasons(retagged(made, "suite;published;natural"))["C1"].startswith("the run has no pairs")


def test_controls_of_the_suite_are_shown_apart(made):
    endpoints = made.tables[MODEL, "endpoints"]
    tags = np.where(np.arange(len(endpoints)) < 12, "suite;random-tokens", endpoints["tags"])
    found = Made({**made.tables, (MODEL, "endpoints"): endpoints.assign(tags=tags)})
    judged = simulate.judged(found, ["C0"], RULES)[0]
    assert judged.finding is not None
    assert judged.finding.n == 36
    shown = {one.measure: one.n for one in judged.finding.secondary}
    assert shown["share of pairs in control contexts whose curve of the logits meets the plateau rule"] == 12
    assert shown["share of pairs whose curve of the logits meets the half-plateau rule"] == 36
    assert shown["share of pairs whose curve of the logits meets the plateau rule, under random weights"] == 36


def test_no_jacobians_of_the_suites_pairs(made):
    jacobian = made.tables[MODEL, "jacobian"]
    few = Made({**made.tables, (MODEL, "jacobian"): jacobian[jacobian["pair"] == jacobian["pair"].iloc[0]]})
    assert "1 of 48 pairs have a value" in reasons(few)["C8"]


@pytest.mark.parametrize("table", ["endpoints", "sharpness", "interpolate", "jacobian", "spline"])
def test_no_claim_raises_on_a_missing_table_an_empty_one_or_a_missing_column(made, table):
    frame = made.tables[MODEL, table]
    without = {key: value for key, value in made.tables.items() if key != (MODEL, table)}
    needing = {module.CLAIM.id for module in registry.chosen(IDS) if table in module.CLAIM.needs}
    for broken in (Made(without), Made({**without, (MODEL, table): frame.iloc[:0]})):
        found = reasons(broken)
        assert set(found) == set(IDS)
        assert all(not reason for name, reason in found.items() if name not in needing and table != "endpoints")
    affected = IDS if table == "endpoints" else tuple(sorted(needing))
    for name in frame.columns:
        assert set(reasons(Made({**without, (MODEL, table): frame.drop(columns=name)}), affected)) == set(affected)
    assert table == "endpoints" or needing


@pytest.mark.parametrize("share", [0.02, 1.0])
def test_no_claim_raises_on_values_that_are_not_known(made, share):
    generator = np.random.default_rng(0)
    broken = {}
    for key, frame in made.tables.items():
        changed = frame.copy()
        for name in changed.select_dtypes("floating").columns:
            if name != "alpha":
                changed.loc[generator.random(len(changed)) < share, name] = np.nan
        broken[key] = changed
    judged = simulate.judged(Made(broken), IDS, RULES)
    for one in judged:
        assert one.verdict == "not tested" or np.isfinite([one.finding.estimate, one.finding.p]).all()
        assert "nan" not in one.sentence


@pytest.mark.filterwarnings("error")
def test_no_claim_raises_on_constant_curves(made):
    flat = {}
    for key, frame in made.tables.items():
        changed = frame.copy()
        for name in changed.select_dtypes("floating").columns:
            if name not in ("alpha", "midpoint", "rest_a", "rest_b"):
                changed[name] = 0.5
        flat[key] = changed
    for one in simulate.judged(Made(flat), IDS, RULES):
        if one.claim.expected:
            assert one.verdict in ("not seen", "not tested") or one.claim.id == "C0"


# ---- the registry --------------------------------------------------------------------------------

DOCUMENTED = Path(__file__).parents[3] / "docs/adding.md"
OWN = re.search(r"```python\n(.*?)```", DOCUMENTED.read_text(encoding="utf-8"), re.DOTALL)[1]
"""The claim that the documentation shows."""


def test_a_claim_of_ones_own_is_one_file_and_one_line(made, tmp_path: Path):
    (tmp_path / "mine.py").write_text(OWN, encoding="utf-8")
    modules = registry.chosen(["C1", "C90"], str(tmp_path))
    judged = judge(testing.run_all(modules, made, simulate.MODELS, trace_layer=0, rules=RULES), RULES)
    mine = next(one for one in judged if one.claim.id == "C90" and one.model == MODEL)
    assert mine.finding is not None
    rows = made.tables[MODEL, "sharpness"]
    rows = rows[(rows["stage"] == "interpolate") & (rows["site"] == "logits") & (rows["interp_layer"] == 0)]
    found = rows.set_index(rows["pair"].astype(str))["midpoint"]
    assert mine.finding.n > 20
    for pair, value in mine.finding.values.items():
        assert value == pytest.approx(0.5 - found[pair])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "declares no claim"),
        ("CLAIM = 3", "declares no claim"),
        ("import nothing_of_that_name", "cannot be imported"),
        (OWN.replace('"C90"', '"C1"'), "already declares C1"),
    ],
)
def test_a_wrong_file_is_named(text, message, tmp_path: Path):
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        registry.chosen(["C1"], str(tmp_path))


def test_an_unknown_claim_or_folder_is_named(tmp_path: Path):
    with pytest.raises(InputError, match="names 'C99', which no module declares"):
        registry.chosen(["C99"])
    with pytest.raises(InputError, match="not a folder"):
        registry.chosen(["C1"], str(tmp_path / "nowhere"))


def test_the_config_names_every_claim_and_its_smallest_effect(root):
    schema = load_schema(root / SCHEMA)
    config = resolve({"models": {"m": {"source": "embedded"}}}, schema)["claims"]
    assert config["tests"] == list(registry.own()) == list(config["minimal_effects"]) == list(IDS)
    rules = Rules(**{name: config[name] for name in Rules._fields})
    assert rules._replace(minimal_effects={}) == Rules(), "the class and the config have the same defaults"


def test_every_claim_reads_only_columns_that_its_tables_have():
    modules = registry.chosen(list(registry.own()))
    assert [module.CLAIM.id for module in modules] == list(registry.own())
    for module in modules:
        for name, columns in module.CLAIM.needs.items():
            assert set(columns) <= set(tables.TABLES[name].columns), module.CLAIM.id


# ---- what is written -----------------------------------------------------------------------------


def test_tables_page_and_file_agree(made, tmp_path: Path):
    judged = simulate.judged(made, IDS, RULES)
    pooled = {MODEL: list(Pairs(np.random.default_rng(3)).ids), RANDOM: []}
    for table, rows in (
        (tables.CLAIMS, written.claim_rows(judged)),
        (tables.CLAIM_VALUES, written.value_rows(judged, pooled)),
    ):
        columns = {name: [row[name] for row in rows] for name in table.columns}
        tables.write(tmp_path / f"{table.name}.parquet", table, columns, {})
    frame = tables.read_frame(tables.CLAIMS, [tmp_path / "claims.parquet"])
    primary = frame[frame["primary"]].set_index(["claim", "model"])
    assert len(primary) == len(judged)
    read = json.loads(json.dumps(written.as_json(judged, pooled, RULES), allow_nan=False))
    page = written.as_markdown(judged, pooled, RULES)
    for one, entry in zip(judged, read["claims"], strict=True):
        row = primary.loc[(one.claim.id, one.model)]
        assert row["verdict"] == entry["verdict"] == one.verdict
        assert row["sentence"] == one.sentence
        assert one.sentence in page
        if one.finding is not None:
            assert row["estimate"] == pytest.approx(entry["estimate"], rel=1e-6)
    values = tables.read_frame(tables.CLAIM_VALUES, [tmp_path / "claim_values.parquet"])
    assert set(values["claim"]) == {one.claim.id for one in judged if one.finding}
    assert values.loc[values["claim"] == "C13", "x"].notna().all()


def test_counter_examples_are_the_worst():
    claim = Claim("X", "", "", "", {}, -1)
    finding = Finding(-0.4, -0.5, -0.3, 0.01, 4, 1.0, "median", {"a": -0.9, "b": 0.2, "c": -0.1, "d": 5.0})
    judged = judge([testing.Tested(MODEL, claim, finding, "")], RULES)[0]
    assert written.counter_examples(judged, ["a", "b", "c"]) == [("b", 0.2), ("c", -0.1), ("a", -0.9)]
    same = judged._replace(claim=claim._replace(expected=0))
    assert written.counter_examples(same, ["a", "b", "c"])[0] == ("a", -0.9)


def test_a_second_condition_is_said():
    claim = Claim("X", "it is so", "", "the measure", {}, 1)
    finding = Finding(0.4, 0.3, 0.5, 0.001, 30, 1.0, "median", {}, side=Side("open", "The second is not known."))
    judged = judge([testing.Tested(MODEL, claim, finding, "")], RULES)[0]
    assert judged.verdict == "holds weakly"
    assert judged.sentence.endswith("The second is not known.")


def test_which_model_is_the_control_of_which():
    from plateaus.config.slices import claims_slice, random_controls

    models = {
        "one": {"source": "embedded"}, "other": {"source": "local", "path": "x"},
        "r": {"source": "random", "like": "one"}, "r2": {"source": "random", "like": "one", "seed": 2},
    }  # fmt: skip
    assert random_controls({"models": models}) == {"one": "r"}
    schema = load_schema()
    found = claims_slice(resolve({"models": models}, schema), {"s0-of-1": []})
    assert found["random"] == ["r", "r2"]
    assert Models(tuple(found["models"]), found["controls"], frozenset(found["random"])).controls == {"one": "r"}


def test_a_model_without_layernorm_is_held_against_its_control(made):
    """Its w is compared with that of its control; its own curves with frozen norm scales are not used."""
    free = {**made.tables, ("free", "endpoints"): made.tables[MODEL, "endpoints"]}
    free["free", "sharpness"] = made.tables[MODEL, "sharpness"].assign(w=lambda rows: rows["w"] + 0.125)
    (module,) = registry.chosen(["C6"], "")
    for control, expected in ((MODEL, 0.125), ("", None)):
        models = Models(("free",), {}, frozenset(), {"free": control})
        (one,) = testing.run_all([module], Made(free), models, trace_layer=0, rules=RULES)
        if expected is None:
            assert one.reason == "models.free.controls names no model with LayerNorm to compare it with"
        else:
            assert one.finding is not None
            assert one.finding.estimate == pytest.approx(expected)
