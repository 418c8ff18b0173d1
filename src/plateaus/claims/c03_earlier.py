"""C3: the earlier the interpolation, the sharper the plateau."""

from __future__ import annotations

from plateaus.judging.evidence import Evidence
from plateaus.judging.interface import Claim, Finding
from plateaus.judging.measures import WIDTHS, at_layers, need_layers
from plateaus.judging.statistics import spearman

CLAIM = Claim(
    id="C3",
    title="earlier interpolation gives sharper plateaus",
    says="The earlier in the model we interpolate, the flatter the plateaus and the sharper the boundary.",
    measure="Spearman's correlation between w at the last layer and the interpolation layer",
    needs={"sharpness": WIDTHS},
    expected=1,
    bounds=(-1, 1),
    figure="f04_interpolation_layers",
)


def test(evidence: Evidence) -> Finding:
    """Test the trend per pair over all interpolation layers except the last, whose curve is the path itself."""
    frame = evidence.table("sharpness", at_layers())
    last = frame["record_layer"].max()
    frame = frame[(frame["record_layer"] == last) & (frame["interp_layer"] < last)]
    need_layers(frame["interp_layer"].nunique(), 4, "interpolation layers before the last")
    return evidence.median(
        {str(pair): spearman(rows["interp_layer"], rows["w"]) for pair, rows in frame.groupby("pair")}
    )
