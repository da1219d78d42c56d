"""Bone's uptake beside its bone is no lesion where all bone around lies as far off; a lesion beside still bone is."""

import numpy as np
import pytest

from calciflow.deposits.moved import is_moved_bone, shift_of_bone
from calciflow.deposits.pet import Focus
from calciflow.deposits.reference import Uptakes
from calciflow.deposits.scene import PetScene
from calciflow.images import Volume
from calciflow.measure.spill import Spill, blur

STEP = 2.5
SPACING = (STEP, STEP, STEP)
SIZE = (36, 28, 36)
FWHM = 6.0
HOT = 6.0


def bones(shift=(0, 0, 0)):
    """Shares of bone: five rays of a hand, 15 mm apart and 50 mm long, and the wrist below them; shifted by voxels."""
    share = np.zeros(SIZE, np.float32)
    for number in range(5):
        share[14:32, 13:16, 4 + 6 * number : 7 + 6 * number] = 1.0
    share[4:10, 12:17, 8:26] = 1.0
    return np.roll(share, shift, axis=(0, 1, 2))


def hand(shift=(0, 0, 0), lesion=None):
    """A hand that CT shows unshifted, its PET with noise, and a focus at ``lesion`` or of the uptake at the third ray.

    A lesion is a ball of 8 mm.
    """
    activity = 1.0 + (HOT - 1.0) * bones(shift)
    index = np.indices(SIZE)
    if lesion is None:
        where = np.zeros(SIZE, bool)
        where[20:24, 13:16, 16:19] = True
        where = np.roll(where, shift, axis=(0, 1, 2))
    else:
        where = np.linalg.norm((index - np.array(lesion).reshape(3, 1, 1, 1)) * STEP, axis=0) <= 4.0
        activity[where] = 15.0
    suv = blur(activity.astype(np.float32), FWHM, SPACING)
    suv += np.random.default_rng(4).normal(0.0, 0.1, SIZE).astype(np.float32)
    zeros, ones = np.zeros_like(suv), np.ones_like(suv)
    scene = PetScene(
        suv=Volume(suv, np.diag([STEP, STEP, STEP, 1.0])),
        shares={"body": ones, "bone": bones(), "organs": zeros},
        spill=Spill(zeros, zeros),
        background=ones,
        noise=0.1 * ones,
        filtered=suv - 1,
        filtered_noise=0.1 * ones,
        uptakes=Uptakes(2.0, 1.0, 2.0, "blood pool in the chest", 0.1, 6.0),
        fwhm_mm=FWHM,
    )
    voxels = np.argwhere(where)
    peak = voxels[len(voxels) // 2]
    return Focus(voxels, voxels, suv[where] - 1, (int(peak[0]), int(peak[1]), int(peak[2])), 20.0, 0.0, 0.0), scene


@pytest.mark.parametrize("shift", [(0, 3, 0), (0, 3, 2), (2, -3, 0), (0, 4, -2)])
def test_uptake_that_moved_with_all_bone_around_is_bone(shift):
    assert is_moved_bone(*hand(shift), 0.5)


@pytest.mark.parametrize("lesion", [(22, 20, 17), (22, 18, 17), (27, 20, 20)])
def test_a_lesion_beside_bone_that_lies_still_is_none(lesion):
    assert not is_moved_bone(*hand(lesion=lesion), 0.5)


def test_a_lesion_far_from_where_bone_went_is_none():
    assert not is_moved_bone(*hand((0, 3, 0), lesion=(22, 4, 17)), 0.5)


def test_a_hot_muscle_group_is_no_moved_bone():
    focus, scene = hand((0, 3, 0))
    focus.diffuse = True
    assert not is_moved_bone(focus, scene, 0.5)


def test_without_bone_nothing_moved():
    focus, scene = hand((0, 3, 0))
    scene.shares["bone"][:] = 0.0
    assert not is_moved_bone(focus, scene, 0.5)


def test_the_shift_and_the_uptakes_are_those_that_were_painted():
    shift = (0, 3, -2)
    expected = blur(bones(), FWHM, SPACING)
    seen = blur(1.0 + (HOT - 1.0) * bones(shift), FWHM, SPACING)
    found, level, height = shift_of_bone(expected, seen, SPACING)
    assert found.tolist() == list(shift)
    assert (level, height) == pytest.approx((1.0, HOT - 1.0), abs=0.2)


def test_no_shift_is_told_without_bone_that_is_hot_or_moved():
    expected = blur(bones(), FWHM, SPACING)
    assert shift_of_bone(expected, blur(1.0 + bones(), FWHM, SPACING), SPACING) is None, "it lies where it is"
    noise = np.random.default_rng(8).normal(1.0, 0.2, SIZE).astype(np.float32)
    assert shift_of_bone(expected, noise, SPACING) is None, "it is not hot"
    assert shift_of_bone(expected, np.full(SIZE, np.nan, np.float32), SPACING) is None, "nothing is seen"
    assert shift_of_bone(np.zeros(SIZE, np.float32), noise, SPACING) is None, "there is no bone"
