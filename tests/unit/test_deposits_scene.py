"""The CT's knowledge on the PET's grid, against the mapping point by point and against shares that are known."""

import numpy as np
import pytest
from scipy import ndimage

from calciflow.deposits.blocks import block_percentile
from calciflow.deposits.pet import PetRules, needed_excess
from calciflow.deposits.scene import END_NOISE, _slabs, build_scene, most_noise, shares_on_pet
from calciflow.images import Volume
from calciflow.labels import TISSUES, region_label
from calciflow.mapping import Mapping


def rigid(degrees: float, shift: tuple[float, float, float]) -> np.ndarray:
    turn = np.radians(degrees)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    matrix[:3, 3] = shift
    return matrix


def bent(matrix: np.ndarray) -> Mapping:
    """A limb that moves up to 9 mm by itself, over a few cm, on nodes of 20 mm."""
    affine = np.diag([20.0, 20.0, 20.0, 1.0])
    affine[:3, 3] = -100.0
    field = np.zeros((14, 14, 14, 3), np.float32)
    field[..., 0] = np.clip(np.arange(14) - 5, 0, 3)[:, None, None] * 3.0
    return Mapping(matrix, field, affine)


@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("size", [(23, 17, 30), (1, 2, 5), (600, 31, 32)])
def test_places_between_nodes_are_those_of_the_mapping(size, moved):
    matrix = rigid(4.0, (3.0, -2.0, 5.0))
    mapping = bent(matrix) if moved else Mapping(matrix)
    ct = Volume(np.zeros((4, 4, 4), np.int16), np.diag([1.0, 1.0, 3.0, 1.0]))
    crop = Volume(np.zeros(size, np.float32), np.diag([2.0, 2.0, 2.0, 1.0]))
    every = np.argwhere(np.ones(size, bool))
    exact = ct.index(mapping.pet_to_ct(crop.world(every))) * ct.spacing
    found = np.full((*size, 3), np.nan)
    for slab, index in _slabs(crop, ct, mapping):
        found[slab] = np.moveaxis(index, 0, -1) * ct.spacing
    away = np.linalg.norm(found.reshape(-1, 3) - exact, axis=1)
    # where the field bends, a straight line over 8 mm leaves it by far less than a voxel
    assert away.max() < (0.6 if moved else 1e-9)
    assert np.median(away) < 0.01


def test_shares_of_a_half_space_and_of_the_chest():
    tissues = np.full((40, 40, 40), TISSUES["muscle"], np.uint8)
    tissues[:, :, 20:] = TISSUES["viscera"]
    tissues[:, 20:] = 0
    regions = np.full(tissues.shape, region_label("chest", "left"), np.uint8)
    regions[20:] = region_label("abdomen", "left")
    ct = Volume(np.zeros(tissues.shape, np.int16), np.diag([2.0, 2.0, 2.0, 1.0]))
    crop = Volume(np.zeros((20, 20, 20), np.float32), np.diag([4.0, 4.0, 4.0, 1.0]) + np.eye(4, 4, 3)[:4] * 1.0)
    shares = shares_on_pet(tissues, regions, ct, crop, Mapping.identity())
    inner = (slice(2, 8), slice(2, 8))
    assert shares["muscle"][inner][..., 2:8] == pytest.approx(1.0)
    assert shares["organs"][inner][..., 12:18] == pytest.approx(1.0)
    assert shares["chest"][inner][..., 12:18] == pytest.approx(1.0)
    assert not shares["chest"][12:18].any()
    assert shares["organs"][12:18, 2:8, 12:18] == pytest.approx(1.0)
    assert not any(values[:, 12:18].any() for values in shares.values())


@pytest.mark.parametrize("heart_mm", [30, 40])
def test_blood_is_the_heart_however_much_fat_lies_about_it(heart_mm):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-80:80:2, -120:120:2]
    tissues = np.where(np.hypot(y / 76, x / 116) < 1, TISSUES["muscle"], 0)
    tissues[np.hypot(y / 60, x / 100) < 1] = TISSUES["viscera"]
    heart = np.hypot(y, x) < heart_mm
    section = np.where(tissues == TISSUES["viscera"], -100.0, np.where(tissues > 0, 55.0, -1000.0))
    section[heart] = 42.0  # blood without contrast agent
    uptake = np.where(tissues == TISSUES["viscera"], 0.3, np.where(tissues > 0, 0.6, 0.0))
    uptake[heart] = 1.25
    tissues = np.repeat(tissues[None].astype(np.uint8), 50, axis=0)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    ct = Volume((section + rng.normal(0.0, 25.0, tissues.shape)).astype(np.int16), affine)
    suv = Volume(np.float32(uptake + rng.normal(0.0, 0.1, tissues.shape)), affine)
    regions = np.where(tissues > 0, np.uint8(region_label("chest", "left")), np.uint8(0))
    found = build_scene(suv, ct, tissues, regions, Mapping.identity(), 5.0).uptakes
    assert found.blood_pool == pytest.approx(1.25, rel=0.05)
    assert found.muscle == pytest.approx(0.6, rel=0.05)


def test_percentiles_of_blocks_are_numpys():
    random = np.random.default_rng(3)
    values = random.normal(1.0, 0.3, (25, 26, 30)).astype(np.float32)
    valid = random.random(values.shape) < 0.6
    found = block_percentile(values, valid, (4.0, 4.0, 4.0), 50.0)
    # 24 mm are six voxels; the middle of the third block of five, beyond the others' reach after smoothing
    ones = block_percentile(np.full(values.shape, 2.5, np.float32), valid, (4.0, 4.0, 4.0), 50.0)
    assert ones == pytest.approx(2.5)
    tall = np.where(np.arange(25)[:, None, None] < 12, values, values + 4.0).astype(np.float32)
    step = block_percentile(tall, valid, (4.0, 4.0, 4.0), 50.0)
    assert np.median(found[:3]) == pytest.approx(np.median(values[:12][valid[:12]]), abs=0.05)
    assert np.median(step[-3:]) - np.median(found[-3:]) == pytest.approx(4.0, abs=0.1)
    assert np.isnan(block_percentile(values, np.zeros(values.shape, bool), (4.0, 4.0, 4.0), 50.0)).all()


def test_noise_rises_towards_the_ends_of_the_field_only():
    """Half a bed from an end a scanner counts fully, at a tenth of that a tenth of it: three times the noise."""
    suv = np.zeros((300, 4, 4), np.float32)
    suv[20:280] = 1.0  # padded after reconstruction
    most = most_noise(suv, (4.0, 4.0, 4.0))
    assert np.ptp(most[60:240]) == 0.0
    assert most[22] > 3.0 * END_NOISE
    assert most[20] == most[279] == most.max()
    assert (np.diff(most[20:150]) <= 0).all()


def test_feet_full_of_foci_are_not_taken_for_noise():
    """Toes alone in their slices, with uptake in each: their spread once hid foci of ten times the background."""
    rng = np.random.default_rng(0)
    shape, step = (150, 60, 60), 4.0
    z, y, x = np.meshgrid(*[(np.arange(n) - n / 2) * step for n in shape], indexing="ij")
    leg, toes = np.hypot(y, x) < 70.0, np.hypot(y / 1.0, x / 1.6) < 28.0
    body = np.where(z < -220.0, toes & (z > -272.0), leg)
    tissues = np.where(body, TISSUES["muscle"], 0).astype(np.uint8)
    affine = np.diag([step, step, step, 1.0])
    uptake = np.where(body, 0.5, 0.0)
    places = [(-250.0, 0.0, -30.0), (-250.0, 0.0, 0.0), (-250.0, 0.0, 30.0), (-238.0, 0.0, -16.0), (-238.0, 0.0, 16.0)]
    for place in places:
        away = np.sqrt((z - place[0]) ** 2 + (y - place[1]) ** 2 + (x - place[2]) ** 2)
        uptake += 6.0 * np.exp(-((away / 7.0) ** 2))
    suv = Volume(np.float32(uptake + ndimage.gaussian_filter(rng.normal(0.0, 0.3, shape), 0.7)), affine)
    ct = Volume(np.where(body, 50, -1000).astype(np.int16), affine)
    regions = np.where(body, np.uint8(region_label("foot", "left")), np.uint8(0))
    scene = build_scene(suv, ct, tissues, regions, Mapping.identity(), 7.0)
    needed = needed_excess(scene, PetRules())
    for place in places:
        index = tuple(
            np.rint(scene.suv.index(suv.world(np.array([np.array(place) / step + np.array(shape) / 2])))[0]).astype(int)
        )
        assert needed[index] < 0.5 * scene.filtered[index]
