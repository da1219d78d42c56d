"""How sharp and how noisy a scan is, estimated from its images, and from its header where these do not tell."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import (
    binary_dilation,
    binary_erosion,
    gaussian_filter,
    map_coordinates,
    maximum_filter,
    minimum_filter,
)
from scipy.special import erf

from calciflow.dicom.kernels import kernel_is_sharp
from calciflow.images import Volume
from calciflow.labels import TISSUES
from calciflow.phantom.physics import noise_with_signal

SIGMA = float(1 / np.sqrt(8 * np.log(2)))
"""Sigma of a Gaussian of FWHM 1."""

FWHM_RANGE_MM = (0.6, 3.0)
"""In-plane resolution of body CT, from sharp kernels to very smooth ones. Ours."""

KERNEL_FWHM_MM = {False: 1.4, True: 0.9}
"""In-plane resolution by whether the kernel is sharp, where the image does not tell: an MTF of one half at 0.31 and
0.49 per mm (FWHM = 0.44 / that, for a Gaussian), the usual of soft and of sharp body kernels. Ours."""

_EDGE_HU = 700.0
"""Contrast of an edge that is looked at: skin against air has 900 to 1000, fat against muscle 150."""

_EDGES_NEEDED = 200
_WINDOW_MM = 5.0
_SIGMAS_MM = np.arange(0.2, 1.6, 0.01)
_PLANES = 24


@dataclass(frozen=True)
class SliceProfile:
    """Sensitivity along z, ``width_mm`` across at half height: a ``box`` or a ``triangle``."""

    shape: str
    width_mm: float

    def weights(self, away: NDArray[np.float64]) -> NDArray[np.float64]:
        """Density (1/mm) at distances ``away`` (mm) from the slice's middle; its integral is 1."""
        r = np.abs(away) / self.width_mm
        flat = (r < 0.5) * 1.0 if self.shape == "box" else np.clip(1 - r, 0, None)
        return np.asarray(flat / self.width_mm)

    @property
    def reach_mm(self) -> float:
        """Distance beyond which it is 0."""
        return self.width_mm * (0.5 if self.shape == "box" else 1.0)


def slice_profile(thickness_mm: float | None, increment_mm: float, options: str) -> SliceProfile:
    """Slice profile from Slice Thickness (0018,0050) and Scan Options (0018,0022).

    A spiral scan interpolates between turns: its profile is bell-shaped with the nominal thickness as its width at
    half height (Kalender 1990, doi 10.1148/radiology.176.1.2353088), here a triangle. A sequential one is a box.
    """
    width = float(thickness_mm) if thickness_mm and 0.1 <= float(thickness_mm) <= 20 else increment_mm
    sequential = "AXIAL" in options.upper() or "SEQUENCE" in options.upper()
    return SliceProfile("box" if sequential else "triangle", width)


def in_plane_fwhm(
    hu: NDArray[np.int16], body: NDArray[np.bool_], spacing: tuple[float, float, float], kernel: str
) -> tuple[float, str]:
    """In-plane resolution (FWHM of a Gaussian, mm) from the body's edge against air, and where it comes from.

    The difference of the two neighbours of a pixel on an edge of contrast C that a Gaussian of sigma s has blurred is
    C erf(d / (s sqrt 2)), d being their distance from the edge: s follows from the gradient of the image, both axes
    taken together. Surfaces that slant through the slice are smeared further, and the pixel may lie beside the edge:
    the sharpest quarter of the edges counts.

    Parameters
    ----------
    hu, body
        CT and body mask, (z, y, x).
    kernel
        Convolution Kernel (0018,1210): tells where the image holds too few edges.
    """
    pixel = float(np.mean(spacing[1:]))
    half = max(2, int(np.ceil(_WINDOW_MM / pixel / 2)))
    found: list[NDArray[np.float64]] = []
    inside = np.flatnonzero(body.any(axis=(1, 2)))
    for k in inside[:: max(1, len(inside) // _PLANES)]:
        plane = hu[k].astype(np.float32)
        gy, gx = np.gradient(plane)
        slope = np.hypot(gy / spacing[1], gx / spacing[2])
        rim = binary_dilation(body[k], iterations=2) & ~binary_erosion(body[k], iterations=2)
        top = maximum_filter(slope, 3) == slope
        contrast = maximum_filter(plane, 2 * half + 1) - minimum_filter(plane, 2 * half + 1)
        at = np.argwhere(rim & top & (slope * 5 * pixel > _EDGE_HU / 2) & (contrast > _EDGE_HU))
        if not len(at):
            continue
        found.append(_edge_sigmas(plane, at, gy, gx, slope, spacing))
    sigmas = np.concatenate(found) if found else np.zeros(0)
    sigmas = sigmas[np.isfinite(sigmas)]
    if len(sigmas) < _EDGES_NEEDED:
        return KERNEL_FWHM_MM[kernel_is_sharp(kernel)], "usual for such a kernel, assumed"
    sharpest = float(np.quantile(sigmas, 0.25))
    # An image holds nothing finer than its pixels.
    return float(np.clip(max(sharpest / SIGMA, pixel), *FWHM_RANGE_MM)), f"{len(sigmas)} edges of the body against air"


def _edge_sigmas(
    plane: NDArray[np.float32],
    at: NDArray[np.int64],
    gy: NDArray[np.float32],
    gx: NDArray[np.float32],
    slope: NDArray[np.float32],
    spacing: tuple[float, float, float],
) -> NDArray[np.float64]:
    """Sigma (mm) of the blur of edges at pixels ``at`` (n, 2); NaN where there is no plain edge."""
    rows, columns = at.T
    length = np.hypot(gy[rows, columns], gx[rows, columns])
    step = np.stack([gy[rows, columns], gx[rows, columns]]) / length
    mm = np.hypot(step[0] * spacing[1], step[1] * spacing[2])
    ends = []
    for sign in (1, -1):
        # Levels just beyond the blur on both sides: the window's extremes may be bone or the couch.
        samples = [
            map_coordinates(plane, at.T + sign * step * (d / mm), order=1, mode="nearest") for d in (2.5, 3.0, 3.5)
        ]
        ends.append(np.mean(samples, axis=0))
    contrast = ends[0] - ends[1]
    steep = 2 * slope[rows, columns] / contrast
    along = [np.abs(step[axis]) * spacing[axis + 1] for axis in (0, 1)]
    expected = [
        np.hypot(*(erf(a / (np.sqrt(2) * sigma)) / size for a, size in zip(along, spacing[1:], strict=True)))
        for sigma in _SIGMAS_MM
    ]
    best = _SIGMAS_MM[np.argmin(np.abs(np.array(expected) - steep), axis=0)]
    return np.where(contrast > _EDGE_HU, best, np.nan)


def ct_noise(hu: NDArray[np.int16], tissues: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Noise (HU, SD) of each slice in soft tissue; slices that show none get the scan's median."""
    out = np.full(hu.shape[0], np.nan)
    soft = (TISSUES["muscle"], TISSUES["viscera"])
    for k in range(hu.shape[0]):
        mask = binary_erosion(np.isin(tissues[k], soft), iterations=3)
        if mask.sum() < 200:
            continue
        plane = hu[k].astype(np.float32)
        # Within muscle only (fat planes are no noise), and by the median, which structures hardly move.
        mask &= (plane > -29) & (plane < 150)
        weight = gaussian_filter(mask.astype(np.float32), 4)
        smooth = gaussian_filter(np.where(mask, plane, 0), 4) / np.maximum(weight, 1e-3)
        rest = (plane - smooth)[mask]
        if len(rest) >= 200:
            out[k] = 1.4826 * float(np.median(np.abs(rest - np.median(rest))))
    known = out[np.isfinite(out)]
    return np.where(np.isfinite(out), out, float(np.median(known)) if len(known) else 20.0)


@dataclass(frozen=True)
class PetNoise:
    """Noise of a PET.

    Attributes
    ----------
    relative
        Standard deviation of a voxel of 1 SUV; it grows with the signal as `noise_with_signal` says.
    fwhm_mm
        Width of the Gaussian that would make white noise look like it.
    """

    relative: float
    fwhm_mm: float


_HIGH_PASS_VOXELS = 1.0
"""Structures of the body are wider than this; on phantoms the noise is then found 40 % too high, with 2 twice that."""

_WIDTHS_MM = np.arange(2.0, 8.1, 0.5)
"""Noise of clinical PET is no coarser than post filters are: 8 mm. What looks coarser is anatomy."""


def pet_noise(suv: Volume, tissues: Volume) -> PetNoise:
    """Noise of soft tissue, from what a high-pass leaves of it.

    Parameters
    ----------
    suv
        PET in SUV.
    tissues
        Tissue labels on the CT's grid.
    """
    at = np.rint(tissues.index(suv.world(np.argwhere(np.ones(suv.array.shape, bool))))).astype(int)
    inside = ((at >= 0) & (at < tissues.array.shape)).all(axis=1)
    label = np.zeros(len(at), np.uint8)
    label[inside] = tissues.array[tuple(at[inside].T)]
    soft = np.isin(label, [TISSUES[w] for w in ("muscle", "subcutaneous_fat", "viscera")]).reshape(suv.array.shape)
    smooth = gaussian_filter(suv.array, _HIGH_PASS_VOXELS)
    # Away from hot borders, whose slope is no noise.
    low = gaussian_filter(suv.array, 1.0)
    soft &= low < 3 * max(float(np.median(low[soft])) if soft.any() else 1.0, 0.1)
    soft = binary_erosion(soft)
    if soft.sum() < 100:
        return PetNoise(0.12, 5.0)
    scaled = (suv.array - smooth) / noise_scale(smooth)
    rest = scaled[soft]
    deviation = 1.4826 * float(np.median(np.abs(rest - np.median(rest))))
    pairs = soft[:, :, 1:] & soft[:, :, :-1]
    one, two = scaled[:, :, 1:][pairs], scaled[:, :, :-1][pairs]
    limit = 3 * max(deviation, 1e-6)
    keep = (np.abs(one) < limit) & (np.abs(two) < limit)
    observed = float((one[keep] * two[keep]).sum() / np.sqrt((one[keep] ** 2).sum() * (two[keep] ** 2).sum()))
    expected = [_high_passed(width, suv.spacing) for width in _WIDTHS_MM]
    best = int(np.argmin([abs(correlation - observed) for _, correlation in expected]))
    return PetNoise(deviation / expected[best][0], float(_WIDTHS_MM[best]))


def _high_passed(fwhm_mm: float, spacing: tuple[float, float, float]) -> tuple[float, float]:
    """Part of the SD that the high-pass leaves of noise of that width, and then its correlation along x at lag 1."""
    kernel = np.zeros((31, 31, 31), np.float32)
    kernel[15, 15, 15] = 1
    kernel = gaussian_filter(kernel, [fwhm_mm * SIGMA / step for step in spacing])
    left = kernel - gaussian_filter(kernel, _HIGH_PASS_VOXELS)
    power = float((left**2).sum())
    return float(np.sqrt(power / (kernel**2).sum())), float((left[:, :, 1:] * left[:, :, :-1]).sum() / power)


def noise_scale(suv: NDArray[np.float32]) -> NDArray[np.float32]:
    """`noise_with_signal` for an array."""
    return np.interp(np.maximum(suv, 0), _TABLE_SUV, _TABLE_NOISE).astype(np.float32)


_TABLE_SUV = np.concatenate([[0.0], np.geomspace(1e-3, 200.0, 400)])
_TABLE_NOISE = np.array([noise_with_signal(float(value)) for value in _TABLE_SUV])
