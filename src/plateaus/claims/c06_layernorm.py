"""C6: LayerNorm is not needed for plateaus."""

from __future__ import annotations

from plateaus.judging import statistics
from plateaus.judging.evidence import Evidence, some
from plateaus.judging.interface import Claim, Finding, NotTested
from plateaus.judging.measures import WIDTHS, less, of_logits

CLAIM = Claim(
    id="C6",
    title="LayerNorm is not needed",
    says="With the LayerNorm-free variant we get almost identical relative distance curves as with the regular model.",
    measure="the change of w at the logits without LayerNorm (removed, or its scales frozen at their mean)",
    needs={"sharpness": WIDTHS},
    expected=0,
    figure="f07_no_layernorm",
)


def test(evidence: Evidence) -> Finding:
    """Test by an equivalence test whether the mean change of w is within the margin.

    For a model whose LayerNorm was removed by fine-tuning, the change is relative to the same fine-tuning with
    LayerNorm, as in the post; its norms are already linear, so freezing them would change nothing. For any other model,
    it is the change when the scales of the norms are frozen, which can be measured on every model.
    """
    change = _change(evidence)
    found = evidence.mean(change)
    pairs, margin = evidence.usable(change), evidence.rules.equivalence_margin
    tested = statistics.equivalence([change[pair] for pair in pairs], margin, evidence.dependence(pairs))
    p = tested.p_within if abs(tested.mean) <= margin else tested.p_beyond
    absolute = evidence.secondary("the absolute change", {pair: abs(x) for pair, x in change.items()})
    return found._replace(p=p, margin=margin, secondary=some(absolute))


def _change(evidence: Evidence) -> dict[str, float]:
    """Return, per pair, w without LayerNorm minus w with LayerNorm.

    Raises:
        NotTested: the config names no model with LayerNorm, or a curve is missing.
    """
    if evidence.with_layernorm is None:
        return less(of_logits(evidence, "w", condition="norm_mean"), of_logits(evidence, "w", condition="none"))
    if not evidence.with_layernorm:
        raise NotTested(f"models.{evidence.model}.controls names no model with LayerNorm to compare it with")
    return less(of_logits(evidence, "w"), of_logits(evidence, "w", model=evidence.with_layernorm))
