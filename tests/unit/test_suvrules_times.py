"""DICOM dates and times, and what follows from them."""

import math
from datetime import date, datetime, timedelta

import numpy as np
import pytest

from calciflow.errors import Refusal
from calciflow.suvrules.times import (
    decay_reference,
    given_administration,
    header_administration,
    mean_activity_delay,
    parse_date,
    parse_datetime,
    parse_time,
    scan_times,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20250131", date(2025, 1, 31)),
        ("2025.01.31", date(2025, 1, 31)),
        ("20250231", None),
        ("00010101", None),
        ("19500101", date(1950, 1, 1)),
        ("19491231", None),
        ("22001231", date(2200, 12, 31)),
        ("22010101", None),
        ("31012025", None),
        ("", None),
        (None, None),
        (["20250131", "20250201"], None),
    ],
)
def test_dates(text, expected):
    assert parse_date(text) == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("101530", 36930),
        ("101530.250000", 36930.25),
        ("10:15:30", 36930),
        ("1015", 36900),
        ("10", 36000),
        ("235960", 86400),
        ("24", None),
        ("1", None),
        ("109900", None),
        ("106000", None),
        ("100061", None),
        ("ten", None),
        (None, None),
    ],
)
def test_times(text, seconds):
    assert parse_time(text) == (None if seconds is None else timedelta(seconds=seconds))


def test_an_offset_counts_only_against_a_known_zone():
    assert parse_datetime("20250101090000+0000", "+0100") == datetime(2025, 1, 1, 10)
    assert parse_datetime("20250101090000+0000") == datetime(2025, 1, 1, 9)
    assert parse_datetime("20250101003000-0500", "+0100") == datetime(2025, 1, 1, 6, 30)
    assert parse_datetime("20250101") is None
    assert parse_datetime("20251301101010") is None, "no thirteenth month"
    assert parse_datetime("20250131250000") is None, "no hour 25"


def test_mean_activity_delay_is_where_the_decay_equals_its_mean():
    half_life, frame = 6586.2, 1200.0
    t = np.linspace(0, frame, 200001)
    mean = np.trapezoid(0.5 ** (t / half_life), t) / frame
    assert 0.5 ** (mean_activity_delay(frame, half_life) / half_life) == pytest.approx(mean, rel=1e-9)
    # A short frame's mean lies at its middle.
    assert mean_activity_delay(10.0, half_life) == pytest.approx(5.0, abs=1e-3)


def header(**slices):
    count = len(next(iter(slices.values())))
    return {"number": count, "slices": slices}


def test_slices_after_midnight_without_a_date_of_their_own():
    times = scan_times(
        header(series_date=["20250101"] * 2, series_time=["235500"] * 2, acquisition_time=["235500", "000100"])
    )
    assert times.acquisitions == [datetime(2025, 1, 1, 23, 55), datetime(2025, 1, 2, 0, 1)]
    assert times.start == times.series


def test_acquisition_datetime_stands_in():
    times = scan_times(header(acquisition_datetime=["20250101110000"]))
    assert times.start == datetime(2025, 1, 1, 11)
    assert times.dated


def scan(start="110000"):
    return scan_times(header(acquisition_date=["20250102"], acquisition_time=[start]))


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"start_datetime": "20250102100000"}, datetime(2025, 1, 2, 10)),
        ({"start_datetime": "20250103100000"}, datetime(2025, 1, 2, 10)),
        ({"start_datetime": "20300103235900"}, datetime(2025, 1, 1, 23, 59)),
        ({"start_time": "100000"}, datetime(2025, 1, 2, 10)),
        ({"start_time": "113000"}, datetime(2025, 1, 1, 11, 30)),
        ({"start_datetime": "20250102", "start_time": "100000"}, datetime(2025, 1, 2, 10)),
        ({"start_datetime": "nonsense", "start_time": "100000"}, datetime(2025, 1, 2, 10)),
    ],
)
def test_time_of_injection(item, expected):
    assert header_administration(item, scan(), None).moment == expected


def test_no_time_of_injection():
    assert header_administration({}, scan(), None) is None
    assert header_administration({"start_time": "99"}, scan(), None) is None


def test_the_sheets_time_of_injection():
    assert given_administration("2025-01-02T10:15", scan()).moment == datetime(2025, 1, 2, 10, 15)
    assert given_administration(datetime(2025, 1, 2, 10), scan()).moment == datetime(2025, 1, 2, 10)
    for wrong in ("yesterday", "2025-01-02T12:00", "0001-01-01T00:00", ""):
        with pytest.raises(Refusal) as caught:
            given_administration(wrong, scan())
        assert caught.value.code == "time"


def test_frame_starts_stored_as_reference_times_are_seen_through():
    # STS_028's pattern: one bed, FrameReferenceTime counts from the series to the frame's start.
    values = header(
        series_date=["20250101"],
        series_time=["152555"],
        acquisition_date=["20250101"],
        acquisition_time=["153807"],
        frame_reference_time=["732000"],
        frame_duration=["180000"],
        decay_factor=["1.09032"],
    )
    reference = decay_reference(values, scan_times(values), 6588.0)
    assert reference.moment == datetime(2025, 1, 1, 15, 25, 55)
    assert reference.warnings == []
    # The header's own DecayFactor tells the same: decay from series to frame start, times the mean over the frame.
    rate = math.log(2) / 6588
    inside = rate * 180 / (1 - math.exp(-rate * 180))
    assert math.exp(rate * 732) * inside == pytest.approx(1.09032, abs=1e-5)


def test_absurd_frame_times_overflow_nothing():
    values = header(acquisition_date=["20250101"], acquisition_time=["11"], frame_reference_time=["1e300"])
    with pytest.raises(Refusal, match="0054,1300"):
        decay_reference(values, scan_times(values), 6586.2)


@pytest.mark.parametrize(("late_s", "warned"), [(0, False), (290, False), (-290, False), (900, True), (-900, True)])
def test_a_reference_time_that_contradicts_the_series_is_told(late_s, warned):
    """Up to one frame (5 min) may be the difference of frame start and frame middle: that is no contradiction."""
    half_life = 6586.2
    middle = mean_activity_delay(300.0, half_life)
    values = header(
        series_date=["20250101"],
        series_time=["110000"],
        acquisition_date=["20250101"],
        acquisition_time=["111500"],
        frame_reference_time=[str(1000 * (900 + middle - late_s))],
        frame_duration=["300000"],
        decay_factor=[str(2 ** (900 / half_life) * 2 ** (middle / half_life))],
    )
    reference = decay_reference(values, scan_times(values), half_life)
    assert ("decay_reference" in [warning["code"] for warning in reference.warnings]) == warned, reference


def test_a_series_of_before_midnight_is_of_the_day_before_its_dated_slices():
    times = scan_times(header(series_time=["235500"], acquisition_date=["20250102"], acquisition_time=["000100"]))
    assert times.series == datetime(2025, 1, 1, 23, 55)
    near = scan_times(header(series_time=["110000"], acquisition_date=["20250102"], acquisition_time=["100000"]))
    assert near.series == datetime(2025, 1, 2, 11), "an hour after the slice is the same day"


def test_the_study_date_stands_in_and_without_any_date_days_mean_nothing():
    times = scan_times(header(study_date=["20250103"], acquisition_time=["101500"]))
    assert (times.start, times.dated) == (datetime(2025, 1, 3, 10, 15), True)
    assert not scan_times(header(acquisition_time=["101500"])).dated


def test_an_acquisition_datetime_is_told_in_the_data_sets_own_zone():
    values = header(acquisition_datetime=["20250101110000+0000"]) | {"timezone": "+0200"}
    assert scan_times(values).start == datetime(2025, 1, 1, 13)


def undated(start):
    return scan_times(header(acquisition_time=[start]))


def test_the_sheets_time_of_day_goes_before_a_scan_without_a_date():
    for given, before in (("2025-01-02T10:00", 1.0), ("2025-01-02T23:30", 11.5)):
        found = given_administration(given, undated("110000"))
        assert (undated("110000").start - found.moment) == timedelta(hours=before)


@pytest.mark.parametrize("year", [1949, 2201])
def test_the_sheets_year_is_one_of_pet(year):
    with pytest.raises(Refusal, match="no date and time"):
        given_administration(datetime(year, 6, 1), scan())


def timed(**slices):
    return header(acquisition_date=["20250101"], acquisition_time=["110000"], **slices)


def test_a_series_time_up_to_a_second_late_is_the_same_moment():
    frames = {"frame_reference_time": ["0"]}
    same = timed(series_date=["20250101"], series_time=["110001"], **frames)
    assert decay_reference(same, scan_times(same), 6586.2).moment == datetime(2025, 1, 1, 11, 0, 1)
    late = timed(series_date=["20250101"], series_time=["110001.5"], **frames)
    assert decay_reference(late, scan_times(late), 6586.2).moment == datetime(2025, 1, 1, 11), "first acquisition"


def test_an_enhanced_objects_own_moment_goes_first_in_its_zone():
    values = timed(series_date=["20250101"], series_time=["105900"])
    values |= {"decay_correction_datetime": "20250101085500+0000", "timezone": "+0200"}
    assert decay_reference(values, scan_times(values), 6586.2).moment == datetime(2025, 1, 1, 10, 55)


def test_without_an_acquisition_time_its_lack_is_said():
    values = header(series_date=["20250101"], series_time=["110000"])
    with pytest.raises(Refusal, match=r"AcquisitionDate/Time .* is missing") as caught:
        decay_reference(values, scan_times(values), 6586.2)
    assert caught.value.code == "time"


def two_beds(apart_s):
    """Two beds of 10 s, whose middles 5 s in; the second reference time is off by ``apart_s``."""
    delay = mean_activity_delay(10.0, 6586.2)
    return header(
        acquisition_date=["20250101"] * 2,
        acquisition_time=["110000", "110300"],
        frame_reference_time=[str(1000 * (60 + delay)), str(1000 * (240 + delay - apart_s))],
        frame_duration=["10000"] * 2,
    )


def test_reference_times_of_the_beds_agree_to_two_seconds_and_their_middle_is_taken():
    values = two_beds(1.6)
    found = decay_reference(values, scan_times(values), 6586.2).moment
    assert (found - datetime(2025, 1, 1, 10, 59)).total_seconds() == pytest.approx(0.8, abs=1e-3)
    values = two_beds(2.4)
    with pytest.raises(Refusal, match="does not tell the time"):
        decay_reference(values, scan_times(values), 6586.2)


def ge(moment, start="000500", zone=None, offset=""):
    values = header(acquisition_date=["20250102"], acquisition_time=[start])
    return values | {"ge_scan_datetime": moment + offset, "timezone": zone}


@pytest.mark.parametrize(
    ("values", "moment", "warned"),
    [
        (ge("20250102000400"), datetime(2025, 1, 2, 0, 4), False),
        (ge("20250101235900"), datetime(2025, 1, 1, 23, 59), False),  # begun before midnight
        (ge("20250101100000"), datetime(2025, 1, 1, 10), True),  # fourteen hours before: only its time of day
        (ge("20200101000430"), datetime(2025, 1, 2, 0, 4, 30), True),
        (ge("20200101233000"), datetime(2025, 1, 1, 23, 30), True),  # later than the scan: of the day before
        (ge("20200101000501"), datetime(2025, 1, 2, 0, 5, 1), True),  # a second late is the same moment
        (ge("20250102110000", "130500", "+0200", "+0000"), datetime(2025, 1, 2, 13), False),
    ],
)
def test_ges_scan_datetime_is_held_against_the_other_dates(values, moment, warned):
    reference = decay_reference(values, scan_times(values), 6586.2)
    assert reference.moment == moment
    assert [warning["code"] for warning in reference.warnings] == ["date"] * warned


@pytest.mark.parametrize(
    ("factor", "duration", "warned"),
    [
        (2 ** (600 / 6586.2), ["1200000"], False),  # to the frame's start
        (2 ** ((600 + 591.7) / 6586.2), ["1200000"], False),  # to its mean activity, 8 s before the middle
        (2 ** ((600 + 591.7) / 6586.2), None, True),
        (2 ** (900 / 6586.2), ["1200000"], True),
        (2 ** (2000 / 6586.2), None, True),
    ],
)
def test_a_decay_factor_is_that_of_the_frames_start_or_of_its_mean(factor, duration, warned):
    values = header(
        series_date=["20250101"],
        series_time=["105000"],
        acquisition_date=["20250101"],
        acquisition_time=["110000"],
        decay_factor=[str(factor)],
        **({"frame_duration": duration} if duration else {}),
    )
    reference = decay_reference(values, scan_times(values), 6586.2)
    assert [warning["code"] for warning in reference.warnings] == ["decay_reference"] * warned


def test_a_contradicting_reference_time_is_told_in_minutes():
    delay = mean_activity_delay(300.0, 6586.2)
    values = header(
        series_date=["20250101"],
        series_time=["110000"],
        acquisition_date=["20250101"],
        acquisition_time=["111500"],
        frame_reference_time=[str(1000 * delay)],
        frame_duration=["300000"],
    )
    (warning,) = decay_reference(values, scan_times(values), 6586.2).warnings
    assert "+15.0 min from the one used (SeriesDate/Time" in warning["text"]
