"""Fingers whose bones the skeleton's graph lost, on an analytic hand beside a thigh."""

import numpy as np
import pytest

from calciflow.anatomy.ends import hands_alone, with_fingers
from calciflow.anatomy.grid import Grid
from calciflow.anatomy.levels import hands_beside, trunk_only
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


def beside(cut=True):
    """Two thighs, and a hand beside each that the field of view cuts off at the wrist; its fingertips at z = 40 mm."""
    z, y, x = np.meshgrid(*[np.arange(n) * s for n, s in zip((60, 50, 120), STEP, strict=True)], indexing="ij")
    body, bone = np.zeros(z.shape, bool), np.zeros(z.shape, bool)
    for thigh_x, hand_x in ((140, 40), (340, 440)):
        body |= np.hypot(y - 100, x - thigh_x) < 60
        bone |= np.hypot(y - 100, x - thigh_x) < 14
        hand = (np.abs(y - 100) < 40) & (np.abs(x - hand_x) < 14) & (z >= 40)
        if not cut:
            hand &= z < 200
        body |= hand
        bone |= hand & (np.abs((y - 60) % 20 - 10) < 5) & (np.abs(x - hand_x) < 5) & (z >= 46)
    right = np.broadcast_to(x > 240, z.shape)
    grid = Grid((1, 1, 1), z.shape, z.shape, STEP)
    return bone, body, right, grid, x


def test_hands_cut_off_at_the_wrist_are_hands():
    bone, body, right, grid, x = beside()
    arms = dict(hands_alone(bone, body, right, np.abs(x - 240).astype(np.float32), grid))
    assert set(arms) == {"left", "right"}
    nodes = arms["right"].nodes
    assert (nodes[:, 2] * STEP[2] > 400).all()
    height = nodes[:, 0] * STEP[0] - 40
    # A hand of 184 mm: the fingers' joints with it lie 92 mm above their tips (Winter 2009), and the knuckles, 10 mm
    # long, are the fingers'; the wrist lies above.
    names = np.array(ARM_SEGMENTS)[arms["right"].segments]
    assert set(names[height < 88]) == {"fingers"}
    assert set(names[(height > 106) & (height < 190)]) == {"hand"}


def test_what_ends_below_the_border_is_no_hand_alone():
    bone, body, right, grid, x = beside(cut=False)
    assert hands_alone(bone, body, right, np.abs(x - 240).astype(np.float32), grid) == []


@pytest.mark.parametrize("hand_x", [40, 440])
def test_fingers_cut_off_from_their_hand_are_fingers_with_or_without_bones(hand_x):
    """The field of view ends 70 mm above the fingertips; between fingers is air, and their bones touch nothing."""
    bone, body, right, _grid, x = beside()
    top = 28  # z = 112 mm
    y = np.arange(50)[None, :, None] * STEP[1]
    air = (np.abs(x - hand_x) < 20) & ((y - 60) % 20 < 3)
    side = "right" if hand_x > 240 else "left"
    none = bone & (np.abs(x - hand_x) > 20)
    short = Grid((1, 1, 1), bone[:top].shape, bone[:top].shape, STEP)
    aside = np.abs(x - 240).astype(np.float32)[:, :1]
    for bones in (bone, none):
        arms = dict(hands_alone((bones & ~air)[:top], (body & ~air)[:top], right[:top], aside[:top], short))
        nodes = arms[side].nodes
        assert set(np.array(ARM_SEGMENTS)[arms[side].segments]) == {"fingers"}
        assert len(np.unique(nodes[:, 1] * STEP[1] // 20)) >= 4
        assert (np.abs(nodes[:, 2] * STEP[2] - hand_x) < 20).all()


def test_what_hangs_between_the_legs_is_no_hand():
    bone, body, right, grid, x = beside()
    thighs = (x > 60) & (x < 420)
    between = (np.abs(x - 236) < 20) & (np.abs(np.arange(50)[None, :, None] * STEP[1] - 100) < 20)
    aside = np.abs(x - 240).astype(np.float32)
    assert hands_alone(bone & thighs, (body & thighs) | between, right, aside, grid) == []


def test_hands_beside_the_thighs_do_not_speak_for_the_pelvis():
    """Five bones a side and 450 mm of width once made pelvis of two thighs, with a cavity of 1.7 l in them."""
    bone, body, right, grid, x = beside()
    aside = np.abs(x - 240).astype(np.float32)
    for half, shaft in ((~right, 140), (right, 340)):
        kept = trunk_only(bone, body, aside, half, grid) & half
        assert (np.abs(x[kept] - shaft) < 20).all()
        assert kept.sum() == (bone & half & (np.abs(x - shaft) < 20)).sum()


def test_two_legs_are_both_legs():
    _, body, right, grid, x = beside()
    legs = body & (np.abs(x - 40) > 20) & (np.abs(x - 440) > 20)
    assert not hands_beside(legs, right, grid).any()
    assert not hands_beside(legs, ~right, grid).any()
