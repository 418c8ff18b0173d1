"""C2: plateaus emerge gradually over layers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from plateaus.judging.evidence import Evidence, some
from plateaus.judging.interface import Claim, Finding
from plateaus.judging.measures import WIDTHS, at_layers, need_layers
from plateaus.judging.statistics import spearman

CLAIM = Claim(
    id="C2",
    title="plateaus emerge gradually over layers",
    says="Plateaus emerge gradually across model layers, with each successive layer sharpening the boundary.",
    measure="Spearman's correlation between the boundary width w and the recorded layer",
    needs={"sharpness": WIDTHS},
    expected=-1,
    bounds=(-1, 1),
    figure="f03_record_layers",
)
SHARE = "the largest single layer's share of the whole sharpening"


def test(evidence: Evidence) -> Finding:
    """Test the trend per pair; also report the share of the sharpening that the strongest single layer has."""
    filters = {**at_layers(), "interp_layer": [evidence.trace_layer]}
    frame = evidence.table("sharpness", filters)
    after = frame[frame["record_layer"] > evidence.trace_layer]
    need_layers(after["record_layer"].nunique(), 4, "recording layers")
    trends = {str(pair): spearman(rows["record_layer"], rows["w"]) for pair, rows in after.groupby("pair")}
    shares = {str(pair): largest_share(rows) for pair, rows in frame.groupby("pair")}
    return evidence.median(trends, secondary=some(evidence.secondary(SHARE, shares, bounds=(0, 1))))


def largest_share(rows: pd.DataFrame) -> float:
    """Return the largest fall of w from one layer to the next over its whole fall; NaN if w falls by less than .05."""
    w = rows.sort_values("record_layer")["w"].to_numpy(dtype=np.float64)
    whole = w[0] - w[-1]
    return float(np.max(-np.diff(w)) / whole) if len(w) > 1 and whole >= 0.05 else float("nan")
