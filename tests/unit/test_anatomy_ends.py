"""Fingers whose bones the skeleton's graph lost, on an analytic hand beside a thigh."""

import numpy as np
import pytest

from calciflow.anatomy.ends import with_fingers
from calciflow.anatomy.grid import Grid
from calciflow.anatomy.limbs import ARM_SEGMENTS, Arm

SHAPE, STEP = (60, 50, 60), (4.0, 4.0, 4.0)
GRID = Grid((1, 1, 1), SHAPE, SHAPE, STEP)
HAND, FINGERS = ARM_SEGMENTS.index("hand"), ARM_SEGMENTS.index("fingers")


def scene(touching=False):
    """Head is up. A palm (z 140 to 200 mm) ends in two fingers; a thigh lies beside it, or against the fingers."""
    z, y, x = np.meshgrid(*[np.arange(n) * s for n, s in zip(SHAPE, STEP, strict=True)], indexing="ij")
    thigh = np.hypot(y - 100, x - 160) < 60
    shaft = np.hypot(y - 100, x - 160) < 14
    shift = 12.0 if touching else 0.0
    palm = (np.abs(y - 100) < 42) & (np.abs(x - 60 - shift) < 15) & (z >= 140) & (z < 200)
    metacarpals = palm & (np.abs(np.abs(y - 100) - 20) < 5) & (np.abs(x - 60 - shift) < 5) & (z >= 150)
    fingers = (np.abs(np.abs(y - 100) - 20) < 11) & (np.abs(x - 60 - shift) < 11) & (z >= 50) & (z < 141)
    if touching:
        fingers |= (np.abs(np.abs(y - 100) - 20) < 11) & (x > 60) & (x < 120) & (z >= 50) & (z < 141)
    phalanges = fingers & (np.abs(np.abs(y - 100) - 20) < 5) & (np.abs(x - 60 - shift) < 5)
    phalanges &= ((z >= 60) & (z < 84)) | ((z >= 96) & (z < 126))  # 24 mm from the metacarpals
    nodes = np.argwhere(metacarpals)
    arm = Arm(nodes, np.full(len(nodes), HAND), {}, nodes.mean(0), True)
    return arm, shaft | metacarpals | phalanges, thigh | palm | fingers, phalanges, shaft


def test_all_phalanges_are_found_one_after_the_other():
    arm, bone, body, phalanges, _ = scene()
    ((side, longer),) = with_fingers([("left", arm)], bone, body, GRID)
    assert side == "left"
    added = longer.nodes[len(arm.nodes) :]
    assert sorted(map(tuple, added)) == sorted(map(tuple, np.argwhere(phalanges)))
    assert (longer.segments[len(arm.nodes) :] == FINGERS).all()
    assert (longer.segments[: len(arm.nodes)] == HAND).all()


def test_flesh_that_touches_the_thigh_says_nothing():
    arm, bone, body, _, _ = scene(touching=True)
    ((_, same),) = with_fingers([("left", arm)], bone, body, GRID)
    assert len(same.nodes) == len(arm.nodes)


@pytest.mark.parametrize("segment", ["shoulder", "forearm"])
def test_an_arm_without_a_hand_gains_nothing(segment):
    arm, bone, body, _, _ = scene()
    arm = Arm(arm.nodes, np.full(len(arm.nodes), ARM_SEGMENTS.index(segment)), {}, arm.root, False)
    ((_, same),) = with_fingers([("left", arm)], bone, body, GRID)
    assert len(same.nodes) == len(arm.nodes)


def test_what_is_far_from_any_hand_is_left():
    arm, bone, body, phalanges, _ = scene()
    z = np.arange(SHAPE[0])[:, None, None] * STEP[0]
    bone = bone & ~(phalanges & (z >= 90))  # only the last phalanges are left, 66 mm away
    ((_, same),) = with_fingers([("left", arm)], bone, body, GRID)
    assert len(same.nodes) == len(arm.nodes)
