"""Volume, hydroxyapatite mass and Agatston score of a deposit on CT."""

from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import brentq
from scipy.special import erf

from calciflow.measure.boxes import FWHM_PER_SIGMA, Spacing
from calciflow.measure.tail import Tail

AGATSTON_HU = 130.0
AGATSTON_STEPS_HU = (200.0, 300.0, 400.0)
AGATSTON_SLICE_MM = 3.0
AGATSTON_AREA_MM2 = 1.0
AGATSTON_MAX_SLICE_MM = 5.0
"""Agatston et al. 1990 (doi 10.1016/0735-1097(90)90282-T) on 3 mm slices at 120 kVp; thicker than 5 mm compares with
nothing."""

DENSEST_HU = 1500.0
"""Contrast of dense hydroxyapatite: a deposit lost in the blur has at least the volume that its mass fills at that."""

LEAST_SHARE = 0.5
"""Below that share of the apparent volume the correction for blur rests on noise."""

FORM_VOXELS = 12
"""Fewer voxels have no form."""

ROUND_THINNESS = 0.85
THINNESS_DOUBT = 0.15
"""Thinnest side over that of the cube of equal volume: of small balls in coarse voxels it falls to about 0.85."""

LEAST_WEIGHT = 0.02
"""Share of the weights that must lie on valid voxels for a mean to count: two hundredths of the reach's volume."""

MOST_REACH_MM = 200.0
"""Plain tissue farther off says nothing about a deposit's own place: then the crop's median serves."""


@dataclass(frozen=True)
class Density:
    """What CT says of one deposit.

    Attributes
    ----------
    volume_ml
        Volume by local half maximum, counted by fractions of voxels.
    mass_hu_ml
        Sum of (HU - local background) times voxel volume over the mask widened by the blur.
    hu_max, hu_mean, hu_sd
        Over the voxels of the half-maximum mask.
    plateau_hu
        Contrast over the background that a voxel full of the deposit would have.
    background_hu
        Mean of the local background under the deposit.
    """

    volume_ml: float
    mass_hu_ml: float
    hu_max: float
    hu_mean: float
    hu_sd: float
    plateau_hu: float
    background_hu: float


def sphere_peak(radius_mm: float, sigma_mm: float) -> float:
    """Centre value of a unit sphere blurred by an isotropic Gaussian.

    erf(q) - 2/sqrt(pi) q exp(-q^2) with q = r / (sqrt 2 sigma): the integral of the Gaussian over the sphere
    (Kessler et al. 1984, J Comput Assist Tomogr 8:514).
    """
    q = radius_mm / (np.sqrt(2.0) * sigma_mm)
    return float(erf(q) - 2.0 / np.sqrt(np.pi) * q * np.exp(-q * q))


def unblurred_volume(apparent_ml: float, sigma_mm: float) -> float:
    """Volume of the sphere whose mass over its blurred peak is ``apparent_ml``.

    A deposit smaller than the blur never reaches its own density, so its mass divided by its peak gives too much
    volume. For a sphere, mass / peak = (4/3 pi r^3) / sphere_peak(r) grows with r: solved for r. What is much
    larger than the blur stays as it is; below the volume of the blur itself nothing can be told and the smallest
    answer is given.

    Parameters
    ----------
    apparent_ml
        Sum of contrast divided by peak contrast, times the voxel volume, ml.
    sigma_mm
        Standard deviation of the whole blur (kernel, voxel, slice), mm, geometric mean over the axes.
    """
    if sigma_mm <= 0 or apparent_ml <= 0:
        return max(apparent_ml, 0.0)

    def surplus(radius: float) -> float:
        return 4.0 / 3.0 * np.pi * radius**3 / sphere_peak(radius, sigma_mm) - 1000.0 * apparent_ml

    small = 0.3 * sigma_mm
    large = 2.0 * (3.0 * 1000.0 * apparent_ml / (4.0 * np.pi)) ** (1.0 / 3.0) + small
    radius = small if surplus(small) >= 0 else float(brentq(surplus, small, large, xtol=1e-4))
    return float(4.0 / 3.0 * np.pi * radius**3 / 1000.0)


def flatness_share(mask: NDArray[np.bool_], spacing: Spacing, sigma_mm: tuple[float, float, float]) -> float:
    """How much lower blur leaves a flat or long deposit than a round one of its volume, 0 to 1.

    A sheet is as thin as the blur is wide and never reaches its own density, however large it is. Of a box with half
    sides a the blur leaves the product of erf(a / (sqrt 2 sigma)) in its middle; the answer is that product over the
    cube's of equal volume. Sides follow from the mask's second moments (a^2 / 3 for a box), along its own axes; the
    half-maximum mask keeps a sheet's thickness.

    Parameters
    ----------
    mask
        The deposit's half-maximum mask.
    sigma_mm
        Standard deviations of the blur along the array's axes.
    """
    places = np.argwhere(mask) * np.array(spacing)
    if len(places) < FORM_VOXELS:
        return 1.0
    centred = places - places.mean(axis=0)
    moments = centred.T @ centred / len(places) + np.diag(np.array(spacing) ** 2 / 12.0)
    values, vectors = np.linalg.eigh(moments)
    halves = np.sqrt(3.0 * values)
    blurs = np.sqrt((vectors**2).T @ np.array(sigma_mm) ** 2)
    even = float(np.prod(halves)) ** (1.0 / 3.0)
    own = float(np.prod(erf(halves / (np.sqrt(2.0) * blurs))))
    cube = float(np.prod(erf(even / (np.sqrt(2.0) * blurs))))
    # Coarse voxels make a small ball's mask uneven as well: only what is clearly thin counts.
    sure = float(np.clip((ROUND_THINNESS - float(halves.min()) / even) / THINNESS_DOUBT, 0.0, 1.0))
    return 1.0 - sure * (1.0 - min(own / max(cube, 1e-6), 1.0))


def local_background(
    hu: NDArray[np.float32],
    valid: NDArray[np.bool_],
    spacing: Spacing,
    where: NDArray[np.bool_] | None = None,
    sigma_mm: float = 3.0,
) -> NDArray[np.float32]:
    """Background HU under a deposit: Gaussian-weighted mean of the valid voxels around (normalised convolution).

    Parameters
    ----------
    hu
        Crop, HU.
    valid
        Voxels of plain tissue: outside the widened deposit, bone and what is not body.
    where
        Voxels whose background is asked for; by default all. Elsewhere the answer may be NaN.
    sigma_mm
        Reach of the weights. Where nothing valid is that near, the reach is doubled until something is; sums are then
        made over blocks a third of the reach wide, which a Gaussian does not tell from voxels.
    """
    if not valid.any():
        return np.zeros(hu.shape, np.float32)
    background = np.full(hu.shape, np.nan, np.float32)
    missing = np.ones(hu.shape, bool) if where is None else where.copy()
    shares, sums = valid.astype(np.float32), np.where(valid, hu, 0).astype(np.float32)
    blocks = np.ones(3, int)
    reach = sigma_mm
    while missing.any() and reach <= MOST_REACH_MM:
        wanted = np.maximum(1, (reach / 3.0 / np.array(spacing)).astype(int)) if reach > sigma_mm else blocks
        if (wanted > blocks).any():
            shares, sums = (_blocks(part, np.maximum(wanted // blocks, 1)) for part in (shares, sums))
            blocks = blocks * np.maximum(wanted // blocks, 1)
        sigma = reach / (blocks * np.array(spacing))
        weight, total = (ndimage.gaussian_filter(part, sigma, mode="nearest", truncate=3.0) for part in (shares, sums))
        if (blocks == 1).all():
            ready = missing & (weight > LEAST_WEIGHT)
            background[ready] = total[ready] / weight[ready]
            missing &= ~ready
        else:
            places = np.argwhere(missing)
            at = ((places + 0.5) / blocks - 0.5).T
            weights = ndimage.map_coordinates(weight, at, order=1, mode="nearest")
            near = weights > LEAST_WEIGHT
            totals = ndimage.map_coordinates(total, at[:, near], order=1, mode="nearest")
            background[tuple(places[near].T)] = totals / weights[near]
            missing[tuple(places[near].T)] = False
        reach *= 2.0
    if missing.any():
        background[missing] = np.float32(np.median(hu[valid]))
    return background


def _blocks(values: NDArray[np.float32], size: NDArray[np.int64]) -> NDArray[np.float32]:
    """Mean of blocks of ``size`` voxels; what a block at the end lacks counts as zero."""
    padded = np.pad(values, [(0, -count % step) for count, step in zip(values.shape, size, strict=True)])
    counts = [count // step for count, step in zip(padded.shape, size, strict=True)]
    split = padded.reshape(counts[0], size[0], counts[1], size[1], counts[2], size[2])
    result: NDArray[np.float32] = split.mean(axis=(1, 3, 5), dtype=np.float32)
    return result


def plateau(
    contrast: NDArray[np.float32], core: NDArray[np.bool_], spacing: Spacing, sigma_mm: tuple[float, float, float]
) -> NDArray[np.float32]:
    """Contrast that the deposit reaches near each voxel: the local maximum of the lightly smoothed contrast.

    The smoothing keeps noise from passing for a maximum; the reach, one full width of the blur, is how far inside an
    edge its half-height leads to the plateau. A dense core thus does not erase the thinner rim around it.

    Parameters
    ----------
    contrast
        HU above the local background.
    core
        Voxels that belong to deposits: maxima elsewhere (bone) do not count.
    sigma_mm
        Blur of the image along the array's axes.
    """
    smooth = smoothed(contrast)
    masked = np.where(core, smooth, -np.inf).astype(np.float32)
    size = [2 * max(1, round(sigma * FWHM_PER_SIGMA / step)) + 1 for sigma, step in zip(sigma_mm, spacing, strict=True)]
    highest: NDArray[np.float32] = ndimage.maximum_filter(masked, size=size, mode="nearest")
    return highest


def smoothed(contrast: NDArray[np.float32]) -> NDArray[np.float32]:
    """Smooth within the slice by 0.7 voxels: halves the noise, costs a 3 mm nodule a tenth of its peak."""
    result: NDArray[np.float32] = ndimage.gaussian_filter(contrast, (0, SMOOTHING, SMOOTHING), mode="nearest")
    return result


SMOOTHING = 0.7
"""In-plane standard deviation, in voxels, of the smoothing that finds plateaus and peaks."""


def measure_density(
    hu: NDArray[np.float32],
    mask: NDArray[np.bool_],
    contrast: NDArray[np.float32],
    territory: NDArray[np.bool_],
    spacing: Spacing,
    sigma_mm: tuple[float, float, float],
) -> Density:
    """Measure a deposit in its crop.

    Parameters
    ----------
    hu
        HU.
    mask
        The deposit's half-maximum mask.
    contrast
        HU minus local background.
    territory
        Voxels whose contrast may be counted: not bone, not another deposit's, not outside the body.
    sigma_mm
        Blur of the image along the axes, without the smoothing for peaks.

    Notes
    -----
    Mass: the sum of contrast over the widened mask is what blur preserves; a threshold's is not. Volume: contrast over
    the local plateau is the share of a voxel that is deposit; its sum, corrected for plateaus that a small deposit
    cannot reach (``unblurred_volume``), is free of the bias of counted voxels on curved surfaces.
    """
    voxel_ml = float(np.prod(spacing)) / 1000.0
    values = hu[mask]
    level = plateau(contrast, mask, spacing, sigma_mm)
    tail = Tail(mask, territory, spacing, sigma_mm)
    inner = float(contrast[mask].sum(dtype=np.float64))
    # What blur carries out of a deposit is never negative; a tail that is holds darker tissue, not less calcium.
    mass = (inner + max(tail.total(contrast, float(np.median(level[mask]))), 0.0)) * voxel_ml
    top = np.where(np.isfinite(level) & (level > 0), level, np.inf)
    # Noise above the plateau must not count as more than a full voxel inside, but must cancel in the tail.
    share = np.minimum(contrast / top, 1.0)
    apparent = (float(share[mask].sum(dtype=np.float64)) + max(tail.total(share, 1.0), 0.0)) * voxel_ml
    # The sampled maximum lies off the true one by up to half a voxel: on average as if blurred by a voxel's width.
    axes = [
        np.sqrt(blur**2 + step**2 / 12.0 + (extra * step) ** 2)
        for blur, step, extra in zip(sigma_mm, spacing, (0.0, SMOOTHING, SMOOTHING), strict=True)
    ]
    sigma = float(np.prod(axes)) ** (1.0 / 3.0)
    flat = flatness_share(mask, spacing, (axes[0], axes[1], axes[2]))
    return Density(
        volume_ml=max(unblurred_volume(apparent, sigma) * flat, LEAST_SHARE * apparent, mass / DENSEST_HU),
        mass_hu_ml=mass,
        hu_max=float(values.max()),
        hu_mean=float(values.mean(dtype=np.float64)),
        hu_sd=float(values.std(dtype=np.float64)),
        plateau_hu=float(np.median(level[mask])),
        background_hu=float((hu - contrast)[mask].mean(dtype=np.float64)),
    )


def agatston(hu: NDArray[np.float32], mask: NDArray[np.bool_], spacing: Spacing) -> float | None:
    """Agatston score of a deposit: per slice and 2-D component of at least 1 mm2 over 130 HU, area times weight.

    The weight is 1, 2, 3 or 4 for the component's maximum from 130, 200, 300 or 400 HU; the sum is scaled by slice
    increment / 3 mm (Agatston et al. 1990).

    Parameters
    ----------
    hu
        Crop, HU.
    mask
        Voxels of the deposit's surroundings that may be counted (its widened mask).

    Returns
    -------
    float or None
        None for slices of 5 mm and more: not comparable.
    """
    if spacing[0] >= AGATSTON_MAX_SLICE_MM - 0.01:
        return None
    over = mask & (hu >= AGATSTON_HU)
    area = spacing[1] * spacing[2]
    score = 0.0
    for plane, values in zip(over, hu, strict=True):
        if not plane.any():
            continue
        labels = cc3d.connected_components(np.ascontiguousarray(plane, np.uint8), connectivity=8)
        for label in range(1, int(labels.max()) + 1):
            part = labels == label
            mm2 = float(part.sum()) * area
            if mm2 >= AGATSTON_AREA_MM2:
                score += mm2 * (1 + sum(float(values[part].max()) >= step for step in AGATSTON_STEPS_HU))
    return score * spacing[0] / AGATSTON_SLICE_MM
