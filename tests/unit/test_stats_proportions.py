"""The difference of two shares: Newcombe's own examples, and how often the interval covers, by enumeration."""

import math

import numpy as np
import pytest
from scipy import stats

from calciflow.stats.proportions import FEWEST_A_GROUP, difference_interval, wilson_interval


@pytest.mark.parametrize(
    ("counts", "interval"),
    # Newcombe 1998, table II, method 10
    [((56, 70, 48, 80), (0.0524, 0.3339)), ((9, 10, 3, 10), (0.1705, 0.8090)), ((10, 10, 0, 10), (0.6075, 1.0))],
)
def test_newcombes_examples(counts, interval):
    assert difference_interval(*counts) == pytest.approx(interval, abs=5e-5)


def test_wilsons_interval():
    # Newcombe, Stat Med 1998; 17:857-872, table I, method 3: 81 of 263 and 15 of 148
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)


def test_three_against_three_have_no_interval():
    assert all(math.isnan(value) for value in difference_interval(3, 3, 0, 3))
    assert all(math.isnan(value) for value in difference_interval(9, 20, 1, FEWEST_A_GROUP - 1))


def test_it_covers_from_ten_people_a_group_on():
    n = FEWEST_A_GROUP
    count = np.arange(n + 1)
    intervals = np.array([[difference_interval(a, n, b, n) for b in count] for a in count])
    covered = []
    for p in np.linspace(0.05, 0.95, 19):
        for q in np.linspace(0.05, 0.95, 19):
            chance = np.outer(stats.binom.pmf(count, n, p), stats.binom.pmf(count, n, q))
            inside = (intervals[..., 0] <= p - q + 1e-12) & (p - q - 1e-12 <= intervals[..., 1])
            covered.append(float(chance[inside].sum()))
    assert np.mean(covered) == pytest.approx(0.95, abs=0.01)
    assert min(covered) > 0.89
