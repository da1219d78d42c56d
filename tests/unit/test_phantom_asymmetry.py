"""Bones of the two sides: mirror images when asked, else smoothly and independently bent."""

import numpy as np
import pytest

from calciflow.phantom.asymmetry import SMALL, bent, displacement, share_of
from calciflow.phantom.model import Person
from calciflow.phantom.shapes import Cone, Loft, Union
from calciflow.phantom.spec import PersonSpec

RIGHT = np.random.default_rng(0).uniform((30, -100, 0), (250, 100, 1700), (4000, 3))
MIRROR = np.array([-1.0, 1.0, 1.0])


def knots(bone):
    """Points (n, 3) that a bone's shape is made of."""
    parts, out = [bone.shape], []
    while parts:
        shape = parts.pop()
        if isinstance(shape, Union):
            parts += shape.shapes
        else:
            out += [getattr(shape, name) for name in ("a", "b", "c", "centre") if hasattr(shape, name)]
    return np.array(out)


def bones_of(**given):
    axial, free = Person.make(PersonSpec(**given), 7).bones()
    return {bone.name: bone for bone in axial + free}


@pytest.mark.parametrize("rms", [1.0, 3.0])
def test_displacement_has_the_size_that_was_asked_for(rms):
    sizes = [np.sqrt((displacement(RIGHT, seed, rms) ** 2).mean(axis=0)) for seed in range(20)]
    np.testing.assert_allclose(np.mean(sizes, axis=0), rms, rtol=0.1)


def test_one_side_says_nothing_about_the_other():
    for seed in range(10):
        one, other = displacement(RIGHT, seed, 2.0), displacement(RIGHT * MIRROR, seed, 2.0) * MIRROR
        for axis in range(3):
            assert abs(np.corrcoef(one[:, axis], other[:, axis])[0, 1]) < 0.6
        assert np.sqrt(((one - other) ** 2).mean()) > 0.7 * np.sqrt(2) * 2.0


def test_neighbours_move_together():
    """Over a joint's gap of 5 mm two bones come closer or part by far less than the gap."""
    gap = displacement(RIGHT + np.array([0, 0, 5.0]), 3, 4.0) - displacement(RIGHT, 3, 4.0)
    assert np.percentile(np.abs(gap), 95) < 2.5


def test_even_people_have_even_bones_and_uneven_ones_have_not():
    even, uneven = bones_of(), bones_of(asymmetry_mm=3.0)
    assert list(even) == list(uneven)
    moved = {name: np.sqrt(((knots(bone) - knots(even[name])) ** 2).sum(1).mean()) for name, bone in uneven.items()}
    paired = [name for name in moved if name.startswith(("left", "right"))]
    assert all(moved[name] == 0 for name in moved if name not in paired), "spine and skull have no twin"
    small = [moved[name] for name in paired if share_of(name) < 1]
    large = [moved[name] for name in paired if share_of(name) == 1]
    assert np.sqrt(np.mean(np.square(large))) == pytest.approx(3 * np.sqrt(3), rel=0.25)
    assert np.sqrt(np.mean(np.square(small))) == pytest.approx(SMALL * 3 * np.sqrt(3), rel=0.25)
    assert {name.split(" ", 1)[1] for name in paired if share_of(name) == 1} == {
        "humerus", "ulna", "radius", "femur", "patella", "tibia", "fibula", "scapula", "clavicle", "hip bone",
        *(f"rib {number}" for number in range(1, 13)),
    }  # fmt: skip


def test_a_bent_tube_stays_whole():
    femur = bones_of(asymmetry_mm=3.0)["left femur"].shape
    tubes = [child for child in femur.shapes if isinstance(child, Union)]
    assert tubes
    for tube in tubes:
        for one, next_one in zip(tube.shapes, tube.shapes[1:], strict=False):
            assert isinstance(one, Cone)
            np.testing.assert_array_equal(one.b, next_one.a)


def test_what_has_no_knots_is_refused():
    loft = Person.make(PersonSpec(), 1).trunk
    assert isinstance(loft, Loft)
    assert bent(loft, 1, 0.0) is loft
    with pytest.raises(ValueError, match="a Loft cannot be bent"):
        bent(loft, 1, 2.0)
