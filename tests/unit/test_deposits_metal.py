"""Streaks of metal fade with distance: what they may explain does too."""

from bisect import bisect_left

import numpy as np
import pytest

from calciflow.deposits.ct import Deposit
from calciflow.deposits.metal import beside_metal, find_metal, is_streak
from calciflow.labels import TISSUES
from calciflow.measure.density import Density

SPACING = (3.0, 2.0, 2.0)
SIZE = (30, 200, 200)
SLICES = range(10, 20)
STREAK_MM = 60.0
STRONG = 60.0
"""Standard deviation of streaks up to 30 mm from the metal, HU."""


def body(amplitude, metals=((100, 100),), noise=8.0, septa=0.0):
    """Muscle of 50 HU, 400 mm wide, with metal in its middle slices, whose streaks are lines that fade beyond 30 mm.

    A part ``septa`` of it is fat between muscles.
    """
    rng = np.random.default_rng(11)
    hu = rng.normal(50.0, noise, SIZE)
    y, x = np.indices(SIZE[1:])
    for plane in SLICES:
        for row, column in metals:
            apart = np.hypot((y - row) * SPACING[1], (x - column) * SPACING[2])
            lines = rng.normal(0.0, amplitude, 180)
            angle = ((np.arctan2(y - row, x - column) + np.pi) / (2 * np.pi) * 180).astype(int) % 180
            hu[plane] += lines[angle] * 30.0 / np.maximum(apart, 30.0)
    hu[rng.uniform(size=SIZE) < septa] = -80.0
    for plane in SLICES:
        for row, column in metals:
            hu[plane][np.hypot(y - row, x - column) < 6] = 3071
    labels = np.full(SIZE, TISSUES["muscle"], np.uint8)
    labels[hu > 2500] = TISSUES["bone"]
    return find_metal(np.clip(hu, -1000, 3071).astype(np.int16), labels, SPACING)


def deposit(rise, apart_mm, plane=15, long=1):
    """A deposit of three voxels across by ``long`` away from the metal in the middle, so many HU over muscle."""
    column = 100 + round(apart_mm / SPACING[2])
    box = (slice(plane, plane + 1), slice(99, 102), slice(column, column + long))
    mask = np.ones((1, 3, long), bool)
    density = Density(0.04, rise, 50.0 + rise, 50.0 + rise, 0.0, 50.0 + rise, 50.0)
    return Deposit(box, mask, mask, density, None, (plane, 100, column), 10.0)


def limit(metal, apart_mm):
    """Rise of the brightest thing that passes for a streak so far from the metal."""
    rises = range(5, 1500, 5)
    return rises[
        bisect_left(rises, True, key=lambda rise: not is_streak(deposit(float(rise), apart_mm), metal, SPACING)) - 1
    ]


def test_a_nodule_far_from_metal_is_no_streak_where_one_beside_it_is():
    """A nodule of a finger, 176 HU over muscle and 150 mm from a prosthesis, passed for a streak: the limit was 180."""
    metal = body(STRONG)
    near = limit(metal, STREAK_MM + 4.0)
    assert near > 100.0
    rise = 0.9 * near
    assert is_streak(deposit(rise, STREAK_MM + 4.0), metal, SPACING)
    assert not is_streak(deposit(rise, 150.0), metal, SPACING)


def test_the_limit_falls_as_streaks_do():
    metal = body(STRONG)
    first, second = limit(metal, 90.0), limit(metal, 180.0)
    assert second == pytest.approx(first * 0.5**0.5, abs=6.0)


@pytest.mark.parametrize("apart", [70.0, 100.0, 150.0, 180.0])
def test_streaks_that_fade_stay_under_the_limit(apart):
    """Three standard deviations, the brightest of 180 lines, are explained at any distance."""
    assert limit(body(STRONG), apart) >= 3.0 * STRONG * 30.0 / apart


def test_between_two_pieces_the_nearer_tells_the_distance():
    """Two hips: their common centre is where neither is."""
    pair = body(STRONG, ((100, 40), (100, 160)))
    beside = limit(pair, 120.0 - 20.0)
    assert beside > limit(pair, 20.0), "20 mm from the right hip, against 100 mm from either"


def test_other_slices_have_no_streaks():
    assert not is_streak(deposit(20.0, 40.0, plane=5), body(STRONG), SPACING)
    assert not len(body(0.0, ()).slices)


def test_weak_streaks_are_felt_among_fat():
    """A twentieth of muscle that is fat darkens as much as streaks of 20 HU do: the darkest of muscle told nothing."""
    metal = body(20.0, septa=0.05)
    assert is_streak(deposit(75.0, 30.0), metal, SPACING)
    assert not is_streak(deposit(75.0, 30.0), body(0.5, septa=0.05), SPACING)
    assert not is_streak(deposit(300.0, 30.0), metal, SPACING)


def test_more_is_allowed_to_what_is_drawn_along_a_ray():
    metal = body(STRONG)
    rise = 1.5 * limit(metal, 60.0)
    assert not is_streak(deposit(rise, 60.0), metal, SPACING), "across the rays"
    assert not is_streak(deposit(rise, 60.0, long=3), metal, SPACING), "as long as wide"
    assert is_streak(deposit(rise, 60.0, long=9), metal, SPACING)
    assert not is_streak(deposit(3.0 * rise, 60.0, long=9), metal, SPACING), "brighter than any streak"


def test_what_streaks_may_have_raised_is_flagged():
    metal = body(STRONG)
    assert beside_metal(deposit(2.0 * limit(metal, 60.0), 60.0), metal, SPACING)
    assert not beside_metal(deposit(400.0, 60.0, plane=5), metal, SPACING)
    assert not beside_metal(deposit(400.0, 60.0), body(0.5), SPACING)
