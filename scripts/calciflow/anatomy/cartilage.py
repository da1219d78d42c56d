"""Discs between vertebrae and the spinal canal: neither muscle nor bone."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calciflow.anatomy.grid import Grid, Mask, bounding_box, filled_flat, opened

DISC_MM = 18.0
"""Height of the tallest disc (14 mm, at L4/L5) and of the blur of its end plates."""

BODY_MM = 9.0
"""Half the depth of a small thoracic body (T4, 20 mm): what a circle of that radius does not fit into lies between
processes, where muscles and ligaments are. Cervical discs are smaller, and stay muscle."""

SPINE_MM = 50.0
"""Vertebral bodies lie within this distance of the midline, also in a bent spine."""

CANAL_CM2 = 8.0
"""The widest canal has 4 cm2; with the foramina beside it, twice that."""


def between_vertebrae(bone: Mask, aside: NDArray[np.float32], grid: Grid) -> Mask:
    """Find discs and the spinal canal.

    A disc lies between two bodies, above and below: bone's section goes on through the gap. The canal is what bone, or
    the gaps between arches, enclose there.

    Parameters
    ----------
    bone
        The trunk's bone, filled, on ``grid``.
    aside
        Distance from the midline in mm, shape to broadcast.
    grid
        The coarse grid.
    """
    out = np.zeros_like(bone)
    spine = bone & (aside < SPINE_MM)
    if not spine.any():
        return out
    box = bounding_box(spine)
    part = spine[box]
    reach = max(1, int(np.ceil(DISC_MM / grid.spacing[0])))
    column = ndimage.binary_closing(part, np.ones((reach + 1, 1, 1), bool)) | part
    bodies = opened(column, BODY_MM, grid.spacing, flat=True)
    canal = filled_flat(column) & ~column
    area = canal.sum((1, 2)) * grid.spacing[1] * grid.spacing[2] / 100.0
    canal[area > CANAL_CM2] = False
    out[box] = (bodies | canal) & ~part
    return out
