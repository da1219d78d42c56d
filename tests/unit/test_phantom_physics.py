"""The scanner's physics against analytic truth."""

import numpy as np
import pytest
from scipy.special import erf

from calciflow.phantom.canvas import Canvas
from calciflow.phantom.movement import Movement, Rigid
from calciflow.phantom.physics import (
    add_ct_noise,
    add_pet_noise,
    blur_ct,
    blur_resample,
    calcium_factor,
    pet_grid,
    pet_ideal,
    water_diameter,
)
from calciflow.phantom.shapes import Ellipsoid, Grid
from calciflow.phantom.spec import CtSpec, Motion, PetSpec

CT = Grid((50, 60, 60), (3.0, 2.0, 2.0), (-59.0, -59.0, -73.5))
PET = PetSpec(pixel_mm=4.0, slice_mm=4.0, fwhm_mm=6.0, margin_mm=20.0)


def test_blur_conserves_activity():
    image = np.zeros(CT.shape, np.float32)
    image[25, 30, 30] = 7.0
    image[20:24, 25:28, 33:36] = 3.0
    new = pet_grid(CT, PET)
    out = blur_resample(image, CT, new, 6.0)
    before = image.sum(dtype=float) * np.prod(CT.spacing)
    assert out.sum(dtype=float) * np.prod(new.spacing) == pytest.approx(before, rel=0.005)


def test_blur_has_its_width():
    image = np.zeros(CT.shape, np.float32)
    image[25, 30, 30] = 1.0
    fine = Grid((150, 120, 120), (1.0, 1.0, 1.0), (-59.0, -59.0, -73.5))
    out = blur_resample(image, CT, fine, 6.0)
    for axis in range(3):
        line = out.sum(axis=tuple(a for a in range(3) if a != axis), dtype=float)
        at = np.arange(len(line))
        mean = (line * at).sum() / line.sum()
        sigma = np.sqrt((line * (at - mean) ** 2).sum() / line.sum())
        assert sigma * np.sqrt(8 * np.log(2)) == pytest.approx(6.0, rel=0.02)


def test_sphere_recovery_is_the_analytic_one():
    """Centre of a uniform sphere under a Gaussian: erf(r/s/sqrt2) - sqrt(2/pi) r/s exp(-r2/2s2)."""
    canvas = Canvas(Grid((60, 60, 60), (1.0, 1.0, 1.0), (-29.5, -29.5, -29.5)))
    for radius in (3.0, 5.2, 8.0):
        canvas.suv[...] = 0
        canvas.paint(Ellipsoid(np.zeros(3), np.full(3, radius)), None, 10.0)
        point = Grid((1, 1, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
        got = float(blur_resample(canvas.suv, canvas.grid, point, 6.0)[0, 0, 0])
        k = radius / (6.0 / np.sqrt(8 * np.log(2)))
        truth = 10 * (erf(k / np.sqrt(2)) - np.sqrt(2 / np.pi) * k * np.exp(-(k**2) / 2))
        assert got == pytest.approx(truth, rel=0.02)


def centroid(array, grid):
    out = []
    for axis, origin, step in zip((2, 1, 0), grid.origin, grid.spacing[::-1], strict=True):
        line = array.sum(axis=tuple(a for a in range(3) if a != axis), dtype=float)
        out.append(origin + step * (line * np.arange(len(line))).sum() / line.sum())
    return np.array(out)


@pytest.mark.parametrize(
    "motion",
    [
        Motion((6.0, -3.0, 4.0)),
        Motion((0.0, 0.0, 0.0), (0.0, 0.0, 10.0), (0.0, 0.0, 0.0)),
        Motion((2.0, 1.0, -5.0), (3.0, -2.0, 6.0), (10.0, 5.0, -20.0)),
    ],
)
def test_a_point_moves_where_the_matrix_says(motion):
    canvas = Canvas(CT)
    where = np.array([22.0, -15.0, 18.0])
    canvas.paint(Ellipsoid(where, np.full(3, 7.0)), None, 10.0)
    rigid = Rigid.of(motion, (0.0, 0.0, 0.0))
    new = pet_grid(CT, PET)
    moved = pet_ideal(canvas.suv, CT, new, PET, Movement(CT, rigid.matrix()))
    np.testing.assert_allclose(centroid(moved, new), (rigid.matrix() @ [*where, 1.0])[:3], atol=0.15)
    still = pet_ideal(canvas.suv, CT, new, PET, Movement(CT, np.eye(4)))
    assert moved.sum(dtype=float) == pytest.approx(still.sum(dtype=float), rel=0.01)


def test_rotation_turns_right_to_front():
    """A positive rotation about z (to the head) takes x (right) to y (front): a right-handed system."""
    rigid = Rigid.of(Motion((0, 0, 0), (0, 0, 90), (0, 0, 0)), (0.0, 0.0, 0.0))
    np.testing.assert_allclose(rigid.matrix() @ [1, 0, 0, 1], [0, 1, 0, 1], atol=1e-12)


def test_pet_noise_has_the_stated_size_and_grows_with_signal():
    grid = Grid((40, 60, 60), (4.0, 4.0, 4.0), (0.0, 0.0, 0.0))
    spread = []
    for level in (1.0, 4.0):
        noisy = add_pet_noise(np.full(grid.shape, level, np.float32), grid, PET, np.full(40, 300.0), 5)
        assert noisy.mean() == pytest.approx(level, rel=0.02)
        spread.append(noisy.std())
    assert spread[0] == pytest.approx(PET.noise, rel=0.08)
    assert 1.8 < spread[1] / spread[0] < 4.0  # between Poisson's 2 and proportional 4
    # neighbours go together
    values = noisy - noisy.mean()
    assert (values[:, :, 1:] * values[:, :, :-1]).mean() / values.var() > 0.3


def test_ct_noise_has_the_stated_size_in_a_reference_body():
    spec = CtSpec(pixel_mm=2.0, matrix=(180, 180), slice_mm=3.0, noise_hu=15.0)
    grid = Grid((12, 180, 180), (3.0, 2.0, 2.0), (-179.0, -179.0, 0.0))
    x, y, _ = grid.axes()
    disc = np.where(np.sqrt(x**2 + y**2)[0] < 150, 0.0, -1000.0).astype(np.float32)
    hu = np.repeat(disc[None], 12, axis=0)
    assert water_diameter(hu, 4.0) == pytest.approx(300.0, rel=0.01)
    add_ct_noise(hu, grid, spec, 3)
    middle, rim = hu[:, 85:95, 85:95].std(), hu[:, 85:95, 20:26].std()
    assert middle == pytest.approx(15.0, rel=0.12)
    assert rim < 0.9 * middle


def test_thick_slices_smear_and_keep_the_mean():
    hu = np.full((21, 4, 4), 0.0, np.float32)
    hu[10] = 900.0
    blur_ct(hu, (2.0, 2.0, 2.0), CtSpec(pixel_mm=2.0, slice_mm=2.0, thickness_mm=4.0, kernel_fwhm_mm=0.5))
    np.testing.assert_allclose(hu[9:12, 0, 0], [225, 450, 225], rtol=1e-3)
    assert hu.sum() == pytest.approx(900 * 16)


def test_calcium_is_denser_at_low_voltage():
    factors = [calcium_factor(kvp) for kvp in (80, 100, 110, 120, 140)]
    assert factors == sorted(factors, reverse=True)
    assert calcium_factor(120) == 1.0
