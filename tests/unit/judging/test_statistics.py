"""The statistics agree with scipy if pairs share nothing, and with known values and simulations otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from plateaus.judging import statistics
from plateaus.judging.statistics import Dependence


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def alone(n: int) -> Dependence:
    return statistics.dependence([f"a{k}" for k in range(n)], [f"b{k}" for k in range(n)], ["c"] * n, 2)


def clusters(cluster: np.ndarray) -> Dependence:
    return Dependence((cluster[:, None] == cluster).astype(float), len(set(cluster)) - 1)


# ---- which pairs may be correlated ---------------------------------------------------------------


def test_pairs_that_share_a_word_or_a_context_are_dependent():
    among = statistics.dependence(["big", "in", "red", "old"], ["in", "at", "blue", "new"], ["c", "c", "d", "e"], 9)
    assert among.shared.tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert among.shared.sum() == 6
    among = statistics.dependence(["a", "b", "c", "d"], ["e", "f", "g", "h"], ["c", "c", "d", "e"], 3)
    assert among.shared.tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]


def test_the_sandwich_is_the_cluster_variance_where_clusters_are_disjoint(generator):
    scores, cluster = generator.standard_normal(12), np.repeat(range(4), 3)
    among = clusters(cluster)
    by_hand = sum(scores[cluster == k].sum() ** 2 for k in range(4))
    assert statistics.variance_of_sum(scores, among) == pytest.approx(max(by_hand, scores @ scores))


def test_degrees_of_freedom_are_pairs_or_contexts_less_one():
    assert alone(30).df == 29
    names = [f"w{k}" for k in range(12)]
    among = statistics.dependence(names, [f"v{k}" for k in range(12)], list("aabbccddeeff"), 5)
    assert among.df == 5
    assert among.take(np.arange(12) < 3).df == 2
    assert statistics.mean_test([1.0, 1, 2], Dependence(np.ones((3, 3)), 2)) == 1, "nothing is known about the variance"


def test_mean_test_of_equal_clusters_is_students_of_their_means(generator):
    cluster = np.repeat(range(6), 4)
    means = generator.standard_normal(6) + 0.5
    x = means[cluster] + 0.01 * generator.standard_normal(24)
    by_cluster = [x[cluster == k].mean() for k in range(6)]
    expected = stats.ttest_1samp(by_cluster, 0).pvalue
    assert statistics.mean_test(x, clusters(cluster)) == pytest.approx(expected, rel=1e-9)


# ---- tests against scipy -------------------------------------------------------------------------


def test_mean_test_is_students_where_pairs_share_nothing(generator):
    x = generator.standard_normal(30) + 0.3
    assert statistics.mean_test(x, alone(30)) == pytest.approx(stats.ttest_1samp(x, 0).pvalue, rel=1e-9)
    assert statistics.mean_test(x, alone(30), 0.3) == pytest.approx(stats.ttest_1samp(x, 0.3).pvalue, rel=1e-9)


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.2])
def test_signed_rank_is_close_to_wilcoxons_where_pairs_share_nothing(generator, shift):
    x = generator.standard_normal(200) + shift
    expected = stats.wilcoxon(x, method="approx", correction=False).pvalue
    assert statistics.signed_rank(x, alone(200)) == pytest.approx(expected, rel=0.25, abs=2e-4)


def test_signed_rank_leaves_zeros_out_and_survives_nothing(generator):
    x = generator.standard_normal(30) + 0.5
    padded = np.concatenate([x, np.zeros(10)])
    assert statistics.signed_rank(padded, alone(40)) == pytest.approx(statistics.signed_rank(x, alone(30)))
    assert statistics.signed_rank(np.zeros(10), alone(10)) == 1


def test_equivalence_is_two_one_sided_t_tests(generator):
    x = 0.02 + 0.1 * generator.standard_normal(50)
    found = statistics.equivalence(x, 0.05, alone(50))
    below = stats.ttest_1samp(x, 0.05, alternative="less").pvalue
    above = stats.ttest_1samp(x, -0.05, alternative="greater").pvalue
    assert found.p_within == pytest.approx(max(below, above), rel=1e-9)
    assert statistics.equivalence(x + 0.3, 0.05, alone(50)).p_beyond < 1e-6
    assert statistics.equivalence(x - 0.3, 0.05, alone(50)).p_beyond < 1e-6


def test_wilson_and_binomial_are_scipys_at_whole_numbers():
    for count, n in ((0, 20), (3, 48), (20, 20), (7, 9)):
        expected = stats.binomtest(count, n).proportion_ci(0.95, method="wilson")
        assert statistics.wilson(count / n, n) == pytest.approx((expected.low, expected.high), abs=1e-12)
        tails = [stats.binomtest(count, n, 0.1, alternative=side).pvalue for side in ("greater", "less")]
        assert statistics.share_test(count / n, n, 0.1) == pytest.approx(min(1, 2 * min(tails)), rel=1e-9)


def test_design_effect_of_equal_clusters():
    """Four clusters of five equal values are worth four independent observations."""
    passed = np.repeat([1.0, 0.0, 0.0, 1.0], 5)
    cluster = np.repeat(range(4), 5)
    among = clusters(cluster)
    assert statistics.effective_number(passed, among) == pytest.approx(4)
    assert statistics.effective_number(np.zeros(20), among) == 20


def test_spearman_is_scipys_and_zero_for_a_constant(generator):
    x, y = generator.standard_normal((2, 20))
    assert statistics.spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert statistics.spearman(x, np.ones(20)) == 0
    assert np.isnan(statistics.spearman([1, 2, np.nan], [1, 2, 3]))


def test_partial_rank_correlation_is_the_formula_for_one_covariate(generator):
    x, y, z = generator.standard_normal((3, 60))
    x, y = x + z, y - z
    r = {name: stats.spearmanr(*pair).statistic for name, pair in {"xy": (x, y), "xz": (x, z), "yz": (y, z)}.items()}
    expected = (r["xy"] - r["xz"] * r["yz"]) / np.sqrt((1 - r["xz"] ** 2) * (1 - r["yz"] ** 2))
    found = statistics.correlation(*(statistics.residual_ranks(v, z[:, None]) for v in (x, y)))
    assert found == pytest.approx(expected, abs=1e-12)


def test_benjamini_hochberg_is_scipys_and_leaves_out_what_was_not_tested():
    p = [0.01, np.nan, 0.04, 0.03, 0.5]
    found = statistics.benjamini_hochberg(p)
    assert found[[0, 2, 3, 4]] == pytest.approx(stats.false_discovery_control([0.01, 0.04, 0.03, 0.5]))
    assert np.isnan(found[1])
    assert np.isnan(statistics.benjamini_hochberg([np.nan])).all()


# ---- the bootstrap -------------------------------------------------------------------------------


def test_weights_have_the_moments_that_they_should(generator):
    among = statistics.dependence(list("aacd"), list("efgh"), ["1", "2", "3", "3"], 2)
    weights = statistics.crossed_weights(among, 200_000, generator)
    assert (weights > 0).all()
    assert weights.mean(0) == pytest.approx(np.ones(4), abs=0.02)
    assert np.cov(weights.T) == pytest.approx(among.shared, abs=0.06)


def test_weighted_median_of_equal_weights_is_the_median(generator):
    for n in (1, 2, 7, 8):
        x = generator.standard_normal(n)
        assert statistics.weighted_median(x, np.ones((2, n))) == pytest.approx([np.median(x)] * 2)
    assert statistics.weighted_median([1.0, 2, 3], np.array([[1.0, 1, 5]])) == [3]


def test_interval_of_a_mean_is_as_wide_as_students_where_pairs_share_nothing(generator):
    x = generator.standard_normal(60)
    found = statistics.interval(lambda w: statistics.weighted_mean(x, w), alone(60), 0.05, 8000, [1])
    expected = stats.ttest_1samp(x, 0).confidence_interval()
    assert found.high - found.low == pytest.approx(expected.high - expected.low, rel=0.12)
    again = statistics.interval(lambda w: statistics.weighted_mean(x, w), alone(60), 0.05, 8000, [1])
    assert found == again, "the draws are seeded"


def test_intervals_cover_where_pairs_share_words_and_contexts():
    """95 % intervals of a mean cover it in 200 samples as often as they should; those for independent pairs do not."""
    from tests.simulate_claims import Pairs

    covered = naive = 0
    for k in range(200):
        pairs = Pairs(np.random.default_rng([5, k]), shared=0.6)
        x = pairs.noise()
        frame = pairs.frame
        among = statistics.dependence(list(frame["a"]), list(frame["b"]), list(frame["context"]), 5)
        low, high = statistics.interval(lambda w, x=x: statistics.weighted_mean(x, w), among, 0.05, 400, [k])
        covered += low <= 0 <= high
        usual = stats.ttest_1samp(x, 0).confidence_interval()
        naive += usual.low <= 0 <= usual.high
    assert covered >= stats.binom.ppf(0.001, 200, 0.93)
    assert naive < stats.binom.ppf(0.001, 200, 0.93)


# ---- circular shifts -----------------------------------------------------------------------------


def test_all_shifts_begin_with_the_curve_itself():
    found = statistics.all_shifts([1.0, 2, 3])
    assert found.tolist() == [[1, 2, 3], [3, 1, 2], [2, 3, 1]]
    assert statistics.all_shifts(np.zeros((2, 5))).shape == (5, 2, 5)


def test_circular_shift_test_of_a_peak_where_it_should_be():
    curve = np.array([0.0, 0, 5, 1, 0])
    value, chance, p = statistics.circular_shift_test(curve, lambda curves: curves[:, 2])
    assert (value, chance, p) == pytest.approx((5, 6 / 5, 1 / 5))
