"""Joints and extents of the body regions, and the noise of the CT."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calciflow.anatomy.grid import Grid, Mask, erode
from calciflow.anatomy.levels import LEVELS
from calciflow.anatomy.limbs import Arm
from calciflow.labels import REGION_LABELS

RADIUS_MM = {"shoulder": 35.0, "elbow": 30.0, "wrist": 25.0, "hip": 35.0, "knee": 40.0, "ankle": 30.0}
"""Half the width of an adult's joint with its capsule."""

ANKLE_BELOW_MM = 40.0
"""From where the tibia widens down to the talus' upper face, 10 to 20 mm above the heel bone (``levels.ANKLE_MM``)."""

Joint = tuple[str, str, NDArray[np.float64]]
"""Name, side, and place as fractional array index (3,) on the coarse grid."""


def arm_joints(arms: list[tuple[str, Arm]]) -> list[Joint]:
    """Joints of the arms that are in view."""
    return [(name, side, place) for side, arm in arms for name, place in arm.joints.items()]


def leg_joints(levels: dict[str, NDArray[np.int64]], bone: Mask, right: Mask, grid: Grid) -> list[Joint]:
    """Knee, ankle and hip, each where its level shows the most bone.

    The knee lies amid its level; the ankle ``ANKLE_BELOW_MM`` below the upper border of the foot's; the hip where, in
    the lower two thirds of the pelvis, the femoral head makes the bones away from the midline stoutest.
    """
    out: list[Joint] = []
    for side, half in (("left", ~right), ("right", right)):
        level = levels[side]
        mine = bone & half
        amount = ndimage.uniform_filter1d(mine.sum((1, 2)).astype(float), 3)

        def whole(name: str, level: NDArray[np.int64] = level) -> NDArray[np.int64]:
            return np.flatnonzero(level == LEVELS.index(name))

        knee = whole("knee")
        if len(knee) and knee[0] > 0 and knee[-1] < len(level) - 1:
            _add(out, "knee", side, (knee[0] + knee[-1]) / 2.0, mine)
        foot = whole("foot")
        if len(foot) and foot[-1] < len(level) - 1:
            _add(out, "ankle", side, float(foot[-1]) - ANKLE_BELOW_MM / grid.spacing[0], mine)
        pelvis = whole("pelvis")
        if len(pelvis) * grid.spacing[0] > 90.0 and (level < LEVELS.index("pelvis")).any():
            part = pelvis[: int(len(pelvis) * 0.67)]
            best = float(part[np.argmax(amount[part])])
            _add(out, "hip", side, best, mine, outer=True, right_side=side == "right")
    return out


def _add(
    out: list[Joint],
    name: str,
    side: str,
    z: float,
    bone: Mask,
    outer: bool = False,
    right_side: bool = False,
) -> None:
    at = round(max(z, 0.0))
    low, high = max(0, at - 2), min(bone.shape[0], at + 3)
    points = np.argwhere(bone[low:high].any(0))
    if len(points) == 0:
        return
    if outer:  # the femoral head is the lateral part of the section, not the sacrum
        order = np.argsort(points[:, 1] if right_side else -points[:, 1])
        points = points[order[len(points) // 2 :]]
    y, x = points.mean(0)
    out.append((name, side, np.array([z, y, x])))


def region_table(
    regions: NDArray[np.uint8], body: Mask, at_border: tuple[bool, ...], grid: Grid
) -> dict[str, dict[str, Any]]:
    """Volume of each region, whether the field of view cuts it, and how much of it is in view.

    Parameters
    ----------
    regions
        Labels on the coarse grid.
    body
        The body.
    at_border
        For each face of the array (low and high of each axis): whether it is a border of the CT.
    grid
        The coarse grid.

    Returns
    -------
    dict
        ``imaged_fraction`` is 1 for what no border cuts; otherwise the volume over that of the other side, if that one
        is whole; otherwise n/a (None): how much of a region is missing cannot be seen.
    """
    counts = np.bincount(regions[body], minlength=256)
    faces = [
        (slice(0, 1), slice(None), slice(None)),
        (slice(-1, None), slice(None), slice(None)),
        (slice(None), slice(0, 1), slice(None)),
        (slice(None), slice(-1, None), slice(None)),
        (slice(None), slice(None), slice(0, 1)),
        (slice(None), slice(None), slice(-1, None)),
    ]
    cut: set[int] = set()
    for face, real in zip(faces, at_border, strict=True):
        if real:
            part = regions[face]
            cut |= {int(value) for value in np.unique(part[body[face]])}
    out: dict[str, dict[str, Any]] = {}
    for label, (region, side) in REGION_LABELS.items():
        if counts[label] == 0:
            continue
        other = label + 1 if side == "left" else label - 1
        share: float | None = 1.0
        if label in cut:
            share = None
            if counts[other] and other not in cut:
                share = round(min(1.0, float(counts[label] / counts[other])), 2)
        out[f"{side} {region}"] = {
            "volume_ml": round(float(counts[label]) * grid.block_ml, 1),
            "touches_border": label in cut,
            "imaged_fraction": share,
        }
    return out


def noise(ct: NDArray[np.int16], muscle: Mask, grid: Grid) -> float | None:
    """Standard deviation of HU in muscle: median over windows of 5 x 5 voxels, in some slices.

    The median ignores windows with a fascia in them. None if there is no muscle to measure in.
    """
    calm = erode(muscle, 1.5 * max(grid.spacing[1:]), grid.spacing, flat=True)
    amount = calm.sum((1, 2))
    slices = np.flatnonzero(amount > 20)
    if len(slices) == 0:
        return None
    values: list[NDArray[np.float64]] = []
    for z in slices[:: max(1, len(slices) // 24)]:
        plane = ct[min(z * grid.factors[0] + grid.factors[0] // 2, len(ct) - 1)].astype(np.float64)
        mean = ndimage.uniform_filter(plane, 5)
        square = ndimage.uniform_filter(plane**2, 5)
        y, x = np.nonzero(calm[z])
        rows = np.minimum(y * grid.factors[1] + grid.factors[1] // 2, plane.shape[0] - 1)
        columns = np.minimum(x * grid.factors[2] + grid.factors[2] // 2, plane.shape[1] - 1)
        here = mean[rows, columns]
        good = (here > -10.0) & (here < 100.0)
        values.append(np.sqrt(np.maximum(square[rows, columns] - here**2, 0.0) * 25.0 / 24.0)[good])
    found = np.concatenate(values)
    return round(float(np.median(found)), 2) if len(found) >= 20 else None
