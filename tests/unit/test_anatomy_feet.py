"""Regions of the foot, on an analytic foot that looks forward and down."""

import numpy as np
import pytest

from calciflow.anatomy.grid import Grid
from calciflow.anatomy.levels import LEVELS
from calciflow.anatomy.regions import assign
from calciflow.labels import region_label

SHAPE, STEP = (50, 80, 20), 4.0
GRID = Grid((1, 1, 1), SHAPE, SHAPE, (STEP, STEP, STEP))
LENGTH, SLOPE = 258.0, 0.5
"""A foot of 258 mm: 0.152 of 1.70 m (Winter 2009)."""


@pytest.mark.parametrize("heel_mm", [130.0, 85.0])
def test_the_toes_begin_at_one_place_whether_or_not_the_image_cuts_them_off(heel_mm):
    z, y, x = (np.indices(SHAPE) * STEP).astype(float)
    forward = np.array([-SLOPE, 1.0]) / np.hypot(1.0, SLOPE)
    along = (z - heel_mm) * forward[0] + (y - 20) * forward[1]
    across = (z - heel_mm) * forward[1] - (y - 20) * forward[0]
    bone = (np.abs(across) < 12) & (along >= 0) & (along <= LENGTH) & (np.abs(x - 40) < 20)
    body = (np.abs(across) < 24) & (along >= -8) & (along <= LENGTH + 8) & (np.abs(x - 40) < 30)
    assert (heel_mm > 100) == (not bone[0].any())  # the lower heel's toes are out of view
    levels = {side: np.full(SHAPE[0], LEVELS.index("foot")) for side in ("left", "right")}
    out = assign(body, bone, levels, np.ones(SHAPE, bool), np.full(SHAPE, 90.0, np.float32), [], GRID)
    toes = out == region_label("toes", "right")
    assert along[toes].min() == pytest.approx(0.74 * LENGTH, abs=10.0)
    assert not toes[along < 0.70 * LENGTH].any()
