"""The maps at full resolution: what is coarse inside is drawn again at its edges."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calciflow.anatomy.grid import Grid, Mask, dilate, expand

SOFT_HU = 50.0
"""Muscle."""

SKIN_MM = 2.0
"""Mean thickness of skin at four sites, 1.55 mm (thigh) to 2.54 mm (back) (Laurent et al. 2007, doi
10.1016/j.vaccine.2007.05.046)."""

EDGE_HU = (110.0, 400.0)
"""Lowest and highest HU of a bone's surface."""


def rim(compartment: Mask, grid: Grid) -> Mask:
    """Blocks on both sides of the muscle compartment's surface, where finer blocks decide by HU."""
    return ndimage.binary_dilation(compartment) & ~ndimage.binary_erosion(compartment, border_value=1)


def spread(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fill two blocks outwards, so that every voxel of the finely drawn outline has a label."""
    out = labels.copy()
    for _ in range(2):
        grown = out.copy()
        for axis in range(3):
            low = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
            high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
            for target, source in ((low, high), (high, low)):
                empty = grown[target] == 0
                grown[target][empty] = out[source][empty]
        out = grown
    return out


def skin_shell(body: Mask, spacing: tuple[float, float, float]) -> Mask:
    """Voxels whose centre lies within ``SKIN_MM`` of the surface, at least one in a slice; the image's border is none.

    The surface runs half a voxel outside the outermost centre. Along z a slice of 5 mm would be more fat than skin:
    there the skin's share is left to the tissue below, unless the slice's middle is skin.
    """
    step = min(spacing[1:])
    skin = dilate(~body, max(SKIN_MM + 0.5 * step, max(spacing[1:])), spacing)
    if 0.5 * spacing[0] <= SKIN_MM:
        skin[1:] |= ~body[:-1]
        skin[:-1] |= ~body[1:]
    return body & skin


def bone_edge(ct: NDArray[np.int16], hu: NDArray[np.float32], bone: Mask, leftover: Mask, grid: Grid) -> Mask:
    """Draw bone at full resolution: its surface lies half way between its HU right inside and soft tissue's.

    The edge of a blurred step lies at half its height, whatever the blur; cortex of 1000 HU seems 1 mm too thick at a
    fixed 150 HU (Prevrhal 1999, Phys Med Biol 44:751).
    """
    size = [3 if step < 4.0 else 1 for step in grid.spacing]
    peak = ndimage.maximum_filter(np.where(bone, hu, -1000.0), size=size)
    half = np.clip((peak + SOFT_HU) / 2.0, *EDGE_HU).astype(np.int16)
    if max(grid.factors) == 1 and min(grid.spacing[1:]) > 2.5:
        return bone  # voxels as wide as cortex: none is more than half of it
    inner = ndimage.binary_erosion(bone, border_value=1)
    outer = ndimage.binary_dilation(bone) & ~leftover
    fine = expand(inner, grid)
    # Between the two lie few blocks: each of their voxels is asked by itself.
    rim = np.nonzero(outer & ~inner)
    least = half[rim]
    for offset in np.ndindex(grid.factors):
        places = [at * factor + step for at, factor, step in zip(rim, grid.factors, offset, strict=True)]
        there = np.logical_and.reduce([at < size for at, size in zip(places, ct.shape, strict=True)])
        z, y, x = (at[there] for at in places)
        fine[z, y, x] = ct[z, y, x] > least[there]
    return fine
