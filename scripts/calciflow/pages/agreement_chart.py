"""Bland-Altman plot on the report: each person's difference of scores by their mean, with bias and limits."""

import math
from dataclasses import dataclass

import pandas as pd

from calciflow.pages.charts import Mark, Tick, nice_ticks, shapes_of
from calciflow.pages.palette import MODALITY_WORDS
from calciflow.pages.tables import number
from calciflow.stats.agreement import bland_altman

LEFT, RIGHT, TOP, BOTTOM = 70.0, 430.0, 14.0, 250.0


@dataclass(frozen=True)
class Level:
    """A horizontal line with its name and value."""

    y: float
    text: str
    dashed: bool


@dataclass(frozen=True)
class DifferencePlot:
    """Imaging minus clinical score by the mean of both, a mark a person."""

    marks: list[Mark]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    levels: list[Level]
    zero: float
    left: float
    right: float
    bottom: float
    name: str
    words: str


def _signed_ticks(low: float, high: float) -> list[float]:
    """Round numbers from ``low`` or below to ``high`` or above, 0 among them."""
    step = nice_ticks(max(high, -low, 1.0), 3)[1]
    first, last = math.floor(min(low, 0.0) / step), math.ceil(max(high, 0.0) / step)
    return [step * i for i in range(first, (last if last > first else first + 1) + 1)]


def difference_plot(comparison: pd.DataFrame, groups: dict[str, str]) -> DifferencePlot | None:
    """Draw PET/CT (or what there is) against the clinicians; None with fewer than two pairs.

    Parameters
    ----------
    comparison
        ``comparison.tsv`` of the sessions that speak for a person.
    groups
        Group by participant.
    """
    if comparison.empty:
        return None
    present = [name for name in ("petct", "pet", "ct") if name in set(comparison["modality"])]
    rows = comparison[comparison["modality"] == present[0]] if present else comparison
    rows = rows.dropna(subset=["imaging_score", "clinical_score"])
    if len(rows) < 2:
        return None
    imaging, clinical = rows["imaging_score"].astype(float), rows["clinical_score"].astype(float)
    means, differences = (imaging + clinical) / 2, imaging - clinical
    plot = bland_altman(imaging.tolist(), clinical.tolist())
    across = nice_ticks(float(means.max()))
    up = _signed_ticks(min(plot.lower, float(differences.min())), max(plot.upper, float(differences.max())))

    def x(value: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * value / across[-1], 1)

    def y(value: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * (value - up[0]) / (up[-1] - up[0]), 1)

    shapes = shapes_of(sorted({groups.get(str(p), "") for p in rows["participant_id"]}))
    marks = []
    for person, mean, difference in zip(rows["participant_id"].astype(str), means, differences, strict=True):
        group = groups.get(person, "")
        title = f"{person}{', ' + group if group else ''}: difference {number(difference)}, mean {number(mean)}"
        marks.append(Mark(x(mean), y(difference), title, shape=shapes[group]))
    levels = [Level(y(plot.bias), f"mean {number(plot.bias)}", False)]
    if plot.sd > 0:
        levels += [Level(y(value), f"limit {number(value)}", True) for value in (plot.lower, plot.upper)]
    name = MODALITY_WORDS.get(present[0], present[0]) if present else "imaging"
    said = f"Mean {number(plot.bias)}, limits {number(plot.lower)} to {number(plot.upper)}, {plot.n} people."
    return DifferencePlot(
        marks,
        [Tick(x(value), number(value)) for value in across],
        [Tick(y(value), number(value)) for value in up],
        levels,
        y(0.0),
        LEFT,
        RIGHT,
        BOTTOM,
        name,
        said,
    )
