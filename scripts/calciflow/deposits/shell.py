"""Scars of injections: round shells of calcium in the fat of a buttock, by their form and place."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from calciflow.deposits.ct import Deposit
from calciflow.images import Volume
from calciflow.labels import TISSUES, region_of
from calciflow.measure.boxes import Box, Spacing, box_of, grow, inside
from calciflow.measure.density import Density

FLAG = "injection scar?"

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

PIECES_MM = 8.0
"""Gap between pieces of one rim that is too thin in places to be found there."""

FAT_MM = 4.0
FAT_SHARE = 0.5
"""Share of fat among what lies within ``FAT_MM`` of the shell."""

BONE_MM = 20.0
"""Height of the slab whose bones tell back from front: the hip bones slope, and a slice may cut one only."""


def with_scars(
    deposits: Sequence[Deposit], ct: Volume, tissues: NDArray[np.uint8], regions: NDArray[np.uint8]
) -> list[Deposit]:
    """The deposits, with those flagged ``injection scar?`` that are round hollow shells in the fat of a buttock.

    Injections are given many times, and in both buttocks: where one such shell lies, what is no wider in the same fat
    carries the flag, too. The pieces of a shell that is thin in places become one deposit, which stands where the first
    of them stood.
    """
    there = [i for i, one in enumerate(deposits) if in_buttock(one, tissues, regions, ct)]
    groups = injection_scars(deposits, there, ct)
    first = {group[0]: group for group in groups}
    rest = {i for group in groups for i in group[1:]}
    company = {i for i in there if groups and _widest(deposits[i], ct.spacing) <= WIDTH_MM[1]}
    result = []
    for i, deposit in enumerate(deposits):
        if i in rest:
            continue
        kept = deposit if i not in first else joined([deposits[k] for k in first[i]])
        if i in first or i in company:
            kept.flags.append(FLAG)
        result.append(kept)
    return result


def joined(pieces: Sequence[Deposit]) -> Deposit:
    """One deposit of several, none of whose voxels belongs to two: volumes and masses add up."""
    if len(pieces) == 1:
        return pieces[0]
    box: Box = tuple(  # type: ignore[assignment]
        slice(min(one.box[k].start for one in pieces), max(one.box[k].stop for one in pieces)) for k in range(3)
    )
    mask, territory = np.zeros((2, *(part.stop - part.start for part in box)), bool)
    for one in pieces:
        mask[inside(one.box, box)] |= one.mask
        territory[inside(one.box, box)] |= one.territory
    counts = np.array([one.mask.sum() for one in pieces], float)
    densities = [one.density for one in pieces]

    def mean(name: str) -> float:
        return float(np.average([getattr(one, name) for one in densities], weights=counts))

    square = np.average([one.hu_sd**2 + one.hu_mean**2 for one in densities], weights=counts)
    highest = max(pieces, key=lambda one: one.density.hu_max)
    return Deposit(
        box=box,
        mask=mask,
        territory=territory,
        density=Density(
            volume_ml=sum(one.volume_ml for one in densities),
            mass_hu_ml=sum(one.mass_hu_ml for one in densities),
            hu_max=highest.density.hu_max,
            hu_mean=mean("hu_mean"),
            hu_sd=float(np.sqrt(max(square - mean("hu_mean") ** 2, 0.0))),
            plateau_hu=mean("plateau_hu"),
            background_hu=mean("background_hu"),
        ),
        agatston=None if pieces[0].agatston is None else sum(one.agatston or 0.0 for one in pieces),
        peak=highest.peak,
        significance=max(one.significance for one in pieces),
        flags=sorted({flag for one in pieces for flag in one.flags}),
    )


def _widest(deposit: Deposit, spacing: Spacing) -> float:
    """Longest side in mm of a deposit's box."""
    box = box_of(deposit.mask)
    assert box is not None
    return max((part.stop - part.start) * size for part, size in zip(box, spacing, strict=True))


def injection_scars(deposits: Sequence[Deposit], there: Sequence[int], ct: Volume) -> list[list[int]]:
    """Indices of the deposits that make up each round hollow shell, the lowest first; ``there``: those in a buttock."""
    result = []
    for group in _near_each_other([ct.world(deposits[i].voxels) for i in there]):
        members = sorted(there[k] for k in group)

        def whole(part: list[int]) -> bool:
            voxels = np.concatenate([deposits[i].voxels for i in part])
            background = float(np.mean([deposits[i].density.background_hu for i in part]))
            return is_shell(voxels, background, ct.array, ct.spacing)

        result += [members] if whole(members) else [[i] for i in members if len(members) > 1 and whole([i])]
    return result


def _near_each_other(clouds: list[NDArray[np.float64]]) -> list[list[int]]:
    """Groups of point clouds (n, 3; mm) that gaps of at most ``PIECES_MM`` part from the next."""
    trees = [cKDTree(cloud) for cloud in clouds]
    groups: list[list[int]] = []
    for i, cloud in enumerate(clouds):
        joined = [g for g in groups if any(trees[k].query(cloud)[0].min() <= PIECES_MM for k in g)]
        groups = [g for g in groups if g not in joined] + [[*(k for g in joined for k in g), i]]
    return groups


def is_shell(voxels: NDArray[np.int64], background_hu: float, hu: NDArray[np.int16], spacing: Spacing) -> bool:
    """Whether voxels (n, 3; z, y, x) of the CT ``hu`` make up a round, closed and hollow shell of ``WIDTH_MM``."""
    low, high = voxels.min(axis=0), voxels.max(axis=0)
    size = high - low + 1
    sides = size * np.array(spacing)
    # What is round looks longer along the body by up to a slice.
    shortest, longest = float(sides.min()), float(max(*sides[1:], sides[0] - spacing[0]))
    width = float(np.mean(sides[1:]))
    if not WIDTH_MM[0] <= width <= WIDTH_MM[1] or longest > ROUND * shortest:
        return False
    margin = np.ceil(0.5 * float(sides.max()) / np.array(spacing)).astype(int) + 2
    start = np.maximum(low - margin, 0)
    crop = hu[tuple(slice(a, b) for a, b in zip(start, high + margin + 1, strict=True))]
    contrast = crop.astype(np.float32) - np.float32(background_hu)
    middle = (low + high) / 2.0 - start
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
