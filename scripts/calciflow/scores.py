"""Stage ``scores``: the scoring form applied to each region, for CT alone, PET alone and PET/CT."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from calciflow.files import read_json
from calciflow.forms import Form, Item, Row, halves, holds, load_form
from calciflow.labels import SCORE_COLUMNS
from calciflow.lesion_table import flag_words, has_part, lesion_volume
from calciflow.tables import read_table, write_table

_SEES = {"ct": ("ct",), "pet": ("pet",), "petct": ("ct", "pet")}


def counted(lesions: pd.DataFrame, form: Form) -> pd.DataFrame:
    """Lesions that the form counts at all: compartment, class, flags, smallest volume."""
    unwanted = {flag.lower().replace("_", " ") for flag in form.exclude_flags}
    keep = lesions["compartment"].isin(form.compartments) & lesions["concordance"].isin(form.concordances)
    keep &= np.array([not (flag_words(flags) & unwanted) for flags in lesions["flags"]], dtype=bool)
    if form.min_volume_ml > 0:
        keep &= lesion_volume(lesions, "petct", "larger").fillna(0) >= form.min_volume_ml
    return lesions[keep]


def measured(lesions: pd.DataFrame, measure: str, modality: str, volume: str) -> float:
    """Value of one measure over a region's lesions; 0 where there are none."""
    if lesions.empty:  # as most regions are: the rest is slow
        return 0.0
    if measure == "presence":
        return 1.0
    if measure == "number":
        return float(len(lesions))
    if measure == "volume_ml":
        return float(lesion_volume(lesions, modality, volume).sum())
    if measure in ("hydroxyapatite_mg", "hu_max"):
        lesions = lesions[has_part(lesions, "ct")]
    else:
        lesions = lesions[has_part(lesions, "pet")]
    values = lesions[measure].astype(float).dropna()
    if values.empty:
        return 0.0
    return float(values.sum() if measure in ("hydroxyapatite_mg", "tlf") else values.max())


def points(item: Item, value: float) -> float:
    """Points for a value: those of the last grade it reaches; the value itself where the item has no grades."""
    if not item.grades:
        return value
    reached = [grade for start, grade in item.grades if value >= start]
    return reached[-1] if reached else 0.0


def imaged(row: Row, modality: str, fractions: Mapping[str, Mapping[str, float]], least: float) -> bool:
    """Whether every region of the row was imaged to at least the fraction ``least``, by CT, by PET, or by both."""
    for name in halves(row):
        seen = fractions.get(name) or {}
        for machine in _SEES[modality]:
            fraction = seen.get(machine)
            if fraction is None or not fraction >= least or fraction == 0:
                return False
    return True


def score_lesions(
    lesions: pd.DataFrame, fractions: Mapping[str, Mapping[str, float]], form: Form
) -> list[dict[str, Any]]:
    """Apply a form to one scan's lesions.

    Parameters
    ----------
    lesions
        Columns of ``LESION_COLUMNS``, one row a lesion; may be empty.
    fractions
        ``imaged_fraction`` of the scan: ``{"left hand": {"ct": 0..1, "pet": 0..1}}``. A region that is not named was
        not imaged.
    form
        The scoring form.

    Returns
    -------
    Rows with modality, region, side, score; the last of each modality is the region ``total`` (the sum over the
    regions that were imaged). The score is None where the region was not imaged: never 0.
    """
    kept = counted(lesions, form)
    rows: list[dict[str, Any]] = []
    for modality in form.modalities:
        shown = kept[has_part(kept, modality)]
        places = list(zip(shown["region"], shown["side"], strict=True))
        scores: list[float] = []
        for row in form.rows:
            score: float | None = None
            if imaged(row, modality, fractions, form.min_imaged_fraction):
                inside = [holds(row, region, side) for region, side in places]
                here = shown[np.array(inside, dtype=bool)]
                grades = [
                    points(item, measured(here, item.measure, modality, form.volume))
                    for item in form.items
                    if modality in item.modalities
                ]
                score = (sum(grades) if form.combine == "sum" else max(grades)) if grades else None
            if score is not None:
                scores.append(score)
            rows.append({"modality": modality, "region": row.region, "side": row.side, "score": score})
        total = sum(scores) if scores else None
        rows.append({"modality": modality, "region": "total", "side": None, "score": total})
    return rows


def score_scan(*, table: str, findings: str, scores: str, scan: Mapping[str, Any], form: str) -> None:
    """Write ``P_scores.tsv`` of one scan.

    Parameters
    ----------
    table
        ``P_lesions.tsv``.
    findings
        JSON with ``imaged_fraction``.
    scores
        The table to write.
    scan
        ``participant_id`` and ``session_id``.
    form
        Path of the form's yaml.
    """
    sheet = load_form(form)
    lesions = read_table(table, text_columns=("flags", "reason"))
    rows = score_lesions(lesions, read_json(findings).get("imaged_fraction", {}), sheet)
    who = {"participant_id": scan["participant_id"], "session_id": scan["session_id"]}
    write_table(scores, [{**who, **row} for row in rows], SCORE_COLUMNS)
    blind = sum(row["score"] is None for row in rows if row["modality"] == sheet.modalities[-1])
    print(f"form {sheet.name}: {len(lesions)} lesions in the table, {blind} of {len(sheet.rows)} regions not imaged")
    for row in rows:
        if row["region"] == "total":
            print(f"total {row['modality']}: {'n/a' if row['score'] is None else format(row['score'], 'g')}")
