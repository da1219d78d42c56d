"""Agreement between two ways to score, or between readers.

References
----------
Cohen J. Weighted kappa. Psychol Bull 1968; 70:213-220.
Shrout PE, Fleiss JL. Intraclass correlations. Psychol Bull 1979; 86:420-428.
McGraw KO, Wong SP. Forming inferences about some intraclass correlation coefficients. Psychol Methods 1996; 1:30-46.
Bland JM, Altman DG. Measuring agreement in method comparison studies. Stat Methods Med Res 1999; 8:135-160.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]
NAN = math.nan
NORMAL_95 = 1.96
"""Limits of agreement are set at 1.96 SD, as Bland and Altman do, whatever the level of their own intervals."""


def _pairs(a: Sequence[float] | Floats, b: Sequence[float] | Floats) -> tuple[Floats, Floats]:
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if first.shape != second.shape:
        raise ValueError("the two series differ in length")
    both = np.isfinite(first) & np.isfinite(second)
    return first[both], second[both]


def weighted_kappa(
    a: Sequence[float] | Floats,
    b: Sequence[float] | Floats,
    weights: Literal["linear", "quadratic"] = "quadratic",
) -> float:
    """Cohen's weighted kappa: 1 - observed / expected disagreement.

    The disagreement of two scores is their distance (``linear``) or its square (``quadratic``), on the numbers
    themselves, so half grades (a mean of readers) are welcome and no list of grades is needed.

    Returns
    -------
    Kappa; NaN with fewer than two pairs, or where both series are constant at one value (nothing to agree on).
    """
    first, second = _pairs(a, b)
    if len(first) < 2:
        return NAN
    power = 1 if weights == "linear" else 2
    observed = float(np.mean(np.abs(first - second) ** power))
    # every score of one with every score of the other, by the few values there are
    values_a, counts_a = np.unique(first, return_counts=True)
    values_b, counts_b = np.unique(second, return_counts=True)
    distances = np.abs(np.subtract.outer(values_a, values_b)) ** power
    expected = float(counts_a @ distances @ counts_b) / len(first) ** 2
    return 1.0 - observed / expected if expected > 0 else NAN


@dataclass(frozen=True)
class Icc:
    """An intraclass correlation with its interval; NaN where it does not exist."""

    n: int
    estimate: float
    ci_low: float
    ci_high: float


def icc(ratings: npt.ArrayLike, kind: Literal["agreement", "consistency"] = "agreement", level: float = 0.95) -> Icc:
    """Intraclass correlation of single ratings, two-way model.

    Parameters
    ----------
    ratings
        Shape (people, raters); people with a missing rating are left out.
    kind
        ``agreement``: ICC(2,1) of Shrout & Fleiss, ICC(A,1) of McGraw & Wong: raters' offsets count as disagreement.
        ``consistency``: ICC(3,1), ICC(C,1): they do not.
    """
    x = np.asarray(ratings, dtype=float)
    x = x[np.isfinite(x).all(axis=1)] if x.size else x.reshape(0, 2)
    n, k = x.shape
    if n < 2 or k < 2:
        return Icc(n, NAN, NAN, NAN)
    grand = x.mean()
    rows = k * float(((x.mean(axis=1) - grand) ** 2).sum()) / (n - 1)
    columns = n * float(((x.mean(axis=0) - grand) ** 2).sum()) / (k - 1)
    residual = x - x.mean(axis=1, keepdims=True) - x.mean(axis=0, keepdims=True) + grand
    error = float((residual**2).sum()) / ((n - 1) * (k - 1))
    scale = float((x**2).sum())
    if rows <= 1e-12 * scale:  # everyone is rated alike: the coefficient has no meaning
        return Icc(n, NAN, NAN, NAN)
    error = 0.0 if error <= 1e-12 * scale else error
    tail = 1 - (1 - level) / 2
    if kind == "consistency":
        estimate = (rows - error) / (rows + (k - 1) * error)
        if error == 0:
            return Icc(n, estimate, NAN, NAN)
        f = rows / error
        low = f / stats.f.ppf(tail, n - 1, (n - 1) * (k - 1))
        high = f * stats.f.ppf(tail, (n - 1) * (k - 1), n - 1)
        return Icc(n, estimate, (low - 1) / (low + k - 1), (high - 1) / (high + k - 1))
    estimate = (rows - error) / (rows + (k - 1) * error + k * (columns - error) / n)
    if error == 0:
        return Icc(n, estimate, NAN, NAN)
    # McGraw & Wong 1996, table 7, ICC(A,1): Satterthwaite's degrees of freedom
    a = k * estimate / (n * (1 - estimate))
    b = 1 + k * estimate * (n - 1) / (n * (1 - estimate))
    v = (a * columns + b * error) ** 2 / ((a * columns) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1)))
    lower_f = stats.f.ppf(tail, n - 1, v)
    upper_f = stats.f.ppf(tail, v, n - 1)
    spread = k * columns + (k * n - k - n) * error
    return Icc(
        n,
        estimate,
        n * (rows - lower_f * error) / (lower_f * spread + n * rows),
        n * (upper_f * rows - error) / (spread + n * upper_f * rows),
    )


@dataclass(frozen=True)
class BlandAltman:
    """Bias and limits of agreement of paired differences, each with the half-width of its interval."""

    n: int
    bias: float
    sd: float
    lower: float
    upper: float
    bias_half_width: float
    limit_half_width: float


def bland_altman(a: Sequence[float] | Floats, b: Sequence[float] | Floats, level: float = 0.95) -> BlandAltman:
    """Mean difference a - b and its limits of agreement (1.96 SD).

    Standard error of the limits: SD sqrt(1/n + 1.96**2 / (2 (n - 1))) (Bland & Altman 1999, section 2.1). With
    Student's t at n = 6 that is 1.9 SD: limits from six people are a picture, not a result.
    """
    first, second = _pairs(a, b)
    n = len(first)
    if n == 0:
        return BlandAltman(0, NAN, NAN, NAN, NAN, NAN, NAN)
    d = first - second
    bias = float(d.mean())
    if n < 2:
        return BlandAltman(n, bias, NAN, NAN, NAN, NAN, NAN)
    sd = float(d.std(ddof=1))
    t = float(stats.t.ppf(1 - (1 - level) / 2, n - 1))
    return BlandAltman(
        n=n,
        bias=bias,
        sd=sd,
        lower=bias - NORMAL_95 * sd,
        upper=bias + NORMAL_95 * sd,
        bias_half_width=t * sd / math.sqrt(n),
        limit_half_width=t * sd * math.sqrt(1 / n + NORMAL_95**2 / (2 * (n - 1))),
    )
