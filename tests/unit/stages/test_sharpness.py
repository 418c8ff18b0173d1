"""The stage sharpness on small tables: one correct row per curve, errors for bad tables, and no import of torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from plateaus.curves.sharpness import measure_one
from plateaus.data import tables
from plateaus.data.results import table_path
from plateaus.data.schemas import MEASURE
from plateaus.errors import InputError
from plateaus.stages.job import Job
from plateaus.stages.sharpness import sharpness

RULE = {"w_at_most": 0.25, "rest_at_least": 0.1, "departure_at_most": 0.1}
CONDITIONS = ("none", "mlp_mean")
PAIRS = ("p", "q")
LAYERS, STEPS = 3, 50
ALPHA = np.linspace(0, 1, STEPS)


def distance(pair: str, condition: str, start: int, end: int) -> np.ndarray:
    """A curve that is sharper the more layers lie between and wider when frozen; the path of pair q is not straight."""
    if end == start:
        return ALPHA if pair == "p" else ALPHA**2
    raw = 1 / (1 + np.exp(-8 * (end - start) * (0.4 if condition == "mlp_mean" else 1) * (ALPHA - 0.5 - 0.02 * start)))
    return (raw - raw[0]) / (raw[-1] - raw[0])


def curves(conditions=CONDITIONS, starts=range(LAYERS)) -> list[tuple[str, str, int, int]]:
    return [
        (pair, condition, start, end)
        for pair in PAIRS
        for condition in conditions
        for start in starts
        for end in range(start, LAYERS + 1)
    ]


def write(root: Path, table: tables.Table, listed: list, **changed) -> None:
    """Write a table of curves; `changed` replaces whole columns."""
    parts = []
    for pair, condition, start, end in listed:
        d = distance(pair, condition, start, end)
        part = {name: d for name, kind in table.columns.items() if kind == MEASURE}
        part |= {"pair": pair, "condition": condition, "interp_layer": start, "record_layer": end}
        part |= {"site": "logits" if end == LAYERS else "resid_post", "step": np.arange(STEPS), "alpha": ALPHA}
        part |= {"detour": (end - start) * np.sin(np.pi * ALPHA)}
        parts.append(pd.DataFrame({name: part[name] for name in table.columns}))
    columns = {name: values.to_numpy() for name, values in pd.concat(parts).items()} | changed
    tables.write(table_path(root, "m", table, "s0-of-1"), table, columns, {"model": "m-1", "weights": "w"})


def job(root: Path, **rule: float) -> Job:
    return Job("sharpness", root, "m", "s0-of-1", {**RULE, **rule}, root, {}, 1, "cpu", 1.0, lambda text: None)


@pytest.fixture
def root(tmp_path) -> Path:
    write(tmp_path, tables.INTERPOLATE, curves(("none",)))
    write(tmp_path, tables.FREEZE, curves(starts=[0, 2]))
    return tmp_path


def result(root: Path) -> pd.DataFrame:
    return tables.read_frame(tables.SHARPNESS, [table_path(root, "m", tables.SHARPNESS, "s0-of-1")])


def test_a_row_per_curve_with_its_measures(root):
    sharpness(job(root))
    frame = result(root).set_index(list(tables.SHARPNESS.key))
    listed = [("interpolate", *curve) for curve in curves(("none",))]
    listed += [("freeze", *curve) for curve in curves(starts=[0, 2])]
    assert len(frame) == len(listed)
    for stage, pair, condition, start, end in listed:
        row = frame.loc[pair, stage, condition, start, "logits" if end == LAYERS else "resid_post", end]
        found = measure_one(ALPHA.astype(np.float32), distance(pair, condition, start, end).astype(np.float32))
        for name in ("w", "midpoint", "plateau_width", "rest_a", "rest_b", "max_slope", "departure"):
            assert row[name] == pytest.approx(getattr(found, name), abs=1e-5, rel=1e-5), name
        assert row["w_path"] == pytest.approx(0.8 if pair == "p" else np.sqrt(0.9) - np.sqrt(0.1), abs=1e-3)
        assert row["detour"] == pytest.approx((end - start) * np.sin(np.pi * ALPHA).max(), abs=1e-5)
        assert row["plateau"] == (found.w <= 0.25 and min(found.rest_a, found.rest_b) >= 0.1)
    assert 0 < frame["plateau"].sum() < len(frame)


@pytest.mark.parametrize("rule", [{"w_at_most": 1.0, "rest_at_least": 0.0}, {"rest_at_least": 0.5}])
def test_the_rule_is_the_configs(root, rule):
    sharpness(job(root, **rule))
    assert result(root)["plateau"].all() == ("w_at_most" in rule)
    assert result(root)["plateau"].any() == ("w_at_most" in rule)


def test_equal_curves_give_equal_bytes_and_say_what_they_were_made_from(root):
    path = table_path(root, "m", tables.SHARPNESS, "s0-of-1")
    sharpness(job(root))
    first = path.read_bytes()
    found = tables.metadata_of(path)
    assert (found["model"], found["weights"]) == ("m-1", "w")
    sharpness(job(root))
    assert path.read_bytes() == first
    sharpness(job(root, w_at_most=0.2))
    assert tables.metadata_of(path)["parameters"] != found["parameters"]


def test_curves_of_unequal_length_are_an_input_error(root):
    listed = curves(("none",))
    steps = np.tile(np.arange(STEPS), len(listed))
    steps[STEPS - 1] = STEPS
    write(root, tables.INTERPOLATE, listed, step=steps)
    with pytest.raises(InputError, match=r"s0-of-1\.parquet: not every curve has the 51 steps.*delete it"):
        sharpness(job(root))


def test_a_path_that_was_not_recorded_is_an_input_error(root):
    write(root, tables.FREEZE, [curve for curve in curves() if curve != ("q", "mlp_mean", 1, 1)])
    with pytest.raises(InputError, match="a path was not recorded"):
        sharpness(job(root))


def test_steps_at_other_alphas_are_an_input_error(root):
    listed = curves(("none",))
    alpha = np.tile(ALPHA, len(listed))
    alpha[STEPS + 1] += 0.001
    write(root, tables.INTERPOLATE, listed, alpha=alpha)
    with pytest.raises(InputError, match="not every curve has its steps at the same alpha"):
        sharpness(job(root))


def test_a_table_that_is_missing_is_an_input_error(root):
    table_path(root, "m", tables.FREEZE, "s0-of-1").unlink()
    with pytest.raises(InputError, match="is missing"):
        sharpness(job(root))


def test_the_command_never_loads_torch(root):
    arguments = ["sharpness", "--root", str(root), "--model", "m", "--shard", "s0-of-1", "--slice", json.dumps(RULE)]
    program = f"import sys; sys.argv = {arguments!r}\nfrom plateaus.stages import runner, sharpness as stage\n"
    program += "runner.leave = lambda: None\n"  # it would end the process before its modules are printed
    program += "stage.run('sharpness', stage.sharpness)\n"
    program += "print(sorted({'torch', 'transformers', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert f"{result(root)['plateau'].sum()} of {len(result(root))} curves meet the plateau rule" in done.stderr
