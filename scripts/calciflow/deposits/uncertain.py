"""Pieces that the tissue map calls bone but that are more likely deposits."""

from collections.abc import Iterable, Mapping
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

from calciflow.images import Volume
from calciflow.labels import TISSUES

LIKELY_DEPOSIT = 0.5
"""A piece whose bone probability lies below is looked at as a deposit."""

SAME_PIECE = 2.0
"""The piece found at the place may differ in volume from the described one by this factor; else it is another."""

NEAR_MM = 3.0
"""The map knows a piece's centre to a block of some 2 mm."""

MAYBE_SAME = 4.0
"""Volumes on blocks and at half maximum differ by up to this factor in pieces of a few blocks."""


def may_be_bone(points: NDArray[np.float64], volume_ml: float, pieces: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a deposit is an object of which the map says that it may be bone.

    Eroded fingertips, spurs and sesamoids look like deposits: the deposit stays, and a reader is told.

    Parameters
    ----------
    points
        The deposit's voxels, RAS mm, (n, 3).
    pieces
        ``uncertain_bone`` of the anatomy.
    """
    for piece in pieces:
        size = float(piece.get("volume_ml") or 0.0)
        if not volume_ml / MAYBE_SAME <= size <= volume_ml * MAYBE_SAME:
            continue
        centre = np.array([piece["x_mm"], piece["y_mm"], piece["z_mm"]], float)
        if float(np.linalg.norm(points - centre, axis=1).min()) <= NEAR_MM:
            return True
    return False


def released_bone(tissues: NDArray[np.uint8], ct: Volume, pieces: Iterable[Mapping[str, Any]]) -> NDArray[np.uint8]:
    """The tissue map with unlikely bones given to the tissue around them.

    Parameters
    ----------
    tissues
        Labels on the CT's grid; not changed.
    pieces
        ``uncertain_bone`` of the anatomy: ``x_mm``, ``y_mm``, ``z_mm``, ``volume_ml``, ``bone_probability``.
    """
    result = tissues
    for piece in pieces:
        if float(piece.get("bone_probability") or 0.0) >= LIKELY_DEPOSIT:
            continue
        volume = float(piece.get("volume_ml") or 0.0)
        centre = ct.index(np.array([[piece["x_mm"], piece["y_mm"], piece["z_mm"]]]))[0]
        reach = 15.0 + 3.0 * (1000.0 * max(volume, 0.01)) ** (1.0 / 3.0)
        box = tuple(
            slice(max(0, int(c - reach / s)), max(0, min(n, int(c + reach / s) + 2)))
            for c, s, n in zip(centre, ct.spacing, tissues.shape, strict=True)
        )
        crop = tissues[box]
        if not crop.size:
            continue
        parts = cc3d.connected_components(crop == TISSUES["bone"], connectivity=26)
        if not parts.any():
            continue
        places = np.argwhere(parts > 0)
        start = np.array([part.start for part in box])
        near = np.linalg.norm((places + start - centre) * np.array(ct.spacing), axis=1)
        label = int(parts[tuple(places[int(np.argmin(near))])])
        mask = parts == label
        size = float(mask.sum()) * ct.voxel_ml
        if not volume / SAME_PIECE <= size <= volume * SAME_PIECE:
            continue
        if result is tissues:
            result = tissues.copy()
        around = np.bincount(crop[(crop != TISSUES["bone"]) & (crop > 0)], minlength=8)
        result[box][mask] = int(around.argmax()) if around.any() else TISSUES["muscle"]
    return result
