"""Deposits of the scalp that touch the skull: they stand out from the vault, which is smooth and evenly thick.

A scalp is 3 to 8 mm thick, so in slices of 3 to 5 mm no gap is left between a deposit in it and the bone. But the
outer table of the vault runs along the inner one: its thickness changes over centimetres, not over millimetres. The
face, the base and the nape, where bones have processes, are left alone.
"""

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from calciflow.anatomy.bone import DENSE_HU
from calciflow.anatomy.grid import Grid, Mask, bounding_box, widened

DIRECTIONS = 4000
"""Rays from the middle of the skull: 3.2 degrees apart, 5 mm at the vault."""

REACH_MM = 40.0
"""Farthest end of a ray beyond the cavity: vault (at most 15 mm), scalp, and a deposit in it."""

STEP_MM = 0.5

CONE_DEG = 30.0
"""Half the opening of the cone over which the vault's thickness is the median: 45 mm; deposits fill less than half."""

EVEN_MM = 3.0
"""Largest interquartile range of the thickness there; the base and the face, with sinuses and processes, exceed it."""

THICKEST_MM = 16.0
"""The vault is 4 to 10 mm thick; blur adds up to a slice."""

RISE_MM = 1.0
"""What stands out farther than this beyond half a block is not of the vault: the blur in the plane of most scanners."""

CAP, CAP_MM, CAP_FALLS = 0.8, 10.0, 0.95
"""Section of the cavity at the image's end over the widest one, at most, for the widest to be known: of a ball the
section falls to that at 0.45 of its radius, 30 mm, and by an eighth in the last 10 mm. Lower down, where cheekbones'
arches and brows lie, sections grow, or open orbits have left half of them."""

SMALLEST_ML = 0.05
"""Smaller specks are the steps of thick slices on a slope (up to 0.04 ml on a smooth ellipsoid, a test shows)."""


def _rays() -> NDArray[np.float64]:
    """Unit vectors (z, y, x) of the upper half, evenly spread (Fibonacci's lattice)."""
    index = np.arange(DIRECTIONS) + 0.5
    z = 1.0 - 2.0 * index / DIRECTIONS
    turn = np.pi * (1.0 + np.sqrt(5.0)) * index
    flat = np.sqrt(1.0 - z**2)
    every = np.stack([z, flat * np.sin(turn), flat * np.cos(turn)], 1)
    return every[z > 0]


def on_the_vault(hu: NDArray[np.float32], skull: Mask, grid: Grid) -> Mask:
    """Find dense blocks that stand out from the vault of the skull.

    Parameters
    ----------
    hu
        Mean HU of the blocks; the first axis runs upwards.
    skull
        The cranial cavity.
    grid
        For the block size.
    """
    out = np.zeros_like(skull)
    if not skull.any():
        return out
    step = np.array(grid.spacing)
    z, y, x = (int(np.ceil(REACH_MM / s)) for s in grid.spacing)
    box = widened(bounding_box(skull), hu.shape, (z, y, x))
    values, inside = hu[box], skull[box]
    middle = np.argwhere(inside).mean(0)
    if skull[-1].any():
        # The image cuts the vault: what is left has its middle too low, at the brows or in the face. The vault lies
        # above the widest section, if that is in view.
        area = ndimage.uniform_filter1d(inside.sum((1, 2)).astype(float), 3)
        middle[0] = max(middle[0], float(area.argmax()))
        end = int(np.flatnonzero(area)[-1])
        lower = max(0, end - max(1, round(CAP_MM / step[0])))
        if area[end] > CAP * area.max() or area[end] > CAP_FALLS * area[lower]:
            return out
    rays = _rays()
    length = float(np.linalg.norm((np.argwhere(inside) - middle) * step, axis=1).max()) + REACH_MM
    along = np.arange(0.0, length, STEP_MM)
    places = middle[:, None, None] + (rays[:, None, :] * along[None, :, None] / step).transpose(2, 0, 1)
    profile = ndimage.map_coordinates(values, places, order=1, mode="constant", cval=-1000.0)
    cavity = ndimage.map_coordinates(inside.view(np.uint8), places, order=0, mode="constant")
    first = len(along) - 1 - cavity[:, ::-1].argmax(1)
    # The wall begins where bone does, at most a few mm beyond the filled cavity, and ends with it.
    beyond = np.arange(len(along))[None] > first[:, None]
    starts = (beyond & (profile > DENSE_HU)).argmax(1)
    after = np.arange(len(along))[None] > starts[:, None]
    run = (after & (profile <= DENSE_HU)).argmax(1)
    # Its edges are where it reaches half of its height: there blur leaves them.
    within = after & (np.arange(len(along))[None] < run[:, None])
    half = 0.5 * np.where(within, profile, 0.0).max(1)
    outer = len(along) - 1 - (within & (profile > half[:, None]))[:, ::-1].argmax(1)
    inner, thickness = along[starts], along[outer] - along[starts]
    seen = (starts > 0) & (starts - first < 5.0 / STEP_MM) & (run > 0) & within.any(1)
    if not seen.any():
        return out
    rays, inner, thickness = rays[seen], inner[seen], thickness[seen]
    tree = cKDTree(rays)
    usual, even = np.zeros(len(rays)), np.zeros(len(rays), bool)
    for number, near in enumerate(tree.query_ball_point(rays, 2.0 * np.sin(np.radians(CONE_DEG) / 2.0))):
        low, usual[number], high = np.percentile(thickness[near], (25, 50, 75))
        even[number] = high - low < EVEN_MM and usual[number] < THICKEST_MM
    points = np.argwhere((values > DENSE_HU) & ~inside)
    away = (points - middle) * step
    radius = np.linalg.norm(away, axis=1)
    unit = away / np.maximum(radius, 1e-6)[:, None]
    gap, nearest = tree.query(unit)
    blur = 0.5 * (np.abs(unit) * step).sum(1)
    limit = inner[nearest] + usual[nearest] + RISE_MM + blur
    bump = even[nearest] & (gap < np.radians(5.0)) & (unit[:, 0] > 0) & (radius > limit)
    bump &= radius < inner[nearest] + REACH_MM
    found = np.zeros_like(inside)
    found[tuple(points[bump].T)] = True
    labels = cc3d.connected_components(found, connectivity=6)
    sizes = np.bincount(labels.ravel())
    keep = sizes * grid.block_ml >= SMALLEST_ML
    keep[0] = False
    out[box] = keep[labels]
    return out
