"""Figure of changes over time: each lesion's ratio of later to earlier, a line a pair of sessions."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from calciflow.analyses.figure_style import (
    COMPARTMENT_COLOURS,
    MOST_NAMED,
    Drawing,
    empty_panel,
    legend_above,
    save_figure,
    styled,
)

PAIR = ["participant_id", "acquisition", "session_before", "session_after"]
COLUMNS = [
    *PAIR,
    *"lesions_before lesions_after region side compartment status size activity".split(),
    *(f"{name}_{when}" for name in ("ct_volume_ml", "suv_max") for when in ("before", "after")),
    "ct_volume_ratio",
    "suv_max_ratio",
]
SPAN = 8.0
"""Ratios beyond 8 and below 1/8 are drawn there."""

NEW, GONE = 14.0, 1 / 14.0
"""Where lesions stand that only the later or only the earlier session shows."""


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _place(row: dict[str, Any], measure: str, column: str) -> float:
    """Where a lesion stands on the axis; NaN where it has nothing to show of this measure."""
    if row["status"] == "persistent":
        ratio = _number(row.get(f"{measure}_ratio"))
        return min(max(ratio, 1 / SPAN), SPAN) if ratio > 0 else math.nan
    when, place = {"new": ("after", NEW), "resolved": ("before", GONE)}.get(str(row["status"]), ("after", math.nan))
    return place if math.isfinite(_number(row.get(f"{column}_{when}"))) else math.nan


def _panel(
    axes: Axes, rows: Sequence[dict[str, Any]], lines: Sequence[int], measure: str, column: str, verdict: str
) -> None:
    """Draw one measure; filled marks lie beyond what repeating the measurement gives."""
    counts: dict[int, int] = {}
    for row, line in zip(rows, lines, strict=True):
        x = _place(row, measure, column)
        if not math.isfinite(x):
            continue
        counts[line] = counts.get(line, 0) + 1
        y = line + 0.6 * (counts[line] * 0.618 % 1.0) - 0.3
        within = row["status"] == "persistent" and row.get(verdict) == "within limits"
        name = str(row["compartment"])
        colour = COMPARTMENT_COLOURS.get(name, COMPARTMENT_COLOURS["other"])
        face = "none" if within else colour
        axes.plot(x, y, "o", markersize=4.5, markeredgecolor=colour, markerfacecolor=face, label=name, linestyle="")
    axes.set_xscale("log")
    axes.set_xlim(1 / 20, 20)
    ticks = [GONE, 0.25, 0.5, 1, 2, 4, NEW]
    axes.set_xticks(ticks, ["gone", "1/4", "1/2", "1", "2", "4", "new"])
    axes.minorticks_off()
    axes.axvline(1, color="#999999", linewidth=0.8)


def draw_change(changes: pd.DataFrame, suv_max_limits: tuple[float, float] | None) -> Drawing:
    """Ratios of calcified volume and of SUVmax.

    Parameters
    ----------
    changes
        ``change.tsv`` without what stays out of the statistics.
    suv_max_limits
        Ratios that repeating the scan alone gives, to shade; None: nothing is shaded.
    """
    shown = changes.reindex(columns=COLUMNS)
    rows: list[dict[str, Any]] = [{str(k): v for k, v in row.items()} for row in shown.to_dict("records")]
    keys = [tuple("" if pd.isna(row[name]) else str(row[name]) for name in PAIR) for row in rows]
    pairs = sorted(set(keys))
    height = min(10.0, 1.5 + 0.32 * max(len(pairs), 2))
    figure = Figure(figsize=(7.2, height), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    if not rows:
        for axes in panels:
            empty_panel(axes, "nobody was scanned twice")
        return figure, rows, COLUMNS
    lines = [pairs.index(key) for key in keys]
    _panel(panels[0], rows, lines, "ct_volume", "ct_volume_ml", "size")
    _panel(panels[1], rows, lines, "suv_max", "suv_max", "activity")
    if suv_max_limits:
        panels[1].axvspan(*suv_max_limits, color="#DDDDDD", linewidth=0, zorder=0)
    panels[0].set_xlabel("calcified volume, later / earlier")
    panels[1].set_xlabel("SUVmax, later / earlier")
    names = [" ".join(part for part in (who, piece, f"{a} to {b}") if part) for who, piece, a, b in pairs]
    panels[0].set_yticks(np.arange(len(pairs)), names if len(pairs) <= MOST_NAMED else [""] * len(pairs), fontsize=7)
    panels[0].set_ylim(len(pairs) - 0.5, -0.5)
    legend_above(figure, list(panels))
    return figure, rows, COLUMNS


def write_change_figure(changes: pd.DataFrame, limits: Sequence[float] | None, path: str | Path) -> None:
    """Write ``change.svg`` and ``change.tsv``."""
    both = (float(limits[0]), float(limits[1])) if limits else None
    with styled():
        save_figure(draw_change(changes, both), path)
