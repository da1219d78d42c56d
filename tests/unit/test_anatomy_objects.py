"""Vessels full of contrast agent, told from spongy bone and from deposits by their shape and evenness."""

import cc3d
import numpy as np
from scipy import ndimage

from calciflow.anatomy.grid import Grid
from calciflow.anatomy.objects import is_contrast, is_tube, split

STEP = (3.0, 1.5, 1.5)
RNG = np.random.default_rng(6)


def grid(shape):
    return Grid((1, 1, 1), shape, shape, STEP)


def vessel(shape=(120, 90, 90), bend_mm=45.0):
    """A femoral vessel, 11 mm wide, 340 mm long, that bends by 45 mm on its way."""
    z, y, x = np.meshgrid(*[np.arange(n) * s for n, s in zip(shape, STEP, strict=True)], indexing="ij")
    middle = 30.0 + bend_mm * np.sin(np.pi * z / z.max())
    mask = (np.hypot(y - 60.0, x - middle) < 5.5) & (z > 8) & (z < z.max() - 8)
    return mask, z


def test_a_bent_vessel_is_a_tube():
    mask, _ = vessel()
    assert is_tube(mask, grid(mask.shape))


def test_a_mass_and_a_sheet_are_none():
    shape = (60, 90, 90)
    z, y, x = np.meshgrid(*[np.arange(n) * s for n, s in zip(shape, STEP, strict=True)], indexing="ij")
    mass = ((z - 90) / 60) ** 2 + ((y - 66) / 30) ** 2 + ((x - 66) / 30) ** 2 < 1
    sheet = (np.abs(y - 66) < 3) & (np.abs(x - 66) < 50) & (np.abs(z - 90) < 60)
    assert not is_tube(mass, grid(shape))
    assert not is_tube(sheet, grid(shape))


def test_contrast_agent_is_even_also_where_the_vessel_takes_some_bone_with_it():
    """A tenth of cortex in a femoral vessel once made bone of all its 45 ml."""
    mask, z = vessel()
    hu = np.where(mask, 176.0, 50.0) + RNG.normal(0, 4, mask.shape)
    assert is_contrast(hu.astype(np.float32), mask, grid(mask.shape))
    touching = mask & (z > 100) & (z < 103)
    hu[touching] = 420.0
    assert 0.003 < touching.sum() / mask.sum() < 0.02
    assert is_contrast(hu.astype(np.float32), mask, grid(mask.shape))


def test_spongy_bone_with_its_cortex_is_not_even():
    mask, _ = vessel()
    hu = np.where(mask, 200.0, 50.0) + RNG.normal(0, 40, mask.shape)
    assert not is_contrast(hu.astype(np.float32), mask, grid(mask.shape))


def test_more_specks_of_noise_than_16_bits_count_are_labelled():
    """A noisy low-dose CT holds 50,000 and more: their pairs were numbered beyond 32 bits, and the scan ended there."""
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(120, 150, 150)), 0.6)
    hu = (250.0 * noise / noise.std()).astype(np.float32)
    dense = hu > 450
    labels, count = split(hu, dense)
    assert count > 46_341  # the root of 2^31
    assert ((labels > 0) == dense).all()
    pieces = cc3d.connected_components(dense, connectivity=6, return_N=True)[1]
    assert count >= pieces, "an object is in one piece"
    assert labels.max() == count == len(np.unique(labels)) - 1
