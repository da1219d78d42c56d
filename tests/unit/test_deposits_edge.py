"""Bone's blurred edge against deposits beside it, on analytic bones of known blur."""

import numpy as np
import pytest
from scipy.special import erf

from calciflow.deposits.ct import edge_fall, height_over_noise, stands_out
from calciflow.deposits.edge import beyond_edge, edge_reach
from calciflow.measure.boxes import dilate_voxels

SOFT, BONE = 50.0, 1000.0


def slab(step, sigma, offset):
    """A bone that ends at ``offset`` mm along the last axis, blurred; its voxels by majority are the skeleton."""
    x = np.arange(24) * step
    hu = SOFT + (BONE - SOFT) * 0.5 * (1 - erf((x - offset) / (np.sqrt(2) * sigma)))
    grid = np.broadcast_to(hu, (9, 9, 24)).astype(np.int16).copy()
    return grid, np.broadcast_to(x < offset, grid.shape).copy()


def beyond(hu, skeleton, step, sigma):
    over = ~skeleton & (hu >= 130)
    threshold = np.full(len(hu), 130.0, np.float32)
    return beyond_edge(hu, over, skeleton, threshold, SOFT, (sigma, sigma, sigma), (step, step, step))


@pytest.mark.parametrize(("step", "sigma"), [(2.0, 0.84), (1.0, 0.7), (2.0, 1.2)])
@pytest.mark.parametrize("part", [0.0, 0.25, 0.5, 0.75])
def test_bones_own_edge_is_explained_wherever_it_falls_in_the_voxels(step, sigma, part):
    hu, skeleton = slab(step, sigma, (10 + part) * step)
    # Only within half a voxel beyond the border does the edge pass the threshold at all.
    assert (~skeleton & (hu >= 130)).any() == (part != 0.25 or sigma > 0.42 * step)
    assert not beyond(hu, skeleton, step, sigma).any()


@pytest.mark.parametrize("part", [0.25, 0.75])
def test_a_nodule_two_voxels_from_bone_is_more_than_its_edge(part):
    hu, skeleton = slab(2.0, 0.84, (10 + part) * 2.0)
    at = int(np.flatnonzero(skeleton[4, 4])[-1]) + 2
    hu[4, 4, at] += 300
    found = beyond(hu, skeleton, 2.0, 0.84)
    assert found[4, 4, at]
    assert found.sum() == 1


def test_far_from_bone_the_threshold_alone_decides():
    hu, skeleton = slab(2.0, 0.84, 20.0)
    hu[4, 4, 18] = 130
    hu[4, 4, 20] = 129
    found = beyond(hu, skeleton, 2.0, 0.84)
    assert found[4, 4, 18]
    assert not found[4, 4, 20]
    none = np.zeros_like(skeleton)
    assert (beyond(hu, none, 2.0, 0.84) == (hu >= 130)).all()


def test_reach_grows_with_blur_and_is_never_nothing():
    assert edge_reach((2.0, 2.0, 2.0), (0.58, 0.6, 0.6)) == (1, 1, 1)
    assert edge_reach((5.0, 1.0, 1.0), (1.44, 1.2, 1.2))[1] > edge_reach((5.0, 1.0, 1.0), (1.44, 0.6, 0.6))[1]


def test_a_deposit_that_touches_bone_stands_out_and_a_bone_drawn_too_thin_does_not():
    hu, skeleton = slab(2.0, 0.84, 21.8)
    rim = dilate_voxels(skeleton, (1, 1, 1))
    thin = np.roll(skeleton, -1, axis=2)
    thin[..., -1] = False
    edge = ~skeleton & (hu >= 130)
    assert edge.any()
    fall = edge_fall((2.0, 2.0, 2.0), (0.84, 0.84, 0.84))
    assert not stands_out(hu, edge & ~dilate_voxels(thin, (1, 1, 1)), thin, dilate_voxels(thin, (1, 1, 1)), fall)
    hu[3:6, 3:6, 12:16] = 500
    assert stands_out(hu, ~rim & (hu >= 130), skeleton, rim, fall)


def test_a_small_deposit_between_fat_and_muscle_is_told_by_its_height():
    hu = np.full((1, 5, 5), -100, np.int16)
    hu[:, :, 3:] = 55
    hu[0, 2, 2] = 176
    seed = hu > 130
    assert height_over_noise(hu, seed, np.array([7.0], np.float32)) == pytest.approx((176 - 70) / 7)


@pytest.mark.parametrize(("step", "sigma"), [(2.0, 0.84), (1.0, 0.7), (2.0, 1.2), (1.5, 1.0), (4.0, 1.2)])
@pytest.mark.parametrize("part", [0.0, 0.2, 0.4, 0.6, 0.8])
def test_the_edge_of_a_bone_drawn_a_voxel_too_thin_falls_faster(step, sigma, part):
    hu, skeleton = slab(step, sigma, (10 + part) * step)
    thin = np.roll(skeleton, -1, axis=2)
    thin[..., -1] = False
    rim = dilate_voxels(thin, (1, 1, 1))
    seed = ~rim & (hu >= 130)
    fall = edge_fall((step,) * 3, (sigma,) * 3)
    assert 0.5 < fall < 0.7
    assert not stands_out(hu, seed, thin, rim, fall)


def test_a_fingertips_nodule_beside_the_phalanx_stands_out():
    """In slices of 4 mm its brightest voxels lie in the bone's rim, and the one beyond keeps 0.62 of their height."""
    hu = np.full((3, 9, 9), 40, np.int16)
    skeleton = np.zeros(hu.shape, bool)
    hu[2, 5:, 2:6], skeleton[2, 5:, 2:6] = 575, True
    hu[1, 4, 4:7] = (446, 463, 210)
    hu[1, 3, 4:6] = (304, 120)
    rim = dilate_voxels(skeleton, (1, 1, 1))
    seed = ~rim & (hu >= 130)
    assert seed[1, 3, 4]
    assert stands_out(hu, seed, skeleton, rim, edge_fall((4.0, 1.45, 1.45), (1.15, 0.98, 0.98)))
