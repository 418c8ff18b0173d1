"""C14 (ours): plateaus belong to natural text."""

from __future__ import annotations

from plateaus.judging.evidence import Evidence, some
from plateaus.judging.interface import Claim, Finding, NotTested
from plateaus.judging.measures import WIDTHS, of_logits, of_predictions

CLAIM = Claim(
    id="C14",
    title="plateaus belong to natural text",
    says="Ours, not the post's: the post's words continue their context naturally; the same two words in a context "
    "where neither can stand should give a weaker plateau.",
    measure="the difference in strength s at the logits (the pair in its natural context minus the same words where "
    "neither can stand)",
    needs={"sharpness": WIDTHS},
    expected=1,
    figure="x01_suite",
)


def test(evidence: Evidence) -> Finding:
    """Test the difference pair by pair; show it in the second yardstick, and for pairs of one class and of two."""
    matched = evidence.matched
    if not matched:
        raise NotTested("the run has no pairs with the same words in a context where neither can stand")
    found = _difference(of_logits(evidence, "strength"), matched)
    second = _difference(of_predictions(evidence, "strength"), matched)
    shown = [evidence.secondary("the same difference for the next-token distributions", second)]
    for tag, name in (("same-class", "two words of one class"), ("other-class", "words of two classes")):
        of_kind = set(evidence.tagged(tag))
        values = {pair: value for pair, value in found.items() if pair in of_kind}
        shown.append(evidence.secondary(f"the same difference for {name}", values))
    return evidence.median(found, secondary=some(*shown))


def _difference(strength: dict[str, float], matched: dict[str, str]) -> dict[str, float]:
    return {
        natural: strength[natural] - strength[other]
        for natural, other in matched.items()
        if natural in strength and other in strength
    }
