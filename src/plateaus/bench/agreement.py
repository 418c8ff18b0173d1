"""Check that the two ways agree: the largest difference for every kind of number that both compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from plateaus.bench.ways import Run
from plateaus.data import tables
from plateaus.data.results import table_path
from plateaus.judging.measures import NEXT_TOKEN


def differences(run: Run) -> dict[str, float]:
    """Return the largest difference for each kind of number, over all numbers that were computed both ways.

    Relative distances are compared by absolute difference, Jacobian norms relative to the usual way's norm, and Hamming
    distances by the number of hidden units (rounding may put a unit near 0 on either side).
    """
    return {
        "relative distance": _curves(run, tables.INTERPOLATE),
        "relative distance, frozen": _curves(run, tables.FREEZE),
        "Jacobian norm, relative": _jacobians(run),
        "Hamming distance": _codes(run),
    }


def _frame(run: Run, table: tables.Table) -> pd.DataFrame:
    return tables.read_frame(table, [table_path(run.ours, run.model, table, run.shard)])


def _load(run: Run, name: str) -> dict[str, Any]:
    import torch

    loaded: dict[str, Any] = torch.load(Path(run.usual) / f"{name}.pt")
    return {key: value.double().numpy() for key, value in loaded.items()}


def _curves(run: Run, table: tables.Table) -> float:
    frame = _frame(run, table)
    frozen = table is tables.FREEZE
    worst = 0.0
    by = ["pair", "interp_layer", *(["condition"] if frozen else [])]
    for key, of_run in frame.groupby(by, observed=True):
        if frozen and key[2] == "none":
            continue
        theirs = _load(run, "-".join(map(str, key)) + "-distances")
        for (site, layer), curve in of_run.groupby(["site", "record_layer"], observed=True):
            if site == NEXT_TOKEN:  # the usual way has one yardstick
                continue
            name = "logits" if site == "logits" else str(layer)
            ours = curve.sort_values("step")["distance"].to_numpy(np.float64)
            worst = max(worst, float(np.abs(ours - theirs[name]).max()))
    return worst


def _jacobians(run: Run) -> float:
    frame = _frame(run, tables.JACOBIAN).set_index(["pair", "layer", "step", "component"])["frobenius"]
    worst = 0.0
    for pair in run.pairs:
        for name, norm in _load(run, f"{pair.id}-jacobian").items():
            layer, step, component = name.split("-")
            ours = float(frame.loc[(pair.id, int(layer), int(step), component)])
            worst = max(worst, abs(ours / float(norm) - 1))
    return worst


def _codes(run: Run) -> float:
    frame = _frame(run, tables.SPLINE)
    worst = 0.0
    for pair in run.pairs:
        theirs = _load(run, f"{pair.id}-spline")
        for layer, of_layer in frame[frame["pair"] == pair.id].groupby("layer"):
            ours = of_layer.sort_values("step")["hamming"].to_numpy(np.float64)
            worst = max(worst, float(np.abs(ours - theirs[str(layer)]).max()))
    return worst
