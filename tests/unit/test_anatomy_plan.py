"""Where the trunk's cavity may be, from the levels of both sides."""

import numpy as np
import pytest

from calciflow.anatomy.grid import blocks
from calciflow.anatomy.levels import LEVELS
from calciflow.anatomy.plan import PELVIC_FLOOR_MM, trunk_of

STEP = 5.0
GRID = blocks((100, 8, 10), (STEP,) * 3, STEP)
RIGHT = np.broadcast_to(np.arange(10) >= 5, (100, 8, 10))


def levels(pelvis_at, thigh=True):
    names = ["thigh" if thigh else "pelvis"] * pelvis_at + ["pelvis"] * (50 - pelvis_at)
    names += ["abdomen"] * 20 + ["chest"] * 20 + ["head"] * 10
    return np.array([LEVELS.index(name) for name in names])


@pytest.mark.parametrize("other", [20, 26])
def test_the_pelvis_has_one_floor(other):
    """One leg turned out, and half a bladder lay below its side's floor: a false lesion with SUV 25."""
    trunk = trunk_of(np.ones((100, 8, 10), np.uint8), {"left": levels(20), "right": levels(other)}, RIGHT, GRID)
    low = round(20 + PELVIC_FLOOR_MM / STEP)
    for side in (slice(0, 5), slice(5, 10)):
        np.testing.assert_array_equal(np.flatnonzero(trunk[:, 0, side].all(-1)), np.arange(low, 90))


def test_without_legs_in_view_the_stack_begins_above_the_floor():
    both = {"left": levels(0, thigh=False), "right": levels(0, thigh=False)}
    trunk = trunk_of(np.ones((100, 8, 10), np.uint8), both, RIGHT, GRID)
    assert trunk[:90].all()
    assert not trunk[90:].any()
