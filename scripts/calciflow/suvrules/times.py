"""Dates and times of a PET series: acquisition, decay reference, administration.

Every moment is a naive local datetime. Where the header holds no date at all (de-identified), all moments lie on one
arbitrary day, and only differences below 24 h count.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from calciflow.errors import Refusal
from calciflow.suvrules.values import TAGS, numbers_per_slice, per_slice

_NO_DATE = date(2000, 1, 1)
_DAY = timedelta(days=1)
_YEARS = (1950, 2200)
SAME_MOMENT_S = 1.0
"""Some scanners write the first acquisition a few microseconds before the series, or round one of the two."""
BACK_COMPUTED_AGREE_S = 2.0
"""Back-computed reference times of all slices agree this closely where FrameReferenceTime is what the standard says."""
DECAY_FACTOR_AGREE = 0.02
"""A DecayFactor that differs more from the reference time found is reported; ours."""


def parse_date(value: Any) -> date | None:
    """Read a DA value (also with dots or hyphens); None if missing or invalid."""
    match = re.fullmatch(r"(\d{4})[.-]?(\d{2})[.-]?(\d{2})", str(value or "").strip())
    if not match or not _YEARS[0] <= int(match[1]) <= _YEARS[1]:
        return None
    try:
        return date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None


def parse_time(value: Any) -> timedelta | None:
    """Read a TM value as time since midnight; None if missing or invalid."""
    match = re.fullmatch(r"(\d{2}):?(?:(\d{2}):?(?:(\d{2})(\.\d{1,9})?)?)?", str(value or "").strip())
    if not match:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups()[:3])
    if hours > 23 or minutes > 59 or seconds > 60:  # 60: a leap second
        return None
    return timedelta(hours=hours, minutes=minutes, seconds=seconds + float(match[4] or 0))


def parse_datetime(value: Any, zone: Any = None) -> datetime | None:
    """Read a DT value with at least an hour; None if missing or invalid.

    An offset from UTC in the value is turned into the data set's own (``zone``, TimezoneOffsetFromUTC) where that is
    known, for the DA and TM values beside it are in that; otherwise it is dropped.
    """
    match = re.fullmatch(r"(\d{8})(\d{2}[\d.]*)([+-]\d{4})?", str(value or "").strip())
    if not match:
        return None
    day, clock = parse_date(match[1]), parse_time(match[2])
    if day is None or clock is None:
        return None
    moment = datetime.combine(day, datetime.min.time()) + clock
    own = re.fullmatch(r"([+-])(\d{2})(\d{2})", str(zone or "").strip())
    given = re.fullmatch(r"([+-])(\d{2})(\d{2})", match[3] or "")
    if own and given:
        moment += _offset(own) - _offset(given)
    return moment


def _offset(match: re.Match[str]) -> timedelta:
    size = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return -size if match[1] == "-" else size


@dataclass(frozen=True)
class ScanTimes:
    """When the series was acquired.

    Attributes
    ----------
    acquisitions
        Start of each slice's acquisition; None where the header does not tell.
    series
        SeriesDate/Time; None where the header does not tell.
    dated
        Whether any date is known; if not, days mean nothing.
    """

    acquisitions: list[datetime | None]
    series: datetime | None
    dated: bool

    @property
    def start(self) -> datetime | None:
        """The earliest acquisition."""
        return min((moment for moment in self.acquisitions if moment is not None), default=None)


def scan_times(header: Mapping[str, Any]) -> ScanTimes:
    """Read acquisition and series times; a missing date is taken from the next best one."""
    zone = header.get("timezone")
    keys = ("acquisition_date", "acquisition_time", "acquisition_datetime", "series_date", "series_time", "study_date")
    columns = [per_slice(header, key) for key in keys]
    acquisitions: list[datetime | None] = []
    series: list[datetime] = []
    dated = False
    for acq_day, acq_clock, acq_whole, series_day, series_clock, study_day in zip(*columns, strict=True):
        own, shared, study = parse_date(acq_day), parse_date(series_day), parse_date(study_day)
        dated = dated or any(day is not None for day in (own, shared, study))
        clock, series_time = parse_time(acq_clock), parse_time(series_clock)
        moment = None
        if clock is not None:
            moment = _at(own or shared or study or _NO_DATE, clock)
            # Beds after midnight whose slices carry no date of their own.
            if own is None and series_time is not None and clock < series_time - _DAY / 2:
                moment += _DAY
        else:
            moment = parse_datetime(acq_whole, zone)
            dated = dated or moment is not None
        acquisitions.append(moment)
        if series_time is not None:
            begun = _at(shared or own or study or _NO_DATE, series_time)
            # A series time without its own date that would lie half a day after the slice is of the day before.
            if shared is None and moment is not None and begun - moment > _DAY / 2:
                begun -= _DAY
            series.append(begun)
    return ScanTimes(acquisitions, min(series, default=None), dated)


def _at(day: date, clock: timedelta) -> datetime:
    return datetime.combine(day, datetime.min.time()) + clock


def mean_activity_delay(duration_s: float, half_life_s: float) -> float:
    """Seconds from a frame's start to the moment when its activity equals the frame's mean (T_ave).

    ``ln(l T / (1 - exp(-l T))) / l`` with l = ln 2 / half-life: DICOM PS3.3 C.8.9.4.1.5, FrameReferenceTime.
    """
    decay = math.log(2) / half_life_s
    return math.log(decay * duration_s / -math.expm1(-decay * duration_s)) / decay


@dataclass
class Reference:
    """The moment that an image is decay corrected to."""

    moment: datetime
    source: str
    warnings: list[dict[str, str]] = field(default_factory=list)


def _back_computed(header: Mapping[str, Any], times: ScanTimes, half_life_s: float) -> datetime | None:
    """Reference time from every slice's FrameReferenceTime; None unless all slices tell the same one."""
    found = []
    for moment, frame_ms, duration_ms in zip(
        times.acquisitions,
        numbers_per_slice(header, "frame_reference_time"),
        numbers_per_slice(header, "frame_duration"),
        strict=True,
    ):
        # A frame of a day or more is a typing error; it would overflow further down.
        if moment is None or frame_ms is None or duration_ms is None:
            return None
        if not (0 < frame_ms < 86.4e6 and 0 < duration_ms < 86.4e6):
            return None
        delay = mean_activity_delay(duration_ms / 1000, half_life_s) - frame_ms / 1000
        found.append(moment + timedelta(seconds=delay))
    if not found or max(found) - min(found) > timedelta(seconds=BACK_COMPUTED_AGREE_S):
        return None
    return min(found) + (max(found) - min(found)) / 2


def _ge_reference(header: Mapping[str, Any], times: ScanTimes, start: datetime) -> Reference | None:
    moment = parse_datetime(header.get("ge_scan_datetime"), header.get("timezone"))
    if moment is None:
        return None
    known = {day.date() for day in (*times.acquisitions, times.series) if day is not None}
    source = TAGS["ge_scan_datetime"]
    if moment.date() in known or (moment.date() + _DAY in known and moment <= start and start - moment < _DAY / 4):
        return Reference(moment, source)
    moved = _at(start.date(), moment - _at(moment.date(), timedelta()))
    if moved > start + timedelta(seconds=SAME_MOMENT_S):
        moved -= _DAY
    warnings = []
    if times.dated:
        text = f"the date in {source} is contradicted by the series' other dates: only its time of day was used."
        warnings.append({"code": "date", "text": text})
    return Reference(moved, source, warnings)


def decay_reference(header: Mapping[str, Any], times: ScanTimes, half_life_s: float) -> Reference:
    """Find the moment that an image with DecayCorrection START is corrected to.

    Order: GE's private scan datetime, or an enhanced object's DecayCorrectionDateTime; series time, unless later than
    the first acquisition (a processed series); back-computed from FrameReferenceTime; the first acquisition if
    FrameReferenceTime is 0 throughout. Vacha et al. 2026 (SUV manual), QIBA FDG-PET profile; order ours.

    Raises
    ------
    Refusal
        ``time``, if none of these tells.
    """
    start = times.start
    whole = parse_datetime(header.get("decay_correction_datetime"), header.get("timezone"))
    if whole is not None:
        return Reference(whole, TAGS["decay_correction_datetime"])
    if start is None:
        raise Refusal(
            "time",
            f"{TAGS['acquisition_time']} is missing, so the time that the image is decay corrected to is not known; "
            "send the series again from the scanner.",
        )
    back = _back_computed(header, times, half_life_s)
    reference = _ge_reference(header, times, start)
    if reference is None and times.series is not None and times.series <= start + timedelta(seconds=SAME_MOMENT_S):
        reference = Reference(times.series, TAGS["series_time"])
    if reference is None and back is not None:
        source = f"{TAGS['acquisition_time']} and {TAGS['frame_reference_time']}, back-computed from every slice"
        reference = Reference(back, source)
    frames = numbers_per_slice(header, "frame_reference_time")
    if reference is None and frames and all(value == 0 for value in frames):
        reference = Reference(start, f"earliest {TAGS['acquisition_time']}")
    if reference is None:
        raise Refusal(
            "time",
            f"{TAGS['series_time']} is missing or later than the first acquisition, and {TAGS['frame_reference_time']} "
            "does not tell the time that the image is decay corrected to; send the original series from the scanner.",
        )
    reference.warnings += _cross_checks(header, reference, start, back, half_life_s)
    return reference


def _cross_checks(
    header: Mapping[str, Any], reference: Reference, start: datetime, back: datetime | None, half_life_s: float
) -> list[dict[str, str]]:
    """Other tags that tell of the same moment, and differ."""
    warnings = []
    durations = [value for value in numbers_per_slice(header, "frame_duration") if value and 0 < value < 86.4e6]
    frame_s = max(durations, default=0.0) / 1000
    # Where the frame's start is stored, the back-computed time is off by up to one frame: no contradiction.
    if back is not None and abs((back - reference.moment).total_seconds()) > frame_s + BACK_COMPUTED_AGREE_S:
        minutes = (back - reference.moment).total_seconds() / 60
        text = (
            f"{TAGS['frame_reference_time']} tells a time of decay correction {minutes:+.1f} min from the one used "
            f"({reference.source})."
        )
        warnings.append({"code": "decay_reference", "text": text})
    factors = [value for value in numbers_per_slice(header, "decay_factor") if value is not None and value > 0]
    if factors and set(factors) != {1.0}:
        decay = math.log(2) / half_life_s
        since = decay * (start - reference.moment).total_seconds()
        in_frame = decay * mean_activity_delay(frame_s, half_life_s) if frame_s > 0 else 0.0
        stored = math.log(min(factors))
        if min(abs(stored - since), abs(stored - since - in_frame)) > DECAY_FACTOR_AGREE:
            text = f"{TAGS['decay_factor']} does not fit the time of decay correction that was used."
            warnings.append({"code": "decay_reference", "text": text})
    return warnings


@dataclass
class Administration:
    """When the tracer was given."""

    moment: datetime
    source: str
    warnings: list[dict[str, str]] = field(default_factory=list)


def header_administration(item: Mapping[str, Any], times: ScanTimes, zone: Any) -> Administration | None:
    """Time of injection by the header; None if it does not tell.

    RadiopharmaceuticalStartDateTime goes first; a date later than the scan is contradicted by its time of day. A time
    without a date is of the scan's day, or of the day before if it would be later than the scan.
    """
    start = times.start or times.series
    whole = parse_datetime(item.get("start_datetime"), zone)
    clock = parse_time(item.get("start_time"))
    if whole is not None and start is not None and times.dated and whole <= start:
        return Administration(whole, TAGS["start_datetime"])
    if start is None:
        return None
    warnings = []
    source = TAGS["start_time"]
    if whole is not None:
        source = TAGS["start_datetime"]
        clock = whole - _at(whole.date(), timedelta())
        if times.dated:
            text = f"{source} is later than the scan: only its time of day was used."
            warnings.append({"code": "date", "text": text})
    if clock is None:
        return None
    moment = _at(start.date(), clock)
    if moment > start:
        moment -= _DAY
    return Administration(moment, source, warnings)


def given_administration(value: Any, times: ScanTimes) -> Administration:
    """Time of injection by the study's sheet: ISO 8601 text or a datetime.

    Raises
    ------
    Refusal
        ``time``, if it cannot be read or is later than the scan.
    """
    moment: datetime | None = None
    if isinstance(value, datetime):
        moment = value
    else:
        try:
            moment = datetime.fromisoformat(str(value).strip())
        except ValueError:
            moment = parse_datetime(value)
    if moment is None or not _YEARS[0] <= moment.year <= _YEARS[1]:
        raise Refusal("time", "injection_datetime in scans.tsv is no date and time such as 2025-01-31T10:15.")
    moment = moment.replace(tzinfo=None)
    start = times.start or times.series
    if start is not None and not times.dated:
        moment = _at(start.date(), moment - _at(moment.date(), timedelta()))
        moment -= _DAY if moment > start else timedelta()
    if start is not None and moment > start:
        raise Refusal(
            "time", f"injection_datetime in scans.tsv is later than the scan ({TAGS['acquisition_time']}); correct it."
        )
    return Administration(moment, "injection_datetime in scans.tsv")
