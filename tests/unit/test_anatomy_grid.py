"""Coarse grids and morphology in millimetres, against distance maps and hand counts."""

import numpy as np
import pytest

from calciflow.anatomy.grid import (
    block_mean,
    blocks,
    bounding_box,
    closed,
    covered,
    dilate,
    distance,
    erode,
    expand,
    expand_box,
    opened,
    transfer,
)

SPACING = (3.0, 1.5, 2.0)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("radius", [1.0, 2.0, 4.5, 9.0])
def test_dilation_and_erosion_are_thresholds_of_the_distance_map(radius, flat):
    rng = np.random.default_rng(1)
    seeds = rng.random((37, 50, 61)) > 0.99
    # An independent route: the Euclidean distance transform.
    assert np.array_equal(dilate(seeds, radius, SPACING, flat), distance(~seeds, SPACING, flat) <= radius + 1e-4)
    solid = distance(~seeds, SPACING) <= 6.0
    assert np.array_equal(erode(solid, radius, SPACING, flat), distance(solid, SPACING, flat) > radius + 1e-4)


def test_dilation_of_one_voxel_is_a_ball_of_the_right_volume():
    mask = np.zeros((41, 41, 41), bool)
    mask[20, 20, 20] = True
    ball = dilate(mask, 15.0, (1.0, 1.0, 1.0))
    assert ball.sum() == pytest.approx(4 / 3 * np.pi * 15**3, rel=0.01)


def test_nothing_comes_in_from_outside_the_array():
    mask = np.zeros((9, 9, 9), bool)
    mask[0, 0, 0] = True
    grown = dilate(mask, 2.0, (1.0, 1.0, 1.0))
    assert not grown[-1].any()
    assert not grown[:, -1].any()
    assert not grown[:, :, -1].any()
    assert erode(np.ones((5, 5, 5), bool), 2.0, (1.0, 1.0, 1.0)).all()  # the border is no outside


def test_opening_removes_thin_things_and_closing_fills_gaps():
    mask = np.zeros((30, 30, 30), bool)
    mask[5:25, 5:25, 5:25] = True
    mask[10, 10, 25:30] = True
    mask[5:25, 5:25, 14] = False
    step = (1.0, 1.0, 1.0)
    assert not opened(mask, 2.0, step)[10, 10, 28]
    assert closed(mask, 2.0, step)[15, 15, 14]


def test_block_means_against_loops():
    rng = np.random.default_rng(2)
    array = rng.integers(-1000, 1000, (7, 10, 11)).astype(np.int16)
    grid = blocks(array.shape, (2.0, 1.0, 1.0), 4.0)
    assert grid.factors == (2, 4, 4)
    assert grid.shape == (4, 3, 3)
    mean = block_mean(array, grid)
    for z in range(4):
        for y in range(3):
            for x in range(3):
                part = array[2 * z : 2 * z + 2, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4]
                assert mean[z, y, x] == pytest.approx(part.mean(), abs=1e-3)


def test_expanding_gives_each_voxel_its_block():
    grid = blocks((5, 6, 7), (1.0, 1.0, 1.0), 2.0)
    numbers = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    fine = expand(numbers, grid)
    assert fine.shape == (5, 6, 7)
    assert fine[4, 5, 6] == numbers[2, 2, 3]
    for z, y, x in np.ndindex(5, 6, 7):
        assert fine[z, y, x] == numbers[z // 2, y // 2, x // 2]


@pytest.mark.parametrize("sizes", [(2.0, 4.0), (2.0, 5.0)])
def test_share_of_a_block_that_a_mask_covers(sizes):
    shape, step = (10, 20, 20), (1.0, 1.0, 1.0)
    source, target = blocks(shape, step, sizes[0]), blocks(shape, step, sizes[1])
    mask = np.random.default_rng(5).random(source.shape) > 0.5
    fine = block_mean(expand(mask.view(np.uint8), source), target)
    assert np.allclose(covered(mask, source, target), fine, atol=0.26)  # blocks at the end may be incomplete
    inner = tuple(slice(0, n - 1) for n in target.shape)
    assert np.allclose(covered(mask, source, target)[inner], fine[inner], atol=1e-6)


def test_transfer_between_grids_keeps_places():
    fine_shape, step = (20, 40, 40), (3.0, 1.0, 1.0)
    coarse, middle = blocks(fine_shape, step, 4.0), blocks(fine_shape, step, 2.0)
    mask = np.zeros(coarse.shape, bool)
    mask[:, :, 5:] = True
    moved = transfer(mask, coarse, middle)
    assert not moved[:, :, :10].any()
    assert moved[:, :, 10:].all()


def test_bounding_box_of_a_mask_and_of_nothing():
    mask = np.zeros((5, 6, 7), bool)
    assert bounding_box(mask) == (slice(0, 5), slice(0, 6), slice(0, 7))
    mask[2, 3, 4] = True
    assert bounding_box(mask, 1) == (slice(1, 4), slice(2, 5), slice(3, 6))


@pytest.mark.parametrize("shape", [(7, 11, 13), (8, 12, 12)])
def test_a_mask_expanded_in_its_own_box_is_the_mask_expanded(shape):
    grid = blocks(shape, (3.0, 1.5, 1.5), 4.0)
    rng = np.random.default_rng(0)
    for share in (0.0, 0.05, 0.9):
        mask = rng.random(grid.shape) < share
        box, fine = expand_box(mask, grid)
        whole = np.zeros(shape, bool)
        whole[box] = fine
        np.testing.assert_array_equal(whole, expand(mask, grid))
