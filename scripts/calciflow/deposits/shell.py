"""Scars of injections: round shells of calcium in the fat of a buttock, by their form and place."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calciflow.deposits.ct import Deposit
from calciflow.images import Volume
from calciflow.labels import TISSUES, region_of
from calciflow.measure.boxes import Spacing, box_of, grow

WIDTH_MM = (5.0, 25.0)
"""Injection granulomas are round and up to some 2 cm wide; below 5 mm blur fills what is hollow."""

ROUND = 1.5
"""Longest over shortest side, a slice's thickness allowed for."""

RAYS = 96
RIM_SHARE = 0.7
"""Share of all directions in which the rim must reach half its height: the shell is closed but for gaps."""

HOLLOW = 0.6
"""The middle's contrast over the rim's, at most. A solid deposit is highest in its middle, where blur takes least;
the rim, read as the highest value on each ray, gains some 2 standard deviations of noise: 0.85 of it is left then."""

CORE = 0.3
"""The middle: that share of the radius."""

FAT_MM = 4.0
FAT_SHARE = 0.5
"""Share of fat among what lies within ``FAT_MM`` of the shell."""

BONE_MM = 20.0
"""Height of the slab whose bones tell back from front: the hip bones slope, and a slice may cut one only."""


def is_shell(deposit: Deposit, hu: NDArray[np.int16], spacing: Spacing) -> bool:
    """Whether a deposit is a round, closed and hollow shell of ``WIDTH_MM``.

    Parameters
    ----------
    deposit
        A deposit of the CT.
    hu
        The CT's array.
    """
    tight = box_of(deposit.mask)
    if tight is None:
        return False
    size = np.array([part.stop - part.start for part in tight])
    sides = size * np.array(spacing)
    # What is round looks longer along the body by up to a slice.
    shortest, longest = float(sides.min()), float(max(*sides[1:], sides[0] - spacing[0]))
    width = float(np.mean(sides[1:]))
    if not WIDTH_MM[0] <= width <= WIDTH_MM[1] or longest > ROUND * shortest:
        return False
    middle = np.array([(part.start + part.stop - 1) / 2 for part in tight])
    contrast = hu[deposit.box].astype(np.float32) - np.float32(deposit.density.background_hu)
    steps = np.arange(0.0, 0.5 * float(sides.max()) + 1.0, 0.5)
    places = middle[:, None, None] + _directions().T[:, :, None] * steps / np.array(spacing)[:, None, None]
    rays = ndimage.map_coordinates(contrast, places, order=1, mode="nearest")
    peaks = rays.max(axis=1)
    rim = float(np.median(peaks))
    core = float(rays[:, steps <= CORE * width / 2.0].mean())
    return bool(core <= HOLLOW * rim and (peaks >= 0.5 * rim).mean() >= RIM_SHARE)


def in_buttock(deposit: Deposit, tissues: NDArray[np.uint8], regions: NDArray[np.uint8], ct: Volume) -> bool:
    """Whether a deposit lies in the pelvis' subcutaneous fat, behind the middle of its bones: where is injected."""
    voxels = deposit.voxels
    labels = regions[tuple(voxels.T)]
    labels = labels[labels > 0]
    if not len(labels) or region_of(int(np.bincount(labels).argmax()))[0] != "pelvis":
        return False
    tight = box_of(deposit.mask)
    assert tight is not None
    near = grow(tight, FAT_MM, ct.spacing, deposit.mask.shape)
    around = tissues[deposit.box][near][~deposit.mask[near]]
    if not len(around) or (around == TISSUES["subcutaneous_fat"]).mean() < FAT_SHARE:
        return False
    reach = max(1, round(BONE_MM / 2.0 / ct.spacing[0]))
    z, y, _ = voxels.mean(axis=0)
    slab = slice(max(0, round(z) - reach), round(z) + reach + 1)
    rows = np.flatnonzero((tissues[slab] == TISSUES["bone"]).any(axis=(0, 2)))
    # Rows grow to the front.
    return bool(len(rows) and y < rows.mean())


def _directions() -> NDArray[np.float64]:
    """Unit vectors spread evenly over the sphere (``RAYS``, 3): a Fibonacci lattice."""
    turn = np.arange(RAYS) + 0.5
    z = 1.0 - 2.0 * turn / RAYS
    angle = np.pi * (1.0 + np.sqrt(5.0)) * turn
    wide = np.sqrt(1.0 - z**2)
    return np.column_stack([z, wide * np.sin(angle), wide * np.cos(angle)])
