"""Body regions and their sides on the coarse grid."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calciflow.anatomy.arm_parts import ARM_SEGMENTS
from calciflow.anatomy.grid import Grid, Mask, bounding_box, distance, opened, sections
from calciflow.anatomy.levels import APEX_MM, LEVELS
from calciflow.anatomy.limbs import Arm
from calciflow.labels import region_label

ARM_RADIUS_MM = {
    "shoulder": (65.0, 95.0),
    "upper_arm": (50.0, 80.0),
    "elbow": (45.0, 70.0),
    "forearm": (40.0, 60.0),
    "hand": (20.0, 32.0),
    "fingers": (10.0, 16.0),
}
"""Usual and largest distance in mm from the bones of a segment to its skin."""

LEVEL_RADIUS_MM = {
    "foot": 35.0,
    "lower_leg": 60.0,
    "knee": 60.0,
    "thigh": 90.0,
    "pelvis": 90.0,
    "abdomen": 100.0,
    "chest": 35.0,
    "neck": 60.0,
    "head": 60.0,
}
"""The same for the levels of trunk and legs."""

HAND_THICK_MM = 28.0
"""A hand, or a finger, is no thicker across: what a disc of that width does not fit into, beside bone of a hand, is of
the hand, and not of the thigh or belly that it lies on."""

APEX_NEAR_MM = 40.0
"""The lungs' tips lie within two vertebrae of where sections begin to look like those of a neck."""

SPINE_MM = 30.0
"""Half the width of a vertebra with its transverse processes; and the height of two cervical ones."""

NECK_MM = 90.0
"""Half the width of a stout neck."""

GROIN_MM, GROIN_SLOPE, GROIN_RISE_MM = 50.0, 0.35, 45.0
"""The groin begins so far from the midline, rises so steeply, and so far."""

INLET_SLOPE, INLET_RISE_MM = 0.43, 60.0
"""The neck's lower border falls from the tip of C7's spinous process to the jugular notch, which lies at the lower
border of T2: two vertebrae of 22 mm and a disc, some 50 mm, over the neck's 115 mm. It is followed so far up and
down."""

TOES_SHARE = 0.23
"""Phalanges of the great toe over the length of the foot's bones: 56 of some 245 mm. The toes begin at their joints."""

FOOT_MM = 258.0
"""Length of the foot of an adult of 1.70 m: 0.152 of the height (Winter 2009)."""


@dataclass(frozen=True)
class Midline:
    """The plane between left and right: ``point`` and ``normal`` (to the patient's right) in RAS mm."""

    point: NDArray[np.float64]
    normal: NDArray[np.float64]


def assign(
    body: Mask,
    bone: Mask,
    levels: dict[str, NDArray[np.int64]],
    right: Mask,
    aside: NDArray[np.float32],
    arms: list[tuple[str, Arm]],
    grid: Grid,
) -> NDArray[np.uint8]:
    """Give every body block its region label.

    Parameters
    ----------
    body, bone
        The body and its skeleton.
    levels
        For ``left`` and ``right``: index into ``LEVELS`` of every slice.
    right
        The half of the grid to the patient's right.
    aside
        Distance from the midline in mm, shape to broadcast.
    arms
        Side and arm.
    grid
        The coarse grid.
    """
    out = np.zeros(body.shape, np.uint8)
    radius = np.zeros(body.shape, np.float32)
    for side, half in (("left", ~right), ("right", right)):
        table = np.array([region_label(name, side) for name in LEVELS], np.uint8)
        widths = np.array([LEVEL_RADIUS_MM[name] for name in LEVELS], np.float32)
        out += half * table[levels[side]][:, None, None]
        radius += half * widths[levels[side]][:, None, None]
    for side in ("left", "right"):
        # At the level of the neck, what lies farther aside is the slope of the shoulder.
        out[(out == region_label("neck", side)) & (aside > NECK_MM)] = region_label("chest", side)
    _split_groin(out, levels, aside, grid)
    rest = bone.copy()
    for _, arm in arms:
        rest[tuple(arm.nodes.T)] = False
    if arms:
        places = np.concatenate([arm.nodes for _, arm in arms])
        seeds = np.zeros_like(body)
        seeds[tuple(places.T)] = True
        margin = int(np.ceil(110.0 / min(grid.spacing)))
        box = bounding_box(seeds, margin)
        best = distance(~rest[box], grid.spacing) / radius[box]
        alone, never = _pieces(body[box], seeds[box], rest[box])
        best[alone] = np.inf
        chosen = out[box].copy()
        usual, largest = np.array([(0.0, 0.0), *ARM_RADIUS_MM.values()], np.float32).T
        nearest = [_nearest(arm, body.shape, box, grid) for _, arm in arms]
        thin = body[box] & ~opened(body[box], HAND_THICK_MM / 2.0, grid.spacing, flat=True)
        for away, segment in nearest:
            hand = segment >= 1 + ARM_SEGMENTS.index("hand")
            held = thin & hand & (away < ARM_RADIUS_MM["fingers"][1])
            best[held], never[held] = np.inf, False
        for (side, _), (away, segment) in zip(arms, nearest, strict=True):
            names = np.array([0, *(region_label(name, side) for name in ARM_SEGMENTS)], np.uint8)
            ratio = away / np.maximum(usual[segment], 1.0)
            nearer = (ratio < best) & ((away < largest[segment]) | alone) & ~never
            best[nearer] = ratio[nearer]
            chosen[nearer] = names[segment[nearer]]
        out[box] = chosen
    for side in ("left", "right"):
        _split_toes(out, body, bone, side, grid)
    out[~body] = 0
    return out


def slope_inlet(
    regions: NDArray[np.uint8],
    bone: Mask,
    lungs: Mask,
    levels: dict[str, NDArray[np.int64]],
    aside: NDArray[np.float32],
    grid: Grid,
) -> NDArray[np.uint8]:
    """Let the border of chest and neck fall towards the front, from where the lungs end beside the spine.

    Where ``levels`` put it is right for telling bones from each other; a reader sees the neck begin above the breast
    bone in front, and above the first thoracic vertebra behind.
    """
    out = regions.copy()
    height = np.arange(len(out)) * grid.spacing[0]
    rows = np.arange(out.shape[1]) * grid.spacing[1]
    central = bone & (aside < SPINE_MM)
    top = int(np.flatnonzero(lungs.any((1, 2))).max(initial=-1)) + 1
    for side in ("left", "right"):
        first = int(np.searchsorted(levels[side], LEVELS.index("neck")))
        if not 0 < first < len(out) or levels[side][first] != LEVELS.index("neck"):
            continue
        # Above the collar bones the spine is the only bone at the midline, but for the larynx' cartilages.
        spine = central[first : first + max(1, round(SPINE_MM / grid.spacing[0]))].sum((0, 2))
        if not spine.any():
            continue
        middle = float(np.average(rows, weights=spine))
        # Without lungs in view, or a windpipe that passes for one, the neck's own level tells.
        apex = top * grid.spacing[0]
        if abs(apex - height[first]) >= APEX_NEAR_MM:
            apex = height[first] - APEX_MM
        border = apex - np.clip(INLET_SLOPE * (rows - middle), -INLET_RISE_MM, INLET_RISE_MM)
        above = height[:, None, None] >= border[:, None]
        chest, neck = region_label("chest", side), region_label("neck", side)
        out[(regions == chest) & above & (aside <= NECK_MM)] = neck
        out[(regions == neck) & ~above] = chest
    return out


def _nearest(
    arm: Arm, shape: tuple[int, ...], box: tuple[slice, slice, slice], grid: Grid
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Distance in mm of each block of a box to the arm's bones, and the nearest one's segment, counted from 1.

    Within an arm the nearest bone tells the part, however thick the flesh over the next one usually is: the border lies
    across the joint.
    """
    least = np.full([part.stop - part.start for part in box], np.inf, np.float32)
    segment = np.zeros(least.shape, np.uint8)
    for number in range(len(ARM_SEGMENTS)):
        nodes = arm.nodes[arm.segments == number]
        if len(nodes):
            free = np.ones(shape, bool)
            free[tuple(nodes.T)] = False
            away = distance(free[box], grid.spacing)
            segment[away < least] = number + 1
            least = np.minimum(least, away)
    return least, segment


def _pieces(body: Mask, arm: Mask, rest: Mask) -> tuple[Mask, Mask]:
    """Find the pieces of axial sections that hold bones of arms alone, and those that hold none of them."""
    labels = sections(body)
    count = int(labels.max())
    has_arm, has_rest = np.zeros(count + 1, bool), np.zeros(count + 1, bool)
    has_arm[np.unique(labels[arm])] = True
    has_rest[np.unique(labels[rest])] = True
    has_arm[0] = has_rest[0] = False
    return np.asarray((has_arm & ~has_rest)[labels]), np.asarray((~has_arm & has_rest)[labels])


def _split_groin(
    out: NDArray[np.uint8],
    levels: dict[str, NDArray[np.int64]],
    aside: NDArray[np.float32],
    grid: Grid,
) -> None:
    """Let the thigh begin higher at the side: below a line that rises from the crotch along the groin."""
    pelvis = LEVELS.index("pelvis")
    height = np.arange(out.shape[0]) * grid.spacing[0]
    for side in ("left", "right"):
        slices = np.flatnonzero(levels[side] == pelvis)
        if len(slices) == 0 or not (levels[side] < pelvis).any():
            continue
        line = height[slices[0]] + np.clip(GROIN_SLOPE * (aside - GROIN_MM), 0.0, GROIN_RISE_MM)
        below = height[:, None, None] < line
        out[below & (out == region_label("pelvis", side))] = region_label("thigh", side)


def _split_toes(out: NDArray[np.uint8], body: Mask, bone: Mask, side: str, grid: Grid) -> None:
    """Cut the toes off the foot: the front quarter along the foot's long axis, which looks forward and down."""
    foot = (out == region_label("foot", side)) & body
    if not foot.any():
        return
    points = np.argwhere(foot & bone) * np.array(grid.spacing)
    if len(points) < 30:
        return
    centre = points.mean(0)
    flat = (points - centre)[:, :2]  # z, y
    _, vectors = np.linalg.eigh(flat.T @ flat)
    axis = vectors[:, -1]
    if axis[1] - axis[0] < 0:  # forward, or else downward
        axis = -axis
    along = flat @ axis
    length = np.ptp(along)
    if length < 150.0:  # only a part of the foot is in view
        return
    # Where the image cuts the toes off, the heel is the end to count from.
    tips = points[along > along.max() - 10.0, 0]
    cut = along.max() - TOES_SHARE * length
    if (tips < 2.0 * grid.spacing[0]).any():
        cut = along.min() + (1.0 - TOES_SHARE) * max(length, FOOT_MM)
    every = np.argwhere(foot)
    toes = every[((every * np.array(grid.spacing) - centre)[:, :2] @ axis) > cut]
    out[tuple(toes.T)] = region_label("toes", side)
