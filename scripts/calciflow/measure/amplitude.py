"""Uptake fitted inside a CT deposit's footprint, its error, and the smallest uptake that would have been seen."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calciflow.measure.boxes import FWHM_PER_SIGMA, Spacing

SPILL_DOUBT = 0.2
"""Relative doubt of the predicted spill: resolution and the bone's edge are known to about that."""


@dataclass(frozen=True)
class Amplitude:
    """PET amplitude in a CT footprint; SUV, g/ml.

    Attributes
    ----------
    excess, error
        True uptake over the background that, filling the deposit, fits the image; its standard error.
    background
        Soft-tissue uptake around it, spill from bone and organs taken off.
    recovery
        Highest share of its true uptake that the blurred deposit shows.
    spill
        Mean predicted spill from bone in the footprint.
    observed
        Mean image value in the footprint, weighted by the blurred deposit.
    """

    excess: float
    error: float
    background: float
    recovery: float
    spill: float
    observed: float


def footprint(
    points: NDArray[np.float64], volume_ml: float, shape: tuple[int, ...], spacing: Spacing, fwhm_mm: float
) -> NDArray[np.float32]:
    """Blurred deposit on a PET crop: the share of its true uptake that each voxel would show.

    Parameters
    ----------
    points
        Where the deposit's CT voxels lie, (n, 3) array indices (z, y, x) in the crop, fractional.
    volume_ml
        The deposit's volume, shared evenly among the points.
    fwhm_mm
        Resolution of the PET.

    Returns
    -------
    ndarray
        Shape ``shape``: sum of Gaussians of each point's volume, exact for any voxel size.
    """
    sigma = fwhm_mm / FWHM_PER_SIGMA
    parts = []
    for axis in range(3):
        grid = np.arange(shape[axis])[:, None] - points[:, axis][None, :]
        parts.append(np.exp(-0.5 * (grid * spacing[axis] / sigma) ** 2).astype(np.float32))
    plane = (parts[1][:, None, :] * parts[2][None, :, :]).reshape(-1, len(points))
    summed = (plane @ parts[0].T).T.reshape(shape)
    scale = 1000.0 * volume_ml / len(points) / ((2 * np.pi) ** 1.5 * sigma**3)
    return (summed * np.float32(scale)).astype(np.float32)


def fit_amplitude(
    suv: NDArray[np.float32],
    shapes: NDArray[np.float32],
    body: NDArray[np.float32],
    spill: NDArray[np.float32],
    bone_spill: NDArray[np.float32],
    noise: float,
    noise_fwhm_mm: float,
    spacing: Spacing,
    normal: NDArray[np.float32] | None = None,
) -> Amplitude:
    """Fit a deposit's uptake with its background and its neighbours.

    The crop is modelled as a multiple of the normal uptake (or the body's share), plus the predicted spill, plus an
    amplitude for the deposit's footprint and one for all its neighbours' together, by least squares.

    Parameters
    ----------
    suv
        PET crop.
    shapes
        (2, z, y, x): the deposit's footprint, and its neighbours' together (zeros for none).
    body
        Share of each voxel inside the body.
    spill, bone_spill
        Predicted from bone and organs, and from bone alone.
    noise
        Standard deviation of a PET voxel near here.
    noise_fwhm_mm
        Width of the noise's correlation: neighbouring voxels are no independent witnesses.
    normal
        Expected uptake of normal tissue, SUV, which the fit scales; without it the body's share is taken.

    Notes
    -----
    The error of a linear estimate w.d is sqrt(w C w) with C the covariance of correlated noise; to it comes, in
    quadrature, what a spill wrong by ``SPILL_DOUBT`` would change.
    """
    shape, others = shapes
    usual = body if normal is None or float(normal.max()) <= 0 else normal
    names = [shape, usual] + ([others] if float(others.max()) > 0.02 else [])
    near = body > 0.5
    # Fitting where another tissue's spill outweighs everything would let its error pass for the deposit's uptake.
    usable = near & ((spill < 1.0) | (shape > 0.1 * float(shape.max())))
    if usable.sum() < 4 * len(names):
        usable = np.ones(suv.shape, bool)
    design = np.stack([part[usable] for part in names], axis=1).astype(np.float64)
    inverse = np.linalg.pinv(design)
    solution = inverse @ (suv - spill)[usable].astype(np.float64)
    weights = np.zeros(suv.shape, np.float64)
    weights[usable] = inverse[0]
    sigma = noise_fwhm_mm / FWHM_PER_SIGMA
    # Noise smoothed by sigma has the autocorrelation exp(-d^2 / 4 sigma^2), a Gaussian sqrt(2) wider.
    steps = [np.sqrt(2.0) * sigma / step for step in spacing]
    norm = float(np.prod([_peak_inverse(s) for s in steps]))
    spread = ndimage.gaussian_filter(weights, steps, mode="constant", truncate=3.0) * norm
    variance = noise**2 * float((weights * spread).sum())
    doubt = SPILL_DOUBT * float((weights * spill).sum())
    seen = shape / max(float(shape.sum()), 1e-9)
    return Amplitude(
        excess=float(solution[0]),
        error=float(np.sqrt(max(variance, 0.0) + doubt**2)),
        background=float(max(solution[1], 0.0) * (seen * usual).sum()),
        recovery=float(shape.max()),
        spill=float((seen * bone_spill).sum()),
        observed=float((seen * suv).sum()),
    )


def _peak_inverse(sigma_voxels: float) -> float:
    """Factor that turns a discrete Gaussian of unit sum into one of unit peak."""
    reach = int(3.0 * sigma_voxels + 0.5)
    line = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma_voxels, 1e-6)) ** 2)
    return float(line.sum())


def detection_limit(amplitude: Amplitude, min_rise: float, z: float) -> float:
    """Smallest true SUV that this PET would have shown in a deposit of this size at this place.

    Its excess must exceed ``z`` standard errors of the fitted amplitude, and its visible rise, after the loss by blur,
    must reach ``min_rise`` (SUV).

    Notes
    -----
    The limit of detection of Currie (1968, doi 10.1021/ac60259a007), with the partial-volume recovery in it.
    """
    recovery = max(amplitude.recovery, 1e-3)
    return amplitude.background + max(z * amplitude.error, min_rise / recovery)
