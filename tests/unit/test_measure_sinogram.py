"""A small sinogram against what is known of discs."""

import numpy as np
import pytest

from calciflow.measure.sinogram import Sinogram, paths

STEP = 3.0


def disc(radius, centre=(0.0, 0.0), pixel=1.0):
    """Pixels' centres of a disc, mm."""
    line = np.arange(-radius, radius + pixel, pixel)
    y, x = np.meshgrid(line, line, indexing="ij")
    return np.stack([y, x], axis=-1)[np.hypot(y, x) <= radius] + np.array(centre)


def test_paths_are_chords():
    """A ray at s cuts a disc of radius r on 2 sqrt(r^2 - s^2)."""
    radius = 30.0
    found = paths(disc(radius), 1.0, 12, STEP, 60.0)
    place = found.first + found.step * np.arange(found.rows.shape[1])
    inner = np.abs(place) < 25
    chord = 2 * np.sqrt(radius**2 - place[inner] ** 2)
    assert found.rows[:, inner] == pytest.approx(np.broadcast_to(chord, (12, inner.sum())), rel=0.03)
    assert not found.rows[:, np.abs(place) > radius + STEP].any()


@pytest.mark.parametrize("centre", [(0.0, 0.0), (-20.0, 35.0)])
def test_filtered_paths_give_the_disc_back(centre):
    image = paths(disc(30.0, centre), 1.0, 90, STEP, 120.0).filtered()
    inside = image.back_projected(disc(20.0, centre, 4.0))
    outside = image.back_projected(np.array([(0.0, 48.0), (48.0, 0.0), (-34.0, -34.0)]) + np.array(centre))
    assert inside == pytest.approx(1.0, abs=0.05)
    assert outside == pytest.approx(0.0, abs=0.02)


def test_rays_of_two_pieces_meet_between_them():
    pair = np.concatenate([disc(8.0, (0.0, -60.0)), disc(8.0, (0.0, 60.0))])
    share = paths(pair, 1.0, 180, STEP, 150.0).squared()
    between, beside = share.back_projected(np.array([(0.0, 0.0), (60.0, 0.0)]))
    one = paths(disc(8.0, (0.0, -60.0)), 1.0, 180, STEP, 150.0).squared()
    assert between > 3.5 * one.back_projected(np.zeros((1, 2)))[0], "paths add up, and then are squared: four times"
    assert beside < 0.6 * between


def test_beyond_the_last_bin_lies_nothing():
    rays = Sinogram(np.ones((4, 5)), -2.0, 1.0)
    assert rays.back_projected(np.zeros((1, 2)))[0] == pytest.approx(np.pi)
    assert rays.back_projected(np.array([(50.0, 20.0)]))[0] == 0.0
    assert rays.scaled(2.0).back_projected(np.zeros((1, 2)))[0] == pytest.approx(2 * np.pi)
