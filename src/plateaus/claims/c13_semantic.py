"""C13: boundaries are semantic."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plateaus.judging import statistics
from plateaus.judging.evidence import Evidence
from plateaus.judging.interface import Claim, Finding, NotTested, Secondary
from plateaus.judging.measures import WIDTHS, of_logits

Floats = NDArray[np.float64]
COVARIATES = ("angle", "log_p_a", "log_p_b")

CLAIM = Claim(
    id="C13",
    title="boundaries are semantic",
    says="Plateau boundaries may correspond to distinct, but related semantic categories.",
    measure="the boundary width w at the logits and the Jensen-Shannon divergence of the two prompts' predictions "
    "(given path angle and log-probabilities)",
    needs={"sharpness": WIDTHS, "endpoints": ("pair", "jsd", *COVARIATES)},
    expected=-1,
    figure="x01_suite",
)


def test(evidence: Evidence) -> Finding:
    """Test Spearman's partial correlation over pairs: of the residual ranks of w with those of the divergence."""
    widths = of_logits(evidence, "w")
    ends = evidence.table("endpoints").set_index("pair").astype(np.float64)
    usable = [pair for pair in evidence.usable(widths) if pair in ends.index and np.isfinite(ends.loc[pair]).all()]
    if len(usable) < max(evidence.rules.min_pairs, len(COVARIATES) + 4):
        raise NotTested(f"{len(usable)} pairs have a width, a divergence and all covariates, fewer than the test needs")
    w = np.array([widths[pair] for pair in usable])
    jsd = ends.loc[usable, "jsd"].to_numpy()
    covariates = ends.loc[usable, list(COVARIATES)].to_numpy()
    among = evidence.dependence(usable)
    x, y = statistics.residual_ranks(jsd, covariates), statistics.residual_ranks(w, covariates)
    low, high = evidence.interval(lambda weights: statistics.correlations(x, y, weights), among, "primary")
    p = statistics.relation_test(x, y, among, used=len(COVARIATES))
    rho = statistics.correlation(x, y)
    plain = Secondary("Spearman's correlation without covariates", statistics.spearman(jsd, w), np.nan, np.nan, len(w))
    return Finding(
        rho, max(-1.0, low), min(1.0, high), p, len(w), rho, "partial rank correlation", widths,
        x={str(pair): float(x) for pair, x in ends["jsd"].items()}, secondary=(plain,),
    )  # fmt: skip
