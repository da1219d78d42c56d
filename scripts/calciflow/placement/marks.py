"""What else a physician acts on: flags and structure of each lesion, after it has been placed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calciflow.anatomy.midline import mirrored
from calciflow.deposits.diffuse import DIFFUSE_ML
from calciflow.images import Volume
from calciflow.placement.compartment import Surroundings

ENTHESIS_REGIONS = ("foot", "knee", "elbow", "pelvis", "shoulder", "thigh")
"""Where spurs at entheses are common: heel, patella, olecranon, trochanter, cuff."""

ENTHESIS_MM = 1.5
ENTHESIS_ML = 1.0
BREACH_MM = 0.5

PRESSURE_REGIONS = ("elbow", "pelvis", "knee", "foot")
PRESSURE_MM = 15.0
"""Bone that near under a superficial deposit presses it against what the body rests on; ours."""

DIFFUSE_RATIO = 6.0
"""Diffuse uptake of myositis is modest: above that ratio to the background it is more likely a mass."""

MIRROR_MM = 30.0
MIRROR_ML = 2.0
"""Smaller patches on both sides may be chance, unless some other muscle of the scan is diffusely hot: inflammation is
of many muscles at once, and symmetric (Bohan and Peter 1975). Then patches of any size count."""

ALIKE = 1.5
"""Mirror images of one disease are alike: small ones differ in their ratio to the background by that factor at most;
ours."""


BESIDE_JOINT_MM = 10.0
"""Synovium reaches beyond the ball that stands for a joint: the shoulder's axillary pouch and the sheath of its biceps,
the knee's suprapatellar pouch begin there; ours."""


@dataclass
class Placed:
    """A lesion with its crop."""

    row: dict[str, Any]
    mask: NDArray[np.bool_]
    crop: Volume
    tissues: NDArray[np.uint8]
    around: Surroundings


def marks(placed: Sequence[Placed], anatomy: Mapping[str, Any]) -> None:
    """Add flags and structure to the rows, in place."""
    for lesion in placed:
        row = lesion.row
        found = _words(row)
        if str(row["concordance"]).startswith("CT+"):
            if _number(row, "distance_to_skin_mm") <= BREACH_MM:
                found.append("skin breach?")
            if _at_enthesis(row):
                row["structure"] = "enthesis?"
                found.append("enthesis?")
            if at_pressure_point(row):
                found.append("pressure point?")
            if fluid_level(lesion):
                found.append("fluid-calcium level")
        elif _diffuse(row):
            found.append("possible myositis")
        elif row.get("compartment") == "periarticular":
            found.append("arthritis?")
        row["flags"] = ";".join(sorted(set(found))) or None
    _mirrored(placed, anatomy.get("midline"))
    _arthritic(placed, anatomy.get("midline"))


def _absent(value: Any) -> bool:
    return value is None or bool(pd.isna(value))


def _number(row: Mapping[str, Any], name: str) -> float:
    value = row.get(name)
    return float("nan") if value is None or pd.isna(value) else float(value)


def _at_enthesis(row: Mapping[str, Any]) -> bool:
    return (
        row.get("region") in ENTHESIS_REGIONS
        and row.get("compartment") in ("periarticular", "muscle")
        and _number(row, "distance_to_bone_mm") <= ENTHESIS_MM
        and _number(row, "ct_volume_ml") <= ENTHESIS_ML
    )


def at_pressure_point(row: Mapping[str, Any]) -> bool:
    """Whether a superficial lesion lies over bone where the body leans on it: elbow, buttock, knee, heel."""
    return (
        row.get("region") in PRESSURE_REGIONS
        and row.get("compartment") in ("skin", "subcutaneous")
        and _number(row, "distance_to_bone_mm") <= PRESSURE_MM
    )


def _diffuse(row: Mapping[str, Any]) -> bool:
    return (
        row.get("compartment") in ("muscle", "fascia")
        and _number(row, "pet_volume_ml") >= DIFFUSE_ML
        and _number(row, "suv_ratio") < DIFFUSE_RATIO
    )


def _mirrored(placed: Sequence[Placed], midline: Mapping[str, Any] | None) -> None:
    """Flag uptake in muscle that has its mirror image on the other side (An et al. 2014)."""
    if not midline:
        return
    inflamed = any(
        "possible myositis" in _words(lesion.row) and _number(lesion.row, "pet_volume_ml") >= DIFFUSE_ML
        for lesion in placed
    )
    muscle = [
        lesion.row
        for lesion in placed
        if lesion.row["concordance"] == "CT-PET+"
        and lesion.row.get("compartment") == "muscle"
        and (inflamed or _number(lesion.row, "pet_volume_ml") >= MIRROR_ML)
    ]
    for row in muscle:
        for other in _images_of(row, muscle, midline):
            if min(_number(one, "pet_volume_ml") for one in (row, other)) >= MIRROR_ML or _alike(row, other):
                _flag(row, "possible myositis")
                break


def _arthritic(placed: Sequence[Placed], midline: Mapping[str, Any] | None) -> None:
    """Flag uptake at bone beside a joint that has its mirror image beside the other side's.

    Arthritis of many joints takes the same joints on both sides (a criterion of rheumatoid arthritis: Arnett et al.
    1988, Arthritis Rheum 31:315), and what it takes up lies in bone and synovium together.
    """
    if not midline:
        return
    beside = [
        lesion.row
        for lesion in placed
        if lesion.row["concordance"] == "CT-PET+"
        and _number(lesion.row, "distance_to_bone_mm") <= ENTHESIS_MM
        and lesion.around.joint_mm <= BESIDE_JOINT_MM
    ]
    for row in beside:
        if any(True for _ in _images_of(row, beside, midline)):
            _flag(row, "arthritis?")


def _images_of(
    row: Mapping[str, Any], others: Sequence[dict[str, Any]], midline: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Lesions of the same region near a lesion's mirror image."""
    centre = _centre(row)
    image = mirrored(centre, midline)
    # Beside the middle plane a lesion's neighbour would pass for its mirror image.
    if np.linalg.norm(image - centre) < MIRROR_MM:
        return
    for other in others:
        near = np.linalg.norm(_centre(other) - image) <= MIRROR_MM
        if other is not row and near and other.get("region") == row.get("region"):
            yield other


def _centre(row: Mapping[str, Any]) -> NDArray[np.float64]:
    return np.array([row["x_mm"], row["y_mm"], row["z_mm"]], float)


def _flag(row: dict[str, Any], word: str) -> None:
    row["flags"] = ";".join(sorted({*_words(row), word}))


def _words(row: Mapping[str, Any]) -> list[str]:
    return [] if _absent(row.get("flags")) else str(row["flags"]).split(";")


def _alike(row: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    low, high = sorted(_number(one, "suv_ratio") for one in (row, other))
    return high < DIFFUSE_RATIO and high <= ALIKE * low


FLUID_ML = 2.0
FLUID_STEP_HU = 80.0
FLUID_SHARE = 0.2


def fluid_level(lesion: Placed) -> bool:
    """Whether calcium has settled under fluid: a flat step in HU across the lesion from back to front.

    In a patient on the back the dense part lies behind. The mean HU of coronal layers must fall by
    ``FLUID_STEP_HU`` at one level that leaves at least a fifth of the lesion on either side, and vary by less than
    half of that within both.
    """
    if _number(lesion.row, "ct_volume_ml") < FLUID_ML:
        return False
    places = np.argwhere(lesion.mask)
    layers = np.unique(places[:, 1])
    if len(layers) < 6:
        return False
    values = lesion.crop.array[lesion.mask].astype(float)
    means = np.array([values[places[:, 1] == layer].mean() for layer in layers])
    counts = np.array([(places[:, 1] == layer).sum() for layer in layers], float)
    for cut in range(2, len(layers) - 2):
        behind, front = counts[:cut].sum() / counts.sum(), counts[cut:].sum() / counts.sum()
        if min(behind, front) < FLUID_SHARE:
            continue
        step = float(np.median(means[1:cut])) - float(np.median(means[cut + 1 : -1]))
        spread = max(float(np.std(means[1:cut])), float(np.std(means[cut + 1 : -1])))
        if step >= FLUID_STEP_HU and spread < 0.25 * step and means[cut - 1] - means[cut + 1] >= 0.6 * step:
            return True
    return False
