"""Pieces of eroded fingertips are told from deposits of the pulp, on fingers of an adult's proportions."""

import numpy as np
import pytest

from calciflow.deposits.digits import bone_ends, crop_around, in_phalanx_place, is_digit_bone
from calciflow.images import Volume
from calciflow.labels import TISSUES, region_label
from calciflow.lesions import Rules, detect
from calciflow.mapping import Mapping

PROXIMAL, MIDDLE, DISTAL, PULP = 44.6, 26.3, 17.4, 4.0
"""Phalanges and pulp of a middle finger (Buryanov and Kotiuk 2010, table I)."""

JOINT = 1.5
TIP = PROXIMAL + MIDDLE + DISTAL + 2 * JOINT
"""Way along the finger to the tip of its intact bone."""

STUMP = TIP - DISTAL - JOINT
FLESH = 8.0
SLICES = pytest.mark.parametrize("slice_mm", [1, 2, 3, 5])
SIZE = (90, 60, 60)


def profile(along):
    """Radius of a finger's bones, 0 in joints and beyond."""
    starts = np.cumsum([0.0, PROXIMAL + JOINT, MIDDLE + JOINT])
    radius = np.zeros_like(along)
    for start, length, (base, shaft, head) in zip(
        starts, (PROXIMAL, MIDDLE, DISTAL), ((6.5, 4.0, 5.5), (5.5, 3.5, 4.5), (4.5, 2.5, 3.5)), strict=True
    ):
        here = (along >= start) & (along <= start + length)
        radius = np.where(
            here, np.interp((along - start) / length, [0, 0.25, 0.8, 1], [base, shaft, shaft, head]), radius
        )
    return radius


class Finger:
    """A finger that points along z, tilted towards x; ``bone_to`` is where its bone ends, along it."""

    def __init__(self, slice_mm, tilt_deg=0.0, bone_to=TIP, girth=FLESH, flesh_to=TIP + PULP):
        self.spacing = (float(slice_mm), 1.0, 1.0)
        self.places = np.stack(np.meshgrid(*[np.arange(n) + 0.5 for n in SIZE], indexing="ij"), -1)
        angle = np.radians(tilt_deg)
        self.axis = np.array([np.cos(angle), 0.0, np.sin(angle)])
        self.side = np.array([-np.sin(angle), 0.0, np.cos(angle)])
        self.base = np.array([52.0, 30.0, 30.0]) - STUMP * self.axis  # the last joint lies in the middle
        away = self.places - self.base
        self.along = away @ self.axis
        self.off = np.linalg.norm(away - self.along[..., None] * self.axis, axis=-1)
        beyond = np.maximum(self.along - (flesh_to - girth), 0.0)
        self.tissues = np.where(np.hypot(self.off, beyond) <= girth, TISSUES["subcutaneous_fat"], 0)
        self.add(TISSUES["bone"], (self.off <= profile(self.along)) & (self.along <= bone_to))

    def add(self, label, where):
        self.tissues = np.where(where, label, self.tissues).astype(np.uint8)
        return self

    def ball(self, along, aside, radius):
        """Where a ball lies, aside in the plane of the tilt."""
        centre = self.base + along * self.axis + aside * self.side
        return np.linalg.norm(self.places - centre, axis=-1) <= radius

    def coarse(self, where):
        """Share of each voxel of the CT that is taken."""
        thick = int(self.spacing[0])
        return where[: SIZE[0] // thick * thick].reshape(-1, thick, *SIZE[1:]).mean(axis=1)

    @property
    def labels(self):
        shares = [self.coarse(self.tissues == label) for label in range(8)]
        return np.argmax(shares, axis=0).astype(np.uint8)

    def voxels(self, where):
        share = self.coarse(where)
        return np.argwhere(share >= min(0.5, 0.9 * share.max()))

    def told(self, along, aside=0.0, radius=2.0):
        return in_phalanx_place(self.voxels(self.ball(along, aside, radius)), self.labels, self.spacing)


@SLICES
@pytest.mark.parametrize("tilt", [0.0, 25.0])
def test_crumbs_of_a_lost_phalanx_are_told(slice_mm, tilt):
    finger = Finger(slice_mm, tilt, bone_to=STUMP)
    assert finger.told(STUMP + 6.0)
    assert finger.told(STUMP + 11.0, aside=2.0)
    assert finger.told(STUMP + 8.0, radius=3.5)


@pytest.mark.parametrize("slice_mm", [1, 2, 3])
def test_crumbs_before_an_eaten_phalanx_are_told(slice_mm):
    finger = Finger(slice_mm, bone_to=TIP - 0.75 * DISTAL)
    assert finger.told(TIP - 0.45 * DISTAL)


@SLICES
@pytest.mark.parametrize("tilt", [0.0, 25.0])
def test_deposits_of_an_intact_fingertip_are_not(slice_mm, tilt):
    finger = Finger(slice_mm, tilt)
    assert not finger.told(TIP + 2.0)
    for along in (TIP - 12.0, TIP - 4.0, TIP + 1.0):
        for aside in (-6.0, 6.0):
            assert not finger.told(along, aside)
    # a pulp that a deposit has swollen to more than twice its thickness
    swollen = Finger(slice_mm, tilt, flesh_to=TIP + 2.5 * PULP)
    for along in (TIP + 3.0, TIP + 5.0, TIP + 8.0):
        assert not swollen.told(along)


@pytest.mark.parametrize("bend_deg", [20.0, 40.0, 60.0, 90.0])
def test_a_bent_fingertip_is_as_good_as_a_straight_one(bend_deg):
    finger = Finger(2, bone_to=STUMP, flesh_to=STUMP + FLESH)
    joint = finger.base + (STUMP + JOINT) * finger.axis
    angle = np.radians(bend_deg)
    axis = np.cos(angle) * finger.axis + np.sin(angle) * finger.side
    along = (finger.places - joint) @ axis
    off = np.linalg.norm(finger.places - joint - along[..., None] * axis, axis=-1)
    beyond = np.maximum(along - (DISTAL + PULP - FLESH), 0.0)
    flesh = (np.hypot(off, beyond) <= FLESH) & (along >= 0.0)
    finger.add(TISSUES["subcutaneous_fat"], flesh & (finger.tissues == 0))
    finger.add(TISSUES["bone"], (off <= 3.5) & (along >= 0.0) & (along <= DISTAL))
    front = np.array([0.0, 1.0, 0.0])
    side = np.cross(axis, front)
    labels = finger.labels
    for way in (2.0, 8.0, 14.0, DISTAL + 1.5):
        for direction in (front, side, -side, 0.0 * side):
            centre = joint + way * axis + 5.5 * direction
            piece = (np.linalg.norm(finger.places - centre, axis=-1) <= 1.7) & (finger.tissues != TISSUES["bone"])
            if piece.any():
                assert not in_phalanx_place(finger.voxels(piece), labels, finger.spacing), (way, direction)


@SLICES
def test_an_eroded_finger_has_deposits_in_its_pulp_and_beside_its_axis(slice_mm):
    finger = Finger(slice_mm, bone_to=STUMP)
    assert not finger.told(TIP + 1.5)
    assert not finger.told(STUMP + 9.0, aside=6.0, radius=1.5)
    # and beside what is left of its bone
    assert not finger.told(STUMP - 8.0, aside=6.0)


@SLICES
def test_neighbours_that_touch_and_slivers_in_the_map_change_nothing(slice_mm):
    finger = Finger(slice_mm, bone_to=STUMP)
    for aside in (-2.0 * FLESH, 2.0 * FLESH):
        near = np.abs((finger.places - finger.base) @ finger.side - aside)
        front = (finger.places - finger.base)[..., 1]
        beside = np.hypot(near, front) <= FLESH
        finger.add(TISSUES["subcutaneous_fat"], beside & (finger.along <= TIP) & (finger.tissues == 0))
        finger.add(TISSUES["bone"], (np.hypot(near, front) <= 4.0) & (finger.along <= TIP - PULP))
    assert finger.told(STUMP + 7.0)
    sliver = (np.abs(finger.places - finger.base - 3.0 * finger.side)[..., 1:] <= 0.6).all(axis=-1)
    finger.add(TISSUES["bone"], sliver & (finger.along > STUMP) & (finger.along < TIP - 4.0))
    assert finger.told(STUMP + 7.0)


def test_where_flesh_does_not_end_nothing_is_told():
    # a fingertip on the thigh, on another finger, at the image's end
    on_thigh = Finger(2, bone_to=STUMP)
    on_thigh.add(TISSUES["subcutaneous_fat"], on_thigh.places[..., 0] > on_thigh.base[0] + TIP)
    assert not on_thigh.told(STUMP + 7.0)
    on_finger = Finger(2)
    across = on_finger.places - on_finger.base - (TIP + PULP + FLESH) * on_finger.axis
    on_finger.add(TISSUES["subcutaneous_fat"], (np.hypot(across[..., 0], across[..., 2]) <= FLESH + 1.0))
    on_finger.add(TISSUES["bone"], (np.hypot(across[..., 0], across[..., 2]) <= 4.0))
    assert not on_finger.told(TIP + 3.0)
    cut = Finger(2, bone_to=STUMP)
    piece = cut.voxels(cut.ball(STUMP + 7.0, 0.0, 2.0))
    assert in_phalanx_place(piece, cut.labels, cut.spacing)
    assert not in_phalanx_place(piece, cut.labels[: piece[:, 0].max() + 2], cut.spacing)


def test_a_slender_bone_in_thick_flesh_is_no_digit():
    assert not Finger(2, bone_to=STUMP, girth=24.0, flesh_to=TIP + PULP).told(STUMP + 7.0)


def test_a_bone_ends_where_it_does():
    finger = Finger(1, 25.0)
    piece = finger.voxels(finger.ball(TIP + 2.0, 0.0, 1.5))
    crop, start = crop_around(piece, finger.labels, finger.spacing)
    tip = finger.base + TIP * finger.axis - 0.5
    for end in bone_ends((piece - start).mean(axis=0), crop):
        assert np.linalg.norm(end.tip + start - tip) < 2.0
        assert end.axis @ finger.axis > 0.98


@SLICES
def test_a_digit_s_only_bone_is_bone(slice_mm):
    finger = Finger(slice_mm)
    bone = finger.tissues == TISSUES["bone"]
    finger.add(TISSUES["subcutaneous_fat"], bone)
    rod = (finger.off <= 4.5) & (finger.along >= TIP - 50.0) & (finger.along <= TIP)
    assert is_digit_bone(finger.voxels(rod), finger.labels, finger.spacing)
    short = rod & (finger.along <= TIP - 25.0)
    assert not is_digit_bone(finger.voxels(short), finger.labels, finger.spacing)


@SLICES
def test_a_calcified_sheath_beside_a_finger_s_bone_is_not(slice_mm):
    finger = Finger(slice_mm)
    aside = (finger.places - finger.base)[..., 1] - 7.0
    sheath = np.hypot(aside, (finger.places - finger.base) @ finger.side) <= 2.0
    sheath &= (finger.along >= TIP - 60.0) & (finger.along <= TIP - 15.0)
    assert not is_digit_bone(finger.voxels(sheath), finger.labels, finger.spacing)


def test_a_long_deposit_of_a_thigh_is_not():
    tissues = np.full((60, 80, 80), TISSUES["subcutaneous_fat"], np.uint8)
    tissues[:, :8] = 0
    rod = np.argwhere(np.ones((22, 6, 6), bool)) + np.array([15, 14, 37])
    assert not is_digit_bone(rod, tissues, (2.0, 1.0, 1.0))


@pytest.mark.parametrize(("bone_to", "along", "told"), [(STUMP, STUMP + 7.0, True), (TIP, TIP + 3.5, False)])
def test_the_flag_is_given(bone_to, along, told):
    finger = Finger(2, bone_to=bone_to, flesh_to=TIP + PULP if told else TIP + 2 * PULP)
    hu = np.array([-1000, 20, -60, 50, 900, -800, 40, 40], np.float32)[finger.tissues]
    hu[finger.ball(along, 0.0, 2.2)] = 700.0
    ct = hu.reshape(-1, 2, *SIZE[1:]).mean(axis=1)
    ct += 10.0 * np.random.default_rng(0).standard_normal(ct.shape)
    volume = Volume(np.round(ct).astype(np.int16), np.diag([1.0, 1.0, 2.0, 1.0]))
    tissues = finger.labels
    regions = np.where(tissues > 0, region_label("fingers", "right"), 0).astype(np.uint8)
    suv = Volume((0.3 * (tissues > 0)).astype(np.float32), volume.affine)
    anatomy = {"regions": {}, "joints": [], "midline": {}, "noise_hu": 10.0, "uncertain_bone": [], "warnings": []}
    found = detect(
        volume, suv, tissues, regions, anatomy, Mapping.identity(), Rules(),
        scan={"participant_id": "sub-01", "session_id": "ses-01"}, kvp=120.0, fwhm_mm=6.0, tolerance_mm=2.0,
    )  # fmt: skip
    place = finger.base + along * finger.axis - 0.5
    rows = [row for row in found.rows if abs(row["z_mm"] - place[0]) < 4.0 and str(row["concordance"])[:3] == "CT+"]
    assert len(rows) == 1
    assert ("bone?" in str(rows[0]["flags"])) is told
