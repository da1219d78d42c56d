"""Values in blocks of a grid, spread smoothly over it."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calciflow.measure.boxes import Spacing

BLOCK_MM = 24.0
"""Side of the blocks in which local background and noise are measured: wider than most deposits' blur."""


def block_percentile(
    values: NDArray[np.float32], valid: NDArray[np.bool_], spacing: Spacing, percentile: float, least: int = 8
) -> NDArray[np.float32]:
    """Percentile of the valid values in blocks, spread to blocks without any and interpolated to every voxel.

    NaN everywhere if there is no valid value at all.
    """
    steps = [max(1, min(size, round(BLOCK_MM / step))) for size, step in zip(values.shape, spacing, strict=True)]
    counts = [-(-size // step) for size, step in zip(values.shape, steps, strict=True)]
    coarse = np.full(counts, np.nan, np.float32)
    # One row of blocks after the other: copies of a whole long PET would take as much memory as all else.
    for row, plane in enumerate(coarse):
        part = slice(row * steps[0], (row + 1) * steps[0])
        plane[:] = _row_of_blocks(values[part], valid[part], (steps[0], *steps[1:]), counts, percentile, least)
    if not np.isfinite(coarse).any():
        if not valid.any():
            return np.full(values.shape, np.nan, np.float32)
        coarse[:] = np.percentile(values[valid], percentile)
    known = np.isfinite(coarse)
    weight = ndimage.gaussian_filter(known.astype(np.float32), 0.7, mode="nearest")
    total = ndimage.gaussian_filter(np.where(known, coarse, 0).astype(np.float32), 0.7, mode="nearest")
    spread = np.where(weight > 1e-3, total / np.maximum(weight, 1e-6), np.float32(np.median(coarse[known])))
    place = [(np.arange(size) + 0.5) / step - 0.5 for size, step in zip(values.shape, steps, strict=True)]
    result = spread.astype(np.float32)
    for axis, where in enumerate(place):
        low = np.clip(np.floor(where).astype(int), 0, result.shape[axis] - 1)
        high = np.minimum(low + 1, result.shape[axis] - 1)
        part = np.clip(where - low, 0, 1).reshape([-1 if a == axis else 1 for a in range(3)]).astype(np.float32)
        result = np.take(result, low, axis=axis) * (1 - part) + np.take(result, high, axis=axis) * part
    return result.astype(np.float32)


def _row_of_blocks(
    values: NDArray[np.float32],
    valid: NDArray[np.bool_],
    steps: tuple[int, ...],
    counts: list[int],
    percentile: float,
    least: int,
) -> NDArray[np.float32]:
    """Percentile in each block of a slab one block thick, (y, x); NaN where fewer than ``least`` values are valid."""
    padding = [
        (0, count * step - size) for size, step, count in zip(values.shape, steps, (1, *counts[1:]), strict=True)
    ]
    padded = np.pad(np.where(valid, values, np.nan), padding, constant_values=np.nan)
    blocks = padded.reshape(steps[0], counts[1], steps[1], counts[2], steps[2]).transpose(1, 3, 0, 2, 4)
    blocks = blocks.reshape(counts[1] * counts[2], -1)
    found = np.full(len(blocks), np.nan, np.float32)
    enough = np.isfinite(blocks).sum(axis=1) >= least
    # NaN sorts last: the percentile's place follows from the count of the others. Far faster than nanpercentile.
    ordered = np.sort(blocks[enough], axis=1)
    last = np.isfinite(ordered).sum(axis=1) - 1
    rank = np.round(last * percentile / 100.0).astype(int)
    found[enough] = ordered[np.arange(len(ordered)), rank]
    return found.reshape(counts[1], counts[2])
