"""Header texts as numbers, and the sentences that name a tag."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from calciflow.errors import Refusal

TAGS: dict[str, str] = {
    "weight": "PatientWeight (0010,1030)",
    "size": "PatientSize (0010,1020)",
    "sex": "PatientSex (0010,0040)",
    "dose": "RadionuclideTotalDose (0018,1074)",
    "half_life": "RadionuclideHalfLife (0018,1075)",
    "start_datetime": "RadiopharmaceuticalStartDateTime (0018,1078)",
    "start_time": "RadiopharmaceuticalStartTime (0018,1072)",
    "units": "Units (0054,1001)",
    "suv_type": "SUVType (0054,1006)",
    "decay_correction": "DecayCorrection (0054,1102)",
    "corrected_image": "CorrectedImage (0028,0051)",
    "attenuation_method": "AttenuationCorrectionMethod (0054,1101)",
    "series_type": "SeriesType (0054,1000)",
    "intercept": "RescaleIntercept (0028,1052)",
    "slope": "RescaleSlope (0028,1053)",
    "series_time": "SeriesDate/Time (0008,0021)/(0008,0031)",
    "acquisition_time": "AcquisitionDate/Time (0008,0022)/(0008,0032)",
    "frame_reference_time": "FrameReferenceTime (0054,1300)",
    "frame_duration": "ActualFrameDuration (0018,1242)",
    "decay_factor": "DecayFactor (0054,1321)",
    "decay_correction_datetime": "DecayCorrectionDateTime (0018,9701)",
    "decay_corrected": "DecayCorrected (0018,9758)",
    "attenuation_corrected": "AttenuationCorrected (0018,9759)",
    "ge_scan_datetime": "GE scan datetime (0009,xx0D)",
    "philips_suv_factor": "Philips SUV factor (7053,xx00)",
    "philips_activity_factor": "Philips activity factor (7053,xx09)",
}
"""Key of an extracted header -> the tag as it is named in messages and sidecars."""


def number(value: Any) -> float | None:
    """Take a header value as a number.

    Returns
    -------
    float or None
        None if the value is missing.

    Raises
    ------
    ValueError
        If the value is there and is no finite number.
    """
    if value is None or value == "" or value == []:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("not one number")
    if isinstance(value, str) and "_" in value:  # Python reads 7_0 as 70; DICOM knows no such number
        raise ValueError("not a number")
    found = float(value)  # raises ValueError itself
    if not math.isfinite(found):
        raise ValueError("not finite")
    return found


def positive(value: Any, key: str, missing: str, wrong: str, remedy: str) -> float:
    """Take a header value as a number above 0, or refuse.

    ``missing`` is the code if the value is absent or 0, ``wrong`` the code if it is no number or negative.
    """
    try:
        found = number(value)
    except ValueError:
        raise Refusal(wrong, f"{TAGS[key]} is not a number; {remedy}.") from None
    if found is None or found == 0:
        raise Refusal(missing, f"{TAGS[key]} is missing or 0; {remedy}.")
    if found < 0:
        raise Refusal(wrong, f"{TAGS[key]} is negative; {remedy}.")
    return found


def words(value: Any) -> list[str]:
    """A header value of code strings as upper-case words; a missing one as none."""
    if value is None:
        return []
    items = value if isinstance(value, list) else [value]
    return [str(item).strip().upper() for item in items if str(item).strip()]


def per_slice(header: Mapping[str, Any], key: str) -> list[Any]:
    """The values of a key of ``slices``, one a slice; Nones if the key is absent."""
    count = int(header.get("number") or 0)
    found: Sequence[Any] = (header.get("slices") or {}).get(key) or []
    return [*found, *([None] * count)][:count]


def numbers_per_slice(header: Mapping[str, Any], key: str) -> list[float | None]:
    """Like :func:`per_slice`, as numbers; what is no number counts as missing."""
    found: list[float | None] = []
    for value in per_slice(header, key):
        try:
            found.append(number(value))
        except ValueError:
            found.append(None)
    return found


def compact(values: Sequence[float]) -> float | list[float]:
    """One number if all are the same."""
    return values[0] if len(set(values)) == 1 else list(values)
