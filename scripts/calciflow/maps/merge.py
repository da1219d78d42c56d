"""Foreign maps over the built-in ones: tissues, then regions where a foreign map says more."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calciflow.anatomy.grid import Grid, blocks, expand
from calciflow.anatomy.joints import region_table
from calciflow.errors import ScanError
from calciflow.images import Volume
from calciflow.labels import REGION_LABELS, TISSUES, region_label
from calciflow.maps.reading import ForeignMap
from calciflow.maps.table import AREAS, DIGITS

HU_LIMITS = {"bone": (0.9, 150.0, np.inf), "lung": (0.5, -np.inf, -300.0), "subcutaneous_fat": (0.5, -160.0, -20.0)}
"""Quantile of the HU of what a map calls so, and its limits. A tenth of any bone is cortex or dense trabeculae, however
porous its marrow; fat lies at -190 to -30 HU, lung far below. Outside them the map is not of this CT."""

ENOUGH = 1000
"""Voxels that such a check, or that of the sides, needs."""

OUTSIDE = 0.2
"""A map with a larger share of its labels outside the body is of another scan, or lies at another place."""

DIGIT_REACH_MM = 30.0
"""Bones of hand or foot tell the regions of soft tissue up to that far away: half a foot's height."""


@dataclass(frozen=True)
class Merged:
    """What came out.

    Attributes
    ----------
    tissues, regions
        uint8, on the CT's grid.
    sources
        uint8: 0 built-in (or outside), else the number of the foreign map, from 1, whose tissue is taken.
    account
        What was taken from where, for the JSON.
    warnings
        Sentences for the reader.
    """

    tissues: NDArray[np.uint8]
    regions: NDArray[np.uint8]
    sources: NDArray[np.uint8]
    account: dict[str, Any]
    warnings: list[str]


def merge(
    ct: Volume, tissues: NDArray[np.uint8], regions: NDArray[np.uint8], maps: Sequence[ForeignMap], grid_mm: float
) -> Merged:
    """Put foreign maps over the built-in ones; where several speak, the first does.

    The body's outline and the skin stay the built-in ones: no program draws them finer. What no map labels stays
    built-in.

    Parameters
    ----------
    ct
        HU.
    tissues, regions
        The built-in maps.
    maps
        Foreign maps on the CT's grid, the first before the others.
    grid_mm
        Block size on which regions are corrected.

    Raises
    ------
    ScanError
        If a map is not of this CT.
    """
    for item in maps:
        _check(item, ct, tissues, regions)
    merged, sources = tissues.copy(), np.zeros(tissues.shape, np.uint8)
    told = []
    for number, item in enumerate(maps, 1):
        meaning = _meaning(item)
        seen, joint, outside = np.zeros(256, np.int64), np.zeros((8, 8), np.int64), 0
        # Slice by slice: an index array of a whole CT takes a gigabyte.
        for labels, builtin, target, source in zip(item.labels, tissues, merged, sources, strict=True):
            proposal = meaning[labels, builtin]
            take = (proposal > 0) & (builtin > 0) & (source == 0)
            target[take] = proposal[take]
            source[take] = number
            seen += np.bincount(labels.ravel(), minlength=256)
            joint += np.bincount(proposal.ravel() * 8 + builtin.ravel(), minlength=64).reshape(8, 8)
            outside += int(((proposal > 0) & (builtin == 0)).sum())
        told.append(
            {
                "map": item.kind,
                "resampled": item.resampled,
                "labels_present": int(np.count_nonzero(seen[1:])),
                "voxels_outside_body_ignored": outside,
                "dice_with_builtin": _agreement(joint),
                "masks_not_known": len(item.unread),
            }
        )
    corrected, notes = _regions(ct, tissues > 0, regions, maps, grid_mm)
    counts = np.zeros((8, 1 + len(maps)), np.int64)
    for target, source in zip(merged, sources, strict=True):
        counts += np.bincount(target.ravel() * (1 + len(maps)) + source.ravel(), minlength=counts.size).reshape(
            counts.shape
        )
    names = ["builtin", *(item.kind for item in maps)]
    account = {
        "maps": told,
        "tissue_voxels": {
            tissue: dict(zip(names, counts[label].tolist(), strict=True))
            for tissue, label in TISSUES.items()
            if counts[label].any()
        },
        "region_voxels_changed": int((corrected != regions).sum()),
    }
    return Merged(merged, corrected, sources, account, notes)


def _meaning(item: ForeignMap) -> NDArray[np.uint8]:
    """Tissue that a map proposes, by its label and the built-in tissue; 0 where it says nothing, or nothing finer."""
    table = np.zeros((256, 8), np.uint8)
    for number, label in item.table.items():
        if label.tissue is not None:
            table[number, :] = TISSUES[label.tissue]
            table[number, [TISSUES[kept] for kept in label.keeps]] = 0
    return table


def _agreement(joint: NDArray[np.int64]) -> dict[str, float]:
    """Dice with the built-in map of each tissue that a map has: low where the map draws only some of it."""
    out = {}
    for tissue, label in TISSUES.items():
        here, there = int(joint[label].sum()), int(joint[:, label].sum())
        if here:
            out[tissue] = round(2 * int(joint[label, label]) / (here + there), 3)
    return out


def _check(item: ForeignMap, ct: Volume, tissues: NDArray[np.uint8], regions: NDArray[np.uint8]) -> None:
    """Refuse a map that is of another CT, shifted, or mirrored."""
    place = f"tissues.labelmaps.{item.kind}"
    labelled = item.labels > 0
    total = int(labelled.sum())
    if not total:
        raise ScanError(f"{place}: the map is empty.")
    if int((labelled & (tissues == 0)).sum()) > OUTSIDE * total:
        raise ScanError(f"{place}: much of the map lies outside the body. It is of another scan, or was moved.")
    for tissue, (quantile, low, high) in HU_LIMITS.items():
        means = np.zeros(256, bool)
        means[[number for number, label in item.table.items() if label.tissue == tissue]] = True
        parts = [hu[means[labels]] for hu, labels in zip(ct.array, item.labels, strict=True)]
        values = np.concatenate(parts)
        if len(values) >= ENOUGH and not low <= float(np.quantile(values, quantile)) <= high:
            raise ScanError(
                f"{place}: what the map calls {tissue} is no {tissue} in this CT (quantile {quantile:g}: "
                f"{float(np.quantile(values, quantile)):.0f} HU). The map is of another scan, or its labels mean "
                "something else."
            )
    _check_sides(item, regions, place)


def _check_sides(item: ForeignMap, regions: NDArray[np.uint8], place: str) -> None:
    theirs, own = np.zeros(256, np.int8), np.zeros(256, np.int8)
    for number, label in item.table.items():
        theirs[number] = {"left": -1, "right": 1, None: 0}[label.side]
    for value, (_, side) in REGION_LABELS.items():
        own[value] = -1 if side == "left" else 1
    same = other = 0
    for labels, region in zip(item.labels, regions, strict=True):
        product = theirs[labels] * own[region]
        same, other = same + int((product > 0).sum()), other + int((product < 0).sum())
    if same + other >= ENOUGH and other > same:
        raise ScanError(f"{place}: the map's left is the patient's right. It was mirrored; make it again.")


def _regions(
    ct: Volume, body: NDArray[np.bool_], regions: NDArray[np.uint8], maps: Sequence[ForeignMap], grid_mm: float
) -> tuple[NDArray[np.uint8], list[str]]:
    """Correct regions where a foreign map of body parts, or of the bones of hands and feet, says more.

    On the coarse grid; each block is judged by its middle voxel, and what is corrected takes the region of the
    nearest block that the map allows. The built-in map's fine borders stay where nothing is corrected.
    """
    grid = blocks(regions.shape, ct.spacing, grid_mm)
    own = _middles(regions, grid)
    fixed = own.copy()
    notes = []
    for item in maps:
        labels = _middles(item.labels, grid)
        for number, label in item.table.items():
            if label.area in AREAS:
                here = (labels == number) & (own > 0)
                fixed, lost = _confine(fixed, here, _allowed(AREAS[label.area], label.side), grid)
                if lost:
                    notes.append(
                        f"{item.kind} calls {lost * grid.block_ml:.0f} ml {label.name}; the built-in map finds no such "
                        "region there, and its regions were kept."
                    )
    for pair in DIGITS:
        fixed = _split_digits(fixed, own > 0, pair, maps, grid)
    if np.array_equal(fixed, own):
        return regions, notes
    changed = expand(np.where(fixed != own, fixed, 0).astype(np.uint8), grid)
    out = np.where((changed > 0) & body, changed, regions)
    return out, notes


def _allowed(names: Iterable[str], side: str | None) -> NDArray[np.uint8]:
    sides = ("left", "right") if side is None else (side,)
    return np.array([region_label(name, one) for name in names for one in sides], np.uint8)


def _confine(
    regions: NDArray[np.uint8], here: NDArray[np.bool_], allowed: NDArray[np.uint8], grid: Grid
) -> tuple[NDArray[np.uint8], int]:
    """Give blocks of ``here`` with another region the nearest allowed one in it; count those left, if there is none."""
    right = np.isin(regions, allowed)
    wrong = here & ~right
    if not wrong.any():
        return regions, 0
    seeds = here & right
    if not seeds.any():
        return regions, int(wrong.sum())
    return _nearest(regions, seeds, wrong, grid), 0


def _nearest(
    values: NDArray[np.uint8], seeds: NDArray[np.bool_], targets: NDArray[np.bool_], grid: Grid
) -> NDArray[np.uint8]:
    nearest = ndimage.distance_transform_edt(~seeds, sampling=grid.spacing, return_distances=False, return_indices=True)
    out = values.copy()
    out[targets] = values[tuple(axis[targets] for axis in nearest)]
    return out


def _split_digits(
    regions: NDArray[np.uint8], body: NDArray[np.bool_], pair: set[str], maps: Sequence[ForeignMap], grid: Grid
) -> NDArray[np.uint8]:
    """Tell fingers from hand, and toes from foot, by the nearest foreign bone, where the built-in map has either."""
    out = regions
    for side in ("left", "right"):
        inside = np.isin(regions, _allowed(pair, side)) & body
        bones = np.zeros(regions.shape, np.uint8)
        for item in maps:
            numbers = {
                number: region_label(label.area, side)
                for number, label in item.table.items()
                if label.area in pair and label.side in (None, side)
            }
            if not numbers:
                continue
            lut = np.zeros(256, np.uint8)
            lut[list(numbers)] = list(numbers.values())
            found = _present(item.labels, lut, grid)
            bones = np.where(bones == 0, found, bones)
        bones[~inside] = 0
        # One kind of bone alone does not say where the other region begins.
        if len(np.unique(bones[bones > 0])) < 2:
            continue
        away, nearest = ndimage.distance_transform_edt(bones == 0, sampling=grid.spacing, return_indices=True)
        near = inside & (away <= DIGIT_REACH_MM)
        out = out.copy()
        out[near] = bones[tuple(axis[near] for axis in nearest)]
    return out


def _middles(array: NDArray[np.uint8], grid: Grid) -> NDArray[np.uint8]:
    """The voxel in the middle of each block; where that is 0, as at the body's border, the highest of the block."""
    picks = [
        np.minimum(np.arange(grid.shape[axis]) * grid.factors[axis] + grid.factors[axis] // 2, array.shape[axis] - 1)
        for axis in range(3)
    ]
    middle = array[picks[0]][:, picks[1]][:, :, picks[2]]
    return np.where(middle > 0, middle, _present(array, np.arange(256, dtype=np.uint8), grid))


def _present(labels: NDArray[np.uint8], lut: NDArray[np.uint8], grid: Grid) -> NDArray[np.uint8]:
    """The highest of the wanted labels in each block: a phalanx is thinner than a block."""
    out = np.zeros(grid.shape, np.uint8)
    for z in range(grid.shape[0]):
        slab = lut[labels[z * grid.factors[0] : (z + 1) * grid.factors[0]]].max(axis=0)
        rows = np.maximum.reduceat(slab, np.arange(0, slab.shape[0], grid.factors[1]), axis=0)
        out[z] = np.maximum.reduceat(rows, np.arange(0, slab.shape[1], grid.factors[2]), axis=1)
    return out


def regions_in_view(regions: NDArray[np.uint8], spacing: tuple[float, float, float], grid_mm: float) -> dict[str, Any]:
    """The anatomy's table of regions, from a map on the CT's grid."""
    grid = blocks(regions.shape, spacing, grid_mm)
    coarse = _middles(regions, grid)
    return region_table(coarse, coarse > 0, (True,) * 6, grid)
