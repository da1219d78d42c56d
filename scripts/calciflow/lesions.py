"""Stage ``lesions``: CT deposits on the CT grid, PET foci on the PET grid, matched in millimetres and measured."""

from collections import Counter
from collections.abc import Mapping as Table
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calciflow.deposits import onskin
from calciflow.deposits.arteries import arterial_walls
from calciflow.deposits.ct import CtRules, Deposit, find_deposits
from calciflow.deposits.diffuse import is_patch
from calciflow.deposits.digits import in_phalanx_place, is_digit_bone
from calciflow.deposits.match import Part, match
from calciflow.deposits.metal import Metal, find_metal
from calciflow.deposits.moved import is_moved_bone
from calciflow.deposits.nolesion import Verdict, in_dense, in_urine, judge_deposit, judge_focus, perhaps_urine
from calciflow.deposits.pet import Focus, PetRules, find_foci
from calciflow.deposits.places import at_pelvic_vein, at_spine, at_sternum
from calciflow.deposits.reference import SOFT_TISSUE_HU, ct_blur, kvp_threshold, slice_noise
from calciflow.deposits.rows import COLUMNS, Facts, lesion_rows
from calciflow.deposits.scene import PetScene, build_scene, pet_fraction
from calciflow.deposits.shell import with_scars
from calciflow.deposits.status import PetEvidence, StatusRules, weigh_deposits
from calciflow.deposits.unbound import bone_level, is_injection, perhaps_unbound, region_at_peak
from calciflow.deposits.uncertain import may_be_bone, released_bone
from calciflow.files import read_json, write_json
from calciflow.images import Volume, read_volume, write_volume
from calciflow.labels import REGIONS, TISSUES
from calciflow.mapping import Mapping, load_mapping
from calciflow.measure.boxes import Box, Spacing, box_of, grow, whole
from calciflow.tables import write_table

DEFAULT_FWHM_MM = 6.0
"""Resolution of a reconstructed PET where nothing is known: 5 to 7 mm on present scanners."""

DEFAULT_TOLERANCE_MM = 3.0

AROUND_MM = 10.0
"""Air that is kept around the body: twice what the CT's blur and a voxel of skin that the map missed need."""

HYDROXYAPATITE_MG_PER_HU_ML = 0.8
"""Assumed at 120 kVp without a calibration (ours). How to calibrate: McCollough et al. 2007 (doi
10.1148/radiol.2432050808)."""


@dataclass(frozen=True)
class Rules:
    """The settings of this stage, named as in the config."""

    hu_floor: float = 130.0
    noise_factor: float = 4.0
    min_volume_ml: float = 0.005
    merge_mm: float = 2.0
    hydroxyapatite_mg_per_hu_ml: float | None = None
    pet_threshold: str = "relative"
    suv_absolute: float = 4.0
    pet_rise: float = 0.3
    pet_z: float = 5.2
    pet_min_volume_ml: float = 0.05
    pet_fwhm_mm: float | None = None
    tolerance_mm: float | None = None
    bone_spill_max: float = 0.5
    suv_peak: str = "percist"
    positive_z: float = 3.0
    negative_ratio: float = 2.5
    injection_sites: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """What this stage makes of a scan."""

    rows: list[dict[str, Any]]
    labels: NDArray[np.uint16]
    findings: dict[str, Any]


def detect(
    ct: Volume,
    suv: Volume,
    tissues: NDArray[np.uint8],
    regions: NDArray[np.uint8],
    anatomy: Table[str, Any],
    mapping: Mapping,
    rules: Rules,
    *,
    scan: Table[str, Any],
    kvp: float | None = None,
    slice_mm: float | None = None,
    fwhm_mm: float | None = None,
    tolerance_mm: float | None = None,
) -> Found:
    """Find and measure the lesions of one scan.

    Parameters
    ----------
    ct
        HU, int16.
    suv
        PET, g/ml.
    tissues, regions
        Label maps on the CT's grid.
    anatomy
        Content of ``desc-tissues.json``.
    mapping
        Where CT points lie in the PET.
    scan
        ``participant_id``, ``session_id``, ``acquisition``.
    kvp, slice_mm
        Tube voltage and slice thickness of the CT, where known.
    fwhm_mm, tolerance_mm
        Resolution of the PET and residual of the registration, where measured; the settings go before them.
    """
    shape = ct.array.shape
    # Half to three quarters of a slice is air, which no step needs.
    box = body_columns(tissues, ct.spacing)
    ct, tissues, regions = ct.crop(box), tissues[box], regions[box]
    warnings: list[str] = []
    fwhm = rules.pet_fwhm_mm or fwhm_mm or DEFAULT_FWHM_MM
    # A tolerance of 0 is a legal setting, so `or` would not do.
    given = tolerance_mm if rules.tolerance_mm is None else rules.tolerance_mm
    tolerance = DEFAULT_TOLERANCE_MM if given is None else float(given)
    uncertain = anatomy.get("uncertain_bone") or []
    tissues = released_bone(tissues, ct, uncertain)
    bone = tissues == TISSUES["bone"]
    noise = slice_noise(ct.array, tissues, anatomy.get("noise_hu"))
    floor = kvp_threshold(rules.hu_floor, kvp)
    threshold = np.maximum(floor, SOFT_TISSUE_HU + rules.noise_factor * noise).astype(np.float32)
    blur = ct_blur(ct, tissues, slice_mm)
    metal = find_metal(ct.array, tissues, ct.spacing)
    ct_rules = CtRules(threshold, noise, blur, rules.min_volume_ml, rules.merge_mm, metal.slices)
    deposits, dropped = find_deposits(ct, tissues, bone, ct_rules)
    midline = anatomy.get("midline") or {}
    deposits = _keep_deposits(deposits, tissues, regions, metal, ct, midline, dropped)
    deposits = _off_arteries(deposits, tissues, ct, anatomy.get("joints") or [], dropped)
    for deposit in deposits:
        voxels = deposit.voxels
        if (
            may_be_bone(ct.world(voxels), len(voxels) * ct.voxel_ml, uncertain)
            or in_phalanx_place(voxels, tissues, ct.spacing)
            or is_digit_bone(voxels, tissues, ct.spacing)
        ):
            deposit.flags.append("bone?")
    scene = build_scene(suv, ct, tissues, regions, mapping, fwhm)
    if scene is None:
        warnings.append("The PET shows nothing of the body that the CT shows: no uptake could be measured.")
        evidence = [PetEvidence() for _ in deposits]
        foci: list[Focus] = []
        parts: list[Part] = []
    else:
        pet_rules = PetRules(
            rules.pet_threshold, rules.suv_absolute, rules.pet_rise, rules.pet_z, rules.pet_min_volume_ml, tolerance
        )
        foci, more = find_foci(scene, pet_rules, midline)
        dropped.update(more)
        points = [scene.suv.index(mapping.ct_to_pet(ct.world(deposit.voxels))) for deposit in deposits]
        parts = match(points, foci, scene.suv.spacing, tolerance, fwhm)
        status = StatusRules(
            rules.positive_z, rules.negative_ratio, rules.bone_spill_max, rules.pet_rise, tolerance, pet_rules.level
        )
        evidence, parts = weigh_deposits(deposits, points, foci, parts, scene, status)
        parts = _keep_foci(parts, foci, scene, rules, tissues, regions, ct, midline, mapping, dropped)
    factor = rules.hydroxyapatite_mg_per_hu_ml
    if factor is None:
        factor = HYDROXYAPATITE_MG_PER_HU_ML * (kvp or 120.0) / 120.0
        warnings.append(f"Hydroxyapatite mass is uncalibrated: {factor:.3g} mg per HU and ml was assumed.")
    if kvp and abs(kvp - 120.0) > 1:
        warnings.append(f"The CT was taken at {kvp:g} kVp: Agatston scores, defined at 120 kVp, are not comparable.")
    if ct.spacing[0] >= 4.99:
        warnings.append(f"Slices of {ct.spacing[0]:.3g} mm: no Agatston score, and small deposits may be missed.")
    facts = Facts(ct, suv, tissues, regions, bone, mapping, scene, factor, rules.suv_peak, dict(scan))
    rows, found = lesion_rows(deposits, evidence, foci, parts, facts, dropped)
    labels = np.zeros(shape, found.dtype)
    labels[box] = found
    findings = {
        "dropped": {cause: dropped[cause] for cause in sorted(dropped)},
        "imaged_fraction": _imaged(anatomy, regions, ct, suv, mapping),
        "reference": {
            "blood_pool_suv": scene.uptakes.blood_pool if scene else None,
            "muscle_suv": scene.uptakes.muscle if scene else None,
            "reference_suv": scene.uptakes.reference if scene else None,
            "reference_source": scene.uptakes.source if scene else None,
            "pet_noise_suv": scene.uptakes.noise if scene else None,
            "pet_noise_fwhm_mm": scene.uptakes.noise_fwhm_mm if scene else None,
            "pet_fwhm_mm": fwhm,
            "tolerance_mm": tolerance,
            "noise_hu": float(np.median(noise)) if len(noise) else None,
            "hu_threshold": float(np.median(threshold)) if len(threshold) else None,
            "ct_blur_mm": list(blur),
            "pet_threshold": rules.pet_threshold,
            "hydroxyapatite_mg_per_hu_ml": factor,
            "hydroxyapatite_calibrated": rules.hydroxyapatite_mg_per_hu_ml is not None,
        },
        "warnings": warnings,
    }
    return Found(rows, labels, findings)


def body_columns(tissues: NDArray[np.uint8], spacing: Spacing) -> Box:
    """All slices, but of each only the rectangle that holds the body in any of them, and ``AROUND_MM`` of air."""
    tight = box_of(tissues > 0)
    if tight is None:
        return whole(tissues.shape)
    _, down, across = grow(tight, AROUND_MM, spacing, tissues.shape)
    return slice(0, len(tissues)), down, across


def _keep_deposits(
    deposits: list[Deposit],
    tissues: NDArray[np.uint8],
    regions: NDArray[np.uint8],
    metal: Metal,
    ct: Volume,
    midline: Table[str, Any],
    dropped: Counter[str],
) -> list[Deposit]:
    kept = []
    outside = onskin.on_skin(deposits, ct, tissues, regions)
    for deposit, sticks_out in zip(deposits, outside, strict=True):
        if sticks_out:
            dropped["on the skin"] += 1
            continue
        verdict = judge_deposit(deposit, ct.array, tissues, regions, metal, ct.spacing)
        points = ct.world(deposit.voxels)
        centre = points.mean(axis=0)
        if verdict.cause is None and at_pelvic_vein(points, tissues, regions, ct, midline):
            verdict = Verdict("phlebolith")
        if verdict.cause is None and (
            at_sternum(centre, tissues, ct, midline) or at_spine(centre, tissues, regions, ct, midline)
        ):
            verdict = Verdict("bone")
        if verdict.cause:
            dropped[verdict.cause] += 1
        else:
            deposit.flags.extend(verdict.flags)
            if onskin.amid_air(deposit, ct, regions):
                deposit.flags.append(onskin.FLAG)
            kept.append(deposit)
    return with_scars(kept, ct, tissues, regions)


def _off_arteries(
    deposits: list[Deposit],
    tissues: NDArray[np.uint8],
    ct: Volume,
    joints: Sequence[Table[str, Any]],
    dropped: Counter[str],
) -> list[Deposit]:
    """Drop plaques of the femoral arteries; flag what may be one."""
    among = [i for i, one in enumerate(deposits) if _mostly(tissues[tuple(one.voxels.T)]) == TISSUES["muscle"]]
    if not among:
        return deposits
    centres = np.array([ct.world(deposits[i].voxels).mean(axis=0) for i in among])
    volumes = np.array([len(deposits[i].voxels) * ct.voxel_ml for i in among])
    walls, perhaps = arterial_walls(centres, volumes, joints)
    for i in np.flatnonzero(perhaps):
        deposits[among[i]].flags.append("arterial wall?")
    plaques = {among[i] for i in np.flatnonzero(walls)}
    if plaques:
        dropped["arterial wall"] = len(plaques)
    return [one for i, one in enumerate(deposits) if i not in plaques]


def _mostly(labels: NDArray[np.uint8]) -> int:
    return int(np.bincount(labels).argmax())


def _keep_foci(
    parts: list[Part],
    foci: list[Focus],
    scene: PetScene,
    rules: Rules,
    tissues: NDArray[np.uint8],
    regions: NDArray[np.uint8],
    ct: Volume,
    midline: Table[str, Any],
    mapping: Mapping,
    dropped: Counter[str],
) -> list[Part]:
    """Drop uptake without calcification that is no lesion."""
    kept = []
    inflamed = [focus.voxels for focus in foci if focus.diffuse and "possible myositis" in focus.flags]
    calcified = {part.focus for part in parts if part.deposit is not None}
    hot = bone_level(scene)
    for part in parts:
        if part.deposit is None:
            focus = foci[part.focus]
            verdict = judge_focus(focus, scene, rules.bone_spill_max)
            if verdict.cause is None and in_urine(focus, scene, ct, regions, mapping):
                verdict = Verdict("kidneys, bladder, bowel or other viscera")
            if verdict.cause is None:
                centre = mapping.pet_to_ct(scene.suv.world(part.voxels).mean(axis=0, keepdims=True))[0]
                if at_sternum(centre, tissues, ct, midline) or at_spine(centre, tissues, regions, ct, midline):
                    verdict = Verdict("in bone")
            if verdict.cause is None and in_dense(focus, scene, ct, mapping):
                verdict = Verdict("in bone")
            if verdict.cause is None and is_moved_bone(focus, scene, rules.bone_spill_max):
                verdict = Verdict("bone that moved")
            if verdict.cause is None:
                at = region_at_peak(focus, scene, regions, ct, mapping)
                if is_injection(at, rules.injection_sites):
                    verdict = Verdict("injection site")
            if verdict.cause:
                dropped[verdict.cause] += 1
                continue
            patch = part.focus not in calcified and is_patch(focus.voxels, inflamed, scene)
            flags = [*verdict.flags, *(["possible myositis"] if patch else [])]
            if part.focus not in calcified and perhaps_urine(focus, scene, ct, tissues, regions, mapping):
                flags.append("contamination?")
            elif part.focus not in calcified and (unbound := perhaps_unbound(focus, scene, hot, at)):
                flags.append(unbound)
            focus.flags.extend(flag for flag in flags if flag not in focus.flags)
        kept.append(part)
    return kept


def _imaged(
    anatomy: Table[str, Any], regions: NDArray[np.uint8], ct: Volume, suv: Volume, mapping: Mapping
) -> dict[str, dict[str, float]]:
    """Share of every region that CT and PET imaged; 0 for what is not in view."""
    known = anatomy.get("regions") or {}
    covered = pet_fraction(regions, ct, suv, mapping)
    result = {}
    for region in REGIONS:
        for side in ("left", "right"):
            name = f"{side} {region}"
            by_ct = float((known.get(name) or {}).get("imaged_fraction") or 0.0)
            result[name] = {"ct": round(by_ct, 4), "pet": round(by_ct * covered.get(name, 0.0), 4)}
    return result


def find_lesions(
    *,
    ct: str,
    ct_json: str,
    suv: str,
    suv_json: str,
    tissues: str,
    regions: str,
    anatomy: str,
    xfm: str,
    xfm_json: str,
    lesions: str,
    candidates: str,
    findings: str,
    scan: Table[str, Any],
    field: str | None = None,
    **settings: Any,
) -> None:
    """Find the lesions of a scan: reads the stage's inputs, writes label map, candidates and findings.

    ``settings`` are the fields of ``Rules``.
    """
    rules = Rules(**{**settings, "injection_sites": tuple(settings.get("injection_sites", ()))})
    volume = read_volume(ct)
    ct_facts, suv_facts, xfm_facts = read_json(ct_json), read_json(suv_json), read_json(xfm_json)
    found = detect(
        volume,
        read_volume(suv),
        read_volume(tissues).array,
        read_volume(regions).array,
        read_json(anatomy),
        load_mapping(xfm, field),
        rules,
        scan=scan,
        kvp=ct_facts.get("KVP"),
        slice_mm=ct_facts.get("SliceThickness"),
        fwhm_mm=suv_facts.get("fwhm_mm"),
        tolerance_mm=xfm_facts.get("tolerance_mm"),
    )
    write_volume(lesions, volume.like(found.labels), np.uint16)
    write_table(candidates, found.rows, COLUMNS)
    write_json(findings, found.findings)
    counts = Counter(row["concordance"] for row in found.rows)
    print(f"{len(found.rows)} lesions:", ", ".join(f"{counts[word]} {word}" for word in sorted(counts)) or "none")
    print("dropped:", ", ".join(f"{n} {cause}" for cause, n in found.findings["dropped"].items()) or "none")
