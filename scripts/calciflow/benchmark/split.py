"""Random people and scanners: a ``dev`` split to look at; the seeds of the ``test`` split are used for nothing else."""

from typing import Literal

import numpy as np

from calciflow.labels import AXIAL_REGIONS, REGIONS
from calciflow.phantom.deposits import draw_volume
from calciflow.phantom.model import Person
from calciflow.phantom.spec import CtSpec, DepositSpec, Form, Motion, PersonSpec, PetSpec, ScanSpec

FIRST_SEED = {"dev": 10_000, "test": 70_000}
"""Seeds of a split start here; the demo and the tests use seeds below 10,000."""

MOST_SCANS = 1000
SMALL_PARTS = ("hand", "fingers", "foot", "toes")

_REGIONS = [r for r in REGIONS if r not in ("head", "neck")]
_FORMS: dict[str, tuple[Form, ...]] = {
    "subcutaneous": ("nodule", "nodule", "sheet"),
    "muscle": ("streak", "nodule"),
    "fascia": ("sheet",),
    "skin": ("nodule",),
    "periarticular": ("nodule", "tumoral"),
}


def seeds_of(split: str, count: int) -> list[int]:
    """The first seeds of a split.

    Raises
    ------
    ValueError
        For an unknown split, or more scans than a split has seeds.
    """
    if split not in FIRST_SEED:
        raise ValueError(f"split {split!r} is not dev or test")
    if not 1 <= count <= MOST_SCANS:
        raise ValueError(f"{count} scans: a split has 1 to {MOST_SCANS}")
    return [FIRST_SEED[split] + number for number in range(count)]


def _one_of(rng: np.random.Generator, options: tuple[str, ...], chances: tuple[float, ...] | None = None) -> str:
    return options[int(rng.choice(len(options), p=chances))]


def _deposit(rng: np.random.Generator) -> DepositSpec:
    region = str(rng.choice(_REGIONS))
    if rng.uniform() < 0.3:  # hands and feet carry more of them than their share of regions
        region = _one_of(rng, SMALL_PARTS)
    small = region in SMALL_PARTS
    compartment = _one_of(
        rng, ("subcutaneous", "muscle", "fascia", "skin", "periarticular"), (0.45, 0.25, 0.12, 0.06, 0.12)
    )
    if small or (compartment == "periarticular" and region in AXIAL_REGIONS[:4]):
        compartment = "subcutaneous" if (small and rng.uniform() < 0.8) or not small else "periarticular"
    form = _FORMS[compartment][int(rng.integers(len(_FORMS[compartment])))]
    median = 0.08 if small or compartment == "skin" else 0.5
    side: Literal["left", "right"] = "left" if rng.uniform() < 0.5 else "right"
    return DepositSpec(
        region=region,
        side=side,
        compartment=compartment,
        concordance=_one_of(rng, ("CT+PET+", "CT+PET-", "CT-PET+"), (0.55, 0.25, 0.2)),
        form="nodule" if small else form,
        volume_ml=draw_volume(rng, median, 1.0, 0.02, 20.0),
        hu=float(np.clip(np.exp(rng.normal(np.log(450), 0.5)), 150, 1200)),
        suv=float(np.clip(np.exp(rng.normal(np.log(6.0), 0.6)), 1.0, 20)),
        bone_gap_mm=float(rng.uniform(1.0, 4.0)),
    )


def draw_scan(seed: int) -> tuple[ScanSpec, list[DepositSpec]]:
    """The scan of a seed without its deposits, and the deposits that are wished for; not all will find room."""
    rng = np.random.default_rng([seed, 31])
    sex: Literal["M", "F"] = "F" if rng.uniform() < 0.6 else "M"
    arms: Literal["down", "up", "belly"] = ("down", "up", "belly")[int(rng.choice(3, p=(0.5, 0.25, 0.25)))]
    height = float(np.clip(rng.normal(1.62 if sex == "F" else 1.75, 0.07), 1.45, 1.95))
    bmi = float(np.clip(np.exp(rng.normal(np.log(25), 0.22)), 16, 40))
    person = PersonSpec(round(height, 2), round(bmi, 1), sex, int(rng.integers(25, 80)), arms)
    low, high = Person.make(person, seed).bounds()
    columns = 256 if rng.uniform() < 0.7 else 320
    pixel = float(np.ceil((high[0] - low[0] + 16) / columns * 20) / 20)
    slice_mm = float(rng.choice([1.5, 2.0, 3.0, 3.5, 4.0, 5.0], p=[0.1, 0.15, 0.25, 0.2, 0.15, 0.15]))
    voxel = float(rng.choice([2.5, 3.0, 4.0, 5.3]))
    cropped = rng.uniform() < 0.25  # from mid-thigh up, as most centres scan
    ct = CtSpec(
        pixel_mm=pixel,
        matrix=(columns, int(np.ceil(columns * 0.75 / 2)) * 2),
        slice_mm=slice_mm,
        kernel_fwhm_mm=float(rng.uniform(1.3, 2.2)),
        kvp=int(rng.choice([80, 100, 120, 140], p=[0.05, 0.25, 0.6, 0.1])),
        noise_hu=float(rng.uniform(8, 22)),
        blanket=bool(rng.uniform() < 0.5),
    )
    pet = PetSpec(
        pixel_mm=voxel,
        slice_mm=max(voxel if voxel < 5 else 3.3, 2.5),
        fwhm_mm=float(rng.uniform(5, 8)),
        noise=float(rng.uniform(0.06, 0.16)),
        noise_fwhm_mm=float(rng.uniform(4.5, 6.5)),
        dose_mbq=float(rng.uniform(150, 280)),
        uptake_min=float(rng.uniform(45, 95)),
    )
    shift, turn = rng.normal(0, 2.0, 3).clip(-6, 6), rng.normal(0, 0.6, 3).clip(-3, 3)
    motion = Motion(
        (float(shift[0]), float(shift[1]), float(shift[2])), (float(turn[0]), float(turn[1]), float(turn[2]))
    )
    spec = ScanSpec(
        name=f"Bench{seed}",
        person=person,
        ct=ct,
        pet=pet,
        motion=motion,
        z_range_mm=(0.28 * height * 1000, high[2] + 12) if cropped else None,
    )
    return spec, [_deposit(rng) for _ in range(int(rng.integers(8, 26)))]
