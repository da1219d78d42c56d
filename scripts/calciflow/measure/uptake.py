"""SUVmax, SUVmean, SUVpeak in two definitions, and total uptake of a focus on the PET grid."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from calciflow.measure.boxes import Spacing

PEAK_RADIUS_MM = (3000.0 / (4.0 * np.pi)) ** (1.0 / 3.0)
"""Radius of a sphere of 1 cm3, 6.2 mm: the neighbourhood of SUVpeak (Wahl et al. 2009, doi
10.2967/jnumed.108.057307)."""

PERCIST_SUBVOXELS = 5
"""Points a side in which a voxel is divided to find what share of it lies in the sphere."""


@dataclass(frozen=True)
class Uptake:
    """What PET says of one focus; SUV in g/ml."""

    volume_ml: float
    suv_max: float
    suv_mean: float
    suv_sd: float
    suv_peak_ibsi: float
    suv_peak_ibsi_global: float
    suv_peak_percist: float
    tlf: float


@lru_cache(maxsize=512)
def _sphere_shares(spacing: Spacing, shift: tuple[float, float, float]) -> NDArray[np.float64]:
    """``sphere_weights`` of the freely placed sphere, as shares of their sum."""
    weights = sphere_weights(spacing, PERCIST_SUBVOXELS, shift).astype(np.float64)
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


@lru_cache(maxsize=512)
def sphere_weights(
    spacing: Spacing, parts: int, shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> NDArray[np.float32]:
    """Share of each voxel that lies in the 1 cm3 sphere about the middle voxel's centre plus ``shift`` mm.

    With ``parts`` = 1 a voxel counts whole if its centre lies in the sphere.
    """
    reach = [int(np.ceil((PEAK_RADIUS_MM + abs(s)) / step)) + 1 for step, s in zip(spacing, shift, strict=True)]
    inner = (np.arange(parts) + 0.5) / parts - 0.5
    axes = [
        (((np.arange(-n, n + 1)[:, None] + inner[None, :]) * step - s) ** 2).ravel()
        for n, step, s in zip(reach, spacing, shift, strict=True)
    ]
    near = axes[0][:, None, None] + axes[1][None, :, None] + axes[2][None, None, :] <= PEAK_RADIUS_MM**2
    shape = [2 * n + 1 for n in reach]
    blocks = near.reshape(shape[0], parts, shape[1], parts, shape[2], parts)
    return blocks.mean(axis=(1, 3, 5)).astype(np.float32)


def _sphere_mean(suv: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean in the sphere about every voxel; beyond the image's border only what exists counts."""
    # The sphere about a voxel's own centre is even, so that its correlation is a convolution: of fine voxels it holds
    # hundreds, which Fourier's way sums in a tenth of the time. (scipy.signal's function of the name does the same, and
    # its import takes a third of a second: longer than all spheres of most scans.)
    image, own = suv.astype(np.float64), weights.astype(np.float64)
    sizes = [n + m - 1 for n, m in zip(image.shape, own.shape, strict=True)]
    padded = [fft.next_fast_len(n, real=True) for n in sizes]
    sphere = fft.rfftn(own, padded)
    total, share = (fft.irfftn(fft.rfftn(one, padded) * sphere, padded) for one in (image, np.ones_like(image)))
    middle = tuple(slice(n // 2, n // 2 + size) for n, size in zip(own.shape, image.shape, strict=True))
    result: NDArray[np.float64] = total[middle] / np.maximum(share[middle], 1e-9)
    return result


def peak_ibsi(suv: NDArray[np.float32], mask: NDArray[np.bool_], spacing: Spacing) -> tuple[float, float]:
    """Local and global intensity peak as IBSI defines them (Zwanenburg et al. 2020, features VJGA and 0F91).

    Local: mean of the whole voxels whose centres lie within 6.2 mm of the centre of the mask's maximum (of several
    maxima, the highest mean). Global: the highest such mean about any voxel of the mask. Voxels outside the mask count.
    """
    means = _sphere_mean(suv, sphere_weights(spacing, 1))[mask]
    values = suv[mask]
    return float(means[values == values.max()].max()), float(means.max())


def peak_percist(suv: NDArray[np.float32], mask: NDArray[np.bool_], spacing: Spacing) -> float:
    """Highest mean in a 1 cm3 sphere placed freely in the mask, voxels counted by the share inside the sphere.

    Wahl et al. 2009. The centre is searched on voxel centres, then on a grid of quarter voxels about the best one.
    """
    fractional = sphere_weights(spacing, PERCIST_SUBVOXELS)
    means = np.where(mask, _sphere_mean(suv, fractional), -np.inf)
    best = np.array(np.unravel_index(int(np.argmax(means)), means.shape))
    highest = float(means[tuple(best)])
    reach = max(fractional.shape) // 2 + 1
    padded = np.pad(suv.astype(np.float64), reach, mode="edge")
    steps = (-0.5, -0.25, 0.0, 0.25, 0.5)
    for fraction in ((a, b, c) for a in steps for b in steps for c in steps):
        shift = tuple(f * step for f, step in zip(fraction, spacing, strict=True))
        weights = _sphere_shares(spacing, (shift[0], shift[1], shift[2]))
        half = np.array(weights.shape) // 2
        low = best + reach - half
        block = padded[tuple(slice(a, a + n) for a, n in zip(low, weights.shape, strict=True))]
        if block.shape == weights.shape:
            highest = max(highest, float(np.vdot(block, weights)))
    return highest


def measure_uptake(suv: NDArray[np.float32], mask: NDArray[np.bool_], spacing: Spacing) -> Uptake:
    """Measure a focus.

    Parameters
    ----------
    suv
        Crop of the PET with at least 8 mm around the mask where the image goes that far, g/ml.
    mask
        Voxels of the focus, at least one.
    """
    values = suv[mask].astype(np.float64)
    volume = float(mask.sum()) * float(np.prod(spacing)) / 1000.0
    local, overall = peak_ibsi(suv, mask, spacing)
    mean = float(values.mean())
    return Uptake(
        volume_ml=volume,
        suv_max=float(values.max()),
        suv_mean=mean,
        suv_sd=float(values.std()),
        suv_peak_ibsi=local,
        suv_peak_ibsi_global=overall,
        suv_peak_percist=peak_percist(suv, mask, spacing),
        tlf=mean * volume,
    )
