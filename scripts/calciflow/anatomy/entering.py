"""Arms that come into the image from above, without a chest in view to follow them from."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csgraph

from calciflow.anatomy.grid import Grid, Mask
from calciflow.anatomy.limbs import BIN_MM, DELTOID_MM, ELBOW_MM, KNUCKLES, UPPER_ARM, WRIST, WRIST_MM, Arm, Skeleton

SPINE_HALF_MM = 40.0
"""A lumbar or lower thoracic vertebra with its transverse processes reaches no farther from the midline."""

LATERAL_MM = 90.0
"""Arms come in farther from the midline than this; at the level of the abdomen only ribs do so as well."""

DOWN_MM = 100.0
"""A floating rib spans less than this along the body; an arm beside the trunk or on the belly more."""

SHORTEST_MM, LONGEST_MM = 380.0, 500.0
"""Forearm and hand of adults of 1.50 to 1.97 m: 0.254 of the height (Winter 2009)."""


def arms_from_above(skeleton: Skeleton, aside: NDArray[np.float32], right: Mask, grid: Grid) -> list[tuple[str, Arm]]:
    """Find arms among the bones at the upper border of the image.

    Where the spine passes that border it lies above the hips, so that no leg can come in there: a piece of the
    skeleton apart from the spine's, far aside and long, is an arm. Without the spine at the border there are none.

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
    nodes = skeleton.nodes
    away = np.broadcast_to(aside, grid.shape)[tuple(nodes.T)]
    _, part = csgraph.connected_components(skeleton.graph, directed=False)
    border = nodes[:, 0] >= grid.shape[0] - 2
    spine = np.unique(part[border & (away < SPINE_HALF_MM)])
    if len(spine) == 0:
        return []
    found: dict[str, Arm] = {}
    for number in np.setdiff1d(np.unique(part[border]), spine):
        members = np.flatnonzero(part == number)
        start = members[border[members]]
        if away[start].min() < LATERAL_MM or np.ptp(nodes[members, 0]) * grid.spacing[0] < DOWN_MM:
            continue
        way = csgraph.dijkstra(skeleton.graph, directed=False, indices=start, min_only=True)[members]
        side = "right" if right[tuple(nodes[start[0]])] else "left"
        arm = _cut(members, way, nodes, grid)
        if side not in found or len(arm.nodes) > len(found[side].nodes):
            found[side] = arm
    return sorted(found.items())


def _cut(members: NDArray[np.int64], way: NDArray[np.float64], nodes: NDArray[np.int64], grid: Grid) -> Arm:
    """Cut an arm where elbow and wrist, a forearm apart, both are stout."""
    tip = nodes[members[np.argmax(way)]]
    complete = bool((tip > 2).all() and (tip < np.array(grid.shape) - 3).all())
    elbow, reach = _elbow(way, complete)
    wrist = elbow + WRIST * reach
    cuts = [
        elbow - UPPER_ARM * reach + DELTOID_MM,
        elbow - ELBOW_MM,
        elbow + ELBOW_MM,
        wrist - WRIST_MM,
        elbow + KNUCKLES * reach,
    ]
    joints = {
        name: nodes[members[np.abs(way - at) < BIN_MM]].mean(0)
        for name, at in (("elbow", elbow), ("wrist", wrist))
        if (np.abs(way - at) < BIN_MM).any()
    }
    return Arm(nodes[members], np.digitize(way, cuts), joints, nodes[members[np.argmin(way)]].astype(float), complete)


def _elbow(way: NDArray[np.float64], complete: bool) -> tuple[float, float]:
    """Way to the elbow, and length of forearm with hand, in mm.

    Each joint in view counts by how much more bone than the shafts it has. If the fingertips are in view the two
    lengths depend on each other. The elbow may lie above the image, the wrist below it.
    """
    length = float(way.max())
    bins = np.arange(0.0, length + 2.0 * BIN_MM, BIN_MM)
    amount = np.convolve(np.histogram(way, bins)[0].astype(float), [0.25, 0.5, 0.25], mode="same")
    shaft = float(np.median(amount))
    centres = bins[:-1] + BIN_MM / 2.0

    def stout(at: float) -> float:
        return float(np.interp(at, centres, amount / shaft - 1.0, left=0.0, right=0.0))

    best = (-np.inf, 0.0, 0.0)
    for reach in np.arange(SHORTEST_MM, LONGEST_MM + 1.0, BIN_MM):
        places = [length - reach] if complete else np.arange(-WRIST * reach, length, BIN_MM / 2.0)
        for elbow in places:
            best = max(best, (stout(elbow) + stout(elbow + WRIST * reach), float(elbow), float(reach)))
    return best[1], best[2]
