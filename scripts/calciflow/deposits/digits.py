"""Dense pieces of hands and feet that are a digit's own bone: what acro-osteolysis leaves, and bones a map missed.

A digit ends in its pulp, and the pulp is thin: 4 to 6 mm of soft tissue lie between the tip of the last phalanx and
the skin. Where a digit's bone ends farther from the tip of its flesh, its last phalanx is missing or eaten away, and
what lies in the digit's axis between that end and the pulp lies where the phalanx was. A deposit of an intact
fingertip lies in the pulp or beside the bone. Phalanges need not be told apart for that: in thick slices, and where
joints are narrow, a digit's bones are one piece.
"""

from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from calciflow.labels import TISSUES
from calciflow.measure.boxes import Spacing

Points = NDArray[np.float64]

PULP_MM = 5.0
"""Soft tissue beyond the tip of a distal phalanx: means of 3.7 to 4.0 mm in fingers, 5.7 mm in thumbs (radiographs of
66 adults: Buryanov and Kotiuk 2010, Int J Morphol 28:755, table I)."""

PHALANX_MM = (16.0, 22.0)
"""Length of a distal phalanx: means of 15.8 to 17.4 mm in fingers, 21.7 mm in thumbs (same table)."""

LEAST_LOST = 0.5
"""Share of a finger's distal phalanx that is missing at least. Ours: less may be the errors of both ends, or a pulp
that is thick or swollen."""

TWO_PHALANGES_MM = 34.0
"""Middle and distal phalanx of the shortest finger, the little one (same table)."""

WIDTH_MM = (4.0, 14.0)
"""Width of a digit's bone: the shaft of a distal phalanx, at least; the ends of a proximal one, blurred (ours)."""

ROUND = 1.5
"""A bone whose length is no more than the root of this times its width has no axis (ours)."""

GIRTH_MM = 15.0
"""Skin lies nearer than this to the axis: digits are 14 to 25 mm wide (ours)."""

SKIN_SHARE = 0.5
"""Share of the directions around the axis in which it does: neighbours may touch on two sides (ours)."""

BED_MM = 16.0
"""So much of a bone's end gives its axis, about a phalanx; half of it must be there."""

REACH_MM = PHALANX_MM[1] + BED_MM / 2.0
"""Bones are looked for so far from a piece, and the skin so far from a bone's end: pulp and the longest distal phalanx,
and a thick slice's error."""

THIN = 0.2
"""Share of a bone's usual cross-section below which it has ended: crumbs and slivers that a map calls bone do not carry
it on. The shaft of a distal phalanx has a third of a middle phalanx's ends (ours)."""

ASIDE_MM = 1.5
"""A piece in a bone's axis lies within half the bone's width of it, and so much for blur and bend (ours)."""

CRUMB_ML = 0.1
"""What a map calls bone apart from others and is no larger is a crumb: a finger's distal phalanx has 0.5 to 1 ml
(ours)."""

BESIDE_MM = 5.0
"""Farther than this from all bone lies no long deposit of a finger that has its bone (ours): sheaths and skin are
nearer."""

STEP_MM = 0.5
DIRECTIONS = 12
BEYOND = 255


@dataclass(frozen=True)
class Crop:
    """What lies around a piece: tissue labels, the parts of the bone in them (from 1), voxel size (3,) in mm."""

    tissues: NDArray[np.uint8]
    bones: NDArray[np.integer]
    step: Points


@dataclass(frozen=True)
class End:
    """Where a slender bone ends: its tip (3,), the unit vector in which it points (3,), its width.

    In mm along the array's axes (z, y, x), from the crop's first voxel.
    """

    tip: Points
    axis: Points
    width_mm: float


def in_phalanx_place(voxels: NDArray[np.int64], tissues: NDArray[np.uint8], spacing: Spacing) -> bool:
    """Whether a piece lies where a digit's last phalanx was: the digit's bone ends too far from the digit's tip.

    It must lie in the bone's axis, wholly deeper than the pulp, in flesh as slim as a digit. How far the bone ends from
    the tip is only told where the axis leaves the body within a phalanx and the pulp: a finger that touches something,
    or that the image cuts off, is left alone. So is one that has shrunk about what is left of its bone.

    Parameters
    ----------
    voxels
        Indices (n, 3), order (z, y, x).
    tissues
        Labels on the CT's grid; ``bone`` without what may be deposits.
    spacing
        mm.
    """
    step = np.array(spacing)
    if float(np.linalg.norm(np.ptp(voxels, axis=0) * step)) > PHALANX_MM[1] + PULP_MM:
        return False
    if not _near_air(voxels, tissues, step):
        return False
    crop, start = crop_around(voxels, tissues, spacing)
    own = (voxels - start) * step
    return any(_is_place(own, end, crop) for end in bone_ends(own.mean(axis=0), crop))


def _near_air(voxels: NDArray[np.int64], tissues: NDArray[np.uint8], step: Points) -> bool:
    """Whether anything outside the body lies within a box of ``GIRTH_MM`` about a piece's middle: else no skin does."""
    middle = np.rint(voxels.mean(axis=0)).astype(int)
    reach = np.ceil(GIRTH_MM / step).astype(int) + 1
    low, high = np.maximum(middle - reach, 0), middle + reach + 1
    return bool((tissues[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] == 0).any())


def is_digit_bone(voxels: NDArray[np.int64], tissues: NDArray[np.uint8], spacing: Spacing) -> bool:
    """Whether a piece is the bone of a digit that has no other: long, slender, in its middle, and far from all bone.

    Parameters
    ----------
    voxels, tissues, spacing
        As in ``in_phalanx_place``.
    """
    step = np.array(spacing)
    places = voxels * step
    away = places - places.mean(axis=0)
    values, vectors = np.linalg.eigh(away.T @ away / len(away))
    along = away @ vectors[:, 2]
    if np.ptp(along) < TWO_PHALANGES_MM or np.sqrt(12.0 * values[1]) > WIDTH_MM[1]:
        return False
    crop, start = crop_around(voxels, tissues, spacing)
    own = (voxels - start) * step
    bone = np.argwhere(crop.bones) * step
    if len(bone) and float(cKDTree(bone).query(own)[0].min()) <= BESIDE_MM:
        return False
    part = (along // (BED_MM / 2.0)).astype(int)
    middles = [own[part == number].mean(axis=0) for number in np.unique(part)]
    return float(np.mean([_skin(middle, vectors[:, 2], crop) for middle in middles])) > SKIN_SHARE


def crop_around(
    voxels: NDArray[np.int64], tissues: NDArray[np.uint8], spacing: Spacing
) -> tuple[Crop, NDArray[np.int64]]:
    """Cut out a piece (as in ``in_phalanx_place``) with ``REACH_MM`` around it; also where the crop begins (3,)."""
    step = np.array(spacing)
    margin = np.ceil(REACH_MM / step).astype(int) + 1
    start = np.maximum(voxels.min(axis=0) - margin, 0)
    stop = voxels.max(axis=0) + margin + 1
    labels = tissues[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
    return Crop(labels, cc3d.connected_components(labels == TISSUES["bone"], connectivity=26), step), start


def bone_ends(centre: Points, crop: Crop) -> list[End]:
    """Find slender bones near a place (3,), mm in the crop, and where the bone ends that they turn towards it.

    What follows in a bone's axis carries it on: the next phalanx, a stump of one, and bone that the digit touches.
    """
    size = np.bincount(crop.bones.ravel()) * float(np.prod(crop.step)) / 1000.0
    index = np.argwhere((size > CRUMB_ML)[crop.bones] & (crop.bones > 0))
    places, of = index * crop.step, crop.bones[tuple(index.T)]
    near = np.linalg.norm(places - centre, axis=1) <= REACH_MM
    places, of = places[near], of[near]
    ends = [_end(places[of == part], places, centre, crop.step) for part in np.unique(of)]
    return [end for end in ends if end is not None]


def _end(bone: Points, all_bone: Points, centre: Points, step: Points) -> End | None:
    """The end that a bone's voxels (n, 3) turn towards a place; None for what is no slender bone."""
    bed = bone
    for _ in range(2):  # the whole bone's axis first, then that of its end
        axis = _axes(bed, centre)[1]
        along = bone @ axis
        if np.ptp(along) < BED_MM / 2.0:
            return None
        last = _last(along, along, step, axis)
        bed = bone[(along <= last) & (along > last - BED_MM)]
    if np.ptp(bed @ _axes(bed, centre)[1]) < BED_MM / 2.0:
        return None
    values, axis = _axes(bed, centre)
    width = float(np.sqrt(12.0 * values[1]))
    if not WIDTH_MM[0] <= width <= WIDTH_MM[1] or values[2] <= ROUND * values[1]:
        return None
    middle = bed.mean(axis=0)
    away = all_bone - middle
    along = away @ axis
    in_line = np.linalg.norm(away - along[:, None] * axis, axis=1) <= width / 2.0 + ASIDE_MM
    last = _last((bed - middle) @ axis, along[in_line], step, axis)
    return End(middle + last * axis, axis, width)


def _axes(bone: Points, centre: Points) -> tuple[Points, Points]:
    """Variances (3,), ascending, and the long axis, pointing towards a place."""
    middle = bone.mean(axis=0)
    values, vectors = np.linalg.eigh((bone - middle).T @ (bone - middle) / len(bone))
    axis = vectors[:, 2]
    return values, axis if (centre - middle) @ axis >= 0 else -axis


def _last(bed: Points, along: Points, step: Points, axis: Points) -> float:
    """Where bone's cross-section falls to ``THIN`` of that of its bed for good, from its voxels' places on its axis."""
    window = max(2.0, float(np.abs(axis) @ step))

    def area(of: Points, at: Points) -> NDArray[np.int64]:
        ordered = np.sort(of)
        return np.searchsorted(ordered, at + window / 2.0) - np.searchsorted(ordered, at - window / 2.0)

    usual = np.median(area(bed, np.arange(bed.min(), bed.max(), STEP_MM)))
    at = np.arange(along.min(), along.max() + window, STEP_MM)
    return float(at[np.flatnonzero(area(along, at) >= THIN * usual)[-1]])


def _is_place(own: Points, end: End, crop: Crop) -> bool:
    """Whether a piece's voxels (n, 3) lie in the place between a bone's end and the pulp."""
    along = (own - end.tip) @ end.axis
    aside = own.mean(axis=0) - end.tip
    off = float(np.linalg.norm(aside - (aside @ end.axis) * end.axis))
    if along.mean() <= 0.0 or off > end.width_mm / 2.0 + ASIDE_MM:
        return False
    flesh = _flesh(end, crop)
    # Bone's end and skin are each known to a voxel: their distance, with a standard deviation of 0.4.
    error = 0.5 * float(np.abs(end.axis) @ crop.step)
    if flesh is None or flesh < PULP_MM + LEAST_LOST * PHALANX_MM[0] + error or along.max() > flesh - PULP_MM:
        return False
    places = own.mean(axis=0), end.tip - PULP_MM * end.axis
    return all(_skin(place, end.axis, crop) >= SKIN_SHARE for place in places)


def _flesh(end: End, crop: Crop) -> float | None:
    """Length of flesh beyond a bone's end, mm; None where it goes on beyond the crop.

    The median over lines from a ring about the axis, half as wide as the bone.
    """
    steps = np.arange(0.0, REACH_MM, STEP_MM)
    lines = end.tip + end.width_mm / 4.0 * _across(end.axis)[:, None] + steps[:, None] * end.axis
    labels = _at(lines, crop)
    stop = (labels == 0) | (labels == BEYOND)
    first = stop.argmax(axis=1)
    skin = np.take_along_axis(labels, first[:, None], axis=1)[:, 0] == 0
    median = float(np.median(np.where(skin, steps[first], np.inf)))
    return median if np.isfinite(median) else None


def _skin(place: Points, axis: Points, crop: Crop) -> float:
    """Share of the directions across an axis in which the body ends within ``GIRTH_MM`` of a place."""
    steps = np.arange(0.0, GIRTH_MM, STEP_MM)
    lines = place + steps[:, None] * _across(axis)[:, None]
    return float((_at(lines, crop) == 0).any(axis=1).mean())


def _across(axis: Points) -> Points:
    """Unit vectors (``DIRECTIONS``, 3) across an axis."""
    first, second = np.linalg.svd(axis[None])[2][1:]
    angles = 2.0 * np.pi * np.arange(DIRECTIONS)[:, None] / DIRECTIONS
    return np.asarray(np.cos(angles) * first + np.sin(angles) * second)


def _at(places: Points, crop: Crop) -> NDArray[np.uint8]:
    """Labels at places (..., 3) in mm; ``BEYOND`` outside the crop."""
    index = np.rint(places / crop.step).astype(int)
    inside = ((index >= 0) & (index < crop.tissues.shape)).all(axis=-1)
    index = np.clip(index, 0, np.array(crop.tissues.shape) - 1)
    return np.where(inside, crop.tissues[tuple(np.moveaxis(index, -1, 0))], np.uint8(BEYOND))
