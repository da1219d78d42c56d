"""The arms, followed along their bones from the rib cage to the fingertips, in whatever pose they lie.

Slices cannot tell an arm: it may lie beside the trunk, on the belly, behind the head, or crossed. Its bones can:
along the skeleton the hand is always at the end of a way through shoulder, elbow and wrist.
"""

from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse import csgraph

from calciflow.anatomy.arm_parts import (
    ARM_SEGMENTS,
    AXILLA,
    BIN_MM,
    BONE_ENDS_MM,
    CAPSULE_MM,
    KNUCKLES,
    REACH_MM,
    UPPER_ARM,
    WRIST,
    cut,
    find_elbow,
    humeral_head,
    ring,
)
from calciflow.anatomy.grid import Grid, Mask, dilate, distance

WIDEST_JOINT_MM = 16.0
"""Two bones of one limb are nearer than this where they meet; bones of two limbs that touch are farther apart."""

JOINT_MM = 9.0
"""Joint spaces on blocks of 4 mm; two skins and their fat between bones of two limbs take more."""

HEAD_MM = 125.0
"""Way from where the bones leave the rib cage to the centre of the humeral head."""

SHAFT_MM = (60.0, 200.0)
"""So far from the humeral head its shaft shows the upper arm's direction."""

BREASTBONE_MM, BACK_MM = 45.0, 245.0
"""Half the width of the breast bone with the clavicles' ends. A way that is so near the midline again, so shortly after
it left the rib cage, came along the clavicle: from the humeral head, 165 mm aside, an arm has 120 mm more to go."""

SPINE_MM = 70.0
"""Lumbar vertebrae and sacrum lie no farther in front of the upper thoracic spine."""


@dataclass(frozen=True)
class Skeleton:
    """A graph over bone blocks.

    Attributes
    ----------
    nodes
        Array indices (n, 3) of the blocks.
    graph
        Symmetric sparse matrix of distances in mm between neighbours, bridges over joints included.
    """

    nodes: NDArray[np.int64]
    graph: sparse.csr_matrix


def skeleton_graph(bone: Mask, body: Mask, grid: Grid) -> Skeleton:
    """Link bone blocks with their neighbours, and separate bones over the shortest gap between them.

    Gaps as narrow as a joint become links, of wider ones only those of a minimum spanning tree: a finger that lies on
    the thigh is linked to its own hand over 2 mm, not to the femur over 60 mm.
    """
    step = np.array(grid.spacing)
    nodes = np.argwhere(bone)
    number = np.full(bone.shape, -1, np.int64)
    number[bone] = np.arange(len(nodes))
    rows, columns, weights = [], [], []
    for offset in np.ndindex(3, 3, 3):
        shift = np.array(offset) - 1
        if tuple(shift) <= (0, 0, 0):
            continue
        other = nodes + shift
        valid = np.all((other >= 0) & (other < bone.shape), axis=1)
        target = number[tuple(other[valid].T)]
        source = np.flatnonzero(valid)[target >= 0]
        target = target[target >= 0]
        rows.append(source)
        columns.append(target)
        weights.append(np.full(len(source), np.linalg.norm(shift * step)))
    bridge = _bridges(bone, body, number, grid)
    if bridge is not None:
        rows.append(bridge[0])
        columns.append(bridge[1])
        weights.append(bridge[2])
    row, column, weight = np.concatenate(rows), np.concatenate(columns), np.concatenate(weights)
    half = sparse.coo_matrix((weight, (row, column)), shape=(len(nodes), len(nodes)))
    return Skeleton(nodes, (half + half.T).tocsr())


def _bridges(
    bone: Mask, body: Mask, number: NDArray[np.int64], grid: Grid
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]] | None:
    labels, count = cc3d.connected_components(bone, connectivity=26, return_N=True)
    if count < 2:
        return None
    step = np.array(grid.spacing)
    near = dilate(bone, WIDEST_JOINT_MM / 2 + 2.0, grid.spacing) & body
    nearest = ndimage.distance_transform_edt(~bone, sampling=grid.spacing, return_distances=False, return_indices=True)
    owner = np.where(near, labels[tuple(nearest)], 0)
    best: dict[tuple[int, int], tuple[float, int, int]] = {}
    for axis in range(3):
        low = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        a, b = owner[low], owner[high]
        border = (a != b) & (a > 0) & (b > 0)
        first = np.stack([nearest[k][low][border] for k in range(3)], 1)
        second = np.stack([nearest[k][high][border] for k in range(3)], 1)
        gap = np.linalg.norm((first - second) * step, axis=1)
        pairs = np.sort(np.stack([a[border], b[border]], 1), axis=1)
        order = np.lexsort((gap, pairs[:, 1], pairs[:, 0]))
        _, start = np.unique(pairs[order], axis=0, return_index=True)
        for place in order[start]:
            key = (int(pairs[place, 0]), int(pairs[place, 1]))
            candidate = (
                float(gap[place]),
                int(number[tuple(first[place])]),
                int(number[tuple(second[place])]),
            )
            if candidate[0] <= WIDEST_JOINT_MM and (key not in best or candidate < best[key]):
                best[key] = candidate
    if not best:
        return None
    keys = sorted(best)
    values = [best[key] for key in keys]
    matrix = sparse.coo_matrix(
        ([v[0] for v in values], ([k[0] for k in keys], [k[1] for k in keys])), shape=(count + 1, count + 1)
    )
    tree = csgraph.minimum_spanning_tree(matrix.tocsr()).tocoo()
    links = {(min(i, j), max(i, j)) for i, j in zip(tree.row.tolist(), tree.col.tolist(), strict=True)}
    links |= {key for key in keys if best[key][0] <= JOINT_MM}
    chosen = [best[key] for key in sorted(links)]
    return (
        np.array([c[1] for c in chosen]),
        np.array([c[2] for c in chosen]),
        np.array([c[0] for c in chosen]),
    )


@dataclass(frozen=True)
class Arm:
    """One arm on the graph's grid.

    Attributes
    ----------
    segments
        For each bone block of the arm: array index (n, 3) and its segment (n,), an index into ``ARM_SEGMENTS``.
    joints
        Name of a joint to its array index (3,), fractional.
    complete
        Whether the fingertips are in view.
    """

    nodes: NDArray[np.int64]
    segments: NDArray[np.int64]
    joints: dict[str, NDArray[np.float64]]
    root: NDArray[np.float64]
    complete: bool


def find_arms(
    skeleton: Skeleton,
    root: int,
    thorax: Mask,
    pelvis_z: float,
    head: Mask,
    grid: Grid,
    cut: tuple[bool, bool] = (True, True),
) -> list[Arm]:
    """Follow the skeleton from the upper spine to the tips of the arms.

    Parameters
    ----------
    skeleton
        The graph.
    root
        Node in the upper thoracic spine.
    thorax
        Lungs with what lies between them, for telling ribs from arms.
    pelvis_z
        Slice below which the spine leads into the legs.
    head
        Head, for telling the skull from arms.
    grid
        The grid.
    cut
        Whether the grid's left and right faces are borders of the image, which may cut arms.
    """
    step = np.array(grid.spacing)
    far, previous = csgraph.dijkstra(skeleton.graph, directed=False, indices=root, return_predecessors=True)
    nodes = skeleton.nodes
    reach = np.isfinite(far)
    away = distance(~thorax, grid.spacing)[tuple(nodes.T)]
    in_head = head[tuple(nodes.T)]
    order = np.argsort(far, kind="stable")
    order = order[reach[order]]
    # A way that goes down through the lumbar spine ends in a leg, one through the head in the skull.
    centre = nodes[root]
    closed_way = np.zeros(len(nodes), bool)
    lateral = np.abs(nodes[:, 2] - centre[2]) * step[2]
    # Only the spine counts as such a way: hands on the belly lie in front of it, hands behind the head beside it.
    behind = (nodes[:, 1] - centre[1]) * step[1] < SPINE_MM
    barred = in_head | ((nodes[:, 0] < pelvis_z) & (lateral < 40.0) & behind)
    entry = np.full(len(nodes), -1, np.int64)  # where the way leaves the rib cage
    for node in order:
        parent = previous[node]
        if parent < 0:
            closed_way[node] = barred[node]
            continue
        closed_way[node] = closed_way[parent] or barred[node]
        if entry[parent] >= 0:
            entry[node] = entry[parent]
            closed_way[node] |= lateral[node] < BREASTBONE_MM and far[node] - far[entry[node]] < BACK_MM
        elif away[node] > 30.0 and lateral[node] > 90.0:
            entry[node] = node
    solid = np.zeros(grid.shape, bool)
    solid[tuple(nodes.T)] = True
    depth = distance(solid, grid.spacing)[tuple(nodes.T)]
    arms: list[Arm] = []
    free = reach & ~closed_way & (entry >= 0)
    way, left = np.zeros(len(nodes)), entry >= 0
    way[left] = far[left] - far[entry[left]]
    # One arm a bundle: all nodes whose entries lie near each other.
    for _ in range(2):
        if not free.any():
            break
        tip = int(np.flatnonzero(free)[np.argmax(way[free])])
        if way[tip] < 120.0:
            break
        gate = nodes[entry[tip]]
        same = np.linalg.norm((nodes[entry] - gate) * step, axis=1) < 140.0
        members = np.flatnonzero(free & same)
        arms.append(_split(members, tip, way, depth, entry[tip], nodes, grid))
        free[members] = False
    return arms + _returning(skeleton, ~reach, grid, cut)


def _returning(skeleton: Skeleton, unreached: NDArray[np.bool_], grid: Grid, cut: tuple[bool, bool]) -> list[Arm]:
    """Find forearms whose elbow lies outside the field of view: bones that come in from its side and end in it."""
    nodes = skeleton.nodes
    _, part = csgraph.connected_components(skeleton.graph, directed=False)
    out: list[Arm] = []
    for number in np.unique(part[unreached]):
        group = np.flatnonzero((part == number) & unreached)
        sides = []
        for edge, is_border in zip((nodes[group, 2], grid.shape[2] - 1 - nodes[group, 2]), cut, strict=True):
            if is_border and edge.min() <= 3 and len(group) >= 100:
                # Both bones of the forearm come in: all that is near the border is a beginning.
                sides.append(group[edge <= 30.0 / grid.spacing[2]])
        if not sides:
            continue
        # Hands that lie on each other make one piece of two arms: each bone belongs to the side it comes in from.
        ways = np.array(
            [csgraph.dijkstra(skeleton.graph, directed=False, indices=s, min_only=True)[group] for s in sides]
        )
        owner = ways.argmin(0)
        for place, starts in enumerate(sides):
            mine = owner == place
            arm = _from_side(int(starts[0]), group[mine], ways[place][mine], nodes, grid)
            if arm is not None:
                out.append(arm)
    return out


def _from_side(
    start: int, members: NDArray[np.int64], way: NDArray[np.float64], nodes: NDArray[np.int64], grid: Grid
) -> Arm | None:
    """Cut a forearm with its hand into segments, counted from the fingertips."""
    length = float(way.max())
    if not 120.0 < length < REACH_MM + 80.0:
        return None
    wrist, knuckles = length - (1.0 - WRIST) * REACH_MM, length - (1.0 - KNUCKLES) * REACH_MM
    segments = cut(nodes[members], way, -np.inf, wrist, knuckles, -np.inf, grid)
    joints = {"wrist": ring(nodes[members], way, wrist)} if wrist > 0.0 else {}
    tip = nodes[members[np.argmax(way)]]
    complete = bool((tip > 2).all() and (tip < np.array(grid.shape) - 3).all())
    return Arm(nodes[members], segments, joints, nodes[start].astype(float), complete)


def _split(
    members: NDArray[np.int64],
    tip: int,
    way: NDArray[np.float64],
    depth: NDArray[np.float32],
    gate: int,
    nodes: NDArray[np.int64],
    grid: Grid,
) -> Arm:
    """Cut an arm into segments by its length and by where its bones are stoutest.

    ``way`` and ``depth``: way along the bones and depth under the bones' surface of every node, mm.
    """
    length = float(way[tip])
    low, high = nodes[tip] - 3, nodes[tip] + 4
    complete = length > 560.0 and bool((low >= 0).all() and (high <= grid.shape).all())
    if complete:
        # First by proportion, then where the bones are stoutest.
        reach = float(np.clip((length - HEAD_MM) / (1.0 + UPPER_ARM), 340.0, 540.0))
        elbow = HEAD_MM + UPPER_ARM * reach
        elbow = _stoutest(elbow - 70.0, elbow + 70.0, way[members])
        reach = length - elbow
        head = _stoutest(elbow - 0.78 * reach, elbow - 0.55 * reach, way[members])
    else:
        head = _stoutest(0.5 * HEAD_MM, 1.6 * HEAD_MM, way[members])
        elbow, reach = find_elbow(way[members], False, head)
    wrist = elbow + WRIST * reach
    if wrist + 20.0 < length:
        wrist = _stoutest(elbow + 0.48 * reach, elbow + 0.66 * reach, way[members]) + BONE_ENDS_MM
        reach = reach if complete else (wrist - elbow) / WRIST
    members = members[way[members] > head - CAPSULE_MM]
    places, along = nodes[members], way[members]
    segments = cut(places, along, elbow, wrist, elbow + KNUCKLES * reach, head + AXILLA * UPPER_ARM * reach, grid)
    joints = {name: ring(places, along, at) for name, at in (("elbow", elbow), ("wrist", wrist)) if 0.0 <= at <= length}
    if 0.0 <= head <= length:
        joints["shoulder"] = humeral_head(places, along, depth[members], head)
        shaft = (along > head + SHAFT_MM[0]) & (along < min(elbow, head + SHAFT_MM[1]))
        if shaft.any():
            # The way along the bones may cut from the shoulder blade to the shaft: a straight line does not.
            step = np.array(grid.spacing)
            axis = (places[shaft].mean(0) - joints["shoulder"]) * step
            down = (places - joints["shoulder"]) * step @ (axis / max(float(np.linalg.norm(axis)), 1e-6))
            above = segments <= ARM_SEGMENTS.index("upper_arm")
            segments[above] = np.where(down[above] < AXILLA * UPPER_ARM * reach, 0, ARM_SEGMENTS.index("upper_arm"))
    return Arm(places, segments, joints, nodes[gate].astype(float), complete)


def _stoutest(low: float, high: float, way: NDArray[np.float64]) -> float:
    """Find a joint between two places along the arm: where most bone lies, as bones are stout at their ends."""
    bins = np.arange(low - BIN_MM, high + 2.0 * BIN_MM, BIN_MM)
    count = np.histogram(way, bins)[0].astype(float)
    smooth = np.convolve(count, [1.0, 2.0, 1.0], mode="same")[1:-1]
    if not len(smooth) or not smooth.any():
        return (low + high) / 2.0
    return float(bins[1 + int(np.argmax(smooth))] + BIN_MM / 2.0)
