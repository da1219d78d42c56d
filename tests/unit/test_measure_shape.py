"""Extent and morphology of drawn shapes."""

import numpy as np
import pytest

from calciflow.measure.boxes import box_of, dilate_voxels, distance_to, grow, widen
from calciflow.measure.distance import Distances
from calciflow.measure.shape import measure_shape

SPACING = (2.0, 1.0, 1.0)


def drawn(rule, half=40):
    z, y, x = np.meshgrid(
        np.arange(-half, half + 1, SPACING[0]), np.arange(-half, half + 1), np.arange(-half, half + 1), indexing="ij"
    )
    return rule(z, y, x)


def test_ball_is_a_nodule_and_a_large_one_tumoral():
    small = measure_shape(drawn(lambda z, y, x: z**2 + y**2 + x**2 <= 8**2), SPACING)
    assert small.morphology == "nodule"
    assert small.length_mm == pytest.approx(17, abs=1.5)
    assert small.depth_mm == pytest.approx(17, abs=1.5)
    assert small.thickness_mm == pytest.approx(16, abs=2)
    assert measure_shape(drawn(lambda z, y, x: z**2 + y**2 + x**2 <= 16**2), SPACING).morphology == "tumoral"


def test_disc_and_bent_plate_are_sheets():
    disc = measure_shape(drawn(lambda z, y, x: (np.abs(y) <= 1.5) & (z**2 + x**2 <= 15**2)), SPACING)
    assert disc.morphology == "sheet"
    assert disc.thickness_mm < 5
    radius = lambda z, y, x: np.sqrt((y + 30) ** 2 + x**2)  # noqa: E731
    bent = drawn(
        lambda z, y, x: (np.abs(radius(z, y, x) - 30) <= 1.5) & (np.abs(z) <= 15) & (np.abs(x) <= 20) & (y > -30)
    )
    assert measure_shape(bent, SPACING).morphology == "sheet"


def test_net_is_reticular():
    net = drawn(
        lambda z, y, x: (
            (np.abs(y) <= 1)
            & (np.abs(z) <= 24)
            & (np.abs(x) <= 24)
            & ((np.mod(z + 100, 16) < 2) | (np.mod(x + 100, 16) < 2))
        )
    )
    assert measure_shape(net, SPACING).morphology in ("reticular", "sheet")
    thin = drawn(lambda z, y, x: (np.abs(y) <= 1) & (((z == 0) & (np.abs(x) <= 24)) | ((x == 0) & (np.abs(z) <= 24))))
    assert measure_shape(thin, SPACING).morphology == "reticular"


def test_single_voxel_has_a_shape():
    mask = np.zeros((3, 3, 3), bool)
    mask[1, 1, 1] = True
    shape = measure_shape(mask, SPACING)
    assert shape.morphology == "nodule"
    assert shape.length_mm == pytest.approx(2.0)


def test_boxes_and_dilation_in_millimetres():
    mask = np.zeros((9, 20, 20), bool)
    mask[4, 10, 10] = True
    wide = widen(mask, 3.0, SPACING)
    assert wide[4, 10, 13]
    assert not wide[4, 10, 14]
    assert wide[5, 10, 10]
    assert not wide[6, 10, 10]
    assert box_of(np.zeros((2, 2, 2), bool)) is None
    assert grow((slice(4, 5), slice(0, 1), slice(19, 20)), 2.0, SPACING, mask.shape) == (
        slice(3, 6),
        slice(0, 3),
        slice(17, 20),
    )
    assert int(dilate_voxels(mask, (1, 1, 1)).sum()) == 27
    assert np.isinf(distance_to(np.zeros((2, 2, 2), bool), SPACING)).all()


def test_distances_near_and_far():
    target = np.zeros((40, 100, 100), bool)
    target[20, 50, 50] = True
    lesion = np.ones((1, 1, 1), bool)
    distances = Distances(target, SPACING)
    # Between the faces: three voxels apart by their centres, two voxels of gap between.
    assert distances.nearest(lesion, (slice(20, 21), slice(50, 51), slice(53, 54))) == pytest.approx(2.0)
    far = distances.nearest(lesion, (slice(20, 21), slice(50, 51), slice(95, 96)))
    assert far == pytest.approx(44.0, abs=5.0)
    nothing = Distances(np.zeros((4, 4, 4), bool), SPACING)
    assert np.isnan(nothing.nearest(lesion, (slice(0, 1), slice(0, 1), slice(0, 1))))
