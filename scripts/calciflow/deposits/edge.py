"""Bone's blurred edge on CT: what of the brightness beside bone is bone's own."""

import numpy as np
from numpy.typing import NDArray

from calciflow.measure.boxes import Spacing, dilate_voxels
from calciflow.measure.tail import blur_line

MAP_DOUBT = 1.0
"""What share of bone a voxel beside it may hold: a label changes at half a voxel, and in that half lies the cortex, the
densest of the bone."""

REACH_SIGMA = 2.5
"""Beyond that many standard deviations of the blur, a border wrong by half a voxel added, less than 1 % of bone is
left."""


def edge_reach(spacing: Spacing, blur_mm: tuple[float, float, float]) -> tuple[int, int, int]:
    """Voxels along each axis over which bone's blur and the map's doubt can brighten."""
    reach = [
        max(1, int(np.ceil(REACH_SIGMA * np.sqrt(max(s**2 - d**2 / 12.0, 0.0)) / d + MAP_DOUBT - 0.5)))
        for s, d in zip(blur_mm, spacing, strict=True)
    ]
    return reach[0], reach[1], reach[2]


def beyond_edge(
    hu: NDArray[np.int16],
    over: NDArray[np.bool_],
    skeleton: NDArray[np.bool_],
    threshold: NDArray[np.float32],
    soft_hu: float,
    blur_mm: tuple[float, float, float],
    spacing: Spacing,
) -> NDArray[np.bool_]:
    """Voxels that stay over the threshold when bone's blurred edge is taken off.

    Parameters
    ----------
    hu
        HU, (z, y, x).
    over
        Voxels over the threshold, not bone.
    skeleton
        Bone.
    threshold
        Of every slice, (z,).
    soft_hu
        HU of the soft tissue that bone's edge falls to.
    blur_mm
        Blur of the CT along the axes, standard deviations.

    Notes
    -----
    Bone shows at a voxel the blurred share of bone around it times the brightest bone nearby; voxels beside bone count
    as bone by ``MAP_DOUBT``. Whole-grid memory: booleans only; the sums are made at the voxels in question.
    """
    reach = edge_reach(spacing, blur_mm)
    near = over & dilate_voxels(skeleton, (reach[0] + 1, reach[1] + 1, reach[2] + 1))
    result = over.copy()
    places = np.argwhere(near)
    if not len(places):
        return result
    # In a frame wide enough for every neighbour to exist.
    frame = [(r, r) for r in reach]
    mostly = np.pad(skeleton + np.float32(MAP_DOUBT) * (_faced(skeleton) & ~skeleton), frame)
    brightest = np.pad(np.where(skeleton, hu, np.int16(soft_hu)), frame, constant_values=np.int16(soft_hu))
    lines = [blur_line(d, s, r) for d, s, r in zip(spacing, blur_mm, reach, strict=True)]
    strides = np.array([mostly.shape[1] * mostly.shape[2], mostly.shape[2], 1])
    flat = (places + np.array(reach)) @ strides
    share = np.zeros(len(places), np.float32)
    level = np.full(len(places), soft_hu, np.int16)
    for a, first in enumerate(lines[0]):
        for b, second in enumerate(lines[1]):
            for c, third in enumerate(lines[2]):
                at = flat + int((np.array([a, b, c]) - np.array(reach)) @ strides)
                share += mostly.ravel().take(at) * np.float32(first * second * third)
                np.maximum(level, brightest.ravel().take(at), out=level)
    left = hu[near] - share * (level - np.float32(soft_hu))
    result[near] = left >= threshold[places[:, 0]]
    return result


def _faced(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """1 for voxels of a mask and those that share a face with one."""
    grown = mask.copy()
    for axis in range(3):
        low = [slice(None)] * 3
        high = [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        grown[tuple(low)] |= mask[tuple(high)]
        grown[tuple(high)] |= mask[tuple(low)]
    return grown
