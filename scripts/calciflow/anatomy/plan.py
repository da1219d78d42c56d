"""The body's plan: the midline, the arms, the levels of trunk and legs."""

import numpy as np
from numpy.typing import NDArray

from calciflow.anatomy.ends import hands_alone, with_fingers
from calciflow.anatomy.entering import SPINE_HALF_MM, arms_from_above, arms_from_below
from calciflow.anatomy.grid import Grid, Mask, centres, closed, dilate
from calciflow.anatomy.levels import LEVELS, adjust, costs, profile, sequence, trunk_only
from calciflow.anatomy.limbs import JOINT_MM, Arm, find_arms, skeleton_graph
from calciflow.anatomy.regions import Midline
from calciflow.images import Volume

WIDE_MM, CENTRED_MM = 180.0, 60.0
"""A section through both sides of the body is at least so wide, and its middle at most so far from x = 0."""

APEX_CM2 = 15.0
"""Section of the lungs, both together, a finger's breadth below their tips."""

CHEST_MM = 100.0
"""Length of lung (sections over ``APEX_CM2``) that the arms are followed from."""

ALIKE = 0.8
"""Two sides of a body that is wholly in view differ less in how much bone they show."""

PELVIC_FLOOR_MM = 30.0
"""From the lowest slice with the ischium to the symphysis' lower edge, where the pelvic floor begins: 20 to 33 and 29
to 42 mm in two real pelves (STS_044, STS_001)."""


def find_midline(volume: Volume, body: Mask, grid: Grid) -> tuple[Midline, Mask, NDArray[np.float32], list[str]]:
    """Find the plane between left and right.

    It stands across the patient coordinate x, in the middle of the sections that show the whole body. In a crop around
    one limb there is none: then x = 0, the scanner's middle, tells left from right, with a warning.

    Returns
    -------
    midline, right, aside, warnings
        The plane; the half to the patient's right; the distance from the plane in mm.
    """
    z, y, x = (centres(grid, axis) for axis in range(3))
    origin, affine = volume.affine[:3, 3], volume.affine
    world = (
        affine[0, 0] * x[None, None, :] + affine[0, 1] * y[None, :, None] + affine[0, 2] * z[:, None, None] + origin[0]
    )
    rows = np.asarray(body.any(1))
    centre = []
    for place in np.flatnonzero(rows.any(1) & ~rows[:, 0] & ~rows[:, -1]).tolist():
        columns = np.flatnonzero(rows[place])
        low, high = float(world[place, 0, columns[0]]), float(world[place, 0, columns[-1]])
        # One limb alone has no midline in it: a body is wide, and lies near the middle of the scanner.
        if high - low > WIDE_MM and abs(low + high) < 2.0 * CENTRED_MM:
            centre.append((low + high) / 2.0)
    notes: list[str] = []
    if len(centre) * grid.spacing[0] >= 30.0:
        middle = float(np.median(centre))
    else:
        middle = 0.0
        notes.append("The midline is not in view: left and right are taken from the patient coordinate x = 0.")
    middle_row = volume.world(np.array([[z.mean(), y.mean(), x.mean()]]))[0]
    point = np.array([middle, middle_row[1], middle_row[2]])
    right = np.broadcast_to(world > middle, body.shape)
    return Midline(point, np.array([1.0, 0.0, 0.0])), right, np.abs(world - middle).astype(np.float32), notes


def follow_arms(
    bone: Mask,
    body: Mask,
    lungs: Mask,
    thorax: Mask,
    skull: Mask,
    right: Mask,
    aside: NDArray[np.float32],
    grid: Grid,
    cut: tuple[bool, bool] = (True, True),
) -> list[tuple[str, Arm]]:
    """Find the arms, each with its side: the side that its shoulder is on, wherever its hand lies.

    ``thorax``: the lungs with what lies between them. ``cut``: whether the grid's left and right faces are borders of
    the image; else they are borders of the body's box.

    Without a chest in view (at least ``CHEST_MM`` of lung) they are followed from where they come in, from above or
    below.
    """
    area = lungs.sum((1, 2)) * grid.spacing[1] * grid.spacing[2] / 100
    # Joint spaces are closed first: else the radius hangs on the wrist alone, and ends the arm at the elbow.
    graph = skeleton_graph(closed(bone, JOINT_MM / 2.0, grid.spacing) & body, body, grid)
    if len(graph.nodes) == 0:
        return []
    slices = np.flatnonzero(area > APEX_CM2)
    if len(slices) * grid.spacing[0] < CHEST_MM:
        arms = arms_from_above(graph, aside, right, grid) or arms_from_below(graph, aside, right, skull, grid)
        if not arms and not (bone & (aside < SPINE_HALF_MM))[-2:].any():
            arms = hands_alone(bone, body, right, aside, grid)
        return with_fingers(arms, bone, body, grid)
    if area[-1] > APEX_CM2 and (arms := arms_from_above(graph, aside, right, grid)):
        return with_fingers(arms, bone, body, grid)  # the image ends below the shoulders: no way leads to the arms
    top = slices[-1]
    level = int(top - 40 / grid.spacing[0])
    column = np.argwhere(thorax[level])
    centre = column.mean(0)
    offset = (graph.nodes - np.array([level, column[:, 0].min(), centre[1]])) * np.array(grid.spacing)
    root = int(np.argmin(np.linalg.norm(offset, axis=1)))
    head = dilate(skull, 14.0, grid.spacing)
    found = find_arms(graph, root, thorax, float(slices[0] - 60 / grid.spacing[0]), head, grid, cut)
    arms = [("right" if right[tuple(np.rint(arm.root).astype(int))] else "left", arm) for arm in found]
    # Half a chest without shoulders: arms that hang beside it, or lie on the belly, come in from above.
    arms = arms or arms_from_above(graph, aside, right, grid)
    return with_fingers(arms, bone, body, grid)


def find_levels(
    grid: Grid,
    body: Mask,
    bone: Mask,
    lungs: Mask,
    skull: Mask,
    right: Mask,
    aside: NDArray[np.float32],
    arms: list[tuple[str, Arm]],
) -> tuple[dict[str, NDArray[np.int64]], Mask]:
    """Find the level of every slice, for each side.

    Returns
    -------
    levels, rest
        For ``left`` and ``right``: index into ``LEVELS`` of every slice; and the skeleton without the arms.
    """
    rest = bone.copy()
    for _, arm in arms:
        rest[tuple(arm.nodes.T)] = False
    out: dict[str, NDArray[np.int64]] = {}
    profiles = {
        side: profile(body, trunk_only(rest, body, aside, half, grid), lungs, skull, half, aside, grid)
        for side, half in (("left", ~right), ("right", right))
    }
    sizes = {side: p.total.sum() for side, p in profiles.items()}
    cost = {side: costs(p) for side, p in profiles.items()}
    if min(sizes.values()) >= ALIKE * max(sizes.values()):
        # Legs may lie differently; the trunk's two sides are at one level, and what disturbs one of them (a raised arm
        # beside the neck) is made up for by the other.
        trunk = slice(LEVELS.index("pelvis"), None)
        cost["left"][trunk] = cost["right"][trunk] = (cost["left"][trunk] + cost["right"][trunk]) / 2.0
    for side, p in profiles.items():
        out[side] = adjust(sequence(cost[side], grid.spacing[0]), p, grid.spacing[0])
    # A side that the image cuts, or that hardly is in view, goes by the other one.
    edges = {"left": body[:, :, 0], "right": body[:, :, -1]}
    cut = {side: edges[side].any(1).sum() > 0.3 * body.any((1, 2)).sum() for side in edges}
    poor = min(sizes, key=lambda side: sizes[side])
    good = max(sizes, key=lambda side: sizes[side])
    if poor != good and (sizes[poor] < 0.3 * sizes[good] or (cut[poor] and sizes[poor] < ALIKE * sizes[good])):
        out[poor] = out[good]
    return out, rest


def trunk_of(regions: NDArray[np.uint8], levels: dict[str, NDArray[np.int64]], right: Mask, grid: Grid) -> Mask:
    """Chest, abdomen, and of the pelvis what lies above its floor."""
    pelvis = LEVELS.index("pelvis")
    lows = []
    for level in levels.values():
        found = np.flatnonzero(level == pelvis)
        if len(found):
            # If the legs are in view the floor is known; otherwise the stack begins above it.
            lows.append(found[0] + (PELVIC_FLOOR_MM / grid.spacing[0] if (level < pelvis).any() else 0.0))
    # A leg that lies differently shifts where its side's pelvis seems to begin; the floor is one.
    low = min(lows, default=0.0)
    out = np.zeros(regions.shape, bool)
    for side, half in (("left", ~right), ("right", right)):
        level = levels[side]
        inside = (level > pelvis) & (level <= LEVELS.index("chest"))
        inside |= (level == pelvis) & (np.arange(len(level)) >= low)
        out |= half & inside[:, None, None]
    return out
