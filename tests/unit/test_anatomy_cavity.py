"""The cavity's outline where organs touch the wall, on trunks whose wall is known."""

import numpy as np
import pytest

from calciflow.anatomy.belly import rib_layer, shut_belly, wall_bone
from calciflow.anatomy.cavity import find_cavity
from calciflow.anatomy.grid import blocks
from calciflow.anatomy.soft import thorax_of

STEP = 4.0
SHAPE = (40, 60, 90)
HALF_MM = (95.0, 150.0)
"""Half the depth and width of what lies inside the subcutaneous fat."""
WALL_MM = 12.0
NO_PELVIS = np.zeros(SHAPE[0], bool)


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

    def found(self, pelvis=False, lungs=False):
        self.hu[self.bone] = 400.0
        nothing = np.zeros(SHAPE, bool)
        trunk = np.ones(SHAPE, bool)
        level = np.full(SHAPE[0], pelvis)
        lung = self.within(40.0) & (self.x > 60.0) & lungs
        return find_cavity(self.hu, self.inside, lung, nothing, self.bone, trunk, level, SHAPE[2] // 2, self.grid)


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


def test_the_psoas_is_muscle_and_what_lies_beside_it_is_not():
    """A muscle along the spine was called viscera: deposits in it went unseen."""
    trunk = Trunk()
    aside, depth = np.abs(trunk.x), -40.0 - trunk.y  # behind the spine's front
    beside = trunk.cavity & (depth > 6.0)
    psoas, kidney = beside & (aside > 22.0) & (aside < 34.0), beside & (aside > 42.0) & (aside < 70.0)
    trunk.hu[psoas | kidney] = 50.0
    found = trunk.found()
    assert found[psoas].mean() < 0.2
    assert found[kidney].mean() > 0.8
    assert trunk.found(lungs=True)[psoas].mean() > 0.8, "in the chest the aorta lies there"


def test_fat_beside_the_spine_is_the_cavitys():
    trunk = Trunk()
    beside = trunk.cavity & (trunk.y < -44.0) & (np.abs(trunk.x) > 24.0) & (np.abs(trunk.x) < 34.0)
    assert trunk.found()[beside].mean() > 0.7


@pytest.mark.parametrize("gap_deg", [30.0, 50.0])
def test_the_view_ends_between_the_bones_of_the_pelvis(gap_deg):
    """Through the sciatic notch the cavity ran into the gluteal muscles."""
    trunk = Trunk()
    ring = trunk.within(50.0) & ~trunk.within(58.0)
    trunk.bone |= ring & (np.abs(np.abs(trunk.angle) - 150.0) > gap_deg / 2.0)
    trunk.hu[~trunk.within(58.0) & trunk.inside] = 50.0
    trunk.hu[trunk.within(20.0) & ~trunk.within(46.0)] = -100.0  # between the muscles
    outside = trunk.inside & ~trunk.within(46.0)
    assert trunk.found(pelvis=True)[outside].mean() < 0.01
    assert trunk.found(pelvis=False)[outside].mean() > 0.03, "the gap is there"
    assert trunk.found(pelvis=True)[trunk.within(66.0) & trunk.cavity].mean() > 0.9


def test_what_slopes_along_the_body_does_not_hide_what_lies_in_front():
    """The promontory, widened along the body as ribs are, hid the hollow of the sacrum."""
    trunk = Trunk()
    back = trunk.y < -62.0 + np.abs(trunk.z)  # the spine comes forward at both ends
    trunk.bone = back & (np.abs(trunk.x) < 30.0) & trunk.inside
    trunk.cavity &= ~trunk.bone
    hollow = trunk.cavity & (np.abs(trunk.z) < 20.0) & (np.abs(trunk.x) < 16.0) & (trunk.y < -20.0)
    assert trunk.found()[hollow].mean() > 0.75


def test_fat_that_leaks_through_the_white_line_is_inside():
    """In a lax belly the muscle layer has a gap of 5 cm, and all fat within was taken for subcutaneous."""
    trunk = Trunk()
    gap = np.abs(trunk.angle - 90.0) < 14.0
    wall = trunk.inside & ~trunk.within(WALL_MM)
    gland = (np.hypot(trunk.x - 60.0, trunk.y - 105.0) < 10.0) & ~trunk.within(-8.0)
    compartment = (wall & ~gap) | trunk.spine | gland
    # The spine is part of the layer: it reaches the wall's inner face at the back.
    compartment |= trunk.inside & (np.abs(trunk.x) < 20.0) & (trunk.y < -40.0)
    nothing, room = np.zeros(SHAPE, bool), np.ones(SHAPE, bool)
    lungs = trunk.within(50.0)
    np.testing.assert_array_equal(
        shut_belly(compartment, lungs, trunk.spine, room, NO_PELVIS, 45, trunk.grid), compartment
    )
    shut = shut_belly(compartment, nothing, trunk.spine, room, NO_PELVIS, 45, trunk.grid)
    assert shut[trunk.within(WALL_MM)].all()
    assert shut[trunk.inside].mean() > 0.99
    fat_before_gland = ~trunk.within(-4.0) & ~gland & (np.hypot(trunk.x - 60.0, trunk.y - 105.0) < 16.0)
    assert shut[fat_before_gland].mean() < 0.05, "a gland holds no bone: fat beneath it is subcutaneous"


def test_stones_are_no_wall():
    """A kidney stone, spread along the body as a rib is, hid the kidney and made muscle of it."""
    trunk = Trunk()
    trunk.ribs(-40.0, 60.0)
    stone = np.hypot(np.hypot(trunk.x - 60.0, trunk.y + 20.0), trunk.z) < 9.0
    unsure = np.hypot(np.hypot(trunk.x + 60.0, trunk.y - 20.0), trunk.z) < 20.0  # bowel with contrast: 33 ml
    aside = np.abs(trunk.x).astype(np.float32)
    outer = trunk.inside & ~trunk.within(35.0)
    found = trunk.bone | stone | unsure
    kept = wall_bone(found, unsure, outer, np.ones(SHAPE[0], bool), aside, trunk.grid)
    np.testing.assert_array_equal(kept, trunk.bone)
    kept = wall_bone(found, unsure, outer, np.zeros(SHAPE[0], bool), aside, trunk.grid)
    np.testing.assert_array_equal(kept, found, "in the chest they may be ribs under the shoulders")


def test_ribs_lie_beside_the_lungs_however_deep():
    """Under the shoulders ribs lie deeper than 35 mm: in slices of 5 mm pieces of them were called deposits."""
    trunk = Trunk()
    lungs = trunk.within(40.0) & (np.abs(trunk.x) > 25.0)
    beside = rib_layer(thorax_of(lungs, trunk.grid), trunk.grid, flat=True)
    ribs = trunk.within(29.0) & ~trunk.within(36.0) & (np.abs(trunk.x) > 60.0)
    assert beside[ribs].mean() > 0.95
    assert not beside[trunk.within(40.0) & (np.abs(trunk.y) < 30.0)].any(), "the mediastinum has none"
    assert not beside[~trunk.within(20.0)].any()


def test_the_layer_of_the_ribs_goes_over_the_lungs_tips():
    trunk = Trunk()
    lungs = trunk.within(40.0) & (np.abs(trunk.x) > 25.0) & (trunk.z < 20.0)
    layer = rib_layer(thorax_of(lungs, trunk.grid), trunk.grid)
    over = trunk.within(44.0) & (np.abs(trunk.x) > 30.0) & (trunk.z > 22.0) & (trunk.z < 32.0)
    assert layer[over].mean() > 0.95
    assert not layer[lungs | (trunk.z > 40.0)].any()


def test_between_ribs_the_wall_follows_the_cage_where_it_narrows():
    """Ribs, widened along the body, hid what lies behind the next one: the kidney's upper pole was called muscle."""
    trunk = Trunk()
    inset = 5.0 + 0.4 * (trunk.z + 80.0)
    cage = np.hypot(trunk.y / (HALF_MM[0] - inset), trunk.x / (HALF_MM[1] - inset))
    depth = (1.0 - cage) * (HALF_MM[0] - inset)  # mm inside the cage's outer face, at least
    rows = np.mod(np.round((trunk.z + 78.0) / STEP), 8) < 2
    trunk.bone |= (depth > 0.0) & (depth < 8.0) & rows & (trunk.y > -40.0)
    trunk.inside = (depth > -8.0) | trunk.bone
    trunk.hu = np.where(trunk.inside, 50.0, -100.0).astype(np.float32)  # organs all over the inside
    found = trunk.found()
    middle = (trunk.y > -30.0) & (np.abs(trunk.z) < 50.0) & ~trunk.bone
    assert found[middle & (depth > 12.0) & (depth < 22.0)].mean() > 0.9
    assert found[middle & (depth < 4.0)].mean() < 0.05


class Pelvis(Trunk):
    """Symphysis in front, hip bones at the sides, and a coccyx that ends 40 mm above the symphysis' lower edge."""

    def __init__(self, coccyx=True):
        super().__init__()
        aside = np.abs(self.x)
        self.hips = (aside > 60.0) & (aside < 90.0) & (np.abs(self.y) < 25.0)
        self.pubis = (aside < 30.0) & (self.y > 44.0) & (self.y < 62.0) & (np.abs(self.z) < 24.0)
        self.spine = (aside < 14.0) & (self.y > -70.0) & (self.y < -56.0) & (self.z > 16.0) & coccyx
        self.bone = self.hips | self.pubis | self.spine
        self.cavity = self.within(WALL_MM) & ~self.bone
        self.hu[self.cavity] = -100.0


@pytest.mark.parametrize("coccyx", [True, False])
def test_the_pelvic_floor_rises_from_symphysis_to_coccyx(coccyx):
    """Fat between the buttocks, under the coccyx, was inside the pelvis, and deposits over the ischium with it."""
    pelvis = Pelvis(coccyx)
    found = pelvis.found(pelvis=True)
    within = pelvis.cavity & (np.abs(pelvis.x) < 45.0)
    assert found[within & (pelvis.z > 30.0) & (np.abs(pelvis.y) < 40.0)].mean() > (0.9 if coccyx else 0.4)
    assert not found[within & (pelvis.z < 0.0) & (pelvis.y < -40.0)].any()
    assert found[within & (np.abs(pelvis.z) < 20.0) & (pelvis.y > 20.0) & (pelvis.y < 38.0)].mean() > 0.6, "the bladder"


def test_the_symphysis_is_no_spine():
    """In a crop of the legs the viewer stood before the symphysis, and all of the groin was inside."""
    pelvis = Pelvis(coccyx=False)
    pelvis.bone &= ~(np.abs(pelvis.x) < 14.0) | pelvis.pubis
    found = pelvis.found(pelvis=True)
    assert not found[(pelvis.y > 64.0) & (np.abs(pelvis.z) < 20.0) & (np.abs(pelvis.x) < 25.0)].any()


def test_what_lies_before_the_trunk_is_not_inside():
    """Through the wall over the symphysis the cavity ran on into the penis, across the fat between."""
    trunk = Trunk()
    before = (np.abs(trunk.x) < 16.0) & (trunk.y > HALF_MM[0] + 14.0) & (np.abs(trunk.z) < 30.0)
    assert before.any()
    trunk.inside |= before
    trunk.hu[before] = 50.0
    assert not trunk.found(pelvis=True)[before].any()
