"""What a CT's blur carries out of a deposit: where it is seen, and where something hides it."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import erf

from calciflow.measure.boxes import FWHM_PER_SIGMA, Spacing, widen_by

RINGS = (0.01, 0.03, 0.1, 0.2, 0.35)
"""Borders of the rings, as shares of a voxel that the blurred mask fills; half is the mask's own border."""

LEAST_SEEN = 3
"""Voxels of a ring that must be seen for their mean to stand for those hidden."""


def blur_line(step_mm: float, sigma_mm: float, reach: int) -> NDArray[np.float64]:
    """Share of a voxel's value that the CT shows at voxels -reach..reach along one axis: a box blurred by a Gaussian.

    The blur that is measured on the image holds the voxel's own width; only the rest acts on whole voxels.
    """
    rest = np.sqrt(max(sigma_mm**2 - step_mm**2 / 12.0, (0.2 * step_mm) ** 2))
    ends = (np.arange(-reach, reach + 2) - 0.5) * step_mm / (np.sqrt(2.0) * rest)
    weights: NDArray[np.float64] = 0.5 * np.diff(erf(ends))
    return weights


def blurred(mask: NDArray[np.bool_], spacing: Spacing, sigma_mm: tuple[float, float, float]) -> NDArray[np.float32]:
    """Share of each voxel's value that voxels of a mask account for in the image, 0 to 1; the crop's edge goes on."""
    shares = mask.astype(np.float32)
    for axis, (step, sigma) in enumerate(zip(spacing, sigma_mm, strict=True)):
        line = blur_line(step, sigma, max(1, int(np.ceil(3.0 * sigma / step))))
        shares = ndimage.correlate1d(shares, line.astype(np.float32), axis, mode="nearest")
    return shares


class Tail:
    """What blur carries out of a deposit's mask, where it can be seen and where bone, air or a neighbour hide it.

    A hidden voxel is taken for what those seen show to which as much of the deposit reaches (``RINGS`` of the blurred
    mask); where none is seen, for the mask blurred.
    """

    def __init__(
        self,
        mask: NDArray[np.bool_],
        territory: NDArray[np.bool_],
        spacing: Spacing,
        sigma_mm: tuple[float, float, float],
    ) -> None:
        across = max(1.2 * FWHM_PER_SIGMA * sigma_mm[0], 1.1 * spacing[0])
        within = 1.2 * FWHM_PER_SIGMA * max(sigma_mm[1:])
        tail = widen_by(mask, (across, within, within), spacing) & ~mask
        shares = blurred(mask, spacing, sigma_mm)
        self.seen, self.hidden = tail & territory, tail & ~territory
        self.shares = shares[self.hidden].astype(np.float64)
        self.rings_seen, self.rings_hidden = (np.digitize(shares[part], RINGS) for part in (self.seen, self.hidden))

    def total(self, values: NDArray[np.float32], full: float) -> float:
        """Sum over the tail, hidden voxels filled in; ``full`` is what a voxel full of the deposit shows."""
        there = values[self.seen].astype(np.float64)
        result = float(there.sum())
        if not len(self.shares):
            return result
        counts = np.bincount(self.rings_seen, minlength=len(RINGS) + 1)
        sums = np.bincount(self.rings_seen, there, minlength=len(RINGS) + 1)
        means = np.maximum(sums / np.maximum(counts, 1), 0.0)[self.rings_hidden]
        filled = np.where(counts[self.rings_hidden] >= LEAST_SEEN, means, self.shares * full)
        return result + float(filled.sum())
