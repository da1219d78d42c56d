"""Tables of the pages: columns with names and units in words, cells that sort as numbers, numbers made readable."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from calciflow.pages.palette import CLASS_WORDS, PET_STATUS_WORDS, words
from calciflow.tables import MISSING

COLUMNS: dict[str, tuple[str, str]] = {
    "participant_id": ("Participant", ""),
    "session_id": ("Session", ""),
    "acquisition": ("Part", ""),
    "group": ("Group", ""),
    "age": ("Age", "years"),
    "sex": ("Sex", ""),
    "lesion_id": ("No.", ""),
    "lesion_uid": ("Lasting id", ""),
    "concordance": ("Class", ""),
    "compartment": ("Compartment", ""),
    "compartment_probability": ("Prob.", ""),
    "region": ("Region", ""),
    "side": ("Side", ""),
    "x_mm": ("x (right)", "mm"),
    "y_mm": ("y (anterior)", "mm"),
    "z_mm": ("z (superior)", "mm"),
    "pet_status": ("PET", ""),
    "suv_detection_limit": ("Detection limit", "SUV"),
    "ct_volume_ml": ("CT volume", "ml"),
    "hu_max": ("Maximum", "HU"),
    "hu_mean": ("Mean", "HU"),
    "hydroxyapatite_mg": ("Hydroxyapatite", "mg"),
    "agatston": ("Agatston", ""),
    "pet_volume_ml": ("PET volume", "ml"),
    "suv_max": ("SUVmax", "g/ml"),
    "suv_mean": ("SUVmean", "g/ml"),
    "suv_peak": ("SUVpeak", "g/ml"),
    "tlf": ("TLF", "SUV ml"),
    "bone_spill_fraction": ("Spill from bone", "fraction"),
    "distance_to_bone_mm": ("To bone", "mm"),
    "distance_to_skin_mm": ("To skin", "mm"),
    "morphology": ("Form", ""),
    "structure": ("Structure", ""),
    "flags": ("Flags", ""),
    "reason": ("Why this compartment", ""),
    "review": ("Review", ""),
    "reader": ("Reader", ""),
    "edit": ("Reader's change", ""),
    "edit_reason": ("Reader's reason", ""),
    "action": ("Edit", ""),
    "value": ("New value", ""),
    "machine_value": ("Machine's", ""),
    "modality": ("Modality", ""),
    "score": ("Score", ""),
    "verdict": ("Verdict", ""),
    "code": ("Code", ""),
    "analysis": ("Analysis", ""),
    "outcome": ("Outcome", ""),
    "group_a": ("A", ""),
    "group_b": ("B", ""),
    "n": ("n", ""),
    "estimate": ("Estimate", ""),
    "ci": ("Interval", ""),
    "effect_size": ("Effect size", ""),
    "statistic": ("Statistic", ""),
    "p_exact": ("p exact", ""),
    "p_asymptotic": ("p asymptotic", ""),
    "p_attainable": ("p attainable", "smallest"),
    "p_adjusted": ("p adjusted", ""),
    "method": ("Method", ""),
    "note": ("Note", ""),
    "n_sessions": ("Sessions", "measured"),
    "n_lesions": ("Deposits", ""),
    "n_ct_pet": ("CT+PET+", "deposits"),
    "n_ct_only": ("CT+PET-", "deposits"),
    "n_pet_only": ("CT-PET+", "deposits"),
    "n_indeterminate": ("Uptake open", "deposits"),
    "n_skin": ("Skin", "deposits"),
    "n_subcutaneous": ("Subcutaneous", "deposits"),
    "n_fascia": ("Fascia", "deposits"),
    "n_muscle": ("Muscle", "deposits"),
    "n_periarticular": ("Periarticular", "deposits"),
    "n_other": ("Other", "deposits"),
    "n_set_aside": ("Set aside", "findings"),
    "n_dropped": ("Dropped", "candidates"),
    "volume_ml": ("Volume", "ml"),
    "subcutaneous_volume_ml": ("Subcutaneous", "ml"),
    "muscle_volume_ml": ("Muscle", "ml"),
    "muscle_involved": ("Muscle involved", ""),
    "n_regions": ("Regions", "in the form"),
    "n_regions_imaged": ("Regions", "imaged"),
    "n_regions_involved": ("Regions", "involved"),
    "score_ct": ("Score", "CT"),
    "score_pet": ("Score", "PET"),
    "score_petct": ("Score", "PET/CT"),
    "score_clinical": ("Score", "clinical"),
    "session_before": ("Before", ""),
    "session_after": ("After", ""),
    "status": ("Status", ""),
    "size": ("Size", ""),
    "activity": ("Activity", ""),
    "distance_mm": ("Apart", "mm"),
    "residual_mm": ("Registration", "mm"),
    "ct_volume_ml_before": ("CT volume", "ml, before"),
    "ct_volume_ml_after": ("CT volume", "ml, after"),
    "ct_volume_ratio": ("CT volume", "ratio"),
    "suv_max_before": ("SUVmax", "before"),
    "suv_max_after": ("SUVmax", "after"),
    "suv_max_ratio": ("SUVmax", "ratio"),
    "suv_mean_change": ("SUVmean", "change"),
    "tlf_change": ("TLF", "change"),
    "tlf_before": ("TLF", "before"),
    "tlf_after": ("TLF", "after"),
    "n_new": ("New", "lesions"),
    "n_resolved": ("Resolved", "lesions"),
    "n_persistent": ("Persistent", "lesions"),
    "n_not_imaged": ("Not imaged", "lesions"),
    "n_grown": ("Grown", "lesions"),
    "n_shrunk": ("Shrunk", "lesions"),
    "n_calcified": ("Calcified", "lesions"),
    "n_more_active": ("More active", "lesions"),
    "n_less_active": ("Less active", "lesions"),
    "n_became_active": ("Became active", "lesions"),
    "n_no_longer_active": ("No longer active", "lesions"),
    "n_activity_open": ("Activity open", "lesions"),
    "ci_low": ("Interval", "from"),
    "ci_high": ("Interval", "to"),
    "ci_level": ("Level", "attained"),
}
"""Name and unit of each known column; an unknown one is shown by its own name."""

LESION_VIEW = (
    "lesion_id concordance compartment compartment_probability region side ct_volume_ml hu_max hydroxyapatite_mg "
    "pet_status suv_max suv_mean suv_peak tlf suv_detection_limit distance_to_bone_mm distance_to_skin_mm morphology "
    "flags review reader edit"
).split()
"""Columns of ``lesions.tsv`` that the pages show; the file holds the rest."""


@dataclass(frozen=True)
class Column:
    """A column of a page's table."""

    key: str
    name: str
    unit: str
    numeric: bool


@dataclass(frozen=True)
class Cell:
    """A cell: what is shown, what it sorts by, and, for a link, the page or element it leads to."""

    text: str
    order: str
    link: str = ""
    colour: str = ""


@dataclass(frozen=True)
class Table:
    """A table of a page."""

    columns: list[Column]
    rows: list[list[Cell]]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return not self.rows


def missing(value: Any) -> bool:
    """Whether a cell of a table is absent."""
    return value is None or value is pd.NA or value == MISSING or (isinstance(value, float) and math.isnan(value))


def number(value: Any, digits: int = 3) -> str:
    """Write a number with ``digits`` significant digits, whole numbers whole; ``n/a`` when absent.

    >>> number(0.031250), number(1234.5), number(12.0), number(None)
    ('0.0312', '1234', '12', 'n/a')
    """
    if missing(value):
        return MISSING
    figure = float(value)
    if figure == 0:
        return "0"
    if not math.isfinite(figure):
        return MISSING
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(figure))))
    text = f"{figure:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def p_value(value: Any) -> str:
    """Write a p value: three decimals, four below 0.01, ``< 0.0001`` below that.

    From 0.01 to 0.1 four significant digits: there they tell the 0.03125 that six pairs can give from 0.0312.
    """
    if missing(value):
        return MISSING
    p = float(value)
    if p < 0.0001:
        return "< 0.0001"
    if p < 0.01:
        return f"{p:.4f}"
    return f"{p:.4g}" if p < 0.1 else f"{p:.3f}"


def p_text(value: Any) -> str:
    """Write ``p = 0.031`` or ``p < 0.0001``."""
    text = p_value(value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def plain(value: Any) -> str:
    """Write any cell: numbers short, fixed words as they are, absent ones ``n/a``."""
    if missing(value):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float) or hasattr(value, "dtype"):
        return number(value)
    return str(value)


def show(key: str, value: Any) -> str:
    """Write a cell of a known column in words."""
    if missing(value):
        return MISSING
    if key == "pet_status":
        return PET_STATUS_WORDS.get(str(value), str(value))
    if isinstance(value, str) and value in ("true", "false"):
        return "yes" if value == "true" else "no"
    if key in ("compartment", "region", "side", "morphology", "structure"):
        return words(str(value))
    if key.startswith("p_"):
        return p_value(value)
    if key == "flags":
        return ", ".join(words(part) for part in str(value).split(";"))
    return plain(value)


def order_of(value: Any) -> str:
    """Sort key of a cell: numbers in full, text in lower case, absent ones empty (they come last)."""
    if missing(value):
        return ""
    if isinstance(value, int | float) or hasattr(value, "dtype"):
        return f"{float(value):.9g}"
    return str(value).lower()


def column(key: str, frame: pd.DataFrame) -> Column:
    """Describe a column of a table."""
    name, unit = COLUMNS.get(key, (words(key), ""))
    numeric = bool(pd.api.types.is_numeric_dtype(frame[key].dtype)) and not bool(frame[key].isna().all())
    return Column(key, name, unit, numeric)


def table(frame: pd.DataFrame, keys: Sequence[str] | None = None, drop_empty: Iterable[str] = ()) -> Table:
    """Make a page's table of a data frame.

    Parameters
    ----------
    frame
        Any table; absent values are missing values of pandas.
    keys
        Columns to show, in this order (those that the frame lacks are left out); all by default.
    drop_empty
        Columns that are left out where no row has a value.
    """
    chosen = [key for key in (frame.columns if keys is None else keys) if key in frame.columns]
    bare = set(drop_empty)
    chosen = [key for key in chosen if key not in bare or not bool(frame[key].isna().all())]
    columns = [column(key, frame) for key in chosen]
    rows = [
        [Cell(show(key, value), order_of(value)) for key, value in zip(chosen, record, strict=True)]
        for record in frame[chosen].itertuples(index=False, name=None)
    ]
    return Table(columns, rows)


def lesion_title(row: dict[str, Any]) -> str:
    """Name a lesion in one line: number, place, compartment, class."""
    side = "" if missing(row.get("side")) else f"{words(str(row['side']))} "
    place = side + ("region unknown" if missing(row.get("region")) else words(str(row["region"])))
    compartment = "compartment unknown" if missing(row.get("compartment")) else words(str(row["compartment"]))
    kind = str(row.get("concordance"))
    seen = CLASS_WORDS.get(kind, kind)
    if kind == "CT+PET-" and row.get("pet_status") == "indeterminate":
        seen = "calcification, uptake cannot be told"  # too small or too near bone: "without" would claim too much
    return f"{int(row['lesion_id'])} · {place} · {compartment} · {seen}"


def lesion_numbers(row: dict[str, Any]) -> list[tuple[str, str]]:
    """Pairs (name, value with unit) of what was measured in a lesion; what it cannot have is left out."""
    wanted = "ct_volume_ml hu_max hydroxyapatite_mg pet_volume_ml suv_max suv_mean suv_peak suv_detection_limit".split()
    pairs = []
    for key in wanted:
        if not missing(row.get(key)):
            name, unit = COLUMNS[key]
            unit = "" if key.startswith("suv_") else unit
            name = {"hu_max": "HU max", "suv_detection_limit": "detection limit SUV"}.get(key, name)
            pairs.append((name, f"{number(row[key])} {unit}".strip()))
    return pairs
