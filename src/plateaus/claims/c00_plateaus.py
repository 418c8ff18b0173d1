"""C0: plateaus happen."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from plateaus.judging import statistics
from plateaus.judging.evidence import Evidence
from plateaus.judging.interface import Claim, Finding, NotTested, Secondary
from plateaus.judging.measures import LOGITS, NEXT_TOKEN, of_logits
from plateaus.judging.statistics import Interval

CLAIM = Claim(
    id="C0",
    title="plateaus happen",
    says="Interpolating from one input to another can produce minimal downstream changes for most of the way, with a "
    "sudden change somewhere in the middle.",
    measure="pairs whose curve of the logits meets the plateau rule",
    needs={
        "sharpness": ("pair", "stage", "condition", "interp_layer", "site", "record_layer", "plateau", "half_plateau")
    },
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
        share, low, high, p, len(x), float(size), "share", passed, secondary=tuple(_further(evidence, pairs))
    )


def _further(evidence: Evidence, pooled: list[str]) -> Iterator[Secondary]:
    """Yield the shares of both rules by both yardsticks, trained and random, and at the logits those of other pairs."""
    rules = {"plateau": "the plateau rule", "half_plateau": "the half-plateau rule"}
    unnatural = list(evidence.matched.values())
    others = sorted(set(evidence.controls) - set(unnatural))
    groups = {"": pooled, " with the same words where neither can stand": unnatural, " in control contexts": others}
    models = {"": None} | ({} if evidence.control is None else {", under random weights": evidence.control})
    for column, name in rules.items():
        for site, yardstick in ((LOGITS, "logits"), (NEXT_TOKEN, "next-token distributions")):
            for under, model in models.items():
                try:
                    passed = of_logits(evidence, column, model=model, site=site)
                except NotTested:
                    continue
                for kind, pairs in groups.items():
                    if kind and (under or site != LOGITS):
                        continue  # other pairs are shown for the trained model's logits alone
                    if column == "plateau" and site == LOGITS and not kind and not under:
                        continue  # the claim's own measure
                    x = np.array([passed[pair] for pair in pairs if np.isfinite(passed.get(pair, np.nan))])
                    if len(x):
                        share = float(x.mean())
                        low, high = _wilson(evidence, share, x, pairs)
                        what = f"share of pairs{kind} whose curve of the {yardstick} meets {name}{under}"
                        yield Secondary(what, share, low, high, len(x))


def _wilson(evidence: Evidence, share: float, x: NDArray[np.float64], pairs: list[str]) -> Interval:
    n = statistics.effective_number(x, evidence.dependence(pairs)) if len(x) == len(pairs) else len(x)
    return statistics.wilson(share, n, 1 - evidence.rules.alpha)
