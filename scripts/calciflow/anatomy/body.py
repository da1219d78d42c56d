"""The body's outline: without table, blanket and tubes, with the air inside it."""

from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray

from calciflow.anatomy.grid import Grid, Mask, closed, dilate, distance, erode, expand

SKIN_EDGE_HU = -500.0
"""Half way between air (-1000) and water-like tissue (0): the edge that partial volume leaves in place."""

TABLE_RADIUS_MM = 4.5
"""A ball of this radius does not fit into a table's shell, a blanket or a tube, but fits into a finger (12 mm)."""

SHEET_MM = 9.0
"""Half the thickness of what is long and nowhere thicker: a table's shell. A palm is 25 mm thick."""

NOSTRIL_RADIUS_MM = 8.0
"""Passages narrower than twice this are shut when air outside is told from air inside."""

SMALLEST_PIECE_ML = 3.0
"""A separate piece of body smaller than a fingertip is none."""

SMALLEST_LUNG_ML = 150.0
"""Air space behind a narrow passage that is a lung, not a gap between two limbs."""

FLESH_HU, BONE_HU = (-150.0, 300.0), 1500.0
"""Flesh lies between fat and muscle; what is denser, up to cortex, may be bone if there is flesh about it."""

FLESH_SHARE, LEAST_FLESH = 0.65, 0.4
"""Shares of a piece of body that are flesh or bone, and flesh alone. Of a hand's blocks a quarter are bone and a
tenth the skin's edge. A mattress, a tube and a head rest have less flesh; so has metal."""

LUNG_HU = -960.0
"""Mean of an air space: below it is free air, above it lung (-900..-500) or tissue."""


@dataclass(frozen=True)
class Outline:
    """The body on the coarse grid.

    Attributes
    ----------
    body
        Everything inside the skin, air inside included.
    air
        Air inside the body (lung, airway, bowel gas), mean HU below ``SKIN_EDGE_HU``.
    """

    body: Mask
    air: Mask


def _flesh(solid: Mask, hu: NDArray[np.float32], grid: Grid) -> Mask:
    """Choose the pieces that are parts of a body: of flesh, large enough, and no wide thin sheets like a table."""
    labels, count = cc3d.connected_components(solid, connectivity=6, return_N=True)
    if count == 0:
        return np.zeros_like(solid)
    flat = labels.ravel()
    size = np.bincount(flat, minlength=count + 1).astype(float)
    flesh = np.bincount(flat, weights=((hu > FLESH_HU[0]) & (hu < FLESH_HU[1])).ravel(), minlength=count + 1)
    bone = np.bincount(flat, weights=((hu >= FLESH_HU[1]) & (hu < BONE_HU)).ravel(), minlength=count + 1)
    deepest = np.zeros(count + 1)
    np.maximum.at(deepest, flat, distance(solid, grid.spacing).ravel())
    boxes = cc3d.statistics(labels)["bounding_boxes"]
    # Where flesh fills the whole field of view, label 0 has no box.
    sides = [[(p.stop - p.start) * s for p, s in zip(box, grid.spacing, strict=True)] for box in boxes[1:]]
    extent = np.array([0.0, *(max(side) for side in sides)])
    keep = (size * grid.block_ml >= SMALLEST_PIECE_ML) & (flesh >= LEAST_FLESH * size)
    keep &= flesh + bone >= FLESH_SHARE * size
    keep &= ~((deepest < SHEET_MM) & (extent > 150.0))
    keep[0] = False
    return np.asarray(keep[labels])


def outline(hu: NDArray[np.float32], grid: Grid) -> Outline:
    """Find the body on the coarse grid.

    Parameters
    ----------
    hu
        Mean HU of the blocks, shape ``grid.shape``.
    grid
        The coarse grid.
    """
    step = grid.spacing
    solid = hu > SKIN_EDGE_HU
    core = erode(solid, TABLE_RADIUS_MM, step)
    core = _flesh(dilate(core, TABLE_RADIUS_MM, step) & solid, hu, grid)
    # What the opening took from the skin (corners, the web between fingers) comes back if it is next to it.
    tissue = solid & dilate(core, 1.5 * TABLE_RADIUS_MM, step)
    tissue |= solid & closed(core, TABLE_RADIUS_MM, step)
    air_outside = _outside(tissue, hu, grid)
    body = ~air_outside
    # Free air in the corners of a body that touches all borders is outside already; specks are not body.
    labels, count = cc3d.connected_components(body, connectivity=6, return_N=True)
    if count:
        sizes = np.bincount(labels.ravel(), minlength=count + 1) * grid.block_ml
        flesh = np.bincount(labels.ravel(), weights=tissue.ravel(), minlength=count + 1) * grid.block_ml
        keep = (sizes >= SMALLEST_PIECE_ML) & (flesh >= 0.2 * sizes)
        keep[0] = False
        body = np.asarray(keep[labels])
    return Outline(body, body & (hu < SKIN_EDGE_HU))


def _outside(tissue: Mask, hu: NDArray[np.float32], grid: Grid) -> Mask:
    """Tell the air around the body from the air in it.

    Outside is what is reached from the array's lateral, anterior and posterior faces. Nostrils, mouth and anus are
    shut first; a space behind such a narrow passage that is no lung (a cleft between the legs) is outside as well.
    """
    step = grid.spacing
    empty = ~tissue
    sealed = ~closed(tissue, NOSTRIL_RADIUS_MM, step)
    wide = _reached(sealed)
    if not wide.any():
        wide = _reached(empty)
    wide = dilate(wide, NOSTRIL_RADIUS_MM, step) & empty
    rest = _touching(empty, wide) & ~wide
    labels, count = cc3d.connected_components(rest, connectivity=6, return_N=True)
    if count == 0:
        return wide
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    means = np.bincount(labels.ravel(), weights=hu.ravel(), minlength=count + 1) / np.maximum(sizes, 1)
    lung = (sizes * grid.block_ml > SMALLEST_LUNG_ML) & (means > LUNG_HU)
    lung[0] = True
    return wide | ~lung[labels]


def _touching(space: Mask, seed: Mask) -> Mask:
    labels = cc3d.connected_components(space, connectivity=6)
    picked = np.zeros(int(labels.max()) + 1, bool)
    picked[np.unique(labels[seed & space])] = True
    picked[0] = False
    return np.asarray(picked[labels])


def _reached(space: Mask) -> Mask:
    """Parts of ``space`` that touch a lateral, anterior or posterior face with free air."""
    faces = np.zeros_like(space)
    faces[:, 0] = faces[:, -1] = True
    faces[:, :, 0] = faces[:, :, -1] = True
    return _touching(space, faces & space)


def refine(ct: NDArray[np.int16], body: Mask, grid: Grid) -> Mask:
    """Draw the outline at full resolution.

    Blocks well inside are body whatever they hold; at the edge each voxel is decided by ``SKIN_EDGE_HU``.
    """
    edge = max(grid.spacing)
    inner = erode(body, 1.01 * edge, grid.spacing)
    outer = dilate(body, 1.01 * edge, grid.spacing)
    fine = ct > SKIN_EDGE_HU
    fine &= expand(outer, grid)
    fine |= expand(inner, grid)
    return fine
