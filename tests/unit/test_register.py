"""PET to CT: known motions of analytic bodies, and cases that nothing can be said of."""

import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

from calciflow.files import read_json
from calciflow.images import Volume, read_volume, write_volume
from calciflow.index import index_scan
from calciflow.labels import region_label
from calciflow.mapping import Mapping, load_mapping
from calciflow.register import align, register_scan, residual_table
from calciflow.registration.limbs import _unslid, borne_out, correct_limbs
from calciflow.registration.outline import outline_of
from calciflow.registration.rigid import search
from calciflow.registration.scene import coarse, pet_coverage, sample, with_pet
from calciflow.registration.segments import Correction
from calciflow.registration.settle import settle
from calciflow.registration.skeleton import LocalShift, compare, skeleton_of
from calciflow.tissues import segment
from dicom_scans import convert_scan

STEP = 4.0
FWHM = 6.0
UPTAKE = {"outside": 0.02, "soft": 0.6, "bone": 5.0, "bladder": 20.0}


def tube(points, start, end, radius):
    start, end = np.array(start, float), np.array(end, float)
    along = np.clip((points - start) @ (end - start) / ((end - start) @ (end - start)), 0, 1)
    away = points - start - along[..., None] * (end - start)
    return (away**2).sum(-1) <= radius**2


def prepare(ct, tissues, regions, suv, block_mm):
    return with_pet(coarse(ct, tissues, regions, block_mm), suv)


class Body:
    """A trunk with spine, ribs, pelvis and bladder, a head, arms beside it, thighs: made of ellipsoids and tubes."""

    def __init__(self):
        axes = [np.arange(low, high, STEP) for low, high in ((-420, 620), (-128, 128), (-260, 260))]
        z, y, x = np.meshgrid(*axes, indexing="ij")
        points = np.stack([x, y, z], -1)
        self.affine = np.diag([STEP, STEP, STEP, 1.0])
        self.affine[:3, 3] = [-260, -128, -420]
        shape = z.shape
        bone, self.regions = np.zeros(shape, bool), np.zeros(shape, np.uint8)
        trunk = ((x / 170) ** 2 + (y / 105) ** 2 <= 1) & (z > -50) & (z < 420)
        head = (x / 75) ** 2 + (y / 95) ** 2 + ((z - 520) / 90) ** 2 <= 1
        parts = [("head", head), ("chest", trunk & (z > 220)), ("abdomen", trunk & (z > 80)), ("pelvis", trunk)]
        parts.append(("neck", tube(points, (0, 0, 410), (0, 0, 450), 50)))
        for side in (-1, 1):
            parts.append(("thigh", tube(points, (side * 90, 0, -50), (side * 85, 0, -420), 78)))
            parts.append(("upper_arm", tube(points, (side * 205, 0, 380), (side * 215, 0, 180), 40)))
            parts.append(("forearm", tube(points, (side * 215, 0, 180), (side * 222, 15, -40), 32)))
            bone |= tube(points, (side * 90, 0, -20), (side * 85, 0, -420), 14)
            bone |= tube(points, (side * 90, 0, -20), (side * 60, -10, 60), 20)
            bone |= tube(points, (side * 205, 0, 380), (side * 212, 0, 185), 11)
            bone |= tube(points, (side * 205, -8, 170), (side * 215, 8, -35), 6)
            bone |= tube(points, (side * 225, 8, 170), (side * 229, 22, -35), 6)
        bone |= tube(points, (0, -50, 0), (0, -50, 440), 18)
        for rib in range(9):
            ring = np.abs(np.hypot(x / 140, y / 85) - 1) < 0.06
            bone |= ring & (np.abs(z - 240 - rib * 20 - 0.3 * y) < 5)
        bone |= (np.abs(np.sqrt((x / 68) ** 2 + (y / 88) ** 2 + ((z - 520) / 83) ** 2) - 1) < 0.08) & head
        inside = np.zeros(shape, bool)
        for name, mask in parts:
            free = mask & (self.regions == 0)
            self.regions[free & (x <= 0)] = region_label(name, "left")
            self.regions[free & (x > 0)] = region_label(name, "right")
            inside |= mask
        bone &= inside
        bladder = ((x / 35) ** 2 + ((y - 45) / 30) ** 2 + ((z + 5) / 30) ** 2 <= 1) & ~bone
        self.tissues = np.where(inside, 3, 0).astype(np.uint8)
        self.tissues[bone], self.tissues[bladder] = 4, 6
        noise = np.random.default_rng(0).normal(0, 15, shape)
        self.hu = (np.where(bone, 350, np.where(inside, 40, -1000)) + noise).astype(np.int16)
        self.activity = np.select([bone, bladder, inside], [UPTAKE["bone"], UPTAKE["bladder"], UPTAKE["soft"]], 0.02)

    def volume(self, array):
        return Volume(array, self.affine)

    def pet(
        self,
        matrix=None,
        bone_uptake=None,
        low=-440.0,
        high=640.0,
        noise=0.15,
        arm_shift=None,
        arm_turn=None,
        bone_alone=False,
        seed=1,
    ):
        """The PET in which tissue from CT point p lies at ``matrix`` p.

        The right forearm moved by ``arm_shift`` (``bone_alone``: its bone did, its soft tissue not), or turned about
        the elbow by ``arm_turn`` (degrees about x, y, z).
        """
        matrix = np.eye(4) if matrix is None else matrix
        activity = self.activity if bone_uptake is None else np.where(self.tissues == 4, bone_uptake, self.activity)
        blurred = gaussian_filter(activity.astype(np.float32), FWHM / 2.3548 / STEP)
        axes = [np.arange(a, b, 4.3) for a, b in ((low, high), (-140, 140), (-275, 275))]
        grid = np.meshgrid(*axes, indexing="ij")
        affine = np.diag([4.3, 4.3, 4.3, 1.0])
        affine[:3, 3] = [axes[2][0], axes[1][0], axes[0][0]]
        points = np.stack(grid[::-1], -1).reshape(-1, 3)
        inverse = np.linalg.inv(matrix)
        source = points @ inverse[:3, :3].T + inverse[:3, 3]
        if arm_shift is not None:
            arm = (source[:, 0] > 178) & (source[:, 2] < 180)
            source = source - arm[:, None] * np.array(arm_shift, float)
        if arm_turn is not None:
            elbow = np.array([212.0, 0, 180])
            back = Rotation.from_euler("xyz", arm_turn, degrees=True).inv()
            arm = (source[:, 0] > 172) & (source[:, 2] < 180)
            source = np.where(arm[:, None], back.apply(source - elbow) + elbow, source)
        index = self.volume(blurred).index(source).T
        suv = map_coordinates(blurred, index, order=1, mode="constant", cval=0.02).reshape(grid[0].shape)
        if bone_alone:
            soft = gaussian_filter(np.where(self.tissues == 0, 0.02, UPTAKE["soft"]), FWHM / 2.3548 / STEP)
            flesh = map_coordinates(soft, self.volume(soft).index(points).T, order=1, cval=0.02).reshape(suv.shape)
            arm = ((points[:, 0] > 178) & (points[:, 2] < 180)).reshape(suv.shape)
            suv = np.where(arm, np.where(suv > 1.2 * UPTAKE["soft"], suv, flesh), suv)
        grain = gaussian_filter(np.random.default_rng(seed).normal(0, 1, suv.shape), 0.7) * 3.5
        suv = np.clip(suv + noise * grain * np.sqrt(np.maximum(suv, 0.05)), 0, None)
        return Volume(suv.astype(np.float32), affine)

    def scene(self, pet, block_mm=5.0):
        return prepare(self.volume(self.hu), self.volume(self.tissues), self.volume(self.regions), pet, block_mm)


@pytest.fixture(scope="module")
def body():
    return Body()


def motion(shift, degrees, centre=(0, 0, 150)):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    matrix[:3, 3] = np.array(centre) + shift - matrix[:3, :3] @ np.array(centre)
    return matrix


def errors(scene, mapping, true):
    points = scene.points(scene.body > 0.5)
    return np.linalg.norm(mapping.ct_to_pet(points) - points @ true[:3, :3].T - true[:3, 3], axis=1)


@pytest.mark.parametrize(
    ("shift", "degrees"),
    [
        ((4.0, -3.0, 3.0), (1.0, 1.5, -2.0)),
        pytest.param((-2.0, 0.0, -5.5), (0.0, -3.0, 0.0), marks=pytest.mark.slow),
    ],
)
def test_a_body_that_moved_is_found_again(body, shift, degrees):
    true = motion(np.array(shift), degrees)
    scene = body.scene(body.pet(true))
    result = align(scene)
    assert result.gate.verdict == "kept", result.gate
    found = errors(scene, result.mapping, true)
    assert found.mean() <= 1.0
    assert found.max() <= 2.0
    assert result.rotation_deg == pytest.approx(
        np.linalg.norm(Rotation.from_matrix(true[:3, :3]).as_rotvec(True)), abs=0.3
    )
    assert max(value for value in result.residual_mm.values() if value is not None) <= 2.0


def test_where_the_search_ends_beside_the_skeleton_the_skeleton_settles_it(body):
    """Legs alone: mutual information ended 4 mm off along their axis, and all limbs lay beside their uptake."""
    true = motion(np.array([1.0, 4.0, 2.0]), (0.5, -0.5, 1.0))
    scene = body.scene(body.pet(true))
    skeleton, outline = skeleton_of(scene), outline_of(scene)
    slid = motion(np.array([0.0, 0.0, -4.0]), (0.4, 0.0, 0.0)) @ true
    assert errors(scene, Mapping(slid), true).mean() > 3.5
    assert errors(scene, Mapping(settle(scene, skeleton, outline, slid)), true).mean() <= 1.0
    # What lies right is not touched, nor what nothing can be said of.
    assert settle(scene, skeleton, outline, true) is true
    assert settle(scene, skeleton, outline, None) is None
    cold = body.scene(body.pet(true, bone_uptake=UPTAKE["soft"]))
    assert settle(cold, skeleton_of(cold), outline_of(cold), slid) is slid


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_body_that_lay_still_is_left_alone(body, seed):
    result = align(body.scene(body.pet(noise=0.4, seed=seed)))
    assert result.gate.verdict == "not needed"
    np.testing.assert_array_equal(result.mapping.matrix, np.eye(4))
    assert [value for value in result.residual_mm.values() if value] == []
    assert result.warnings(3.0) == []


def test_cold_bone_says_nothing_and_the_header_is_kept(body):
    true = motion(np.array([5.0, 0, 0]), (0, 0, 0))
    result = align(body.scene(body.pet(true, bone_uptake=0.4)))
    assert result.gate.verdict == "untestable"
    assert "not hot" in result.gate.reason
    np.testing.assert_array_equal(result.mapping.matrix, np.eye(4))
    assert set(result.residual_mm.values()) == {None}


@pytest.mark.slow
def test_motion_out_of_bounds_is_rejected(body):
    true = motion(np.array([6.0, 0, 4]), (0, 0, 0))
    result = align(body.scene(body.pet(true)), max_shift_mm=5.0)
    assert result.gate.verdict == "rejected"
    assert "out of bounds" in result.gate.reason
    np.testing.assert_array_equal(result.mapping.matrix, np.eye(4))
    # What was not corrected is reported.
    assert result.residual_mm["abdomen"] == pytest.approx(np.hypot(6, 4), abs=1.5)
    assert any(text.startswith("abdomen") for text in result.warnings(3.0))


def test_a_moved_arm_is_noticed_and_does_not_drag_the_body(body):
    result = align(body.scene(body.pet(arm_shift=(9.0, 6.0, 0.0))), mode="rigid")
    assert result.gate.verdict == "not needed"
    assert result.residual_mm["right forearm"] == pytest.approx(np.hypot(9, 6), abs=1.5)
    assert result.residual_mm["left forearm"] == 0
    assert [text.split(":")[0] for text in result.warnings(3.0)] == ["right forearm"]


def test_limbs_brings_a_moved_arm_back_and_nothing_else(body):
    scene = body.scene(body.pet(arm_shift=(9.0, 6.0, 0.0)))
    result = align(scene, mode="limbs")
    assert {name for name, limb in result.limbs.items() if limb.verdict == "kept"} == {"right forearm"}
    arm = scene.points((scene.body > 0.5) & (scene.regions == region_label("forearm", "right")))
    arm = arm[arm[:, 2] < 140]
    left = np.linalg.norm(result.mapping.ct_to_pet(arm) - arm - [9, 6, 0], axis=1)
    assert np.mean(left) <= 3.0
    other = scene.points((scene.body > 0.5) & ~np.isin(scene.regions, [region_label("forearm", "right")]))
    other = other[other[:, 0] < 150]
    np.testing.assert_allclose(result.mapping.ct_to_pet(other), other, atol=1e-6)
    assert result.residual_mm["right forearm"] <= 3.0
    # The outline, which the search did not look at, bears it out; a limb that lay still fits as before.
    fit = result.limbs["right forearm"].outline
    assert fit.better
    assert fit.after > fit.before + 0.05
    still = result.limbs["left forearm"].outline
    assert still.before == still.after > 0.8


def test_a_forearm_that_turned_about_its_elbow_is_followed_to_its_end(body):
    # 5 degrees of 220 mm: 19 mm at the wrist, none at the elbow.
    scene = body.scene(body.pet(arm_turn=(3.0, 4.0, 0.0)))
    result = align(scene, mode="limbs")
    assert result.limbs["right forearm"].verdict == "kept"
    arm = scene.points((scene.body > 0.5) & (scene.regions == region_label("forearm", "right")))
    elbow = np.array([212.0, 0, 180])
    true = Rotation.from_euler("xyz", (3.0, 4.0, 0.0), degrees=True).apply(arm - elbow) + elbow
    assert np.linalg.norm(true - arm, axis=1).max() > 18
    left = np.linalg.norm(result.mapping.ct_to_pet(arm) - true, axis=1)
    assert left.mean() <= 1.5
    assert left.max() <= 3.0


def test_bone_that_moved_without_its_flesh_is_not_believed(body):
    # Uptake that draws the skeleton away while soft tissue stays in the CT's outline is no motion of the arm.
    result = align(body.scene(body.pet(arm_shift=(11.0, 0.0, 0.0), bone_alone=True)), mode="limbs")
    arm = result.limbs["right forearm"]
    assert arm.verdict == "rejected"
    assert "outline" in arm.reason
    points = np.array([[215.0, 5, 60]])
    np.testing.assert_array_equal(result.mapping.ct_to_pet(points), points)
    # And what is left is said.
    assert result.residual_mm["right forearm"] == pytest.approx(11, abs=2)
    assert [text.split(":")[0] for text in result.warnings(3.0)] == ["right forearm"]
    assert result.misregistered(3.0) == ["right forearm"]


def test_a_limb_that_moved_out_of_reach_is_called_misregistered(body):
    # 34 mm to the side: no shift that the search may make brings the arm back. A cold arm is another thing.
    result = align(body.scene(body.pet(arm_shift=(30.0, 15.0, 0.0))), mode="limbs")
    assert result.limbs["right forearm"].verdict in ("untestable", "rejected")
    assert "right forearm" in result.misregistered(3.0)
    assert "left forearm" not in result.misregistered(3.0)
    assert any(text.startswith("right forearm") for text in result.warnings(3.0))


def test_a_shaft_is_not_said_to_have_slid_along_itself():
    along, axis = np.array([0.3, 0.0, 5.0]), np.array([0.0, 0.0, 1.0])
    shift = LocalShift(along, 0.7, 0.8, True, axis)
    assert shift.across == pytest.approx(0.3)
    assert shift.millimetres == pytest.approx(np.hypot(0.3, 5))
    assert LocalShift(along, 0.7, 0.8, False, axis).across == 0


@pytest.mark.parametrize("gain", [0.004, 0.04])
def test_a_slide_along_a_shaft_must_pay_for_itself(gain):
    """A correlation that rises by 0.004 over 4 mm along the bone once slid a forearm that had moved across it alone."""
    axis = np.array([0.0, 0.6, 0.8])
    across = np.array([2.0, 0.0, 0.0])
    centre = np.array([100.0, -40.0, 300.0])
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec([0.0, 0.0, 0.02]).as_matrix()
    matrix[:3, 3] = centre + across + 4.0 * axis - matrix[:3, :3] @ centre

    def agree(trial):
        slide = (trial[:3, :3] @ centre + trial[:3, 3] - centre) @ axis
        return 0.90 + gain * slide / 4.0

    found, fits = _unslid(matrix, agree(matrix), centre, axis, agree)
    moved = found[:3, :3] @ centre + found[:3, 3] - centre
    np.testing.assert_allclose(moved, across + (4.0 * axis if gain > 0.01 else 0.0), atol=1e-6)
    np.testing.assert_array_equal(found[:3, :3], matrix[:3, :3])
    assert fits == pytest.approx(agree(found))


def test_the_pet_is_cut_to_the_body_and_made_finite(body):
    pet = body.pet()
    wide = np.pad(pet.array, ((40, 40), (60, 60), (60, 60)), constant_values=np.nan)
    affine = pet.affine.copy()
    affine[:3, 3] -= pet.affine[:3, :3] @ np.array([60, 60, 40.0])
    scene = body.scene(Volume(wide, affine))
    assert scene.pet.array.nbytes < 0.4 * wide.nbytes
    assert np.isfinite(scene.pet.array).all()
    assert pet_coverage(scene) == pytest.approx(pet_coverage(body.scene(pet)), abs=0.03)
    points = np.array([[0.0, 0, 100], [212, 0, 0]])
    np.testing.assert_allclose(sample(scene.pet, points), sample(pet, points), rtol=1e-5)


@pytest.mark.slow
def test_header_mode_moves_nothing_but_measures(body):
    result = align(body.scene(body.pet(motion(np.array([6.0, 0, 0]), (0, 0, 0)))), mode="header")
    np.testing.assert_array_equal(result.mapping.matrix, np.eye(4))
    assert result.gate.verdict == "not needed"
    assert result.residual_mm["chest"] == pytest.approx(6, abs=1.5)


def test_a_pet_of_a_part_of_the_body(body):
    true = motion(np.array([3.0, -4, 2]), (0.5, 1, 0))
    scene = body.scene(body.pet(true, low=0.0, high=330.0))
    result = align(scene)
    assert 0.2 < result.coverage < 0.6
    assert any("of the body on CT" in text for text in result.warnings(3.0))
    assert result.gate.verdict == "kept"
    points = scene.points(scene.body > 0.5)
    points = points[(points[:, 2] > 0) & (points[:, 2] < 330)]
    left = result.mapping.ct_to_pet(points) - points @ true[:3, :3].T - true[:3, 3]
    assert np.linalg.norm(left, axis=1).mean() <= 1.5
    assert result.residual_mm["head"] is None


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["rigid", "limbs"])
def test_no_bone_no_body_no_overlap_and_no_uptake_are_untestable(body, mode):
    pet = body.pet()
    no_bone = np.where(body.tissues == 4, 3, body.tissues)
    nothing = np.zeros_like(body.tissues)
    elsewhere = Volume(pet.array, pet.affine + np.array([[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 5000.0], [0, 0, 0, 0]]))
    cases = ((no_bone, pet), (nothing, pet), (body.tissues, elsewhere), (body.tissues, pet.like(0 * pet.array)))
    for tissues, suv in cases:
        scene = prepare(body.volume(body.hu), body.volume(tissues), body.volume(body.regions), suv, 5.0)
        result = align(scene, mode=mode)
        assert result.gate.verdict == "untestable"
        np.testing.assert_array_equal(result.mapping.matrix, np.eye(4))
        points = np.array([[0.0, 0, 0], [100, 50, 300]])
        np.testing.assert_array_equal(result.mapping.ct_to_pet(points), points)


def test_twenty_slices_work(body):
    part = slice(100, 120)
    volumes = [
        body.volume(array).crop((part, slice(None), slice(None))) for array in (body.hu, body.tissues, body.regions)
    ]
    result = align(prepare(*volumes, body.pet(), 5.0))
    assert result.gate.verdict in ("not needed", "untestable", "rejected")
    np.testing.assert_array_equal(result.mapping.matrix, np.eye(4))


def test_coverage_counts_body_voxels(body):
    assert pet_coverage(body.scene(body.pet())) > 0.97
    assert pet_coverage(body.scene(body.pet(low=-440, high=5.0))) == pytest.approx(
        (body.tissues[: int((5 + 420) / STEP)] > 0).sum() / (body.tissues > 0).sum(), abs=0.03
    )


def test_chance_is_not_taken_for_an_improvement():
    rng = np.random.default_rng(0)
    better = 0
    for _ in range(300):
        before = rng.normal(0.8, 0.1, 40)
        better += compare(before, before + rng.normal(0, 0.05, 40)).better
    assert better <= 3
    assert compare(np.full(5, 0.5), np.array([0.6, 0.61, 0.62, 0.6, 0.6])).better
    assert compare(np.array([0.6, 0.61, 0.62, 0.6, 0.6]), np.full(5, 0.5)).worse
    assert not compare(np.full(5, 0.5), np.array([0.6, 0.61, 0.62, 0.6, 0.6])).worse
    assert not compare(np.array([0.5, 0.5]), np.array([0.9, 0.95])).better  # two parts say nothing
    assert not compare(np.array([np.nan] * 5), np.ones(5)).better


def _limbs(**shifts):
    """Corrections of some segments: name (blanks as underscores) and shift, mm."""
    found = {}
    for name, shift in shifts.items():
        matrix = np.eye(4)
        matrix[:3, 3] = shift
        found[name.replace("_", " ", 1)] = Correction("kept", "", matrix)
    return found


def test_limbs_that_moved_as_the_body_would_have_moved_them_bear_its_motion_out(body):
    skeleton = skeleton_of(body.scene(body.pet()))
    whole = motion((0.0, 4.0, -2.0), (0.0, 0.0, 0.0))
    same, near, other = (0.0, 4.0, -2.0), (1.0, 3.5, -1.0), (3.0, -1.0, 4.0)
    assert borne_out(whole, skeleton, _limbs(left_forearm=same, right_thigh=near))
    assert borne_out(whole, skeleton, _limbs(left_forearm=same, right_thigh=near, left_thigh=other))
    assert not borne_out(whole, skeleton, _limbs(left_forearm=same))
    # one limb is one witness, however many parts of it moved
    assert not borne_out(whole, skeleton, _limbs(left_forearm=same, left_hand=same, left_thigh=other))
    assert not borne_out(whole, skeleton, _limbs(left_forearm=other, right_thigh=other))
    rejected = {name: replace(one, verdict="rejected") for name, one in _limbs(left_forearm=same).items()}
    assert not borne_out(whole, skeleton, _limbs(right_thigh=near) | rejected)


def test_two_limbs_point_by_chance_as_the_body_would_once_in_two_hundred_times(body):
    skeleton = skeleton_of(body.scene(body.pet()))
    whole = motion((0.0, 4.0, 0.0), (0.0, 0.0, 0.0))
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(2000):
        ways = rng.normal(size=(2, 3))
        ways *= (rng.uniform(2.0, 8.0, 2) / np.linalg.norm(ways, axis=1))[:, None]
        hits += borne_out(whole, skeleton, _limbs(left_forearm=ways[0], right_thigh=ways[1]))
    assert hits <= 20


def test_residuals_stand_under_every_region():
    table = residual_table({"head": 1.0, "left hand": 4.0, "right hand": None, "chest": 0.0})
    assert table["body"] == 1.0
    assert table["left fingers"] == table["left hand"] == 4.0
    assert table["left head"] == table["right head"] == 1.0
    assert table["right hand"] is None
    assert table["left knee"] is None


@pytest.mark.slow
def test_the_search_does_not_depend_on_the_number_of_threads(body):
    scene = body.scene(body.pet(motion(np.array([3.0, 2, -1]), (1, 0, 0))))
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    try:
        found = []
        for count in (1, 2, 5):
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(count)
            found.append(search(scene).tobytes())
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    assert len(set(found)) == 1


def write_scan(body, pet, folder):
    write_volume(folder / "ct.nii.gz", body.volume(body.hu), np.int16)
    write_volume(folder / "t.nii.gz", body.volume(body.tissues), np.uint8)
    write_volume(folder / "r.nii.gz", body.volume(body.regions), np.uint8)
    write_volume(folder / "suv.nii.gz", pet, np.float32)
    (folder / "a.json").write_text("{}")


def run(folder, mode):
    files = {"ct": "ct.nii.gz", "suv": "suv.nii.gz", "tissues": "t.nii.gz", "regions": "r.nii.gz", "anatomy": "a.json"}
    outputs = {"xfm": "x.tfm", "xfm_json": "x.json"} | ({"field": "x.nii.gz"} if mode == "limbs" else {})
    register_scan(
        **{key: str(folder / name) for key, name in (files | outputs).items()},
        mode=mode,
        block_mm=5.0,
        max_shift_mm=20.0,
        max_rotation_deg=6.0,
        min_shift_mm=1.0,
        min_limb_shift_mm=2.0,
        max_limb_shift_mm=25.0,
        tolerance_mm=3.0,
    )
    return [folder / name for name in outputs.values()]


def test_the_stage_writes_what_others_read(body, tmp_path):
    true = motion(np.array([4.0, -3, 3]), (1, 1, -1))
    write_scan(body, body.pet(true), tmp_path)
    (tmp_path / "x.nii.gz").write_bytes(b"the field of an earlier run in mode limbs")
    run(tmp_path, "rigid")
    assert not (tmp_path / "x.nii.gz").exists()
    mapping = load_mapping(tmp_path / "x.tfm")
    points = np.array([[0.0, 0, 0], [80, -40, 300], [-90, 10, -200]])
    np.testing.assert_allclose(mapping.ct_to_pet(points), points @ true[:3, :3].T + true[:3, 3], atol=1.0)
    np.testing.assert_allclose(mapping.pet_to_ct(mapping.ct_to_pet(points)), points, atol=1e-6)
    told = read_json(tmp_path / "x.json")
    assert told["gate"]["verdict"] == "kept"
    assert told["gate"]["after"] > told["gate"]["before"]
    assert told["gate"]["outline"]["after"] > told["gate"]["outline"]["before"]
    assert told["tolerance_mm"] == 3.0
    assert told["shift_mm"] == pytest.approx(np.linalg.norm([4, -3, 3]), abs=3)
    assert {"body", "left hand", "right toes", "left chest"} <= set(told["residual_mm"])
    # ITK reads the same transform: LPS points.
    transform = sitk.ReadTransform(str(tmp_path / "x.tfm"))
    itk = np.array(transform.TransformPoint((-80.0, 40.0, 300.0))) * [-1, -1, 1]
    np.testing.assert_allclose(itk, mapping.ct_to_pet(points[1:2])[0], atol=1e-6)


@pytest.mark.slow
def test_the_field_is_written_as_the_mapping_reads_it_and_twice_alike(body, tmp_path):
    write_scan(body, body.pet(arm_shift=(9.0, 6.0, 0.0)), tmp_path)
    outputs = run(tmp_path, "limbs")
    first = [path.read_bytes() for path in outputs]
    mapping = load_mapping(tmp_path / "x.tfm", tmp_path / "x.nii.gz")
    arm = np.array([[218.0, 10, 40]])
    np.testing.assert_allclose(mapping.ct_to_pet(arm) - arm, [[9, 6, 0]], atol=3)
    np.testing.assert_allclose(mapping.pet_to_ct(mapping.ct_to_pet(arm)), arm, atol=0.01)
    # ITK's sense of the same field: the displacement at an LPS point.
    field = sitk.DisplacementFieldTransform(sitk.ReadImage(str(tmp_path / "x.nii.gz"), sitk.sitkVectorFloat64))
    moved = (np.array(field.TransformPoint((-218.0, -10.0, 40.0))) - [-218, -10, 40]) * [-1, -1, 1]
    np.testing.assert_allclose(moved, (mapping.ct_to_pet(arm) - arm)[0], atol=1e-3)
    limb = json.loads(outputs[1].read_text())["limbs"]["right forearm"]
    assert limb["verdict"] == "kept"
    assert limb["shift_mm"] == pytest.approx(np.hypot(9, 6), abs=2)
    assert limb["after"] > limb["before"]
    assert limb["outline_after"] > limb["outline_before"]
    assert limb["residual_mm"] <= 3.0
    assert [path.read_bytes() for path in run(tmp_path, "limbs")] == first


def test_a_field_belongs_to_limbs_alone(body, tmp_path):
    with pytest.raises(ValueError, match="limbs"):
        register_scan(
            ct="", suv="", tissues="", regions="", anatomy="", xfm="", xfm_json="", field="x", mode="rigid",
            block_mm=5, max_shift_mm=1, max_rotation_deg=1, min_shift_mm=1, min_limb_shift_mm=1, max_limb_shift_mm=1,
            tolerance_mm=1,
        )  # fmt: skip


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.parametrize("name", ["STS_001", "STS_028", "STS_044", "STS_045", "STS_049"])
def test_real_fdg_scans_keep_their_header(testdata, tmp_path, name):
    # Cropped limbs and pelves with FDG: bone is not hot, so nothing may be moved.
    paths = {key: str(tmp_path / f"{key}.nii.gz") for key in ("ct", "pet")}
    texts = {key: str(tmp_path / key) for key in ("series", "screening", "selection", "ct_json", "pet_json")}
    scan = {"participant_id": "sub-01", "session_id": "ses-01", "acquisition": None}
    index_scan(
        series=texts["series"],
        screening=texts["screening"],
        selection=texts["selection"],
        scan=scan,
        sources={"source": str(testdata / "sts" / name)},
    )
    convert_scan(selection=texts["selection"], ct_json=texts["ct_json"], pet_json=texts["pet_json"], **paths)
    ct, suv = read_volume(paths["ct"]), read_volume(paths["pet"])
    maps = segment(ct)
    for mode in ("rigid", "limbs"):
        result = align(prepare(ct, ct.like(maps.tissues), ct.like(maps.regions), suv, 5.0), mode=mode)
        assert result.gate.verdict in ("untestable", "rejected", "not needed"), result.gate
        points = ct.world(np.array([[0, 0, 0], [20, 100, 100]]))
        np.testing.assert_array_equal(result.mapping.ct_to_pet(points), points)


def hand_scene(turn, noise=0.1):
    """A forearm of two bones and a hand of five rays 18 mm apart, the hand turned about its wrist by ``turn`` (deg)."""
    axes = [np.arange(low, high, 3.0) for low, high in ((-190, 190), (-40, 40), (-90, 90))]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    points = np.stack([x, y, z], -1)
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = [-90, -40, -190]
    bone = tube(points, (-14, 0, 4), (-10, 0, 180), 7) | tube(points, (14, 0, 4), (10, 0, 180), 7)
    flesh = tube(points, (0, 0, 0), (0, 0, 190), 30)
    for ray in range(-2, 3):
        tip = (ray * 22, 0, -150 + 12 * abs(ray))
        bone |= tube(points, (ray * 9, 0, -8), tip, 5)
        flesh |= tube(points, (ray * 9, 0, 0), tip, 11)
    flesh |= (np.abs(x) < 42) & (np.abs(y) < 13) & (z < 0) & (z > -80)
    bone &= flesh
    tissues = np.where(flesh, 3, 0).astype(np.uint8)
    tissues[bone] = 4
    regions = np.where(flesh, np.where(z > 0, region_label("forearm", "left"), region_label("hand", "left")), 0)
    hu = np.where(bone, 500, np.where(flesh, 40, -1000)).astype(np.int16)
    activity = np.where(bone, 4.0, np.where(flesh, 0.5, 0.02)).astype(np.float32)
    blurred = gaussian_filter(activity, FWHM / 2.3548 / 3.0)
    rotation = Rotation.from_euler("xyz", turn, degrees=True)
    source = np.where((z > 0)[..., None], points, rotation.inv().apply(points.reshape(-1, 3)).reshape(points.shape))
    index = Volume(blurred, affine).index(source.reshape(-1, 3)).T
    suv = map_coordinates(blurred, index, order=1, cval=0.02).reshape(z.shape)
    suv += noise * gaussian_filter(np.random.default_rng(3).normal(0, 3, z.shape), 0.8) * np.sqrt(suv)
    volumes = [Volume(array, affine) for array in (hu, tissues, regions.astype(np.uint8), suv.astype(np.float32))]
    return prepare(*volumes, 3.0), rotation


@pytest.mark.parametrize("turn", [(0, 14, 0), (-9, 9, 4), (0, 0, 0)])
def test_fingers_are_not_taken_for_their_neighbours(turn):
    # A finger that swings by its distance from the next lies as well on the next one's uptake.
    scene, rotation = hand_scene(turn)
    mapping, limbs = correct_limbs(scene, skeleton_of(scene), outline_of(scene), np.eye(4), 2.0, 40.0)
    assert limbs["left hand"].verdict == ("kept" if any(turn) else "not needed")
    assert limbs["left forearm"].verdict == "not needed"
    hand = scene.points((scene.body > 0.5) & (scene.regions == region_label("hand", "left")))
    hand = hand[hand[:, 2] < -20]  # beyond the blend over the wrist
    left = np.linalg.norm(mapping.ct_to_pet(hand) - rotation.apply(hand), axis=1)
    assert left.mean() <= 1.5
    assert left.max() <= 4.0
