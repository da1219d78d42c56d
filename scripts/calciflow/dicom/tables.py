"""The table of series: what each is and why it was taken or not, in words that carry no identity."""

from collections.abc import Mapping, Sequence
from typing import Any

from calciflow.dicom.series import Group
from calciflow.dicom.sidecar import CORRECTIONS, IMAGE_WORDS, known, word

SERIES_COLUMNS = (
    "series modality series_number images slices rows columns pixel_spacing_mm slice_increment_mm extent_mm image_type "
    "corrected_image units decay_correction kernel kvp study frame_of_reference part taken reason"
).split()

UNIT_WORDS = set(
    "CNTS NONE CM2 CM2ML PCNT CPS BQML MGMINML UMOLMINML MLMING MLG 1CM UMOLML PROPCNTS PROPCPS MLMINML MLML GML "
    "STDDEV".split()
)
"""Units (0054,1001), DICOM PS3.3 C.8.9.1.1.3."""
MODALITIES = set(
    "AU BI CR CT DOC DX ECG IO IVUS KO MG MR NM OT PR PT REG RF RTDOSE RTIMAGE RTPLAN RTRECORD RTSTRUCT RWV SC SEG SM "
    "SR ST US VL XA XC".split()
)
"""Modality (0008,0060), the defined terms that turn up beside PET/CT; a hospital's own words are not shown."""


def _ordinal(groups: Sequence[Group], value: str, key: str) -> int | None:
    """Number a UID by its first appearance, so that equal ones can be told without showing them."""
    if not value:
        return None
    seen = list(dict.fromkeys(getattr(item.first, key) for item in groups if getattr(item.first, key)))
    return seen.index(value) + 1


def series_row(item: Group, groups: Sequence[Group], reasons: Mapping[int, tuple[str | None, str]]) -> dict[str, Any]:
    """One row of ``P_series.tsv``."""
    first = item.first
    grid = item.grid
    image = item.is_ct or item.is_pet
    taken, reason = reasons.get(item.number, (None, item.fault.reason if item.fault else None))
    if item.fault is not None and reason is None:
        reason = item.fault.reason
    known_units = first.units if first.units in UNIT_WORDS else None
    return {
        "series": item.number,
        "modality": first.modality if first.modality in MODALITIES else None,
        "series_number": first.series_number,
        "images": len(item.headers),
        "slices": len(grid.slots) if grid else None,
        "rows": first.rows,
        "columns": first.columns,
        "pixel_spacing_mm": first.spacing[0] if first.spacing else None,
        "slice_increment_mm": grid.increment if grid else None,
        "extent_mm": item.extent if grid else None,
        "image_type": known(first.image_type, IMAGE_WORDS) if image else None,
        "corrected_image": known(first.corrected, CORRECTIONS) if item.is_pet else None,
        "units": known_units if item.is_pet else None,
        "decay_correction": first.decay if first.decay in ("START", "ADMIN", "NONE") else None,
        "kernel": word(first.kernel) if item.is_ct else None,
        "kvp": first.kvp if item.is_ct else None,
        "study": _ordinal(groups, first.study_uid, "study_uid"),
        "frame_of_reference": _ordinal(groups, first.frame_uid, "frame_uid"),
        "part": item.part or None,
        "taken": taken,
        "reason": reason,
    }


def bids_row(number: int, kind: str, part: Mapping[str, Any]) -> dict[str, Any]:
    """One row of ``P_series.tsv`` for a NIfTI file."""
    slices, rows, columns = part["shape"]
    x, y, _ = (sum(float(row[axis]) ** 2 for row in part["affine"][:3]) ** 0.5 for axis in range(3))
    return {
        "series": number,
        "modality": "PT" if kind == "PET" else "CT",
        "images": 1,
        "slices": slices,
        "rows": rows,
        "columns": columns,
        "pixel_spacing_mm": max(x, y),
        "slice_increment_mm": part["increment_mm"],
        "extent_mm": part["increment_mm"] * slices,
        "part": "nifti",
        "taken": kind.lower(),
        "reason": "the file of the BIDS dataset",
    }
