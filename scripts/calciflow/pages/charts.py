"""Geometry of the report's own figures: numbers become places, the templates draw them in the page's colours.

They show single people and lesions on hovering; the figures for papers are made by the cohort stage.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from calciflow.labels import COMPARTMENTS
from calciflow.pages.palette import COMPARTMENT_COLOURS, MODALITY_WORDS, words
from calciflow.pages.tables import lesion_title, missing, number

SHAPES = ("circle", "square", "triangle", "diamond")
"""Groups are told by the shape of their marks: colours belong to compartments."""

MOST_LINES = 40
"""People that get a line of their own in a figure; above, lines are groups."""

MOST_DOTS = 3000
"""Lesions drawn one by one; above, every so-manieth in the order of their value, so that the spread stays."""

_GOLDEN = 0.6180339887
WIDTH = 560.0


@dataclass(frozen=True)
class Mark:
    """A mark at a place, with what it says on hovering."""

    x: float
    y: float
    title: str
    colour: str = ""
    shape: str = "circle"


@dataclass(frozen=True)
class Tick:
    """A tick of an axis."""

    place: float
    text: str


@dataclass(frozen=True)
class Pair:
    """Two joined marks: a person's two scores."""

    left: Mark
    right: Mark
    title: str


@dataclass(frozen=True)
class PairedPlot:
    """Clinical scores on the left, imaging scores on the right, a line a person."""

    pairs: list[Pair]
    ticks: list[Tick]
    means: tuple[float, float]
    mean_words: tuple[str, str]
    columns: tuple[float, float]
    names: tuple[str, str]
    groups: list[tuple[str, str]]
    height: float


@dataclass(frozen=True)
class Segment:
    """A part of a bar."""

    x: float
    width: float
    colour: str
    title: str


@dataclass(frozen=True)
class Line:
    """A named line of a figure with segments or marks."""

    y: float
    name: str
    segments: list[Segment]
    marks: list[Mark]
    total: str = ""


@dataclass(frozen=True)
class LinePlot:
    """Lines under each other over a common axis."""

    lines: list[Line]
    ticks: list[Tick]
    left: float
    right: float
    height: float
    step: float
    note: str


@dataclass(frozen=True)
class HeatCell:
    """A cell of the heat map."""

    text: str
    detail: str
    value: float | None


@dataclass(frozen=True)
class HeatMap:
    """Regions against modalities."""

    columns: list[str]
    rows: list[tuple[str, list[HeatCell]]]
    unseen: list[str]
    spared: list[str]


def nice_ticks(highest: float, count: int = 5) -> list[float]:
    """Round numbers from 0 to at least ``highest``.

    >>> nice_ticks(23)
    [0.0, 5.0, 10.0, 15.0, 20.0, 25.0]
    """
    if not highest > 0:
        return [0.0, 1.0]
    rough = highest / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1.0, 2.0, 5.0, 10.0) if m * power >= rough * (1 - 1e-9))
    return [round(step * i, 10) for i in range(math.ceil(highest / step - 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Numbers 1, 2, 5, 10, ... that span ``low`` to ``high``."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = [m * 10.0**e for e in range(first, last + 1) for m in (1, 2, 5)]
    below = [s for s in steps if s <= low] or steps[:1]
    above = [s for s in steps if s >= high] or steps[-1:]
    return [s for s in steps if below[-1] <= s <= above[0]]


def shapes_of(groups: Sequence[str]) -> dict[str, str]:
    """A shape for each group, in the order given."""
    return {group: SHAPES[i % len(SHAPES)] for i, group in enumerate(dict.fromkeys(groups))}


def paired_plot(comparison: pd.DataFrame, groups: dict[str, str]) -> PairedPlot | None:
    """Draw total scores of the clinicians beside those of PET/CT (or of what there is); None without pairs.

    Parameters
    ----------
    comparison
        ``comparison.tsv`` of the cohort: participant_id, session_id, modality, imaging_score, clinical_score.
    groups
        Group by participant.
    """
    if comparison.empty:
        return None
    present = [m for m in ("petct", "pet", "ct") if m in set(comparison["modality"])]
    rows = comparison[comparison["modality"] == present[0]] if present else comparison
    rows = rows.dropna(subset=["imaging_score", "clinical_score"])
    if rows.empty:
        return None
    ticks = nice_ticks(float(rows[["imaging_score", "clinical_score"]].max().max()))
    top, bottom, columns = 30.0, 300.0, (150.0, 410.0)
    shapes = shapes_of(sorted({groups.get(p, "") for p in rows["participant_id"]}))

    def place(score: float) -> float:
        return round(bottom - (bottom - top) * score / ticks[-1], 1)

    pairs = []
    for row in rows.to_dict("records"):
        person = str(row["participant_id"])
        clinical, imaging = float(row["clinical_score"]), float(row["imaging_score"])
        group = groups.get(person, "")
        title = f"{person}{', ' + group if group else ''}: clinical {number(clinical)}, imaging {number(imaging)}"
        shape = shapes[group]
        left = Mark(columns[0], place(clinical), title, shape=shape)
        pairs.append(Pair(left, Mark(columns[1], place(imaging), title, shape=shape), title))
    means = (float(rows["clinical_score"].mean()), float(rows["imaging_score"].mean()))
    name = MODALITY_WORDS.get(present[0], present[0]) if present else "Imaging"
    return PairedPlot(
        pairs,
        [Tick(place(t), number(t)) for t in ticks],
        (place(means[0]), place(means[1])),
        (number(means[0]), number(means[1])),
        columns,
        ("Clinical examination", name),
        [(group or "no group", shape) for group, shape in shapes.items()],
        bottom + 34,
    )


def _lines(people: Sequence[tuple[str, str]]) -> tuple[list[tuple[str, list[str]]], bool]:
    """Lines of a figure as (name, participants): people, or groups where people are too many."""
    if len(people) <= MOST_LINES:
        return [(f"{person} {group}".strip(), [person]) for person, group in people], False
    groups = dict.fromkeys(group for _, group in people)
    return [(group or "no group", [p for p, g in people if g == group]) for group in groups], True


def burden_plot(lesions: pd.DataFrame, people: Sequence[tuple[str, str]], key: str = "") -> LinePlot | None:
    """Bars by compartment: the number of deposits, or the sum of column ``key``; None without people or without any.

    Parameters
    ----------
    people
        (participant, group) in the order of the figure.
    """
    if not people or lesions.empty:
        return None
    amounts = pd.to_numeric(lesions[key], errors="coerce").fillna(0.0) if key else pd.Series(1.0, index=lesions.index)
    sums = amounts.groupby([lesions["participant_id"], lesions["compartment"]]).sum()
    if not float(sums.sum()) > 0:
        return None
    lines, grouped = _lines(people)
    tables: list[tuple[str, dict[str, float]]] = []
    for name, members in lines:
        own = {c: sum(float(sums.get((p, c), 0.0)) for p in members) for c in COMPARTMENTS}
        tables.append((name, {c: n / len(members) for c, n in own.items()} if grouped else own))
    ticks = nice_ticks(max(sum(own.values()) for _, own in tables))
    left, right, step = 150.0, WIDTH - 46, 24.0
    scale = (right - left) / ticks[-1]
    drawn = []
    for rank, (name, own) in enumerate(tables):
        x = left
        segments = []
        for compartment, amount in own.items():
            if amount > 0:
                title = f"{name}: {number(amount)} {'ml ' if key else ''}{words(compartment)}"
                segments.append(Segment(round(x, 1), round(amount * scale, 1), COMPARTMENT_COLOURS[compartment], title))
                x += amount * scale
        drawn.append(Line(10 + rank * step, name, segments, [], number(sum(own.values()))))
    note = f"mean a person, by group ({len(people)} people)" if grouped else ""
    places = [Tick(round(left + t * scale, 1), number(t)) for t in ticks]
    return LinePlot(drawn, places, left, right, 10 + len(drawn) * step, step, note)


def spread_plot(lesions: pd.DataFrame, people: Sequence[tuple[str, str]], key: str) -> LinePlot | None:
    """Each lesion's value of column ``key`` on a logarithmic axis, a line a person; None without positive values."""
    if lesions.empty or key not in lesions:
        return None
    values = lesions[pd.to_numeric(lesions[key], errors="coerce") > 0].sort_values(key, kind="stable")
    if values.empty:
        return None
    skip = math.ceil(len(values) / MOST_DOTS)
    shown = values.iloc[::skip]
    ticks = log_ticks(float(values[key].min()), float(values[key].max()))
    low, high = math.log(ticks[0]), math.log(ticks[-1])
    lines, grouped = _lines(people)
    left, right, step = 150.0, WIDTH - 20, 30.0
    span = max(high - low, 1e-9)

    def place(value: float) -> float:
        return round(left + (right - left) * (math.log(value) - low) / span, 1)

    drawn = []
    for rank, (name, members) in enumerate(lines):
        y = 16 + rank * step
        own = shown[shown["participant_id"].isin(members)].to_dict("records")
        marks = [
            Mark(
                place(float(row[key])),
                # The golden ratio spreads any number of marks evenly: they overlap less, and always the same way.
                round(y + (math.modf(i * _GOLDEN)[0] - 0.5) * step * 0.62, 1),
                f"{row['participant_id']}, {lesion_title({str(k): v for k, v in row.items()})}: {number(row[key])}",
                COMPARTMENT_COLOURS.get(str(row["compartment"]), COMPARTMENT_COLOURS["other"]),
            )
            for i, row in enumerate(own)
        ]
        drawn.append(Line(y, name, [], marks))
    note = f"every {skip}th lesion is drawn" if skip > 1 else ""
    if grouped:
        note = "; ".join(part for part in (note, "by group") if part)
    places = [Tick(place(t), number(t)) for t in ticks]
    return LinePlot(drawn, places, left, right, 16 + len(drawn) * step, step, note)


def heat_map(scores: pd.DataFrame, found: pd.DataFrame | None = None) -> HeatMap | None:
    """Share of the people with a finding (score above 0) among those who were seen there; None if there is nothing.

    Parameters
    ----------
    scores
        ``scores.tsv``: gives the order of the regions, and the mean scores.
    found
        The data of the cohort's figure ``regions``: modality, region, side, n, found; it knows the clinicians too.
        Without it the scores are counted.
    """
    regions = scores[scores["region"] != "total"].fillna({"side": ""})
    if regions.empty:
        return None
    keys = ["modality", "region", "side"]
    known = regions.dropna(subset=["score"]).assign(positive=lambda rows: rows["score"] > 0)
    counted = known.groupby(keys).agg(n=("score", "size"), found=("positive", "sum"), mean=("score", "mean"))
    counts: dict[tuple[str, str, str], tuple[int, int]] = {}
    for key, row in counted.iterrows():
        counts[key] = (int(row["found"]), int(row["n"]))  # type: ignore[index]
    means = counted["mean"].to_dict()
    if found is not None and len(found):
        for record in found.fillna({"side": ""}).to_dict("records"):
            place = (str(record["modality"]), str(record["region"]), str(record["side"]))
            counts[place] = (int(record["found"]), int(record["n"]))
    modalities = [m for m in MODALITY_WORDS if any(key[0] == m for key in counts)]
    order = {region: rank for rank, region in enumerate(dict.fromkeys(regions["region"]))}
    places = list(dict.fromkeys(zip(regions["region"], regions["side"], strict=True)))
    places.sort(key=lambda place: order[place[0]])
    rows, unseen, spared = [], [], []
    for region, side in places:
        cells = []
        for modality in modalities:
            positive, seen = counts.get((modality, region, side), (0, 0))
            if seen == 0:
                cells.append(HeatCell("n/a", "not imaged", None))
                continue
            mean = means.get((modality, region, side))
            detail = "" if mean is None else number(float(mean), 2)
            cells.append(HeatCell(f"{positive} / {seen}", detail, positive / seen))
        name = f"{'' if side == 'midline' else words(side)} {words(region)}".strip()
        if all(cell.value is None for cell in cells):
            unseen.append(name)
        elif not any(cell.value for cell in cells):
            spared.append(name)
        else:
            rows.append((name, cells))
    return HeatMap([MODALITY_WORDS[m] for m in modalities], rows, unseen, spared)


def group_of(participants: pd.DataFrame) -> dict[str, str]:
    """Group by participant; empty where none is given."""
    if "group" not in participants:
        return {}
    pairs: list[tuple[Any, Any]] = list(zip(participants["participant_id"], participants["group"], strict=True))
    return {str(person): "" if missing(group) else str(group) for person, group in pairs}
