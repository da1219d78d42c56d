"""A PET-BIDS raw dataset (NIfTI + JSON) as a source.

PET-BIDS: Norgaard et al. 2022, doi 10.1038/s41597-022-01164-1; keys as in the BIDS specification 1.9, "PET". Times are
seconds relative to TimeZero. BIDS names no CT: a file ``*_ct.nii[.gz]`` in the same folder is taken for it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from calciflow.dicom.geometry import Grid, canonical
from calciflow.dicom.pixels import AIR_HU
from calciflow.errors import Refusal
from calciflow.images import Volume, read_volume
from calciflow.nifti import nib
from calciflow.suvrules.tracer import HALF_LIVES
from calciflow.tree import Tree

ZERO = datetime(2000, 1, 1, 12)
"""Stands for TimeZero: only differences of times matter."""
UNITS = {"Bq/mL": ("BQML", 1.0), "kBq/mL": ("BQML", 1e3), "MBq/mL": ("BQML", 1e6), "g/mL": ("GML", 1.0)}
DOSES = {"Bq": 1.0, "kBq": 1e3, "MBq": 1e6, "GBq": 1e9}
SHEAR = 1e-3


@dataclass
class Pair:
    """The dataset's PET with its sidecar, and its CT if it has one."""

    pet: Path
    metadata: dict[str, Any]
    ct: Path | None


def is_bids(sources: Mapping[str, Tree]) -> bool:
    """Whether the PET's source is a folder that holds one as NIfTI."""
    tree = sources.get("pet_source") or sources.get("source")
    return tree is not None and bool(_named(tree, "pet"))


def _named(tree: Tree, suffix: str) -> list[Path]:
    """Files ``*_SUFFIX.nii[.gz]`` of a folder."""
    places = (place for place, file in tree.own_files() if fnmatchcase(file.name, f"*_{suffix}.nii*"))
    return sorted(tree.root / place for place in places if place.lower().endswith((".nii", ".nii.gz")))


def _one(paths: list[Path], cell: str | None, kind: str) -> Path | None:
    there = len(paths)  # file names may name a person: files are told by their place in the order of names
    if cell is not None:
        paths = [p for i, p in enumerate(paths, 1) if cell in (str(i), f"#{i}") or fnmatchcase(p.name, cell)]
        if not paths:
            raise Refusal(
                "not_found", f"`{kind.lower()}_series` fits no {kind} file of this BIDS dataset; {_numbers(there)}."
            )
    if len(paths) > 1:
        raise Refusal(
            "ambiguous",
            f"The BIDS dataset holds {len(paths)} {kind} files that fit: name one in `{kind.lower()}_series` by number "
            f"or a pattern of its file name; {_numbers(there)}.",
        )
    return paths[0] if paths else None


def _numbers(count: int) -> str:
    if not count:
        return "it holds none"
    return f"in the order of their paths they are {', '.join(f'#{n}' for n in range(1, min(count, 12) + 1))}"


def find(sources: Mapping[str, Tree], ct_series: str | None, pet_series: str | None) -> Pair:
    """The PET and CT of a dataset.

    Raises
    ------
    Refusal
        ``no_pet``, ``ambiguous``, ``not_found``, ``unreadable``.
    """
    pet_tree = sources.get("pet_source") or sources["source"]
    ct_tree = sources.get("ct_source") or sources.get("source") or sources["pet_source"]
    pet = _one(_named(pet_tree, "pet"), pet_series, "PET")
    if pet is None:
        raise Refusal("no_pet", "The BIDS dataset holds no file *_pet.nii.gz: check the source.")
    sidecar = pet.with_name(pet.name.split(".nii")[0] + ".json")
    try:
        metadata = json.loads(sidecar.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise Refusal(
            "unreadable", "The PET's JSON file is missing or no JSON: add it beside the NIfTI file."
        ) from None
    if not isinstance(metadata, dict):
        raise Refusal("unreadable", "The PET's JSON file holds no object: add one as PET-BIDS has it.")
    return Pair(pet, metadata, _one([*_named(ct_tree, "ct"), *_named(ct_tree, "CT")], ct_series, "CT"))


def grid_of_nifti(path: Path, kind: str) -> Grid:
    """Geometry of a NIfTI file, with canonical axes.

    Raises
    ------
    Refusal
        ``unreadable``, ``geometry``; ``no_ac_pet`` for several frames in time.
    """
    try:
        image = nib.load(path)
        shape = tuple(int(n) for n in image.shape)
        affine = np.asarray(image.affine, float)
    except Exception:
        raise Refusal("unreadable", f"The {kind}'s NIfTI file cannot be read: convert it again.") from None
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) > 3:
        raise Refusal("no_ac_pet", f"The {kind} file holds several frames in time: give one static image.")
    directions = affine[:3, :3]
    sizes = np.linalg.norm(directions, axis=0)
    if len(shape) < 3 or min(shape) < 3 or not np.isfinite(affine).all() or not (sizes > 0.01).all():
        raise Refusal("geometry", f"The {kind} file is no volume, or says nowhere where it lies: convert it again.")
    cosines = directions / sizes
    if np.abs(cosines.T @ cosines - np.eye(3)).max() > SHEAR:
        raise Refusal("geometry", f"The {kind} file's axes are not at right angles: give the original grid.")
    reverse = affine.copy()
    reverse[:3, :3] = affine[:3, 2::-1]
    result, axes, flips, new_shape = canonical(reverse, (shape[2], shape[1], shape[0]))
    if axes[0] != 0:
        raise Refusal("geometry", f"The {kind}'s slices are not axial: give the axial reconstruction.")
    return Grid(((),) * new_shape[0], result, new_shape, 0, axes, flips, float(sizes[2]), 0.0)


def load(path: str | Path, grid: Grid, *, pet: bool, scale: float = 1.0) -> Volume:
    """Voxels on the canonical grid: CT int16 HU, PET float32."""
    array: NDArray[Any] = np.empty(grid.shape, np.float32 if pet else np.int16)
    stored = read_volume(path).array
    grid.slices_of(array)[...] = stored * np.float32(scale) if pet else np.clip(np.rint(stored), AIR_HU, 32767)
    return Volume(array, grid.affine)


def part_of(path: Path, kind: str, scale: float) -> dict[str, Any]:
    """What ``convert`` needs of a NIfTI file; its voxels are read once.

    Raises
    ------
    Refusal
        See :func:`grid_of_nifti`; ``unreadable`` if voxels are cut off or not finite; ``empty``.
    """
    grid = grid_of_nifti(path, kind)
    try:
        array = load(path, grid, pet=kind == "PET", scale=scale).array
    except Exception:
        raise Refusal("unreadable", f"The {kind}'s NIfTI file is damaged or cut off: convert it again.") from None
    if not np.isfinite(array).all():
        raise Refusal("unreadable", f"The {kind} file holds values that are no numbers: convert it again.")
    lowest, highest = float(array.min()), float(array.max())
    if not highest > lowest:
        raise Refusal("empty", f"The {kind} file has the same value everywhere: give the original image.")
    return {
        "nifti": str(path),
        "scale": scale,
        "source": str(path.parent),
        "files": [{"path": path.name, "member": "", "frame": None, "ordinal": 1}],
        "terms": None,
        "affine": grid.affine,
        "shape": grid.shape,
        "axes": grid.axes,
        "flips": grid.flips,
        "slice_axis": 0,
        "increment_mm": grid.increment,
        "jitter_mm": 0.0,
        "range": [lowest, highest],
    }


def bounds(part: Mapping[str, Any]) -> NDArray[np.float64]:
    """Lowest and highest corner (2, 3) of a volume's voxel centres, RAS mm."""
    top = np.array(part["shape"][::-1], float) - 1
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * top
    points = corners @ np.asarray(part["affine"])[:3, :3].T + np.asarray(part["affine"])[:3, 3]
    return np.array([points.min(axis=0), points.max(axis=0)])


def _seconds(metadata: Mapping[str, Any], key: str, default: float | None = None) -> float | None:
    value = metadata.get(key, default)
    if isinstance(value, list):
        value = value[0] if value else default
    return float(value) if isinstance(value, int | float) and abs(value) < 1e7 else None


def _number(metadata: Mapping[str, Any], *keys: str) -> float | None:
    for key in keys:
        value = metadata.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    return None


def header_of(metadata: Mapping[str, Any]) -> tuple[Dataset, float]:
    """Say a PET-BIDS sidecar in DICOM's words, so that the same SUV rules judge it; and the factor to Bq/ml.

    Raises
    ------
    Refusal
        ``units``, ``no_ac_pet``, ``time``.
    """
    unit, scale = UNITS.get(str(metadata.get("Units")), ("", 0.0))
    if not unit:
        raise Refusal("units", "Units in the PET's JSON is none of Bq/mL, kBq/mL, MBq/mL, g/mL: convert it again.")
    if str(metadata.get("AttenuationCorrection") or "none").strip().lower() in ("none", "no", "n/a", "false"):
        raise Refusal(
            "no_ac_pet", "AttenuationCorrection in the PET's JSON says there was none: give the corrected PET."
        )
    injection, start = _seconds(metadata, "InjectionStart", 0.0), _seconds(metadata, "ScanStart")
    if unit == "BQML" and (injection is None or start is None):
        raise Refusal("time", "InjectionStart or ScanStart in the PET's JSON is missing: add them, in s from TimeZero.")
    injection, start = injection or 0.0, start or 0.0
    frame = _seconds(metadata, "FrameTimesStart", 0.0) or 0.0
    data = Dataset()
    data.Units, data.RescaleSlope, data.RescaleIntercept = unit, 1, 0
    data.CorrectedImage = ["ATTN", "DECY"] if metadata.get("ImageDecayCorrected") else ["ATTN"]
    begun = ZERO + timedelta(seconds=start + frame)
    duration = _seconds(metadata, "FrameDuration")
    if duration:
        data.ActualFrameDuration = int(1000 * duration)
    reference = _seconds(metadata, "ImageDecayCorrectionTime", start)
    if not metadata.get("ImageDecayCorrected"):
        data.DecayCorrection = "NONE"
    elif reference is not None and abs(reference - injection) < 1:
        data.DecayCorrection = "ADMIN"
    else:
        data.DecayCorrection = "START"
        moment = ZERO + timedelta(seconds=reference or 0.0)
        data.SeriesDate, data.SeriesTime = moment.strftime("%Y%m%d"), moment.strftime("%H%M%S.%f")
        begun = max(begun, moment)
    data.AcquisitionDate, data.AcquisitionTime = begun.strftime("%Y%m%d"), begun.strftime("%H%M%S.%f")
    weight = _number(metadata, "BodyWeight", "PatientWeight")
    if weight is not None:
        data.PatientWeight = f"{weight:.6g}"
    given = Dataset()
    given.Radiopharmaceutical = str(metadata.get("TracerName", ""))[:60]
    given.RadiopharmaceuticalStartDateTime = (ZERO + timedelta(seconds=injection)).strftime("%Y%m%d%H%M%S.%f")
    dose, dose_unit = _number(metadata, "InjectedRadioactivity"), metadata.get("InjectedRadioactivityUnits")
    if dose is not None and str(dose_unit) in DOSES:
        given.RadionuclideTotalDose = f"{dose * DOSES[str(dose_unit)]:.8g}"
    name = "".join(c for c in str(metadata.get("TracerRadionuclide", "")).upper() if c.isalnum())
    code = Dataset()
    code.CodeMeaning = name[:16]  # BIDS writes F18 or 18F
    for known, half_life in HALF_LIVES.items():
        if sorted(name) == sorted(known.upper().replace("-", "")):
            given.RadionuclideHalfLife = half_life
    given.RadionuclideCodeSequence = Items([code])
    data.RadiopharmaceuticalInformationSequence = Items([given])
    return data, scale
