"""One row a lesion, and its place in the label map."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calciflow.deposits.ct import Deposit
from calciflow.deposits.identity import lesion_uid
from calciflow.deposits.match import Part
from calciflow.deposits.pet import Focus
from calciflow.deposits.scene import PetScene
from calciflow.deposits.status import PetEvidence
from calciflow.images import Volume
from calciflow.labels import LESION_COLUMNS
from calciflow.mapping import Mapping
from calciflow.measure.boxes import Box, box_of
from calciflow.measure.distance import Distances
from calciflow.measure.shape import measure_shape
from calciflow.measure.uptake import measure_uptake

EXTRA_COLUMNS = (
    "hu_sd ct_background_hu ct_plateau_hu ct_threshold_hu ct_significance suv_sd suv_peak_percist suv_peak_ibsi "
    "suv_peak_ibsi_global suv_background suv_ratio suv_footprint pet_excess pet_excess_error pet_recovery "
    "pet_significance length_mm width_mm depth_mm thickness_mm"
).split()
COLUMNS = (*LESION_COLUMNS, *EXTRA_COLUMNS)

PEAK_ML = 1.0
"""Below, a 1 cm3 sphere is larger than the lesion and SUVpeak means little."""

UPTAKE_MARGIN_MM = 10.0


@dataclass(frozen=True)
class Facts:
    """What the rows are made with: images, maps, and the constants of the scan."""

    ct: Volume
    suv: Volume
    tissues: NDArray[np.uint8]
    regions: NDArray[np.uint8]
    bone: NDArray[np.bool_]
    mapping: Mapping
    scene: PetScene | None
    hydroxyapatite: float
    suv_peak: str
    scan: dict[str, Any]


@dataclass(frozen=True)
class Lesion:
    """A lesion's parts: a CT deposit, PET voxels on the scene's grid, or both."""

    deposit: int | None
    voxels: NDArray[np.int64] | None
    foci: tuple[int, ...]
    centre: NDArray[np.float64]
    ct_mask: NDArray[np.bool_] | None
    ct_box: Box | None
    pet_mask: NDArray[np.bool_] | None
    pet_box: Box | None


def lesion_rows(
    deposits: list[Deposit],
    evidence: list[PetEvidence],
    foci: list[Focus],
    parts: list[Part],
    facts: Facts,
    dropped: Counter[str],
) -> tuple[list[dict[str, Any]], NDArray[np.uint16]]:
    """Rows (dicts of ``COLUMNS``) from head to toe, and the label map on the CT's grid.

    A focus that is left without any soft tissue of its own on the CT is no lesion; it is counted in ``dropped``.
    """
    lesions = []
    for index, deposit in enumerate(deposits):
        own = [part for part in parts if part.deposit == index]
        lesions.append(_lesion(index, deposit, own, facts))
    lesions += [_lesion(None, None, [part], facts) for part in parts if part.deposit is None]
    lesions.sort(key=lambda lesion: (-lesion.centre[2], lesion.centre[0], lesion.centre[1]))
    labels = _painted(lesions, facts.ct.array.shape)
    visible = [lesion for number, lesion in enumerate(lesions, 1) if _shows(lesion, number, labels)]
    if len(visible) < len(lesions):
        dropped["in bone"] += len(lesions) - len(visible)
        lesions = visible
        labels = _painted(lesions, facts.ct.array.shape)
    to_bone = Distances(facts.bone, facts.ct.spacing)
    to_air = Distances(facts.tissues == 0, facts.ct.spacing)
    rows = []
    for number, lesion in enumerate(lesions, 1):
        flags: list[str] = []
        row: dict[str, Any] = dict.fromkeys(COLUMNS)
        row.update({key: facts.scan.get(key) for key in ("participant_id", "session_id", "acquisition")})
        row["lesion_id"] = number
        row["x_mm"], row["y_mm"], row["z_mm"] = (float(v) for v in lesion.centre)
        uid = ("", "ct", lesion.centre)
        if lesion.deposit is not None:
            deposit, seen = deposits[lesion.deposit], evidence[lesion.deposit]
            row.update(_ct_cells(deposit, facts))
            row.update(_evidence_cells(seen))
            row["concordance"] = "CT+PET+" if lesion.voxels is not None else "CT+PET-"
            flags += deposit.flags + seen.flags
            uid = ("", "ct", facts.ct.world(np.array([deposit.peak]))[0])
        else:
            row["concordance"], row["pet_status"] = "CT-PET+", "positive"
        if lesion.voxels is not None and facts.scene is not None:
            row.update(_pet_cells(lesion.voxels, facts.scene, facts.suv_peak))
            for index in lesion.foci:
                focus = foci[index]
                row["pet_significance"] = max(focus.significance, row["pet_significance"] or 0.0)
                flags += focus.flags
                if lesion.deposit is None:
                    row["bone_spill_fraction"] = focus.bone_fraction
            if row["pet_volume_ml"] < PEAK_ML:
                flags.append("suv_peak under 1 ml")
            if lesion.deposit is None:
                values = facts.scene.suv.array[tuple(lesion.voxels.T)]
                top = facts.scene.suv.world(lesion.voxels[[int(np.argmax(values))]])
                # In the PET's own space: another registration leaves the lesion its name.
                uid = ("", "pet", top[0])
        mask, box = (lesion.ct_mask, lesion.ct_box) if lesion.ct_mask is not None else (lesion.pet_mask, lesion.pet_box)
        if mask is not None and box is not None and mask.any():
            row["distance_to_bone_mm"] = to_bone.nearest(mask, box)
            row["distance_to_skin_mm"] = to_air.nearest(mask, box)
            shape = measure_shape(mask, facts.ct.spacing)
            row["length_mm"], row["width_mm"], row["depth_mm"] = shape.length_mm, shape.width_mm, shape.depth_mm
            row["thickness_mm"] = shape.thickness_mm
            row["morphology"] = shape.morphology if lesion.deposit is not None else None
        names = [facts.scan.get(key) for key in ("participant_id", "session_id", "acquisition")]
        point = (float(uid[2][0]), float(uid[2][1]), float(uid[2][2]))
        row["lesion_uid"] = lesion_uid("_".join(str(name) for name in names if name), uid[1], point)
        row["flags"] = ";".join(sorted(set(flags))) or None
        rows.append(row)
    return rows, labels


def _painted(lesions: list[Lesion], shape: tuple[int, ...]) -> NDArray[np.uint16]:
    """Label map: the PET parts first, the CT parts, which are sharper, over them."""
    labels = np.zeros(shape, np.uint16)
    for number, lesion in enumerate(lesions, 1):
        if lesion.pet_mask is not None and lesion.pet_box is not None:
            crop = labels[lesion.pet_box]
            crop[lesion.pet_mask & (crop == 0)] = number
    for number, lesion in enumerate(lesions, 1):
        if lesion.ct_mask is not None and lesion.ct_box is not None:
            labels[lesion.ct_box][lesion.ct_mask] = number
    return labels


def _shows(lesion: Lesion, number: int, labels: NDArray[np.uint16]) -> bool:
    box = lesion.ct_box if lesion.ct_box is not None else lesion.pet_box
    return box is not None and bool((labels[box] == number).any())


def _lesion(index: int | None, deposit: Deposit | None, own: list[Part], facts: Facts) -> Lesion:
    voxels = np.concatenate([part.voxels for part in own]) if own else None
    foci = tuple(sorted({part.focus for part in own if part.focus >= 0}))
    pet_mask, pet_box = (None, None)
    if voxels is not None and facts.scene is not None:
        pet_mask, pet_box = on_ct(voxels, facts.scene, facts)
    if deposit is not None:
        mask, box = deposit.mask, deposit.box
        centre = facts.ct.world(deposit.voxels).mean(axis=0)
    else:
        mask, box = None, None
        assert voxels is not None
        assert facts.scene is not None
        centre = facts.mapping.pet_to_ct(_weighted_centre(voxels, facts.scene))[0]
    return Lesion(index, voxels, foci, centre, mask, box, pet_mask, pet_box)


def _weighted_centre(voxels: NDArray[np.int64], scene: PetScene) -> NDArray[np.float64]:
    """Centre of the uptake above what is explained: blur does not move it."""
    where = tuple(voxels.T)
    weight = np.maximum(scene.excess(where), 1e-3).astype(np.float64)
    return (scene.suv.world(voxels) * weight[:, None]).sum(axis=0, keepdims=True) / weight.sum()


def on_ct(voxels: NDArray[np.int64], scene: PetScene, facts: Facts) -> tuple[NDArray[np.bool_] | None, Box | None]:
    """PET voxels on the CT's grid: where their interpolated mask reaches one half, in the body and not in bone."""
    low, high = voxels.min(axis=0) - 1, voxels.max(axis=0) + 2
    grid = np.zeros(high - low, np.float32)
    grid[tuple((voxels - low).T)] = 1.0
    corners = np.stack(np.meshgrid(*zip(low, high, strict=True), indexing="ij"), axis=-1).reshape(-1, 3)
    place = facts.ct.index(facts.mapping.pet_to_ct(scene.suv.world(corners)))
    shape = np.array(facts.ct.array.shape)
    start = np.clip(np.floor(place.min(axis=0)) - 1, 0, shape).astype(int)
    stop = np.clip(np.ceil(place.max(axis=0)) + 2, 0, shape).astype(int)
    if (stop <= start).any():
        return None, None
    box: Box = (slice(start[0], stop[0]), slice(start[1], stop[1]), slice(start[2], stop[2]))
    index = np.argwhere(np.ones(stop - start, bool)) + start
    back = scene.suv.index(facts.mapping.ct_to_pet(facts.ct.world(index))) - low
    inside = ndimage.map_coordinates(grid, back.T, order=1, mode="constant", cval=0.0) >= 0.5
    mask = inside.reshape(stop - start) & (facts.tissues[box] > 0) & ~facts.bone[box]
    tight = box_of(mask)
    if tight is None:
        return None, None
    where = tuple(slice(a + part.start, a + part.stop) for a, part in zip(start, tight, strict=True))
    return mask[tight], (where[0], where[1], where[2])


def _ct_cells(deposit: Deposit, facts: Facts) -> dict[str, Any]:
    density = deposit.density
    values = facts.ct.array[deposit.box][deposit.mask]
    return {
        "ct_volume_ml": density.volume_ml,
        "hu_max": density.hu_max,
        "hu_mean": density.hu_mean,
        "hu_sd": density.hu_sd,
        "hydroxyapatite_mg": facts.hydroxyapatite * density.mass_hu_ml,
        "agatston": deposit.agatston,
        "ct_background_hu": density.background_hu,
        "ct_plateau_hu": density.plateau_hu,
        "ct_threshold_hu": float(values.min()),
        "ct_significance": deposit.significance,
    }


def _evidence_cells(seen: PetEvidence) -> dict[str, Any]:
    cells: dict[str, Any] = {
        "pet_status": seen.status,
        "suv_detection_limit": seen.limit,
        "bone_spill_fraction": seen.bone_fraction,
    }
    if seen.amplitude is not None:
        amplitude = seen.amplitude
        cells |= {
            "suv_footprint": amplitude.observed,
            "pet_excess": amplitude.excess,
            "pet_excess_error": amplitude.error,
            "pet_recovery": amplitude.recovery,
            "suv_background": amplitude.background,
        }
    return cells


def _pet_cells(voxels: NDArray[np.int64], scene: PetScene, definition: str) -> dict[str, Any]:
    spacing = np.array(scene.suv.spacing)
    margin = np.ceil(UPTAKE_MARGIN_MM / spacing).astype(int)
    low = np.maximum(voxels.min(axis=0) - margin, 0)
    high = np.minimum(voxels.max(axis=0) + margin + 1, scene.suv.array.shape)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    mask = np.zeros(high - low, bool)
    mask[tuple((voxels - low).T)] = True
    uptake = measure_uptake(scene.suv.array[box], mask, scene.suv.spacing)
    background = float(scene.background[tuple(voxels.T)].mean())
    peaks = {"percist": uptake.suv_peak_percist, "ibsi": uptake.suv_peak_ibsi}
    return {
        "pet_volume_ml": uptake.volume_ml,
        "suv_max": uptake.suv_max,
        "suv_mean": uptake.suv_mean,
        "suv_sd": uptake.suv_sd,
        "suv_peak": peaks[definition],
        "suv_peak_percist": uptake.suv_peak_percist,
        "suv_peak_ibsi": uptake.suv_peak_ibsi,
        "suv_peak_ibsi_global": uptake.suv_peak_ibsi_global,
        "tlf": uptake.tlf,
        "suv_background": background,
        "suv_ratio": uptake.suv_max / max(background, 1e-3),
    }
