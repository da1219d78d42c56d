"""Streaks are found where metal's rays pass, as bright as muscle tells there."""

import numpy as np
import pytest

from calciflow.deposits.rays import extent_in_slices, find_rays, noise_without, robust_slope
from calciflow.labels import TISSUES
from calciflow.measure.sinogram import paths

SPACING = (3.0, 2.0, 2.0)
SIZE = (9, 120, 160)
PLANE = 4
SCALE = np.array(SPACING[1:])


def square(row, column, half=4):
    y, x = np.mgrid[row - half : row + half + 1, column - half : column + half + 1]
    return np.stack([y.ravel(), x.ravel()], axis=1)


PAIR = np.concatenate([square(60, 40), square(60, 120)])
ONE = square(60, 40)


def field_of(metal, kind):
    """What rays through metal leave at every pixel of a slice: ``bands`` of hardening, or the ``share`` of variance."""
    y, x = np.mgrid[: SIZE[1], : SIZE[2]]
    places = np.stack([y.ravel(), x.ravel()], axis=1) * SCALE
    squares = paths(metal * SCALE, 4.0, 180, 3.0, 500.0).squared()
    values = -squares.filtered().back_projected(places) if kind == "bands" else squares.back_projected(places)
    return values.reshape(SIZE[1:])


def scene(metal, added, noise=10.0):
    """Muscle with noise, and what metal adds to its slice."""
    hu = np.random.default_rng(3).normal(50.0, noise, SIZE)
    hu[PLANE] += added
    labels = np.full(SIZE, TISSUES["muscle"], np.uint8)
    labels[PLANE][tuple(metal.T)] = TISSUES["bone"]
    return hu.clip(-1000, 3000).astype(np.int16), labels


def brightest(rays, row, column):
    return rays[PLANE].brightest(np.array([(row, column)]) * SCALE)


def test_what_hardening_adds_is_measured():
    """Muscle is brighter beside the band between two pieces, and darker in it."""
    band = field_of(PAIR, "bands")
    strength = 40.0 / band[50, 80]
    rays = find_rays(*scene(PAIR, strength * band), {PLANE: PAIR}, SPACING)
    there = rays[PLANE].bands.back_projected(np.array([(50, 80), (60, 80)]) * SCALE - rays[PLANE].origin)
    assert there[0] == pytest.approx(40.0, rel=0.25)
    assert there[1] < -100.0
    assert brightest(rays, 50, 80) > brightest(rays, 20, 80) + 20.0


def test_what_errs_at_random_is_measured_along_its_rays():
    share = field_of(ONE, "share")
    sigma = 40.0 * np.sqrt(share / share[60, 60])
    rays = find_rays(*scene(ONE, np.random.default_rng(5).normal(0, sigma)), {PLANE: ONE}, SPACING)
    found = rays[PLANE].spread.back_projected(np.array([(60, 60), (60, 100)]) * SCALE - rays[PLANE].origin) ** 0.5
    assert found == pytest.approx([40.0, sigma[60, 100]], rel=0.2)


def test_metal_without_streaks_explains_nothing():
    rays = find_rays(*scene(ONE, 0.0), {PLANE: ONE}, SPACING)
    assert brightest(rays, 60, 60) < 10.0


def test_a_slice_with_little_muscle_tells_nothing():
    hu, labels = scene(ONE, 0.0)
    labels[PLANE] = TISSUES["bone"]
    assert find_rays(hu, labels, {PLANE: ONE}, SPACING) == {}


def test_noise_is_that_of_the_slices_above_and_below():
    rng = np.random.default_rng(1)
    hu = np.stack([rng.normal(50.0, noise, SIZE[1:]) for noise in (8, 8, 8, 90, 90, 90, 16, 16, 16)]).astype(np.int16)
    labels = np.full(SIZE, TISSUES["muscle"], np.uint8)
    found = noise_without(hu, labels, np.array([3, 4, 5]), 3.0)
    assert [found[3], found[4], found[5]] == pytest.approx([10.0, 12.0, 14.0], rel=0.06)
    assert noise_without(hu, labels, np.arange(9), 3.0) == {}
    assert noise_without(hu, labels, np.array([], int), 3.0) == {}


def test_with_metal_in_all_slices_the_quietest_muscle_tells_the_noise():
    share = field_of(ONE, "share")
    hu, labels = scene(ONE, np.random.default_rng(5).normal(0, 40.0 * np.sqrt(share / share[60, 60])))
    rays = find_rays(hu[PLANE : PLANE + 1], labels[PLANE : PLANE + 1], {0: ONE}, SPACING)
    assert 10.0 <= rays[0].noise < 30.0
    assert rays[0].brightest(np.array([(60, 60)]) * SCALE) > 100.0


@pytest.mark.parametrize("turn", [0.0, 30.0, 90.0])
def test_length_and_width_of_a_bar_that_wanders(turn):
    """A bar of 40 by 8 mm that lies elsewhere in every slice."""
    y, x = np.mgrid[-30:31, -30:31] * 2.0
    along, across = np.deg2rad(turn), np.deg2rad(turn + 90)
    bar = np.abs(x * np.cos(along) + y * np.sin(along)) <= 20.5
    bar &= np.abs(x * np.cos(across) + y * np.sin(across)) <= 4.5
    voxels = np.concatenate([np.insert(np.argwhere(bar) + 9 * z, 0, z, axis=1) for z in range(3)])
    length, width, axis = extent_in_slices(voxels, SPACING)
    assert (length, width) == pytest.approx((41.0, 9.0), abs=1.5)
    assert abs(axis @ [np.sin(along), np.cos(along)]) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(("turn", "expected"), [(0, True), (5, True), (25, False), (90, False)])
def test_a_streak_points_at_metal(turn, expected):
    rays = find_rays(*scene(ONE, 0.0), {PLANE: ONE}, SPACING)[PLANE]
    steps = np.arange(-8, 9, 0.5)
    angle = np.deg2rad(turn)
    line = np.unique(np.round([(60 + t * np.sin(angle), 120 + t * np.cos(angle)) for t in steps]).astype(int), axis=0)
    assert rays.drawn(np.insert(line, 0, PLANE, axis=1), SPACING) is expected


def test_a_slope_is_not_drawn_away_by_fat():
    rng = np.random.default_rng(2)
    x = rng.normal(0, 1, 2000)
    y = 3.0 * x + rng.normal(0, 5, 2000)
    y[:100] = -150.0 * np.abs(x[:100])
    y[100:150] = 400.0 * x[100:150]
    assert robust_slope(x, y) == pytest.approx(3.0, abs=1.0)
    assert robust_slope(x, -x) == 0.0
