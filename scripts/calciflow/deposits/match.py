"""CT deposits and PET foci brought together in millimetres."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from calciflow.deposits.pet import Focus
from calciflow.measure.boxes import Spacing

LEFTOVER_SHARE = 0.5
"""Uptake beyond a deposit's reach is a focus of its own if it is at least that share of the focus, and ..."""

LEFTOVER_ML = 1.0
"""... that large: a tumour or plaque around a few flecks of calcium."""


@dataclass(frozen=True)
class Part:
    """PET voxels of one lesion.

    Attributes
    ----------
    deposit
        Number of the CT deposit they belong to; None for uptake without calcification.
    focus
        Number of the focus they come from.
    voxels
        (n, 3) indices (z, y, x) on the scene's grid.
    diffuse
        Whether they are a diffusely hot muscle group: the ground that deposits lie on, not a source beside them.
    """

    deposit: int | None
    focus: int
    voxels: NDArray[np.int64]
    diffuse: bool = False


def reach_mm(tolerance_mm: float, fwhm_mm: float) -> float:
    """Distance over which a deposit and its uptake may lie apart: registration residual and half the resolution."""
    return float(np.hypot(tolerance_mm, 0.5 * fwhm_mm))


def match(
    deposits: list[NDArray[np.float64]], foci: list[Focus], spacing: Spacing, tolerance_mm: float, fwhm_mm: float
) -> list[Part]:
    """Give each voxel of each focus to the nearest CT deposit in reach.

    Parameters
    ----------
    deposits
        Where each deposit's CT voxels lie: (n, 3) fractional indices (z, y, x) on the scene's grid.
    foci
        Their voxels on that grid.
    tolerance_mm
        Residual of the registration, mm.

    Returns
    -------
    list of Part
        One focus may serve several deposits. What lies beyond every deposit's reach stays with the nearest, unless it
        is most of the focus and at least ``LEFTOVER_ML``: then it is uptake without calcification beside them.

    Notes
    -----
    A focus matches a deposit if one of its voxels lies within ``reach_mm`` of the deposit, or if the deposit lies
    in its basin where uptake is at least half as high as nearby. A diffusely hot muscle's uptake is no deposit's: what
    lies in it is told by the fit alone.
    """
    step = np.array(spacing)
    reach = reach_mm(tolerance_mm, fwhm_mm)
    trees = [cKDTree(points * step) for points in deposits]
    parts: list[Part] = []
    for number, focus in enumerate(foci):
        if focus.diffuse:
            parts.append(Part(None, number, focus.voxels, diffuse=True))
            continue
        places = focus.voxels * step
        near = _distances(trees, places, reach)
        touched = np.flatnonzero((near <= reach).any(axis=1)) if len(trees) else np.array([], int)
        rest = np.ones(len(places), bool)
        if len(touched):
            beyond = near[touched].min(axis=0) > 2.0 * reach
            apart = beyond.sum() * float(np.prod(step)) / 1000.0 >= LEFTOVER_ML and beyond.mean() >= LEFTOVER_SHARE
            rest = beyond if apart else np.zeros(len(places), bool)
            owner = touched[np.argmin(near[touched], axis=0)]
            for index in touched:
                own = ~rest & (owner == index)
                if own.any():
                    parts.append(Part(int(index), number, focus.voxels[own]))
        skirt = _in_skirt(deposits, trees, focus, step, reach, set(touched.tolist()))
        parts += [Part(index, number, voxels) for index, voxels in skirt]
        if rest.any():
            parts.append(Part(None, number, focus.voxels[rest]))
    return parts


def _distances(trees: list[cKDTree], places: NDArray[np.float64], reach: float) -> NDArray[np.float64]:
    """Distance of every place to every deposit, (deposits, places); infinite where it is surely out of reach."""
    near = np.full((len(trees), len(places)), np.inf)
    low, high = places.min(axis=0) - 2 * reach, places.max(axis=0) + 2 * reach
    for index, tree in enumerate(trees):
        if (tree.maxes >= low).all() and (tree.mins <= high).all():
            near[index] = tree.query(places)[0]
    return near


def _in_skirt(
    deposits: list[NDArray[np.float64]],
    trees: list[cKDTree],
    focus: Focus,
    step: NDArray[np.float64],
    reach: float,
    done: set[int],
) -> list[tuple[int, NDArray[np.int64]]]:
    """Deposits in the wider basin of a focus, outside its half height, that have uptake of their own there.

    A fleck of calcium in a large avid mass lies in its basin, but a cold one beside a hot focus does as well. The
    uptake is the deposit's if at the deposit it reaches half of the highest within reach: on the slope of a
    neighbour it does not.
    """
    places = focus.basin * step
    near = _distances(trees, places, reach)
    # Voxels of the half height are taken already.
    half = {tuple(voxel) for voxel in focus.voxels.tolist()}
    free = np.array([tuple(voxel) not in half for voxel in focus.basin.tolist()])
    result = []
    for index in np.flatnonzero((near <= reach).any(axis=1)) if len(trees) else []:
        if int(index) in done:
            continue
        within = near[index] <= reach
        members = cKDTree(places).query(deposits[index] * step)
        at = members[0] <= 0.5 * float(step.max())
        if at.mean() < 0.5:
            continue
        level = float(focus.heights[members[1][at]].mean())
        highest = float(focus.heights[within].max())
        if level < 0.5 * highest:
            continue
        own = within & free & (focus.heights >= 0.5 * highest)
        if own.any():
            result.append((int(index), focus.basin[own]))
    return result
