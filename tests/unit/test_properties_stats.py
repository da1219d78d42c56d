"""What statistics must not depend on: the order of rows, the unit, which group is named first."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calciflow.stats.adjust import holm, spread
from calciflow.stats.agreement import bland_altman, icc, weighted_kappa
from calciflow.stats.clustered import cluster_bootstrap, random_intercept
from calciflow.stats.correlation import spearman
from calciflow.stats.signed_rank import sign_flip, signed_rank
from calciflow.stats.two_sample import rank_sum

SAME = settings(deadline=None, derandomize=True, max_examples=40)
NUMBERS = st.integers(-60, 60).map(lambda n: n / 4)
SERIES = st.lists(NUMBERS, min_size=1, max_size=12)
PAIRS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=8)
SCALES = st.sampled_from([1e-7, 1e-3, 0.25, 8.0, 1e5])


def same(one, two, scaled=(), factor=1.0):
    """Results are alike field by field; those named are larger by a factor."""
    for field in dataclasses.fields(one):
        value, other = getattr(one, field.name), getattr(two, field.name)
        wanted = value * factor if field.name in scaled else value
        assert other == pytest.approx(wanted, rel=1e-9, abs=1e-12 * factor, nan_ok=True), field.name


@SAME
@given(SERIES, st.randoms(use_true_random=False), SCALES)
def test_signed_ranks(values, chance, factor):
    one = signed_rank(values)
    shuffled = list(values)
    chance.shuffle(shuffled)
    assert str(signed_rank(shuffled)) == str(one)
    same(one, signed_rank([factor * v for v in values]), ("estimate", "ci_low", "ci_high"), factor)
    turned = signed_rank([-v for v in values])
    assert turned.p_exact == one.p_exact or math.isnan(one.p_exact)
    assert turned.estimate == -one.estimate
    assert turned.ci_low == -one.ci_high or math.isnan(one.ci_high)
    assert sign_flip(shuffled) == pytest.approx(sign_flip(values))
    assert sign_flip([factor * v for v in values]) == pytest.approx(sign_flip(values))
    assert 0 < one.p_exact <= 1
    assert one.p_exact >= one.p_attainable or one.n_nonzero == 0


@SAME
@given(SERIES, SERIES, st.randoms(use_true_random=False), SCALES, NUMBERS)
def test_rank_sums(a, b, chance, factor, offset):
    one = rank_sum(a, b)
    first, second = list(a), list(b)
    chance.shuffle(first)
    chance.shuffle(second)
    assert str(rank_sum(first, second)) == str(one)
    lengths = ("estimate", "ci_low", "ci_high")
    same(one, rank_sum([factor * v for v in a], [factor * v for v in b]), lengths, factor)
    same(one, rank_sum([v + offset for v in a], [v + offset for v in b]))
    turned = rank_sum(b, a)
    assert (turned.p_exact, turned.estimate) == pytest.approx((one.p_exact, -one.estimate))
    assert turned.delta == pytest.approx(-one.delta)
    assert 0 < one.p_attainable <= one.p_exact <= 1


@SAME
@given(PAIRS, st.randoms(use_true_random=False), SCALES)
def test_pairs(pairs, chance, factor):
    shuffled = list(pairs)
    chance.shuffle(shuffled)
    for function in (spearman, bland_altman):
        one = function(*zip(*pairs, strict=True))
        same(one, function(*zip(*shuffled, strict=True)))
        lengths = tuple(f.name for f in dataclasses.fields(one) if f.name != "n") if function is bland_altman else ()
        same(one, function(*(factor * np.array(pairs)).T), lengths, factor)
    for weights in ("linear", "quadratic"):
        one = weighted_kappa(*zip(*pairs, strict=True), weights)
        assert weighted_kappa(*zip(*shuffled, strict=True), weights) == pytest.approx(one, nan_ok=True)
        swapped = weighted_kappa(*[[pair[side] for pair in pairs] for side in (1, 0)], weights)
        assert swapped == pytest.approx(one, nan_ok=True)
        assert math.isnan(one) or one <= 1
    for kind in ("agreement", "consistency"):
        one = icc(pairs, kind)
        same(one, icc(shuffled, kind))
        same(one, icc(factor * np.array(pairs), kind))
        same(one, icc([pair[::-1] for pair in pairs], kind))


@SAME
@given(st.lists(st.one_of(st.floats(0, 1), st.just(math.nan)), max_size=12))
def test_holm_keeps_the_order_and_lowers_nothing(values):
    adjusted = holm(values)
    known = sorted((p, q) for p, q in zip(values, adjusted, strict=True) if math.isfinite(p))
    assert all(p <= q <= 1 for p, q in known)
    assert [q for _, q in known] == sorted(q for _, q in known)
    assert all(math.isnan(q) for p, q in zip(values, adjusted, strict=True) if math.isnan(p))
    assert str(holm(values[::-1])[::-1]) == str(adjusted)
    assert str(spread(values)) == str(spread(values[::-1]))


@settings(deadline=None, derandomize=True, max_examples=8)
@given(st.randoms(use_true_random=False), st.sampled_from([1e-3, 100.0]))
def test_lesions_of_people(chance, factor):
    data = np.random.default_rng(5)
    people = np.repeat([f"sub-{n}" for n in range(22)], 3)
    effect = data.integers(0, 2, len(people)).astype(float)
    y = effect + data.normal(size=22).repeat(3) + data.normal(size=len(people))
    order = list(range(len(people)))
    chance.shuffle(order)

    def middle(values):
        return lambda rows: float(np.mean(values[rows]))

    one = cluster_bootstrap(people.tolist(), middle(y), draws=200)
    assert cluster_bootstrap(people[order].tolist(), middle(y[order]), draws=200) == pytest.approx(one)
    fit = random_intercept(y, effect, people.tolist())
    same(fit, random_intercept(y[order], effect[order], people[order].tolist()))
    scaled = random_intercept(factor * y, effect, people.tolist())
    same(fit, scaled, ("estimate", "ci_low", "ci_high"), factor)
    # Wald's interval by its definition: t of people - 1.
    half = fit.estimate / fit.t * 2.0796138447  # scipy.stats.t.ppf(0.975, 21)
    assert (fit.ci_low, fit.ci_high) == pytest.approx((fit.estimate - half, fit.estimate + half))


def test_two_people_by_hand():
    # U = 0 of 1, expectation 1/2, variance 1 * 1 * 3 / 12: z = -1.
    assert rank_sum([1.0], [2.0]).p_asymptotic == pytest.approx(0.31731050786)
    assert (rank_sum([1.0], [2.0]).p_exact, rank_sum([1.0], [2.0]).delta) == (1.0, -1.0)


@pytest.mark.parametrize("n", [400, 401])
def test_the_interval_of_many_pairs_takes_as_many_averages_on_either_side(n):
    """Beside the exact distribution's last n, the normal approximation of Hollander, Wolfe & Chicken (3.3)."""
    values = np.random.default_rng(3).normal(0.3, 1.0, n)
    result = signed_rank(values)
    averages = np.array([(values[i] + values[j]) / 2 for i in range(n) for j in range(i, n)])
    below, above = (averages < result.ci_low - 1e-9).sum(), (averages > result.ci_high + 1e-9).sum()
    assert below == above
    assert below == pytest.approx(n * (n + 1) / 4 - 1.959964 * math.sqrt(n * (n + 1) * (2 * n + 1) / 24), abs=2)
