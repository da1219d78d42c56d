"""Coarser copies of a CT grid, and morphology in millimetres on them.

A distance map at full CT resolution costs 13 GB and 90 s; on blocks of about 4 mm it costs a fraction of a second,
and the outline is drawn again at full resolution afterwards by Hounsfield units.
"""

from dataclasses import dataclass
from typing import Any

import cc3d
import edt
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Box = tuple[slice, slice, slice]

FLAT = 1e5
"""Slice distance in mm that makes a 3-D distance map act in each axial slice alone."""


@dataclass(frozen=True)
class Grid:
    """Blocks of whole voxels of a finer grid.

    Attributes
    ----------
    factors
        Voxels a block, along (z, y, x).
    shape
        Number of blocks; the last block of an axis may be incomplete.
    fine_shape
        Shape of the finer grid.
    spacing
        Size of a block in mm, (z, y, x).
    """

    factors: tuple[int, int, int]
    shape: tuple[int, int, int]
    fine_shape: tuple[int, int, int]
    spacing: tuple[float, float, float]

    @property
    def block_ml(self) -> float:
        """Volume of a block in ml."""
        return float(np.prod(self.spacing)) / 1000.0


def blocks(fine_shape: tuple[int, ...], spacing: tuple[float, ...], size_mm: float) -> Grid:
    """Choose whole-number blocks of about ``size_mm``; axes that are coarser already stay as they are."""
    factors = [max(1, round(size_mm / step)) for step in spacing]
    shape = [-(-size // factor) for size, factor in zip(fine_shape, factors, strict=True)]
    return Grid(
        (factors[0], factors[1], factors[2]),
        (shape[0], shape[1], shape[2]),
        (fine_shape[0], fine_shape[1], fine_shape[2]),
        (spacing[0] * factors[0], spacing[1] * factors[1], spacing[2] * factors[2]),
    )


def block_mean(array: NDArray[Any], grid: Grid) -> NDArray[np.float32]:
    """Mean of the voxels of each block, shape ``grid.shape``.

    Slabs are summed one after another, so that memory stays at a few slices above the input.
    """
    out = np.empty(grid.shape, np.float32)
    fz, fy, fx = grid.factors
    starts_y = np.arange(0, array.shape[1], fy)
    starts_x = np.arange(0, array.shape[2], fx)
    count_y = np.diff(np.append(starts_y, array.shape[1])).astype(np.float32)
    count_x = np.diff(np.append(starts_x, array.shape[2])).astype(np.float32)
    area = count_y[:, None] * count_x[None, :]
    even_y, even_x = array.shape[1] % fy == 0, array.shape[2] % fx == 0
    for index in range(grid.shape[0]):
        slab = array[index * fz : (index + 1) * fz]
        total = slab.sum(axis=0, dtype=np.float32) if len(slab) > 1 else slab[0].astype(np.float32)
        if fx > 1:
            if even_x:
                total = sum((total[:, start::fx] for start in range(fx)), np.float32(0))
            else:
                total = np.add.reduceat(total, starts_x, axis=1)
        if fy > 1:
            if even_y:
                total = sum((total[start::fy] for start in range(fy)), np.float32(0))
            else:
                total = np.add.reduceat(total, starts_y, axis=0)
        out[index] = total / (area * len(slab))
    return out


def centres(grid: Grid, axis: int) -> NDArray[np.float64]:
    """Centres of the blocks along an axis, in voxel indices of the finer grid."""
    edges = np.minimum(np.arange(grid.shape[axis] + 1) * grid.factors[axis], grid.fine_shape[axis])
    return (edges[:-1] + edges[1:] - 1) / 2.0


def transfer(array: NDArray[Any], source: Grid, target: Grid) -> NDArray[Any]:
    """Bring block values to another grid over the same finer grid, nearest block, no interpolation."""
    picks = [np.rint(centres(target, axis)).astype(int) // source.factors[axis] for axis in range(3)]
    return array[picks[0]][:, picks[1]][:, :, picks[2]]


def expand(array: NDArray[Any], grid: Grid) -> NDArray[Any]:
    """Give every voxel of the finer grid its block's value."""
    fz, fy, fx = grid.factors
    nz, ny, nx = grid.fine_shape
    plane = np.empty((array.shape[0], ny, nx), array.dtype)
    for y in range(fy):
        for x in range(fx):
            target = plane[:, y::fy, x::fx]
            target[...] = array[:, : target.shape[1], : target.shape[2]]
    return plane if fz == 1 else np.repeat(plane, fz, axis=0)[:nz]


def fine_box(coarse: Box, grid: Grid) -> Box:
    """Voxels of the finer grid that a box of blocks holds."""
    z, y, x = (
        slice(part.start * f, min(part.stop * f, size))
        for part, f, size in zip(coarse, grid.factors, grid.fine_shape, strict=True)
    )
    return z, y, x


def expand_box(mask: Mask, grid: Grid) -> tuple[Box, Mask]:
    """Expand a mask in its own box: the box of the finer grid, and the mask in it. Both are empty if the mask is."""
    if not mask.any():
        return (slice(0, 0), slice(0, 0), slice(0, 0)), np.zeros((0, 0, 0), bool)
    coarse = bounding_box(mask)
    box, part = fine_box(coarse, grid), mask[coarse]
    size = (box[0].stop - box[0].start, box[1].stop - box[1].start, box[2].stop - box[2].start)
    shape = (part.shape[0], part.shape[1], part.shape[2])
    return box, expand(part, Grid(grid.factors, shape, size, grid.spacing))


def covered(mask: Mask, source: Grid, target: Grid) -> NDArray[np.float32]:
    """Share of each block of ``target`` that a mask on ``source`` covers; both lie over the same finer grid."""
    if any(t % s for t, s in zip(target.factors, source.factors, strict=True)):
        return block_mean(expand(mask.view(np.uint8), source), target)
    z, y, x = (t // s for t, s in zip(target.factors, source.factors, strict=True))
    return block_mean(mask.view(np.uint8), Grid((z, y, x), target.shape, source.shape, target.spacing))


def distance(mask: Mask, spacing: tuple[float, float, float], flat: bool = False) -> NDArray[np.float32]:
    """Distance in mm of each voxel of ``mask`` to the nearest voxel outside it; the array's border is no outside.

    ``flat``: within each axial slice. A mask that covers a whole slice (or all) is infinitely deep there.
    """
    step = (FLAT, *spacing[1:]) if flat else spacing
    return edt.edt(np.ascontiguousarray(mask), anisotropy=step, black_border=False, parallel=1)


def _shifted(packed: NDArray[np.uint8], axis: int, steps: int) -> NDArray[np.uint8]:
    """Move a mask, packed eight slices to a byte, by whole voxels; nothing comes in from outside."""
    out = np.zeros_like(packed)
    if axis > 0:
        size = packed.shape[axis]
        if abs(steps) < size:
            source = tuple(slice(max(0, -steps), size - max(0, steps)) if a == axis else slice(None) for a in range(3))
            target = tuple(slice(max(0, steps), size + min(0, steps)) if a == axis else slice(None) for a in range(3))
            out[target] = packed[source]
        return out
    whole, bits = divmod(abs(steps), 8)
    if whole >= len(packed):
        return out
    moved = np.zeros_like(packed)
    if steps > 0:  # the first slice of a byte is its highest bit
        moved[whole:] = packed[: len(packed) - whole]
        out = moved >> np.uint8(bits)
        if bits:
            out[1:] |= moved[:-1] << np.uint8(8 - bits)
    else:
        moved[: len(packed) - whole] = packed[whole:]
        out = moved << np.uint8(bits)
        if bits:
            out[:-1] |= moved[1:] >> np.uint8(8 - bits)
    return out


def dilate(mask: Mask, radius: float, spacing: tuple[float, float, float], flat: bool = False) -> Mask:
    """Add what lies within ``radius`` mm: an exact ball, or disc, of voxel centres.

    A ball is a union of lines: along x they grow by one voxel at a time, and are then moved along y and z. With eight
    slices packed into a byte this takes a tenth of a distance map's time.
    """
    if not mask.any() or radius <= 0:
        return mask.copy()
    step_z, step_y, step_x = spacing
    packed = np.packbits(mask, axis=0)
    reach_y = int(radius / step_y + 1e-6)
    reach_z = 0 if flat else int(radius / step_z + 1e-6)
    # Half length of the line at each (z, y) offset.
    lines: dict[int, list[tuple[int, int]]] = {}
    for dz in range(reach_z + 1):
        for dy in range(reach_y + 1):
            rest = radius**2 - (dz * step_z) ** 2 - (dy * step_y) ** 2
            if rest >= -1e-6:
                lines.setdefault(int(np.sqrt(max(rest, 0.0)) / step_x + 1e-6), []).append((dz, dy))
    planes = [np.zeros_like(packed) for _ in range(reach_z + 1)]
    line = packed.copy()
    for half in range(max(lines) + 1):
        if half:
            line |= _shifted(packed, 2, half)
            line |= _shifted(packed, 2, -half)
        for dz, dy in lines.get(half, ()):
            planes[dz] |= _shifted(line, 1, dy) if dy else line
            if dy:
                planes[dz] |= _shifted(line, 1, -dy)
    out = planes[0]
    for dz in range(1, reach_z + 1):
        out |= _shifted(planes[dz], 0, dz)
        out |= _shifted(planes[dz], 0, -dz)
    return np.unpackbits(out, axis=0, count=mask.shape[0]).view(bool)


def erode(mask: Mask, radius: float, spacing: tuple[float, float, float], flat: bool = False) -> Mask:
    """Keep what lies deeper than ``radius`` mm; the array's border is no outside."""
    return ~dilate(~mask, radius, spacing, flat)


def opened(mask: Mask, radius: float, spacing: tuple[float, float, float], flat: bool = False) -> Mask:
    """Keep what a ball (disc) of ``radius`` mm fits into."""
    return dilate(erode(mask, radius, spacing, flat), radius, spacing, flat) & mask


def closed(mask: Mask, radius: float, spacing: tuple[float, float, float], flat: bool = False) -> Mask:
    """Add what a ball (disc) of ``radius`` mm outside the mask can't reach."""
    return mask | erode(dilate(mask, radius, spacing, flat), radius, spacing, flat)


def sections(mask: Mask) -> NDArray[np.unsignedinteger[Any]]:
    """Label the connected pieces (over faces) of each axial slice alone; 0 is outside the mask."""
    # An empty slice behind every slice keeps them apart.
    apart = np.zeros((2 * mask.shape[0], *mask.shape[1:]), bool)
    apart[::2] = mask
    return np.asarray(cc3d.connected_components(apart, connectivity=6)[::2])


def widened(box: tuple[slice, ...], shape: tuple[int, ...], margin: tuple[int, int, int]) -> Box:
    """A box with a margin of so many voxels along each axis, within ``shape``."""
    z, y, x = (
        slice(max(0, part.start - more), min(size, part.stop + more))
        for part, size, more in zip(box, shape, margin, strict=True)
    )
    return z, y, x


def bounding_box(mask: Mask, margin: int = 0) -> Box:
    """Smallest box around a mask, wider by ``margin`` voxels; of an empty mask, the whole array."""
    if not mask.any():
        return (slice(0, mask.shape[0]), slice(0, mask.shape[1]), slice(0, mask.shape[2]))
    found = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        places = np.flatnonzero(mask.any(axis=others))
        found.append(slice(max(0, int(places[0]) - margin), min(mask.shape[axis], int(places[-1]) + 1 + margin)))
    return found[0], found[1], found[2]


def filled_flat(mask: Mask) -> Mask:
    """Fill the holes within each axial slice: what no path over faces joins to the slice's border."""
    outside = sections(np.pad(~mask, ((0, 0), (1, 1), (1, 1)), constant_values=True))
    return (outside != outside[:, :1, :1])[:, 1:-1, 1:-1]
