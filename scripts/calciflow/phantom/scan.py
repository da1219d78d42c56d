"""A person, scanned: images, truth, and what the scanner could at best have seen of each deposit."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from calciflow.images import Volume
from calciflow.phantom.canvas import Canvas
from calciflow.phantom.deposits import Placer
from calciflow.phantom.model import Person
from calciflow.phantom.physics import (
    Rigid,
    add_couch,
    add_ct_noise,
    add_pet_noise,
    blur_ct,
    blur_resample,
    calcium_factor,
    pet_grid,
    pet_ideal,
    water_diameter,
)
from calciflow.phantom.shapes import Grid
from calciflow.phantom.spec import ScanSpec

HALF_LIFE_S = 6586.2
"""Half-life of F-18 in s (109.77 min), the value that most scanners write."""


@dataclass(frozen=True)
class PhantomScan:
    """A phantom's images and truth, in memory.

    Attributes
    ----------
    ct, ct_ideal
        HU, int16, with and without noise.
    pet_suv, pet_ideal
        SUV by body weight, float32, with and without noise.
    tissues, regions, deposits
        Label maps on the CT grid (``calciflow.labels``; deposit labels as in ``table``).
    table
        One row a deposit, ``calciflow.phantom.deposits.DEPOSIT_COLUMNS``.
    ct_to_pet
        4 x 4, RAS mm: where a point of the CT lies during the PET.
    """

    spec: ScanSpec
    seed: int
    ct: Volume
    ct_ideal: Volume
    pet_suv: Volume
    pet_ideal: Volume
    tissues: Volume
    regions: Volume
    deposits: Volume
    table: pd.DataFrame
    ct_to_pet: NDArray[np.float64]

    @property
    def bqml_per_suv(self) -> float:
        """Activity concentration of 1 SUV at the start of the scan (decay-corrected to it), in Bq/ml."""
        pet = self.spec.pet
        left = 0.5 ** (pet.uptake_min * 60 / HALF_LIFE_S)
        return pet.dose_mbq * 1e6 * left / (self.spec.person.weight_kg * 1000)

    @property
    def pet_bqml(self) -> Volume:
        """PET in Bq/ml."""
        return self.pet_suv.like(self.pet_suv.array * np.float32(self.bqml_per_suv))


def ct_grid(spec: ScanSpec, person: Person) -> Grid:
    """CT grid: the wanted z range, or head to toe; centred on the body unless told otherwise."""
    low, high = person.bounds()
    ct = spec.ct
    bottom, top = spec.z_range_mm if spec.z_range_mm is not None else (low[2] - 12, high[2] + 12)
    count = max(1, round((top - bottom) / ct.slice_mm))
    nx, ny = ct.matrix
    if spec.centre_xy_mm is not None:
        cx, cy = spec.centre_xy_mm
    else:
        # the couch needs about 35 mm below the body
        cx, cy = 0.5 * (low[0] + high[0]), 0.5 * (low[1] - 30 + high[1])
    return Grid(
        (count, ny, nx),
        (ct.slice_mm, ct.pixel_mm, ct.pixel_mm),
        (cx - 0.5 * (nx - 1) * ct.pixel_mm, cy - 0.5 * (ny - 1) * ct.pixel_mm, bottom + 0.5 * ct.slice_mm),
    )


def make_scan(spec: ScanSpec, seed: int) -> PhantomScan:
    """Make a scan. The same spec and seed give the same voxels.

    Raises
    ------
    calciflow.phantom.deposits.PlacementError
        If a deposit has no room where it was asked for.
    """
    person = Person.make(spec.person, seed)
    canvas = Canvas(ct_grid(spec, person))
    calcium = calcium_factor(spec.ct.kvp)
    person.paint(canvas, calcium)
    grid = canvas.grid

    placer = Placer(canvas, seed, calcium)
    for deposit in spec.deposits:
        placer.add(deposit)

    add_couch(canvas, spec.ct)
    blur_ct(canvas.hu, grid.spacing, spec.ct)
    ideal = np.clip(np.rint(canvas.hu), -1024, 3071).astype(np.int16)
    diameter = water_diameter(canvas.hu, grid.spacing[1] * grid.spacing[2])
    sd = add_ct_noise(canvas.hu, grid, spec.ct, seed)
    np.rint(canvas.hu, out=canvas.hu)
    np.clip(canvas.hu, -1024, 3071, out=canvas.hu)

    middle = np.array(grid.origin) + 0.5 * (np.array(grid.shape)[::-1] - 1) * np.array(grid.spacing)[::-1]
    rigid = Rigid.of(spec.motion, (float(middle[0]), float(middle[1]), float(middle[2])))
    target = pet_grid(grid, spec.pet)
    pet = pet_ideal(canvas.suv, grid, target, spec.pet, None if spec.motion.none else rigid)
    z = target.origin[2] + target.spacing[0] * np.arange(target.shape[0])
    size = np.interp(z, grid.origin[2] + grid.spacing[0] * np.arange(grid.shape[0]), diameter)
    noisy = add_pet_noise(pet, target, spec.pet, size, seed)

    labels = placer.label_map()
    affine, pet_affine = grid.affine, target.affine
    matrix = rigid.matrix() if not spec.motion.none else np.eye(4)
    table = _visible(placer, ideal, sd, Volume(pet, pet_affine), matrix, spec)
    return PhantomScan(
        spec=spec,
        seed=seed,
        ct=Volume(canvas.hu.astype(np.int16), affine),
        ct_ideal=Volume(ideal, affine),
        pet_suv=Volume(noisy, pet_affine),
        pet_ideal=Volume(pet, pet_affine),
        tissues=Volume(canvas.tissues, affine),
        regions=Volume(canvas.regions, affine),
        deposits=Volume(labels, affine),
        table=table,
        ct_to_pet=matrix,
    )


def _visible(
    placer: Placer,
    ct: NDArray[np.int16],
    sd: NDArray[np.float64],
    pet: Volume,
    matrix: NDArray[np.float64],
    spec: ScanSpec,
) -> pd.DataFrame:
    """Fill in what noise-free CT and PET show of each deposit, and what they would show without it."""
    table = placer.table()
    grid = placer.canvas.grid
    step = np.array(grid.spacing)[::-1]
    for row, item in enumerate(placer.placed):
        core = item.cover >= min(0.5, float(item.cover.max()))
        if item.spec.concordance.startswith("CT+"):
            peak = float(ct[item.box][core].max())
            noise = max(float(sd[item.box[0]].mean()), 0.1)
            table.loc[row, "hu_visible"] = peak
            table.loc[row, "contrast_to_noise"] = (peak - item.row["hu_background"]) / noise
        start = np.array([part.start for part in item.box])
        world = (np.stack(np.nonzero(core), axis=1) + start)[:, ::-1] * step + np.array(grid.origin)
        seen = _highest(pet, world @ matrix[:3, :3].T + matrix[:3, 3], spec.pet.fwhm_mm / 2)
        if seen is None:
            continue
        table.loc[row, "suv_visible"], cut = seen
        # The deposit's own part of that voxel: its uptake alone, blurred onto the voxel, moved back to where CT saw it.
        place = np.linalg.inv(matrix) @ np.append(pet.world(np.array([cut]))[0], 1.0)
        own = Grid((1, 1, 1), pet.spacing, (float(place[0]), float(place[1]), float(place[2])))
        origin = np.array(grid.origin) + start[::-1] * step
        box = Grid(item.cover.shape, grid.spacing, (float(origin[0]), float(origin[1]), float(origin[2])))
        alone = float(blur_resample(item.added_suv, box, own, spec.pet.fwhm_mm)[0, 0, 0])
        table.loc[row, "suv_background"] = float(seen[0]) - alone
    return table


def _highest(pet: Volume, points: NDArray[np.float64], reach: float) -> tuple[float, tuple[int, int, int]] | None:
    """Highest PET value within ``reach`` mm (and half a voxel) of any of the points, and its index."""
    at = pet.index(points)
    pad = reach / np.array(pet.spacing) + 0.5
    low = np.maximum(np.floor(at.min(axis=0) - pad).astype(int), 0)
    high = np.minimum(np.ceil(at.max(axis=0) + pad).astype(int) + 1, pet.array.shape)
    if (high <= low).any():
        return None
    cut = pet.array[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    index = np.stack(np.meshgrid(*[np.arange(a, b) for a, b in zip(low, high, strict=True)], indexing="ij"), axis=-1)
    distance, _ = cKDTree(points).query(pet.world(index.reshape(-1, 3)))
    near = (distance <= reach + 0.5 * float(np.mean(pet.spacing))).reshape(cut.shape)
    if not near.any():
        return None
    best = np.unravel_index(int(np.argmax(np.where(near, cut, -1.0))), cut.shape)
    return float(cut[best]), (int(low[0] + best[0]), int(low[1] + best[1]), int(low[2] + best[2]))
