"""Foci on the slope or the plateau of a bladder, and foci beside one, blurred as a scanner blurs them."""

import numpy as np
import pytest
from scipy import ndimage

from calciflow.deposits.pet import Focus
from calciflow.deposits.reference import Uptakes
from calciflow.deposits.scene import PetScene
from calciflow.deposits.uphill import belongs_to_organ
from calciflow.images import Volume
from calciflow.measure.spill import Spill

STEP, FWHM = 2.0, 6.0
SHAPE = (30, 40, 60)
Z, Y, X = np.meshgrid(*[(np.arange(n) - n // 2) * STEP for n in SHAPE], indexing="ij")


def scene_of(true, organs, noise=0.0):
    suv = ndimage.gaussian_filter(true.astype(np.float64), FWHM / 2.3548 / STEP)
    suv += ndimage.gaussian_filter(np.random.default_rng(1).normal(0, 1, SHAPE), 1.0) * noise * 8
    suv = suv.astype(np.float32)
    zeros = np.zeros_like(suv)
    background = np.ones_like(suv)
    shares = {"organs": organs.astype(np.float32), "bone": zeros.copy()}
    uptakes = Uptakes(2.0, 1.0, 2.0, "blood pool in the chest", 0.1, 6.0)
    grid = Volume(suv, np.diag([STEP, STEP, STEP, 1.0]))
    return PetScene(grid, shares, Spill(zeros, zeros), background, zeros, suv, zeros, uptakes, FWHM)


def focus_at(x, scene, organs):
    """What is hot around the highest voxel there, outside the organs, as far as a blur's width."""
    peak = (SHAPE[0] // 2, SHAPE[1] // 2, SHAPE[2] // 2 + round(x / STEP))
    near = (np.hypot(np.hypot(X - x, Y), Z) < FWHM) & (scene.suv.array > 0.5 * scene.suv.array[peak]) & ~organs
    voxels = np.argwhere(near)
    return Focus(voxels, voxels, np.ones(len(voxels), np.float32), peak, 20.0, 0.0, 0.0)


BLADDER = np.where(np.hypot(np.hypot(X + 30, Y), Z) < 24, 25.0, 1.0)  # its edge lies at x = -6


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("short_mm", [2.0, 6.0, 10.0])
def test_the_rim_of_a_bladder_that_the_map_drew_too_small_is_the_bladders(short_mm, noise):
    organs = np.hypot(np.hypot(X + 30, Y), Z) < 24 - short_mm
    scene = scene_of(BLADDER, organs, noise)
    for x in (-2.0, -8.0, -12.0):
        assert belongs_to_organ(focus_at(x, scene, organs), scene)


@pytest.mark.parametrize("away_mm", [14.0, 20.0])
def test_a_focus_beside_a_bladder_has_a_summit_of_its_own(away_mm):
    lesion = np.hypot(np.hypot(X + 6 - away_mm, Y), Z) < 4
    scene = scene_of(BLADDER + 25.0 * lesion, BLADDER > 2)
    assert not belongs_to_organ(focus_at(-6.0 + away_mm, scene, BLADDER > 2), scene)


@pytest.mark.parametrize("radius_mm", [2.0, 4.0, 7.0])
def test_a_focus_in_the_wall_of_a_cool_organ_is_its_own(radius_mm):
    """Its blur reaches into the organ."""
    lesion = np.hypot(np.hypot(X + 4 - radius_mm, Y), Z) < radius_mm
    scene = scene_of(1.0 + 20.0 * lesion, X < -4)
    assert not belongs_to_organ(focus_at(-4.0 + radius_mm, scene, X < -4), scene)


def test_a_hot_muscle_beside_a_cool_organ_is_no_organ():
    scene = scene_of(np.where(X > -6, 10.0, 1.0), X <= -6)
    assert not belongs_to_organ(focus_at(2.0, scene, X <= -6), scene)


def test_a_bone_between_focus_and_bladder_joins_them_not():
    bone = (X > -6) & (X < 8)
    true = np.where(bone, 12.0, BLADDER + 14.0 * (np.hypot(np.hypot(X - 14, Y), Z) < 4))
    scene = scene_of(true, BLADDER > 2)
    assert belongs_to_organ(focus_at(14.0, scene, BLADDER > 2), scene)
    scene.shares["bone"][:] = bone
    assert not belongs_to_organ(focus_at(14.0, scene, BLADDER > 2), scene)
