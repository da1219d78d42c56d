"""Change over time on the report: each lesion's ratio of later to earlier, and a table of the pairs of sessions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from calciflow.followup.verdicts import BORROWED
from calciflow.pages.charts import Tick
from calciflow.pages.cohort_views import split_flagged
from calciflow.pages.palette import COMPARTMENT_COLOURS, words
from calciflow.pages.tables import Table, missing, number, table

MOST_ROWS = 2000
SPAN = 8.0
"""Ratios beyond 8 and below 1/8 are drawn at the edge: no one reads more off a figure."""

LEFT, RIGHT, STEP = 190.0, 500.0, 30.0
EDGE = 34.0
"""Width of the columns for what only one session shows."""

_GOLDEN = 0.6180339887
PEOPLE_VIEW = (
    "participant_id group acquisition session_before session_after n_new n_resolved n_persistent n_not_imaged n_grown "
    "n_shrunk n_calcified n_more_active n_less_active n_became_active n_no_longer_active n_activity_open "
    "ct_volume_ml_before ct_volume_ml_after tlf_before tlf_after residual_mm note"
).split()
LESION_VIEW = (
    "participant_id acquisition session_before session_after status size activity region side compartment "
    "ct_volume_ml_before ct_volume_ml_after ct_volume_ratio suv_max_before suv_max_after suv_max_ratio suv_mean_change "
    "tlf_change distance_mm flags note"
).split()
BARE = ("acquisition", "flags", "note", "n_calcified", "n_not_imaged", "n_activity_open")


@dataclass(frozen=True)
class Ratio:
    """A lesion's mark."""

    x: float
    y: float
    colour: str
    title: str
    beyond: bool


@dataclass(frozen=True)
class RatioLine:
    """A pair of sessions."""

    y: float
    name: str
    marks: list[Ratio]


@dataclass(frozen=True)
class RatioPlot:
    """Ratios of later to earlier on a logarithmic axis, a line a pair of sessions."""

    lines: list[RatioLine]
    ticks: list[Tick]
    band: tuple[float, float] | None
    left: float
    right: float
    height: float
    gone: float
    new: float


def _place(ratio: float) -> float:
    half = math.log(SPAN)
    share = (min(max(math.log(ratio), -half), half) + half) / (2 * half)
    return round(LEFT + EDGE + (RIGHT - LEFT - 2 * EDGE) * share, 1)


def ratio_plot(
    changes: pd.DataFrame, measure: str, verdict: str, limits: tuple[float, float] | None
) -> RatioPlot | None:
    """Draw one measure's ratios; None where no lesion has one and none is new or resolved.

    Parameters
    ----------
    measure
        ``ct_volume`` or ``suv_max``.
    verdict
        Column that says whether the ratio is within its limits.
    limits
        A band to shade, where the limits are the same for all.
    """
    column = "ct_volume_ml" if measure == "ct_volume" else measure
    lines: list[RatioLine] = []
    keys = ["participant_id", "session_before", "session_after"]
    for rank, (place, own) in enumerate(changes.groupby(keys, sort=True)):
        y, marks = 34.0 + rank * STEP, []
        for i, row in enumerate(own.to_dict("records")):
            ratio, status = row.get(f"{measure}_ratio"), row["status"]
            if status == "persistent" and not missing(ratio):
                x, beyond = _place(float(str(ratio))), row.get(verdict) != "within limits"
                said = f"{number(row[f'{column}_before'])} to {number(row[f'{column}_after'])}, {row.get(verdict)}"
            elif status == "new" and not missing(row[f"{column}_after"]):
                x, beyond, said = RIGHT - EDGE / 2, True, f"new, {number(row[f'{column}_after'])}"
            elif status == "resolved" and not missing(row[f"{column}_before"]):
                x, beyond, said = LEFT + EDGE / 2, True, f"resolved, was {number(row[f'{column}_before'])}"
            else:
                continue
            where = " ".join(words(str(row[key])) for key in ("side", "region") if not missing(row.get(key)))
            compartment = str(row.get("compartment"))
            spread = (math.modf(i * _GOLDEN)[0] - 0.5) * STEP * 0.6
            colour = COMPARTMENT_COLOURS.get(compartment, COMPARTMENT_COLOURS["other"])
            title = f"{place[0]}, {where}, {words(compartment)}: {said}"
            marks.append(Ratio(x, round(y + spread, 1), colour, title, beyond))
        lines.append(RatioLine(y, f"{place[0]} {place[1]} to {place[2]}", marks))
    if not any(line.marks for line in lines):
        return None
    ticks = [Tick(_place(value), text) for value, text in ((0.25, "1/4"), (0.5, "1/2"), (1, "1"), (2, "2"), (4, "4"))]
    band = None if limits is None else (_place(limits[0]), _place(limits[1]))
    height = 34.0 + (len(lines) - 1) * STEP + STEP * 0.7
    return RatioPlot(lines, ticks, band, LEFT, RIGHT, height, LEFT + EDGE / 2, RIGHT - EDGE / 2)


@dataclass(frozen=True)
class CourseView:
    """The section on change over time."""

    volume: RatioPlot | None
    uptake: RatioPlot | None
    people: Table
    lesions: Table
    rows: int
    shown: int
    borrowed: str
    suv_limits: tuple[str, str]


def course_view(
    changes: pd.DataFrame, course: pd.DataFrame, settings: dict[str, Any], exclude_flags: Sequence[str] = ()
) -> CourseView | None:
    """Make the section; None where nobody was scanned twice.

    Parameters
    ----------
    settings
        The config's section ``change``.
    exclude_flags
        Lesions with one of these flags stand in the table, but are not drawn: they are in no count either.
    """
    if course.empty:
        return None
    low, high = (float(value) for value in settings.get("suv_max_limits") or (0.76, 1.32))
    counted, _ = split_flagged(changes, exclude_flags)
    return CourseView(
        ratio_plot(counted, "ct_volume", "size", None),
        ratio_plot(counted, "suv_max", "activity", (low, high)),
        table(course, PEOPLE_VIEW, drop_empty=BARE),
        table(changes.head(MOST_ROWS).infer_objects(), LESION_VIEW, drop_empty=BARE),
        len(changes),
        min(len(changes), MOST_ROWS),
        BORROWED,
        (number(low), number(high)),
    )
