"""Volume, mass and Agatston score against analytic balls and against arithmetic by hand."""

import numpy as np
import pytest
from scipy import ndimage

from calciflow.measure.boxes import widen
from calciflow.measure.density import (
    agatston,
    flatness_share,
    local_background,
    measure_density,
    plateau,
    smoothed,
    sphere_peak,
    unblurred_volume,
)

PIXEL = 0.98
KERNEL_MM = 1.8


def ball_image(volume_ml, slice_mm, hu, background, noise, shift, rng):
    """A ball seen by a scanner: exact on a grid four times finer, blurred in the slice, averaged over the slice."""
    spacing = np.array([slice_mm, PIXEL, PIXEL])
    radius = (3000 * volume_ml / (4 * np.pi)) ** (1 / 3)
    size = [2 * int((radius + 14) / step) + 1 for step in spacing]
    fine = 4
    axes = [((np.arange(n * fine) + 0.5) / fine - n / 2) * s - d for n, s, d in zip(size, spacing, shift, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    image = np.clip((radius - np.sqrt(x**2 + y**2 + z**2)) / (PIXEL / fine) + 0.5, 0, 1).astype(np.float32)
    for axis in (1, 2):
        image = ndimage.gaussian_filter1d(image, KERNEL_MM / 2.3548 * fine / PIXEL, axis)
    image = image.reshape(size[0], fine, size[1], fine, size[2], fine).mean(axis=(1, 3, 5))
    grain = ndimage.gaussian_filter(rng.standard_normal(image.shape), (0, 0.6, 0.6))
    return (background + (hu - background) * image + noise * grain / grain.std()).astype(np.float32), tuple(spacing)


def measured(image, spacing):
    """Delimit and measure the ball in the middle as the stage does."""
    sigma = (
        spacing[0] / np.sqrt(12),
        *2 * (np.sqrt((KERNEL_MM / 2.3548) ** 2 + PIXEL**2 / 12),),
    )
    seed = smoothed(image) >= 130
    parts, _ = ndimage.label(seed, np.ones((3, 3, 3)))
    middle = np.array(image.shape) // 2
    near = parts[tuple(slice(m - 3, m + 4) for m in middle)]
    seed = parts == np.bincount(near[near > 0]).argmax()
    plain = ~widen(seed, max(4.0, 1.1 * spacing[0]), spacing)
    contrast = image - local_background(image, plain, spacing)
    level = plateau(contrast, seed, spacing, sigma)
    near = widen(seed, max(2.0, 1.01 * spacing[0]), spacing) & np.isfinite(level)
    mask = near & (contrast >= 0.5 * level)
    return measure_density(image, mask, contrast, np.ones(mask.shape, bool), spacing, sigma)


@pytest.mark.parametrize(
    ("volume_ml", "slice_mm", "most"),
    [(0.1, 1.5, 0.1), (0.1, 3.27, 0.15), (0.3, 3.27, 0.1), (1.0, 3.27, 0.08), (0.5, 5.0, 0.15), (2.0, 5.0, 0.1)],
)
def test_volume_of_a_noisy_ball_is_right(volume_ml, slice_mm, most):
    rng = np.random.default_rng(3)
    errors = []
    for hu, background in ((350, 50), (600, -100), (1000, 50), (500, 50), (800, -100)):
        shift = rng.uniform(-0.5, 0.5, 3) * (slice_mm, PIXEL, PIXEL)
        image, spacing = ball_image(volume_ml, slice_mm, hu, background, 15.0, shift, rng)
        errors.append(measured(image, spacing).volume_ml / volume_ml - 1)
    assert np.median(np.abs(errors)) < most


@pytest.mark.parametrize(("volume_ml", "slice_mm"), [(0.05, 1.5), (0.05, 3.27), (0.2, 3.27), (1.0, 5.0)])
def test_mass_is_kept_whatever_the_blur(volume_ml, slice_mm):
    rng = np.random.default_rng(5)
    errors = []
    for hu, background in ((450, 50), (600, -100), (1000, 50), (500, 50), (800, -100)):
        shift = rng.uniform(-0.5, 0.5, 3) * (slice_mm, PIXEL, PIXEL)
        image, spacing = ball_image(volume_ml, slice_mm, hu, background, 15.0, shift, rng)
        errors.append(measured(image, spacing).mass_hu_ml / ((hu - background) * volume_ml) - 1)
    assert np.median(np.abs(errors)) < 0.05


@pytest.mark.parametrize(("radius", "sigma"), [(2.0, 1.0), (3.0, 3.0), (5.0, 1.5)])
def test_peak_of_a_blurred_ball_agrees_with_a_numerical_blur(radius, sigma):
    step = 0.25
    line = np.arange(-16, 16 + step, step)
    z, y, x = np.meshgrid(line, line, line, indexing="ij", sparse=True)
    ball = np.clip((radius - np.sqrt(x**2 + y**2 + z**2)) / step + 0.5, 0, 1).astype(np.float32)
    blurred = ndimage.gaussian_filter(ball, sigma / step, truncate=5)
    assert sphere_peak(radius, sigma) == pytest.approx(float(blurred.max()), abs=0.005)


def test_unblurring_undoes_the_loss_of_the_peak():
    for volume in (0.02, 0.1, 1.0, 20.0):
        radius = (3000 * volume / (4 * np.pi)) ** (1 / 3)
        apparent = volume / sphere_peak(radius, 1.2)
        assert unblurred_volume(apparent, 1.2) == pytest.approx(volume, rel=0.01)
    assert unblurred_volume(0.0, 1.2) == 0.0
    assert unblurred_volume(0.3, 0.0) == 0.3
    assert unblurred_volume(0.0001, 2.0) < 0.001


def test_background_bridges_the_border_between_fat_and_muscle():
    image = np.full((9, 30, 30), 50.0, np.float32)
    image[:, :15] = -100.0
    valid = np.ones(image.shape, bool)
    valid[3:6, 12:18, 12:18] = False
    background = local_background(image, valid, (1.0, 1.0, 1.0))
    assert background[4, 12, 15] < -40
    assert background[4, 17, 15] > -10


def test_background_is_made_where_it_is_asked_for_alone():
    rng = np.random.default_rng(2)
    image = rng.normal(40, 10, (8, 40, 40)).astype(np.float32)
    valid = np.ones(image.shape, bool)
    valid[2:6, 10:30, 10:30] = False
    asked = np.zeros(image.shape, bool)
    asked[:, 8:20] = True
    every, some = (local_background(image, valid, (3.0, 1.0, 1.0), where) for where in (None, asked))
    np.testing.assert_array_equal(some[asked], every[asked])
    assert np.isnan(some[~asked]).all()


def test_far_from_all_tissue_the_nearest_tissue_counts_most():
    """Sums over blocks stand for sums over voxels: two halves of a shell, at 40 and 80 HU, 40 mm from the middle."""
    image = np.full((90, 90, 90), 40.0, np.float32)
    image[:, :, 45:] = 80.0
    valid = np.ones(image.shape, bool)
    valid[5:85, 5:85, 5:85] = False
    background = local_background(image, valid, (1.0, 1.0, 1.0))
    assert background[45, 45, 44:46].mean() == pytest.approx(60, abs=3)  # blocks do not lie even about the middle
    assert background[45, 45, 12] < 41
    assert background[45, 45, 77] > 79


def test_agatston_score_by_hand():
    image = np.zeros((3, 10, 10), np.float32)
    image[0, 2:4, 2:4] = 150.0  # 4 mm2, weight 1
    image[1, 2:5, 2:4] = 250.0  # 6 mm2, weight 2
    image[2, 2, 2:4] = 450.0  # 2 mm2, weight 4
    image[2, 8, 8] = 129.0
    everywhere = np.ones(image.shape, bool)
    assert agatston(image, everywhere, (3.0, 1.0, 1.0)) == pytest.approx(4 + 12 + 8)
    assert agatston(image, everywhere, (1.5, 1.0, 1.0)) == pytest.approx((4 + 12 + 8) / 2)
    assert agatston(image, everywhere, (5.0, 1.0, 1.0)) is None
    assert agatston(image, everywhere, (3.0, 0.6, 0.6)) == pytest.approx((4 * 0.36) + 2 * 6 * 0.36)


@pytest.mark.parametrize("thin_axis", [1, 2])
def test_volume_of_a_sheet_as_thin_as_the_blur_is_right(thin_axis):
    """30 x 30 x 3 mm: blur takes a sheet's height like a small nodule's, whatever its volume.

    Across slices as thick as the sheet nothing in the image tells thickness from density: not tested.
    """
    spacing, sigma = (2.0, 2.0, 2.0), 0.9
    fine = 4
    step = 2.0 / fine
    half = [15.0, 15.0, 15.0]
    half[thin_axis] = 1.5
    line = (np.arange(24 * fine) + 0.5) * step - 24.0
    box = [np.abs(line) <= size for size in half]
    plate = (box[0][:, None, None] & box[1][None, :, None] & box[2][None, None, :]).astype(np.float32)
    blurred = ndimage.gaussian_filter(plate, np.sqrt(sigma**2 - 4.0 / 12.0) / step)
    hu = 600.0 * blurred.reshape(24, fine, 24, fine, 24, fine).mean(axis=(1, 3, 5)).astype(np.float32)
    whole = np.ones(hu.shape, bool)
    level = plateau(hu, hu >= 150, spacing, (sigma, sigma, sigma))
    mask = np.isfinite(level) & (hu >= 0.5 * level) & (hu >= 100)
    density = measure_density(hu, mask, hu, whole, spacing, (sigma, sigma, sigma))
    assert density.volume_ml == pytest.approx(2.7, rel=0.12)
    assert density.mass_hu_ml == pytest.approx(2.7 * 600, rel=0.03)


def test_a_ball_is_not_flat_and_a_sheet_is():
    z, y, x = np.meshgrid(*[np.arange(-12, 13)] * 3, indexing="ij")
    ball = z**2 + y**2 + x**2 <= 36
    sheet = (np.abs(z) <= 1) & (y**2 + x**2 <= 100)
    blurs = (1.5, 1.5, 1.5)
    assert flatness_share(ball, (1.0, 1.0, 1.0), blurs) == pytest.approx(1.0, abs=0.01)
    assert flatness_share(sheet, (1.0, 1.0, 1.0), blurs) < 0.8
    assert flatness_share(np.ones((1, 2, 3), bool), (1.0, 1.0, 1.0), blurs) == 1.0
