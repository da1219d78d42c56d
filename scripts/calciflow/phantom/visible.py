"""What a scanner could at best have seen of each deposit: noise-free CT and PET, against noise and bone's spill.

The blur is linear, so the part of a PET voxel that is the deposit's own, or bone's, is that uptake alone, blurred onto
that voxel.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from calciflow.images import Volume
from calciflow.labels import TISSUES
from calciflow.phantom.deposits import Placer
from calciflow.phantom.movement import Movement
from calciflow.phantom.physics import blur_resample, noise_with_signal
from calciflow.phantom.shapes import Array, Grid
from calciflow.phantom.spec import PetSpec

CT_THRESHOLD_HU = 130.0
"""Least CT value of calcium (Agatston et al. 1990, doi 10.1016/0735-1097(90)90282-T)."""

LEAST_CONTRAST = 5.0
"""Contrast over noise at which an object is told from noise with certainty (Rose 1948, doi 10.1364/JOSA.38.000196)."""

MOST_BONE_SHARE = 0.5
PEAK_RADIUS_MM = 6.204
"""Radius of a sphere of 1 ml."""

SPHERE_POINTS = 2000

Point = tuple[float, float, float]


def fill_visible(
    placer: Placer,
    ct: NDArray[np.int16],
    ct_sd: NDArray[np.float64],
    pet: Volume,
    pet_sd: NDArray[np.float64],
    movement: Movement,
    spec: PetSpec,
) -> pd.DataFrame:
    """The deposits' table with what noise-free CT and PET show of each, and what they would show without it.

    Parameters
    ----------
    ct, pet
        Noise-free images after physics, HU on the placer's grid and SUV.
    ct_sd, pet_sd
        Noise a slice: HU, and SUV of a voxel of 1 SUV.
    movement
        Where points of the CT lie during the PET.
    """
    table = placer.table()
    canvas, grid = placer.canvas, placer.canvas.grid
    step = np.array(grid.spacing)[::-1]
    table["ct_visible"], table["pet_visible"] = False, False
    for row, item in enumerate(placer.placed):
        core = item.cover >= min(0.5, float(item.cover.max()))
        if item.spec.concordance.startswith("CT+"):
            peak = float(ct[item.box][core].max())
            noise = max(float(ct_sd[item.box[0]].mean()), 0.1)
            table.loc[row, "hu_visible"] = peak
            table.loc[row, "contrast_to_noise"] = (peak - item.row["hu_background"]) / noise
            table.loc[row, "ct_visible"] = peak >= CT_THRESHOLD_HU
        start = np.array([part.start for part in item.box])
        world = (np.stack(np.nonzero(core), axis=1) + start)[:, ::-1] * step + np.array(grid.origin)
        matrix = movement.matrix_at(world.mean(axis=0))
        near = _reached(pet, world @ matrix[:3, :3].T + matrix[:3, 3], spec.fwhm_mm / 2)
        if not len(near):
            continue
        cut = near[int(pet.array[tuple(near.T)].argmax())]
        value = float(pet.array[tuple(cut)])
        # Back to where the CT saw it: the deposit and bone lie on the CT's grid.
        back = np.linalg.inv(matrix) @ np.append(pet.world(cut[None])[0], 1.0)
        place = (float(back[0]), float(back[1]), float(back[2]))
        corner = np.array(grid.origin) + start[::-1] * step
        box = Grid(item.cover.shape, grid.spacing, (float(corner[0]), float(corner[1]), float(corner[2])))
        background = value - blurred_at(item.added_suv, box, place, spec.fwhm_mm)
        contrast = (value - background) / (float(pet_sd[cut[0]]) * noise_with_signal(background))
        bone = bone_at(canvas.suv, canvas.tissues, grid, place, spec.fwhm_mm) / max(value, 1e-6)
        table.loc[row, "suv_visible"] = value
        table.loc[row, "suv_background"] = background
        table.loc[row, "suv_peak_visible"] = highest_peak(pet, near)
        table.loc[row, "pet_contrast_to_noise"] = contrast
        table.loc[row, "bone_share"] = bone
        table.loc[row, "pet_visible"] = bool(contrast >= LEAST_CONTRAST and bone < MOST_BONE_SHARE)
    return table


def blurred_at(suv: Array, grid: Grid, place: Point, fwhm_mm: float) -> float:
    """An image's value at one RAS point (mm) after a Gaussian blur; outside the grid it is empty."""
    return float(blur_resample(suv, grid, Grid((1, 1, 1), grid.spacing, place), fwhm_mm)[0, 0, 0])


def bone_at(suv: Array, tissues: NDArray[np.uint8], grid: Grid, place: Point, fwhm_mm: float) -> float:
    """What blurred bone alone gives (SUV) at one RAS point of the CT's space."""
    reach = 2 * fwhm_mm  # 4.7 sigma
    low, high = np.array(place) - reach, np.array(place) + reach
    box = grid.box(low, high)
    if box is None:
        return 0.0
    bone = np.where(tissues[box] == TISSUES["bone"], suv[box], np.float32(0))
    corner = np.array(grid.origin) + np.array([part.start for part in box])[::-1] * np.array(grid.spacing)[::-1]
    cut = Grid(bone.shape, grid.spacing, (float(corner[0]), float(corner[1]), float(corner[2])))
    return blurred_at(bone, cut, place, fwhm_mm)


def highest_peak(pet: Volume, centres: NDArray[np.int64]) -> float:
    """Highest mean of a sphere of 1 ml about one of these voxels, and about places within half a voxel of the best.

    SUVpeak as PERCIST has it (Wahl et al. 2009, doi 10.2967/jnumed.108.057307): placed freely, a voxel counts by what
    lies in the sphere, here by ``SPHERE_POINTS`` points.
    """
    # Points at random: those of a grid would fall on the borders of voxels in step.
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((SPHERE_POINTS, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    sphere = directions * PEAK_RADIUS_MM * np.cbrt(rng.uniform(size=(SPHERE_POINTS, 1))) / np.array(pet.spacing)

    def means(places: NDArray[np.float64]) -> NDArray[np.float64]:
        nearest = np.rint(places[:, None] + sphere).astype(int)
        inside = ((nearest >= 0) & (nearest < np.array(pet.array.shape))).all(axis=-1)
        where = tuple(np.moveaxis(np.where(inside[..., None], nearest, 0), -1, 0))
        values = np.where(inside, pet.array[where], 0.0)
        return np.asarray(values.sum(axis=1) / np.maximum(inside.sum(axis=1), 1))

    about = means(centres.astype(float))
    half = np.linspace(-0.5, 0.5, 5)
    steps = np.stack(np.meshgrid(half, half, half, indexing="ij"), axis=-1).reshape(-1, 3)
    return float(max(about.max(), means(centres[int(about.argmax())] + steps).max()))


def _reached(pet: Volume, points: NDArray[np.float64], reach: float) -> NDArray[np.int64]:
    """Voxels (n, 3) within ``reach`` mm (and half a voxel) of any of the points."""
    at = pet.index(points)
    pad = reach / np.array(pet.spacing) + 0.5
    low = np.maximum(np.floor(at.min(axis=0) - pad).astype(int), 0)
    high = np.minimum(np.ceil(at.max(axis=0) + pad).astype(int) + 1, pet.array.shape)
    if (high <= low).any():
        return np.zeros((0, 3), np.int64)
    ranges = [np.arange(a, b) for a, b in zip(low, high, strict=True)]
    index = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
    distance, _ = cKDTree(points).query(pet.world(index))
    return np.asarray(index[distance <= reach + 0.5 * float(np.mean(pet.spacing))])
