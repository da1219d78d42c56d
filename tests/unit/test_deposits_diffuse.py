"""Inflamed muscle is one finding; what stands out of it, a vessel, and a focus are not part of it."""

import numpy as np
import pytest
from scipy import ndimage

from calciflow.deposits.diffuse import MODEST, diffuse_zones, is_patch, modest
from calciflow.deposits.match import match
from calciflow.deposits.pet import PetRules, find_foci
from calciflow.deposits.reference import Uptakes
from calciflow.deposits.scene import PetScene, detection_image
from calciflow.images import Volume
from calciflow.measure.spill import Spill

STEP, FWHM, BLOOD, MUSCLE, NOISE = 4.0, 6.0, 0.8, 0.6, 0.03
SHAPE = (50, 50, 50)


def scene_of(added, muscle=None):
    """Muscle of 0.6 everywhere with more uptake added: a scene as ``build_scene`` would make it, nothing blurred."""
    suv = (MUSCLE + added).astype(np.float32)
    none, everywhere = np.zeros(SHAPE, np.float32), np.ones(SHAPE, np.float32)
    filtered, _ = detection_image(added.astype(np.float32), FWHM, (STEP,) * 3)
    share = everywhere if muscle is None else muscle.astype(np.float32)
    shares = {"body": everywhere, "bone": none, "organs": none, "muscle": share, "fat": 1 - share, "other": none}
    uptakes = Uptakes(BLOOD, MUSCLE, BLOOD, "blood pool in the chest", NOISE, 4.0)
    return PetScene(
        suv=Volume(suv, np.diag([STEP, STEP, STEP, 1.0])),
        shares=shares,
        spill=Spill(none, none),
        background=np.full(SHAPE, MUSCLE, np.float32),
        noise=np.full(SHAPE, NOISE, np.float32),
        filtered=filtered,
        filtered_noise=np.full(SHAPE, NOISE, np.float32),
        uptakes=uptakes,
        fwhm_mm=FWHM,
    )


def patchy(seed=3, level=2.5):
    """A ball of 32 mm radius (137 ml) whose uptake is ``level`` at most, patchy over some 14 mm."""
    inside = ball(32.0)
    grain = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(SHAPE), 14.0 / STEP)
    return inside * np.clip(0.75 + 0.25 * grain / grain.std(), 0.2, 1.0) * (level - MUSCLE)


def ball(radius_mm, centre=(25, 25, 25)):
    z, y, x = np.indices(SHAPE)
    return sum(((a - c) * STEP) ** 2 for a, c in zip((z, y, x), centre, strict=True)) <= radius_mm**2


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_patchy_uptake_of_a_muscle_group_is_one_finding(seed):
    """Every patch was a lesion: 51 in a scan of inflamed thighs."""
    foci, _ = find_foci(scene_of(patchy(seed)), PetRules())
    assert [focus.diffuse for focus in foci] == [True]
    assert len(foci[0].voxels) * STEP**3 / 1000 == pytest.approx(4 / 3 * np.pi * 32.0**3 / 1000, rel=0.25)


def test_a_hot_focus_in_inflamed_muscle_stays_a_focus_of_its_own():
    added = patchy()
    added[ball(6.0)] += 15.0
    foci, _ = find_foci(scene_of(ndimage.gaussian_filter(added, FWHM / 2.355 / STEP)), PetRules())
    assert sorted(focus.diffuse for focus in foci) == [False, True]
    assert next(focus.peak for focus in foci if not focus.diffuse) == (25, 25, 25)
    one, other = (({tuple(voxel) for voxel in focus.voxels.tolist()}) for focus in foci)
    assert not one & other


def test_calcium_in_inflamed_muscle_does_not_own_the_muscles_uptake():
    scene = scene_of(patchy())
    foci, _ = find_foci(scene, PetRules())
    parts = match([np.array([[25.0, 25.0, 25.0]])], foci, scene.suv.spacing, 3.0, FWHM)
    assert [(part.deposit, part.diffuse) for part in parts] == [(None, True)]


@pytest.mark.parametrize(
    ("what", "added", "muscle"),
    [
        ("as hot as blood", ball(32.0) * (BLOOD - MUSCLE + 0.3), None),
        ("smaller than 20 ml", ball(15.0) * 2.0, None),
        ("in fat", ball(32.0) * 2.0, np.zeros(SHAPE)),
    ],
)
def test_what_is_no_inflamed_muscle(what, added, muscle):
    scene = scene_of(added.astype(float), muscle)
    assert diffuse_zones(scene, np.full(SHAPE, 0.3, np.float32)) == [], what
    assert diffuse_zones(scene_of(ball(32.0) * 2.0), np.full(SHAPE, 0.3, np.float32))


MIDDLE = {"point_mm": [25 * STEP, 0.0, 0.0], "normal": [1.0, 0.0, 0.0]}
TILTED = {"point_mm": [25 * STEP, 0.0, 0.0], "normal": [-1.0, 0.1, 0.0]}


@pytest.mark.parametrize("middle", [MIDDLE, TILTED])
def test_two_thighs_that_touch_are_two_findings(middle):
    """Their uptake hangs together over the midline: one zone, judged by the hottest voxel of both."""
    thighs = (ball(32.0, (25, 25, 17)) | ball(32.0, (25, 25, 33))) * 1.5
    scene = scene_of(thighs)
    assert len(find_foci(scene, PetRules())[0]) == 1
    foci, _ = find_foci(scene, PetRules(), middle)
    assert [focus.diffuse for focus in foci] == [True, True]
    centres = sorted(scene.suv.world(focus.voxels).mean(axis=0)[0] for focus in foci)
    assert centres == pytest.approx([17 * STEP, 33 * STEP], abs=4.0)
    whole = find_foci(scene, PetRules())[0][0].voxels
    assert sorted(map(tuple, np.concatenate([focus.voxels for focus in foci]))) == sorted(map(tuple, whole))


def test_a_muscle_that_crosses_the_midline_a_little_stays_whole():
    foci, _ = find_foci(scene_of(ball(32.0, (25, 25, 19)) * 1.5), PetRules(), MIDDLE)
    assert len(foci) == 1


def test_modest_uptake_is_told_by_the_middle_not_by_the_hottest_voxel():
    muscle = patchy(level=0.75 * MODEST * MUSCLE)
    muscle[25, 25, 25] = 12.0 * MUSCLE
    scene = scene_of(muscle)
    focus = next(focus for focus in find_foci(scene, PetRules())[0] if focus.diffuse)
    assert "possible myositis" in focus.flags
    zone = np.argwhere(ball(32.0))
    assert scene.suv.array[tuple(zone.T)].max() > 6.0 * MUSCLE
    assert modest(zone, scene)
    assert not modest(zone, scene_of(patchy(level=2.0 * MODEST * MUSCLE)))
    hot = find_foci(scene_of(patchy(level=2.0 * MODEST * MUSCLE)), PetRules())[0]
    assert not any("possible myositis" in focus.flags for focus in hot)


@pytest.mark.parametrize(("level", "in_muscle", "patch"), [(2.0, True, True), (6.0, True, False), (2.0, False, False)])
def test_a_patch_elsewhere_that_is_no_hotter_is_of_the_same_disease(level, in_muscle, patch):
    """A small patch far from the inflamed group, as hot as that or far hotter, in muscle or in fat."""
    away = ball(10.0, (42, 42, 42))
    added = patchy() + away * (level - MUSCLE)
    scene = scene_of(added, None if in_muscle else ~ball(25.0, (42, 42, 42)))
    foci, _ = find_foci(scene, PetRules())
    zones = [focus.voxels for focus in foci if focus.diffuse]
    focus = next(focus for focus in foci if not focus.diffuse)
    assert len(zones) == 1
    assert away[tuple(focus.voxels.T)].mean() > 0.5
    assert is_patch(focus.voxels, zones, scene) is patch
    assert not is_patch(focus.voxels, [], scene)
