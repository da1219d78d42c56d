"""Rank-sum statistics against published values, brute force over all divisions, scipy, and Fisher's exact test."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from calciflow.stats.two_sample import rank_sum, shift_interval

# Permeability of the human chorioamnion at term and at 12-26 weeks: Hollander & Wolfe (1973), table 4.1; also the
# example of R's wilcox.test, which prints W = 35, two-sided p = 0.2544, shift 0.305, interval -0.15 to 0.76.
AT_TERM = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
EARLY = [1.15, 0.88, 0.90, 0.74, 1.21]


def brute_force(a, b):
    ranks = stats.rankdata([*a, *b])
    expected = len(a) * ranks.mean()
    observed = abs(ranks[: len(a)].sum() - expected)
    all_sums = [abs(sum(c) - expected) for c in combinations(ranks, len(a))]
    return np.mean([s >= observed - 1e-9 for s in all_sums]), np.mean([s >= max(all_sums) - 1e-9 for s in all_sums])


def test_hollander_and_wolfe_permeability():
    result = rank_sum(AT_TERM, EARLY)
    assert result.u == 35
    assert result.p_exact == pytest.approx(0.2544, abs=5e-5)
    assert result.estimate == pytest.approx(0.305)
    assert (result.ci_low, result.ci_high) == pytest.approx((-0.15, 0.76))


def test_three_against_three_cannot_go_below_one_tenth():
    result = rank_sum([7, 8, 9], [1, 2, 3])
    assert result.p_exact == result.p_attainable == pytest.approx(0.1)
    assert math.isnan(result.ci_low)
    assert result.delta == 1
    # the normal approximation claims less than any division allows: never to be read at this n
    assert result.p_asymptotic < 0.05


def test_four_against_four_has_an_interval():
    result = rank_sum([5, 6, 7, 8], [1, 2, 3, 4])
    assert result.p_exact == pytest.approx(2 / 70)
    assert (result.ci_low, result.ci_high) == (1, 7)
    assert result.ci_level == pytest.approx(1 - 2 / 70)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.lists(st.integers(0, 4), min_size=1, max_size=5))
@settings(max_examples=80, deadline=None)
def test_exact_p_equals_brute_force_with_ties(a, b):
    result = rank_sum(a, b)
    p, attainable = brute_force(a, b)
    assert result.p_exact == pytest.approx(p, abs=1e-12)
    assert result.p_attainable == pytest.approx(attainable, abs=1e-12)
    assert rank_sum(b, a).p_exact == pytest.approx(p, abs=1e-12)
    assert rank_sum(b, a).delta == pytest.approx(-result.delta)


def test_scipy_exact_is_wrong_with_ties():
    """Scipy's ``method="exact"`` takes ranks for untied, ``auto`` is asymptotic at any n with ties. Hence our own."""
    a, b = [1, 2, 2, 3], [2, 3, 3, 4]
    p, _ = brute_force(a, b)
    assert p == pytest.approx(2 / 7)
    assert stats.mannwhitneyu(a, b, method="exact").pvalue == pytest.approx(0.2)
    assert stats.mannwhitneyu(a, b, method="auto").pvalue < p
    assert rank_sum(a, b).p_exact == pytest.approx(p)


def test_untied_and_asymptotic_p_equal_scipys():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=12), rng.normal(0.7, 1, 17)
    assert rank_sum(a, b).p_exact == pytest.approx(stats.mannwhitneyu(a, b, method="exact").pvalue)
    tied_a, tied_b = rng.integers(0, 5, 12), rng.integers(1, 6, 17)
    expected = stats.mannwhitneyu(tied_a, tied_b, method="asymptotic", use_continuity=False).pvalue
    assert rank_sum(tied_a, tied_b).p_asymptotic == pytest.approx(expected)


@pytest.mark.parametrize(("yes_a", "yes_b"), [(3, 0), (2, 1), (1, 1), (3, 3)])
def test_yes_and_no_of_equal_groups_is_fishers_exact_test(yes_a, yes_b):
    a, b = [1] * yes_a + [0] * (3 - yes_a), [1] * yes_b + [0] * (3 - yes_b)
    fisher = stats.fisher_exact([[yes_a, 3 - yes_a], [yes_b, 3 - yes_b]]).pvalue
    result = rank_sum(a, b)
    assert result.p_exact == pytest.approx(fisher)
    assert result.delta == pytest.approx((yes_a - yes_b) / 3)


def test_nobody_and_everybody_alike():
    assert math.isnan(rank_sum([], [1, 2]).p_exact)
    assert rank_sum([math.nan], [1, 2]).n_a == 0
    alike = rank_sum([2, 2], [2, 2])
    assert (alike.p_exact, alike.p_attainable, alike.p_asymptotic, alike.delta) == (1, 1, 1, 0)


def test_large_groups_have_no_exact_p_but_an_asymptotic_one():
    rng = np.random.default_rng(2)
    result = rank_sum(rng.normal(size=200), rng.normal(1, 1, 200))
    assert math.isnan(result.p_exact)
    assert result.p_asymptotic < 1e-6
    # 200 against 200 of SD 1: standard error of the shift near sqrt(pi / 3) * 0.1
    assert result.ci_low < result.estimate < result.ci_high
    assert result.ci_high - result.ci_low == pytest.approx(2 * 1.96 * 0.1 * math.sqrt(math.pi / 3), rel=0.15)


def test_interval_does_not_jump_where_the_exact_one_ends():
    values = np.random.default_rng(8).normal(size=101)
    exact, normal = rank_sum(values[:50], values[50:100]), rank_sum(values[:50], values[50:])
    assert math.isfinite(exact.p_exact), "100 people are still exact"
    assert math.isnan(normal.p_exact)
    assert exact.ci_level > 0.95, "what is attained"
    assert normal.ci_level == 0.95, "nominal"
    assert normal.ci_low == pytest.approx(exact.ci_low, abs=0.05)
    assert normal.ci_high == pytest.approx(exact.ci_high, abs=0.05)


@pytest.mark.slow
def test_type_one_error_and_coverage_of_small_groups():
    """3 against 3 errs never at 0.05, in 10 % at 0.10 (the asymptotic p: in 10 % at 0.05); 4 against 4 covers."""
    rng = np.random.default_rng(3)
    trials = 5_000
    at_5 = at_10 = asymptotic = coverage = 0
    for values in rng.lognormal(0, 1.5, (trials, 6)):
        result = rank_sum(values[:3], values[3:])
        at_5 += result.p_exact <= 0.05
        at_10 += result.p_exact <= 0.1 + 1e-9
        asymptotic += result.p_asymptotic <= 0.05
    for values in rng.normal(0, 1, (trials, 8)):
        result = rank_sum(values[:4] + 2.0, values[4:])
        coverage += result.ci_low <= 2.0 <= result.ci_high
    margin = 4 * math.sqrt(0.1 * 0.9 / trials)
    assert at_5 == 0
    assert at_10 / trials == pytest.approx(0.1, abs=margin)
    assert asymptotic / trials == pytest.approx(0.1, abs=margin)
    assert coverage / trials == pytest.approx(1 - 2 / 70, abs=margin)


@pytest.mark.parametrize(
    ("n_a", "n_b", "critical"),
    [(4, 4, 0), (5, 5, 2), (5, 8, 6), (6, 9, 10), (8, 8, 13), (10, 10, 23), (12, 12, 37), (20, 20, 127)],
)
def test_interval_takes_the_tabled_difference(n_a, n_b, critical):
    """Critical values of U, 0.05 two-sided: Milton, J Am Stat Assoc 1964; 59:925-934 (Siegel 1956, table K)."""
    rng = np.random.default_rng(n_a)
    a, b = rng.normal(size=n_a).round(6), rng.normal(size=n_b).round(6)
    differences = np.sort(np.subtract.outer(a, b).ravel())
    result = rank_sum(a, b)
    assert result.ci_low == pytest.approx(differences[critical], abs=1e-9)
    assert result.ci_high == pytest.approx(differences[-critical - 1], abs=1e-9)
    assert result.ci_level >= 0.95


def test_a_level_that_is_attained_exactly_has_its_interval():
    result = rank_sum([5, 6, 7, 8], [1, 2, 3, 4], level=1 - 2 / 70)
    assert (result.ci_low, result.ci_high) == (1, 7)
    assert result.ci_level == pytest.approx(1 - 2 / 70)


def test_the_normal_interval_takes_the_difference_that_its_formula_names():
    """60 against 60: 1800 - 1.95996 * sqrt(60 * 60 * 121 / 12) = 1426.6, so the 1426th from either end."""
    a, b = np.arange(60) * 1000.0, np.arange(60) * 1.0
    differences = np.sort(np.subtract.outer(a, b).ravel())
    result = rank_sum(a, b)
    assert (result.ci_low, result.ci_high) == (differences[1425], differences[-1426])


@pytest.mark.parametrize(("a", "b"), [([], [1.0]), ([1.0], []), ([], [])])
def test_no_interval_without_both_groups(a, b):
    assert all(math.isnan(v) for v in shift_interval(np.array(a), np.array(b), 0.95))
