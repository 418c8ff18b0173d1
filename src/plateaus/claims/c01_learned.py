"""C1: plateaus are learned."""

from __future__ import annotations

from plateaus.judging.evidence import Evidence
from plateaus.judging.interface import Claim, Finding
from plateaus.judging.measures import WIDTHS, less, of_logits

CLAIM = Claim(
    id="C1",
    title="plateaus are learned",
    says="Activation plateaus are an example of nonlinearities that are not built into the architecture, but learned.",
    measure="the difference in the boundary width w at the logits (trained minus random weights)",
    needs={"sharpness": WIDTHS},
    expected=-1,
    needs_control=True,
    figure="x01_suite",
)


def test(evidence: Evidence) -> Finding:
    """Test the difference in width between the model and its copy with random weights, pair by pair."""
    trained = of_logits(evidence, "w")
    random = of_logits(evidence, "w", model=evidence.control_model())
    return evidence.median(less(trained, random))
