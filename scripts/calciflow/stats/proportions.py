"""Difference of two shares of people.

References
----------
Newcombe RG. Interval estimation for the difference between independent proportions. Stat Med 1998; 17:873-890
(method 10).
Wilson EB. Probable inference, the law of succession, and statistical inference. J Am Stat Assoc 1927; 22:209-212.
"""

import math

from scipy import stats

NAN = math.nan

FEWEST_A_GROUP = 10
"""Below, the interval of 3 of 3 against 0 of 3 would leave out 0, which the exact test (p = 0.1) does not."""


def wilson_interval(yes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Score interval of a share; n at least 1."""
    z = float(stats.norm.ppf(1 - (1 - level) / 2))
    middle = (yes + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * math.sqrt(yes * (n - yes) / n + z**2 / 4)
    return middle - half, middle + half


def difference_interval(yes_a: int, n_a: int, yes_b: int, n_b: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of the difference of two shares, a - b, from both score intervals (nominal level).

    Returns
    -------
    low, high; NaN where a group has fewer than ``FEWEST_A_GROUP`` people.
    """
    if min(n_a, n_b) < FEWEST_A_GROUP:
        return NAN, NAN
    a, b = yes_a / n_a, yes_b / n_b
    low_a, high_a = wilson_interval(yes_a, n_a, level)
    low_b, high_b = wilson_interval(yes_b, n_b, level)
    below, above = math.hypot(a - low_a, high_b - b), math.hypot(high_a - a, b - low_b)
    return a - b - below, a - b + above
