"""Sharpness: curves with known answers, identities, and comparisons with a slow loop and with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from plateaus.curves.sharpness import Rule, Sharpness, is_plateau, isotonic, measure, measure_one

FINE = np.linspace(0, 1, 4001)
ALPHA = np.linspace(0, 1, 50)
NEAR = {"abs": 1e-3}


def logistic(alpha, w, middle=0.5):
    """A logistic curve that takes w of alpha to rise from .1 to .9; the factor is 2 log 9 because logit(.9) = log 9."""
    return 1 / (1 + np.exp(-2 * np.log(9) / w * (alpha - middle)))


def wild(count, steps, seed=0):
    """Random curves from 0 to 1 with rises, falls and flat pieces, whose values stay in [0, 1]."""
    random = np.random.default_rng(seed)
    curves = np.clip(
        random.normal(0, random.choice([0.02, 0.2, 0.6], (count, 1)), (count, steps)).cumsum(1) + 0.3, 0, 1
    )
    curves[:, 0], curves[:, -1] = 0, 1
    return curves


# Known answers


@pytest.mark.parametrize("steps", [3, 11, 50, 1001])
def test_straight_line(steps):
    alpha = np.linspace(0, 1, steps)
    found = measure_one(alpha, alpha)
    assert found.w == pytest.approx(0.8)
    assert (found.rest_a, found.midpoint, found.rest_b) == pytest.approx((0.1, 0.5, 0.1))
    assert (found.plateau_width, found.max_slope, found.departure) == pytest.approx((0.2, 1, 0))
    assert not is_plateau(found, Rule())


@pytest.mark.parametrize("steps", [3, 12, 50, 1001])
@pytest.mark.parametrize("place", [0.2, 0.5, 0.75])
def test_ideal_step(steps, place):
    alpha = np.linspace(0, 1, steps)
    found = measure_one(alpha, (alpha > place).astype(float))
    step = 1 / (steps - 1)
    before = np.floor(place / step + 1e-9) * step  # alpha of the last step below the jump
    assert found.w == pytest.approx(0.8 * step)
    assert found.midpoint == pytest.approx(before + step / 2)
    assert (found.rest_a, found.rest_b) == pytest.approx((before + 0.1 * step, 1 - before - 0.9 * step))
    assert found.plateau_width == pytest.approx(1 - 0.8 * step)
    assert (found.max_slope, found.departure) == pytest.approx((steps - 1, 0))
    assert is_plateau(found, Rule()) == (steps > 3)


@pytest.mark.parametrize("w", [0.05, 0.25, 0.4])
@pytest.mark.parametrize("middle", [0.3, 0.5, 0.62])
def test_logistic_of_given_width(w, middle):
    found = measure_one(FINE, logistic(FINE, w, middle))
    assert found.w == pytest.approx(w, **NEAR)
    assert found.midpoint == pytest.approx(middle, **NEAR)
    assert found.rest_a == pytest.approx(middle - w / 2, **NEAR)
    assert found.rest_b == pytest.approx(1 - middle - w / 2, **NEAR)
    assert found.plateau_width == pytest.approx(1 - w, **NEAR)
    assert found.max_slope == pytest.approx(2 * np.log(9) / w / 4, rel=1e-3)
    assert found.departure == 0


@pytest.mark.parametrize(("w", "most"), [(0.05, 0.006), (0.1, 0.004), (0.25, 0.0015), (0.4, 0.001)])
def test_fifty_steps_widen_a_logistic_a_little(w, most):
    """The lines between steps cut the corners on both sides of the boundary, so w can only be too large."""
    for middle in np.linspace(0.48, 0.52, 9):
        found = measure_one(ALPHA, logistic(ALPHA, w, middle))
        assert -1e-9 <= found.w - w <= most
        assert found.midpoint == pytest.approx(middle, **NEAR)


def test_curve_that_rests_half_way_in_a_third_region():
    """The curve jumps at .3 and at .7 with d = .5 in between, so the boundary includes the whole stay at .5."""
    d = (logistic(FINE, 0.02, 0.3) + logistic(FINE, 0.02, 0.7)) / 2
    found = measure_one(FINE, d)
    outer = 0.01 * np.log(4) / np.log(9)  # from the middle of a jump to 1/5 or 4/5 of its height
    assert found.w == pytest.approx(0.4 + 2 * outer, **NEAR)
    assert found.midpoint == pytest.approx(0.5, **NEAR)
    assert (found.rest_a, found.rest_b) == pytest.approx((0.3 - outer, 0.3 - outer), **NEAR)
    assert found.departure == pytest.approx(0, abs=1e-9)
    assert not is_plateau(found, Rule())


def test_curve_that_comes_back_before_it_crosses():
    """The curve rises to .6, falls back to .2 and then rises to 1; the fit pools the two middle pieces at .4."""
    d = np.where(FINE < 0.3, 0, np.where(FINE < 0.5, 0.6, np.where(FINE < 0.7, 0.2, 1.0)))
    found = measure_one(FINE, d)
    assert (found.rest_a, found.rest_b) == pytest.approx((0.3, 0.3), **NEAR)
    assert found.w == pytest.approx(0.4, **NEAR)
    assert found.midpoint == pytest.approx(0.7, **NEAR)
    assert found.departure == pytest.approx(0.2, **NEAR)
    assert found.plateau_width == pytest.approx(0.6, **NEAR)


def test_narrow_curve_that_is_not_monotone_fails_by_its_departure():
    d = np.where(FINE < 0.5, 0, 1.0) - np.where((FINE > 0.8) & (FINE < 0.84), 0.6, 0)
    found = measure_one(FINE, d)
    # The fit pools a piece of length .3 at d = 1 and a piece of length .04 at d = .4 at their mean.
    pooled = (0.3 + 0.4 * 0.04) / 0.34
    assert found.departure == pytest.approx(pooled - 0.4, **NEAR)
    assert found.w <= 0.001
    assert found.plateau_width == pytest.approx(1 - 0.04, **NEAR)
    assert (found.rest_a, found.rest_b) == pytest.approx((0.5, 0.5), **NEAR)
    assert not is_plateau(found, Rule())
    assert is_plateau(found, Rule(departure_at_most=0.6))


@pytest.mark.parametrize(("place", "meets"), [(0.05, False), (0.15, True), (0.85, True), (0.95, False)])
def test_rests_on_both_sides_are_needed(place, meets):
    found = measure_one(FINE, logistic(FINE, 0.02, place))
    assert is_plateau(found, Rule()) == meets


# Cases without an obvious answer


def expected(found: Sharpness[float], w, rest_a, midpoint, rest_b):
    assert (found.w, found.rest_a, found.midpoint, found.rest_b) == pytest.approx((w, rest_a, midpoint, rest_b))


def test_falling_curve_is_all_boundary():
    found = measure_one(ALPHA, 1 - ALPHA)
    expected(found, 1, 0, 0.5, 0)
    assert found.departure == pytest.approx(0.5)
    assert found.max_slope == pytest.approx(-1)


def test_levels_that_are_never_reached():
    expected(measure_one(FINE, 0.05 * FINE), 0, 1, 1, 0)
    expected(measure_one(FINE, 1 - 0.05 * FINE[::-1]), 0, 0, 0, 1)
    expected(measure_one(FINE, 0.2 + 0.6 * FINE), 1, 0, 0.5, 0)
    expected(measure_one(FINE, 0.2 + 0.8 * FINE), 0.875, 0, 0.375, 0.125)
    assert not is_plateau(measure_one(FINE, 0 * FINE), Rule())


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_flat_pieces_at_the_levels(kind):
    d = np.interp(FINE, [0, 0.1, 0.3, 0.4, 0.6, 0.7, 0.8, 1], [0, 0.1, 0.1, 0.5, 0.5, 0.9, 0.9, 1]).astype(kind)
    expected(measure_one(FINE, d), 0.4, 0.3, 0.5, 0.3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_named(value):
    curves = np.tile(ALPHA, (3, 1))
    curves[1, 7] = value
    with pytest.raises(ValueError, match="curve 1 has a value that is not finite"):
        measure(ALPHA, curves)


@pytest.mark.parametrize("alpha", [ALPHA[:-1], ALPHA[::-1], np.repeat(ALPHA[::2], 2), ALPHA + 0.1])
def test_alpha_that_does_not_rise_from_0_to_1_is_refused(alpha):
    with pytest.raises(ValueError, match=r"alpha|steps"):
        measure(alpha, ALPHA[None])


# Identities


@pytest.mark.parametrize("steps", [3, 10, 50])
def test_swapping_the_prompts_mirrors_the_measures(steps):
    alpha, curves = np.linspace(0, 1, steps), wild(300, steps)
    one, other = measure(alpha, curves), measure(alpha, 1 - curves[:, ::-1])
    close = {"rtol": 0, "atol": 1e-6}
    np.testing.assert_allclose(other.w, one.w, **close)
    np.testing.assert_allclose(other.midpoint, 1 - one.midpoint, **close)
    np.testing.assert_allclose(other.rest_a, one.rest_b, **close)
    np.testing.assert_allclose(other.rest_b, one.rest_a, **close)
    for name in ("plateau_width", "max_slope", "departure"):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name), **close)


def test_rests_and_boundary_make_up_the_path():
    found = measure(ALPHA, wild(300, 50))
    np.testing.assert_allclose(found.rest_a + found.w + found.rest_b, 1)
    assert (found.w >= 0.8 / 49 - 1e-12).all()
    assert ((found.midpoint >= found.alpha10) & (found.midpoint <= found.alpha90)).all()


def test_refining_the_steps_changes_nothing():
    """Steps that are added between those of a curve that never falls, on its straight lines, do not change it."""
    coarse, fine = np.linspace(0, 1, 50), np.linspace(0, 1, 49 * 6 + 1)
    curves = np.sort(wild(200, 50), axis=1)
    one = measure(coarse, curves)
    other = measure(fine, np.stack([np.interp(fine, coarse, curve) for curve in curves]))
    for name, values in one._asdict().items():
        np.testing.assert_allclose(getattr(other, name), values, atol=1e-6, err_msg=name)


def test_rests_are_the_plateau_width_of_a_curve_that_never_falls():
    found = measure(ALPHA, np.sort(wild(200, 50), axis=1))
    np.testing.assert_allclose(found.rest_a + found.rest_b, found.plateau_width, atol=1e-6)


# Comparisons with other implementations


@pytest.mark.parametrize("steps", [2, 7, 50, 301])
def test_isotonic_fit_is_scikit_learns(steps):
    curves = np.random.default_rng(1).normal(size=(60, steps))
    curves[::3] = np.round(curves[::3])  # ties
    position = np.arange(steps)
    theirs = [IsotonicRegression().fit_transform(position, curve) for curve in curves]
    np.testing.assert_allclose(isotonic(curves), theirs, rtol=0, atol=1e-12)


def slow(alpha, d):
    """Every measure by plain loops over 100,001 points of the drawn curve, with the fit by its minimax formula."""
    n = len(d)
    fit = [max(min(np.mean(d[j : k + 1]) for k in range(i, n)) for j in range(i + 1)) for i in range(n)]
    points = np.linspace(0, 1, 100_001)
    drawn, raw = np.interp(points, alpha, fit), np.interp(points, alpha, d)
    rest_a = sum(value <= 0.1 + 1e-7 for value in drawn) / len(points)
    rest_b = sum(value >= 0.9 - 1e-7 for value in drawn) / len(points)
    half = [point for point, value in zip(points, drawn, strict=True) if abs(value - 0.5) < 1e-6]
    if half:
        midpoint = (half[0] + half[-1]) / 2
    else:
        midpoint = next(point for point, value in zip(points, drawn, strict=True) if value > 0.5)
    return Sharpness(
        rest_a,
        midpoint,
        rest_b,
        sum(value <= 0.1 + 1e-7 or value >= 0.9 - 1e-7 for value in raw) / len(points),
        max((d[i + 1] - d[i]) / (alpha[i + 1] - alpha[i]) for i in range(n - 1)),
        max(abs(d[i] - fit[i]) for i in range(n)),
    )


def test_measures_are_those_of_a_slow_loop():
    alpha, curves = np.linspace(0, 1, 13), wild(12, 13, seed=3)
    found = measure(alpha, curves)
    for row, curve in enumerate(curves):
        for name, value in slow(alpha, curve)._asdict().items():
            assert getattr(found, name)[row] == pytest.approx(value, abs=1e-4), (row, name)


def test_one_curve_is_a_batch_of_one():
    curves = wild(5, 50)
    many = measure(ALPHA, curves)
    for row, curve in enumerate(curves):
        assert measure_one(ALPHA, curve) == Sharpness(*(values[row] for values in many))
