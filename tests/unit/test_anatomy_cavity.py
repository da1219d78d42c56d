"""The cavity's outline where organs touch the wall, on trunks whose wall is known."""

import numpy as np
import pytest

from calciflow.anatomy.cavity import find_cavity
from calciflow.anatomy.grid import blocks

STEP = 4.0
SHAPE = (40, 60, 90)
HALF_MM = (95.0, 150.0)
"""Half the depth and width of what lies inside the subcutaneous fat."""
WALL_MM = 12.0


class Trunk:
    """Fat inside a wall, a spine at the back; angles (deg) go from the left side of the image to its front."""

    def __init__(self):
        self.grid = blocks(SHAPE, (STEP,) * 3, STEP)
        z, y, x = np.meshgrid(*[(np.arange(n) - (n - 1) / 2) * STEP for n in SHAPE], indexing="ij")
        self.z, self.y, self.x = z, y, x
        self.angle = np.degrees(np.arctan2(y, x))
        self.inside = self.within(0.0)
        self.cavity = self.within(WALL_MM)
        self.spine = np.hypot(x, (y + 60.0)) < 20.0
        self.cavity &= ~self.spine & (y > -55.0)
        self.hu = np.where(self.inside, 50.0, -100.0).astype(np.float32)
        self.hu[self.cavity] = -100.0
        self.bone = self.spine.copy()

    def within(self, inset_mm):
        return np.hypot(self.y / (HALF_MM[0] - inset_mm), self.x / (HALF_MM[1] - inset_mm)) < 1.0

    def organ(self, low, high, thick_mm):
        """An organ that touches the wall between two angles."""
        where = self.cavity & ~self.within(WALL_MM + thick_mm) & (self.angle > low) & (self.angle < high)
        self.hu[where] = 50.0
        return where

    def ribs(self, low, high):
        """Rods in the middle of the wall, 28 mm apart, that slope as ribs do."""
        ring = self.within(3.0) & ~self.within(WALL_MM - 3.0)
        slope = np.mod(self.z + 0.5 * self.y, 28.0) < 9.0
        self.bone |= ring & slope & (self.angle > low) & (self.angle < high)

    def found(self):
        self.hu[self.bone] = 400.0
        nothing = np.zeros(SHAPE, bool)
        trunk = np.ones(SHAPE, bool)
        return find_cavity(self.hu, self.inside, nothing, nothing, self.bone, trunk, SHAPE[2] // 2, self.grid)


@pytest.mark.parametrize("thick_mm", [10.0, 16.0])
def test_an_organ_on_the_wall_is_no_wall_where_ribs_show_it(thick_mm):
    """Fat beyond a spleen once made wall of the spleen: up to 30 mm of it."""
    trunk = Trunk()
    trunk.ribs(-40.0, 60.0)
    organ = trunk.organ(-20.0, 40.0, thick_mm)
    found = trunk.found()
    assert found[organ].mean() > 0.85
    wall = trunk.inside & ~trunk.within(WALL_MM - 4.0) & (trunk.y > -40.0)
    assert found[wall].mean() < 0.02


def test_an_organ_on_the_wall_is_no_wall_where_fat_beside_it_shows_it():
    """Stomach behind the rectus muscle: on both sides of it fat touches the wall."""
    trunk = Trunk()
    organ = trunk.organ(80.0, 100.0, 16.0)
    found = trunk.found()
    assert found[organ].mean() > 0.85
    assert found[trunk.cavity].mean() > 0.9


def test_the_wall_is_not_lost_beside_a_thin_place():
    """One narrow strip of fat in the wall makes no thin wall of its surroundings."""
    trunk = Trunk()
    strip = (trunk.angle > 60.0) & (trunk.angle < 66.0) & trunk.within(7.0)
    trunk.hu[strip & trunk.inside & ~trunk.bone] = -100.0
    found = trunk.found()
    wall = trunk.inside & ~trunk.within(WALL_MM - 4.0) & (trunk.y > -40.0) & (np.abs(trunk.angle - 63.0) > 8.0)
    assert found[wall].mean() < 0.02
