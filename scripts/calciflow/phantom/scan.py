"""A person, scanned: images, truth, and what the scanner could at best have seen of each deposit."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calciflow.images import Volume
from calciflow.phantom.canvas import Canvas
from calciflow.phantom.deposits import PlacementError, Placer
from calciflow.phantom.model import Person
from calciflow.phantom.movement import Movement, movement_of
from calciflow.phantom.physics import (
    add_couch,
    add_ct_noise,
    add_pet_noise,
    blur_ct,
    calcium_factor,
    pet_grid,
    pet_ideal,
    pet_noise_sd,
    water_diameter,
)
from calciflow.phantom.shapes import Grid
from calciflow.phantom.sites import Sites
from calciflow.phantom.spec import ScanSpec
from calciflow.phantom.streaks import add_streaks
from calciflow.phantom.trap_list import paint_traps
from calciflow.phantom.traps import TRAP_COLUMNS
from calciflow.phantom.traps_uptake import mismatch_factor
from calciflow.phantom.visible import fill_visible

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
    tissues, regions, structures, deposits
        Label maps on the CT grid (``calciflow.labels``, ``calciflow.phantom.structures``; deposit labels as in
        ``table``).
    table
        One row a deposit, ``calciflow.phantom.deposits.DEPOSIT_COLUMNS``.
    traps, trap_table
        Label map of the traps on the CT grid, and one row an object, ``calciflow.phantom.traps.TRAP_COLUMNS``.
    movement
        Where points of the CT lie during the PET.
    """

    spec: ScanSpec
    seed: int
    ct: Volume
    ct_ideal: Volume
    pet_suv: Volume
    pet_ideal: Volume
    tissues: Volume
    regions: Volume
    structures: Volume
    deposits: Volume
    table: pd.DataFrame
    traps: Volume
    trap_table: pd.DataFrame
    movement: Movement

    @property
    def ct_to_pet(self) -> NDArray[np.float64]:
        """4 x 4, RAS mm: where a point of the CT lies during the PET, if it is not of a limb that moved on its own."""
        return self.movement.body

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


def make_scan(spec: ScanSpec, seed: int, strict: bool = True) -> PhantomScan:
    """Make a scan. The same spec and seed give the same voxels. Without ``strict``, deposits with no room are left out.

    Raises
    ------
    calciflow.phantom.deposits.PlacementError
        If a deposit has no room where it was asked for, and ``strict``.
    """
    person = Person.make(spec.person, seed)
    canvas = Canvas(ct_grid(spec, person))
    calcium = calcium_factor(spec.ct.kvp)
    person.paint(canvas, calcium)
    grid = canvas.grid

    traps = paint_traps(canvas, person, spec, seed, calcium)
    placer = Placer(canvas, seed, calcium, Sites(person.limbs, person.build.scale), traps.focal())
    for deposit in spec.deposits:
        try:
            placer.add(deposit)
        except PlacementError:
            if strict:
                raise

    factor = mismatch_factor(traps)
    if factor is not None:
        canvas.suv *= factor[:, None, None]
        for item in placer.placed:
            item.added_suv *= factor[item.box[0], None, None]
    add_couch(canvas, spec.ct)
    blur_ct(canvas.hu, grid.spacing, spec.ct)
    traps.mark_streaks(add_streaks(canvas.hu, grid, traps.metal, seed))
    ideal = np.clip(np.rint(canvas.hu), -1024, 3071).astype(np.int16)
    diameter = water_diameter(canvas.hu, grid.spacing[1] * grid.spacing[2])
    sd = add_ct_noise(canvas.hu, grid, spec.ct, seed)
    np.rint(canvas.hu, out=canvas.hu)
    np.clip(canvas.hu, -1024, 3071, out=canvas.hu)

    movement = movement_of(spec.motion, spec.limb_motion, person.limbs, person.build.scale, canvas)
    target = pet_grid(grid, spec.pet)
    pet = pet_ideal(canvas.suv, grid, target, spec.pet, movement)
    z = target.origin[2] + target.spacing[0] * np.arange(target.shape[0])
    size = np.interp(z, grid.origin[2] + grid.spacing[0] * np.arange(grid.shape[0]), diameter)
    noisy = add_pet_noise(pet, target, spec.pet, size, seed)

    labels = placer.label_map()
    affine, pet_affine = grid.affine, target.affine
    table = fill_visible(placer, ideal, sd, Volume(pet, pet_affine), pet_noise_sd(size, spec.pet), movement, spec.pet)
    return PhantomScan(
        spec=spec,
        seed=seed,
        ct=Volume(canvas.hu.astype(np.int16), affine),
        ct_ideal=Volume(ideal, affine),
        pet_suv=Volume(noisy, pet_affine),
        pet_ideal=Volume(pet, pet_affine),
        tissues=Volume(canvas.tissues, affine),
        regions=Volume(canvas.regions, affine),
        structures=Volume(canvas.structures, affine),
        deposits=Volume(labels, affine),
        table=table,
        traps=Volume(traps.labels, affine),
        trap_table=pd.DataFrame(traps.rows, columns=list(TRAP_COLUMNS)),
        movement=movement,
    )
