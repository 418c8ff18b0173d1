"""The statistics of the claims: pure functions on arrays, one value per prompt pair.

Pairs are not independent: they share words, and they share contexts. So every test and interval here takes a
`Dependence`, which says which pairs may be correlated, and estimates how much they are. Where no two pairs share
anything, each is the textbook procedure that it is named after.
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
        shared: (pairs, pairs), 1 where two pairs share a word or a context (or are the same), else 0.
        df: Degrees of freedom of tests: one less than the number of contexts where contexts are a sample, else one
            less than the number of pairs. Satterthwaite's for the whole matrix is too low where words cross contexts
            (3.6 in the simulations of the tests, which have 8 contexts, for a false-positive rate of 1 to 2 %).
    """

    shared: Floats
    df: float

    def take(self, chosen: ArrayLike) -> Dependence:
        """The same for some of the pairs, given by a mask, with no more degrees of freedom than there were."""
        kept = np.flatnonzero(np.asarray(chosen, dtype=bool))
        return Dependence(self.shared[np.ix_(kept, kept)], max(1.0, min(self.df, len(kept) - 1.0)))


def dependence(a: Sequence[str], b: Sequence[str], contexts: Sequence[str], min_contexts: int) -> Dependence:
    """Which pairs share a word, as either end, or a context.

    Args:
        a: First word of each pair.
        b: Second word.
        contexts: Context of each pair.
        min_contexts: With fewer contexts than this, contexts are taken as they are: results are about these alone.
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
    """Estimated variance of a sum of scores with mean 0: the sum of s_i s_j over all pairs that may be correlated.

    The dyadic sandwich (Fafchamps and Gubert 2007; Aronow, Samii and Assenova 2015). Not less than the sum of s_i^2,
    which is the variance if there is no correlation: negative estimates of correlation are noise here.
    """
    s = np.asarray(scores, dtype=np.float64)
    return float(max(s @ among.shared @ s, s @ s))


def two_sided(t: float, df: float) -> float:
    """Two-sided p value of a t statistic."""
    return float(2 * stats.t.sf(abs(t), df))


def signed_rank(values: ArrayLike, among: Dependence) -> float:
    """Two-sided p value of Wilcoxon's signed-rank test that values are symmetric about 0, for dependent pairs.

    The sum of signed ranks over its standard error, which is estimated from how the signed ranks scatter about their
    mean, within and across what the pairs share (Rosner, Glynn and Lee 2006 for clusters, studentised). Wilcoxon's own
    variance, which scatter about 0 gives, has no power where eight contexts, say, all point the same way. Zeros are
    left out, as by Wilcoxon.
    """
    x = np.asarray(values, dtype=np.float64)
    kept = x != 0
    if kept.sum() < 2:
        return 1.0
    return mean_test(np.sign(x[kept]) * stats.rankdata(np.abs(x[kept])), among.take(kept))


def standard_error(values: ArrayLike, among: Dependence) -> float:
    """Standard error of the mean of dependent values; infinite where all share something with all.

    Centring takes a part of the variance that is the mean of `shared`: 1 / n where pairs share nothing, 1 / G for G
    equal clusters; it is put back.
    """
    x = np.asarray(values, dtype=np.float64)
    left = 1 - float(among.shared.mean())
    if left < 1e-9:
        return float("inf")
    return float(np.sqrt(variance_of_sum(x - x.mean(), among) / left) / len(x))


def mean_test(values: ArrayLike, among: Dependence, null: float = 0.0) -> float:
    """Two-sided p value of a t test of the mean of dependent values."""
    x = np.asarray(values, dtype=np.float64)
    error = standard_error(x, among)
    if error == 0:
        return 1.0 if x.mean() == null else 0.0
    return two_sided((x.mean() - null) / error, among.df)


class Equivalence(NamedTuple):
    """Two one-sided t tests (TOST) of a mean against a margin on either side.

    Attributes:
        mean: The mean.
        p_within: p value of "beyond the margin"; small where the mean is shown to be within it.
        p_beyond: p value of "within the margin"; small where the mean is shown to be beyond it.
    """

    mean: float
    p_within: float
    p_beyond: float


def equivalence(values: ArrayLike, margin: float, among: Dependence) -> Equivalence:
    """Whether the mean of dependent values lies within +-margin (Schuirmann 1987)."""
    x = np.asarray(values, dtype=np.float64)
    mean = float(x.mean())
    error = max(standard_error(x, among), 1e-12)
    below, above = (margin - mean) / error, (margin + mean) / error
    p_within = max(stats.t.sf(below, among.df), stats.t.sf(above, among.df))
    p_beyond = min(1.0, 2 * min(stats.t.cdf(below, among.df), stats.t.cdf(above, among.df)))
    return Equivalence(mean, float(p_within), float(p_beyond))


def wilson(share: float, n: float, level: float = 0.95) -> Interval:
    """Wilson's score interval of a share of n, where n may be an effective number of observations."""
    z = float(stats.norm.ppf(0.5 + level / 2))
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Interval(max(0.0, float(centre - half)), min(1.0, float(centre + half)))


def effective_number(passed: ArrayLike, among: Dependence) -> float:
    """How many independent observations dependent ones are worth: n over the design effect (Kish)."""
    x = np.asarray(passed, dtype=np.float64)
    centred = x - x.mean()
    alone = float(centred @ centred)
    return len(x) if alone == 0 else len(x) * alone / variance_of_sum(centred, among)


def share_test(share: float, n: float, null: float) -> float:
    """Two-sided p value of the exact binomial test of a share, twice the smaller tail; n may be effective."""
    count = share * n
    at_least = 1.0 if count <= 0 else float(special.betainc(count, n - count + 1, null))
    at_most = 1.0 if count >= n else float(special.betaincc(count + 1, n - count, null))
    return min(1.0, 2 * min(at_least, at_most))


LOG2 = np.log(2.0)


def crossed_weights(among: Dependence, draws: int, generator: np.random.Generator) -> Floats:
    """Weights of a bootstrap that resamples words and contexts at once, shape (draws, pairs).

    The crossed analogue of resampling: every weight is positive with mean 1 and variance 1, as of Rubin's Bayesian
    bootstrap, and the weights of two pairs that share a word or a context are the same draw, those of others are
    independent. So a weighted mean varies over draws as the sandwich says that it varies over samples, whereas products
    of separate draws for words and contexts (the pigeonhole bootstrap) are three times too variable where neither
    matters. Drawn as exp of Gaussians with covariance ln 2 times `shared`, whose negative eigenvalues (which exist when
    a shares with b and b with c alone) are set to 0: that only widens intervals.
    """
    values, vectors = np.linalg.eigh(among.shared)
    root = vectors * np.sqrt(np.maximum(values, 0))
    scale = np.sqrt(np.maximum((root * root).sum(1), 1e-12))
    gaussian = generator.standard_normal((draws, len(scale))) @ root.T
    return np.asarray(np.exp(np.sqrt(LOG2) * gaussian - LOG2 / 2 * scale**2), dtype=np.float64)


def weighted_median(values: ArrayLike, weights: Floats) -> Floats:
    """The median of values under each row of weights: where the cumulative weight reaches half."""
    x = np.asarray(values, dtype=np.float64)
    order = np.argsort(x, kind="stable")
    cumulative = np.cumsum(weights[:, order], axis=1)
    half = cumulative[:, -1:] / 2
    low = (cumulative < half * (1 - 1e-12)).sum(1)
    high = (cumulative <= half * (1 + 1e-12)).sum(1)
    return np.asarray((x[order][low] + x[order][np.minimum(high, len(x) - 1)]) / 2, dtype=np.float64)


def weighted_mean(values: ArrayLike, weights: Floats) -> Floats:
    """The mean of values under each row of weights."""
    return np.asarray(weights @ np.asarray(values, dtype=np.float64) / weights.sum(1), dtype=np.float64)


def interval(
    statistic: Callable[[Floats], Floats], among: Dependence, alpha: float, draws: int, seed: Sequence[int]
) -> Interval:
    """The crossed bootstrap's percentile interval of a statistic.

    Its sides are widened as the tests' standard errors are (see `standard_error`), and by t over z for the degrees of
    freedom, since eight contexts, say, tell little about how contexts differ.

    Args:
        statistic: Rows of weights (draws, pairs) to values (draws,).
        among: Which pairs share what.
        alpha: One less the level.
        draws: Number of draws.
        seed: Of the draws.
    """
    pairs = len(among.shared)
    estimate = float(statistic(np.ones((1, pairs)))[0])
    found = statistic(crossed_weights(among, draws, np.random.default_rng(seed)))
    low, high = np.quantile(found[np.isfinite(found)], [alpha / 2, 1 - alpha / 2])
    widened = stats.t.ppf(1 - alpha / 2, among.df) / stats.norm.ppf(1 - alpha / 2)
    widened /= np.sqrt(max(1e-9, 1 - float(among.shared.mean())))
    return Interval(float(estimate - (estimate - low) * widened), float(estimate + (high - estimate) * widened))


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """Spearman's correlation; 0 where either does not vary, NaN with fewer than three points."""
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    kept = np.isfinite(a) & np.isfinite(b)
    if kept.sum() < 3:
        return float("nan")
    return correlation(stats.rankdata(a[kept]), stats.rankdata(b[kept]))


def correlation(x: ArrayLike, y: ArrayLike) -> float:
    """Pearson's correlation; 0 where either does not vary."""
    a, b = (np.asarray(v, dtype=np.float64) for v in (x, y))
    a, b = a - a.mean(), b - b.mean()
    length = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / length) if length > 1e-12 * max(1.0, float(np.abs(a).max() * np.abs(b).max())) else 0.0


def residual_ranks(y: ArrayLike, covariates: ArrayLike) -> Floats:
    """Ranks of y less what a linear fit of the covariates' ranks explains of them.

    Args:
        y: (n,).
        covariates: (n, k).
    """
    design = np.column_stack([np.ones(len(np.asarray(y))), *(stats.rankdata(c) for c in np.asarray(covariates).T)])
    ranks = stats.rankdata(y)
    fitted = design @ np.linalg.lstsq(design, ranks, rcond=None)[0]
    return np.asarray(ranks - fitted, dtype=np.float64)


def relation_test(x: ArrayLike, y: ArrayLike, among: Dependence, used: int = 0) -> float:
    """Two-sided p value of no relation between two centred variables over dependent pairs, by the mean of products.

    As `mean_test`, with the standard error raised for what the covariates have taken.

    Args:
        x: (n,), centred, such as residual ranks.
        y: (n,), centred.
        among: Which pairs share what.
        used: Number of covariates that were taken out.
    """
    products = np.asarray(x, dtype=np.float64) * np.asarray(y, dtype=np.float64)
    n = len(products)
    error = standard_error(products, among) * np.sqrt(n / max(1, n - used - 1))
    return two_sided(float(products.mean()) / error, among.df) if error > 0 else 1.0


def all_shifts(values: ArrayLike) -> Floats:
    """Every circular shift of a curve (..., n), the unshifted first: shape (n, ..., n).

    The null of a curve that knows nothing of where the boundary is, but is as smooth as it is.
    """
    x = np.asarray(values, dtype=np.float64)
    n = x.shape[-1]
    index = (np.arange(n)[None, :] - np.arange(n)[:, None]) % n
    return np.moveaxis(x[..., index], -2, 0)


def circular_shift_test(curve: ArrayLike, statistic: Callable[[Floats], Floats]) -> tuple[float, float, float]:
    """A statistic of a curve against the same of its circular shifts.

    Args:
        curve: (..., n).
        statistic: Curves (shifts, ..., n) to values (shifts,).

    Returns:
        The statistic, its mean over all shifts, and the share of shifts that reach it (one-sided p value).
    """
    found = statistic(all_shifts(curve))
    return float(found[0]), float(found.mean()), float((found >= found[0] - 1e-12).mean())


def benjamini_hochberg(p: ArrayLike) -> Floats:
    """Adjust p values for the false discovery rate (Benjamini-Hochberg); NaN where there was no test."""
    raw = np.asarray(p, dtype=np.float64)
    adjusted = np.full(raw.shape, np.nan)
    tested = np.isfinite(raw)
    if tested.any():
        adjusted[tested] = stats.false_discovery_control(np.clip(raw[tested], 0, 1), method="bh")
    return adjusted
