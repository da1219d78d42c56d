"""One scan's results and truth from disk, compared."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from calciflow.benchmark.compare import (
    compare_deposits,
    distances,
    false_positives,
    label_points,
    match,
    tissue_dice,
    truth_as_lesions,
)
from calciflow.benchmark.split import draw_scan
from calciflow.files import read_json
from calciflow.forms import Form
from calciflow.images import read_volume
from calciflow.labels import TISSUES
from calciflow.mapping import load_mapping, move
from calciflow.phantom.physics import calcium_factor
from calciflow.scores import score_lesions
from calciflow.tables import read_table

MG_PER_HU_ML = 0.8
"""Hydroxyapatite a HU and ml at 120 kVp, as the workflow assumes: the mass error is that of measuring, not of this."""


@dataclass(frozen=True)
class Compared:
    """Rows of one scan: its deposits, its false positives, and the scan as a whole."""

    deposits: pd.DataFrame
    false: pd.DataFrame
    scan: dict[str, Any]


def compare_scan(study: Path, person: str, session: str, form: Form) -> Compared:
    """Compare one scan of a benchmark study.

    Raises
    ------
    FileNotFoundError
        If the scan was not finished.
    ValueError
        If results and truth do not lie on one grid.
    """
    folder, true = study / "results" / person / session, study / "truth" / person
    stem = f"{folder}/{person}_{session}"
    truth = read_table(true / "deposits.tsv", text_columns=("ct_visible", "pet_visible"))
    for name in ("ct_visible", "pet_visible"):
        truth[name] = truth[name].astype(str).str.lower() == "true"
    about = read_json(true / "scan.json")
    implants = about.get("kind") == "implants"
    kvp = about["kvp"] if implants else draw_scan(int(person.removeprefix("sub-")))[0].ct.kvp
    factor = calcium_factor(kvp)
    truth["mass_mg"] = MG_PER_HU_ML * (truth["hu"] - truth["hu_background"]) / factor * truth["volume_ml"]
    lesions = read_table(f"{stem}_lesions.tsv", text_columns=("flags", "reason"))

    true_map = read_volume(true / "deposits.nii.gz")
    found_map = read_volume(f"{stem}_space-ct_desc-lesions_dseg.nii.gz")
    if true_map.array.shape != found_map.array.shape or not np.allclose(true_map.affine, found_map.affine, atol=0.05):
        raise ValueError(f"{person}: results and truth lie on different grids")
    points = label_points(found_map.array, found_map.affine)
    points = {int(key): points[int(key)] for key in lesions["lesion_id"] if int(key) in points}
    matches = match(label_points(true_map.array, true_map.affine), points)

    tissues = read_volume(true / "tissues.nii.gz").array
    names = {value: word for word, value in TISSUES.items()} | {0: "outside"}
    at = {
        key: names[int(np.bincount(tissues[found_map.array == key]).argmax())]
        for key in points
        if not matches.deposits_of(key)
    }
    found_tissues = read_volume(f"{stem}_space-ct_desc-tissues_dseg.nii.gz").array
    truth["taken_for"] = [
        names[int(np.bincount(found_tissues[true_map.array == label]).argmax())] for label in truth["label"]
    ]
    deposits = compare_deposits(truth, lesions, matches)
    false = false_positives(lesions, matches, points, at)

    scan: dict[str, Any] = {"participant_id": person, "n_deposits": len(truth), "n_lesions": len(lesions)}
    scan["false_positives"] = len(false)
    # Of a real body neither the tissues are known nor how it moved, only the implants.
    overlap = tissue_dice(tissues, found_tissues)
    scan |= {f"dice_{word}": float("nan") if implants else value for word, value in overlap.items()}
    inside = np.argwhere(tissues[::4, ::4, ::4] > 0) * 4
    body = true_map.world(inside)
    # Implants lie in the same place in both images.
    matrix = np.eye(4) if implants else np.array(about["ct_to_pet_ras_mm"])
    field = Path(f"{stem}_from-pet_to-ct_xfm.nii.gz")
    mapping = load_mapping(f"{stem}_from-pet_to-ct_xfm.tfm", field if field.is_file() else None)
    there = move(matrix, body)
    scan["motion_mm"], scan["motion_p95_mm"] = distances(there, body)
    scan["residual_mm"], scan["residual_p95_mm"] = distances(there, mapping.ct_to_pet(body))

    imaged = read_json(f"{stem}_desc-candidates_lesions.json").get("imaged_fraction", {})
    perfect = {
        row["modality"]: row["score"]
        for row in score_lesions(truth_as_lesions(truth), imaged, form)
        if row["region"] == "total"
    }
    scores = read_table(f"{stem}_scores.tsv")
    totals = scores[scores["region"] == "total"].set_index("modality")["score"].astype(float)
    for name, score in perfect.items():
        scan[f"score_true_{name}"], scan[f"score_{name}"] = score, float(totals[name])
    for table in (deposits, false):
        table["participant_id"] = person
    return Compared(deposits, false, scan)
