"""Boxes of voxels and distances in mm: the small geometry that finding and measuring share."""

from typing import Any

import edt
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SMALL_CROP = 200_000
"""Below that many voxels scipy's distance map beats edt, which starts threads for each call."""

FWHM_PER_SIGMA = float(np.sqrt(8 * np.log(2)))
"""Full width at half maximum of a Gaussian over its standard deviation."""

Box = tuple[slice, slice, slice]
Spacing = tuple[float, float, float]


def whole(shape: tuple[int, ...]) -> Box:
    """The box of a whole array."""
    return tuple(slice(0, size) for size in shape)  # type: ignore[return-value]


def grow(box: Box, mm: float, spacing: Spacing, shape: tuple[int, ...]) -> Box:
    """Widen a box by ``mm`` on every side, at least one voxel, within the array's ``shape``."""
    parts = []
    for part, size, count in zip(box, spacing, shape, strict=True):
        more = max(1, int(np.ceil(mm / size)))
        parts.append(slice(max(0, part.start - more), min(count, part.stop + more)))
    return tuple(parts)  # type: ignore[return-value]


def box_of(mask: NDArray[np.bool_]) -> Box | None:
    """The smallest box that holds every true voxel; None where there is none."""
    parts = []
    for axis in range(3):
        line = mask.any(axis=tuple(other for other in range(3) if other != axis))
        where = np.flatnonzero(line)
        if not len(where):
            return None
        parts.append(slice(int(where[0]), int(where[-1]) + 1))
    return tuple(parts)  # type: ignore[return-value]


def inside(inner: Box, outer: Box) -> Box:
    """The box ``inner`` counted from the corner of ``outer``, which holds it."""
    return tuple(  # type: ignore[return-value]
        slice(a.start - b.start, a.stop - b.start) for a, b in zip(inner, outer, strict=True)
    )


def offset(box: Box) -> NDArray[np.int64]:
    """First voxel of a box, array order (z, y, x)."""
    return np.array([part.start for part in box])


def distance_to(mask: NDArray[np.bool_], spacing: Spacing) -> NDArray[np.float32]:
    """Distance in mm of every voxel to the nearest true voxel's centre; infinite where there is none.

    For crops: the whole grid of a CT would cost gigabytes.
    """
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    if mask.size < SMALL_CROP:
        near: NDArray[np.float32] = ndimage.distance_transform_edt(~mask, sampling=spacing).astype(np.float32)
        return near
    far: NDArray[np.float32] = edt.edt(np.ascontiguousarray(~mask), anisotropy=spacing, black_border=False)
    return far


def widen(mask: NDArray[np.bool_], mm: float, spacing: Spacing) -> NDArray[np.bool_]:
    """Dilate a mask in a crop by ``mm``; a voxel is reached if its centre lies that near to a centre of the mask."""
    tight = box_of(mask)
    if tight is None:
        return mask.copy()
    box = grow(tight, mm, spacing, mask.shape)
    result = mask.copy()
    result[box] |= distance_to(mask[box], spacing) <= mm
    return result


def widen_by(mask: NDArray[np.bool_], reach: Spacing, spacing: Spacing) -> NDArray[np.bool_]:
    """Dilate a mask in a crop by an ellipsoid of half axes ``reach``, mm: across thick slices farther than in them."""
    return widen(mask, 1.0, (spacing[0] / reach[0], spacing[1] / reach[1], spacing[2] / reach[2]))


def dilate_voxels(mask: NDArray[np.bool_], steps: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Dilate a whole grid by boxes of ``steps`` voxels a side along each axis, in place of a costly distance map."""
    grown = mask.copy()
    for axis, count in enumerate(steps):
        for _ in range(count):
            source = grown.copy()
            upper: list[Any] = [slice(None)] * 3
            lower: list[Any] = [slice(None)] * 3
            upper[axis], lower[axis] = slice(1, None), slice(None, -1)
            grown[tuple(upper)] |= source[tuple(lower)]
            grown[tuple(lower)] |= source[tuple(upper)]
    return grown
