"""How the answer moves with a threshold: figures and tables of the sweep, estimates first and no p."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from calciflow.pages.charts import Line, LinePlot, Mark, Segment, Tick, nice_ticks
from calciflow.pages.palette import CLASS_WORDS, MODALITY_WORDS
from calciflow.pages.readings import ANALYSES, OUTCOMES, SIDES
from calciflow.pages.tables import Cell, Column, Table, missing, number

CLASS_FILLS = {"CT+PET+": "#D55E00", "CT+PET-": "#0072B2", "CT-PET+": "#009E73"}
"""Okabe and Ito's palette, as in the figures for papers."""

SCORE_SHAPES = {"clinical": "diamond", "ct": "square", "pet": "triangle", "petct": "circle"}
SHOWN_ANALYSES = ("primary", "score_comparison", "increment", "groups", "lesion_contrast", "hu_suv", "covariates")
LEFT, RIGHT, STEP = 150.0, 514.0, 26.0


@dataclass(frozen=True)
class Interval:
    """An estimate on an axis, with its interval where there is one."""

    y: float
    name: str
    place: float
    low: float | None
    high: float | None
    title: str
    own: bool


@dataclass(frozen=True)
class IntervalPlot:
    """Estimates under each other over a common axis."""

    lines: list[Interval]
    ticks: list[Tick]
    zero: float | None
    left: float
    right: float
    height: float


@dataclass(frozen=True)
class SweptParameter:
    """What one parameter does to the answer."""

    name: str
    own: str
    primary: str
    estimates: IntervalPlot | None
    deposits: LinePlot | None
    scores: LinePlot | None
    table: Table


def span_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers that span ``low`` to ``high``, 0 among them if it lies between.

    >>> span_ticks(-3.2, 8)
    [-4.0, -2.0, 0.0, 2.0, 4.0, 6.0, 8.0]
    """
    if not high > low:
        low, high = low - 1.0, high + 1.0
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1.0, 2.0, 5.0, 10.0) if m * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * i, 10) + 0.0 for i in range(first, last + 1)]


def _named(value: str, own: bool) -> str:
    return f"{value} (own)" if own else value


def _texts(frame: pd.DataFrame) -> list[tuple[str, bool]]:
    pairs = dict.fromkeys(zip(frame["value"], frame["own"], strict=True))
    return [(str(value), str(own).lower() == "true") for value, own in pairs]


def contrast_words(row: Mapping[str, Any]) -> str:
    """Name an estimate: its outcome and the two sides.

    >>> contrast_words({"outcome": "total_score", "group_a": "petct", "group_b": "clinical"})
    'total score, PET/CT against the clinical examination'
    """
    outcome = OUTCOMES.get(str(row["outcome"]), str(row["outcome"]))
    sides = [SIDES.get(str(row[key]), str(row[key])) for key in ("group_a", "group_b") if not missing(row.get(key))]
    return f"{outcome}, {' against '.join(sides)}" if sides else outcome


def interval_text(row: Mapping[str, Any]) -> str:
    """Write an estimate with its interval."""
    if missing(row.get("ci_low")) or missing(row.get("ci_high")):
        return number(row["estimate"])
    return f"{number(row['estimate'])} ({number(row['ci_low'])} to {number(row['ci_high'])})"


def _estimate_plot(primary: pd.DataFrame, values: Sequence[tuple[str, bool]]) -> IntervalPlot | None:
    if primary.empty:
        return None
    rows = {str(row["value"]): row for row in primary.to_dict("records")}
    numbers = [
        float(row[key])
        for row in rows.values()
        for key in ("estimate", "ci_low", "ci_high")
        if not missing(row.get(key))
    ]
    ticks = span_ticks(min([*numbers, 0.0]), max([*numbers, 0.0]))

    def place(value: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * (value - ticks[0]) / (ticks[-1] - ticks[0]), 1)

    lines = []
    for rank, (value, own) in enumerate(values):
        row = rows.get(value)
        if row is None:
            continue
        ends = [None if missing(row.get(key)) else place(float(row[key])) for key in ("ci_low", "ci_high")]
        title = f"{_named(value, own)}: {interval_text({str(k): v for k, v in row.items()})}, n = {number(row['n'])}"
        lines.append(
            Interval(18 + rank * STEP, _named(value, own), place(float(row["estimate"])), ends[0], ends[1], title, own)
        )
    height = 18 + len(values) * STEP
    return IntervalPlot(lines, [Tick(place(t), number(t)) for t in ticks], place(0.0), LEFT, RIGHT, height)


def _amount(frame: pd.DataFrame, value: str, outcome: str, group_a: str | None = None) -> float | None:
    rows = frame[(frame["value"] == value) & (frame["outcome"] == outcome)]
    if group_a is not None:
        rows = rows[rows["group_a"] == group_a]
    return None if rows.empty or missing(rows.iloc[0]["estimate"]) else float(rows.iloc[0]["estimate"])


def _deposit_plot(counts: pd.DataFrame, values: Sequence[tuple[str, bool]]) -> LinePlot | None:
    amounts = {
        value: {kind: _amount(counts, value, f"deposits {kind}") or 0.0 for kind in CLASS_FILLS} for value, _ in values
    }
    highest = max((sum(own.values()) for own in amounts.values()), default=0.0)
    if not highest > 0:
        return None
    ticks = nice_ticks(highest)
    scale = (RIGHT - LEFT) / ticks[-1]
    lines = []
    for rank, (value, own) in enumerate(values):
        x, segments = LEFT, []
        for kind, amount in amounts[value].items():
            if amount > 0:
                title = f"{_named(value, own)}: {number(amount)} {CLASS_WORDS.get(kind, kind)}"
                segments.append(Segment(round(x, 1), round(amount * scale, 1), CLASS_FILLS[kind], title))
                x += amount * scale
        lines.append(Line(10 + rank * STEP, _named(value, own), segments, [], number(sum(amounts[value].values()))))
    places = [Tick(round(LEFT + t * scale, 1), number(t)) for t in ticks]
    return LinePlot(lines, places, LEFT, RIGHT, 10 + len(lines) * STEP, STEP, "")


def _score_plot(scores: pd.DataFrame, values: Sequence[tuple[str, bool]]) -> LinePlot | None:
    found = [float(value) for value in scores["estimate"] if not missing(value)]
    if not found:
        return None
    ticks = nice_ticks(max(found))
    scale = (RIGHT - LEFT) / ticks[-1]
    lines = []
    for rank, (value, own) in enumerate(values):
        y, marks = 18 + rank * STEP, []
        for modality, shape in SCORE_SHAPES.items():
            amount = _amount(scores, value, "total_score", modality)
            if amount is not None:
                name = MODALITY_WORDS.get(modality, modality)
                title = f"{_named(value, own)}: mean {name} score {number(amount)}"
                marks.append(Mark(round(LEFT + amount * scale, 1), y, title, shape=shape))
        lines.append(Line(y, _named(value, own), [], marks))
    places = [Tick(round(LEFT + t * scale, 1), number(t)) for t in ticks]
    return LinePlot(lines, places, LEFT, RIGHT, 18 + len(lines) * STEP, STEP, "")


def _table(frame: pd.DataFrame, values: Sequence[tuple[str, bool]]) -> Table:
    """Quantities as rows, values of the parameter as columns: estimates first."""
    columns = [Column("kind", "Kind", "", False), Column("quantity", "Quantity", "", False)]
    columns += [Column(f"v{i}", _named(value, own), "", False) for i, (value, own) in enumerate(values)]
    rows = []
    for kind in ("estimates", "scores", "deposits"):
        part = frame[frame["kind"] == kind]
        if kind == "estimates":
            part = part[part["analysis"].isin(SHOWN_ANALYSES)]
        keys = ["analysis", "outcome", "group_a", "group_b"]
        filled = part.assign(**{key: part[key].fillna("").astype(str) for key in keys})
        for place, own in filled.groupby(keys, sort=False):
            record = dict(zip(keys, (text if text else None for text in place), strict=True))
            if kind == "estimates":
                analysis = ANALYSES.get(str(record["analysis"]), str(record["analysis"]))
                name = f"{analysis}: {contrast_words(record)}"
            elif kind == "scores":
                name = f"mean score, {MODALITY_WORDS.get(str(record['group_a']), str(record['group_a']))}"
            else:
                outcome = OUTCOMES.get(str(record["outcome"]), str(record["outcome"]))
                name = f"{outcome} ({record['analysis']})"
            by_value = {str(row["value"]): {str(k): v for k, v in row.items()} for row in own.to_dict("records")}
            cells = [interval_text(by_value[value]) if value in by_value else "n/a" for value, _ in values]
            shown = [kind, name, *cells]
            rows.append([Cell(text, text.lower()) for text in shown])
    return Table(columns, rows)


def swept_parameters(sweep: pd.DataFrame) -> list[SweptParameter]:
    """Views of a sweep's table, a parameter each, in its order."""
    found = []
    for parameter in dict.fromkeys(sweep["parameter"]):
        own = sweep[sweep["parameter"] == parameter]
        values = _texts(own)
        primary = own[(own["kind"] == "estimates") & (own["analysis"] == "primary")]
        name = "" if primary.empty else contrast_words({str(k): v for k, v in primary.iloc[0].to_dict().items()})
        found.append(
            SweptParameter(
                str(parameter),
                next((value for value, is_own in values if is_own), ""),
                name,
                _estimate_plot(primary, values),
                _deposit_plot(own[own["kind"] == "deposits"], values),
                _score_plot(own[own["kind"] == "scores"], values),
                _table(own, values),
            )
        )
    return found
