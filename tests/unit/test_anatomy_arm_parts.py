"""Where an arm's parts begin, on analytic bones."""

import numpy as np
import pytest

from calciflow.anatomy.arm_parts import ARM_SEGMENTS, METACARPAL_HEAD_MM, WRIST_MM, cut, find_elbow, humeral_head
from calciflow.anatomy.grid import Grid
from calciflow.anatomy.limbs import Arm
from calciflow.anatomy.regions import assign
from calciflow.labels import region_label

STEP = 4.0
SHAPE = (80, 40, 40)
GRID = Grid((1, 1, 1), SHAPE, SHAPE, (STEP, STEP, STEP))
HAND, FINGERS = ARM_SEGMENTS.index("hand"), ARM_SEGMENTS.index("fingers")
WRIST, KNUCKLES = 100.0, 192.0


def ray(y, low, high):
    """A row of blocks along z, mm."""
    return np.stack(np.broadcast_arrays(np.arange(low, high, STEP) / STEP, y / STEP, 80.0 / STEP), 1).astype(int)


def cut_hand(*rays):
    nodes = np.concatenate(rays)
    way = nodes[:, 0] * STEP
    return nodes, way, cut(nodes, way, 0.0, WRIST, KNUCKLES, -100.0, GRID)


def test_a_thumb_is_a_finger_from_its_own_knuckle():
    fingers = [ray(y, 100.0, end) for y, end in ((60.0, 264.0), (80.0, 284.0), (100.0, 280.0), (120.0, 256.0))]
    thumb = ray(20.0, 124.0, 208.0)
    nodes, way, segments = cut_hand(*fingers, thumb)
    of_thumb = nodes[:, 1] * STEP == 20.0
    assert (segments[of_thumb & (way > 156)] == FINGERS).all()  # two phalanges of 52 mm, as Winter's hand has them
    assert (segments[of_thumb & (way < 148)] == HAND).all()
    assert (segments[~of_thumb & (way < KNUCKLES - METACARPAL_HEAD_MM)] <= HAND).all()
    assert (segments[~of_thumb & (way > KNUCKLES - METACARPAL_HEAD_MM)] == FINGERS).all()


def test_a_metacarpal_that_lost_its_finger_is_no_thumb():
    _, way, segments = cut_hand(ray(60.0, 100.0, 280.0), ray(100.0, 100.0, 172.0))
    assert (segments[way < 180] <= HAND).all()


def test_rays_that_the_image_cuts_off_are_no_thumbs():
    *_, segments = cut_hand(*[ray(y, 100.0, 212.0) for y in (40.0, 60.0, 80.0, 100.0)])
    _, way, _ = cut_hand(ray(40.0, 100.0, 212.0))
    assert (np.reshape(segments, (4, -1))[:, way < KNUCKLES - METACARPAL_HEAD_MM - STEP] <= HAND).all()


def test_a_wrist_without_an_elbow_in_view_is_no_elbow():
    """Two forearm bones 40 mm apart, stout ends at 130 mm, then five rays of 80 mm, all cut by the image."""
    points, way = [], []
    for along in np.arange(2.0, 330.0, 4.0):
        count, wide = (12, 50.0) if along < 150 else (14, 80.0)
        count += 30 if abs(along - 132.0) < 12 else 0
        points += [(along, 0.0, across) for across in np.linspace(-wide / 2, wide / 2, count)]
        way += [along] * count
    elbow, reach = find_elbow(np.array(way), False, points_mm=np.array(points))
    assert elbow < 0.0
    assert elbow + 0.575 * reach == pytest.approx(150.0, abs=16.0)


def test_the_wrist_is_the_hand_s():
    _, way, segments = cut_hand(ray(60.0, 0.0, 280.0))
    assert way[segments == HAND].min() == pytest.approx(WRIST - WRIST_MM, abs=STEP)


def test_the_humeral_head_is_the_largest_ball():
    """Beside it lies a flat blade; where most bone lies along the arm is no place within the head."""
    z, y, x = (np.indices(SHAPE) * STEP).astype(float)
    head = (z - 120) ** 2 + (y - 80) ** 2 + (x - 100) ** 2 < 23**2
    shaft = (np.hypot(y - 80, x - 100) < 11) & (z < 120)
    blade = (np.abs(y - 60) < 5) & (x < 90) & (z > 60) & (z < 160)
    bone = head | shaft | blade
    nodes = np.argwhere(bone)
    inside = np.minimum.reduce(
        [23.0 - np.linalg.norm(nodes * STEP - [120, 80, 100], axis=1), np.full(len(nodes), 23.0)]
    )
    depth = np.where(head[tuple(nodes.T)], np.maximum(inside, 4.0), 6.0).astype(np.float32)
    centre = humeral_head(nodes, 300.0 - nodes[:, 0] * STEP, depth, 180.0)
    assert np.linalg.norm(centre * STEP - [120, 80, 100]) < 4.0


@pytest.mark.parametrize("reach", [370.0, 430.0, 490.0])
def test_the_elbow_of_an_arm_that_the_image_cuts_follows_from_the_humeral_head(reach):
    """Shafts of 20 blocks a step, elbow and the ends of radius and ulna of 50; the image ends amid the metacarpals."""
    head, elbow = 60.0, 60.0 + 0.69 * reach - 15.0
    wrist = elbow + 0.575 * reach
    way = [np.repeat(np.arange(0.0, wrist + 50.0, 8.0) + 4.0, 20)]
    way += [np.random.default_rng(0).normal(at, 10.0, 150) for at in (elbow, wrist - 18.0)]
    along = np.clip(np.concatenate(way), 0.0, wrist + 50.0)
    found, length = find_elbow(along, False, head)
    assert found == pytest.approx(elbow, abs=10.0)
    assert found + 0.575 * length == pytest.approx(wrist, abs=14.0)


def test_a_border_of_two_parts_lies_across_the_joint_in_the_skin_as_well():
    """The shoulder's usual flesh is thicker than the upper arm's: once it reached 30 mm down the arm at the skin."""
    z, y, x = (np.indices(SHAPE) * STEP).astype(float)
    body = np.hypot(y - 80, x - 80) < 42
    nodes = np.argwhere(np.hypot(y - 80, x - 80) < 10)
    heights = nodes[:, 0] * STEP
    segments = np.digitize(-heights, [-240.0, -120.0, -60.0])
    segments = np.array([0, 1, HAND, FINGERS])[segments]
    arm = Arm(nodes, segments, {}, nodes[0].astype(float), True)
    bone = np.zeros(SHAPE, bool)
    bone[tuple(nodes.T)] = True
    levels = {side: np.full(SHAPE[0], 6) for side in ("left", "right")}
    right = np.ones(SHAPE, bool)
    aside = np.full(SHAPE, 150.0, np.float32)
    out = assign(body, bone, levels, right, aside, [("right", arm)], GRID)
    thick = body & (np.hypot(y - 80, x - 80) < 30)
    for low, high, name in ((244, 316, "shoulder"), (124, 236, "upper_arm"), (64, 116, "hand"), (0, 56, "fingers")):
        assert (out[thick & (z >= low) & (z <= high)] == region_label(name, "right")).all(), name


def test_fingers_that_lie_on_a_thigh_are_fingers():
    """The half of a finger that faces the thigh, and the pulp beyond its bone, once were the thigh's."""
    shape, step = (40, 80, 90), 2.0
    grid = Grid((1, 1, 1), shape, shape, (step, step, step))
    z, y, x = (np.indices(shape) * step).astype(float)
    thigh = np.hypot(y - 80, x - 80) < 70
    finger = np.hypot(y - 80, x - 159) < 10  # sinks 1 mm into the thigh
    finger &= z > 10
    bone = np.hypot(y - 80, x - 80) < 14
    nodes = np.argwhere((np.hypot(y - 80, x - 159) < 4) & (z > 18))
    bone[tuple(nodes.T)] = True
    arm = Arm(nodes, np.full(len(nodes), FINGERS), {}, nodes[0].astype(float), True)
    levels = {side: np.full(shape[0], 3) for side in ("left", "right")}
    out = assign(thigh | finger, bone, levels, np.ones(shape, bool), np.full(shape, 99.0), [("right", arm)], grid)
    assert (out[finger & ~thigh & (z > 18)] == region_label("fingers", "right")).all()
    assert (out[finger & ~thigh & (z <= 18)] == region_label("fingers", "right")).mean() > 0.9
    assert (out[thigh & (np.hypot(y - 80, x - 80) < 66)] == region_label("thigh", "right")).all()


def test_a_stump_of_bone_at_the_images_border_is_no_error():
    """A piece shorter than the smoothing over bins of its length once ended the scan."""
    for way in (np.array([0.0]), np.array([0.0, 1.0, 2.0]), np.linspace(0.0, 9.0, 12)):
        elbow, reach = find_elbow(way, False, points_mm=np.stack([way, way, way], axis=-1))
        assert np.isfinite([elbow, reach]).all()
