"""Deposits of the scalp on an analytic head: an ellipsoid of bone in an ellipsoid of skin and fat."""

import numpy as np
import pytest
from scipy import ndimage

from calciflow.anatomy.grid import Grid
from calciflow.anatomy.vault import on_the_vault

IN_PLANE = 1.5
SIZE_MM = (210.0, 240.0, 190.0)
CAVITY_MM, WALL_MM, SCALP_MM = np.array([68.0, 85.0, 66.0]), 6.0, 6.0


def head(slice_mm, offset_mm=0.0):
    """HU drawn at 0.75 mm along z and averaged over the slice; points relative to the middle of the cavity."""
    fine = 0.75
    n = round(slice_mm / fine)
    count = [int(SIZE_MM[0] / slice_mm) * n, int(SIZE_MM[1] / IN_PLANE), int(SIZE_MM[2] / IN_PLANE)]
    z, y, x = np.meshgrid(
        (np.arange(count[0]) + 0.5) * fine - SIZE_MM[0] / 2 + offset_mm,
        (np.arange(count[1]) + 0.5) * IN_PLANE - SIZE_MM[1] / 2,
        (np.arange(count[2]) + 0.5) * IN_PLANE - SIZE_MM[2] / 2,
        indexing="ij",
    )

    def within(add):
        a = CAVITY_MM + add
        return (z / a[0]) ** 2 + (y / a[1]) ** 2 + (x / a[2]) ** 2 < 1

    hu = np.full(z.shape, -1000.0, np.float32)
    hu[within(WALL_MM + SCALP_MM)] = -60
    hu[within(WALL_MM)] = 1000
    cavity = within(0)
    hu[cavity] = 35
    return hu, cavity, (z, y, x), n


def finished(hu, masks, n, slice_mm):
    """The scan: blurred in the plane, averaged over slices."""
    hu = ndimage.gaussian_filter(hu, (0, 0.5, 0.5))
    shape = (len(hu) // n, *hu.shape[1:])
    slices = hu.reshape(shape[0], n, *shape[1:]).mean(1)
    slices += np.random.default_rng(2).normal(0, 12, slices.shape).astype(np.float32)
    grid = Grid((1, 1, 1), shape, shape, (slice_mm, IN_PLANE, IN_PLANE))
    return slices, [m.reshape(shape[0], n, *shape[1:]).mean(1) > 0.5 for m in masks], grid


@pytest.mark.parametrize("slice_mm", [1.5, 3.0, 4.5])
@pytest.mark.parametrize("offset_mm", [0.0, 1.5])
def test_a_smooth_vault_has_nothing_on_it(slice_mm, offset_mm):
    hu, cavity, _, n = head(slice_mm, offset_mm)
    slices, (inside,), grid = finished(hu, [cavity], n, slice_mm)
    assert on_the_vault(slices, inside, grid).sum() * grid.block_ml < 0.05


@pytest.mark.parametrize("elevation_deg", [20, 45, 75])
def test_a_nodule_in_the_scalp_that_touches_the_bone(elevation_deg):
    hu, cavity, points, n = head(3.0)
    angle = np.radians(elevation_deg)
    ray = np.array([np.sin(angle), -0.5 * np.cos(angle), np.sqrt(0.75) * np.cos(angle)])
    surface = 1.0 / np.sqrt(((ray / (CAVITY_MM + WALL_MM)) ** 2).sum())
    centre = ray * (surface + 3.0)
    nodule = sum((p - c) ** 2 for p, c in zip(points, centre, strict=True)) < 5.0**2
    nodule &= hu < 900
    hu[nodule] = 600
    slices, (inside, deposit), grid = finished(hu, [cavity, nodule], n, 3.0)
    found = on_the_vault(slices, inside, grid)
    # On top, the slice that holds both bone and deposit stays with the bone.
    assert found[deposit].mean() > (0.4 if elevation_deg > 60 else 0.6)
    around = ndimage.binary_dilation(deposit, iterations=3)
    assert (found & ~around).sum() * grid.block_ml < 0.05


def test_the_face_and_the_nape_are_left_alone():
    hu, cavity, (z, y, x), n = head(3.0)
    hu[(np.abs(z + 50) < 6) & (np.hypot(y + 80, x) < 12)] = 900  # below the middle: no vault
    slices, (inside,), grid = finished(hu, [cavity], n, 3.0)
    assert on_the_vault(slices, inside, grid).sum() * grid.block_ml < 0.05


def test_no_skull_no_answer():
    hu, cavity, _, n = head(3.0)
    slices, (inside,), grid = finished(hu, [cavity], n, 3.0)
    assert not on_the_vault(slices, np.zeros_like(inside), grid).any()


@pytest.mark.parametrize("top_mm", [-5.0, 2.0, 8.0, 15.0, 20.0, 28.0, 35.0])
@pytest.mark.parametrize("above_mm", [-20.0, -8.0])
def test_the_brows_are_no_vault_where_the_image_cuts_the_head(top_mm, above_mm):
    """Ridges of bone over the orbits, 8 or 20 mm below the widest section; the field of view ends near that."""
    hu, cavity, (z, y, x), n = head(3.0)
    front = np.sqrt(1 - ((above_mm / (CAVITY_MM[0] + WALL_MM)) ** 2 + (30.0 / (CAVITY_MM[2] + WALL_MM)) ** 2))
    ridge = np.hypot(z - above_mm, y - front * (CAVITY_MM[1] + WALL_MM)) < 6.0
    ridge &= (np.abs(np.abs(x) - 30.0) < 12.0) & ~cavity
    hu[ridge] = 800
    slices, (inside,), grid = finished(hu, [cavity], n, 3.0)
    top = int((SIZE_MM[0] / 2 + top_mm) / 3.0)
    cut = Grid((1, 1, 1), slices[:top].shape, slices[:top].shape, grid.spacing)
    assert on_the_vault(slices[:top], inside[:top], cut).sum() * grid.block_ml == 0.0
