"""Intervals of a median and of a mean of few values, without a distribution.

References
----------
Thompson WR. On confidence ranges for the median. Ann Math Stat 1936; 7:122-128.
Hartigan JA. Using subsample values as typical values. J Am Stat Assoc 1969; 64:1303-1317.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]
NAN = math.nan
NONE = (NAN, NAN, NAN)

MOST_SUBSETS = 19
"""Up to so many values all subsets are formed (half a million): from 20 people on they are resampled instead."""


def _finite(values: Sequence[float] | Floats) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    return array[np.isfinite(array)]


def median_interval(values: Sequence[float] | Floats, level: float = 0.95) -> tuple[float, float, float]:
    """Interval of the median between two of the sorted values (Thompson 1936).

    Returns
    -------
    low, high, level attained; NaN where the values are too few (under six at 0.95). Ties only raise the level.
    """
    sorted_values = np.sort(_finite(values))
    n = len(sorted_values)
    # the k-th smallest lies above the median if fewer than k of n fair coins show heads
    below = stats.binom.cdf(np.arange(n // 2), n, 0.5) if n else np.zeros(0)
    k = int(np.searchsorted(below, (1 - level) / 2 + 1e-12, side="right"))
    if k < 1:
        return NONE
    return float(sorted_values[k - 1]), float(sorted_values[n - k]), float(1 - 2 * below[k - 1])


def mean_interval(values: Sequence[float] | Floats, level: float = 0.95) -> tuple[float, float, float]:
    """Interval of the mean that the sign-flip test would not reject: between two of all subsets' means (Hartigan 1969).

    Returns
    -------
    low, high, level attained; NaN where the values are too few (under six at 0.95) or more than ``MOST_SUBSETS``.
    """
    given = _finite(values)
    n = len(given)
    k = math.floor((1 - level) / 2 * 2**n + 1e-9)
    if k < 1 or n > MOST_SUBSETS:
        return NONE
    sums, sizes = np.zeros(1), np.zeros(1)
    for value in given:
        sums, sizes = np.concatenate([sums, sums + value]), np.concatenate([sizes, sizes + 1])
    means = np.sort(sums[1:] / sizes[1:])
    return float(means[k - 1]), float(means[-k]), 1 - 2 * k / 2**n
