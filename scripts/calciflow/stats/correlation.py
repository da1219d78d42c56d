"""Rank correlation of a few people (exact), or of one person's lesions.

References
----------
Spearman C. The proof and measurement of association between two things. Am J Psychol 1904; 15:72-101.
Edgington ES, Onghena P. Randomization tests, 4th ed., 2007, chapter 8 (exact p by all permutations).
Bonett DG, Wright TA. Sample size requirements for estimating Pearson, Kendall and Spearman correlations.
Psychometrika 2000; 65:23-28 (interval).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, permutations

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]
NAN = math.nan
MOST_PERMUTED = 8
"""All n! orders are counted up to 8! = 40,320; from nine on the exact p is not given."""

FEWEST_FOR_INTERVAL = 10
"""From ten on the interval covers in 95 to 97 %; of six people with a rho of 0.8, in 92 % (simulated in the tests)."""


@dataclass(frozen=True)
class Correlation:
    """Spearman's rho with its interval (NaN under ``FEWEST_FOR_INTERVAL``) and its two-sided p-values."""

    n: int
    rho: float
    ci_low: float
    ci_high: float
    p_exact: float
    p_asymptotic: float
    p_attainable: float


def _interval(rho: float, n: int, level: float) -> tuple[float, float]:
    """Fisher's z with Bonett and Wright's standard error."""
    if n < FEWEST_FOR_INTERVAL or abs(rho) >= 1:
        return NAN, NAN
    half = float(stats.norm.ppf(1 - (1 - level) / 2)) * math.sqrt((1 + rho**2 / 2) / (n - 3))
    return math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)


def spearman(x: Sequence[float] | Floats, y: Sequence[float] | Floats, level: float = 0.95) -> Correlation:
    """Spearman's rank correlation with midranks; p over all orders of y (n <= 8) and by Student's t.

    NaN where n < 3 or a series is constant.
    """
    first, second = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    both = np.isfinite(first) & np.isfinite(second)
    a, b = stats.rankdata(first[both]), stats.rankdata(second[both])
    n = len(a)
    if n < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return Correlation(n, NAN, NAN, NAN, NAN, NAN, NAN)
    # Doubled and centred ranks times n are whole numbers: orders that tie with the observed one are counted exactly.
    u = np.rint(2 * a - (n + 1)).astype(np.int64)
    v = np.rint(2 * b - (n + 1)).astype(np.int64)
    product = int(u @ v)
    rho = product / math.sqrt(float(u @ u) * float(v @ v))
    exact, attainable = NAN, NAN
    if n <= MOST_PERMUTED:
        orders = iter(permutations(v.tolist()))
        hits, furthest, at_furthest = 0, -1, 0
        while chunk := list(islice(orders, 10_000)):
            distances = np.abs(np.array(chunk, dtype=np.int64) @ u)
            hits += int((distances >= abs(product)).sum())
            largest = int(distances.max())
            if largest > furthest:
                furthest, at_furthest = largest, 0
            at_furthest += int((distances == furthest).sum())
        exact, attainable = hits / math.factorial(n), at_furthest / math.factorial(n)
    if abs(rho) >= 1:
        return Correlation(n, math.copysign(1.0, rho), NAN, NAN, exact, 0.0, attainable)
    t = rho * math.sqrt((n - 2) / (1 - rho**2))
    return Correlation(n, rho, *_interval(rho, n, level), exact, 2 * float(stats.t.sf(abs(t), n - 2)), attainable)
