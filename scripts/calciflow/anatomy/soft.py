"""Soft tissue on the coarse grid: muscle compartment, subcutaneous fat, lung, and the body's cavities."""

import cc3d
import numpy as np
from numpy.typing import NDArray

from calciflow.anatomy.grid import Grid, Mask, closed, dilate, distance, erode, opened, sections

FAT_EDGE_HU = -30.0
"""Half way between fat (-100) and muscle (50)."""

THICK_SKIN_MM = 2.5
"""Thickest skin; lean blocks beneath it are muscle or septa."""

SEPTUM_MM = 3.0
"""Veins and septa of subcutaneous fat are thinner than twice this."""

AIRY_HU = -250.0
"""Below it a block holds gas: no fat."""

LEAK_MM = 6.5
"""Half the width of a gap in the muscle layer that fat is not followed through."""

SHALLOW = 0.06
"""Share of a piece of fat that lies right under the skin, above which it is subcutaneous."""

BELLY_GAP_MM = 12.0
"""Fat and fascia between muscle bellies are narrower than twice this."""

LUNG_RANGE_HU = (-970.0, -500.0)

THORAX_MM = 40.0
"""Half the width of a mediastinum that is closed between the lungs."""


def find_lungs(hu: NDArray[np.float32], air: Mask, grid: Grid) -> Mask:
    """Choose the large air spaces in the body whose blocks are mostly parenchyma, not free air."""
    labels, count = cc3d.connected_components(air, connectivity=6, return_N=True)
    if count == 0:
        return np.zeros_like(air)
    size = np.bincount(labels.ravel(), minlength=count + 1).astype(float)
    spongy = np.bincount(
        labels.ravel(), weights=((hu > LUNG_RANGE_HU[0]) & (hu < LUNG_RANGE_HU[1])).ravel(), minlength=count + 1
    )
    keep = (size * grid.block_ml > 60.0) & (spongy > 0.6 * size)
    keep[0] = False
    return np.asarray(keep[labels])


def thorax_of(lungs: Mask, grid: Grid) -> Mask:
    """Lungs with what lies between them in each slice."""
    return closed(lungs, THORAX_MM, grid.spacing, flat=True)


def muscle_compartment(hu: NDArray[np.float32], body: Mask, bone: Mask, dense: Mask, grid: Grid) -> Mask:
    """Find what lies inside the subcutaneous fat: muscles with fat and fascia between them, bone, cavities.

    Parameters
    ----------
    hu
        Mean HU of the blocks.
    body
        The body, air inside included.
    bone
        The skeleton.
    dense
        Dense blocks that are not skeleton: they take part only as what lies around them.
    grid
        The coarse grid.
    """
    step = grid.spacing
    depth = distance(body, step)
    lean = (body & (hu > FAT_EDGE_HU) & (depth > THICK_SKIN_MM + 0.75 * max(step[1:])) & ~dense) | bone
    core = opened(lean, SEPTUM_MM, step) | bone
    labels, count = cc3d.connected_components(core, connectivity=6, return_N=True)
    if count:
        size = np.bincount(labels.ravel(), minlength=count + 1) * grid.block_ml
        has_bone = np.bincount(labels.ravel(), weights=bone.ravel(), minlength=count + 1) > 0
        keep = (size > 15.0) | has_bone
        keep[0] = False
        core = np.asarray(keep[labels])
    inside = closed(core, BELLY_GAP_MM, step, flat=True) & body
    # Fat that a ring of muscle encloses belongs to the compartment, however wide. Leaks through a thin wall are
    # shut by judging each slice alone, by fat that is wide enough, and by what reaches the skin.
    fat = body & ~inside
    wide = erode(fat & (hu > AIRY_HU), LEAK_MM, step, flat=True)
    labels = sections(wide)
    # Fat inside a thin wall comes near the skin as well, but only with a small part of it.
    pieces = np.bincount(labels[wide], minlength=int(labels.max()) + 1)
    shallow = wide & (depth <= LEAK_MM + 2.5 * max(step[1:]))
    outer = np.bincount(labels[shallow], minlength=len(pieces)) > SHALLOW * pieces
    outer[0] = False
    subcutaneous = dilate(np.asarray(outer[labels]), LEAK_MM + 0.5 * max(step[1:]), step, flat=True) & fat
    subcutaneous |= fat & (depth <= 2.0 * max(step[1:]))
    # Thin layers of fat that the erosion has lost still lie outside, next to the skin's side.
    rest = fat & ~subcutaneous
    labels = cc3d.connected_components(rest, connectivity=6)
    layers = np.bincount(labels[rest], minlength=int(labels.max()) + 1)
    flat_part = np.bincount(labels[rest & (depth <= LEAK_MM + 3.0 * max(step[1:]))], minlength=len(layers))
    thin = (layers * grid.block_ml < 30.0) & (flat_part > 0.5 * layers)
    beside = np.zeros(len(layers), bool)
    beside[np.unique(labels[dilate(subcutaneous, 1.1 * max(step[1:]), step, flat=True) & rest])] = True
    thin &= beside
    thin[0] = False
    subcutaneous |= thin[labels]
    return body & ~subcutaneous
