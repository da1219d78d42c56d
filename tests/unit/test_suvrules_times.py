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
