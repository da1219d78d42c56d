"""Arms beside a trunk or above a head whose chest is out of view, on analytic skeletons."""

import numpy as np
import pytest

from calciflow.anatomy.entering import arms_from_above, arms_from_below
from calciflow.anatomy.grid import blocks
from calciflow.anatomy.limbs import ARM_SEGMENTS, skeleton_graph
from calciflow.anatomy.plan import follow_arms
from calciflow.anatomy.soft import thorax_of

STEP = 4.0
SHAPE = (130, 60, 130)
GRID = blocks(SHAPE, (STEP, STEP, STEP), STEP)
Z, Y, X = (np.arange(n) * STEP for n in SHAPE)
MIDDLE = X.mean()
ASIDE = np.abs(X - MIDDLE).astype(np.float32)[None, None]
RIGHT = np.broadcast_to(X > MIDDLE, SHAPE)
TOP = Z[-1]
FOREARM = 250.0
"""Elbow to wrist of an adult of 1.72 m (Winter 2009: 0.146 of the height)."""


def column(across, low, high, radius, y=100.0):
    disc = np.hypot((Y - y)[:, None], (X - MIDDLE - across)[None]) < radius
    return disc[None] & ((low <= Z) & (high >= Z))[:, None, None]


def trunk():
    """Spine, pelvis and femurs, one piece."""
    bone = column(0.0, 250.0, TOP, 20.0)
    bone |= (
        (np.abs(X - MIDDLE) < 120.0)[None, None]
        & (np.abs(Y - 100.0) < 16.0)[None, :, None]
        & ((Z > 230.0) & (Z < 290.0))[:, None, None]
    )
    return bone | column(-90.0, 0.0, 250.0, 14.0) | column(90.0, 0.0, 250.0, 14.0)


def arm(across, elbow, tip):
    """A shaft from the top to the tip with stout ends at elbow and wrist."""
    bone = column(across, max(tip, 0.0), TOP, 9.0)
    bone |= column(across, elbow - 16.0, elbow + 16.0, 20.0)
    return bone | column(across, elbow - FOREARM - 14.0, elbow - FOREARM + 14.0, 15.0)


def found(bone):
    body = np.ones(SHAPE, bool)
    return dict(arms_from_above(skeleton_graph(bone, body, GRID), ASIDE, RIGHT, GRID))


def heights(one, name):
    return one.nodes[one.segments == ARM_SEGMENTS.index(name), 0] * STEP


@pytest.mark.parametrize("tip", [-20.0, 200.0 - 185.0])
@pytest.mark.parametrize("elbow", [440.0, 450.0, 460.0])
def test_arms_that_come_in_from_above_have_their_segments(elbow, tip):
    """With the fingertips below the image (-20) and in view (hand of 185 mm: 0.108 of 1.72 m)."""
    tip += elbow - 450.0 if tip > 0 else 0.0
    arms = found(trunk() | arm(-200.0, elbow, tip) | arm(200.0, elbow, tip))
    assert sorted(arms) == ["left", "right"]
    for side, one in arms.items():
        across = one.nodes[:, 2] * STEP - MIDDLE
        assert (across > 150).all() if side == "right" else (across < -150).all()
        assert one.joints["elbow"][0] * STEP == pytest.approx(elbow, abs=16.0)
        assert one.joints["wrist"][0] * STEP == pytest.approx(elbow - FOREARM, abs=20.0)
        middle = elbow - FOREARM / 2.0
        assert heights(one, "forearm").min() < middle < heights(one, "forearm").max()
        assert heights(one, "hand").max() < elbow - FOREARM + 40.0


def test_one_arm_raised_out_of_view_leaves_the_other():
    assert sorted(found(trunk() | arm(200.0, 450.0, 15.0))) == ["right"]


def test_legs_and_floating_ribs_are_no_arms():
    ribs = column(-110.0, TOP - 60.0, TOP, 7.0) | column(110.0, TOP - 60.0, TOP, 7.0)
    assert found(trunk() | ribs) == {}


def test_in_a_stack_of_the_legs_nothing_is_an_arm():
    """No spine at the upper border: what comes in there may be femurs."""
    assert found(column(-100.0, 0.0, TOP, 14.0) | column(100.0, 0.0, TOP, 14.0)) == {}


def raised(across, tip=470.0):
    """Half an upper arm, elbow, forearm and hand, from below towards the midline."""
    turned = -60.0 if across > 0 else 60.0
    bone = column(across, 0.0, 60.0, 9.0) | column(across, 34.0, 66.0, 20.0)
    for low in np.arange(60.0, tip, STEP):
        at = across + turned * min(1.0, (low - 60.0) / 250.0)
        bone |= column(at, low, low + STEP, 15.0 if 270.0 < low < 300.0 else 9.0)
    return bone


def from_below(bone, skull=None):
    body = np.ones(SHAPE, bool)
    skull = np.zeros(SHAPE, bool) if skull is None else skull
    return dict(arms_from_below(skeleton_graph(bone, body, GRID), ASIDE, RIGHT, skull, GRID))


def test_raised_arms_that_come_in_from_below_have_their_sides_and_segments():
    arms = from_below(raised(-200.0) | raised(200.0))
    assert sorted(arms) == ["left", "right"]
    for side, one in arms.items():
        assert ((one.nodes[:, 2] * STEP - MIDDLE > 0) == (side == "right")).all()
        assert heights(one, "forearm").min() < 180.0 < heights(one, "forearm").max()
        assert heights(one, "fingers").min() == pytest.approx(375.0, abs=25.0)
        assert one.complete


def test_raised_hands_that_touch_belong_to_their_own_arms():
    bone = raised(-70.0, tip=400.0) | raised(70.0, tip=400.0)
    touching = bone | column(0.0, 380.0, 396.0, 14.0)
    arms = from_below(touching)
    assert sorted(arms) == ["left", "right"]
    for side, one in arms.items():
        across = one.nodes[:, 2] * STEP - MIDDLE
        assert (across > -12 if side == "right" else across < 12).all()


def test_a_leg_goes_on_upwards_and_is_no_raised_arm():
    legs = column(-90.0, 0.0, TOP, 14.0) | column(90.0, 0.0, TOP, 14.0)
    # A tibia below a knee joint so wide that nothing bridges it ends in view, but the femur passes the upper border.
    gap = (Z > 200.0) & (Z < 240.0)
    legs[gap] = False
    assert from_below(legs) == {}
    # With a skull in view the same bones are arms whose hands are out of view.
    skull = np.zeros(SHAPE, bool)
    skull[10:20, 20:40, 60:70] = True
    assert sorted(from_below(legs, skull)) == ["left", "right"]


@pytest.mark.parametrize("across", [200.0, 240.0])
@pytest.mark.parametrize("cut", [(True, True), (False, False)])
def test_arms_beside_half_a_chest_come_in_from_above(across, cut):
    """Lungs in view, shoulders not: elbows and hands on the belly were called abdomen and pelvis.

    Arms that reach to the grid's faces (240 mm) do not come in from the side: upper arms were called hands.
    """
    bone = trunk() | arm(-across, 450.0, -20.0) | arm(across, 450.0, -20.0)
    lungs = (np.hypot((Y - 130.0) / 60.0, ((X - MIDDLE) / 100.0)[:, None]) < 1.0).T[None] & (Z > TOP - 110.0)[
        :, None, None
    ]
    lungs &= ~bone
    body, nothing = np.ones(SHAPE, bool), np.zeros(SHAPE, bool)
    arms = dict(
        follow_arms(bone, body, lungs, thorax_of(lungs, GRID), nothing, RIGHT, np.broadcast_to(ASIDE, SHAPE), GRID, cut)
    )
    assert sorted(arms) == ["left", "right"]
    elbow = heights(arms["left"], "elbow")
    assert elbow.mean() == pytest.approx(450.0, abs=25.0)


@pytest.mark.parametrize("legs", [True, False])
def test_hip_bones_apart_from_the_sacrum_are_no_arms(legs):
    """A scan that ends in the pelvis: its wings lie 100 mm aside, and legs were cut into upper arm, elbow and hand."""
    bone = column(0.0, 400.0, TOP, 30.0)
    for aside in (-120.0, 120.0):
        wing = (np.abs(X - MIDDLE - aside) < 10.0)[None, None] & (np.abs(Y - 120.0) < 55.0)[None, :, None]
        bone |= wing & (Z > 380.0)[:, None, None]
        if legs:
            bone |= column(aside, 330.0, 400.0, 30.0, 120.0) | column(aside, -20.0, 340.0, 14.0, 120.0)
    assert found(bone) == {}
