"""C6: LayerNorm is not needed for plateaus."""

from __future__ import annotations

from plateaus.claims import statistics
from plateaus.claims.evidence import Evidence, some
from plateaus.claims.interface import Claim, Finding
from plateaus.claims.reading import WIDTHS, less, of_logits

CLAIM = Claim(
    id="C6",
    title="LayerNorm is not needed",
    says="With the LayerNorm-free variant we get almost identical relative distance curves as with the regular model.",
    measure="change of w of the logits when the norms' scales are frozen at their mean",
    needs={"sharpness": WIDTHS},
    expected=0,
    figure="f07_no_layernorm",
)


def test(evidence: Evidence) -> Finding:
    """An equivalence test of the mean change: the test-time form, possible on any model.

    A model that was fine-tuned without LayerNorm has norms that are linear already, so freezing them does nothing.
    """
    before = of_logits(evidence, "w", condition="none")
    change = less(of_logits(evidence, "w", condition="norm_mean"), before)
    found = evidence.mean(change)
    pairs, margin = evidence.usable(change), evidence.rules.equivalence_margin
    tested = statistics.equivalence([change[pair] for pair in pairs], margin, evidence.dependence(pairs))
    p = tested.p_within if abs(tested.mean) <= margin else tested.p_beyond
    absolute = evidence.secondary("the absolute change", {pair: abs(x) for pair, x in change.items()})
    return found._replace(p=p, margin=margin, secondary=some(absolute))
