"""What a false lesion really is, and bone that looks like a deposit: from the truth's label maps."""

from collections.abc import Mapping

import edt
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label, sum_labels
from scipy.spatial import cKDTree

from calciflow.images import Volume

_STRUCTURE_MM = 6.0
_TRAP_MM = 4.0
_DEPOSIT_MM = 8.0
"""How near to a lesion the nearest of each kind may lie to be its cause: about PET's resolution. Ours."""

CALCIUM_HU = 130
FRAGMENT_ML = 0.02
FRAGMENT_GAP_MM = 2.0


def nearest_label(points: NDArray[np.float64], labels: Volume, reach_mm: float) -> int | None:
    """Label that lies nearest to any of the points (n, 3; RAS mm), the commonest if several do; None beyond the reach.

    ``labels`` holds 0 where there is nothing.
    """
    at = labels.index(points)
    pad = np.ceil(reach_mm / np.array(labels.spacing)).astype(int) + 1
    low = np.maximum(np.floor(at.min(axis=0)).astype(int) - pad, 0)
    high = np.minimum(np.ceil(at.max(axis=0)).astype(int) + pad + 1, labels.array.shape)
    if (high <= low).any():
        return None
    cut = labels.array[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    index = np.argwhere(cut > 0)
    if not len(index):
        return None
    distance, _ = cKDTree(points).query(labels.world(index + low), distance_upper_bound=reach_mm)
    if not np.isfinite(distance).any():
        return None
    near = distance <= distance.min() + 0.5 * float(np.mean(labels.spacing))
    return int(np.bincount(cut[tuple(index[near].T)].astype(int)).argmax())


def cause_of(
    points: NDArray[np.float64],
    tissue: str,
    deposits: Volume,
    structures: tuple[Volume, Mapping[int, str]] | None,
    traps: tuple[Volume, Mapping[int, str]] | None,
) -> str:
    """Why a false lesion was found: the trap, deposit or structure that lies nearest, else the tissue it lies in.

    Parameters
    ----------
    points
        The lesion's voxels, (n, 3), RAS mm.
    tissue
        What most of it really is.
    deposits, structures, traps
        Truth's label maps, the latter two with their names, or None where the truth has none.
    """
    if traps is not None:
        found = nearest_label(points, traps[0], _TRAP_MM)
        if found is not None:
            return f"trap: {traps[1][found]}"
    if nearest_label(points, deposits, _DEPOSIT_MM) is not None:
        return "beside a deposit"
    if structures is not None:
        found = nearest_label(points, structures[0], _STRUCTURE_MM)
        if found is not None:
            return structures[1][found]
    return f"{tissue}, nothing near"


def bone_fragments(
    true_bone: NDArray[np.bool_],
    found_bone: NDArray[np.bool_],
    hu: NDArray[np.int16],
    spacing: tuple[float, float, float],
) -> int:
    """Number of pieces of bone that the tissue map leaves out and that look like deposits to all later steps.

    Such a piece is as dense as calcium (130 HU), of 0.02 ml or more, and there are 2 mm and more between it and what
    the map calls bone: nearer ones are the bone's own edge.
    """
    missed = true_bone & ~found_bone & (hu >= CALCIUM_HU)
    if not missed.any():
        return 0
    if found_bone.any():
        away = edt.edt(~found_bone, anisotropy=spacing, black_border=False, parallel=1)
        # distances run from centre to centre: a neighbour lies a voxel away, not 0 mm
        missed &= away >= FRAGMENT_GAP_MM + max(spacing)
    pieces, count = label(missed)
    if not count:
        return 0
    sizes = sum_labels(missed, pieces, np.arange(1, count + 1)) * float(np.prod(spacing)) / 1000
    return int((sizes >= FRAGMENT_ML).sum())
