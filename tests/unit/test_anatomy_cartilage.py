"""Discs and the spinal canal, on an analytic spine."""

import numpy as np
import pytest

from calciflow.anatomy.cartilage import between_vertebrae
from calciflow.anatomy.grid import blocks

SHAPE, STEP = (75, 60, 80), 2.0
GRID = blocks(SHAPE, (STEP,) * 3, STEP)
Z, Y, X = np.meshgrid(*[np.arange(n) * STEP for n in SHAPE], indexing="ij")
ASIDE = np.abs(X - 80.0).astype(np.float32)
PERIOD = 36.0


def spine(disc_mm, bend=0.0):
    """Bodies of 48 x 34 mm, arches with processes, a canal of 18 mm; vertebrae of 36 mm with their discs."""
    across = X - 80.0 - bend * np.sin(Z / 40.0)
    level = Z % PERIOD
    body = (np.hypot(across / 24.0, (Y - 70.0) / 17.0) < 1.0) & (level < PERIOD - disc_mm)
    canal = np.hypot(across, Y - 44.0) < 9.0
    arch = (np.hypot(across, Y - 44.0) < 14.0) & ~canal & (level < 16.0)
    wings = (np.abs(Y - 44.0) < 4.0) & (np.abs(across) < 40.0) & (level < 8.0) & ~canal
    spinous = (np.abs(across) < 4.0) & (Y < 32.0) & (Y > 4.0) & (level < 16.0)
    disc = (np.hypot(across / 24.0, (Y - 70.0) / 17.0) < 1.0) & ~body
    return body | arch | wings | spinous, disc & (PERIOD * 4 - disc_mm > Z), canal


@pytest.mark.parametrize("disc_mm", [4.0, 8.0, 14.0])
@pytest.mark.parametrize("bend", [0.0, 15.0])
def test_discs_are_found_and_the_gaps_between_processes_are_not(disc_mm, bend):
    bone, disc, _ = spine(disc_mm, bend)
    found = between_vertebrae(bone, ASIDE, GRID)
    assert found[disc].mean() > 0.85
    assert not (found & bone).any()
    across = np.abs(X - 80.0 - bend * np.sin(Z / 40.0))
    wings = (across > 26.0) & ~bone
    behind = (Y < 28.0) & ~bone
    assert not found[wings].any()
    assert not found[behind].any()


def test_the_canal_is_found_where_arches_enclose_it():
    bone, _, canal = spine(8.0)
    found = between_vertebrae(bone, ASIDE, GRID)
    assert found[canal & (Z % PERIOD < 16.0)].mean() > 0.9


def test_a_wide_ring_is_no_canal():
    """Rib cage or skull around the midline."""
    ring = np.abs(np.hypot(X - 80.0, Y - 60.0) - 45.0) < 4.0
    assert not between_vertebrae(ring, ASIDE, GRID)[np.hypot(X - 80.0, Y - 60.0) < 35.0].any()


def test_without_a_spine_nothing_is_found():
    assert not between_vertebrae(np.zeros(SHAPE, bool), ASIDE, GRID).any()
