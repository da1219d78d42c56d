"""Figures of the cohort: vector graphics with the same bytes each time, each with its data as a table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from calciflow.analyses.figure_style import (
    CLASS_COLOURS,
    CLASS_MARKS,
    COMPARTMENT_COLOURS,
    MODALITY_NAMES,
    MOST_NAMED,
    Drawing,
    empty_panel,
    legend_above,
    save_figure,
    styled,
)
from calciflow.labels import COMPARTMENTS, CONCORDANCES
from calciflow.lesion_table import has_part
from calciflow.stats.agreement import bland_altman


@dataclass(frozen=True)
class CohortData:
    """What the figures draw.

    Attributes
    ----------
    people
        ``person_table``.
    lesions
        Counted lesions of the sessions that speak for a person, with ``volume_ml``.
    comparison
        ``paired_totals`` of these sessions.
    detection
        Columns modality, region, side, n (people who were seen there), found.
    """

    people: pd.DataFrame
    lesions: pd.DataFrame
    comparison: pd.DataFrame
    detection: pd.DataFrame


def _groups(people: pd.DataFrame) -> dict[str, Any]:
    return dict(zip(people["participant_id"], people["group"], strict=True))


def _group_style(rows: Sequence[dict[str, Any]]) -> tuple[dict[str, str], dict[str, str]]:
    """Mark and colour of each group."""
    names = sorted({str(row["group"]) for row in rows})
    marks = dict(zip(names, "os^Dv<>P*X" * (1 + len(names) // 10), strict=False))
    colours = dict(zip(names, (["#0072B2", "#D55E00", "#009E73", "#CC79A7"] * (1 + len(names) // 4)), strict=False))
    return marks, colours


def draw_scores(data: CohortData) -> Drawing:
    """Imaging score and clinical score of each person, joined by a line; a panel a modality."""
    columns = ["participant_id", "group", "modality", "imaging_score", "clinical_score"]
    groups = _groups(data.people)
    rows: list[dict[str, Any]] = [
        {**{name: row.get(name) for name in columns}, "group": groups.get(row["participant_id"])}
        for row in data.comparison.to_dict("records")
    ]
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    marks, colours = _group_style(rows)
    for axes, modality in zip(panels, ("ct", "pet", "petct"), strict=True):
        own = [row for row in rows if row["modality"] == modality]
        axes.set_title(f"{MODALITY_NAMES[modality]} (n = {len(own)})", fontsize=9)
        axes.set_xticks([0, 1], [MODALITY_NAMES[modality], "clinical"])
        axes.set_xlim(-0.35, 1.35)
        if not own:
            empty_panel(axes, "no pairs")
        for row in own:
            group = str(row["group"])
            axes.plot(
                [0, 1],
                [row["imaging_score"], row["clinical_score"]],
                marker=marks[group],
                color=colours[group],
                linewidth=1,
                markersize=5,
                alpha=0.85 if len(own) <= MOST_NAMED else 0.3,
            )
    panels[0].set_ylabel("total score over the regions both saw")
    panels[0].set_ylim(bottom=0)
    for name, mark in marks.items():
        panels[2].plot([], [], marker=mark, color=colours[name], linewidth=1, label=name)
    legend_above(figure, [panels[2]])
    return figure, rows, columns


def draw_agreement(data: CohortData) -> Drawing:
    """Bland-Altman plot of imaging and clinical scores, a panel a modality: difference by mean, bias, limits."""
    columns = ["participant_id", "group", "modality", "mean_score", "difference"]
    groups = _groups(data.people)
    rows: list[dict[str, Any]] = []
    for pair in data.comparison.to_dict("records"):
        imaging, clinical = float(pair["imaging_score"]), float(pair["clinical_score"])
        named = {"participant_id": pair["participant_id"], "group": groups.get(pair["participant_id"])}
        means = {"mean_score": (imaging + clinical) / 2, "difference": imaging - clinical}
        rows.append({**named, "modality": pair["modality"], **means})
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    marks, colours = _group_style(rows)
    for axes, modality in zip(panels, ("ct", "pet", "petct"), strict=True):
        own = [row for row in rows if row["modality"] == modality]
        axes.set_title(f"{MODALITY_NAMES[modality]} and clinical (n = {len(own)})", fontsize=9)
        axes.set_xlabel("mean of the two scores")
        if not own:
            empty_panel(axes, "no pairs")
            continue
        for row in own:
            group = str(row["group"])
            axes.plot(
                row["mean_score"], row["difference"], marks[group], color=colours[group], markersize=5, alpha=0.85
            )
        plot = bland_altman([row["difference"] for row in own], [0.0] * len(own))
        axes.axhline(0, color="#999999", linewidth=0.6)
        axes.axhline(plot.bias, color="black", linewidth=1)
        for limit in (plot.lower, plot.upper):
            if np.isfinite(limit):
                axes.axhline(limit, color="black", linewidth=1, linestyle="--")
    panels[0].set_ylabel("imaging score - clinical score")
    for name, mark in marks.items():
        panels[2].plot([], [], mark, color=colours[name], label=name)
    if rows:
        panels[2].plot([], [], "-", color="black", linewidth=1, label="mean difference")
        panels[2].plot([], [], "--", color="black", linewidth=1, label="limits of agreement (1.96 SD)")
    legend_above(figure, [panels[2]])
    return figure, rows, columns


def draw_burden(data: CohortData) -> Drawing:
    """Number and volume of lesions per person, stacked by compartment, people sorted by group."""
    columns = ["participant_id", "group", "compartment", "n_lesions", "volume_ml"]
    people = data.people[data.people["session_id"].notna()].copy()
    people["group"] = people["group"].astype(object).where(people["group"].notna(), "")
    many = len(people) > MOST_NAMED
    people["lesions"] = -people["n_lesions"].astype(float) if many else 0.0  # many people are read as a curve
    people = people.sort_values(["group", "lesions", "participant_id"])
    sums = data.lesions.groupby(["participant_id", "compartment"])["volume_ml"].agg(["size", "sum"])
    rows = []
    for row in people.to_dict("records"):
        for compartment in COMPARTMENTS:
            key = (row["participant_id"], compartment)
            found = sums.loc[key] if key in sums.index else None
            rows.append(
                {
                    "participant_id": row["participant_id"],
                    "group": row["group"] or None,
                    "compartment": compartment,
                    "n_lesions": 0 if found is None else int(found["size"]),
                    "volume_ml": 0.0 if found is None else float(found["sum"]),
                }
            )
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, column, label in zip(panels, ("n_lesions", "volume_ml"), ("deposits", "volume (ml)"), strict=True):
        if not len(people):
            empty_panel(axes, "nobody measured")
            continue
        base = np.zeros(len(people))
        for compartment in COMPARTMENTS:
            heights = np.array([row[column] for row in rows if row["compartment"] == compartment], dtype=float)
            if heights.any():
                axes.bar(
                    np.arange(len(people)),
                    heights,
                    bottom=base,
                    color=COMPARTMENT_COLOURS[compartment],
                    label=compartment,
                    width=1.0 if many else 0.8,
                )
            base += heights
        _name_people(axes, people)
        axes.set_ylabel(label)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=column == "n_lesions"))
    if len(people) and len(data.lesions):
        legend_above(figure, [panels[0], panels[1]])
    return figure, rows, columns


def _name_people(axes: Axes, people: pd.DataFrame) -> None:
    if len(people) <= MOST_NAMED:
        names = [f"{p} {g}".strip() for p, g in zip(people["participant_id"], people["group"], strict=True)]
        axes.set_xticks(np.arange(len(people)), names, rotation=90, fontsize=7)
        return
    groups = people["group"].tolist()
    names = list(dict.fromkeys(groups))
    middles = [np.flatnonzero([g == name for g in groups]).mean() for name in names]
    axes.set_xticks(middles, [f"{name or 'no group'}\n{groups.count(name)} people" for name in names], fontsize=7)


def draw_regions(data: CohortData) -> Drawing:
    """Heat map of the share of people with a finding, region by modality; grey where nobody was imaged."""
    columns = ["modality", "region", "side", "n", "found"]
    rows: list[dict[str, Any]] = [{str(k): v for k, v in row.items()} for row in data.detection.to_dict("records")]
    places = list(dict.fromkeys((row["region"], row["side"]) for row in rows))
    modalities = [m for m in MODALITY_NAMES if any(row["modality"] == m for row in rows)]
    figure = Figure(figsize=(4.6, max(2.0, 0.9 + 0.2 * len(places))), layout="constrained")
    axes = figure.subplots()
    if not rows:
        empty_panel(axes, "no scores")
        return figure, rows, columns
    shares = np.full((len(places), len(modalities)), np.nan)
    for row in rows:
        if row["n"]:
            place = places.index((row["region"], row["side"])), modalities.index(row["modality"])
            shares[place] = row["found"] / row["n"]
            axes.text(
                place[1],
                place[0],
                f"{row['found']}/{row['n']}",
                ha="center",
                va="center",
                fontsize=6.5,
                color="white" if shares[place] > 0.6 else "black",
            )
    axes.set_facecolor("#DDDDDD")
    # Squares, not an image: they stay sharp, and a bitmap's bytes depend on the compression library.
    x, y = np.arange(len(modalities) + 1) - 0.5, np.arange(len(places) + 1) - 0.5
    known = np.ma.masked_invalid(shares)
    mesh = axes.pcolormesh(x, y, known, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=1)
    axes.set_yticks(np.arange(len(places)), [_place(*place) for place in places], fontsize=7)
    axes.set_xticks(np.arange(len(modalities)), [MODALITY_NAMES[m] for m in modalities])
    axes.invert_yaxis()
    axes.tick_params(length=0)
    figure.colorbar(mesh, ax=axes, label="share of people with a finding", shrink=0.5)
    return figure, rows, columns


def _place(region: str, side: Any) -> str:
    words = region.replace("_", " ")
    return f"{words}, {side}" if side in ("left", "right") else words


def draw_uptake(data: CohortData) -> Drawing:
    """SUVmax of PET foci and HU maximum of CT deposits, a column of points a person, marked by class."""
    columns = ["participant_id", "group", "lesion_uid", "concordance", "compartment", "suv_max", "hu_max", "volume_ml"]
    groups = _groups(data.people)
    rows: list[dict[str, Any]] = [
        {**{name: row.get(name) for name in columns}, "group": groups.get(row["participant_id"])}
        for row in data.lesions.to_dict("records")
    ]
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    names = sorted({str(row["participant_id"]) for row in rows})
    people = pd.DataFrame({"participant_id": names, "group": [str(groups.get(n) or "") for n in names]})
    people = people.sort_values(["group", "participant_id"])
    order = {name: i for i, name in enumerate(people["participant_id"])}
    for axes, column, label, modality in zip(
        panels, ("suv_max", "hu_max"), ("SUVmax", "HU maximum"), ("pet", "ct"), strict=True
    ):
        shown = data.lesions[has_part(data.lesions, modality)]
        if not len(shown):
            empty_panel(axes, f"no deposits on {MODALITY_NAMES[modality]}")
            continue
        for concordance in CONCORDANCES:
            own = shown[shown["concordance"] == concordance]
            if not len(own):
                continue
            # Spread sideways by rank within the person: no chance in a figure.
            rank = own.groupby("participant_id").cumcount().to_numpy(dtype=float)
            shift = 0.6 * (((rank + 1) * 0.618) % 1.0) - 0.3
            axes.scatter(
                [order[p] for p in own["participant_id"]] + shift,
                pd.to_numeric(own[column]),
                s=14 if len(order) <= MOST_NAMED else 4,
                marker=CLASS_MARKS[concordance],
                color=CLASS_COLOURS[concordance],
                alpha=0.75,
                linewidths=0,
                label=concordance,
            )
        _name_people(axes, people)
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
    legend_above(figure, list(panels))
    return figure, rows, columns


DRAWINGS: dict[str, Callable[[CohortData], Drawing]] = {
    "scores": draw_scores,
    "agreement": draw_agreement,
    "burden": draw_burden,
    "regions": draw_regions,
    "uptake": draw_uptake,
}


def write_figures(data: CohortData, paths: Sequence[str]) -> None:
    """Draw each figure that a path names, and write its data beside it (``scores.svg``, ``scores.tsv``)."""
    for path in paths:
        with styled():
            save_figure(DRAWINGS[Path(path).stem](data), path)
