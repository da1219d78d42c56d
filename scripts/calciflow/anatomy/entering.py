"""Arms that come into the image from above or below, without a chest in view to follow them from."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csgraph

from calciflow.anatomy.arm_parts import AXILLA, BIN_MM, KNUCKLES, UPPER_ARM, WRIST, cut, find_elbow, ring
from calciflow.anatomy.grid import Grid, Mask, distance, sections
from calciflow.anatomy.limbs import Arm, Skeleton

SPINE_HALF_MM = 40.0
"""A lumbar or lower thoracic vertebra with its transverse processes reaches no farther from the midline."""

LATERAL_MM = 90.0
"""Arms come in farther from the midline than this; at the level of the abdomen only ribs do so as well."""

DOWN_MM = 100.0
"""A floating rib spans less than this along the body; an arm beside the trunk or on the belly more."""

BALL_MM, HEAD_MM = 20.0, 80.0
"""Radius of a ball that fits into hip, knee and heel with their joints closed, and into no joint of an arm but the
shoulder, which is in view within so far of the border if at all."""

PLATE_MM = 95.0
"""Longest section of one bone of an arm, the elbow's, is some 75 mm in the tall; a hip bone's wing is twice as long."""


def arms_from_above(skeleton: Skeleton, aside: NDArray[np.float32], right: Mask, grid: Grid) -> list[tuple[str, Arm]]:
    """Find arms beside the trunk among the bones at the upper border of the image.

    Where the spine passes that border it lies above the hip joints, so that no leg can come in there: a piece of the
    skeleton apart from the spine's, far aside and long, is an arm, unless it is a hip bone. Without the spine at the
    border there are none.

    Parameters
    ----------
    skeleton
        The graph.
    aside
        Distance from the midline in mm, shape to broadcast to the grid.
    right
        The half of the grid to the patient's right.
    grid
        The coarse grid.

    Returns
    -------
    list
        Side and arm. Of two pieces on one side, as of broken bones, the longer one.
    """
    border = skeleton.nodes[:, 0] >= grid.shape[0] - 2
    spine, apart = _apart(skeleton, border, aside, grid)
    if not spine:
        return []
    away = np.broadcast_to(aside, grid.shape)[tuple(skeleton.nodes.T)]
    nodes = skeleton.nodes
    long = [
        piece
        for piece in apart
        if away[piece[border[piece]]].min() >= LATERAL_MM
        and np.ptp(nodes[piece, 0]) * grid.spacing[0] >= DOWN_MM
        and not _is_hip_or_leg(nodes[piece], grid)
    ]
    return _arms_of(skeleton, long, border, right, grid)


def arms_from_below(
    skeleton: Skeleton, aside: NDArray[np.float32], right: Mask, skull: Mask, grid: Grid
) -> list[tuple[str, Arm]]:
    """Find raised arms among the bones at the lower border of the image.

    A leg goes on upwards to the hip: where no bone passes the upper border, or a skull is in view, what comes in from
    below and is no part of spine and skull is an arm. It may be no more than a hand.

    Parameters and result are those of ``arms_from_above``; ``skull`` is the cranial cavity.
    """
    nodes = skeleton.nodes
    if (nodes[:, 0] >= grid.shape[0] - 2).any() and not skull.any():
        return []
    border = nodes[:, 0] <= nodes[:, 0].min() + 1
    if nodes[:, 0].min() > 3:  # the bones end in view
        return []
    _, apart = _apart(skeleton, border, aside, grid)
    return _arms_of(skeleton, apart, border, right, grid)


def _is_hip_or_leg(nodes: NDArray[np.int64], grid: Grid) -> bool:
    """Whether a piece of the skeleton, blocks (n, 3), that comes in from above is a hip bone, perhaps with its leg.

    In a pelvis cut above the hip joints the hip bones may lie apart from the sacrum, and far aside.
    """
    low = nodes.min(0) - 1
    mask = np.zeros(nodes.max(0) - low + 2, bool)
    mask[tuple((nodes - low).T)] = True
    depth = distance(mask, grid.spacing)[tuple((nodes - low).T)]
    if (depth[nodes[:, 0] < grid.shape[0] - HEAD_MM / grid.spacing[0]] > BALL_MM).any():
        return True
    top = nodes[:, 0].max() - low[0]
    near = sections(mask[max(0, top - 3) : top + 1])
    for number in range(1, int(near.max()) + 1):
        points = np.argwhere(near == number)[:, 1:] * np.array(grid.spacing[1:])
        if np.linalg.norm(np.ptp(points, axis=0)) > PLATE_MM:
            return True
    return False


def _apart(
    skeleton: Skeleton, border: NDArray[np.bool_], aside: NDArray[np.float32], grid: Grid
) -> tuple[bool, list[NDArray[np.int64]]]:
    """Whether the spine passes a border of the image, and the pieces of the skeleton there that it is no part of."""
    away = np.broadcast_to(aside, grid.shape)[tuple(skeleton.nodes.T)]
    _, part = csgraph.connected_components(skeleton.graph, directed=False)
    spine = np.unique(part[border & (away < SPINE_HALF_MM)])
    numbers = np.setdiff1d(np.unique(part[border]), spine)
    return len(spine) > 0, [np.flatnonzero(part == number) for number in numbers]


def _arms_of(
    skeleton: Skeleton, pieces: list[NDArray[np.int64]], border: NDArray[np.bool_], right: Mask, grid: Grid
) -> list[tuple[str, Arm]]:
    """Cut pieces of the skeleton that come in over a border into arms, at most one a side.

    Hands that touch make one piece of two arms: each bone belongs to the side that its way along the bones is shorter
    to.
    """
    nodes = skeleton.nodes
    on_right = right[tuple(nodes.T)]
    found: dict[str, Arm] = {}
    for piece in pieces:
        starts = {side: piece[border[piece] & (on_right[piece] == (side == "right"))] for side in ("left", "right")}
        ways = {
            side: csgraph.dijkstra(skeleton.graph, directed=False, indices=start, min_only=True)[piece]
            for side, start in starts.items()
            if len(start)
        }
        nearest = np.min(list(ways.values()), axis=0)
        for side, way in ways.items():
            mine = way == nearest
            arm = _cut(piece[mine], way[mine], nodes, grid)
            if side not in found or len(arm.nodes) > len(found[side].nodes):
                found[side] = arm
    return sorted(found.items())


def _cut(members: NDArray[np.int64], way: NDArray[np.float64], nodes: NDArray[np.int64], grid: Grid) -> Arm:
    """Cut an arm where elbow and wrist, a forearm apart, both are stout."""
    tip = nodes[members[np.argmax(way)]]
    complete = bool((tip > 2).all() and (tip < np.array(grid.shape) - 3).all())
    elbow, reach = find_elbow(way, complete, points_mm=nodes[members] * np.array(grid.spacing))
    wrist = elbow + WRIST * reach
    places = nodes[members]
    axilla = elbow - (1.0 - AXILLA) * UPPER_ARM * reach
    segments = cut(places, way, elbow, wrist, elbow + KNUCKLES * reach, axilla, grid)
    joints = {
        name: ring(places, way, at)
        for name, at in (("elbow", elbow), ("wrist", wrist))
        if (np.abs(way - at) < BIN_MM).any()
    }
    return Arm(places, segments, joints, places[np.argmin(way)].astype(float), complete)
