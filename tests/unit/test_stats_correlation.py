"""Rank correlation against the exact table, scipy, and brute force; Holm and Clopper-Pearson against statsmodels."""

import math
from itertools import permutations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from calciflow.stats.adjust import holm, spread
from calciflow.stats.correlation import FEWEST_FOR_INTERVAL, spearman


@pytest.mark.parametrize(
    ("order", "rho", "p"),
    [
        # Exact two-sided tails of Spearman's rho (Zar, Biostatistical Analysis, table B.20; Owen 1962)
        ([1, 2, 3, 4], 1.0, 2 / 24),
        ([1, 2, 3, 4, 5], 1.0, 2 / 120),
        ([1, 2, 3, 5, 4], 0.9, 10 / 120),
        ([2, 1, 3, 4, 6, 5], 0.8857, 24 / 720),
    ],
)
def test_exact_tails(order, rho, p):
    result = spearman(range(len(order)), order)
    assert result.rho == pytest.approx(rho, abs=5e-5)
    assert result.p_exact == pytest.approx(p)


def test_ties_by_brute_force():
    x, y = [0, 0, 1, 2, 2, 5], [1, 1, 1, 3, 2, 2]
    result = spearman(x, y)
    observed = abs(stats.spearmanr(x, y).statistic)
    everything = [abs(stats.spearmanr(x, order).statistic) for order in permutations(y)]
    assert result.rho == pytest.approx(stats.spearmanr(x, y).statistic)
    assert result.p_exact == pytest.approx(np.mean([r >= observed - 1e-9 for r in everything]))
    assert result.p_attainable == pytest.approx(np.mean([r >= max(everything) - 1e-9 for r in everything]))


def test_asymptotic_p_equals_scipys():
    rng = np.random.default_rng(3)
    x = rng.integers(0, 9, 40)
    y = x + rng.integers(-5, 6, 40)
    result = spearman(x, y)
    assert result.p_asymptotic == pytest.approx(stats.spearmanr(x, y).pvalue)
    assert math.isnan(result.p_exact)


def test_no_correlation_of_constants_or_pairs():
    assert math.isnan(spearman([1, 1, 1, 1], [1, 2, 3, 4]).rho)
    assert math.isnan(spearman([1, 2], [1, 2]).rho)
    assert spearman([1, 2, math.nan, 4], [1, 2, 3, 5]).n == 3


def test_holm_equals_statsmodels():
    p = [0.01, 0.04, 0.03, 0.005, 0.5, 0.9]
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert holm([]) == []
    assert holm([math.nan, 0.2]) == pytest.approx([math.nan, 0.2], nan_ok=True)


def test_holm_over_two_signed_rank_tests_of_six_pairs_cannot_reach_the_limit():
    assert min(holm([0.03125, 0.03125])) == 0.0625


def test_spread_of_nothing():
    assert spread([3, math.nan, 1, 2]) == (2, 1, 3)
    assert all(math.isnan(v) for v in spread([math.nan]))


def test_three_people_are_the_fewest():
    assert math.isnan(spearman([1, 2], [1, 2]).rho)
    assert spearman([1, 2, 3], [1, 3, 2]).rho == pytest.approx(0.5)
    assert spearman([1, 2, 3], [2, 4, 9]).p_exact == pytest.approx(2 / 6)
    assert math.isnan(spearman(range(9), range(9)).p_exact)
    assert spearman(range(8), range(8)).p_exact == pytest.approx(2 / 40320)


def test_interval_by_hand():
    # n = 12, rho = 0.5: atanh 0.549306; standard error sqrt((1 + 0.125) / 9) = 0.353553; 1.959964 of them 0.692952
    y = [4, 1, 2, 9, 6, 3, 12, 5, 8, 7, 10, 11]
    result = spearman(range(12), y)
    half = 1.959964 * math.sqrt((1 + result.rho**2 / 2) / 9)
    assert result.rho == pytest.approx(stats.spearmanr(range(12), y).statistic)
    assert math.atanh(result.ci_high) - math.atanh(result.rho) == pytest.approx(half, abs=1e-6)
    assert math.atanh(result.rho) - math.atanh(result.ci_low) == pytest.approx(half, abs=1e-6)


def test_no_interval_of_a_few_or_of_a_perfect_order():
    assert math.isnan(spearman(range(9), [1, 0, *range(2, 9)]).ci_low)
    assert not math.isnan(spearman(range(10), [1, 0, *range(2, 10)]).ci_low)
    assert math.isnan(spearman(range(15), range(15)).ci_low)


@pytest.mark.slow
@pytest.mark.parametrize("r", [0.0, 0.8])
def test_the_interval_covers_from_ten_people_on(r):
    chance = np.random.default_rng(5)
    truth = 6 / math.pi * math.asin(r / 2)  # Spearman's rho of a normal pair with Pearson's r
    covered, trials = 0, 3000
    for _ in range(trials):
        x = chance.standard_normal(FEWEST_FOR_INTERVAL)
        y = r * x + math.sqrt(1 - r * r) * chance.standard_normal(FEWEST_FOR_INTERVAL)
        result = spearman(x, y)
        covered += result.ci_low <= truth <= result.ci_high
    assert 0.935 < covered / trials < 0.98


def test_holm_is_never_above_one():
    assert holm([0.6, 0.7, 0.8]) == [1.0, 1.0, 1.0]


def test_perfect_order_and_a_constant_on_either_side():
    assert spearman([1, 2, 3, 4], [2, 3, 5, 9]).p_asymptotic == 0
    for x, y in (([1, 2, 3], [5, 5, 5]), ([5, 5, 5], [1, 2, 3])):
        assert math.isnan(spearman(x, y).rho)
