"""C0: plateaus happen."""

from __future__ import annotations

import numpy as np

from plateaus.judging import statistics
from plateaus.judging.evidence import Evidence
from plateaus.judging.interface import Claim, Finding, Secondary
from plateaus.judging.measures import of_logits

CLAIM = Claim(
    id="C0",
    title="plateaus happen",
    says="Interpolating from one input to another can produce minimal downstream changes for most of the way, with a "
    "sudden change somewhere in the middle.",
    measure="pairs whose curve of the logits meets the plateau rule",
    needs={"sharpness": ("pair", "stage", "condition", "interp_layer", "site", "record_layer", "plateau")},
    expected=1,
    # The plateau rule combines three measures, so hardly any curve without a plateau meets it: 1 % counts as none.
    null=0.01,
    on_controls=True,
    figure="x01_suite",
)


def test(evidence: Evidence) -> Finding:
    """Test the share of pairs that meet the rule: Wilson's interval and a binomial test at their effective number."""
    passed = of_logits(evidence, "plateau")
    pairs = evidence.usable(passed)
    x = np.array([passed[pair] for pair in pairs])
    share = float(x.mean())
    n = statistics.effective_number(x, evidence.dependence(pairs))
    low, high = statistics.wilson(share, n, 1 - evidence.rules.alpha)
    size = 2 * (np.arcsin(np.sqrt(share)) - np.arcsin(np.sqrt(CLAIM.null)))  # Cohen's h
    p = statistics.share_test(share, n, CLAIM.null)
    return Finding(
        share, low, high, p, len(x), float(size), "share", passed, secondary=_controls(evidence, passed)
    )  # fmt: skip


def _controls(evidence: Evidence, passed: dict[str, float]) -> tuple[Secondary, ...]:
    """Return the share over pairs in random-token and empty contexts, with an interval as for independent pairs."""
    x = np.array([passed[pair] for pair in evidence.controls if np.isfinite(passed.get(pair, np.nan))])
    if len(x) == 0:
        return ()
    low, high = statistics.wilson(float(x.mean()), len(x), 1 - evidence.rules.alpha)
    return (Secondary("share of pairs in control contexts that meet the rule", float(x.mean()), low, high, len(x)),)
