"""Random people, scanners and deposits: a ``dev`` split to look at; ``test`` seeds are used for nothing else."""

from collections.abc import Collection, Sequence
from typing import Literal

import numpy as np

from calciflow.benchmark.compare import SMALL_PARTS
from calciflow.labels import AXIAL_REGIONS
from calciflow.phantom.deposits import draw_volume
from calciflow.phantom.model import Person
from calciflow.phantom.movement import lever_of
from calciflow.phantom.spec import (
    LIMBS,
    Contact,
    CtSpec,
    DepositSpec,
    Form,
    LimbMotion,
    Motion,
    PersonSpec,
    PetSpec,
    ScanSpec,
    Site,
    replace,
)
from calciflow.phantom.trap_list import PLACES, TRAPS, shaped, switched_on

FIRST_SEED = {"dev": 10_000, "test": 70_000}
"""Seeds of a split start here; the demo and the tests use seeds below 10,000."""

MOST_SCANS = 1000
_TRAP_CHANCE = 0.08
"""Chance of a trap whose turn it is not: one or two a scan."""

_ASYMMETRY_MM = (2.0, 4.0)
"""Mirrored and fitted within 50 mm, the trunk's bone in ``ct_reference`` lies 2.2 mm (rms) from the other side's, 97 %
of it within 5 mm; the legs' of STS_049 2.9 mm and 90 %. Phantoms bent by 2, 3 and 4 mm: 1.2 to 1.4 mm, 1.5 to 1.8 and
1.9 to 2.1 mm; 99, 97 and 96 %. Even ones: 0.5 to 0.8 mm and all of it."""

_MOST_VOXELS = 45_000_000
"""Voxels of a CT: keeps twenty scans within forty minutes on two cores."""

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


def _one_of(rng: np.random.Generator, options: Sequence[str], chances: Sequence[float] | None = None) -> str:
    return options[int(rng.choice(len(options), p=chances))]


def _heights(person: Person) -> dict[tuple[str, str], float]:
    """Height (mm) of the middle of each region and side."""
    s = person.build.scale
    trunk = {"head": 1590, "neck": 1470, "chest": 1310, "abdomen": 1100, "pelvis": 910}
    out = {(region, side): z * s for region, z in trunk.items() for side in ("left", "right")}
    for item in person.limbs:
        joints = {
            "shoulder": item.shoulder, "upper_arm": (item.shoulder + item.elbow) / 2, "elbow": item.elbow,
            "forearm": (item.elbow + item.wrist) / 2, "hand": (item.wrist + item.knuckles) / 2,
            "fingers": item.knuckles + 0.5 * (item.knuckles - item.wrist), "thigh": (item.hip + item.knee) / 2,
            "knee": item.knee, "lower_leg": (item.knee + item.ankle) / 2, "foot": item.ankle, "toes": item.toes,
        }  # fmt: skip
        out |= {(region, item.side): float(point[2]) for region, point in joints.items()}
    return out


def _deposit(rng: np.random.Generator, seen: Sequence[tuple[str, str]]) -> DepositSpec:
    """A deposit in one of the regions and sides that are in view."""
    regions = sorted({region for region, _ in seen})
    region = _one_of(rng, regions)
    small_seen = [word for word in SMALL_PARTS if word in regions]
    if small_seen and rng.uniform() < 0.3:  # hands and feet carry more of them than their share of regions
        region = _one_of(rng, small_seen)
    side = _one_of(rng, [one for word, one in seen if word == region])
    small = region in SMALL_PARTS
    compartment = _one_of(
        rng, ("subcutaneous", "muscle", "fascia", "skin", "periarticular"), (0.45, 0.25, 0.12, 0.06, 0.12)
    )
    if small or (compartment == "periarticular" and region in AXIAL_REGIONS[:4]):
        compartment = "subcutaneous" if (small and rng.uniform() < 0.8) or not small else "periarticular"
    if region == "head":
        compartment = "subcutaneous"  # the scalp and face; the skull leaves little room for more
    form = _FORMS[compartment][int(rng.integers(len(_FORMS[compartment])))]
    site: Site = ""
    where = rng.uniform()
    if region == "fingers" and where < 0.6:
        site, compartment = "fingertip", "subcutaneous"
    elif region == "hand" and where < 0.35:
        site, compartment = ("tendon", "muscle") if where < 0.2 else ("carpal_tunnel", "muscle")
    elif region in ("foot", "knee", "elbow") and where < 0.12:
        site, compartment, form = "tendon", "muscle", "streak"
    touches: Contact = ""
    contact = rng.uniform()
    if not site and contact < 0.08:
        touches = "bone"
    elif contact < 0.16 and compartment in ("subcutaneous", "skin"):
        touches = "skin"
    if touches == "bone" and not small and compartment == "subcutaneous":
        compartment = "periarticular" if region not in AXIAL_REGIONS[:4] else "muscle"
    cluster = 1
    if (region in ("fingers", "elbow") and compartment == "subcutaneous" and rng.uniform() < 0.35) or (
        rng.uniform() < 0.03
    ):
        cluster = int(rng.integers(2, 6))
        form = "nodule"
    median = 0.08 if small or compartment == "skin" else 0.5
    return DepositSpec(
        region=region,
        side="left" if side == "left" else "right",
        compartment=compartment,
        concordance=_one_of(rng, ("CT+PET+", "CT+PET-", "CT-PET+"), (0.55, 0.25, 0.2)),
        form="nodule" if small else form,
        volume_ml=draw_volume(rng, median, 1.0, 0.02, 20.0),
        hu=float(np.clip(np.exp(rng.normal(np.log(450), 0.5)), 150, 1200)),
        suv=float(np.clip(np.exp(rng.normal(np.log(6.0), 0.6)), 1.0, 20)),
        count=cluster,
        bone_gap_mm=0.0 if touches == "bone" else float(rng.uniform(1.0, 4.0)),
        site=site,
        touches=touches,
    )


def _limb_motion(rng: np.random.Generator, person: Person, seen: Collection[tuple[str, str]]) -> LimbMotion | None:
    """In two scans of five a limb in view or the head turns, so far that its end moves 5 to 20 mm."""
    ends = {"head": "head", "arm": "hand", "forearm": "hand", "leg": "foot", "lower_leg": "foot"}
    limbs = [limb for limb in LIMBS if (ends[limb.split()[-1]], "left" if limb == "head" else limb.split()[0]) in seen]
    moved = rng.uniform() < 0.4
    reach, axis = float(rng.uniform(5, 20)), rng.normal(0, 1, 3)
    if not moved or not limbs:
        return None
    limb = _one_of(rng, limbs)
    lever = lever_of(limb, person.limbs, person.build.scale)
    x, y, z = np.rad2deg(reach / lever) * axis / np.linalg.norm(axis)
    return LimbMotion(limb, (float(x), float(y), float(z)))


def traps_of(seed: int, rng: np.random.Generator) -> tuple[str, set[str]]:
    """The trap whose turn it is at a seed, and all that the scan is to have.

    The first seeds of a split take the traps in turn, so that twenty scans hold all of them.
    """
    turn = TRAPS[seed % len(TRAPS)]
    others = {name for name in TRAPS if rng.uniform() < _TRAP_CHANCE}
    if turn == "hands_under_buttocks" or turn in ("acro_osteolysis", "injection_residue"):
        others -= {"hands_under_buttocks"}
    return turn, others | {turn}


def _view(person: Person, rng: np.random.Generator, centre: float) -> tuple[float, float, CtSpec, tuple[float, float]]:
    """Field of view: z from, z to, the CT's geometry, and the middle in x and y.

    Three scans of five are head to toe or from mid-thigh up, as most centres scan. The others are pieces in thinner
    slices, about the height ``centre``. What the grid may hold is limited, so finer voxels go with less of the body.
    """
    low, high = person.bounds()
    bottom, top = float(low[2]) - 12, float(high[2]) + 12
    whole, from_thigh = rng.uniform() < 0.6, rng.uniform() < 0.35
    thick = float(rng.choice([3.0, 3.27, 4.0, 5.0], p=[0.35, 0.25, 0.2, 0.2]))
    thin = float(rng.choice([1.0, 1.25, 1.5, 2.0, 2.5, 3.0], p=[0.2, 0.15, 0.2, 0.2, 0.15, 0.1]))
    pixel, place = float(rng.uniform(0.8, 1.5)), float(rng.uniform())
    slice_mm = thick if whole else thin
    if whole:
        if from_thigh and centre > 0.3 * person.spec.height_m * 1000 + 15:
            bottom = 0.28 * person.spec.height_m * 1000
    else:
        # a piece of a third of a metre to a metre
        length = float(np.clip(slice_mm * 330, 330, 0.6 * (top - bottom)))
        start = np.clip(centre - length * (0.2 + 0.6 * place), bottom, top - length)
        bottom, top = float(start), float(start + length)
    boxes = [part.skin.bounds() for group in person.groups for part in group.parts]
    boxes = [(a, b) for a, b in boxes if a[2] < top and b[2] > bottom]
    left = np.min([a for a, _ in boxes], axis=0)
    right = np.max([b for _, b in boxes], axis=0)
    wide, deep = float(right[0] - left[0]) + 16, float(right[1] - left[1]) + 55  # the couch needs 35 mm below the body
    area = _MOST_VOXELS * slice_mm / (top - bottom)
    pixel = round(min(max(pixel, float(np.sqrt(wide * deep / area))), 1.5), 3)
    matrix = (int(np.ceil(wide / pixel / 2)) * 2, int(np.ceil(deep / pixel / 2)) * 2)
    middle = (float(left[0] + right[0]) / 2, float(left[1] - 30 + right[1]) / 2)
    return bottom, top, CtSpec(pixel_mm=pixel, matrix=matrix, slice_mm=slice_mm), middle


def draw_scan(seed: int) -> tuple[ScanSpec, list[DepositSpec]]:
    """The scan of a seed without its deposits, and the deposits that are wished for; not all will find room."""
    rng = np.random.default_rng([seed, 31])
    sex: Literal["M", "F"] = "F" if rng.uniform() < 0.6 else "M"
    arms: Literal["down", "up", "belly"] = ("down", "up", "belly")[int(rng.choice(3, p=(0.5, 0.25, 0.25)))]
    height = float(np.clip(rng.normal(1.62 if sex == "F" else 1.75, 0.07), 1.45, 1.95))
    bmi = float(np.clip(np.exp(rng.normal(np.log(25), 0.22)), 16, 40))
    spec = PersonSpec(round(height, 2), round(bmi, 1), sex, int(rng.integers(25, 80)), arms)
    spec = replace(spec, asymmetry_mm=round(float(np.random.default_rng([seed, 33]).uniform(*_ASYMMETRY_MM)), 1))
    own = np.random.default_rng([seed, 32])
    due, traps = traps_of(seed, own)
    for name in sorted(traps):
        spec = shaped(spec, name, own)
    person = Person.make(spec, seed)
    heights = _heights(person)
    place = _one_of(own, PLACES[due])
    bottom, top, ct, middle = _view(person, rng, heights[place, "right" if own.uniform() < 0.5 else "left"])
    voxel = float(rng.choice([2.0, 2.5, 3.0, 4.0, 5.3]))
    ct = replace(
        ct,
        kernel_fwhm_mm=float(rng.uniform(1.3, 2.2)),
        kvp=int(rng.choice([80, 100, 120, 140], p=[0.05, 0.25, 0.6, 0.1])),
        noise_hu=float(rng.uniform(8, 22)),
        blanket=bool(rng.uniform() < 0.5),
    )
    pet = PetSpec(
        pixel_mm=voxel,
        slice_mm=voxel if voxel < 5 else 3.3,
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
    seen = [part for part, z in heights.items() if bottom + 15 < z < top - 15]
    scan = ScanSpec(
        name=f"Bench{seed}",
        person=spec,
        ct=ct,
        pet=pet,
        motion=motion,
        limb_motion=_limb_motion(rng, person, seen),
        z_range_mm=(bottom, top),
        centre_xy_mm=middle,
        traps=switched_on({name for name in traps if name == due or any(part in PLACES[name] for part, _ in seen)}),
    )
    return scan, [_deposit(rng, seen) for _ in range(int(rng.integers(8, 26)))]
