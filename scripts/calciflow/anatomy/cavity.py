"""The contents of thorax, abdomen and pelvis: what a viewer on the body's axis sees before bone or wall.

Organs and the wall's muscle have the same HU and often touch. What separates them is geometry: ribs, spine and hip
bones lie in the wall, and between them the wall is as thick as where fat or gas inside shows its inner face.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calciflow.anatomy.axis import AXIS_MM, axis_of, floor_rows
from calciflow.anatomy.grid import Grid, Mask, dilate, opened
from calciflow.anatomy.view import blocking, borders, in_chest, look, polar

BACK_MM = 42.0
"""Nothing behind this distance from the spine's front is inside: vertebral body plus canal."""

BACK_WIDTH_MM, BACK_SLOPE = 50.0, 0.8
"""Beside the muscles of the back the cavity reaches farther back."""

HIGH_PSOAS_MM, LOW_PSOAS_MM, LOW_MM = (35.0, 5.0), (62.0, 0.0), 20.0
"""The psoas muscles: what is no fat, lies so near the midline and farther behind the spine's front is muscle. In
``ct_reference`` (T12 to L2) the psoas lies 20 to 40 mm from the midline, up to 50 mm behind the front, and all organs
lie farther aside than the first value, or in front. The second pair holds in the pelvis and up to 20 mm above it, below
the kidneys, where the muscles are thickest and the colon lies at their side."""


def find_cavity(
    hu: NDArray[np.float32],
    compartment: Mask,
    lungs: Mask,
    air: Mask,
    bone: Mask,
    trunk: Mask,
    pelvis: NDArray[np.bool_],
    middle: int,
    grid: Grid,
) -> Mask:
    """Find the contents of the trunk's cavities, lungs and gas included.

    Parameters
    ----------
    hu
        Mean HU of the blocks.
    compartment
        What lies inside the subcutaneous fat.
    lungs, air, bone
        Lungs, all air in the body, and the skeleton (without arms).
    trunk
        Chest, abdomen and the part of the pelvis that has a cavity.
    pelvis
        Slices at the level of the pelvis.
    middle
        Column of the midline.
    grid
        The coarse grid.
    """
    out = np.zeros_like(trunk)
    inside = compartment & trunk
    slices = np.flatnonzero(inside.any((1, 2)))
    if len(slices) == 0:
        return out
    part = slice(int(slices[0]), int(slices[-1]) + 1)
    step = grid.spacing
    hull, pelvis = inside[part], pelvis[part]
    front, axis = axis_of(bone[part], hull, pelvis, middle, grid)
    floor = floor_rows(bone[part], pelvis, middle, step)
    chest = in_chest(lungs[part], step)
    up = max(1, round(LOW_MM / step[0]))
    low = ndimage.binary_dilation(pelvis, iterations=up)
    proof = (air | opened((hu < -50) & compartment, 3.0, step))[part]
    blocked = blocking(bone[part], step)
    border = borders(look(hull, proof, blocked, bone[part], axis, pelvis, middle, step), pelvis, step)

    grid_y, grid_x = np.meshgrid(*(np.arange(size, dtype=float) for size in trunk.shape[1:]), indexing="ij")
    for z in range(len(hull)):
        dy, dx = (grid_y - axis[z]) * step[1], (grid_x - middle) * step[2]
        distance, ray = polar(grid_y, grid_x, axis[z], middle, step)
        view = (distance < border[z][ray]) & (grid_y > floor[z])
        if np.isfinite(front[z]):
            beside = (np.abs(dx) - BACK_WIDTH_MM).clip(0.0, 60.0) * BACK_SLOPE
            view &= dy > -(AXIS_MM + BACK_MM + beside)
            if not chest[z]:
                half, behind = LOW_PSOAS_MM if low[z] else HIGH_PSOAS_MM
                view &= proof[z] | (dy > -(AXIS_MM + behind)) | (np.abs(dx) > half)
        out[part.start + z] = view & hull[z]
    out = opened(out, 4.0, step, flat=True)
    return (out | (lungs & trunk) | (air & inside & dilate(out, 8.0, step))) & ~bone
