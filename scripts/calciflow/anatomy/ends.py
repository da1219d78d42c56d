"""Hands without their arms, and fingers that the way along the bones lost.

Small bones in flesh that belongs to a hand alone are of that hand.

Over a joint in thick slices the gap to the next phalanx may be wider than that to other bones, so that the skeleton's
graph leads elsewhere. Flesh tells then: in the air around it a finger is joined to nothing but its palm.
"""

from dataclasses import replace
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from calciflow.anatomy.arm_parts import ARM_SEGMENTS, KNUCKLES, REACH_MM, WRIST, cut
from calciflow.anatomy.grid import Grid, Mask, sections
from calciflow.anatomy.levels import hands_beside
from calciflow.anatomy.limbs import Arm

SECTION_CM2 = 80.0
"""Largest section of two hands that touch; of a trunk, a thigh and a head's middle it is larger."""

PHALANX_ML = 20.0
"""No bone of the hand is larger, two that touch included; the tip of a skull is part of one."""

NEAR_MM = 45.0
"""A lost bone begins within the length of a proximal phalanx of a found one."""


HAND_BONE_ML = 5.0
"""A hand has 60 to 100 ml of bone; its fingers alone, 20 ml."""

FINGERS_ML = 10.0
"""A finger has 15 to 25 ml of flesh. Of fingers that the image cuts from their hand few bones are found: they hang
together with nothing."""


def hands_alone(bone: Mask, body: Mask, right: Mask, aside: NDArray[np.float32], grid: Grid) -> list[tuple[str, Arm]]:
    """Find hands beside the legs that come in from above without an arm, as in a scan from mid-thigh down.

    They are cut into segments by the height over the fingertips.

    Parameters
    ----------
    bone, body
        Skeleton and body.
    right
        The half of the grid to the patient's right.
    aside
        Distance from the midline in mm, shape to broadcast.
    grid
        The coarse grid.
    """
    out = []
    for side, half in (("left", ~right), ("right", right)):
        pieces = cc3d.connected_components(hands_beside(body, half, grid), connectivity=6)
        count = int(pieces.max()) + 1
        entering = np.zeros(count, bool)
        entering[np.unique(pieces[-2:])] = True
        entering[0] = False
        amount = np.bincount(pieces[bone], minlength=count) * grid.block_ml * entering
        flesh = np.bincount(pieces.ravel(), minlength=count) * grid.block_ml
        hand = entering & (flesh > FINGERS_ML) & _lateral(pieces, body & half, aside)
        if amount.max() >= HAND_BONE_ML:
            hand[amount.argmax()] = True
        if not hand.any():
            continue
        piece = hand[pieces]
        nodes = np.argwhere(piece & bone if amount[hand].sum() >= HAND_BONE_ML else piece)
        bottom = int(np.flatnonzero(piece.any((1, 2)))[0])
        height = (nodes[:, 0] - bottom).astype(np.float64) * grid.spacing[0]
        ways = [-(1.0 - share) * REACH_MM for share in (WRIST, KNUCKLES)]
        segments = cut(nodes, -height, -np.inf, ways[0], ways[1], -np.inf, grid)
        root = nodes[nodes[:, 0] == nodes[:, 0].max()].mean(0)
        out.append((side, Arm(nodes, segments, {}, root, bottom > 2)))
    return out


def _lateral(pieces: NDArray[Any], body: Mask, aside: NDArray[np.float32]) -> NDArray[np.bool_]:
    """For each piece, whether it lies farther aside than the middle of the leg beside it.

    What hangs between the legs is no hand, unless it has a hand's bones.
    """
    count = int(pieces.max()) + 1
    away = np.broadcast_to(aside, pieces.shape)
    leg = body & (pieces == 0)
    size = np.maximum(np.bincount(pieces.ravel(), minlength=count), 1)
    own = np.bincount(pieces.ravel(), weights=away.ravel(), minlength=count) / size
    # The leg's middle in every slice, and of these the mean over a piece's blocks.
    blocks = leg.sum((1, 2))
    middle = np.where(leg, away, 0.0).sum((1, 2)) / np.maximum(blocks, 1)
    beside = np.bincount(pieces.ravel(), weights=np.repeat(middle, pieces[0].size), minlength=count) / size
    return np.asarray(own > beside)


def with_fingers(arms: list[tuple[str, Arm]], bone: Mask, body: Mask, grid: Grid) -> list[tuple[str, Arm]]:
    """Add to each arm the lost bones of its hand.

    Parameters
    ----------
    arms
        Side and arm.
    bone, body
        Skeleton and body.
    grid
        Blocks; the first axis runs along the body.
    """
    found = np.zeros_like(body)
    for _, arm in arms:
        found[tuple(arm.nodes.T)] = True
    lost, count = cc3d.connected_components(bone & ~found, connectivity=26, return_N=True)
    if not arms or count == 0:
        return arms
    hands = _hand_flesh(arms, body, grid)
    size = np.bincount(lost.ravel(), minlength=count + 1)
    inside = np.bincount(lost[hands], minlength=count + 1) == size
    free = [np.argwhere(lost == i) for i in np.flatnonzero(inside[1:] & (size[1:] * grid.block_ml < PHALANX_ML)) + 1]
    arms = list(arms)
    # From the nearest one on, since the last phalanx is near the middle one alone.
    while free:
        away = np.array([[_gap(arm, one, grid) for _, arm in arms] for one in free])
        if away.min() > NEAR_MM:
            break
        which, owner = (int(i) for i in np.unravel_index(int(away.argmin()), away.shape))
        side, arm = arms[owner]
        more = free.pop(which)
        segments = np.concatenate([arm.segments, np.full(len(more), ARM_SEGMENTS.index("fingers"))])
        arms[owner] = side, replace(arm, nodes=np.concatenate([arm.nodes, more]), segments=segments)
    return arms


def _tips(arm: Arm) -> NDArray[np.int64]:
    """Blocks of an arm's hand and fingers."""
    return arm.nodes[arm.segments >= ARM_SEGMENTS.index("hand")]


def _gap(arm: Arm, bone: NDArray[np.int64], grid: Grid) -> float:
    """Distance in mm from a bone to an arm's hand and fingers."""
    tips, step = _tips(arm), np.array(grid.spacing)
    return float(cKDTree(tips * step).query(bone * step)[0].min()) if len(tips) else np.inf


def _hand_flesh(arms: list[tuple[str, Arm]], body: Mask, grid: Grid) -> Mask:
    """Sections of the body that are no larger than hands and hang together with a hand over such sections."""
    labels = sections(body)
    area = np.bincount(labels.ravel()) * grid.spacing[1] * grid.spacing[2] / 100.0
    area[0] = np.inf
    pieces = cc3d.connected_components((area < SECTION_CM2)[labels], connectivity=6)
    held = np.zeros(int(pieces.max()) + 1, bool)
    for _, arm in arms:
        held[pieces[tuple(_tips(arm).T)]] = True
    held[0] = False
    return np.asarray(held[pieces])
