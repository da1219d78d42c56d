"""Symmetry: a piece of bone has its mirror image on the other side; a deposit that has none is told by that."""

from dataclasses import replace

import numpy as np
import pytest

from calciflow.anatomy.evidence import Surroundings
from calciflow.anatomy.judge import Candidate, Place, probability
from calciflow.anatomy.objects import Shape
from calciflow.anatomy.twin import BONE_MM, FARTHEST_MM, MOST, Twins, against_bone

PLANE = 7.0
SHAPE = Shape(0.5, 0.0, float("nan"), 6.0, 10.0, 800.0, 500.0, 20.0, 0.5, 15.0)
OBJECT = Candidate(2, SHAPE, Surroundings(0.0, 0.2, 55.0, 0.5), True, 1.0, 0.1, 0.5, (0.0, 0.0, 0.0))


def grid(x, y, z, step=2.0):
    axes = [np.arange(low, high, step) for low, high in (x, y, z)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)


def bone():
    """A shaft with a head that leans out: a rigid motion of it is seen in every direction. To the right, x < PLANE."""
    shaft, head = grid((-90, -70), (-10, 10), (-60, 60)), grid((-120, -90), (-6, 20), (10, 30))
    hollow = (np.abs(shaft[:, 0] + 80) > 6) | (np.abs(shaft[:, 1]) > 6)
    return np.concatenate([shaft[hollow], head])


def mirrored(points):
    return points * (-1, 1, 1) + (2 * PLANE, 0, 0)


def turned(points, degrees, shift):
    """Points of one limb that is held differently: turned about its own axis, and moved."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    centre = points.mean(0)
    return (points - centre) @ turn.T + centre + shift


def scene(own, other, piece, twin=None):
    """Labels: 1 bone of this side, 3 of the other, 2 the object, 4 what lies in the place of its mirror image."""
    parts = [own, piece, other, *([] if twin is None else [twin])]
    labels = np.repeat([1, 2, 3, 4][: len(parts)], [len(part) for part in parts]).astype(np.int32)
    return Twins(np.concatenate(parts), labels, np.isin(labels, (1, 3)), PLANE)


PIECE = grid((-66, -60), (-4, 4), (-4, 6))
"""Beside the shaft, 4 mm from it and 4 to 10 mm thick."""


@pytest.mark.parametrize(("degrees", "shift"), [(0, (0, 0, 0)), (8, (3, 2, 1)), (-12, (0, 4, -3))])
def test_a_deposit_beside_bone_has_no_mirror_image_and_a_piece_of_bone_has(degrees, shift):
    other = turned(mirrored(np.concatenate([bone(), PIECE])), degrees, shift)
    shaft, twin = other[: len(bone())], other[len(bone()) :]
    alone = scene(bone(), shaft, PIECE).apart_mm(OBJECT, Place("thigh"))
    # Its middle lies 8 mm from the shaft; blocks of 2 mm are fitted to a block and a half.
    assert alone == pytest.approx(8.0, abs=3.0)
    both = scene(bone(), shaft, PIECE, twin).apart_mm(OBJECT, Place("thigh"))
    assert both < BONE_MM
    assert against_bone(both) == 0.0 < against_bone(alone)


def test_sides_that_differ_by_what_people_differ_by_are_alike():
    """Bone of the other side, bent by up to 3 mm: its piece is no deposit."""
    rng = np.random.default_rng(1)
    other = mirrored(np.concatenate([bone(), PIECE]))
    wave = 3.0 * np.sin(other[:, [2]] / 20.0 + rng.uniform(0, 6, 3)) * rng.uniform(0.4, 1.0, 3)
    other = other + wave
    apart = scene(bone(), other[: len(bone())], PIECE, other[len(bone()) :]).apart_mm(OBJECT, Place("thigh"))
    assert against_bone(apart) == 0.0


def test_symmetry_says_nothing_where_the_sides_cannot_be_compared():
    other = mirrored(bone())
    assert scene(bone(), other, PIECE).apart_mm(OBJECT, Place("thigh")) is not None
    # One limb in view.
    assert scene(bone(), other[:40], PIECE).apart_mm(OBJECT, Place("thigh")) is None
    # An arm that hangs, and one that is raised.
    raised = other[:, [0, 2, 1]] * (1, 1, -1) + np.array([0, 150, 0])
    assert scene(bone(), raised, PIECE).apart_mm(OBJECT, Place("thigh")) is None
    # The fit has run along to the next bone.
    assert scene(bone(), other + np.array([FARTHEST_MM + 4, 0, 0]), PIECE).apart_mm(OBJECT, Place("thigh")) is None
    # Disease eats the ends of fingers on one side.
    assert scene(bone(), other, PIECE).apart_mm(OBJECT, Place("fingers")) is None
    # The cartilage of ribs hardens as it likes; behind, it has none, and a deposit that hangs on a rib is none. A piece
    # apart is a rib in slices of 5 mm (seven in two phantoms with uneven sides), and falls between two of the others.
    free = replace(OBJECT, tied=False)
    assert scene(bone(), other, PIECE).apart_mm(free, Place("chest", by_cavity=True)) is None
    assert scene(bone(), other, PIECE).apart_mm(OBJECT, Place("abdomen", by_cavity=True)) is None
    assert scene(bone(), other, PIECE).apart_mm(OBJECT, Place("chest")) is not None
    assert scene(bone(), other, PIECE).apart_mm(OBJECT, Place("chest", by_cavity=True, dorsal=True)) is not None
    assert scene(bone(), other, PIECE).apart_mm(free, Place("chest", by_cavity=True, dorsal=True)) is None
    assert scene(bone(), other, PIECE).apart_mm(free, Place("chest", dorsal=True)) is not None
    # A few blocks.
    small = replace(OBJECT, shape=replace(SHAPE, volume_ml=0.05))
    assert scene(bone(), other, PIECE).apart_mm(small, Place("thigh")) is None
    # At the midline an object is its own mirror image.
    middle = grid((PLANE - 4, PLANE + 4), (-4, 4), (-4, 6))
    near = bone() + np.array([55, 0, 0])
    assert scene(near, mirrored(near), middle).apart_mm(OBJECT, Place("chest")) is None


def test_symmetry_weighs_but_does_not_decide():
    assert [against_bone(apart) for apart in (None, 0.0, BONE_MM, BONE_MM + 2.0, 50.0)] == [0.0, 0.0, 0.0, 2.0, MOST]
    place = Place("chest", aside_mm=40.0)
    before = probability(OBJECT, place)
    assert probability(OBJECT, place, 2.0) < before
    inside = replace(OBJECT, around=replace(OBJECT.around, enclosed=0.9, bed_hu=150.0))
    assert probability(inside, place, MOST) == probability(inside, place)
