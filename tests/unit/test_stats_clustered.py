"""Methods for many deposits a person: against statsmodels, and by simulation."""

import math
import warnings

import numpy as np
import pytest
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM

from calciflow.stats.clustered import cluster_bootstrap, random_intercept


def cohort(seed, people=25, between=0.7, slope=0.4, least=1):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(least, 15, people)
    person = np.repeat(np.arange(people), sizes)
    x = rng.integers(0, 2, len(person)).astype(float)
    y = 1 + slope * x + rng.normal(0, between, people)[person] + rng.normal(0, 1, len(person))
    return person, x, y


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_intercept_equals_statsmodels(seed):
    person, x, y = cohort(seed)
    extra = np.random.default_rng(seed + 50).normal(size=len(y))
    ours = random_intercept(y, x, person.tolist(), 0.95, extra)
    design = np.column_stack([np.ones(len(y)), x, extra])
    theirs = MixedLM(y, design, groups=person).fit(reml=True)
    ratio = float(np.asarray(theirs.cov_re)[0, 0]) / theirs.scale
    assert ours.estimate == pytest.approx(theirs.fe_params[1], rel=1e-3)
    assert ours.variance_ratio == pytest.approx(ratio, rel=0.01)
    # Its standard errors add the uncertainty of the variances (observed Hessian): up to 2 % more. Ours, as lme4's, are
    # those of generalised least squares, here written out with the whole covariance matrix at its variances.
    assert ours.t == pytest.approx(theirs.fe_params[1] / theirs.bse_fe[1], rel=0.02)
    covariance = theirs.scale * (np.eye(len(y)) + ratio * (person[:, None] == person[None, :]))
    error = math.sqrt(np.linalg.inv(design.T @ np.linalg.solve(covariance, design))[1, 1])
    assert ours.t == pytest.approx(theirs.fe_params[1] / error, rel=2e-3)


def test_people_who_do_not_differ_have_a_standard_error_all_the_same():
    """A variance of 0 between people: statsmodels gives NaN as standard error here; it is least squares then."""
    person = np.repeat(np.arange(20), 4)
    x = np.tile([0.0, 1.0, 0.0, 1.0], 20)
    y = x * 0.5 + np.tile([-1.0, 1.0, 1.0, -1.0], 20)  # every person's mean is the same
    result = random_intercept(y, x, person.tolist())
    assert result.variance_ratio == 0
    assert result.estimate == pytest.approx(0.5)
    residual = np.tile([-1.0, 1.0, 1.0, -1.0], 20)
    error = math.sqrt(residual @ residual / 78 / (x - 0.5).dot(x - 0.5))
    assert result.t == pytest.approx(0.5 / error)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = MixedLM(y, np.column_stack([np.ones(80), x]), groups=person).fit(reml=True)
        assert not np.isfinite(theirs.bse_fe[1]) or theirs.bse_fe[1] == pytest.approx(error, rel=0.01)


def test_nothing_to_fit():
    assert math.isnan(random_intercept(np.array([]), np.array([]), []).estimate)
    alone = random_intercept(np.arange(5.0), np.array([0, 1, 0, 1, 0.0]), ["a"] * 5)
    assert math.isnan(alone.estimate)
    constant = random_intercept(np.arange(6.0), np.ones(6), list("aabbcc"))
    assert math.isnan(constant.p)


def test_bootstrap_is_the_same_each_time_and_needs_two_people():
    person, _, y = cohort(5)
    first = cluster_bootstrap(person.tolist(), lambda rows: float(y[rows].mean()))
    assert first == cluster_bootstrap(person.tolist(), lambda rows: float(y[rows].mean()))
    assert first[0] < y.mean() < first[1]
    assert math.isnan(cluster_bootstrap(["a", "a"], lambda rows: 1.0)[0])
    assert math.isnan(cluster_bootstrap(person.tolist(), lambda rows: math.nan)[0])


def test_bootstrap_draws_people_not_rows():
    """Ten people of 100 equal rows each: the interval is that of ten values, not of a thousand."""
    values = np.repeat(np.arange(10.0), 100)
    low, high = cluster_bootstrap(np.repeat(np.arange(10), 100).tolist(), lambda rows: float(values[rows].mean()))
    expected = 1.96 * np.arange(10).std() / math.sqrt(10)
    assert (high - low) / 2 == pytest.approx(expected, rel=0.1)


@pytest.mark.slow
def test_type_one_error_of_the_model_from_20_people_on():
    """Between-person and within-person effects that are not there: about 5 % of 1,000 cohorts of 24 find one."""
    within = between = 0
    trials = 1000
    for seed in range(trials):
        person, x, y = cohort(seed, people=24, slope=0.0)
        within += random_intercept(y, x, person.tolist()).p <= 0.05
        group = (person % 2).astype(float)
        between += random_intercept(y, group, person.tolist()).p <= 0.05
    assert 0.03 <= within / trials <= 0.07
    assert 0.03 <= between / trials <= 0.075


@pytest.mark.slow
def test_coverage_of_the_bootstrap_at_24_people_and_its_lack_at_6():
    rng = np.random.default_rng(9)
    trials = 300
    covered = {6: 0, 24: 0}
    for people in covered:
        for _ in range(trials):
            sizes = rng.integers(1, 10, people)
            person = np.repeat(np.arange(people), sizes)
            y = rng.normal(0, 1, people)[person] + rng.normal(0, 1, len(person))
            low, high = cluster_bootstrap(person.tolist(), lambda rows, y=y: float(y[rows].mean()), draws=300)
            covered[people] += low <= 0 <= high
    assert covered[24] / trials >= 0.89
    assert covered[6] / trials <= 0.90  # why there is none in a small cohort


def test_a_model_needs_two_rows_more_than_it_has_coefficients():
    y, effect = np.array([1.0, 2.5, 4.0, 3.0]), np.array([0.0, 1.0, 0.0, 1.0])
    assert math.isnan(random_intercept(y[:3], effect[:3], ["a", "a", "b"]).estimate)
    assert math.isfinite(random_intercept(y, effect, ["a", "a", "b", "b"]).estimate)


def test_the_p_of_a_balanced_design_is_that_of_the_paired_t_test():
    """Both classes once in each person: the model's slope, t and p are those of Student's test of the differences."""
    rng = np.random.default_rng(12)
    level = rng.normal(0, 5, 8)
    first, second = level + rng.normal(0, 1, 8), level + 0.8 + rng.normal(0, 1, 8)
    result = random_intercept(
        np.concatenate([first, second]), np.repeat([0.0, 1.0], 8), [f"p{i}" for i in range(8)] * 2
    )
    expected = stats.ttest_rel(second, first)
    assert result.estimate == pytest.approx((second - first).mean())
    assert result.t == pytest.approx(expected.statistic, rel=1e-4)
    assert result.p == pytest.approx(expected.pvalue, rel=1e-3)
    interval = expected.confidence_interval(0.95)
    assert (result.ci_low, result.ci_high) == pytest.approx((interval.low, interval.high), rel=1e-3)


@pytest.mark.parametrize(("share", "exists"), [(0.03, True), (0.07, False)])
def test_a_statistic_that_often_fails_has_no_interval(share, exists):
    """More than one in twenty resamples without a value: what the others say is not the whole distribution."""
    calls = iter(range(1000))
    low, high = cluster_bootstrap(
        list(range(30)), lambda rows: math.nan if next(calls) < 1000 * share else float(rows.mean())
    )
    assert math.isfinite(low) == math.isfinite(high) == exists


def test_two_people_are_enough_to_resample():
    low, high = cluster_bootstrap(["a", "b"], lambda rows: float(rows.mean()))
    assert (low, high) == (0.0, 1.0)
