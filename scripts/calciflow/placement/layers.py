"""The layers of the body about a lesion: how deep the fascia lies there, read beside the lesion and not under it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calciflow.labels import TISSUES
from calciflow.measure.boxes import Spacing

SKIN, FAT, MUSCLE = TISSUES["skin"], TISSUES["subcutaneous_fat"], TISSUES["muscle"]

LATERAL_MM = 15.0
"""Tissue up to that far from a lesion tells the layers about it."""

LEAST_VOXELS = 30
"""Fewer voxels beside a lesion tell no layers."""

DEPTH_STEP_MM = 1.0
DEPTH_BLUR_MM = 1.0
"""Depths are known to about a voxel: the profile is smoothed by that."""


@dataclass(frozen=True)
class Layers:
    """Share of fat and skin by depth below the surface.

    Attributes
    ----------
    share
        (n,) share of skin and fat among skin, fat and muscle at depth (k + 1/2) ``DEPTH_STEP_MM``; empty if unknown.
    fascia_mm
        Depth at which muscle begins to outweigh fat; infinite if it does nowhere, NaN if unknown.
    """

    share: NDArray[np.float64]
    fascia_mm: float

    def superficial(self, depth: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of skin and fat at each depth, mm; NaN if unknown."""
        if not len(self.share):
            return np.full(len(depth), np.nan)
        at = (np.arange(len(self.share)) + 0.5) * DEPTH_STEP_MM
        return np.interp(depth, at, self.share)


def read_layers(
    labels: NDArray[np.uint8], depth: NDArray[np.float32], far: NDArray[np.float32], clear_mm: float
) -> Layers:
    """Read the layers beside a lesion.

    Parameters
    ----------
    labels
        Tissue labels of the crop.
    depth
        Depth of each voxel below the surface, mm.
    far
        Distance of each voxel to the lesion, mm.
    clear_mm
        Nearer voxels are not used: calcium blurred into fat reads like muscle.

    Notes
    -----
    Under a deposit no map can know the border of fat and muscle; beside it, at the same depth, it can.
    """
    beside = (far > clear_mm) & (far <= LATERAL_MM) & (depth > 0) & np.isfinite(depth)
    soft = beside & np.isin(labels, (SKIN, FAT, MUSCLE))
    if int(soft.sum()) < LEAST_VOXELS:
        return Layers(np.empty(0), float("nan"))
    place = (depth[soft] / DEPTH_STEP_MM).astype(int)
    light = labels[soft] != MUSCLE
    size = int(place.max()) + 1
    sigma = DEPTH_BLUR_MM / DEPTH_STEP_MM
    total = ndimage.gaussian_filter1d(np.bincount(place, minlength=size).astype(float), sigma, mode="nearest")
    fat = ndimage.gaussian_filter1d(np.bincount(place[light], minlength=size).astype(float), sigma, mode="nearest")
    share = fat / np.maximum(total, 1e-9)
    known = total > 0.5
    share = np.interp(np.arange(size), np.flatnonzero(known), share[known])
    under = np.flatnonzero(share < 0.5)
    if not len(under):
        return Layers(share, float("inf"))
    first = int(under[0])
    if first == 0:
        # Muscle right under the surface; or a crop too deep in the body to hold any of it.
        return Layers(share, 0.0 if known[:2].any() else float("nan"))
    part = (share[first - 1] - 0.5) / max(share[first - 1] - share[first], 1e-9)
    return Layers(share, float((first - 0.5 + part) * DEPTH_STEP_MM))


def voxel_depth(labels: NDArray[np.uint8], far_outside: NDArray[np.float32], spacing: Spacing) -> NDArray[np.float32]:
    """Depth of voxels' centres below the surface from their distance to the nearest outside voxel's centre, mm."""
    depth: NDArray[np.float32] = np.where(labels > 0, far_outside - 0.5 * max(spacing[1:]), 0.0).astype(np.float32)
    return depth
