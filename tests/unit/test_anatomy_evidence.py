"""What lies around an object: lines of sight by hand, and its bed."""

import numpy as np
import pytest

from calciflow.anatomy.evidence import DIRECTIONS, REACH_MM, look_around
from calciflow.anatomy.grid import blocks

STEP = (3.0, 2.0, 2.0)
SHAPE = (15, 21, 21)
GRID = blocks(SHAPE, STEP, 2.0)
MIDDLE = (7, 10, 10)
EVERYWHERE = np.ones(SHAPE, bool)


def around(own, other, hu=None):
    hu = np.full(SHAPE, 50.0, np.float32) if hu is None else hu
    return look_around(hu, own, other, EVERYWHERE, GRID)


def one(place=MIDDLE):
    mask = np.zeros(SHAPE, bool)
    mask[place] = True
    return mask


@pytest.mark.parametrize(("away", "met"), [(6.0, True), (14.0, True), (16.0, False)])
def test_a_line_of_sight_reaches_so_far(away, met):
    """Plates on both sides along x are met by the line along x, and by the two slanting ones where those reach them."""
    other = np.zeros(SHAPE, bool)
    steps = round(away / STEP[2])
    other[:, :, [MIDDLE[2] - steps, MIDDLE[2] + steps]] = True
    slanting = 2 * (steps <= int(REACH_MM / np.hypot(STEP[1], STEP[2])))
    found = around(one(), other)
    assert found.enclosed == found.seen == pytest.approx((met + slanting * met) / len(DIRECTIONS))
    # On one side alone it is seen, and encloses nothing.
    other[:, :, : MIDDLE[2]] = False
    found = around(one(), other)
    assert found.enclosed == 0.0
    assert found.seen == pytest.approx((met + slanting * met) / len(DIRECTIONS))


def test_each_block_of_an_object_is_asked():
    rng = np.random.default_rng(0)
    own, other = rng.random(SHAPE) < 0.02, rng.random(SHAPE) < 0.01
    ends = np.zeros((2, len(DIRECTIONS), own.sum()), bool)
    for number, direction in enumerate(DIRECTIONS):
        reach = int(REACH_MM / np.linalg.norm(np.array(direction) * STEP))
        for side, way in enumerate((1, -1)):
            for column, place in enumerate(np.argwhere(own)):
                for step in range(1, reach + 1):
                    at = place + way * step * np.array(direction)
                    if (at >= 0).all() and (at < SHAPE).all() and other[tuple(at)]:
                        ends[side, number, column] = True
    found = around(own, other)
    assert found.enclosed == pytest.approx((ends[0] & ends[1]).mean())
    assert found.seen == pytest.approx((ends[0] | ends[1]).mean())


def test_the_bed_begins_beyond_the_blur_and_is_no_other_object():
    hu = np.full(SHAPE, 50.0, np.float32)
    z, y, x = np.indices(SHAPE)
    away = abs(z - MIDDLE[0]) + abs(y - MIDDLE[1]) + abs(x - MIDDLE[2])
    hu[away == 1] = 300.0  # blur
    hu[away == 2] = 90.0  # the bed
    other = (away == 2) & (x > MIDDLE[2])
    hu[other] = 800.0
    assert around(one(), other, hu).bed_hu == 90.0
    assert around(one(), away == 2, hu).bed_hu == 200.0  # nothing left to ask
