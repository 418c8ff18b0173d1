"""C1: plateaus are learned."""

from __future__ import annotations

from plateaus.judging.evidence import Evidence, some
from plateaus.judging.interface import Claim, Finding
from plateaus.judging.measures import WIDTHS, less, of_logits, of_predictions

CLAIM = Claim(
    id="C1",
    title="plateaus are learned",
    says="Activation plateaus are an example of nonlinearities that are not built into the architecture, but learned.",
    measure="the difference in strength s at the logits (trained minus random weights)",
    needs={"sharpness": WIDTHS},
    expected=1,
    needs_control=True,
    figure="x01_suite",
)


def test(evidence: Evidence) -> Finding:
    """Test the difference in strength between the model and its copy with random weights, pair by pair."""
    random = evidence.control_model()
    found = less(of_logits(evidence, "strength"), of_logits(evidence, "strength", model=random))
    second = less(of_predictions(evidence, "strength"), of_predictions(evidence, "strength", model=random))
    shown = evidence.secondary("the same difference for the next-token distributions", second)
    return evidence.median(found, secondary=some(shown))
