"""Stage ``compartments``: each lesion's tissue with a probability and the reason, and its region."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from calciflow.files import read_json
from calciflow.images import Volume, read_volume
from calciflow.labels import region_label
from calciflow.measure.boxes import grow
from calciflow.placement.compartment import FLAT_CHANCE, hand_joint_mm, probabilities, sentence, survey
from calciflow.placement.marks import Placed, marks
from calciflow.placement.misregistered import mark_misregistered
from calciflow.placement.region import place
from calciflow.tables import read_table, write_table

MARGIN_MM = 20.0
"""Surroundings that are looked at: the layers beside a lesion."""

FINGERS_MM = 3.0
"""Fingers are looked up every that many mm: how far a lesion lies from them need not be known better."""

TEXTS = ("concordance", "compartment", "pet_status", "morphology", "structure", "flags", "reason")

CORE_SHARE = 0.6
"""Uptake is drawn wider than it is by PET's blur: that share of a focus' radius is taken as its core."""

PROBABILITY_COLUMNS = (
    "p_skin",
    "p_subcutaneous",
    "p_fascia",
    "p_muscle",
    "p_periarticular",
    "p_other",
)


def place_lesions(
    table: pd.DataFrame,
    labels: NDArray[np.uint16],
    ct: Volume,
    tissues: NDArray[np.uint8],
    regions: NDArray[np.uint8],
    anatomy: Mapping[str, Any],
    *,
    shell_mm: float,
    capsule_mm: float,
    midline_mm: float,
) -> list[dict[str, Any]]:
    """Fill in compartment, region, side, reason and marks.

    Parameters
    ----------
    table
        Candidates, one row a lesion.
    labels
        Label map of the lesions on the CT's grid.
    tissues, regions
        Tissue and region labels on that grid.
    shell_mm
        Thickness of the shell around a lesion whose tissue decides.
    capsule_mm
        A lesion that near to a joint's capsule, and deep to fat, is periarticular.
    midline_mm
        Half width of the midline in axial regions.

    Returns
    -------
    list of dict
        The rows of ``lesions.tsv``.
    """
    rows: list[dict[str, Any]] = [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    if not rows:
        return []
    boxes = ndimage.find_objects(labels)
    hands = _Hands(regions, ct, anatomy.get("joints") or [])
    placed = []
    for row in rows:
        number = int(row["lesion_id"])
        if number > len(boxes) or boxes[number - 1] is None:
            raise ValueError(f"lesion {number} of the table is not in the label map")
        box = grow(boxes[number - 1], MARGIN_MM, ct.spacing, ct.array.shape)
        own = labels[box] == number
        calcified = str(row["concordance"]).startswith("CT+")
        mask = _part(own, ct.crop(box), row, calcified)
        crop = ct.crop(box)
        points = crop.world(np.argwhere(mask))
        centre = np.array([row["x_mm"], row["y_mm"], row["z_mm"]], float)
        region, side = place(regions[box][mask], centre, anatomy.get("midline"), midline_mm)
        formed = row.get("morphology") in ("sheet", "reticular")
        sheet = 1.0 if formed else FLAT_CHANCE if _flat(row) else 0.0
        around = survey(
            mask,
            tissues[box],
            ct.spacing,
            shell_mm,
            points,
            anatomy.get("joints") or [],
            own_counts=not calcified,
            weights=_calcium(crop, mask, row) if calcified else None,
        )
        apart = hands.joint_mm(points, str(side)) if region == "hand" else 0.0
        chances = probabilities(around, sheet=sheet, region=region, capsule_mm=capsule_mm, hand_mm=apart)
        compartment = max(chances, key=lambda name: chances[name])
        depth = row.get("distance_to_skin_mm")
        row.update(
            compartment=compartment,
            compartment_probability=round(chances[compartment], 4),
            region=region,
            side=side,
            reason=sentence(
                compartment,
                chances,
                around,
                shell_mm=shell_mm,
                depth_mm=None if depth is None or pd.isna(depth) else float(depth),
                sheet=sheet > 0,
                region=region,
            ),
        )
        row.update({f"p_{name}": round(value, 4) for name, value in chances.items()})
        placed.append(Placed(row, mask, crop, tissues[box], around))
    marks(placed, anatomy)
    return rows


class _Hands:
    """Wrists and fingers of a scan, looked up once a side."""

    def __init__(self, regions: NDArray[np.uint8], ct: Volume, joints: Sequence[Mapping[str, Any]]) -> None:
        self.regions, self.ct = regions, ct
        self.wrists = {
            str(one["side"]): np.array([one["x_mm"], one["y_mm"], one["z_mm"]], float)
            for one in joints
            if one["name"] == "wrist"
        }
        self.fingers: dict[str, NDArray[np.float64]] = {}

    def joint_mm(self, points: NDArray[np.float64], side: str) -> float:
        if side not in self.fingers:
            step = [max(1, round(FINGERS_MM / size)) for size in self.ct.spacing]
            thin = self.regions[:: step[0], :: step[1], :: step[2]]
            found = (
                np.argwhere(thin == region_label("fingers", side)) if side in ("left", "right") else np.empty((0, 3))
            )
            self.fingers[side] = self.ct.world(found * np.array(step))
        return hand_joint_mm(points, self.wrists.get(side), self.fingers[side])


FLAT_MM = 6.0
FLAT_ASPECT = 1.6


def _flat(row: Mapping[str, Any]) -> bool:
    """Whether a small deposit is a thin disc: too few voxels for a morphology, but wider than thick."""
    sizes = [row.get(name) for name in ("width_mm", "depth_mm")]
    if any(size is None or pd.isna(size) for size in sizes) or not str(row["concordance"]).startswith("CT+"):
        return False
    width, depth = float(sizes[0]), float(sizes[1])  # type: ignore[arg-type]
    return depth <= FLAT_MM and width >= FLAT_ASPECT * depth


def _calcium(crop: Volume, mask: NDArray[np.bool_], row: Mapping[str, Any]) -> NDArray[np.float64]:
    """HU over the background of a deposit's voxels: where its middle lies to a fraction of a voxel."""
    background = row.get("ct_background_hu")
    floor = 0.0 if background is None or pd.isna(background) else float(background)
    return np.asarray(crop.array[mask], np.float64) - floor


def _part(own: NDArray[np.bool_], crop: Volume, row: Mapping[str, Any], calcified: bool) -> NDArray[np.bool_]:
    """The part of a lesion that places it: the calcified one, or the core of the uptake."""
    if calcified:
        threshold = row.get("ct_threshold_hu")
        dense = own if threshold is None or pd.isna(threshold) else own & (crop.array >= float(threshold))
        return dense if dense.any() else own
    centre = np.array([[row["x_mm"], row["y_mm"], row["z_mm"]]], float)
    places = np.argwhere(own)
    apart = np.linalg.norm(crop.world(places) - centre, axis=1)
    radius = (3.0 * len(places) * 1000.0 * crop.voxel_ml / (4.0 * np.pi)) ** (1.0 / 3.0)
    near = apart <= max(CORE_SHARE * radius, float(apart.min()) + 1e-6)
    core = np.zeros(own.shape, bool)
    core[tuple(places[near].T)] = True
    return core


def columns_of(table: pd.DataFrame) -> list[str]:
    """Columns of the result: those of the candidates, then the probabilities."""
    names = [str(name) for name in table.columns]
    return names + [name for name in PROBABILITY_COLUMNS if name not in names]


def classify_scan(
    *,
    ct: str,
    tissues: str,
    regions: str,
    anatomy: str,
    lesions: str,
    candidates: str,
    xfm_json: str,
    table: str,
    shell_mm: float = 3.0,
    capsule_mm: float = 3.0,
    midline_mm: float = 15.0,
) -> None:
    """Classify the lesions of a scan: reads the stage's inputs, writes ``table``."""
    found = read_table(candidates, text_columns=TEXTS)
    rows: list[dict[str, Any]] = []
    if len(found):
        rows = place_lesions(
            found,
            read_volume(lesions).array,
            read_volume(ct),
            read_volume(tissues).array,
            read_volume(regions).array,
            read_json(anatomy),
            shell_mm=shell_mm,
            capsule_mm=capsule_mm,
            midline_mm=midline_mm,
        )
        mark_misregistered(rows, read_json(xfm_json))
    write_table(table, rows, columns_of(found))
    for row in rows:
        print(
            f"lesion {row['lesion_id']}: {row['concordance']} {row['compartment']}, "
            f"{row['side']} {row['region']}: {row['reason']}"
        )
