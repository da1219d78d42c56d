"""The muscle layer of the trunk where it has gaps, and bone that is none of its wall."""

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calciflow.anatomy.axis import axis_of
from calciflow.anatomy.entering import SPINE_HALF_MM
from calciflow.anatomy.grid import Grid, Mask, dilate
from calciflow.anatomy.view import RAYS, in_chest, polar

BESIDE_LUNG_MM = 15.0
"""Pleura and a rib."""

FREE_ML = 15.0
"""Largest piece that is no bone: pieces of bowel with contrast agent that were taken for bone have up to 12 ml."""

GAP_DEG, DIP_MM = 40.0, 12.0
"""Widest gap of the muscle layer that is shut: the white line of a lax belly, 5 to 8 cm wide. An oval trunk itself
falls back by 4 mm over that."""


def rib_layer(thorax: Mask, grid: Grid, flat: bool = False) -> Mask:
    """Find the layer of the ribs: pleura, ribs and the muscles between them, however deep under the shoulders.

    ``flat``: around the lungs and what is between them in each slice; else over their tips as well.
    """
    return dilate(thorax, BESIDE_LUNG_MM, grid.spacing, flat=flat) & ~thorax


def wall_bone(
    bone: Mask, unsure: Mask, outer: Mask, belly: NDArray[np.bool_], aside: NDArray[np.float32], grid: Grid
) -> Mask:
    """Bone without pieces that hang free inside the belly: stones, and the edge of contrast agent in bowel.

    Above the belly all stays: under the shoulders ribs lie as deep.

    Parameters
    ----------
    bone, unsure
        The skeleton, and what may be ribs; and what may be no bone, and lies apart from it (the coccyx is bone's
        neighbour).
    outer
        What is near the outer face of the compartment.
    belly
        Slices at the level of abdomen and pelvis.
    aside
        Distance from the midline in mm, shape to broadcast.
    grid
        The coarse grid.
    """
    held = outer | ~belly[:, None, None]
    bone = bone & (held | ~unsure)
    labels, count = cc3d.connected_components(bone, connectivity=26, return_N=True)
    size = np.bincount(labels.ravel(), minlength=count + 1) * grid.block_ml
    keep = size > FREE_ML
    keep[np.unique(labels[bone & (held | (aside < SPINE_HALF_MM))])] = True
    return bone & keep[labels]


def shut_belly(
    compartment: Mask, lungs: Mask, bone: Mask, trunk: Mask, pelvis: NDArray[np.bool_], middle: int, grid: Grid
) -> Mask:
    """Shut gaps in the muscle layer of the belly, through which the cavity's fat was taken for the subcutaneous one.

    All that the layer goes round is inside. Its outer face is smooth: where it falls back by more than ``DIP_MM`` over
    less than ``GAP_DEG``, a gap is. What holds no bone, as a gland, is no part of the layer.

    Parameters
    ----------
    compartment
        What was found inside the subcutaneous fat.
    lungs, bone, trunk, pelvis, middle, grid
        As of ``find_cavity``.

    Returns
    -------
    ndarray
        The compartment with what was missing in slices without lungs.
    """
    inside = compartment & trunk
    slices = np.flatnonzero(inside.any((1, 2)))
    if len(slices) == 0:
        return compartment
    part, step = slice(int(slices[0]), int(slices[-1]) + 1), grid.spacing
    _, axis = axis_of(bone[part], inside[part], pelvis[part], middle, grid)
    labels, count = cc3d.connected_components(inside[part], connectivity=6, return_N=True)
    held = np.zeros(count + 1, bool)
    held[np.unique(labels[inside[part] & bone[part]])] = True
    layer = held[labels] & inside[part]
    y, x = np.meshgrid(*(np.arange(size, dtype=float) for size in inside.shape[1:]), indexing="ij")
    face = np.zeros((len(layer), RAYS))
    for z in range(len(layer)):
        distance, ray = polar(y, x, axis[z], middle, step)
        np.maximum.at(face[z], ray[layer[z]], distance[layer[z]])
    width = round(GAP_DEG / 360.0 * RAYS) | 1
    sides = np.pad(face, ((0, 0), (width, width)), mode="wrap")
    shut = ndimage.grey_closing(ndimage.median_filter(sides, (3, 5), mode="nearest"), (1, width))[:, width:-width]
    face = np.where(shut - face > DIP_MM, shut, face)
    out = compartment.copy()
    for z in np.flatnonzero(~in_chest(lungs[part], step)).tolist():
        distance, ray = polar(y, x, axis[z], middle, step)
        out[part.start + z] |= trunk[part.start + z] & (distance < face[z][ray])
    return out
