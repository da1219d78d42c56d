"""Volume and mass of deposits under the skin, in thick slices and over bone, against balls of known size."""

import numpy as np
import pytest
from scipy import ndimage

from calciflow.deposits.ct import CtRules, find_deposits
from calciflow.images import Volume
from calciflow.labels import TISSUES

FINE = 4
"""Sub-voxels along each axis on which the scene is drawn."""

KERNEL_SD_MM = 0.76
FAT, MUSCLE, BONE = TISSUES["subcutaneous_fat"], TISSUES["muscle"], TISSUES["bone"]


def scan(draw, spacing, shape=(15, 40, 40), noise=8.0):
    """CT (HU) of a scene that ``draw`` gives at points in mm: the kernel blurs in the slice, a slice is averaged."""
    axes = [((np.arange(n * FINE) + 0.5) / FINE - n / 2) * step for n, step in zip(shape, spacing, strict=True)]
    fine = draw(*np.meshgrid(*axes, indexing="ij", sparse=True)).astype(np.float32)
    for axis in (1, 2):
        fine = ndimage.gaussian_filter1d(fine, KERNEL_SD_MM * FINE / spacing[axis], axis, mode="nearest")
    image = fine.reshape(shape[0], FINE, shape[1], FINE, shape[2], FINE).mean(axis=(1, 3, 5))
    grain = ndimage.gaussian_filter(np.random.default_rng(4).standard_normal(shape), (0, 0.6, 0.6))
    image = np.round(image + noise * grain / grain.std()).astype(np.int16)
    return Volume(image, np.diag([spacing[2], spacing[1], spacing[0], 1.0]))


def found(ct, tissues, noise=8.0):
    blur = (ct.spacing[0] / np.sqrt(12), *2 * (np.hypot(KERNEL_SD_MM, ct.spacing[1] / np.sqrt(12)),))
    slices = np.ones(len(ct.array), np.float32)
    rules = CtRules(130 * slices, noise * slices, blur, 0.005, 2.0)
    return find_deposits(ct, tissues, tissues == BONE, rules)[0]


def measured(ct, tissues, noise=8.0):
    """The only deposit that is found."""
    deposits = found(ct, tissues, noise)
    assert len(deposits) == 1
    return deposits[0].density


def ball(z, y, x, centre, radius):
    return (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 <= radius**2


@pytest.mark.parametrize("slice_mm", [1.5, 3.27])
@pytest.mark.parametrize("depth", [2.0, 4.0])
def test_air_beside_a_deposit_takes_nothing_off_its_mass(depth, slice_mm):
    """A ball of 3 mm whose surface lies ``depth`` below the skin; beyond the skin there is air."""
    spacing, radius, contrast = (slice_mm, 1.2, 1.2), 3.0, 600.0
    skin = -8.0

    def draw(z, y, x):
        scene = np.where(y + 0 * z + 0 * x < skin, -1000.0, -100.0)
        return np.where(ball(z, y, x, (0.4, skin + depth + radius, 0.3), radius), contrast - 100.0, scene)

    ct = scan(draw, spacing)
    tissues = np.where(ct.array > -600, FAT, 0).astype(np.uint8)
    got = measured(ct, tissues)
    ml = 4 / 3 * np.pi * radius**3 / 1000
    assert got.mass_hu_ml == pytest.approx(contrast * ml, rel=0.1)
    assert got.volume_ml == pytest.approx(ml, rel=0.2)


@pytest.mark.parametrize("offset", [0.0, 1.2, 2.4])
def test_fat_that_a_deposit_brightens_is_no_muscle(offset):
    """In slices of 5 mm the map calls muscle what is half fat and half deposit: wherever the slices fall."""
    spacing, radius, contrast = (5.0, 1.1, 1.1), 4.4, 450.0

    def draw(z, y, x):
        scene = np.where(y + 0 * z + 0 * x > 12.0, 50.0, -100.0)
        return np.where(ball(z, y, x, (offset, 0.2, 0.3), radius), contrast - 100.0, scene)

    ct = scan(draw, spacing, (11, 40, 40))
    tissues = np.where((ct.array > -30) & (ct.array < 250), MUSCLE, FAT).astype(np.uint8)  # as the map does
    got = measured(ct, tissues)
    ml = 4 / 3 * np.pi * radius**3 / 1000
    assert got.mass_hu_ml == pytest.approx(contrast * ml, rel=0.12)
    assert got.volume_ml == pytest.approx(ml, rel=0.25)  # two slices of 5 mm say little of how thick a ball is


def test_bone_in_the_next_slice_hides_no_mass():
    """A ball whose lower part lies beside bone that begins in the next slice."""
    spacing, radius, contrast = (4.0, 1.1, 1.1), 4.0, 500.0

    def draw(z, y, x):
        scene = np.where((z > 6.0) & (np.hypot(y, x) < 12), 700.0, 50.0) + 0 * z
        return np.where(ball(z, y, x, (-1.0, 0.2, 0.3), radius), contrast + 50.0, scene)

    ct = scan(draw, spacing, (13, 44, 44))
    tissues = np.full(ct.array.shape, MUSCLE, np.uint8)
    z, y, x = np.meshgrid(*(np.arange(n) - n / 2 + 0.5 for n in ct.array.shape), indexing="ij")
    tissues[(z * 4.0 > 6.0) & (np.hypot(y, x) * 1.1 < 12)] = BONE
    got = measured(ct, tissues)
    ml = 4 / 3 * np.pi * radius**3 / 1000
    assert got.mass_hu_ml == pytest.approx(contrast * ml, rel=0.1)
    assert got.volume_ml == pytest.approx(ml, rel=0.15)


@pytest.mark.parametrize("joined", [True, False])
@pytest.mark.parametrize(
    ("bone_mm", "thick_mm", "apart_deg", "half_deg", "half_z", "pixel", "turn_deg"),
    [(5, 2.9, 57, 13, 1.5, 2.1, 9), (4, 2.5, 34, 16, 2.5, 2.1, 52), (4, 2.85, 54, 19, 1.5, 1.5, 90)],
)
def test_a_deposit_that_wraps_around_a_bone_is_one(
    bone_mm, thick_mm, apart_deg, half_deg, half_z, pixel, turn_deg, joined
):
    """Thick at both ends, and within bone's rim between them, where no seed lies: it was two or three deposits."""

    def draw(z, y, x):
        radius = np.hypot(y, x) + 0 * z
        angle = (np.degrees(np.arctan2(y, x)) + 0 * z - turn_deg + 180) % 360 - 180
        on = (np.abs(z) < half_z) & (radius >= bone_mm)
        middle = on & (radius < bone_mm + thick_mm) & (np.abs(angle) < apart_deg + half_deg)
        ends = on & (radius < bone_mm + 5) & (np.abs(np.abs(angle) - apart_deg) < half_deg)
        return np.where(ends | (middle & joined), 600.0, np.where(radius < bone_mm, 900.0, 50.0))

    ct = scan(draw, (2.0, pixel, pixel))
    y = (np.arange(40) + 0.5 - 20) * pixel
    bone = np.hypot(y[:, None], y[None, :]) < bone_mm
    tissues = np.broadcast_to(np.where(bone, BONE, MUSCLE), ct.array.shape).astype(np.uint8)
    deposits = found(ct, tissues)
    assert len(deposits) == (1 if joined else 2)
