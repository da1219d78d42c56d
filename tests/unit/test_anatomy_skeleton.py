"""Bone or deposit, on analytic objects: tubes with marrow, solid nodules, sheets, vessels with contrast."""

import numpy as np
import pytest
from scipy import ndimage

from calciflow.anatomy import skeleton
from calciflow.anatomy.bone import NOISY_HU, calm, dense_bone, fill_marrow, tempered, whole_cranium
from calciflow.anatomy.grid import blocks, distance
from calciflow.anatomy.judge import Place, probability
from calciflow.anatomy.objects import describe, split
from calciflow.anatomy.skeleton import find_skeleton, settle

SHAPE = (40, 90, 90)
STEP = (3.0, 2.0, 2.0)
GRID = blocks(SHAPE, STEP, 2.0)
Z, Y, X = np.meshgrid(*[np.arange(n) * s for n, s in zip(SHAPE, STEP, strict=True)], indexing="ij")
LIMB = np.hypot(Y - 90, X - 90) < 75


def limb(noise=0.0):
    """Muscle in fat, with a long bone of 30 mm diameter and 5 mm cortex in its axis."""
    hu = np.full(SHAPE, -1000.0, np.float32)
    radius = np.hypot(Y - 90, X - 90)
    hu[radius < 75] = -100
    hu[radius < 62] = 50
    hu[radius < 15] = 1000
    hu[radius < 10] = -60
    hu = ndimage.gaussian_filter(hu, (0.4, 0.8, 0.8))
    return hu + np.random.default_rng(0).normal(0, noise, SHAPE).astype(np.float32)


def ball(hu, centre, radius, value):
    z, y, x = centre
    inside = (Z - z) ** 2 + (Y - y) ** 2 + (X - x) ** 2 < radius**2
    hu[inside] = value
    return inside


def found(hu):
    depth = distance(LIMB, STEP)
    return find_skeleton(hu, LIMB, depth, GRID)


@pytest.mark.parametrize("noise", [0.0, 30.0])
def test_a_long_bone_is_bone_with_its_marrow(noise):
    result = found(limb(noise))
    radius = np.hypot(Y - 90, X - 90)
    assert result.bone[radius < 12].mean() > 0.98  # marrow included
    assert result.bone[(radius > 20) & LIMB].mean() < 0.001
    assert not result.skull.any()


def test_noise_is_measured_and_calmed_where_it_would_look_like_bone():
    """120 HU of noise in each block made 100,000 specks, each of which was described: minutes a scan."""
    for noise in (10.0, 25.0, 40.0, 120.0):
        hu = limb(noise)
        calmed = tempered(hu, LIMB, GRID)
        assert (calmed is hu) == (noise < NOISY_HU)
    assert split(hu, (hu > 150.0) & LIMB)[1] > 3000
    assert split(calmed, (calmed > 150.0) & LIMB)[1] < 100
    radius = np.hypot(Y - 90, X - 90)
    bone = found(calmed).bone
    assert bone[radius < 12].mean() > 0.95
    assert bone[(radius > 22) & LIMB].mean() < 0.005
    assert tempered(np.full(SHAPE, -1000.0, np.float32), LIMB, GRID).max() == -1000.0


@pytest.mark.parametrize("radius", [4.0, 6.0, 12.0])
@pytest.mark.parametrize("value", [400.0, 900.0, 1500.0])
def test_a_solid_nodule_in_muscle_is_no_bone_however_dense(radius, value):
    hu = limb()
    nodule = ball(hu, (60, 90, 130), radius, value)
    hu = ndimage.gaussian_filter(hu, (0.4, 0.8, 0.8))
    result = found(hu)
    assert not result.bone[nodule].any()
    chances = [probability(c, Place("thigh")) for c in result.candidates]
    assert max(chances, default=0.0) < 0.5


def test_a_sheet_along_the_fascia_is_no_bone():
    hu = limb()
    angle = np.arctan2(Y - 90, X - 90)
    sheet = (np.abs(np.hypot(Y - 90, X - 90) - 60) < 3) & (np.abs(angle) < 0.5) & (np.abs(Z - 60) < 30)
    hu[sheet] = 600
    result = found(hu)
    assert not result.bone[sheet].any()
    assert max(probability(c, Place("thigh")) for c in result.candidates) < 0.5


def test_a_nodule_that_blurs_into_bone_is_told_from_it():
    hu = limb()
    nodule = ball(hu, (60, 90, 90 + 15 + 3 + 8), 8.0, 700)  # 3 mm from the cortex: one block and a half
    hu = ndimage.gaussian_filter(hu, (0.4, 0.7, 0.7))
    radius = np.hypot(Y - 90, X - 90)
    dense, _ = dense_bone(hu, calm(hu, GRID), LIMB, GRID)
    assert dense[20, 45, 45 + 8]  # the gap is dense as well
    labels, _ = split(hu, dense)
    own = np.bincount(labels[nodule & (radius > 20)]).argmax()
    shaft = np.bincount(labels[np.abs(radius - 12.5) < 1.5]).argmax()
    assert own != shaft
    settled, _ = settle(found(hu), lambda _: Place("thigh"), None, GRID)
    assert settled.bone[nodule & (radius > 20)].mean() < 0.1
    assert settled.bone[radius < 12].mean() > 0.98  # and the bone is whole


def test_a_second_smaller_bone_is_bone():
    hu = limb()
    radius = np.hypot(Y - 90, X - 125)
    hu[radius < 7] = 900
    hu[radius < 3.5] = 0
    hu = ndimage.gaussian_filter(hu, (0.4, 0.4, 0.4))
    assert found(hu).bone[radius < 5].mean() > 0.95


def test_core_against_shell_tells_bone_from_deposit():
    hu = np.full((20, 40, 40), 50.0, np.float32)
    z, y, x = np.meshgrid(*[np.arange(n) * 2.0 for n in hu.shape], indexing="ij")
    away = np.sqrt((z - 20) ** 2 + (y - 40) ** 2 + (x - 40) ** 2)
    bone, deposit = hu.copy(), hu.copy()
    bone[away < 12] = 700
    bone[away < 8] = 200
    deposit[away < 12] = 700
    grid = blocks(hu.shape, (2.0, 2.0, 2.0), 2.0)
    depth = np.full(hu.shape, 20.0, np.float32)
    assert describe(ndimage.gaussian_filter(bone, 0.7), bone > 150, depth, grid).contrast_hu < -200
    assert describe(ndimage.gaussian_filter(deposit, 0.7), deposit > 150, depth, grid).contrast_hu > 0
    shape = describe(deposit, deposit > 150, depth, grid)
    assert shape.volume_ml == pytest.approx(4 / 3 * np.pi * 1.2**3, rel=0.05)
    assert shape.length_mm == pytest.approx(24, abs=3)


def test_contrast_in_a_vessel_is_no_bone():
    hu = limb()
    vessel = np.hypot(Y - 90, X - 130) < 11
    hu[vessel] = 210
    hu = ndimage.gaussian_filter(hu, (0, 0.6, 0.6))
    dense, _ = dense_bone(hu, calm(hu, GRID), LIMB, GRID)
    assert dense[vessel].mean() < 0.05
    assert dense[np.abs(np.hypot(Y - 90, X - 90) - 12.5) < 1.5].mean() > 0.95


@pytest.mark.parametrize(("noise", "plaque"), [(0.0, False), (25.0, False), (10.0, True)])
def test_an_artery_with_contrast_is_no_bone_but_a_bone_as_thin_is(noise, plaque):
    """Femoral arteries became bone, and thighs with two bones became lower legs; calcified ones later as well."""
    hu = limb(noise)
    beside = np.hypot(Y - 90, X - 128)
    artery, fibula = hu.copy(), hu.copy()
    artery[beside < 6] = 210
    if plaque:  # 3 % of the artery
        artery[(np.abs(beside - 5) < 1.2) & (X > 131) & (np.abs(Z - 60) < 8)] = 700
    fibula[beside < 6] = 1000
    fibula[beside < 3] = 0
    results = [found(ndimage.gaussian_filter(one, (0, 0.5, 0.5))) for one in (artery, fibula)]
    assert not results[0].bone[beside < 5].any()
    assert results[0].blood[beside < 4].mean() > 0.95
    assert results[0].bone[np.hypot(Y - 90, X - 90) < 12].mean() > 0.98
    assert results[1].bone[beside < 5].mean() > 0.95
    assert not results[1].blood.any()


def test_a_soft_deposit_is_no_vessel():
    """It is not bone either, but what is called a vessel is no lesion."""
    hu = limb()
    mass = ball(hu, (60, 90, 135), 16.0, 220)
    result = found(ndimage.gaussian_filter(hu, (0.4, 0.8, 0.8)))
    assert not result.bone[mass].any()
    assert not result.blood.any()


def test_what_is_as_even_as_contrast_agent_but_no_vessel_is_judged_by_its_place():
    """Even pieces of sacrum and scapula were left out as contrast agent, whatever lay around them: seven lesions."""
    hu = limb()
    mass = ball(hu, (60, 90, 135), 12.0, 300)
    result = found(ndimage.gaussian_filter(hu, (0.4, 0.8, 0.8)))
    label = int(np.bincount(result.labels[mass]).argmax())
    assert label in [candidate.label for candidate in result.candidates]


def test_a_large_pool_of_contrast_beside_bone_is_not_of_it():
    """Stomach and bowel at 320 HU were 1.2 litres of bone."""
    shape, step = (40, 100, 100), (3.0, 2.0, 2.0)
    y, x = np.meshgrid(*[np.arange(n) * 2.0 for n in shape[1:]], indexing="ij")
    y, x = np.broadcast_to(y, shape), np.broadcast_to(x, shape)
    body = np.hypot(y - 100, x - 100) < 90
    hu = np.where(body, 50.0, -1000.0).astype(np.float32)
    vertebra = np.hypot(y - 40, x - 100)
    hu[vertebra < 20] = 500
    hu[vertebra < 18] = 180
    bowel = np.hypot(y - 100, x - 100) < 38
    hu[bowel] = 320
    grid = blocks(shape, step, 2.0)
    hu = ndimage.gaussian_filter(hu, (0.4, 0.8, 0.8)) + np.random.default_rng(0).normal(0, 10, shape).astype(np.float32)
    result = find_skeleton(hu, body, distance(body, step), grid)
    assert result.bone[bowel].mean() < 0.005  # 2 mm lie between them
    assert result.blood[bowel].mean() > 0.95
    assert not result.blood[(np.hypot(y - 100, x - 100) > 40) & (vertebra > 22)].any()
    assert result.bone[vertebra < 17].mean() > 0.95


def test_the_spinal_canal_is_no_marrow_but_a_closed_shaft_is():
    dense = np.zeros(SHAPE, bool)
    hu = np.full(SHAPE, 50.0, np.float32)
    radius = np.hypot(Y - 90, X - 90)
    ring = (radius < 18) & (radius > 12)
    for start in range(0, 40, 8):  # laminae with gaps between them, as a spine has
        dense[start : start + 4] |= ring[start : start + 4]
    filled, _ = fill_marrow(dense, hu, GRID)
    assert not filled[20, 45, 45]
    shaft, _ = fill_marrow(ring, hu, GRID)
    assert shaft[20, 45, 45]


def test_the_cranial_cavity_is_found_and_is_no_marrow():
    shape = (60, 100, 100)
    z, y, x = np.meshgrid(*[np.arange(n) * s for n, s in zip(shape, STEP, strict=True)], indexing="ij")
    away = np.sqrt((z - 90) ** 2 + (y - 100) ** 2 + (x - 100) ** 2)
    hu = np.where(away < 75, 35.0, -1000.0).astype(np.float32)
    skull = np.abs(away - 70) < 4
    hu[skull] = 900
    filled, cavity = fill_marrow(skull, hu, blocks(shape, STEP, 2.0))
    assert cavity[30, 50, 50]
    assert not filled[30, 50, 50]


@pytest.mark.parametrize("depth_mm", [12.0, 24.0, 45.0])
@pytest.mark.parametrize("from_above", [True, False])
def test_a_field_of_view_that_ends_in_the_skull_makes_no_bone_of_the_brain(depth_mm, from_above):
    """Most scans end at the base of the skull or the orbits: what is left of the cavity is a shallow bowl."""
    shape = (70, 100, 100)
    z, y, x = np.meshgrid(*[np.arange(n) * s for n, s in zip(shape, STEP, strict=True)], indexing="ij")
    away = np.sqrt(((z - 105) * 1.6).clip(-1e9, 0) ** 2 + (y - 100) ** 2 + (x - 100) ** 2)
    hu = np.where(away < 80, 35.0, -1000.0).astype(np.float32)
    skull = np.abs(away - 70) < 4
    hu[skull] = 900
    cut = slice(0, int((105 - 66 / 1.6 + depth_mm) / STEP[0]))
    hu, skull, inside = hu[cut], skull[cut], (away < 64)[cut]
    if not from_above:
        hu, skull, inside = (np.ascontiguousarray(one[::-1]) for one in (hu, skull, inside))
    filled, cavity = fill_marrow(skull, hu, blocks(skull.shape, STEP, 2.0))
    assert not filled[inside].any()
    assert cavity[inside].mean() > 0.9


def open_skull(gap_mm, foramen=False):
    """A hollow ball of bone in soft tissue with two round orbits: HU, bone, distance from its middle, grid."""
    shape = (60, 120, 100)
    z, y, x = np.meshgrid(*[np.arange(n) * s for n, s in zip(shape, STEP, strict=True)], indexing="ij")
    away = np.sqrt((z - 90) ** 2 + (y - 100) ** 2 + (x - 100) ** 2)
    hu = np.where(away < 78, 45.0, -1000.0).astype(np.float32)
    skull = np.abs(away - 70) < 4
    for aside in (-32.0, 32.0):
        skull &= ~((np.hypot(z - 75, x - 100 - aside) < gap_mm) & (y > 100))
    if foramen:
        skull &= ~((np.hypot(y - 100, x - 100) < 14) & (z < 60))
    hu[skull] = 900
    return hu, skull, away, blocks(shape, STEP, 2.0)


@pytest.mark.parametrize("top_mm", [66.0, 75.0, 84.0])
@pytest.mark.parametrize("gap_mm", [14.0, 20.0])
def test_a_field_of_view_that_ends_amid_the_orbits_makes_no_bone_of_the_brain(top_mm, gap_mm):
    """There no ring of bone closes the slice; planes along the body seem closed by the image's end: stripes of bone."""
    hu, skull, away, _ = open_skull(gap_mm)
    cut = slice(0, int(top_mm / STEP[0]))
    filled, cavity = fill_marrow(skull[cut], hu[cut], blocks(skull[cut].shape, STEP, 2.0))
    inside = (away < 64)[cut]
    assert filled.shape == skull[cut].shape
    assert not filled[inside].any()
    if gap_mm < 20.0:  # else hardly a bridge is left between the orbits
        assert cavity[inside].mean() > 0.5


def test_a_pelvic_ring_at_the_end_of_the_field_of_view_is_no_skull():
    """Pubic bones, hip joints and sacrum with gaps between them, in a body three times as wide."""
    shape = (30, 200, 240)
    _, y, x = np.meshgrid(*[np.arange(n) * s for n, s in zip(shape, STEP, strict=True)], indexing="ij")
    ring = np.hypot((y - 200) / 55.0, (x - 240) / 65.0)
    angle = np.degrees(np.arctan2(y - 200, x - 240)) % 90.0
    bone = (np.abs(ring - 1.0) < 0.15) & (angle > 20.0) & (angle < 70.0)
    body = np.hypot((y - 200) / 120.0, (x - 240) / 180.0) < 1.0
    hu = np.where(body, 40.0, -1000.0).astype(np.float32)
    hu[bone] = 600
    filled, cavity = fill_marrow(bone, hu, blocks(shape, STEP, 2.0))
    assert filled.shape == bone.shape
    assert not cavity.any()


def test_the_end_of_a_bone_that_the_field_of_view_cuts_keeps_its_marrow():
    """The tibial plateau is 50 x 75 mm wide."""
    z, y, x = np.meshgrid(*[np.arange(n) * s for n, s in zip((20, 60, 60), STEP, strict=True)], indexing="ij")
    away = np.hypot((y - 60) / 25.0, (x - 60) / 37.5)
    dense = (np.abs(away - 1.0) < 0.1) | ((away < 1.1) & (z > 50))
    filled, cavity = fill_marrow(dense, np.full(dense.shape, 20.0, np.float32), blocks(dense.shape, STEP, 2.0))
    assert filled[(away < 1.0) & (z < 50)].mean() > 0.99
    assert not cavity.any()


@pytest.mark.parametrize("gap_mm", [9.0, 14.0])
def test_the_cranial_cavity_is_whole_behind_open_orbits(gap_mm):
    """Bone closes slices through the orbits in some planes only: a part of the brain was muscle."""
    hu, skull, away, grid = open_skull(gap_mm, foramen=True)
    inside = away < 64
    filled, cavity = fill_marrow(skull, hu, grid)
    cavity = whole_cranium(cavity, filled, grid)
    assert cavity[inside].mean() > 0.97
    assert not (filled & inside).any()  # the floor below the orbits was filled as marrow
    assert (cavity & (away > 76)).sum() < 0.01 * inside.sum()


def test_the_vault_is_judged_from_what_bone_closes(monkeypatch):
    """From the completed cavity's middle, lower down, the brows stood out from the vault: four false deposits."""
    hu, _, away, grid = open_skull(14.0)
    seen = []
    monkeypatch.setattr(skeleton, "on_the_vault", lambda hu, skull, grid: seen.append(skull) or np.zeros_like(skull))
    body = away < 78
    result = find_skeleton(hu, body, distance(body, STEP), grid)
    assert seen[0].sum() < 0.95 * result.skull.sum()
    assert (seen[0] <= result.skull).all()


def test_nothing_dense_gives_nothing():
    result = found(np.where(LIMB, 50.0, -1000.0).astype(np.float32))
    assert not result.bone.any()
    assert result.candidates == []


@pytest.mark.parametrize("side", ["front", "left"])
def test_a_bone_that_the_images_side_cuts_keeps_its_marrow(side):
    """In a crop about one leg the kneecap's side of the condyles lay beyond the image: their marrow became muscle."""
    hu = limb()
    ring = hu > 500
    crop = (slice(None), slice(0, 48), slice(None)) if side == "front" else (slice(None), slice(None), slice(44, None))
    shape = hu[crop].shape
    filled, _ = fill_marrow(ring[crop], hu[crop], blocks(shape, STEP, 2.0))
    radius = np.hypot(Y - 90, X - 90)[crop]
    assert filled[radius < 9].all()
    assert not filled[radius > 20].any()


def test_the_images_side_shuts_no_space_between_two_bones():
    """Beyond 90 mm the image's side joins no bones: a trunk that is cut holds no marrow."""
    hu = np.full(SHAPE, 50.0, np.float32)
    bone = (np.abs(np.hypot(Y, X - 90) - 60) < 5) & (np.arange(SHAPE[1])[None, :, None] >= 0)
    hu[bone] = 600.0
    filled, _ = fill_marrow(bone, hu, GRID)
    assert not filled[(np.hypot(Y, X - 90) < 50)].any()
