"""What a scanner could at best have seen, against closed forms of blurred balls and half-spaces."""

import numpy as np
import pytest
from scipy.special import erf
from scipy.stats import norm

from calciflow.images import Volume
from calciflow.labels import TISSUES
from calciflow.phantom.physics import noise_with_signal
from calciflow.phantom.shapes import Grid
from calciflow.phantom.tiny import tiny_leg
from calciflow.phantom.visible import blurred_at, bone_at, highest_peak

SIGMA = 6.0 / np.sqrt(8 * np.log(2))
GRID = Grid((81, 81, 81), (0.5, 0.5, 0.5), (-20.0, -20.0, -20.0))


@pytest.mark.parametrize("radius", [3.0, 5.0, 8.0])
def test_middle_of_a_blurred_ball(radius):
    """Centre of a ball of 1 blurred with s: erf(R / (s sqrt 2)) - sqrt(2 / pi) R / s exp(-R2 / (2 s2))."""
    x, y, z = GRID.axes()
    ball = np.clip(0.5 - (np.sqrt(x**2 + y**2 + z**2) - radius) / 0.5, 0, 1).astype(np.float32)
    r = radius / SIGMA
    wanted = erf(r / np.sqrt(2)) - np.sqrt(2 / np.pi) * r * np.exp(-(r**2) / 2)
    assert blurred_at(ball, GRID, (0.0, 0.0, 0.0), 6.0) == pytest.approx(wanted, rel=0.02)


@pytest.mark.parametrize("distance", [0.0, 2.0, 5.0])
def test_spill_of_a_half_space_of_bone(distance):
    """Beside a half-space of bone the spill is the normal distribution's tail; muscle's own uptake is not bone's."""
    x, _, _ = GRID.axes()
    bone = np.broadcast_to(x < -0.25, GRID.shape)
    tissues = np.where(bone, TISSUES["bone"], TISSUES["muscle"]).astype(np.uint8)
    suv = np.where(bone, 10.0, 0.6).astype(np.float32)
    # voxels below -0.25 fill space up to -0.25
    wanted = 10 * norm.sf((distance + 0.25) / SIGMA)
    assert bone_at(suv, tissues, GRID, (distance, 0.0, 0.0), 6.0) == pytest.approx(wanted, abs=0.05)


@pytest.mark.parametrize(("sigma", "step"), [(2.6, 2.0), (4.0, 2.0)])
def test_peak_is_the_highest_mean_of_a_freely_placed_sphere_of_one_ml(sigma, step):
    """Of a Gaussian blob between voxels' centres: its mean over the ball about its own centre, summed by shells."""
    pet = Volume(np.zeros((31, 31, 31), np.float32), np.diag([step, step, step, 1.0]))
    every = np.argwhere(np.ones(pet.array.shape, bool))
    away = np.linalg.norm(pet.world(every) - np.array([15.5, 15.3, 14.6]) * step, axis=1)
    pet.array[tuple(every.T)] = np.exp(-(away**2) / (2 * sigma**2))
    radius = (3000.0 / (4.0 * np.pi)) ** (1.0 / 3.0)
    r = np.linspace(0.0, radius, 2001)
    mean = 3.0 * np.trapezoid(r**2 * np.exp(-(r**2) / (2 * sigma**2)), r) / radius**3
    assert highest_peak(pet, every[away < 8.0]) == pytest.approx(mean, rel=0.03)


def test_columns_of_a_scan():
    table = tiny_leg(1).table.set_index("concordance")
    assert table["ct_visible"].tolist() == [c.startswith("CT+") for c in table.index]
    assert table["pet_visible"].tolist() == [c.endswith("PET+") for c in table.index]
    assert (table["suv_peak_visible"] <= table["suv_visible"]).all()
    assert table["bone_share"].between(0, 0.5).all()


def test_noise_is_that_of_one_suv_at_one_suv():
    assert noise_with_signal(0.98) == pytest.approx(1.0)
    assert noise_with_signal(0.0) < 0.1
