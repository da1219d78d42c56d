"""A box of the CT around a deposit, with what is known of its voxels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calciflow.measure.boxes import Spacing, dilate_voxels


@dataclass(frozen=True)
class CtCrop:
    """A box of the CT.

    Attributes
    ----------
    hu
        HU, (z, y, x); the maps have the same shape.
    labels
        Tissues, 0 outside the body.
    skeleton
        Bone.
    rim
        Bone and what it brightens.
    steady
        Slices without metal, (z,): elsewhere streaks brighten tissue as well as deposits do.
    spacing
        Voxel size in mm, (z, y, x).
    blur_mm
        Blur of the CT along the axes, standard deviations.
    """

    hu: NDArray[np.int16]
    labels: NDArray[np.uint8]
    skeleton: NDArray[np.bool_]
    rim: NDArray[np.bool_]
    steady: NDArray[np.bool_]
    spacing: Spacing
    blur_mm: tuple[float, float, float]


def rim_of(skeleton: NDArray[np.bool_], spacing: Spacing) -> NDArray[np.bool_]:
    """Bone and the voxels of partial volume around it: one, or 1 mm where voxels are smaller."""
    down, back, across = (max(1, round(1.0 / step)) for step in spacing)
    return dilate_voxels(skeleton, (down, back, across))
