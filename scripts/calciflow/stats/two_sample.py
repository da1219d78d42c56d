"""Two independent groups: exact rank-sum test with ties, Hodges-Lehmann shift.

References
----------
Mann HB, Whitney DR. On a test of whether one of two random variables is stochastically larger. Ann Math Stat 1947.
Hollander M, Wolfe DA, Chicken E. Nonparametric statistical methods, 3rd ed., 2014, sections 4.1 to 4.3.
Cliff N. Dominance statistics. Psychol Bull 1993; 114:494-509 (delta).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import stats

from calciflow.stats.signed_rank import rounded

Floats = npt.NDArray[np.float64]

MOST_EXACT_PEOPLE = 100
"""Above this many people the exact distribution takes minutes and the normal approximation is right."""

NAN = math.nan


@dataclass(frozen=True)
class RankSum:
    """What a comparison of two groups gives; group a minus group b.

    Attributes
    ----------
    n_a, n_b
        People with a value in each group.
    u
        Mann-Whitney's U of group a: pairs in which a is larger, ties half.
    p_exact, p_asymptotic
        Two-sided; exact over all ways to divide the people, and normal with tie-corrected variance and no
        continuity correction.
    p_attainable
        The smallest exact p that any division of these values allows.
    estimate, ci_low, ci_high, ci_level
        Hodges-Lehmann shift with its exact interval and the level attained; NaN where none exists.
    delta
        Cliff's delta (rank-biserial correlation), from -1 to 1.
    """

    n_a: int
    n_b: int
    u: float
    p_exact: float
    p_asymptotic: float
    p_attainable: float
    estimate: float
    ci_low: float
    ci_high: float
    ci_level: float
    delta: float


def rank_sum_counts(doubled_ranks: npt.NDArray[np.int64], size: int) -> Floats:
    """Number of ways to choose ``size`` of the ranks, by their sum.

    Parameters
    ----------
    doubled_ranks
        Twice the midranks, whole numbers, shape (n,).
    size
        People in group a.

    Returns
    -------
    Counts, shape (sum of ranks + 1,); floats, since the counts pass 2**63.
    """
    total = int(doubled_ranks.sum())
    ways = np.zeros((size + 1, total + 1))
    ways[0, 0] = 1.0
    for rank in (int(r) for r in doubled_ranks):
        ways[1:, rank:] += ways[:-1, : total + 1 - rank].copy()
    chosen: Floats = ways[size]
    return chosen


@lru_cache(maxsize=32)
def _untied_below(n_a: int, n_b: int) -> Floats:
    """P(U <= 0), P(U <= 1), ... without ties."""
    counts = rank_sum_counts(2 * np.arange(1, n_a + n_b + 1, dtype=np.int64), n_a)[::2]
    smallest = n_a * (n_a + 1) // 2
    return np.cumsum(counts[smallest : smallest + n_a * n_b + 1]) / math.comb(n_a + n_b, n_a)


def shift_interval(a: Floats, b: Floats, level: float) -> tuple[float, float, float]:
    """Interval of the Hodges-Lehmann shift (Moses): low, high, level attained; NaN where none exists.

    Exact up to ``MOST_EXACT_PEOPLE``; above it the difference is chosen by the normal approximation, and the level is
    nominal.
    """
    n_a, n_b = len(a), len(b)
    if not n_a or not n_b:
        return NAN, NAN, NAN
    if n_a + n_b > MOST_EXACT_PEOPLE:
        spread = math.sqrt(n_a * n_b * (n_a + n_b + 1) / 12)
        k = math.floor(n_a * n_b / 2 - float(stats.norm.ppf(1 - (1 - level) / 2)) * spread)
        attained = level
    else:
        below = _untied_below(n_a, n_b)
        k = int(np.searchsorted(below, (1.0 - level) / 2.0 + 1e-12, side="right"))
        attained = float(1.0 - 2.0 * below[k - 1]) if k else NAN
    if k < 1:
        return NAN, NAN, NAN
    differences = np.sort(np.subtract.outer(a, b).ravel())
    return float(differences[k - 1]), float(differences[-k]), attained


def rank_sum(group_a: Sequence[float] | Floats, group_b: Sequence[float] | Floats, level: float = 0.95) -> RankSum:
    """Wilcoxon-Mann-Whitney test by exact permutation of midranks, with the shift between the groups.

    With yes/no values (1 and 0) the two-sided exact p is that of Fisher's exact test, up to how the two tails add.

    Parameters
    ----------
    group_a, group_b
        One value a person; NaN is left out.
    level
        Wanted confidence level of the interval.
    """
    first = np.asarray(group_a, dtype=float)
    second = np.asarray(group_b, dtype=float)
    first, second = first[np.isfinite(first)], second[np.isfinite(second)]
    n_a, n_b = len(first), len(second)
    if n_a == 0 or n_b == 0:
        return RankSum(n_a, n_b, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN)
    pooled = rounded(np.concatenate([first, second]))
    first, second = pooled[:n_a], pooled[n_a:]
    ranks = stats.rankdata(pooled)
    u = float(ranks[:n_a].sum()) - n_a * (n_a + 1) / 2
    exact, attainable = NAN, NAN
    if n_a + n_b <= MOST_EXACT_PEOPLE:
        doubled = np.rint(2 * ranks).astype(np.int64)
        counts = rank_sum_counts(doubled, n_a)
        n = n_a + n_b
        # distance of n times the doubled sum from its expectation: whole numbers, so ties in distance are exact
        distance = np.abs(n * np.arange(len(counts)) - n_a * int(doubled.sum()))
        observed = abs(n * int(doubled[:n_a].sum()) - n_a * int(doubled.sum()))
        everything = math.comb(n, n_a)
        exact = min(1.0, float(counts[distance >= observed].sum()) / everything)
        furthest = distance[counts > 0].max()
        attainable = min(1.0, float(counts[distance >= furthest].sum()) / everything)
    variance = n_a * n_b * float(np.var(ranks)) / (n_a + n_b - 1)
    z = (u - n_a * n_b / 2) / math.sqrt(variance) if variance > 0 else 0.0
    low, high, attained = shift_interval(first, second, level)
    return RankSum(
        n_a=n_a,
        n_b=n_b,
        u=u,
        p_exact=exact,
        p_asymptotic=min(1.0, 2 * float(stats.norm.sf(abs(z)))),
        p_attainable=attainable,
        estimate=float(np.median(np.subtract.outer(first, second))),
        ci_low=low,
        ci_high=high,
        ci_level=attained,
        delta=2 * u / (n_a * n_b) - 1,
    )
