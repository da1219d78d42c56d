"""Several tests at once, and the spread of a series.

References
----------
Holm S. A simple sequentially rejective multiple test procedure. Scand J Statist 1979; 6:65-70.
"""

import math
from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values; a NaN stays NaN and counts for nothing."""
    adjusted = [math.nan] * len(p_values)
    known = [i for i, p in enumerate(p_values) if math.isfinite(p)]
    running = 0.0
    for place, i in enumerate(sorted(known, key=lambda i: p_values[i])):
        running = max(running, (len(known) - place) * p_values[i])
        adjusted[i] = min(1.0, running)
    return adjusted


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, smallest and largest of the finite values; NaN if there is none."""
    finite = np.asarray([v for v in values if math.isfinite(v)], dtype=float)
    if not finite.size:
        return math.nan, math.nan, math.nan
    return float(np.median(finite)), float(finite.min()), float(finite.max())
