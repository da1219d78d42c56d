"""What the scan itself says of noise, blur and normal uptake: the yardsticks that thresholds are made of."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import brentq
from scipy.special import erf

from calciflow.images import Volume
from calciflow.labels import TISSUES
from calciflow.measure.boxes import FWHM_PER_SIGMA, Spacing

SOFT_TISSUE_HU = 50.0
"""HU of muscle: what a deposit's contrast starts from at worst."""

REFERENCE_KVP = 120.0
NOISE_LAG = 3
"""Voxels between the two of a difference that tells noise: nearer ones share it through the kernel."""

DEFAULT_NOISE_HU = 20.0
"""Noise where there is no muscle to measure it in: low-dose CT of PET/CT has 15 to 30 HU."""

MAD_TO_SD = 1.4826
EDGE_HU = (-750.0, -250.0)
EDGE_STEP_HU = 1030.0
"""From air to skin."""


def kvp_threshold(hu_floor: float, kvp: float | None) -> float:
    """HU threshold at another tube voltage that means the same calcium; never below ``hu_floor``.

    Calcium's contrast over soft tissue goes with about 1 / kVp: 130 HU at 120 kVp becomes 146 HU at 100 kVp, where
    Nakazato et al. 2009 (J Cardiovasc Comput Tomogr 3:394) found 147.
    """
    if not kvp or not 60 <= kvp <= 160:
        return hu_floor
    return max(hu_floor, SOFT_TISSUE_HU + (hu_floor - SOFT_TISSUE_HU) * REFERENCE_KVP / kvp)


def slice_noise(ct: NDArray[np.int16], tissues: NDArray[np.uint8], fallback: float | None) -> NDArray[np.float32]:
    """Noise of every slice, HU: robust spread of differences between muscle voxels three apart.

    Slices with too little muscle take the median of the others, or ``fallback``.
    """
    muscle = TISSUES["muscle"]
    noise = np.full(len(ct), np.nan, np.float32)
    for index, (values, labels) in enumerate(zip(ct, tissues, strict=True)):
        plain = (labels == muscle) & (values > -30) & (values < 150)
        pairs = plain[:, NOISE_LAG:] & plain[:, :-NOISE_LAG]
        if pairs.sum() < 200:
            continue
        apart = (values[:, NOISE_LAG:][pairs].astype(np.float32) - values[:, :-NOISE_LAG][pairs]) / np.sqrt(2.0)
        noise[index] = MAD_TO_SD * np.median(np.abs(apart - np.median(apart)))
    known = ~np.isnan(noise)
    if not known.any():
        return np.full(len(ct), fallback or DEFAULT_NOISE_HU, np.float32)
    noise[~known] = np.median(noise[known])
    smooth: NDArray[np.float32] = ndimage.median_filter(noise, size=5, mode="nearest")
    return smooth


def ct_blur(ct: Volume, tissues: NDArray[np.uint8], slice_mm: float | None) -> tuple[float, float, float]:
    """Blur of the CT along the array's axes, standard deviations in mm: kernel, voxel and slice together.

    In the slice: from the median steepness of the edge from air to skin. Along the axis: a box of the slice's
    thickness.
    """
    step = float(np.mean(ct.spacing[1:]))
    thickness = max(slice_mm or 0.0, ct.spacing[0])
    along = thickness / np.sqrt(12.0)
    slopes = []
    chosen = np.unique(np.linspace(0, len(ct.array) - 1, min(40, len(ct.array))).astype(int))
    for index in chosen:
        inner = tissues[index] > 0
        border = ndimage.binary_dilation(inner, iterations=2) & ~ndimage.binary_erosion(inner, iterations=2)
        values = ct.array[index].astype(np.float32)
        edge = border & (values > EDGE_HU[0]) & (values < EDGE_HU[1])
        if edge.sum() < 20:
            continue
        down = ndimage.correlate1d(values, [-0.5, 0, 0.5], axis=0)[edge]
        across = ndimage.correlate1d(values, [-0.5, 0, 0.5], axis=1)[edge]
        slopes.append(np.hypot(down, across))
    lowest, highest = 0.4 * step, 1.6 * step
    if not slopes:
        sigma = 0.8 * step
    else:
        rise = 2.0 * float(np.median(np.concatenate(slopes))) / EDGE_STEP_HU

        def excess(sigma: float) -> float:
            return float(erf(step / (np.sqrt(2.0) * sigma))) - rise

        if excess(lowest) <= 0:
            sigma = lowest
        elif excess(highest) >= 0:
            sigma = highest
        else:
            sigma = float(brentq(excess, lowest, highest))
    return along, sigma, sigma


@dataclass(frozen=True)
class Uptakes:
    """Normal uptake and noise of a PET, SUV.

    Attributes
    ----------
    blood_pool, muscle
        Medians; NaN where the tissue is not in view.
    reference
        The yardstick of the relative threshold: blood pool, or what stands in for it.
    source
        What ``reference`` rests on.
    noise
        Standard deviation of a voxel in muscle and fat.
    noise_fwhm_mm
        Width of the noise's correlation.
    """

    blood_pool: float
    muscle: float
    reference: float
    source: str
    noise: float
    noise_fwhm_mm: float


BLOOD_TO_MUSCLE = 2.0
"""Blood pool over muscle where no blood is in view (18F-fluoride at 1 h: muscle about half of blood)."""

LEAST_REFERENCE = 0.3

MOST_NOISE_FWHM_MM = 8.0
"""Wider correlation is anatomy, not noise."""


def normal_uptake(
    suv: NDArray[np.float32],
    muscle: NDArray[np.float32],
    soft: NDArray[np.float32],
    mediastinum: NDArray[np.float32] | None,
    spacing: Spacing,
) -> Uptakes:
    """Measure normal uptake and noise on the PET grid.

    Parameters
    ----------
    suv
        PET, g/ml.
    muscle, soft
        Share of each voxel that is muscle; muscle or fat. Their outer voxels are not used.
    mediastinum
        Share of each voxel that is viscera of the chest without fat (heart and great vessels); None where there is
        none.
    """
    core = soft > 0.95
    whole_muscle = muscle > 0.95
    chosen = whole_muscle if whole_muscle.sum() > 100 else core
    level = float(np.median(suv[chosen])) if chosen.any() else float("nan")
    blood = float("nan")
    if mediastinum is not None:
        inner = mediastinum > 0.95
        # Heart muscle takes up little fluoride; the hotter half of the mediastinum is blood.
        if float(inner.sum()) * float(np.prod(spacing)) / 1000.0 > 50.0:
            blood = float(np.percentile(suv[inner], 60))
    noise, width = pet_noise(suv, chosen, spacing)
    if np.isfinite(blood) and blood > 0:
        reference, source = blood, "blood pool in the chest"
    elif np.isfinite(level) and level > 0:
        reference, source = BLOOD_TO_MUSCLE * level, "twice muscle (no chest in view)"
    else:
        reference, source = 1.0, "SUV 1 (no soft tissue in view)"
    return Uptakes(blood, level, max(reference, LEAST_REFERENCE), source, noise, width)


def pet_noise(suv: NDArray[np.float32], where: NDArray[np.bool_], spacing: Spacing) -> tuple[float, float]:
    """Noise of a PET voxel and the width of its correlation, from second differences along the rows.

    For noise of variance s2 and correlations r1, r2 at one and two voxels, differences at lag k have the variance
    2 s2 (1 - rk); Gaussian-correlated noise has r2 = r1^4. Both are solved for from lags 1 and 2. Robust spreads keep
    lesions and edges out.
    """

    def spread(lag: int) -> float:
        pairs = where[..., lag:] & where[..., :-lag]
        if pairs.sum() < 50:
            return float("nan")
        apart = suv[..., lag:][pairs] - suv[..., :-lag][pairs]
        return float((MAD_TO_SD * np.median(np.abs(apart - np.median(apart)))) ** 2 / 2.0)

    one, two = spread(1), spread(2)
    if not np.isfinite(one) or not np.isfinite(two) or two <= 0:
        return 0.1, 6.0
    near = np.clip(one / two, 0.05, 1.0)  # (1 - r) / (1 - r^4)
    # (1 - r)/(1 - r^4) = 1 / (1 + r + r^2 + r^3) falls from 1 at r = 0 to 1/4 at r = 1.
    if near >= 0.999:
        correlation = 0.0
    elif near <= 0.2501:
        correlation = 0.95
    else:
        correlation = float(brentq(lambda r: 1.0 / (1.0 + r + r * r + r**3) - near, 0.0, 0.95 if near > 0.27 else 1.0))
    noise = float(np.sqrt(two / max(1.0 - correlation**4, 0.1)))
    sigma = spacing[2] / (2.0 * np.sqrt(-np.log(max(correlation, 1e-4)))) if correlation < 0.999 else 3 * spacing[2]
    return max(noise, 0.01), float(min(sigma * FWHM_PER_SIGMA, MOST_NOISE_FWHM_MM))
