"""What all figures for papers share: colours, text that stays text, the same bytes each time, data beside them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from calciflow.files import whole_file
from calciflow.labels import COMPARTMENTS, CONCORDANCES
from calciflow.tables import write_table

STYLE = {
    "text.parse_math": False,  # a group may be called $x$, or anything else
    "svg.hashsalt": "calciflow",  # element ids would else be random
    "svg.fonttype": "none",  # text stays text: searchable, small, editable for a paper
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "axes.axisbelow": True,
}

# Okabe & Ito's palette: told apart with any colour vision (jfly.uni-koeln.de/color, 2008).
COMPARTMENT_COLOURS = dict(
    zip(COMPARTMENTS, ("#56B4E9", "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#5E5E5E"), strict=True)
)
CLASS_COLOURS = dict(zip(CONCORDANCES, ("#D55E00", "#0072B2", "#009E73"), strict=True))
CLASS_MARKS = dict(zip(CONCORDANCES, ("o", "s", "^"), strict=True))
MODALITY_NAMES = {"ct": "CT", "pet": "PET", "petct": "PET/CT", "clinical": "clinical"}
MOST_NAMED = 40
"""With more people than this the axis shows no names: they would overlap."""

Drawing = tuple[Figure, list[dict[str, Any]], list[str]]
"""A figure, the rows it shows, and the columns of their table."""


def empty_panel(axes: Axes, words: str) -> None:
    """Say in words why a panel shows nothing."""
    axes.text(0.5, 0.5, words, ha="center", va="center", transform=axes.transAxes, color="#555555")
    axes.set_axis_off()


def legend_above(figure: Figure, panels: Sequence[Axes]) -> None:
    """One legend for all panels, outside them, so that it hides no data."""
    entries = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        entries.update(dict(zip(labels, handles, strict=True)))
    if entries:
        figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=6, fontsize=8)


def styled() -> Any:
    """A context in which figures are drawn alike, whatever the machine's own settings."""
    return matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE})


def save_figure(drawing: Drawing, path: str | Path) -> None:
    """Write an SVG, and its data beside it (``scores.svg``, ``scores.tsv``); to be called within ``styled``."""
    figure, rows, columns = drawing
    place = Path(path)
    FigureCanvasSVG(figure)
    with whole_file(place) as partial:
        figure.savefig(partial, format="svg", metadata={"Date": None, "Creator": None})
    write_table(place.with_suffix(".tsv"), rows, columns)
