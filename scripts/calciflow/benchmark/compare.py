"""Results against truth: which deposit was found by which lesion, in mm; pure functions on arrays and tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from calciflow.labels import COMPARTMENTS, TISSUES, region_label
from calciflow.lesion_table import flag_words
from calciflow.summary import SET_ASIDE

Points = NDArray[np.float64]

TOLERANCE_MM = 4.0
"""A lesion finds a deposit if the nearest points of both lie within this: about a PET voxel. Ours."""

SMALL_PARTS = ("hand", "fingers", "foot", "toes")

DOUBTS = {
    "arterial wall?", "arthritis?", "bone spill", "bone?", "contamination?", "enthesis?", "injection scar?",
    "injection site?", "misregistered", "on the skin?",
}  # fmt: skip
"""Flags that say a lesion may be none: a reader looks at these first."""

BANDS_ML = (0.0, 0.1, 0.3, 1.0, np.inf)
"""Borders of the size bands, ml."""


@dataclass(frozen=True)
class Matches:
    """Pairs of deposit label and lesion label that lie within the tolerance."""

    pairs: tuple[tuple[int, int], ...]

    def lesions_of(self, deposit: int) -> list[int]:
        """Lesions that touch a deposit."""
        return [lesion for one, lesion in self.pairs if one == deposit]

    def deposits_of(self, lesion: int) -> list[int]:
        """Deposits that a lesion touches."""
        return [deposit for deposit, one in self.pairs if one == lesion]


def label_points(labels: NDArray[np.integer], affine: NDArray[np.float64]) -> dict[int, Points]:
    """RAS mm (n, 3) of the voxels of each label of a map (z, y, x)."""
    index = np.argwhere(labels > 0)
    if not len(index):
        return {}
    world = index[:, ::-1] @ affine[:3, :3].T + affine[:3, 3]
    values = labels[tuple(index.T)]
    return {int(value): world[values == value] for value in np.unique(values)}


def match(deposits: Mapping[int, Points], lesions: Mapping[int, Points], tolerance_mm: float = TOLERANCE_MM) -> Matches:
    """All pairs whose nearest points lie within the tolerance (mm)."""
    trees = {label: cKDTree(points) for label, points in lesions.items()}
    pairs = []
    for deposit, points in deposits.items():
        for lesion, tree in trees.items():
            gap, _ = tree.query(points, distance_upper_bound=tolerance_mm + 1e-6)
            if np.isfinite(gap).any():
                pairs.append((deposit, lesion))
    return Matches(tuple(pairs))


def visible_class(ct_visible: bool, pet_visible: bool) -> str | None:
    """The class that physics leaves; None for a deposit that it hides altogether."""
    if ct_visible:
        return "CT+PET+" if pet_visible else "CT+PET-"
    return "CT-PET+" if pet_visible else None


def size_band(volume_ml: float) -> str:
    """Size band in words."""
    place = int(np.searchsorted(BANDS_ML, volume_ml, side="right")) - 1
    low, high = BANDS_ML[place], BANDS_ML[place + 1]
    if low == 0:
        return f"under {high:g} ml"
    return f"{low:g} ml and more" if np.isinf(high) else f"{low:g} to {high:g} ml"


def compare_deposits(truth: pd.DataFrame, lesions: pd.DataFrame, matches: Matches) -> pd.DataFrame:
    """Each deposit with what was found of it.

    Measures are given only where one lesion and one deposit belong to each other alone: what was merged or split has no
    lesion of its own to be compared with.

    Parameters
    ----------
    truth
        ``DEPOSIT_COLUMNS``, and ``mass_mg``.
    lesions
        ``LESION_COLUMNS``.
    """
    by_id = {int(row["lesion_id"]): row for row in lesions.to_dict("records")}
    rows = []
    for row in truth.to_dict("records"):
        label = int(row["label"])
        found = [lesion for lesion in matches.lesions_of(label) if lesion in by_id]
        shared = any(len(matches.deposits_of(lesion)) > 1 for lesion in found)
        out = {
            **row,
            "visible_class": visible_class(bool(row["ct_visible"]), bool(row["pet_visible"])),
            "size_band": size_band(float(row["volume_ml"])),
            "detected": bool(found),
            "pairing": "missed" if not found else "merged" if shared else "split" if len(found) > 1 else "single",
        }
        if out["pairing"] == "single":
            lesion = by_id[found[0]]
            for name in ("concordance", "compartment", "region", "side", "pet_status"):
                out[f"found_{name}"] = lesion[name]
            out["found_doubted"] = bool(flag_words(lesion["flags"]) & DOUBTS)
            out["brier"] = brier(lesion, str(row["compartment"]))
            for name in ("ct_volume_ml", "hydroxyapatite_mg", "hu_max", "suv_max", "suv_peak"):
                out[f"found_{name}"] = lesion[name]
        rows.append(out)
    return pd.DataFrame(rows)


def brier(lesion: Mapping[Any, Any], true: str) -> float | None:
    """Brier score of a lesion's compartment probabilities (0 is faultless, 2 the worst); None where they are not given.

    The sum over all classes of (p - truth)^2: Brier 1950, doi 10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.
    """
    given = {name: lesion.get(f"p_{name}") for name in COMPARTMENTS}
    if any(value is None or pd.isna(value) for value in given.values()):
        return None
    return float(sum((float(value or 0) - (name == true)) ** 2 for name, value in given.items()))


def false_positives(
    lesions: pd.DataFrame,
    matches: Matches,
    points: Mapping[int, Points],
    tissue_at: Mapping[int, str],
    cause_at: Mapping[int, str] | None = None,
) -> pd.DataFrame:
    """Lesions without a deposit; ``true_tissue`` is what most of each really is, ``cause`` why it was found."""
    causes = cause_at or {}
    rows = [
        {
            **row,
            "true_tissue": tissue_at.get(int(row["lesion_id"]), "outside"),
            "cause": causes.get(int(row["lesion_id"]), "unknown"),
            "doubted": bool(flag_words(row["flags"]) & DOUBTS),
        }
        for row in lesions.to_dict("records")
        if int(row["lesion_id"]) in points and not matches.deposits_of(int(row["lesion_id"]))
    ]
    return pd.DataFrame(rows, columns=[*lesions.columns, "true_tissue", "cause", "doubted"])


def set_aside(lesions: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Lesions that count in burden and scores, and those that are listed but set aside by a flag (``SET_ASIDE``)."""
    aside = lesions["flags"].map(lambda cell: bool(flag_words(cell) & set(SET_ASIDE))).astype(bool)
    return lesions[~aside], lesions[aside]


def dice(truth: NDArray[np.bool_], found: NDArray[np.bool_]) -> float:
    """Dice coefficient; NaN if both are empty."""
    total = int(truth.sum()) + int(found.sum())
    return float("nan") if total == 0 else 2 * int((truth & found).sum()) / total


def tissue_dice(
    truth: NDArray[np.uint8], found: NDArray[np.uint8], regions: NDArray[np.uint8] | None = None
) -> dict[str, float]:
    """Dice of the body as a whole, bone, muscle and subcutaneous fat, from label maps on one grid.

    With the truth's ``regions`` also that of bone in hands and feet, and elsewhere.
    """
    out = {"body": dice(truth > 0, found > 0)}
    for word in ("bone", "muscle", "subcutaneous_fat"):
        out[word] = dice(truth == TISSUES[word], found == TISSUES[word])
    if regions is not None:
        small = np.isin(regions, [region_label(r, s) for r in SMALL_PARTS for s in ("left", "right")])
        one, other = truth == TISSUES["bone"], found == TISSUES["bone"]
        out["bone_hands_feet"] = dice(one & small, other & small)
        out["bone_elsewhere"] = dice(one & ~small, other & ~small)
    return out


def distances(truth: Points, found: Points) -> tuple[float, float]:
    """Mean and 95th percentile of the distances (mm) between where points are and where they were taken to be."""
    away = np.linalg.norm(truth - found, axis=1)
    return float(away.mean()), float(np.percentile(away, 95))


def truth_as_lesions(truth: pd.DataFrame) -> pd.DataFrame:
    """The visible deposits as a lesion table, for the scoring form: what a faultless reader would have listed."""
    rows = []
    for row in truth.to_dict("records"):
        seen = visible_class(bool(row["ct_visible"]), bool(row["pet_visible"]))
        if seen is None:
            continue
        rows.append(
            {
                "concordance": seen,
                "compartment": row["compartment"],
                "region": row["region"],
                "side": row["side"],
                "ct_volume_ml": row["volume_ml"] if seen.startswith("CT+") else None,
                "pet_volume_ml": row["volume_ml"] if seen.endswith("PET+") else None,
                "flags": None,
            }
        )
    columns = ["concordance", "compartment", "region", "side", "ct_volume_ml", "pet_volume_ml", "flags"]
    return pd.DataFrame(rows, columns=columns)
