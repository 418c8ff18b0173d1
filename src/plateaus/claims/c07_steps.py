"""C7: step sizes peak at the boundary."""

from __future__ import annotations

from plateaus.judging.evidence import Evidence, some
from plateaus.judging.interface import Claim, Finding
from plateaus.judging.measures import BOUNDARIES, boundaries, closeness, dose, per_pair, profiles

CLAIM = Claim(
    id="C7",
    title="step sizes peak at the boundary",
    says="Plateau boundaries correspond to areas where step sizes suddenly peak (nearly a tautology: the boundary is "
    "where the curve changes fast).",
    measure="the closeness above chance of the largest step of the logits to the boundary's middle (in alpha)",
    needs={
        "sharpness": BOUNDARIES,
        "interpolate": ("pair", "interp_layer", "site", "step", "alpha", "step_size"),
    },
    expected=1,
    figure="f08_step_sizes",
)


def test(evidence: Evidence) -> Finding:
    """Test how close the largest step is to the boundary's middle, compared with circular shifts of the step sizes."""
    steps = evidence.table("interpolate", {"interp_layer": [evidence.trace_layer], "site": ["logits"]})
    # The size of a step is stored at the point where it begins, but belongs to the middle of the step.
    steps = steps[steps["step"] < steps["step"].max()]
    found = {
        pair: one._replace(alpha=one.alpha + 0.5 / len(one.alpha))
        for pair, one in profiles(steps, "step_size", layer="interp_layer").items()
    }
    values = per_pair(found, boundaries(evidence), lambda one, edge: closeness(one, edge.middle))
    return evidence.mean(values, secondary=some(dose(evidence, values)))
