"""Where dense objects lie, on a trunk of blocks whose rows go from the back to the front."""

import numpy as np
import pytest

from calciflow.anatomy.evidence import Surroundings
from calciflow.anatomy.grid import blocks
from calciflow.anatomy.judge import Candidate
from calciflow.anatomy.objects import Shape
from calciflow.anatomy.places import MIDDLE_MM, middle_rows, places
from calciflow.anatomy.skeleton import Finding
from calciflow.labels import region_label

STEP = 4.0
SHAPE = (12, 50, 70)
Z, Y, X = np.meshgrid(*[(np.arange(n) - n // 2) * STEP for n in SHAPE], indexing="ij")
AROUND = np.hypot(Y, X)
CAVITY = AROUND < 70.0


NEXT = (np.abs(AROUND - 76.0) < 4.0) & (np.abs(Z - 20.0) < 3.0)
"""A rib above the others, that is sure."""


def place_of(mask, cavity, ribs=None, others=None, tied=False, sure=NEXT):
    """Where the one object of a body is that lies in the chest, with a sure bone."""
    grid = blocks(SHAPE, (STEP,) * 3, STEP)
    labels = mask.astype(np.int32)
    labels[sure] = 3
    group = np.array([0, 1, 1, 2], np.int32)
    if others is not None:
        labels[others] = 2
    regions = np.where(AROUND < 95.0, region_label("chest", "left"), 0).astype(np.uint8)
    nothing = np.zeros(SHAPE, bool)
    hu = np.zeros(SHAPE, np.float32)
    shape = Shape(**dict.fromkeys(Shape.__dataclass_fields__, 1.0))
    candidates = []
    for label, where in ((1, mask), (2, others)):
        if where is not None:
            centre = tuple(float(v) for v in np.argwhere(where).mean(0))
            around = Surroundings(0.0, 0.0, 50.0, 0.5)
            candidates.append(Candidate(label, shape, around, tied, 0.0, 0.0, 0.0, centre))
    finding = Finding(nothing, nothing, labels, np.array([False, False, False, True]), candidates, hu, nothing, group)
    aside = np.abs(X[:1, :1]).astype(np.float32)
    return places(finding, regions, cavity, nothing if ribs is None else ribs, aside, grid, grid)(candidates[0])


def arc(radius_mm, front):
    return (np.abs(AROUND - radius_mm) < 4.0) & ((Y > 10.0) == front) & (np.abs(Y) > 10.0) & (np.abs(Z) < 5.0)


def test_a_bent_rib_lies_where_its_voxels_lie():
    """The middle of a rib lies in the lung: two ribs were taken for things inside the chest."""
    rib = arc(76.0, front=False)
    layer = (AROUND >= 70.0) & (AROUND < 85.0)
    place = place_of(rib, CAVITY, layer)
    assert place.among_ribs
    assert place.dorsal
    assert not place.in_cavity
    below = place_of(rib, CAVITY)  # the lungs, as the twelfth rib
    assert below.by_cavity
    assert not below.in_cavity


def test_bowel_that_stands_before_the_cavity_is_in_it():
    """A bent loop in front that contrast agent fills hid the cavity behind it, as bone would."""
    loop = arc(60.0, front=True)
    assert place_of(loop, CAVITY & ~loop & (AROUND < 56.0)).in_cavity


def test_what_hangs_together_with_a_piece_of_rib_is_rib():
    """The first rib leaves the lung at both ends."""
    layer = (AROUND >= 70.0) & (AROUND < 85.0) & (X > 40.0)
    far = arc(76.0, front=True) & (X < 0.0)
    rest = arc(76.0, front=True) & (X >= 0.0)
    assert not place_of(far, CAVITY, layer).among_ribs
    assert place_of(far, CAVITY, layer, rest).among_ribs
    assert not place_of(far, CAVITY, layer, rest, tied=True).among_ribs, "all bones hang together"


def test_no_rib_is_far_from_all_bones():
    """Deposits in the belly's wall under the costal arch, which the lungs come near to, were taken for ribs."""
    layer = (AROUND >= 70.0) & (AROUND < 85.0)
    deposit = (np.abs(AROUND - 76.0) < 4.0) & (np.abs(X) < 6.0) & (Y > 0.0) & (np.abs(Z) < 3.0)
    assert place_of(deposit, CAVITY, layer).among_ribs
    assert not place_of(deposit, CAVITY, layer, sure=NEXT & (Y < 40.0)).among_ribs
    beside = (np.abs(AROUND - 76.0) < 4.0) & (np.abs(X - 20.0) < 6.0) & (Y > 0.0) & (np.abs(Z) < 3.0)
    assert place_of(deposit, CAVITY, layer, beside, sure=NEXT & (Y < 40.0)).among_ribs, "all ribs may be in pieces"
    beyond = (np.abs(AROUND - 76.0) < 4.0) & (X > 66.0) & (Y > 0.0) & (np.abs(Z) < 3.0)
    assert not place_of(deposit, CAVITY, layer, beyond, sure=NEXT & (Y < 40.0)).among_ribs


def test_region_and_distance_from_the_midline():
    place = place_of((np.abs(X - 40.0) < 3.0) & (np.abs(Y - 20.0) < 3.0) & (np.abs(Z) < 5.0), CAVITY)
    assert place.region == "chest"
    assert place.in_cavity
    assert not place.dorsal
    assert place.aside_mm == pytest.approx(40.0, abs=0.1)


def test_the_middle_between_back_and_front_knows_no_arms():
    """Row of the middle of a trunk's section; arms before it, far from the midline, don't count."""
    regions = np.zeros((3, 40, 61), np.uint8)
    aside = np.broadcast_to(np.abs(np.arange(61) - 30.0) * 4.0, regions.shape).astype(np.float32)
    regions[:2, 10:21, 20:41] = region_label("chest", "left")
    regions[:2, 30:36, :10] = region_label("forearm", "left")
    assert aside[0, 0, 9] > MIDDLE_MM
    rows = middle_rows(regions, aside)
    assert rows[:2] == pytest.approx([15.0, 15.0])
    assert rows[2] == -1.0  # no body: nothing lies behind its middle
