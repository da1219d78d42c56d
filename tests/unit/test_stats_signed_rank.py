"""Signed-rank statistics against published values, brute force over all sign flips, and scipy."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from calciflow.stats.signed_rank import flip_distribution, rounded, sign_flip, signed_rank, walsh_averages

# Hamilton depression factor, nine patients before and after tranquillizer: Hollander & Wolfe (1973), table 3.1;
# also the example of R's wilcox.test, which prints V = 40, p = 0.03906, shift 0.46, interval 0.010 to 0.786.
BEFORE = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
AFTER = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])

# Darwin's fifteen pairs of cross- and self-fertilised Zea mays, eighths of an inch: Fisher, Design of Experiments
# (1935), section 21: 863 of the 32,768 sign flips give a sum of 314 or more, so p = 1726 / 32768.
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]


def brute_force(differences):
    """Two-sided p of the signed-rank test, by writing out every sign flip."""
    nonzero = np.array([d for d in differences if d != 0], dtype=float)
    ranks = stats.rankdata(np.abs(nonzero))
    expected = ranks.sum() / 2
    observed = abs(ranks[nonzero > 0].sum() - expected)
    flips = [
        abs(sum(r for r, keep in zip(ranks, signs, strict=True) if keep) - expected)
        for signs in product((0, 1), repeat=len(ranks))
    ]
    return np.mean([f >= observed - 1e-9 for f in flips])


def test_the_papers_p_is_asymptotic_and_no_exact_p_of_six_pairs():
    result = signed_rank([1, 1, 2, 2, 7, 7])
    assert result.p_exact == 0.03125
    assert result.p_asymptotic == pytest.approx(0.02643, abs=5e-6)
    # Richardson et al. 2025 report 0.0264
    assert round(result.p_asymptotic, 4) == 0.0264
    assert result.p_attainable == 0.03125
    assert (result.ci_low, result.ci_high, result.ci_level) == (1, 7, 0.96875)
    assert result.rank_biserial == 1


def test_hollander_and_wolfe_depression():
    result = signed_rank(BEFORE - AFTER)
    assert result.w_plus == 40
    assert result.p_exact == pytest.approx(0.0390625, abs=1e-12)
    assert result.estimate == pytest.approx(0.46)
    assert (result.ci_low, result.ci_high) == pytest.approx((0.010, 0.786))
    assert result.ci_level == pytest.approx(0.961, abs=5e-4)


def test_fishers_count_of_darwins_maize():
    p, attainable = sign_flip(DARWIN)
    assert p == pytest.approx(1726 / 32768, abs=1e-15)
    assert attainable == 2 / 2**15


def test_zeros_leave_the_test_and_stay_in_the_estimate():
    with_zeros = signed_rank([0, 0, 3, 4, 5, 6])
    without = signed_rank([3, 4, 5, 6])
    assert with_zeros.p_exact == without.p_exact == 0.125
    assert (with_zeros.n, with_zeros.n_nonzero) == (6, 4)
    assert with_zeros.estimate < without.estimate


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=9))
@settings(max_examples=80, deadline=None)
def test_exact_p_equals_brute_force_with_ties_and_zeros(differences):
    result = signed_rank(differences)
    expected = brute_force(differences) if any(differences) else 1.0
    assert result.p_exact == pytest.approx(expected, abs=1e-12)
    mirrored = signed_rank([-d for d in differences])
    assert mirrored.p_exact == pytest.approx(result.p_exact)
    assert mirrored.estimate == pytest.approx(-result.estimate)


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=9))
@settings(max_examples=60, deadline=None)
def test_sign_flip_of_whole_and_of_real_numbers_agree_with_enumeration(differences):
    sums = [
        sum(s * d for s, d in zip(signs, differences, strict=True))
        for signs in product((-1, 1), repeat=len(differences))
    ]
    expected = np.mean([abs(s) >= abs(sum(differences)) for s in sums])
    assert sign_flip(differences)[0] == pytest.approx(expected)
    assert sign_flip([d / 7 for d in differences])[0] == pytest.approx(expected)


def test_flips_of_real_numbers_that_cancel_all_count():
    """1 - 2 + 4 + 2 - 5 sevenths are 1e-17 in floats, not 0: every flip is at least as far out."""
    assert sign_flip([d / 7 for d in (1, -2, 4, 2, -5)])[0] == 1


def test_scipy_exact_is_wrong_with_ties():
    """Scipy's ``method="exact"`` uses the distribution of untied ranks: too small a p here. Hence our own."""
    differences = [1, 1, 2, 2, 7, -1]
    assert brute_force(differences) == 0.125
    assert stats.wilcoxon(differences, method="exact").pvalue == pytest.approx(0.09375)
    assert signed_rank(differences).p_exact == 0.125


def test_asymptotic_p_equals_scipys():
    rng = np.random.default_rng(4)
    for n in (6, 15, 40):
        differences = rng.integers(-6, 9, n)
        expected = stats.wilcoxon(differences[differences != 0], method="asymptotic", correction=False).pvalue
        assert signed_rank(differences).p_asymptotic == pytest.approx(expected)


def test_untied_exact_p_equals_scipys():
    differences = np.random.default_rng(5).normal(0.3, 1, 30)
    assert signed_rank(differences).p_exact == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue)


@pytest.mark.parametrize(("n", "exists"), [(1, False), (4, False), (5, False), (6, True), (7, True)])
def test_no_95_percent_interval_below_six(n, exists):
    result = signed_rank(np.arange(1, n + 1))
    assert math.isfinite(result.ci_low) == exists
    assert math.isfinite(result.ci_level) == exists


@pytest.mark.parametrize(("n", "k"), [(6, 1), (7, 3), (8, 4), (9, 6), (10, 9), (12, 14), (15, 26), (20, 53)])
def test_walsh_interval_takes_the_tabled_average(n, k):
    """Ranks of the Walsh averages for 95 %: critical values + 1 of Wilcoxon's table (Conover 1999, table A12)."""
    differences = np.random.default_rng(n).normal(size=n)
    result = signed_rank(differences)
    averages = walsh_averages(rounded(differences))
    assert result.ci_low == averages[k - 1]
    assert result.ci_high == averages[-k]
    assert result.ci_level >= 0.95


def test_float_noise_breaks_no_tie():
    assert signed_rank([0.1 + 0.2, 0.3, -0.3]).p_exact == signed_rank([3, 3, -3]).p_exact


def test_nothing_to_test():
    empty = signed_rank([])
    assert empty.n == 0
    assert math.isnan(empty.p_exact)
    same = signed_rank([0, 0, 0])
    assert (same.p_exact, same.estimate, same.n_nonzero) == (1, 0, 0)
    assert math.isnan(same.rank_biserial)
    assert signed_rank([math.nan, 2]).n == 1
    assert sign_flip([]) == pytest.approx((math.nan, math.nan), nan_ok=True)
    assert sign_flip([0, 0]) == (1, 1)


def test_interval_does_not_jump_where_the_exact_one_ends():
    values = np.random.default_rng(8).normal(size=401)
    exact, normal = signed_rank(values[:400]), signed_rank(values)
    assert math.isnan(normal.p_exact)
    assert math.isfinite(exact.p_exact), "400 pairs are still exact"
    assert exact.ci_level > 0.95, "what is attained"
    assert normal.ci_level == 0.95, "nominal"
    assert normal.ci_low == pytest.approx(exact.ci_low, abs=0.005)
    assert normal.ci_high == pytest.approx(exact.ci_high, abs=0.005)


def test_flip_distribution_sums_to_one():
    probabilities = flip_distribution(np.arange(1, 300))
    assert probabilities.sum() == pytest.approx(1)


@pytest.mark.slow
def test_type_one_error_and_coverage_at_six_pairs():
    """8,000 cohorts of six: the exact test errs in 2/64 of them at 0.05, the interval covers in 62/64."""
    rng = np.random.default_rng(20)
    trials = 8_000
    error = coverage = asymptotic = tied = 0
    for differences in rng.laplace(0.0, 1.0, (trials, 6)):
        result = signed_rank(differences)
        error += result.p_exact <= 0.05
        asymptotic += result.p_asymptotic <= 0.05
        coverage += result.ci_low <= 0 <= result.ci_high
    for differences in rng.integers(-3, 4, (trials, 6)):
        tied += signed_rank(differences).p_exact <= 0.05
    margin = 4 * math.sqrt(0.03125 * 0.96875 / trials)
    assert error / trials == pytest.approx(0.03125, abs=margin)
    assert coverage / trials == pytest.approx(0.96875, abs=margin)
    assert tied / trials <= 0.05
    # with untied ranks the asymptotic p of the extreme is 0.0277 and that of the next 0.0464: it errs more often
    assert asymptotic / trials == pytest.approx(4 / 64, abs=4 * math.sqrt(0.0625 / trials))


def test_no_difference_at_all_and_too_many_to_enumerate():
    nothing = signed_rank([0.0, 0.0])
    assert (nothing.p_exact, nothing.p_asymptotic, nothing.p_attainable, nothing.estimate) == (1, 1, 1, 0)
    p, attainable = sign_flip([0.1 * n + 0.05 for n in range(21)])
    assert math.isnan(p)
    assert attainable == 2 / 2**21


def test_a_level_that_is_attained_exactly_has_its_interval():
    """Five pairs: the range of the differences covers in 1 - 2 / 32."""
    result = signed_rank([1, 2, 3, 4, 5], level=0.9375)
    assert (result.ci_low, result.ci_high, result.ci_level) == (1, 5, 0.9375)
    assert math.isnan(signed_rank([1, 2, 3, 4, 5], level=0.94).ci_low)


def test_values_tie_at_ten_significant_digits():
    assert len(set(rounded([1.0, 1.0 + 6e-11]))) == 1
    assert len(set(rounded([1.0, 1.0 + 6e-10]))) == 2
    assert len(set(rounded([1234.0, 1234.0 + 6e-8]))) == 1


def test_flips_are_enumerated_up_to_twenty_real_numbers_and_counted_at_any_number_of_whole_ones():
    assert sign_flip([0.1 * n + 0.05 for n in range(20)])[0] == 2 / 2**20
    assert sign_flip([1] * 25)[0] == 2 / 2**25
    # 3 and 1 against 2: sums of 6, 4, 2 and 0; three in four of the eight flips reach 2.
    assert sign_flip([3, 1, -2]) == (6 / 8, 2 / 8)


def test_counts_of_nothing():
    assert (signed_rank([]).n, signed_rank([]).n_nonzero) == (0, 0)
    assert signed_rank([0, 0]).w_plus == 0
