"""What is written beside the volumes: BIDS keys, no identity, no dates, no free text of the header."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from calciflow.dicom.geometry import Grid
from calciflow.dicom.headers import Header

VENDORS = {
    "GE": ("GE ", "GENERAL ELECTRIC", "GEMS"),
    "Siemens": ("SIEMENS", "CTI", "CPS"),
    "Philips": ("PHILIPS", "ADAC", "MARCONI"),
    "Canon": ("CANON", "TOSHIBA"),
    "United Imaging": ("UIH", "UNITED IMAGING"),
    "Mediso": ("MEDISO",),
    "Hitachi": ("HITACHI",),
}
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+/-]{0,31}")
TRACERS = {
    "18F-fluoride": ("FLUORIDE", "NAF", "FLUORURE", "SODIUM FLUOR"),
    "18F-FDG": ("FDG", "FLUORODEOXYGLUCOSE", "DEOXYGLUCOSE"),
    "18F-PSMA": ("PSMA",),
    "18F-FES": ("FLUOROESTRADIOL",),
    "68Ga-DOTA": ("DOTATATE", "DOTATOC", "DOTANOC"),
}
NUCLIDES = {
    "C-111A1": "F18",
    "C-131A3": "Ga68",
    "C-105A1": "C11",
    "C-107A1": "N13",
    "C-B1038": "O15",
    "C-127A2": "Rb82",
}
"""SNOMED codes of PET radionuclides, DICOM PS3.16 context group 4020."""
UNITS = {"BQML": "Bq/mL", "GML": "g/mL", "CM2ML": "cm2/mL", "CNTS": "counts"}
IMAGE_WORDS = {
    "ORIGINAL", "DERIVED", "PRIMARY", "SECONDARY", "AXIAL", "LOCALIZER", "REFORMATTED", "MPR", "MIP", "MINIP", "VOLUME",
    "PROJECTION IMAGE", "SCREEN SAVE", "STATIC", "DYNAMIC", "GATED", "WHOLE BODY", "IMAGE", "REPROJECTION", "AVERAGE",
    "CT_SOM5 SPI", "CT_SOM5 SEQ", "CT_SOM5 TOP", "CT_SOM5 MON", "CT_SOM5 MPR", "CT_SOM7 SPI", "HELICAL", "OTHER", "ADD",
    "HELIX", "SCOUT", "FUSED", "FUSION", "DIXON", "NORM", "RESAMPLED",
}  # fmt: skip
"""The words of Image Type (0008,0008) that are shown; vendors and users put anything there."""
CORRECTIONS = {
    "DECY", "ATTN", "SCAT", "DTIM", "MOTN", "PMOT", "CLN", "RAN", "RADL", "DCAL", "NORM", "SLSENS", "PSF", "TOF",
    "FLTS",
}  # fmt: skip
"""DICOM's and vendors' words of Corrected Image (0028,0051)."""
POSITIONS = ("HFS", "HFP", "HFDL", "HFDR", "FFS", "FFP", "FFDL", "FFDR")


def vendor(text: str) -> str | None:
    """The manufacturer by one name, whatever it calls itself; None if unknown."""
    upper = text.upper() + " "
    return next((name for name, words in VENDORS.items() if any(word in upper for word in words)), None)


def word(text: str) -> str | None:
    """A short technical word of a header, or None if it holds anything else."""
    text = text.strip()
    return text if WORD.fullmatch(text) else None


def known(words: Sequence[str], shown: set[str]) -> list[str]:
    """Words of a header that anybody may fill in: the known ones, ``other`` for the rest."""
    return [w if w in shown else "other" for w in words]


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def ct_sidecar(header: Header, grid: Grid | None) -> dict[str, Any]:
    """Keys of ``P_ct.json``."""
    kernel = header.kernel.split("\\")[0]
    return _present(
        {
            "Modality": "CT",
            "Manufacturer": vendor(header.manufacturer),
            "ManufacturersModelName": word(header.model),
            "KVP": header.kvp,
            "ConvolutionKernel": word(kernel),
            "SliceThickness": _round(header.thickness),
            "SliceIncrement": _round(grid.increment if grid else None),
            "SliceJitter": _round(grid.jitter if grid else None),
            "PatientPosition": header.patient_position if header.patient_position in POSITIONS else None,
            "ImageType": known(header.image_type[:3], IMAGE_WORDS),
            "Units": "HU",
        }
    )


def pet_sidecar(
    header: Header, grid: Grid | None, suv: Mapping[str, Any], uptake_minutes: float | None
) -> dict[str, Any]:
    """Keys of ``P_pet.json``: PET-BIDS, with times relative to injection."""
    administrations = suv.get("administrations") or [{}]
    first = administrations[0]
    seconds = None if header.duration is None else header.duration / 1000.0
    return _present(
        {
            "Modality": "PT",
            "Manufacturer": vendor(header.manufacturer),
            "ManufacturersModelName": word(header.model),
            "Units": UNITS.get(header.units),
            "TracerName": _tracer(first),
            "TracerRadionuclide": NUCLIDES.get(str((first.get("nuclide") or {}).get("code"))),
            "InjectedRadioactivity": _mbq(first.get("dose")),
            "InjectedRadioactivityUnits": "MBq",
            "ImageDecayCorrected": header.decay in ("START", "ADMIN") if header.decay else None,
            "AttenuationCorrection": "ATTN" in header.corrected,
            "CorrectedImage": known(header.corrected, CORRECTIONS),
            "InjectionStart": 0,
            "ScanStart": None if uptake_minutes is None else round(60 * uptake_minutes, 1),
            "FrameDuration": [seconds] if seconds else None,
            "SliceThickness": _round(header.thickness),
            "SliceIncrement": _round(grid.increment if grid else None),
            "SliceJitter": _round(grid.jitter if grid else None),
            "PatientPosition": header.patient_position if header.patient_position in POSITIONS else None,
        }
    )


def _present(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if value is not None}


def _tracer(administration: Mapping[str, Any]) -> str | None:
    said = f"{administration.get('agent')} {(administration.get('agent_code') or {}).get('meaning')}".upper()
    return next((name for name, words in TRACERS.items() if any(w in said for w in words)), None)


def _mbq(dose: Any) -> float | None:
    try:
        value = float(dose)
    except (TypeError, ValueError):
        return None
    if not 0 < value < 1e12:
        return None
    return round(value / 1e6 if value > 1e4 else value, 3)
