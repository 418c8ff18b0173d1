"""C5: attention is not needed for plateaus, MLPs are."""

from __future__ import annotations

from plateaus.judging import statistics
from plateaus.judging.evidence import Evidence, some
from plateaus.judging.interface import Claim, Finding, Side
from plateaus.judging.measures import WIDTHS, at_logits, by_pair, dose, less, of_logits
from plateaus.judging.verdicts import number

CLAIM = Claim(
    id="C5",
    title="MLPs are needed, attention is not",
    says="Freezing the attention outputs has small effects on the curves, freezing the MLP outputs eliminates the "
    "plateaus.",
    measure="the change of w at the logits when the MLPs are frozen on the secant",
    needs={"sharpness": WIDTHS},
    expected=1,
    figure="f06_freezing",
)


def test(evidence: Evidence) -> Finding:
    """Test the change of w with the MLPs frozen; the second condition is an equivalence test with attention frozen.

    Both are frozen on the secant, which keeps the outputs at both ends of the path, so that d is measured against the
    same ends. The post's freezing at the mean is shown beside it.
    """
    before = of_logits(evidence, "w", condition="none")
    change = {name: less(of_logits(evidence, "w", condition=name), before) for name in ("mlp_secant", "attn_secant")}
    shown = [evidence.secondary("the change of w with attention frozen on the secant", change["attn_secant"], "mean")]
    for name, text in (("mlp_mean", "the MLPs frozen at the mean"), ("attn_mean", "attention frozen at the mean")):
        rows = evidence.rows("sharpness", at_logits(evidence, name))
        if rows is not None:
            other = less(by_pair(rows, "w"), before)
            shown.append(evidence.secondary(f"the change of w with {text}", other, "mean"))
    side = without_attention(evidence, change["attn_secant"])
    shown.append(dose(evidence, change["mlp_secant"]))
    return evidence.median(change["mlp_secant"], side=side, secondary=some(*shown))


def without_attention(evidence: Evidence, change: dict[str, float]) -> Side:
    """Return whether the mean change with attention frozen is shown to be within the margin, beyond it, or neither."""
    rules, pairs = evidence.rules, evidence.usable(change)
    found = statistics.equivalence(
        [change[pair] for pair in pairs], rules.equivalence_margin, evidence.dependence(pairs)
    )
    state = "met" if found.p_within < rules.alpha else "broken" if found.p_beyond < rules.alpha else "open"
    word = {"met": "is shown to be", "broken": "is shown not to be", "open": "is not shown to be"}[state]
    return Side(
        state,
        f"With attention frozen, the mean change of w is {number(found.mean)}, which {word} within "
        f"±{number(rules.equivalence_margin)}.",
    )
