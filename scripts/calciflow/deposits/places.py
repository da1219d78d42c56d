"""What its place tells: bones that maps miss most easily (sternum, spinous processes), and stones of pelvic veins."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calciflow.anatomy.midline import off_midline
from calciflow.images import Volume
from calciflow.labels import TISSUES, region_of

STERNUM_HALF_WIDTH_MM = 20.0
"""The body of the sternum is about 40 mm wide (anatomy textbooks: manubrium 50, body 25 to 45 mm)."""

MIN_LUNG_ML_A_SLICE = 3.0
"""Lung in a 3 mm slice, ml: enough that the slice passes through the chest and not through gas in the bowel."""

SPINE_REGIONS = ("neck", "chest", "abdomen", "pelvis")
SPINOUS_HALF_WIDTH_MM = 8.0
"""A spinous process is 5 to 10 mm thick and leans a few mm to a side."""

SPINE_REACH_MM = 60.0
"""From the tip of a spinous process to the front of the vertebral arch."""

SPINE_HALF_WIDTH_MM = 15.0
SPINE_AREA_MM2 = 100.0
"""Bone of an arch or a vertebral body in one slice within that width."""

NAPE_MUSCLE = 0.6
"""The upper two vertebrae lie behind the face, in slices of the head: their processes are told from the scalp by the
muscles of the nape about them."""

PHLEBOLITH_MM = 10.0
"""Phleboliths are round and 2 to 7 mm wide, as radiologists know them; a few reach 10 mm, and CT's blur adds to it."""

PELVIC_ROW_MM = 10.0
"""Bone counts as beside a place if it lies that far before or behind the line from side to side, at most."""

PELVIC_WALL_MM2 = 150.0
"""Section of a hip bone's wall or of an ischium on either side, at least: a rod of 14 mm."""

PELVIC_HALF_WIDTH_MM = 55.0
"""Half the distance of the ischial spines (some 105 mm): farther aside lie the hip joints, with muscles about them."""

PELVIC_DEPTH_MM = 40.0
"""Nearer to the skin lies what hangs between the thighs and in the cleft of the buttocks."""


def _voxel(centre: NDArray[np.float64], ct: Volume) -> tuple[int, int, int]:
    """Array index of the voxel of ``ct`` nearest to a point (3,), RAS mm."""
    z, y, x = np.clip(np.rint(ct.index(centre[None])[0]), 0, np.array(ct.array.shape) - 1).astype(int).tolist()
    return z, y, x


def _region(regions: NDArray[np.uint8], place: tuple[int, int, int]) -> str | None:
    label = int(regions[place])
    return region_of(label)[0] if label else None


def at_pelvic_vein(
    points: NDArray[np.float64],
    tissues: NDArray[np.uint8],
    regions: NDArray[np.uint8],
    ct: Volume,
    midline: Mapping[str, Any],
) -> bool:
    """Whether a small round calcification lies in the lesser pelvis, between both hip bones: a stone of its veins.

    Calcinosis is of skin, fat and muscles; what lies between the hip bones is bladder, rectum, inner genitals and
    their veins, whose stones half of all adults have.

    Parameters
    ----------
    points
        The deposit's voxels, RAS mm, shape (n, 3).
    tissues, regions
        Label maps on the grid of ``ct``.
    midline
        ``point_mm`` and ``normal`` of the midsagittal plane, from the anatomy; without them nothing is told.
    """
    if float(np.ptp(points, axis=0).max()) > PHLEBOLITH_MM:
        return False
    centre = points.mean(axis=0)
    if off_midline(centre, midline) > PELVIC_HALF_WIDTH_MM:
        return False
    z, y, x = _voxel(centre, ct)
    if _region(regions, (z, y, x)) != "pelvis":
        return False
    _, down, across = ct.spacing
    reach = round(PELVIC_ROW_MM / down)
    row = tissues[z, max(y - reach, 0) : y + reach + 1] == TISSUES["bone"]
    if min(row[:, :x].sum(), row[:, x + 1 :].sum()) * down * across < PELVIC_WALL_MM2:
        return False
    outside = np.argwhere(tissues[z] == 0)
    away = np.hypot((outside[:, 0] - y) * down, (outside[:, 1] - x) * across)
    return not len(away) or float(away.min()) >= PELVIC_DEPTH_MM


def at_sternum(centre: NDArray[np.float64], tissues: NDArray[np.uint8], ct: Volume, midline: Mapping[str, Any]) -> bool:
    """Whether a dense or hot thing lies where the sternum lies: on the midline, before the lungs, not in fat.

    The sternum hangs on cartilage alone, which CT shows as soft, and its cortex is thin: of all large bones it is the
    one that looks most like a deposit. Anatomy, not HU, tells it.

    Parameters
    ----------
    centre
        RAS mm, shape (3,).
    tissues
        Label map on the grid of ``ct``.
    midline
        ``point_mm`` and ``normal`` of the midsagittal plane, from the anatomy; without them nothing is told.
    """
    if off_midline(centre, midline) > STERNUM_HALF_WIDTH_MM:
        return False
    z, y, x = _voxel(centre, ct)
    lung = np.argwhere(tissues[z] == TISSUES["lung"])
    if len(lung) * ct.voxel_ml < MIN_LUNG_ML_A_SLICE * ct.spacing[0] / 3.0:
        return False
    # Rows grow to the front; the sternum lies before the middle of the lungs, the spine behind it.
    if y <= np.median(lung[:, 0]):
        return False
    ring = tissues[z, max(y - 4, 0) : y + 5, max(x - 4, 0) : x + 5]
    return bool((ring == TISSUES["subcutaneous_fat"]).mean() < 0.5)


def at_spine(
    centre: NDArray[np.float64],
    tissues: NDArray[np.uint8],
    regions: NDArray[np.uint8],
    ct: Volume,
    midline: Mapping[str, Any],
) -> bool:
    """Whether a dense or hot thing lies where a spinous process lies: on the midline, behind a vertebra, not in fat.

    A spinous process hangs on the arch by a few voxels, and a map that loses these loses all of it.

    Parameters
    ----------
    centre
        RAS mm, shape (3,).
    tissues, regions
        Label maps on the grid of ``ct``.
    midline
        ``point_mm`` and ``normal`` of the midsagittal plane, from the anatomy; without them nothing is told.
    """
    if off_midline(centre, midline) > SPINOUS_HALF_WIDTH_MM:
        return False
    z, y, x = _voxel(centre, ct)
    region = _region(regions, (z, y, x))
    if region not in (*SPINE_REGIONS, "head"):
        return False
    _, down, across = ct.spacing
    wide = round(SPINE_HALF_WIDTH_MM / across)
    bone = tissues[z, :, max(x - wide, 0) : x + wide + 1] == TISSUES["bone"]
    near = max(1, round(4.0 / down))
    # Rows grow to the front: the vertebra lies before its spinous process.
    front = bone[y + near : y + near + round(SPINE_REACH_MM / down)]
    if float(front.sum()) * down * across < SPINE_AREA_MM2:
        return False
    side = max(1, round(8.0 / down))
    ring = tissues[z, max(y - side, 0) : y + side + 1, max(x - side, 0) : x + side + 1]
    if region == "head":
        return bool((ring == TISSUES["muscle"]).mean() >= NAPE_MUSCLE)
    return bool(((ring == TISSUES["subcutaneous_fat"]) | (ring == TISSUES["skin"]) | (ring == 0)).mean() < 0.5)
