"""One scan's results and truth from disk, compared."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calciflow.benchmark.causes import bone_fragments, cause_of
from calciflow.benchmark.compare import (
    compare_deposits,
    distances,
    false_positives,
    label_points,
    match,
    set_aside,
    tissue_dice,
    truth_as_lesions,
)
from calciflow.files import read_json
from calciflow.forms import Form
from calciflow.images import Volume, read_volume
from calciflow.labels import TISSUES, region_label
from calciflow.mapping import load_mapping, move
from calciflow.phantom.movement import place_after
from calciflow.phantom.physics import calcium_factor
from calciflow.scores import score_lesions
from calciflow.tables import read_table

MG_PER_HU_ML = 0.8
"""Hydroxyapatite a HU and ml at 120 kVp, as the workflow assumes: the mass error is that of measuring, not of this."""


_CHAINS = {
    "arm": ("shoulder", "upper_arm", "elbow", "forearm", "hand", "fingers"),
    "leg": ("thigh", "knee", "lower_leg", "foot", "toes"),
}
LIMB_LABELS = {
    "head": [region_label(region, side) for region in ("head", "neck") for side in ("left", "right")],
    "trunk": [region_label(r, side) for r in ("chest", "abdomen", "pelvis") for side in ("left", "right")],
    **{
        f"{side} {chain}": [region_label(region, side) for region in regions]
        for side in ("left", "right")
        for chain, regions in _CHAINS.items()
    },
}
"""Labels of the regions of each part of the body whose residual is given apart."""


@dataclass(frozen=True)
class Compared:
    """Rows of one scan: its deposits, its false positives, and the scan as a whole."""

    deposits: pd.DataFrame
    false: pd.DataFrame
    scan: dict[str, Any]


def _named_map(stem: Path) -> tuple[Volume, dict[int, str]] | None:
    """A label map of the truth and its names; None where it was not written."""
    path = stem.with_suffix(".nii.gz")
    if not path.is_file():
        return None
    names = read_table(stem.with_suffix(".tsv"))
    return read_volume(path), {int(index): str(name) for index, name in zip(names["index"], names["name"], strict=True)}


def _true_places(
    true: Path, points: NDArray[np.float64], index: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], str | None]:
    """Where CT points lie in the PET, their part in the movement of a limb, and that limb's name."""
    content = read_json(true / "scan.json")
    body, limb = np.array(content["ct_to_pet_ras_mm"]), content.get("limb_motion")
    if not limb:
        return move(body, points), np.zeros(len(points)), None
    weight = read_volume(true / "moved.nii.gz").array[tuple(index.T)] / 100
    return place_after(points, weight, body, np.array(limb["ct_to_pet_ras_mm"])), weight, str(limb["limb"])


def _residuals(
    there: NDArray[np.float64],
    start: NDArray[np.float64],
    found: NDArray[np.float64],
    labels: NDArray[np.uint8],
    weight: NDArray[np.float64],
) -> dict[str, float]:
    """Movement, and what registration left of it (mm): of the whole body, limb by limb, and of the limb that moved."""
    out = {}
    out["motion_mm"], out["motion_p95_mm"] = distances(there, start)
    out["residual_mm"], out["residual_p95_mm"] = distances(there, found)
    for name, wanted in LIMB_LABELS.items():
        here = np.isin(labels, wanted)
        if here.any():
            out[f"residual_{name.replace(' ', '_')}_mm"], _ = distances(there[here], found[here])
    own = weight >= 0.5
    if own.any():
        out["moved_motion_mm"], _ = distances(there[own], start[own])
        out["moved_residual_mm"], _ = distances(there[own], found[own])
    return out


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
    factor = calcium_factor(float(read_json(f"{stem}_ct.json")["KVP"]))
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
    truth["slice_mm"] = true_map.spacing[0]
    structures, traps = (_named_map(true / name) for name in ("structures", "traps"))
    causes = {key: cause_of(points[key], word, true_map, structures, traps) for key, word in at.items()}
    deposits = compare_deposits(truth, lesions, matches)
    counted, aside = set_aside(lesions)
    false = false_positives(counted, matches, points, at, causes)

    scan: dict[str, Any] = {"participant_id": person, "n_deposits": len(truth), "n_lesions": len(lesions)}
    scan["false_positives"], scan["set_aside"] = len(false), len(aside)
    scan["traps"] = ",".join(read_json(true / "scan.json").get("traps", []))
    regions = read_volume(true / "regions.nii.gz").array
    if read_json(true / "scan.json").get("kind") != "implants":  # a real body's tissues are not known
        scan |= {f"dice_{word}": value for word, value in tissue_dice(tissues, found_tissues, regions).items()}
    bone = TISSUES["bone"]
    hu = read_volume(f"{stem}_ct.nii.gz").array
    scan["bone_fragments"] = bone_fragments(tissues == bone, found_tissues == bone, hu, true_map.spacing)
    inside = np.argwhere(tissues[::4, ::4, ::4] > 0) * 4
    body = true_map.world(inside)
    field = Path(f"{stem}_from-pet_to-ct_xfm.nii.gz")
    mapping = load_mapping(f"{stem}_from-pet_to-ct_xfm.tfm", field if field.is_file() else None)
    there, weight, moved = _true_places(true, body, inside)
    found = mapping.ct_to_pet(body)
    scan |= _residuals(there, body, found, regions[tuple(inside.T)], weight)
    scan["moved_limb"] = moved

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
