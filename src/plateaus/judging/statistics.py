"""The statistics of the claims: pure functions on arrays with one value per prompt pair.

Pairs are not independent, because they share words and contexts. So every test and interval here takes a `Dependence`,
which says which pairs may be correlated, and estimates how strongly they are. If no two pairs share anything, each test
and interval is the textbook procedure that it is named after.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


class Dependence(NamedTuple):
    """Which pairs may be correlated.

    Attributes:
        shared: Shape (pairs, pairs): 1 where two pairs share a word or a context, and on the diagonal; else 0.
        df: Degrees of freedom of the tests: the number of contexts minus one if contexts are a sample, else the number
            of pairs minus one. Satterthwaite's value for the whole matrix is too low if words recur across contexts:
            it is 3.6 in the simulated runs, which have 8 contexts, and gives a false-positive rate of 1 to 2 %.
    """

    shared: Floats
    df: float

    def take(self, chosen: ArrayLike) -> Dependence:
        """Return the dependence among the pairs that a mask (pairs,) selects; `df` never grows."""
        kept = np.flatnonzero(np.asarray(chosen, dtype=bool))
        return Dependence(self.shared[np.ix_(kept, kept)], max(1.0, min(self.df, len(kept) - 1.0)))


def dependence(a: Sequence[str], b: Sequence[str], contexts: Sequence[str], min_contexts: int) -> Dependence:
    """Find which pairs share a word, at either end, or a context.

    Args:
        a: First word of each pair.
        b: Second word of each pair.
        contexts: Context of each pair.
        min_contexts: With fewer contexts than this, a shared context does not count, and results are about these
            contexts alone.
    """
    words = np.unique(np.asarray([*a, *b], dtype=str), return_inverse=True)[1]
    where = np.unique(np.asarray(contexts, dtype=str), return_inverse=True)[1]
    first, second = words[: len(a)], words[len(a) :]
    shared = np.eye(len(first), dtype=bool)
    for x in (first, second):
        for y in (first, second):
            shared |= x[:, None] == y[None, :]
    count = len(set(contexts))
    if count >= min_contexts:
        shared |= where[:, None] == where[None, :]
    df = count - 1 if count >= min_contexts else len(first) - 1
    return Dependence(shared.astype(np.float64), float(max(1, df)))


def variance_of_sum(scores: ArrayLike, among: Dependence) -> float:
    """Estimate the variance of a sum of scores with mean 0: the sum of s_i s_j over all i, j that may be correlated.

    This is the dyadic sandwich estimator (Fafchamps and Gubert 2007; Aronow, Samii and Assenova 2015). The result is at
    least the sum of s_i^2, the variance without correlation, because negative estimates of correlation are noise here.
    """
    s = np.asarray(scores, dtype=np.float64)
    return float(max(s @ among.shared @ s, s @ s))


def two_sided(t: float, df: float) -> float:
    """Return the two-sided p value of a t statistic."""
    return float(2 * stats.t.sf(abs(t), df))


def signed_rank(values: ArrayLike, among: Dependence) -> float:
    """Return the two-sided p value of Wilcoxon's signed-rank test of symmetry about 0, for dependent pairs.

    The statistic is the sum of signed ranks over its standard error, which is estimated from the scatter of the signed
    ranks about their mean, including the covariance of dependent pairs (Rosner, Glynn and Lee 2006 for clusters,
    studentised). Wilcoxon's own variance, from the scatter about 0, has no power if, for example, all of eight contexts
    point the same way. Zeros are dropped, as in Wilcoxon's test.
    """
    x = np.asarray(values, dtype=np.float64)
    kept = x != 0
    if kept.sum() < 2:
        return 1.0
    return mean_test(np.sign(x[kept]) * stats.rankdata(np.abs(x[kept])), among.take(kept))


def standard_error(values: ArrayLike, among: Dependence) -> float:
    """Return the standard error of the mean of dependent values; infinite if all pairs share something with all others.

    Centring the values removes a fraction of the variance, the mean of `shared`: 1 / n if pairs share nothing, 1 / G
    for G equal clusters. The estimate is corrected for that.
    """
    x = np.asarray(values, dtype=np.float64)
    left = 1 - float(among.shared.mean())
    if left < 1e-9:
        return float("inf")
    return float(np.sqrt(variance_of_sum(x - x.mean(), among) / left) / len(x))


def mean_test(values: ArrayLike, among: Dependence, null: float = 0.0) -> float:
    """Return the two-sided p value of a t test that the mean of dependent values is `null`."""
    x = np.asarray(values, dtype=np.float64)
    error = standard_error(x, among)
    if error == 0:
        return 1.0 if x.mean() == null else 0.0
    return two_sided((x.mean() - null) / error, among.df)


class Equivalence(NamedTuple):
    """Result of two one-sided t tests (TOST) of a mean against the margins on both sides.

    Attributes:
        mean: The mean.
        p_within: p value of the null hypothesis that the mean is beyond the margin; small if the mean is within it.
        p_beyond: p value of the null hypothesis that the mean is within the margin; small if the mean is beyond it.
    """

    mean: float
    p_within: float
    p_beyond: float


def equivalence(values: ArrayLike, margin: float, among: Dependence) -> Equivalence:
    """Test whether the mean of dependent values lies within +-margin (Schuirmann 1987)."""
    x = np.asarray(values, dtype=np.float64)
    mean = float(x.mean())
    error = max(standard_error(x, among), 1e-12)
    below, above = (margin - mean) / error, (margin + mean) / error
    p_within = max(stats.t.sf(below, among.df), stats.t.sf(above, among.df))
    p_beyond = min(1.0, 2 * min(stats.t.cdf(below, among.df), stats.t.cdf(above, among.df)))
    return Equivalence(mean, float(p_within), float(p_beyond))


def wilson(share: float, n: float, level: float = 0.95) -> Interval:
    """Return Wilson's score interval of a share of n; n may be an effective number of observations."""
    z = float(stats.norm.ppf(0.5 + level / 2))
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Interval(max(0.0, float(centre - half)), min(1.0, float(centre + half)))


def effective_number(passed: ArrayLike, among: Dependence) -> float:
    """Return the effective number of independent observations: n over the design effect (Kish)."""
    x = np.asarray(passed, dtype=np.float64)
    centred = x - x.mean()
    alone = float(centred @ centred)
    return len(x) if alone == 0 else len(x) * alone / variance_of_sum(centred, among)


def share_test(share: float, n: float, null: float) -> float:
    """Return the exact binomial test's two-sided p value, twice the smaller tail; n may be an effective number."""
    count = share * n
    at_least = 1.0 if count <= 0 else float(special.betainc(count, n - count + 1, null))
    at_most = 1.0 if count >= n else float(special.betaincc(count + 1, n - count, null))
    return min(1.0, 2 * min(at_least, at_most))


LOG2 = np.log(2.0)


def crossed_weights(among: Dependence, draws: int, generator: np.random.Generator) -> Floats:
    """Draw the weights of a bootstrap over words and contexts together, shape (draws, pairs).

    This is the crossed analogue of resampling. Every weight is positive with mean 1 and variance 1, as in Rubin's
    Bayesian bootstrap; two pairs that share a word or a context get the same draw, and other pairs get independent
    draws. So the variance of a weighted mean over draws matches the sandwich estimate of its variance over samples.
    Products of separate draws for words and contexts (the pigeonhole bootstrap) would have three times too much
    variance if neither words nor contexts matter. The weights are exponentials of Gaussians with covariance ln 2 times
    `shared`. Negative eigenvalues of that matrix, which exist if, for example, a shares something with b and b with c
    but a nothing with c, are set to 0, which only widens intervals.
    """
    values, vectors = np.linalg.eigh(among.shared)
    root = vectors * np.sqrt(np.maximum(values, 0))
    scale = np.sqrt(np.maximum((root * root).sum(1), 1e-12))
    gaussian = generator.standard_normal((draws, len(scale))) @ root.T
    return np.asarray(np.exp(np.sqrt(LOG2) * gaussian - LOG2 / 2 * scale**2), dtype=np.float64)


def weighted_median(values: ArrayLike, weights: Floats) -> Floats:
    """Return the weighted median, where the cumulative weight reaches half: weights (draws, pairs) to (draws,)."""
    x = np.asarray(values, dtype=np.float64)
    order = np.argsort(x, kind="stable")
    cumulative = np.cumsum(weights[:, order], axis=1)
    half = cumulative[:, -1:] / 2
    low = (cumulative < half * (1 - 1e-12)).sum(1)
    high = (cumulative <= half * (1 + 1e-12)).sum(1)
    return np.asarray((x[order][low] + x[order][np.minimum(high, len(x) - 1)]) / 2, dtype=np.float64)


def weighted_mean(values: ArrayLike, weights: Floats) -> Floats:
    """Return the weighted mean: weights (draws, pairs) to (draws,)."""
    return np.asarray(weights @ np.asarray(values, dtype=np.float64) / weights.sum(1), dtype=np.float64)


def interval(
    statistic: Callable[[Floats], Floats], among: Dependence, alpha: float, draws: int, seed: Sequence[int]
) -> Interval:
    """Return the crossed bootstrap's percentile interval of a statistic.

    Both sides are widened by the same correction as the standard errors of the tests (see `standard_error`), and by the
    ratio of the quantiles of t and of the normal distribution, because a few contexts (say eight) tell little about how
    contexts differ.

    Args:
        statistic: Rows of weights (draws, pairs) to values (draws,).
        among: Which pairs may be correlated.
        alpha: One minus the level.
        draws: Number of bootstrap draws.
        seed: Seed of the draws.
    """
    pairs = len(among.shared)
    estimate = float(statistic(np.ones((1, pairs)))[0])
    found = statistic(crossed_weights(among, draws, np.random.default_rng(seed)))
    low, high = np.quantile(found[np.isfinite(found)], [alpha / 2, 1 - alpha / 2])
    widened = stats.t.ppf(1 - alpha / 2, among.df) / stats.norm.ppf(1 - alpha / 2)
    widened /= np.sqrt(max(1e-9, 1 - float(among.shared.mean())))
    return Interval(float(estimate - (estimate - low) * widened), float(estimate + (high - estimate) * widened))


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """Return Spearman's correlation over finite points; 0 if x or y does not vary, NaN with fewer than three points."""
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    kept = np.isfinite(a) & np.isfinite(b)
    if kept.sum() < 3:
        return float("nan")
    return correlation(stats.rankdata(a[kept]), stats.rankdata(b[kept]))


def correlation(x: ArrayLike, y: ArrayLike) -> float:
    """Return Pearson's correlation; 0 if x or y does not vary."""
    a, b = (np.asarray(v, dtype=np.float64) for v in (x, y))
    a, b = a - a.mean(), b - b.mean()
    length = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / length) if length > 1e-12 * max(1.0, float(np.abs(a).max() * np.abs(b).max())) else 0.0


def correlations(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Return Pearson's correlation under each row of weights: x and y (pairs,), weights (draws, pairs) to (draws,)."""
    weights = weights / weights.sum(1, keepdims=True)
    mean_x, mean_y = weights @ x, weights @ y
    covariance = weights @ (x * y) - mean_x * mean_y
    spread = (weights @ x**2 - mean_x**2) * (weights @ y**2 - mean_y**2)
    return np.asarray(covariance / np.sqrt(np.maximum(spread, 1e-300)))


def residual_ranks(y: ArrayLike, covariates: ArrayLike) -> Floats:
    """Return the residuals of a linear fit of the ranks of y by the ranks of the covariates, shape (n,).

    Args:
        y: Shape (n,).
        covariates: Shape (n, k).
    """
    design = np.column_stack([np.ones(len(np.asarray(y))), *(stats.rankdata(c) for c in np.asarray(covariates).T)])
    ranks = stats.rankdata(y)
    fitted = design @ np.linalg.lstsq(design, ranks, rcond=None)[0]
    return np.asarray(ranks - fitted, dtype=np.float64)


def relation_test(x: ArrayLike, y: ArrayLike, among: Dependence, used: int = 0) -> float:
    """Return the two-sided p value of no relation between two centred variables over dependent pairs.

    This is the t test of `mean_test` on the products x y, with a larger standard error for the degrees of freedom that
    the covariates used.

    Args:
        x: Shape (n,), centred, such as residual ranks.
        y: Shape (n,), centred.
        among: Which pairs may be correlated.
        used: Number of covariates that were regressed out.
    """
    products = np.asarray(x, dtype=np.float64) * np.asarray(y, dtype=np.float64)
    n = len(products)
    error = standard_error(products, among) * np.sqrt(n / max(1, n - used - 1))
    return two_sided(float(products.mean()) / error, among.df) if error > 0 else 1.0


def all_shifts(values: ArrayLike) -> Floats:
    """Return every circular shift of a curve (..., n), the unshifted curve first: shape (n, ..., n).

    The shifts are the null distribution of a curve that is as smooth as this one but unrelated to the boundary.
    """
    x = np.asarray(values, dtype=np.float64)
    n = x.shape[-1]
    index = (np.arange(n)[None, :] - np.arange(n)[:, None]) % n
    return np.moveaxis(x[..., index], -2, 0)


def circular_shift_test(curve: ArrayLike, statistic: Callable[[Floats], Floats]) -> tuple[float, float, float]:
    """Compare a statistic of a curve with the same statistic of its circular shifts.

    Args:
        curve: Shape (..., n).
        statistic: Curves (shifts, ..., n) to values (shifts,).

    Returns:
        The statistic, its mean over all shifts, and the share of shifts that reach it (a one-sided p value).
    """
    found = statistic(all_shifts(curve))
    return float(found[0]), float(found.mean()), float((found >= found[0] - 1e-12).mean())


def benjamini_hochberg(p: ArrayLike) -> Floats:
    """Adjust p values for the false discovery rate (Benjamini-Hochberg); NaN stays NaN and does not count as a test."""
    raw = np.asarray(p, dtype=np.float64)
    adjusted = np.full(raw.shape, np.nan)
    tested = np.isfinite(raw)
    if tested.any():
        adjusted[tested] = stats.false_discovery_control(np.clip(raw[tested], 0, 1), method="bh")
    return adjusted
