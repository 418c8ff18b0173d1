"""C12: spline density rises at the boundary."""

from __future__ import annotations

from plateaus.judging.evidence import Evidence, some
from plateaus.judging.interface import Claim, Finding
from plateaus.judging.measures import BOUNDARIES, boundaries, contrast, dose, per_pair, profiles

CLAIM = Claim(
    id="C12",
    title="spline density rises at the boundary",
    says="There is a medium-sized jump in spline density at the same point in the interpolation where the plateau "
    "boundary occurs.",
    measure="the log ratio of spline density inside to outside the boundary minus chance (mean over layers)",
    needs={"sharpness": BOUNDARIES, "spline": ("pair", "layer", "step", "alpha", "density")},
    expected=1,
    on_controls=True,
    figure="f11_splines",
)


def test(evidence: Evidence) -> Finding:
    """Test the contrast per pair. A model with random weights is tested in the same way and has its own verdict."""
    values = per_pair(profiles(evidence.table("spline"), "density"), boundaries(evidence), contrast)
    return evidence.mean(values, secondary=some(dose(evidence, values)))
