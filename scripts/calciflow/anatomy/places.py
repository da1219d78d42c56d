"""Where the dense objects lie: region, cavities, ribs, midline."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from calciflow.anatomy.grid import Grid, Mask, dilate
from calciflow.anatomy.judge import Candidate, Place
from calciflow.anatomy.skeleton import Finding
from calciflow.labels import region_of

RIB_LAYER_MM = 12.0
"""Ribs and their cartilage lie within this distance of the cavity."""

RIB_SHARE = 0.2
"""Of what hangs together, beside the lungs: a first rib leaves them at its neck and towards the breast bone."""

NEXT_RIB_MM = 30.0
"""Neighbouring ribs, and pieces of one, lie nearer to each other: what has no bone and no other such piece so near is
no rib, as in the belly's wall under the costal arch."""

PIECE_ML = 0.5
"""Least size of a piece that others may be ribs beside."""

MIDDLE_MM = 60.0
"""Half the width of a neck: within it the body's section has its front and its back, and no arms."""


def places(
    finding: Finding,
    regions: NDArray[np.uint8],
    cavity: Mask,
    ribs: Mask,
    aside: NDArray[np.float32],
    grid: Grid,
    bone_grid: Grid,
) -> Callable[[Candidate], Place]:
    """Tell where candidates lie.

    Parameters
    ----------
    finding
        The dense objects, on ``bone_grid``.
    regions, cavity, ribs
        Body regions, the trunk's cavities, and the layer of the ribs.
    aside
        Distance from the midline in mm, shape to broadcast.
    grid, bone_grid
        The coarse grid, and that of the objects.
    """
    wall = dilate(cavity, RIB_LAYER_MM, grid.spacing) & ~cavity
    away = np.broadcast_to(aside, cavity.shape)
    middle = middle_rows(regions, away)
    last = np.array(grid.shape) - 1

    def coarse(at: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        voxels = (at + 0.5) * np.array(bone_grid.factors, float) - 0.5
        return tuple(np.clip((voxels / grid.factors).astype(int), 0, last).T)

    labels, where = finding.labels[tuple(finding.dense.T)], coarse(finding.dense)
    # A rib is bent, so that its centre may lie inside: what its own voxels lie in counts. Bowel in front that contrast
    # agent fills may stand before the cavity, as bone does: there its centre does.
    within, beside = share(labels, cavity[where]), share(labels, ribs[where])
    together = share(finding.group[labels], ribs[where])

    step = np.array(bone_grid.spacing)
    sure = finding.sure[labels]
    asked = ~sure & ((beside[labels] > 0.5) | (together[finding.group[labels]] > RIB_SHARE))
    gap, _ = cKDTree(finding.dense[sure] * step).query(finding.dense[asked] * step, distance_upper_bound=NEXT_RIB_MM)
    to_bone = np.full(len(finding.taken), np.inf)
    np.minimum.at(to_bone, labels[asked], gap)
    pieces = [
        np.array(candidate.centre) * step
        for candidate in finding.candidates
        if beside[candidate.label] > 0.5 and candidate.shape.volume_ml >= PIECE_ML
    ]
    others = cKDTree(np.reshape(pieces, (-1, 3)))

    def near_ribs(candidate: Candidate) -> bool:
        away, _ = others.query(np.array(candidate.centre) * step, k=2)  # it may be one of them itself
        return bool(min(to_bone[candidate.label], away[away > 0.0].min()) <= NEXT_RIB_MM)

    def place(candidate: Candidate) -> Place:
        at = coarse(np.array(candidate.centre))
        label = int(regions[at])
        dorsal = bool(at[1] < middle[at[0]])
        group = together[finding.group[candidate.label]] if not candidate.tied else 0.0
        among_ribs = bool(beside[candidate.label] > 0.5 or group > RIB_SHARE) and near_ribs(candidate)
        inside = bool(cavity[at] and not among_ribs and (not dorsal or within[candidate.label] > 0.5))
        return Place(
            region=region_of(label)[0] if label else "",
            in_cavity=inside,
            by_cavity=bool(wall[at]) or (bool(cavity[at]) and not inside),
            among_ribs=among_ribs,
            aside_mm=float(away[at]),
            dorsal=dorsal,
        )

    return place


def share(labels: NDArray[np.integer[Any]], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share of each object's voxels that is inside; ``labels``, ``inside``: of each voxel."""
    return np.asarray(np.bincount(labels, weights=inside) / np.maximum(np.bincount(labels), 1))


def middle_rows(regions: NDArray[np.uint8], aside: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean row (from the back) of the body near its midline in each slice, -1 where there is none."""
    near = (regions > 0) & (aside < MIDDLE_MM)
    count = near.sum(axis=2)
    rows = (count * np.arange(regions.shape[1])).sum(axis=1) / np.maximum(count.sum(axis=1), 1)
    return np.where(count.sum(axis=1) > 0, rows, -1.0)
