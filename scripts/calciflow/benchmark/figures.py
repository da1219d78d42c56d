"""The benchmark's figures, SVG with the same bytes for the same numbers."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from calciflow.files import whole_file

_FIXED = {"svg.hashsalt": "calciflow", "svg.fonttype": "none"}


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasSVG(figure)
    with matplotlib.rc_context(_FIXED), whole_file(path) as partial:
        figure.savefig(partial, format="svg", metadata={"Date": None, "Creator": None})


def sensitivity_figure(rows: list[dict[str, Any]], path: Path) -> None:
    """Sensitivity of each subset with its interval."""
    shown = [row for row in rows if row["quantity"] == "sensitivity" and row["n"]]
    figure = Figure(figsize=(7, 0.3 * len(shown) + 1), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(reversed(shown)):
        low, high = row["ci_low"], row["ci_high"]
        if np.isfinite(low):
            axes.plot([low, high], [place, place], color="0.5")
        axes.plot(row["estimate"], place, "o", color="black")
    axes.set_yticks(range(len(shown)), [f"{row['subset']} (n = {row['n']})" for row in reversed(shown)])
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("sensitivity, 95 % interval over people")
    _save(figure, path)


def measures_figure(deposits: pd.DataFrame, path: Path) -> None:
    """Measured against true volume, HU and SUV, one dot a deposit."""
    pairs = (
        ("volume_ml", "found_ct_volume_ml", "CT volume, ml"),
        ("hu_visible", "found_hu_max", "HU max"),
        ("suv_visible", "found_suv_max", "SUVmax"),
    )
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    for axes, (true, found, title) in zip(figure.subplots(1, 3), pairs, strict=True):
        axes.set(title=title, xlabel="truth", ylabel="measured", xscale="log", yscale="log")
        if found not in deposits:
            continue
        x, y = (pd.to_numeric(deposits[name], errors="coerce") for name in (true, found))
        keep = (x > 0) & (y > 0)
        if keep.any():
            axes.plot(x[keep], y[keep], ".", color="black")
            ends = [float(min(x[keep].min(), y[keep].min())), float(max(x[keep].max(), y[keep].max()))]
            axes.plot(ends, ends, color="0.6", linewidth=0.8)
    _save(figure, path)


def confusion_figure(table: pd.DataFrame, path: Path) -> None:
    """A confusion matrix: truth by rows, result by columns, counts as numbers and each row's shares as shades.

    Parameters
    ----------
    table
        First column the true words, one further column a found word.
    """
    name = str(table.columns[0])
    true, found = table[name].astype(str).tolist(), [str(word) for word in table.columns[1:]]
    counts = table[table.columns[1:]].to_numpy(float)
    figure = Figure(figsize=(1.8 + 0.55 * len(found), 1.6 + 0.35 * len(true)), layout="constrained")
    axes = figure.subplots()
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1.2, aspect="auto")
    for row, column in np.argwhere(counts > 0):
        axes.text(column, row, f"{counts[row, column]:.0f}", ha="center", va="center", fontsize=8)
    axes.set_xticks(range(len(found)), found, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(len(true)), true, fontsize=8)
    axes.set(xlabel="found", ylabel="true", title=name.removeprefix("true_").replace("_", " "))
    _save(figure, path)


def causes_figure(false: pd.DataFrame, people: int, path: Path) -> None:
    """False positives a scan by what they really are."""
    counts = false["cause"].astype(str).value_counts().sort_values()
    figure = Figure(figsize=(7, 0.3 * max(len(counts), 1) + 1), layout="constrained")
    axes = figure.subplots()
    axes.barh(range(len(counts)), counts.to_numpy() / max(people, 1), color="0.4")
    axes.set_yticks(range(len(counts)), counts.index.tolist())
    axes.set_xlabel("false positives a scan")
    _save(figure, path)
