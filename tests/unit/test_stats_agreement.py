"""Agreement against Shrout & Fleiss, Bland & Altman, and statsmodels."""

import math

import numpy as np
import pytest
from statsmodels.stats.inter_rater import cohens_kappa

from calciflow.stats.agreement import bland_altman, icc, weighted_kappa

# Six targets, four judges: Shrout & Fleiss 1979, table 2; ICC(2,1) = .29 and ICC(3,1) = .71 in table 4.
# Intervals 0.019 to 0.761 and 0.342 to 0.946 as R's psych::ICC prints them for these data.
JUDGES = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]

# Peak expiratory flow, Wright's large and mini meter, first readings: Bland & Altman, Lancet 1986; 327:307, table 1:
# mean difference -2.1, SD 38.8, 95 % interval of the bias -22.0 to 17.8.
LARGE = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]


def test_shrout_and_fleiss():
    agreement = icc(JUDGES)
    assert agreement.estimate == pytest.approx(0.2898, abs=5e-5)
    assert (agreement.ci_low, agreement.ci_high) == pytest.approx((0.019, 0.761), abs=5e-4)
    consistency = icc(JUDGES, "consistency")
    assert consistency.estimate == pytest.approx(0.7148, abs=5e-5)
    assert (consistency.ci_low, consistency.ci_high) == pytest.approx((0.342, 0.946), abs=5e-4)


def test_raters_with_the_same_mean_have_the_degrees_of_freedom_of_the_residual():
    """Without a raters' effect Satterthwaite's v is (n - 1)(k - 1) = 3, whatever the error's size."""
    for scale in (1.0, 0.1, 30.0):
        result = icc(scale * np.array([[1, 2], [4, 3], [5, 6], [8, 7]]))
        rows, error = 2 * (9 + 1 + 1 + 9) / 3, 0.5 * 4 / 3  # by hand: means 1.5, 3.5, 5.5, 7.5; residuals of 0.5
        f_low, f_high = 15.439182, 15.439182  # F(0.975; 3, 3)
        assert result.ci_low == pytest.approx(4 * (rows - f_low * error) / (f_low * 2 * error + 4 * rows), rel=1e-6)
        high = 4 * (f_high * rows - error) / (2 * error + 4 * f_high * rows)
        assert result.ci_high == pytest.approx(high, rel=1e-6)


def test_an_offset_between_raters_is_consistent_but_does_not_agree():
    ratings = np.array([[1, 3], [2, 4], [3, 5], [4, 6]])
    assert icc(ratings, "consistency").estimate == 1
    assert icc(ratings).estimate < 0.5


@pytest.mark.parametrize("ratings", [[[3, 3], [3, 3]], [[1, 2]], np.empty((0, 2)), [[math.nan, 1], [2, 3]]])
def test_no_icc_where_there_is_none(ratings):
    assert math.isnan(icc(ratings).estimate)


def test_perfect_agreement_has_no_interval():
    result = icc([[1, 1], [2, 2], [5, 5]])
    assert result.estimate == 1
    assert math.isnan(result.ci_low)


@pytest.mark.parametrize("weights", ["linear", "quadratic"])
def test_kappa_equals_statsmodels_on_grades(weights):
    rng = np.random.default_rng(7)
    a = rng.integers(0, 5, 60)
    b = np.clip(a + rng.integers(-1, 2, 60), 0, 4)
    table = np.zeros((5, 5))
    np.add.at(table, (a, b), 1)
    expected = cohens_kappa(table, wt=weights).kappa
    assert weighted_kappa(a, b, weights) == pytest.approx(expected)


def test_kappa_of_two_grades_is_cohens():
    """Cohen's own 2 x 2 kappa: 20, 5, 10, 15 gives (0.7 - 0.5) / 0.5 = 0.4, with any weights."""
    a = [1] * 25 + [0] * 25
    b = [1] * 20 + [0] * 5 + [1] * 10 + [0] * 15
    assert weighted_kappa(a, b, "linear") == pytest.approx(0.4)
    assert weighted_kappa(a, b, "quadratic") == pytest.approx(0.4)


def test_kappa_of_constant_series():
    assert math.isnan(weighted_kappa([0, 0, 0], [0, 0, 0]))
    assert math.isnan(weighted_kappa([1], [1]))
    assert weighted_kappa([0, 0, 0], [0, 1, 2]) == pytest.approx(0)


def test_bland_and_altmans_peak_flow():
    result = bland_altman(LARGE, MINI)
    assert result.bias == pytest.approx(-2.1, abs=0.05)
    assert result.sd == pytest.approx(38.8, abs=0.05)
    assert result.bias - result.bias_half_width == pytest.approx(-22.0, abs=0.1)
    assert result.bias + result.bias_half_width == pytest.approx(17.8, abs=0.1)
    # the 1986 paper takes 2 SD: -79.7 and 75.5; with 1.96 SD
    assert (result.lower, result.upper) == pytest.approx((-2.118 - 1.96 * 38.765, -2.118 + 1.96 * 38.765), abs=0.01)


def test_limits_of_six_people_are_1_9_sd_uncertain():
    result = bland_altman([1, 4, 2, 8, 5, 7], [2, 2, 2, 2, 2, 2])
    assert result.limit_half_width / result.sd == pytest.approx(1.9, abs=0.02)


def test_bland_altman_of_nobody_and_of_one():
    assert math.isnan(bland_altman([], []).bias)
    one = bland_altman([3], [1])
    assert one.bias == 2
    assert math.isnan(one.lower)
    with pytest.raises(ValueError, match="length"):
        bland_altman([1, 2], [1])


def test_two_people_are_enough_for_a_coefficient():
    assert weighted_kappa([1, 2], [1, 2]) == 1
    assert math.isnan(weighted_kappa([1], [1]))
    # By hand, for two raters without a common offset: mean squares of 9 between people, 1 within.
    assert icc([[1, 2], [4, 5]], "consistency").estimate == 1
    assert icc([[1, 2], [5, 4]], "consistency").estimate == pytest.approx((9 - 1) / (9 + 1))


def test_two_pairs_have_limits_and_a_pair_with_a_gap_is_left_out():
    """Differences 1 and 3: mean 2, SD sqrt(2), t(0.975; 1) = 12.706."""
    for a, b in (([2, 5], [1, 2]), ([2, math.nan, 5, 7], [1, 4, 2, math.nan])):
        result = bland_altman(a, b)
        assert (result.n, result.bias) == (2, 2)
        assert result.sd == pytest.approx(math.sqrt(2))
        assert result.upper == pytest.approx(2 + 1.96 * math.sqrt(2))
        assert result.bias_half_width == pytest.approx(12.7062, abs=1e-4)
    assert bland_altman([], []).n == 0
    assert weighted_kappa([1, 2, math.nan, 3], [1, 2, 3, math.nan]) == 1
