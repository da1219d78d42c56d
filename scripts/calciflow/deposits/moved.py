"""Bone's uptake that lies beside its bone: a limb that moved between CT and PET, further than registration mended.

Such uptake passes for a focus without calcification. But then all bone around it lies as far off, the same way: the
skeleton on CT, blurred as the PET is, fits the uptake around the focus better when it is shifted, by more than chance,
and, shifted so, its uptake explains the focus too. The focus itself has no say in the shift.
"""

import numpy as np
from numpy.typing import NDArray

from calciflow.deposits.pet import Focus
from calciflow.deposits.scene import PetScene
from calciflow.measure.boxes import Box, grow, offset, widen
from calciflow.measure.spill import blur
from calciflow.registration.skeleton import correlations, significant, uptake_cap

PATCH_MM = 30.0
"""Surroundings that move as one: several bones of a hand or foot, or both flanks of a shaft."""

FURTHEST_MM = 15.0
"""Of the up to 20 mm that limbs move between CT and PET, registration leaves less."""

AT_BONE = 0.05
"""Blurred share of bone from which a place tells of bone's uptake; below, soft tissue is all that is seen."""

MOST_POINTS = 1500
"""Points of a patch that are looked up: as many as a hand has voxels of PET."""

PULL = 0.02 / 10.0**2
"""Correlation lost per mm2 of shift, as in registration: along a shaft all shifts look alike."""


def is_moved_bone(focus: Focus, scene: PetScene, share: float) -> bool:
    """Whether bone that moved explains ``share`` of a focus's uptake; a hot muscle group is none."""
    if focus.diffuse:
        return False
    box = box_of_voxels(focus.voxels, scene)
    bone = scene.shares["bone"][box]
    if not bone.any():
        return False
    spacing = scene.suv.spacing
    expected = blur(np.ascontiguousarray(bone), scene.fwhm_mm, spacing)
    seen = scene.suv.array[box] - scene.spill.organs[box]
    own = np.zeros(seen.shape, bool)
    own[tuple((focus.voxels - offset(box)).T)] = True
    silent = widen(own, scene.fwhm_mm, spacing)
    found = shift_of_bone(expected, np.where(silent, np.float32(np.nan), seen), spacing)
    if found is None:
        return False
    shift, level, height = found
    places = np.argwhere(own)
    there = height * _look_up(expected, places - shift, 0.0)
    above = seen[own] - level
    return float(there.sum()) >= share * max(float(above.sum()), 1e-6)


def box_of_voxels(voxels: NDArray[np.int64], scene: PetScene) -> Box:
    """The box of voxels (n, 3) and ``PATCH_MM`` around, in the scene's PET."""
    low, high = voxels.min(axis=0), voxels.max(axis=0) + 1
    tight = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
    return grow(tight, PATCH_MM, scene.suv.spacing, scene.suv.array.shape)


def shift_of_bone(
    expected: NDArray[np.float32], seen: NDArray[np.float32], spacing: tuple[float, float, float]
) -> tuple[NDArray[np.int64], float, float] | None:
    """How far uptake lies from its bone; None unless that is more than chance.

    Parameters
    ----------
    expected
        Blurred share of bone in a patch.
    seen
        Uptake there, SUV; NaN has no say.

    Returns
    -------
    shift, level, height
        Voxels (z, y, x) from bone to its uptake, not all 0; uptake without bone and the rise of pure bone, SUV.
    """
    points = np.argwhere(expected >= AT_BONE)
    volume_ml = len(points) * float(np.prod(spacing)) / 1000.0
    points = points[:: max(1, len(points) // MOST_POINTS)]
    if not len(points):
        return None
    steps = [np.arange(-int(FURTHEST_MM / step), int(FURTHEST_MM / step) + 1) for step in spacing]
    shifts = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3)
    square = ((shifts * np.array(spacing)) ** 2).sum(axis=1)
    shifts, square = shifts[square <= FURTHEST_MM**2], square[square <= FURTHEST_MM**2]
    values = expected[tuple(points.T)]
    cap = uptake_cap(seen)
    uptake = np.stack([_look_up(seen, points + shift, np.nan) for shift in shifts])
    fit = correlations(values, uptake, cap)
    score = np.where(np.isfinite(fit), fit - PULL * square, -np.inf)
    best, still = int(np.argmax(score)), int(np.flatnonzero(square == 0)[0])
    if best == still or not np.isfinite(fit[[best, still]]).all():
        return None
    if not significant(float(fit[still]), float(fit[best]), volume_ml):
        return None
    good = uptake[best] <= cap  # neither what has no say, nor a lesion
    share, hot = values[good].astype(float), uptake[best][good].astype(float)
    away = share - share.mean()
    height = float((away * hot).sum() / (away**2).sum())
    return shifts[best], float(hot.mean()) - height * float(share.mean()), height


def _look_up(values: NDArray[np.float32], places: NDArray[np.int64], beyond: float) -> NDArray[np.float32]:
    """Values at places (n, 3), ``beyond`` outside."""
    inside = ((places >= 0) & (places < np.array(values.shape))).all(axis=1)
    out = np.full(len(places), beyond, np.float32)
    out[inside] = values[tuple(places[inside].T)]
    return out
