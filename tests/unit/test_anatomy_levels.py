"""Levels along the body from what the slices show."""

from dataclasses import fields, replace

import numpy as np
import pytest

from calciflow.anatomy.grid import blocks
from calciflow.anatomy.levels import LEVELS, Profile, adjust, costs, profile, sequence
from calciflow.anatomy.plan import find_levels

SHAPE, STEP = (60, 60, 60), (4.0, 4.0, 4.0)
GRID = blocks(SHAPE, STEP, 4.0)
Z, Y, X = np.meshgrid(*[np.arange(n) * 4.0 for n in SHAPE], indexing="ij")
BODY = np.hypot(Y - 120, X - 160) < 60
NOTHING = np.zeros(SHAPE, bool)
EVERYWHERE = np.ones(SHAPE, bool)
ASIDE = np.broadcast_to(np.abs(X), SHAPE).astype(np.float32)


def plain(count):
    """Slices that show nothing in particular."""
    return Profile(*[np.zeros(count)] * len(fields(Profile)))


def levels(bone):
    p = profile(BODY, bone, NOTHING, NOTHING, EVERYWHERE, ASIDE, GRID)
    return [LEVELS[n] for n in sequence(costs(p), 4.0)]


def bone(centre, radius):
    return np.hypot(Y - centre[0], X - centre[1]) < radius


def test_two_bones_are_a_lower_leg_and_one_is_a_thigh():
    assert set(levels(bone((110, 150), 14) | bone((135, 190), 7))) == {"lower_leg"}
    assert set(levels(bone((120, 160), 14))) == {"thigh"}


def test_a_leg_from_calf_to_thigh_has_its_knee_where_bones_are_wide():
    low = (bone((110, 150), 14) | bone((135, 190), 7)) & (Z < 100)
    knee = bone((120, 160), 38) & (Z >= 100) & (Z < 150)
    high = bone((120, 160), 14) & (Z >= 150)
    found = levels(low | knee | high)
    assert found[10] == "lower_leg"
    assert found[31] == "knee"
    assert found[55] == "thigh"


def test_a_thigh_with_a_bright_artery_is_a_thigh():
    low = (bone((110, 150), 14) | bone((135, 190), 7)) & (Z < 60)
    knee = bone((120, 160), 38) & (Z >= 60) & (Z < 100)
    high = (bone((120, 160), 16) | bone((150, 120), 6)) & (Z >= 100)
    found = levels(low | knee | high)
    assert found[5] == "lower_leg"
    assert found[20] == "knee"
    assert set(found[30:]) == {"thigh"}


def test_levels_never_come_twice_and_only_ascend():
    rng = np.random.default_rng(3)
    path = sequence(rng.random((len(LEVELS), 200)), 4.0)
    assert (np.diff(path) >= 0).all()


def test_the_knee_gets_its_length_but_keeps_other_levels():
    knee, thigh, shin = (LEVELS.index(n) for n in ("knee", "thigh", "lower_leg"))
    path = np.array([shin] * 40 + [knee] * 10 + [thigh] * 60)
    out = adjust(path, plain(110), 3.0)
    assert (out == knee).sum() * 3.0 > 100
    assert out[0] == shin
    assert out[-1] == thigh


def test_the_knee_reaches_from_the_tuberosity_to_the_joint_s_upper_recess():
    """The tibia widens 30 mm below the joint, at 120 mm; the femur narrows 48 mm above it, or seems to do so later."""
    knee, thigh, shin = (LEVELS.index(n) for n in ("knee", "thigh", "lower_leg"))
    for wide in (26, 40):
        path = np.array([shin] * 40 + [knee] * wide + [thigh] * 60)
        found = np.flatnonzero(adjust(path, plain(len(path)), 3.0) == knee)
        assert (found[0] * 3.0, (found[-1] + 1) * 3.0) == (108.0, 210.0)  # 42 mm below the joint, 60 mm above it
        assert adjust(path, plain(len(path)), 3.0)[found[-1] + 1] == thigh


@pytest.mark.parametrize("seems_to_end", [27, 36])
def test_the_ankle_reaches_from_the_foot_to_where_the_tibia_widens(seems_to_end):
    """Below 60 mm a heel; above it tibia and fibula, which in thick slices seem one for a while, as in a foot."""
    foot, shin = LEVELS.index("foot"), LEVELS.index("lower_leg")
    p = replace(plain(100), reach=np.where(np.arange(100) < 20, 90.0, 48.0))
    path = np.array([foot] * seems_to_end + [shin] * (100 - seems_to_end))
    found = np.flatnonzero(adjust(path, p, 3.0) == foot)
    assert abs((found[-1] + 1) * 3.0 - 110.0) <= 1.5
    # A stack that begins above the heel does not say where the ankle begins.
    assert (adjust(path, plain(100), 3.0) == path).all()


def test_a_stack_that_begins_in_the_knee_makes_no_knee_of_the_thigh():
    knee, thigh = LEVELS.index("knee"), LEVELS.index("thigh")
    out = adjust(np.array([knee] * 8 + [thigh] * 60), plain(68), 3.0)
    assert (out == knee).sum() * 3.0 == 36.0  # the femur narrows 48 mm above the joint, the knee ends at 60 mm


def test_the_abdomen_begins_at_the_tubercles_of_the_iliac_crests():
    pelvis, abdomen = LEVELS.index("pelvis"), LEVELS.index("abdomen")
    out = adjust(np.array([pelvis] * 60 + [abdomen] * 40), plain(100), 3.0)
    assert (
        np.flatnonzero(out == abdomen)[0] * 3.0 == 162.0
    )  # two centimetres below the crests' highest points, at 180 mm


def test_where_the_shoulders_slope_into_it_the_neck_is_no_head():
    """Raised arms lift the shoulders beside the neck; every third slice runs through a disc."""
    count = {"chest": 10, "slope": 16, "neck": 6, "head": 12}
    part = np.repeat(list(count), list(count.values()))
    core = np.select([part == "chest", part == "slope", part == "neck"], [200.0, 130.0, 80.0], 110.0)
    central = np.where(np.arange(len(part)) % 3 == 0, 2.0, 12.0)
    one = np.ones(len(part))
    lung, skull = 60.0 * (part == "chest"), 90.0 * (part == "head")
    p = Profile(
        core + 60, core, 2 * one.astype(int), 8 * one, one, 50 * one, 60 * one, 9 * one, one, central, lung, skull
    )
    found = np.array(LEVELS)[sequence(costs(p), 4.0)]
    assert set(found[(part == "slope") | (part == "neck")]) == {"neck"}


def test_the_trunk_s_two_sides_are_at_one_level():
    """A raised arm of 130 cm2 lies against the left of the neck; the right shows where the neck is."""
    z, y, x = np.meshgrid(*[np.arange(n) * 4.0 for n in (100, 70, 70)], indexing="ij")
    grid = blocks(z.shape, STEP, 4.0)
    away = np.hypot(y - 140, x - 140)
    lungs = (np.hypot(y - 140, np.abs(x - 140) - 60) < 40) & (z < 160)
    skull = (away < 60) & (z >= 300)
    body = np.where(z < 160, away < 125, np.where(z < 260, away < 55, away < 75))
    bone = (np.hypot(y - 110, x - 140) < 20) & (z < 300) | (away < 68) & (away >= 60) & (z >= 300)
    raised = (x < 92) & (x > 34) & (np.abs(y - 140) < 122) & (z >= 160) & (z < 320)
    right = x > 140
    aside = np.abs(x - 140).astype(np.float32)
    for arm in (np.zeros_like(body), raised):
        found, _ = find_levels(grid, body | arm, bone, lungs, skull, right, aside, [])
        for side in ("left", "right"):
            assert LEVELS[found[side][50]] == "neck"
        assert np.abs(found["left"] - found["right"]).max() == 0


def test_a_slice_without_bone_does_not_decide():
    p = profile(BODY, NOTHING, NOTHING, NOTHING, EVERYWHERE, ASIDE, GRID)
    assert (costs(p) <= 0.6).all()


def test_hip_bone_and_sacrum_that_blur_into_one_are_a_pelvis():
    """A field of view that ends among the hip bones: where they meet the sacrum each half has one section of bone."""
    part = np.repeat(["thigh", "hips", "joint"], [40, 20, 12])
    legs = part == "thigh"
    joint = part == "joint"

    def pick(in_thigh, among_hips, at_joint):
        return np.select([legs, ~joint], [in_thigh, among_hips], at_joint)

    p = Profile(
        area=pick(180.0, 320.0, 300.0),
        core=pick(150.0, 225.0, 205.0),
        bones=pick(1, 2, 1),
        first=pick(9.0, 40.0, 40.0),
        second=pick(0.0, 6.0, 0.0),
        width=pick(32.0, 110.0, 134.0),
        reach=pick(32.0, 134.0, 134.0),
        total=pick(9.0, 46.0, 40.0),
        lateral=pick(9.0, 35.0, 24.0),
        central=pick(0.0, 10.0, 20.0),
        lung=np.zeros(72),
        skull=np.zeros(72),
    )
    found = np.array(LEVELS)[sequence(costs(p), 4.0)]
    assert set(found[~legs]) == {"pelvis"}
    assert set(found[legs]) == {"thigh"}
    # A lumbar vertebra is narrower than both, however its transverse processes reach.
    loin = replace(p, width=pick(32.0, 110.0, 70.0), lateral=pick(9.0, 35.0, 2.0))
    assert set(np.array(LEVELS)[sequence(costs(loin), 4.0)][joint]) == {"abdomen"}


def test_a_field_of_view_that_ends_in_the_face_has_a_head():
    """From the eyes to the thighs: no cranial cavity is seen, but jaw and skull base are no neck."""
    part = np.repeat(["chest", "inlet", "neck", "face"], [30, 8, 15, 20])

    def pick(*values):
        return np.select([part == name for name in ("chest", "inlet", "neck", "face")], values)

    p = Profile(
        area=pick(280.0, 170.0, 100.0, 130.0),
        core=pick(200.0, 120.0, 70.0, 80.0),
        bones=pick(6, 2, 1, 3),
        first=pick(12.0, 10.0, 10.0, 15.0),
        second=pick(4.0, 3.0, 0.0, 5.0),
        width=pick(60.0, 55.0, 45.0, 80.0),
        reach=pick(150.0, 105.0, 50.0, 125.0),
        total=pick(25.0, 14.0, 10.0, 30.0),
        lateral=pick(14.0, 1.0, 0.0, 3.0),
        central=pick(20.0, 20.0, 14.0, 35.0),
        lung=pick(100.0, 4.0, 0.0, 0.0),
        skull=np.zeros(len(part)),
    )
    path = adjust(sequence(costs(p), 4.0), p, 4.0)
    found = np.array(LEVELS)[path]
    assert set(found[part == "face"]) == {"head"}
    assert "head" not in set(found[part != "face"])
    assert (found[part == "neck"] == "neck").all()
    # Without lungs below it the same sections may be feet side by side.
    alone = replace(p, lung=np.zeros(len(part)))
    assert (np.array(LEVELS)[sequence(costs(alone), 4.0)] != "head").any()


def test_an_ankle_alone_is_no_knee_with_a_thigh():
    """A stack from the midfoot to the calf's lower end: above the heel both bones seem one, as wide as a femur."""
    low = np.arange(40) < 8
    one = np.ones(40)
    shaft = np.linspace(13.0, 9.0, 40)
    p = replace(
        plain(40),
        area=np.where(low, 60.0, 32.0),
        core=np.where(low, 60.0, 32.0),
        bones=one.astype(int),
        first=np.where(low, 27.0, shaft),
        width=np.where(low, 90.0, 47.0),
        reach=np.where(low, 90.0, 47.0),
        total=np.where(low, 27.0, shaft),
    )
    found = np.array(LEVELS)[adjust(sequence(costs(p), 3.0), p, 3.0)]
    assert set(found[:24]) == {"foot"}
    assert set(found[-10:]) == {"lower_leg"}
