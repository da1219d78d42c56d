"""Paired and one-sample tests whose p-values hold at any n, with ties and zeros.

References
----------
Wilcoxon F. Individual comparisons by ranking methods. Biometrics Bulletin 1945; 1:80-83.
Hodges JL, Lehmann EL. Estimates of location based on rank tests. Ann Math Stat 1963; 34:598-611.
Hollander M, Wolfe DA, Chicken E. Nonparametric statistical methods, 3rd ed., 2014, sections 3.1 to 3.3.
Kerby DS. The simple difference formula. Comprehensive Psychology 2014; 3:11.IT.3.1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]

MOST_EXACT_PAIRS = 400
"""Above this n the exact distribution is not computed: the normal approximation is then right to four digits."""

MOST_ENUMERATED = 20
"""Sign flips of real numbers are enumerated up to 2**20 of them (one second, 8 MB)."""

DIGITS = 10
"""Significant digits at which two differences count as tied: 0.3 - 0.1 and 0.2 must share a rank."""

NAN = math.nan


def rounded(values: Sequence[float] | Floats) -> Floats:
    """Round to ``DIGITS`` significant digits of the largest value, so that float noise breaks no tie."""
    array = np.asarray(values, dtype=float)
    finite = np.abs(array[np.isfinite(array)])
    largest = float(finite.max()) if finite.size else 0.0
    if largest == 0:
        return array + 0.0
    return np.round(array, DIGITS - 1 - math.floor(math.log10(largest)))


@dataclass(frozen=True)
class SignedRank:
    """What a signed-rank analysis of paired differences gives.

    Attributes
    ----------
    n, n_nonzero
        Pairs, and those whose difference is not zero (only these enter the test).
    w_plus
        Sum of the ranks of the positive differences (midranks).
    p_exact, p_asymptotic
        Two-sided; exact over all sign flips, and normal with tie-corrected variance and no continuity correction.
    p_attainable
        The smallest exact p that these ``n_nonzero`` pairs allow: 2 / 2**n_nonzero.
    estimate, ci_low, ci_high, ci_level
        Hodges-Lehmann shift with its exact interval and the level that it attains; NaN where none exists.
    rank_biserial
        Matched-pairs rank-biserial correlation, (W+ - W-) / (W+ + W-).
    """

    n: int
    n_nonzero: int
    w_plus: float
    p_exact: float
    p_asymptotic: float
    p_attainable: float
    estimate: float
    ci_low: float
    ci_high: float
    ci_level: float
    rank_biserial: float


def flip_distribution(weights: npt.NDArray[np.int64]) -> Floats:
    """Probability of each sum 0, 1, ... when every weight is kept or left out with probability 1/2.

    Parameters
    ----------
    weights
        Non-negative whole numbers, shape (n,): doubled midranks, or doubled absolute counts.

    Returns
    -------
    Probabilities, shape (sum of weights + 1,).
    """
    probabilities = np.zeros(int(weights.sum()) + 1)
    probabilities[0] = 1.0
    reached = 0
    for weight in (int(w) for w in weights):
        shifted = probabilities[: reached + 1].copy()
        probabilities[: reached + 1] *= 0.5
        probabilities[weight : weight + reached + 1] += 0.5 * shifted
        reached += weight
    return probabilities


def _two_sided(weights: npt.NDArray[np.int64], kept: int) -> float:
    """P(|S - E S| >= |kept - E S|) for the sum S of ``flip_distribution``, in whole numbers throughout."""
    probabilities = flip_distribution(weights)
    total = len(probabilities) - 1
    distance = np.abs(2 * np.arange(total + 1) - total)
    return min(1.0, float(probabilities[distance >= abs(2 * kept - total)].sum()))


def walsh_interval(differences: Floats, level: float) -> tuple[float, float, float]:
    """Exact interval of the Hodges-Lehmann shift: the narrowest pair of Walsh averages of at least ``level``.

    Returns
    -------
    low, high, attained level. All NaN when n is too small for ``level`` (n <= 5 for 0.95). With ties the interval
    covers at least as often as stated (Hollander, Wolfe & Chicken 2014, 3.3). Above ``MOST_EXACT_PAIRS`` the average
    is chosen by the normal approximation, and the level is nominal.
    """
    n = len(differences)
    if n > MOST_EXACT_PAIRS:
        spread = math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
        k = math.floor(n * (n + 1) / 4 - float(stats.norm.ppf(1 - (1 - level) / 2)) * spread)
        averages = walsh_averages(differences)
        return float(averages[k - 1]), float(averages[len(averages) - k]), level
    if n == 0 or 2.0 / 2.0**n > 1.0 - level + 1e-12:
        return NAN, NAN, NAN
    below = np.cumsum(flip_distribution(np.arange(1, n + 1, dtype=np.int64)))
    # k-th smallest and k-th largest average: level 1 - 2 P(W <= k - 1)
    k = int(np.searchsorted(below, (1.0 - level) / 2.0 + 1e-12, side="right"))
    averages = walsh_averages(differences)
    return float(averages[k - 1]), float(averages[len(averages) - k]), float(1.0 - 2.0 * below[k - 1])


def walsh_averages(differences: Floats) -> Floats:
    """All n (n + 1) / 2 means of pairs (each with itself too), sorted."""
    rows, columns = np.triu_indices(len(differences))
    return np.sort((differences[rows] + differences[columns]) / 2.0)


def signed_rank(differences: Sequence[float] | Floats, level: float = 0.95) -> SignedRank:
    """Wilcoxon's signed-rank test of paired differences, exact and asymptotic, with the Hodges-Lehmann shift.

    Zeros leave the test (Wilcoxon's own rule) and stay in the estimate. Ties share midranks, and the exact p is
    taken over all sign flips of these midranks, so it is right with ties, where tables for untied ranks are not.

    Parameters
    ----------
    differences
        Shape (n,); NaN is left out.
    level
        Wanted confidence level of the interval.
    """
    values = rounded(differences)
    values = values[np.isfinite(values)]
    n = len(values)
    nonzero = values[values != 0]
    m = len(nonzero)
    if n == 0:
        return SignedRank(0, 0, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN)
    low, high, attained = walsh_interval(values, level)
    estimate = float(np.median(walsh_averages(values)))
    if m == 0:
        return SignedRank(n, 0, 0.0, 1.0, 1.0, 1.0, estimate, low, high, attained, NAN)
    ranks = stats.rankdata(np.abs(nonzero))
    w_plus = float(ranks[nonzero > 0].sum())
    total = m * (m + 1) / 2
    doubled = np.rint(2 * ranks).astype(np.int64)
    exact = _two_sided(doubled, round(2 * w_plus)) if m <= MOST_EXACT_PAIRS else NAN
    # The variance of a sum of midranks kept with probability 1/2 is a quarter of their squares: tie-corrected as it is.
    z = (w_plus - total / 2) / math.sqrt(float((ranks**2).sum()) / 4)
    return SignedRank(
        n=n,
        n_nonzero=m,
        w_plus=w_plus,
        p_exact=exact,
        p_asymptotic=min(1.0, 2 * float(stats.norm.sf(abs(z)))),
        p_attainable=2.0 / 2.0**m,
        estimate=estimate,
        ci_low=low,
        ci_high=high,
        ci_level=attained,
        rank_biserial=(2 * w_plus - total) / total,
    )


def sign_flip(differences: Sequence[float] | Floats) -> tuple[float, float]:
    """Two-sided sign-flip test of the mean difference (Fisher's randomisation test for pairs).

    Parameters
    ----------
    differences
        Shape (n,): whole numbers at any n; other numbers up to n = 20 that are not zero.

    Returns
    -------
    p and the smallest p that these differences allow; NaN where there is nothing to test or too much to enumerate.
    """
    raw = np.asarray(differences, dtype=float)
    raw = raw[np.isfinite(raw)]
    values = rounded(raw)
    if len(values) == 0:
        return NAN, NAN
    nonzero = values[values != 0]
    if len(nonzero) == 0:
        return 1.0, 1.0
    if np.all(nonzero == np.rint(nonzero)) and np.abs(nonzero).sum() < 1e6:
        weights = np.abs(nonzero).astype(np.int64)
        return _two_sided(weights, int(nonzero[nonzero > 0].sum())), 2.0 / 2.0 ** len(nonzero)
    if len(nonzero) > MOST_ENUMERATED:
        return NAN, 2.0 / 2.0 ** len(nonzero)
    unrounded = raw[values != 0]  # rounding errors would add up to more than the tolerance below
    sums = np.zeros(1)
    for value in np.abs(unrounded):
        sums = np.concatenate([sums - value, sums + value])
    # The tolerance goes by the values, not by their sum: a sum of 0 comes out as 1e-17.
    reached = abs(float(unrounded.sum())) - 1e-9 * float(np.abs(unrounded).sum())
    return float(np.mean(np.abs(sums) >= reached)), 2.0 / 2.0 ** len(nonzero)
