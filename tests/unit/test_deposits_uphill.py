"""Foci on the slope of a bladder, and foci beside one, blurred as a scanner blurs them."""

import numpy as np
import pytest
from scipy import ndimage

from calciflow.deposits.pet import Focus
from calciflow.deposits.reference import Uptakes
from calciflow.deposits.scene import PetScene
from calciflow.deposits.uphill import rises_to_organ
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
    shares = {"organs": organs.astype(np.float32), "muscle": 1.0 - organs.astype(np.float32)}
    uptakes = Uptakes(2.0, 1.0, 2.0, "blood pool in the chest", 0.1, 6.0)
    grid = Volume(suv, np.diag([STEP, STEP, STEP, 1.0]))
    return PetScene(grid, shares, Spill(zeros, zeros), zeros, zeros, suv, zeros, uptakes, FWHM)


def focus_at(x):
    peak = (SHAPE[0] // 2, SHAPE[1] // 2, SHAPE[2] // 2 + round(x / STEP))
    voxels = np.array([peak])
    return Focus(voxels, voxels, np.ones(1, np.float32), peak, 20.0, 0.0, 0.0)


BLADDER = np.where(np.hypot(np.hypot(X + 30, Y), Z) < 24, 25.0, 1.0)  # its edge lies at x = -6


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("short_mm", [2.0, 6.0])
def test_the_rim_of_a_bladder_that_the_map_drew_too_small_is_the_bladders(short_mm, noise):
    scene = scene_of(BLADDER, np.hypot(np.hypot(X + 30, Y), Z) < 24 - short_mm, noise)
    assert rises_to_organ(focus_at(-8.0), scene)
    assert rises_to_organ(focus_at(-2.0), scene)


@pytest.mark.parametrize("away_mm", [14.0, 20.0])
def test_a_focus_beside_a_bladder_has_a_summit_of_its_own(away_mm):
    lesion = np.hypot(np.hypot(X + 6 - away_mm, Y), Z) < 4
    scene = scene_of(BLADDER + 25.0 * lesion, BLADDER > 2)
    assert not rises_to_organ(focus_at(-6.0 + away_mm), scene)


def test_uphill_ends_where_the_organ_is_far():
    """A slope of noise over a decimetre leads nowhere; a hot muscle beside a cool organ is no organ."""
    assert not rises_to_organ(focus_at(40.0), scene_of(60.0 - X, BLADDER > 2))
    assert not rises_to_organ(focus_at(0.0), scene_of(np.where(X > -6, 10.0, 1.0), X <= -6))
