"""Intervals of a median against tables, of a mean against the sign-flip test itself, and both by simulation."""

import math

import numpy as np
import pytest

from calciflow.stats.centre import MOST_SUBSETS, mean_interval, median_interval
from calciflow.stats.signed_rank import sign_flip


@pytest.mark.parametrize(
    ("n", "k", "level"),
    # Conover, Practical nonparametric statistics, 3rd ed., table A3 (binomial, p = 0.5); Sachs, table 69;
    # for 50 and 100 Altman and others, Statistics with confidence, 2nd ed., table 18.5
    [
        (6, 1, 0.9688),
        (8, 1, 0.9922),
        (9, 2, 0.9609),
        (10, 2, 0.9785),
        (12, 3, 0.9614),
        (15, 4, 0.9648),
        (20, 6, 0.9586),
        (50, 18, 0.9672),
        (100, 40, 0.9648),
    ],
)
def test_median_takes_the_tabled_values(n, k, level):
    low, high, attained = median_interval(np.arange(1.0, n + 1))
    assert (low, high) == (k, n + 1 - k)
    assert attained == pytest.approx(level, abs=5e-5)


@pytest.mark.parametrize("interval", [median_interval, mean_interval])
@pytest.mark.parametrize("n", range(6))
def test_no_95_percent_interval_below_six(interval, n):
    assert all(math.isnan(value) for value in interval(np.arange(float(n))))


def test_six_values_give_their_whole_range():
    values = [2.0, 3.0, 3.5, 5.0, math.nan, 6.0, 11.0]
    assert mean_interval(values) == (2.0, 11.0, 0.96875)
    assert median_interval(values) == (2.0, 11.0, 0.96875)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_interval_of_the_mean_is_what_the_sign_flip_test_keeps(seed):
    values = np.random.default_rng(seed).normal(1.0, 2.0, 9)
    low, high, level = mean_interval(values)
    assert level == pytest.approx(1 - 2 * 12 / 512)
    for edge, inward in ((low, 1e-6), (high, -1e-6)):
        assert sign_flip(values - edge - inward)[0] > 1 - level
        assert sign_flip(values - edge + inward)[0] <= 1 - level + 1e-12


def test_many_values_are_not_enumerated():
    assert math.isfinite(mean_interval(np.arange(float(MOST_SUBSETS)))[0])
    assert math.isnan(mean_interval(np.arange(MOST_SUBSETS + 1.0))[0])


@pytest.mark.slow
@pytest.mark.parametrize(("interval", "n", "level"), [(median_interval, 6, 62 / 64), (mean_interval, 6, 62 / 64)])
def test_both_cover_as_often_as_they_say(interval, n, level):
    trials = 4000
    draws = np.random.default_rng(11).laplace(3.0, 1.0, (trials, n))
    covered = np.mean([low <= 3.0 <= high for low, high, _ in map(interval, draws)])
    assert covered == pytest.approx(level, abs=4 * math.sqrt(level * (1 - level) / trials))
