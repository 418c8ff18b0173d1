"""Test the golden file: the changes that it detects, those that it allows, and its output."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from plateaus.data import tables
from plateaus.data.results import table_path
from plateaus.run import golden
from tests.unit.figures.test_f10_mechanism import complete


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("golden")
    complete(root)
    curves = {"pair": ["big-in"], "stage": ["interpolate"], "condition": ["none"], "interp_layer": [0]}
    curves |= {"site": ["logits"], "record_layer": [6], "plateau": [True], "half_plateau": [True]}
    columns = {name: curves.get(name, [0.25]) for name in tables.SHARPNESS.columns}
    tables.write(table_path(root, "m", tables.SHARPNESS, "s0-of-1"), tables.SHARPNESS, columns, {})
    point = {"triple": ["x"], "side": [2], "point": [0], "token_id": [1], "token": ["x"]}
    columns = {name: point.get(name, [0.25]) for name in tables.MAP.columns}
    tables.write(table_path(root, "m", tables.MAP, "all"), tables.MAP, columns, {})
    (root / "provenance.json").write_text(json.dumps({"models": ["m"], "shards": ["s0-of-1"]}))
    entry = {"model": "m", "claim": "C1", "verdict": "holds", "estimate": 0.4, "n": 30}
    (root / "claims.json").write_text(json.dumps({"rules": {}, "claims": [entry]}))
    return root


def call(*arguments) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "plateaus.run.golden", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_written_then_checked_is_the_same(run, tmp_path):
    path = tmp_path / "golden.json"
    assert call("--write", "--run", run, "--golden", path).returncode == 0
    done = call("--check", "--run", run, "--golden", path)
    assert done.returncode == 0
    assert "0 differ" in done.stdout


def test_a_value_outside_its_tolerance_is_named_with_its_move(run, tmp_path):
    was = golden.values(golden.of_run(run))
    name = next(key for key in was if key.startswith("sharpness/") and key.endswith("/w"))
    path = tmp_path / "golden.json"
    path.write_text(json.dumps({**was, name: was[name] + 0.1}))
    done = call("--check", "--run", run, "--golden", path)
    assert done.returncode == 1
    assert f"OUTSIDE {name}: 0.35 -> 0.25, by -0.1 (allowed" in done.stdout


@pytest.mark.parametrize(
    ("change", "outside"),
    [
        (lambda was: {**was, "jacobian/m/mean/gain": was["jacobian/m/mean/gain"] * 1.001}, False),
        (lambda was: {**was, "jacobian/m/mean/gain": was["jacobian/m/mean/gain"] * 1.01}, True),
        (lambda was: {**was, "claims/m/C1/verdict": "not seen"}, True),
        (lambda was: {**was, "claims/m/C1/estimate": 0.41}, False),
        (lambda was: {**was, "claims/m/C1/n": 31}, True),
        (lambda was: {**was, "spline/m/rows": was["spline/m/rows"] + 1}, True),
        (lambda was: {key: value for key, value in was.items() if key != "claims/m/C1/n"}, True),
        (lambda was: {**was, "sharpness/m/gone/w": 0.3}, True),
    ],
)
def test_what_may_move_and_what_may_not(run, change, outside):
    now = golden.values(golden.of_run(run))
    moved = golden.compare(change(now), now)
    assert len(moved) == 1
    assert moved[0].outside == outside


def test_a_run_without_maps_has_values_and_differs_from_one_with_maps(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    table_path(tmp_path / "run", "m", tables.MAP, "all").unlink()
    moved = golden.compare(golden.values(golden.of_run(run)), golden.values(golden.of_run(tmp_path / "run")))
    assert {one.name.split("/")[0] for one in moved} == {"map"}
    assert all(one.outside for one in moved)


def test_every_table_of_results_is_watched():
    watched = {"sharpness", "endpoints", "claims", *golden.MEANS}
    others = {
        "selfcheck",
        "extract",
        "endpoint_check",
        "trace",
        "tokens",
        "codes",
        "neurons",
        "triples",
        "robustness",
        "claim_values",
        "figures",
    }
    assert set(tables.TABLES) == watched | others


def test_without_a_run_or_a_file_one_line_says_so(run, tmp_path):
    done = call("--check", "--run", tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "run `make report` first" in done.stderr
    assert "make golden" in call("--check", "--run", run, "--golden", tmp_path / "none.json").stderr
