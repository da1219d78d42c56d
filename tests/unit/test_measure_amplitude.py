"""Fitted uptake, recovery and detection limit against published recoveries and simulated scans."""

import numpy as np
import pytest
from scipy import ndimage

from calciflow.measure.amplitude import detection_limit, fit_amplitude, footprint

SPACING = (3.0, 4.0, 4.0)


def ball_points(volume_ml, centre, spacing=SPACING, step=0.7):
    radius = (3000 * volume_ml / (4 * np.pi)) ** (1 / 3)
    line = np.arange(-radius, radius + step, step)
    points = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    points = points[np.linalg.norm(points, axis=1) <= radius]
    return points / np.array(spacing) + np.array(centre)


@pytest.mark.parametrize(
    ("volume_ml", "fwhm", "expected"), [(0.02, 6.0, 0.07), (0.02, 8.0, 0.03), (0.1, 6.0, 0.27), (0.1, 8.0, 0.13)]
)
def test_centre_recovery_is_that_of_a_blurred_ball(volume_ml, fwhm, expected):
    shape = footprint(ball_points(volume_ml, (10, 10, 10), step=0.3), volume_ml, (21, 21, 21), SPACING, fwhm)
    assert float(shape.max()) == pytest.approx(expected, abs=0.012)
    assert float(shape.sum()) * np.prod(SPACING) / 1000 == pytest.approx(volume_ml, rel=0.02)


def scan(volume_ml, excess, noise, rng, noise_fwhm=5.0, size=(15, 13, 13)):
    centre = np.array(size) / 2 - 0.5 + rng.uniform(-0.5, 0.5, 3)
    points = ball_points(volume_ml, centre)
    shape = footprint(points, volume_ml, size, SPACING, 6.0)
    grain = ndimage.gaussian_filter(rng.standard_normal((31, 31, 31)), [noise_fwhm / 2.3548 / s for s in SPACING])
    grain = grain[8:-8, 9:-9, 9:-9] / grain.std()
    return shape, (0.5 + excess * shape + noise * grain).astype(np.float32)


def fitted(shape, suv, noise):
    zeros = np.zeros(suv.shape, np.float32)
    return fit_amplitude(suv, np.stack([shape, zeros]), zeros + 1, zeros, zeros, noise, 5.0, SPACING)


@pytest.mark.parametrize("volume_ml", [0.05, 0.3, 2.0])
def test_error_of_the_amplitude_is_the_spread_of_repeated_scans(volume_ml):
    rng = np.random.default_rng(11)
    results = [fitted(*scan(volume_ml, 5.0, 0.1, rng), 0.1) for _ in range(120)]
    excess = np.array([r.excess for r in results])
    assert excess.mean() == pytest.approx(5.0, abs=4 * excess.std() / np.sqrt(len(excess)))
    assert np.mean([r.error for r in results]) == pytest.approx(excess.std(), rel=0.3)


def test_tiny_deposit_has_a_high_limit_and_a_large_one_a_low_limit():
    rng = np.random.default_rng(2)
    limits = [detection_limit(fitted(*scan(volume, 0.0, 0.08, rng), 0.08), 0.6, 3.0) for volume in (0.02, 0.1, 3.0)]
    # A rise of 0.6 over muscle needs a true SUV of 9.5 at 0.02 ml and 2.9 at 0.1 ml (FWHM 6 mm).
    assert limits[0] > 8.0
    assert 2.0 < limits[1] < 4.0
    assert limits[2] < 1.7


def test_a_hot_neighbour_is_not_taken_for_the_deposits_own_uptake():
    size = (15, 17, 17)
    own = footprint(ball_points(0.3, (7, 8, 5)), 0.3, size, SPACING, 6.0)
    other = footprint(ball_points(1.0, (7, 8, 7.0)), 1.0, size, SPACING, 6.0)
    suv = (0.5 + 12.0 * other).astype(np.float32)
    zeros = np.zeros(size, np.float32)
    blind = fit_amplitude(suv, np.stack([own, zeros]), zeros + 1, zeros, zeros, 0.05, 5.0, SPACING)
    seeing = fit_amplitude(suv, np.stack([own, other]), zeros + 1, zeros, zeros, 0.05, 5.0, SPACING)
    assert blind.excess > 2.0
    assert abs(seeing.excess) < 0.1


def test_spill_enters_the_error():
    rng = np.random.default_rng(4)
    shape, suv = scan(0.3, 0.0, 0.05, rng)
    zeros = np.zeros(suv.shape, np.float32)
    edge = np.broadcast_to(np.linspace(2.0, 0.0, suv.shape[2], dtype=np.float32), suv.shape)
    with_bone = fit_amplitude(suv + edge, np.stack([shape, zeros]), zeros + 1, edge, edge, 0.05, 5.0, SPACING)
    without = fitted(shape, suv, 0.05)
    assert with_bone.excess == pytest.approx(without.excess, abs=0.3)
    assert with_bone.error > without.error
