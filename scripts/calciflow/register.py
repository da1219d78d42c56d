"""Stage ``register``: PET to CT, by the header first, then rigidly, and only as far as it helps.

One PET/CT session has one frame of reference, so the header's alignment is the identity in patient coordinates. A
rigid correction is searched by mutual information, and settled by the skeleton where that is flat; it is kept only if
the CT's skeleton against hot bone on the PET fits better by more than chance, the body's outline no worse, and the
motion stays within bounds. Then, if asked for, each limb is corrected on its own under the same condition. Regions
whose skeleton still lies beside its uptake are reported with the distance.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from calciflow.files import whole_file, write_json
from calciflow.images import read_volume
from calciflow.labels import REGIONS
from calciflow.mapping import Mapping, field_image, move, to_transform
from calciflow.registration.field import build_field
from calciflow.registration.limbs import borne_out, correct_limbs
from calciflow.registration.outline import LOST_OUTLINE, SEEN_BODY, body_fit, outline_of
from calciflow.registration.rigid import rotation_degrees, search
from calciflow.registration.scene import Scene, coarse, pet_coverage, with_pet
from calciflow.registration.segments import SEGMENTS, SHAFTS, Correction
from calciflow.registration.settle import settle
from calciflow.registration.skeleton import (
    HOT_CORRELATION,
    REACH_MM,
    Comparison,
    LocalShift,
    Pattern,
    agreement,
    compare,
    local_shift,
    region_groups,
    skeleton_of,
)

_FEW_PARTS = 3
_MOST = 0.95
"""A motion is not needed if 95 % of the body's points stay below the least shift."""
BY_LIMBS = "the skeleton fits better, and limbs looked at one by one moved the same way"
BY_CHANCE = "the skeleton does not fit better than by chance"
HINT_Z = 1.0
"""Chances of a sixth from the skeleton and a 40th from limbs: both err together once in 240 bodies that lay still."""
Verdict = Literal["kept", "not needed", "rejected", "untestable"]


@dataclass(frozen=True)
class Gate:
    """Whether a transform was kept, and why."""

    verdict: Verdict
    reason: str
    before: float | None = None
    after: float | None = None
    z: float | None = None
    parts: int = 0
    outline: Comparison | None = None


@dataclass(frozen=True)
class Alignment:
    """The result of the stage.

    Attributes
    ----------
    mapping
        CT points to PET points: the rigid transform, and in mode ``limbs`` the displacement field.
    gate
        The verdict on the rigid correction.
    shift_mm, rotation_deg
        What was kept of it: mean displacement of the body, angle.
    proposed
        What the search proposed, kept or not: ``shift_mm``, ``rotation_deg``.
    shifts
        Per region group: how far the skeleton still lies from its uptake; None where it cannot be told.
    limbs
        Per segment: the correction, and why or why not.
    coverage
        Part of the CT's body in the PET's field of view.
    """

    mapping: Mapping
    gate: Gate
    shift_mm: float
    rotation_deg: float
    proposed: dict[str, float]
    shifts: dict[str, LocalShift | None]
    limbs: dict[str, Correction]
    coverage: float

    @property
    def residual_mm(self) -> dict[str, float | None]:
        """Per region group: distance between skeleton and uptake (across a shaft); None where it cannot be told."""

        def distance(name: str, one: LocalShift) -> float:
            return round(one.across if name.split()[-1] in SHAFTS else one.millimetres, 2)

        return {name: None if one is None else distance(name, one) for name, one in self.shifts.items()}

    @property
    def lost(self) -> list[str]:
        """Limbs whose uptake lies out of the search's reach.

        Their bone finds no uptake, and soft tissue does not fill their outline while it fills the body's: a limb whose
        bone is merely cold still shows its outline.
        """
        body = self.gate.outline
        if body is None or not max(body.before, body.after) >= SEEN_BODY:
            return []
        return [
            name
            for name, limb in self.limbs.items()
            if limb.verdict == "untestable"
            and limb.after is not None
            and limb.outline.before is not None
            and limb.outline.before < LOST_OUTLINE
        ]

    def misregistered(self, tolerance_mm: float) -> list[str]:
        """Sides and regions ("left hand") where PET and CT lie further apart than the tolerance."""
        table = residual_table(self.residual_mm)
        found = {name for name, value in table.items() if name != "body" and value is not None and value > tolerance_mm}
        lost = [segment for segment in SEGMENTS if segment.name in self.lost]
        return sorted(found | {f"{side} {region}" for segment in lost for region, side in segment.regions})

    def warnings(self, tolerance_mm: float) -> list[str]:
        """What a reader must know."""
        found = [
            f"{name}: the skeleton lies {distance:.1f} mm beside its uptake"
            for name, distance in self.residual_mm.items()
            if distance is not None and distance > tolerance_mm
        ]
        found += [f"{name}: its uptake lies further from its skeleton than {REACH_MM:g} mm" for name in self.lost]
        if self.coverage < 0.995:
            found.append(f"the PET shows {100 * self.coverage:.0f} % of the body on CT")
        return found


def _displacements(matrix: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sqrt(((move(matrix, points) - points) ** 2).sum(axis=1))


def _body_points(scene: Scene) -> NDArray[np.float64]:
    """Every tenth block of the body: enough for means and quantiles of a smooth motion."""
    return scene.points(scene.body > 0.5)[::10]


def judge(
    scene: Scene,
    skeleton: Pattern,
    outline: Pattern,
    matrix: NDArray[np.float64] | None,
    max_shift_mm: float,
    max_rotation_deg: float,
    min_shift_mm: float,
) -> Gate:
    """Decide on a proposed rigid transform: kept, not needed, rejected or untestable."""
    header = agreement(scene, skeleton, skeleton.points)
    if matrix is None:
        return Gate("untestable", "the search failed: too little of CT and PET overlaps", _mean(header))
    found = compare(header, agreement(scene, skeleton, move(matrix, skeleton.points)))
    shape = body_fit(scene, outline, outline.points, move(matrix, outline.points))

    def gate(verdict: Verdict, reason: str) -> Gate:
        return Gate(verdict, reason, found.before, found.after, found.z, found.parts, shape)

    if found.parts < _FEW_PARTS:
        return gate("untestable", "too little bone in both fields of view")
    if max(found.before, found.after) < HOT_CORRELATION:
        return gate("untestable", "bone is not hot on this PET: the skeleton cannot tell")
    points = _body_points(scene)
    most = float(np.quantile(_displacements(matrix, points), _MOST))
    if most < min_shift_mm:
        return gate("not needed", f"the search moves the body by {most:.1f} mm at most")
    centre = float(_displacements(matrix, points.mean(axis=0, keepdims=True))[0])
    turn = rotation_degrees(matrix)
    if centre > max_shift_mm or turn > max_rotation_deg:
        return gate("rejected", f"{centre:.1f} mm at the body's centre and {turn:.1f} degrees are out of bounds")
    if not found.better:
        return gate("rejected", BY_CHANCE)
    if shape.worse:
        return gate("rejected", "the skeleton fits better, but the body's outline worse by more than chance")
    return gate("kept", "the skeleton fits its uptake better, by more than chance")


def _with_limbs(gate: Gate, matrix: NDArray[np.float64], skeleton: Pattern, limbs: dict[str, Correction]) -> bool:
    """Whether limbs bear out a motion under which the skeleton fits better, if not by more than chance alone."""
    better = gate.z is not None and gate.z >= HINT_Z and (gate.outline is None or not gate.outline.worse)
    return better and borne_out(matrix, skeleton, limbs)


def _mean(values: NDArray[np.float64]) -> float | None:
    good = values[np.isfinite(values)]
    return float(good.mean()) if len(good) else None


def align(
    scene: Scene,
    *,
    mode: str = "limbs",
    max_shift_mm: float = 20.0,
    max_rotation_deg: float = 6.0,
    min_shift_mm: float = 1.0,
    min_limb_shift_mm: float = 2.0,
    max_limb_shift_mm: float = 25.0,
) -> Alignment:
    """Align a scene; see :func:`register_scan` for the settings."""
    skeleton, outline = skeleton_of(scene), outline_of(scene)
    proposed: dict[str, float] = {}
    body = _body_points(scene)
    mapping = Mapping.identity()
    found: NDArray[np.float64] | None = None
    if mode == "header":
        gate = Gate("not needed", "register.mode is header", _mean(agreement(scene, skeleton, skeleton.points)))
        hot = gate.before is not None and gate.before >= HOT_CORRELATION
    else:
        found = settle(scene, skeleton, outline, search(scene))
        if found is not None and len(body):
            shift = float(_displacements(found, body).mean())
            proposed = {"shift_mm": round(shift, 2), "rotation_deg": round(rotation_degrees(found), 3)}
        gate = judge(scene, skeleton, outline, found, max_shift_mm, max_rotation_deg, min_shift_mm)
        hot = gate.verdict != "untestable"
        if gate.verdict == "kept" and found is not None:
            mapping = Mapping(found)
    matrix = mapping.matrix
    limbs: dict[str, Correction] = {}
    if mode == "limbs":
        if hot:
            mapping, limbs = correct_limbs(scene, skeleton, outline, matrix, min_limb_shift_mm, max_limb_shift_mm)
            if found is not None and gate.reason == BY_CHANCE and _with_limbs(gate, found, skeleton, limbs):
                gate, matrix = replace(gate, verdict="kept", reason=BY_LIMBS), found
                mapping, limbs = correct_limbs(scene, skeleton, outline, matrix, min_limb_shift_mm, max_limb_shift_mm)
        else:
            mapping = build_field(scene, matrix, limbs)
    placed = mapping.ct_to_pet(skeleton.points)
    groups = region_groups()
    seen = {name: local_shift(scene, skeleton, placed, labels) if hot else None for name, labels in groups.items()}
    shifts = {name: one if one is not None and one.hot else None for name, one in seen.items()}
    return Alignment(
        mapping,
        gate,
        float(_displacements(matrix, body).mean()) if len(body) else 0.0,
        rotation_degrees(matrix),
        proposed,
        shifts,
        limbs,
        pet_coverage(scene),
    )


def residual_table(residual: dict[str, float | None]) -> dict[str, float | None]:
    """Residuals under ``body`` (the median over what could be told) and under every side and region, "left hand"."""
    known = [value for value in residual.values() if value is not None]
    table: dict[str, float | None] = {"body": round(float(np.median(known)), 2) if known else None}
    for region in REGIONS:
        group = {"fingers": "hand", "toes": "foot"}.get(region, region)
        for side in ("left", "right"):
            table[f"{side} {region}"] = residual.get(group, residual.get(f"{side} {group}"))
    return table


def facts(result: Alignment, mode: str, tolerance_mm: float) -> dict[str, Any]:
    """The content of the sidecar."""

    def tidy(value: float | None, digits: int = 4) -> float | None:
        return None if value is None or not math.isfinite(value) else round(value, digits)

    return {
        "mode": mode,
        "gate": {
            "verdict": result.gate.verdict,
            "reason": result.gate.reason,
            "measure": "mean correlation of uptake with the blurred CT skeleton",
            "before": tidy(result.gate.before),
            "after": tidy(result.gate.after),
            "z": tidy(result.gate.z, 2),
            "parts": result.gate.parts,
            "outline": None
            if result.gate.outline is None
            else {
                "measure": "mean correlation of uptake, cut at that of soft tissue, with the CT's body outline",
                "before": tidy(result.gate.outline.before),
                "after": tidy(result.gate.outline.after),
                "z": tidy(result.gate.outline.z, 2),
                "parts": result.gate.outline.parts,
            },
        },
        "shift_mm": round(result.shift_mm, 2),
        "rotation_deg": round(result.rotation_deg, 3),
        "proposed": result.proposed,
        "tolerance_mm": tolerance_mm,
        "residual_mm": residual_table(result.residual_mm),
        "misregistered": result.misregistered(tolerance_mm),
        "limbs": {
            name: {
                "verdict": limb.verdict,
                "reason": limb.reason,
                "shift_mm": tidy(limb.shift_mm, 2),
                "before": tidy(limb.before),
                "after": tidy(limb.after),
                "outline_before": tidy(limb.outline.before),
                "outline_after": tidy(limb.outline.after),
                "outline_z": tidy(limb.outline.z, 2),
                "residual_mm": result.residual_mm.get(name),
            }
            for name, limb in result.limbs.items()
        },
        "pet_coverage": round(result.coverage, 4),
        "warnings": result.warnings(tolerance_mm),
    }


def register_scan(
    *,
    ct: str,
    suv: str,
    tissues: str,
    regions: str,
    anatomy: str,
    xfm: str,
    xfm_json: str,
    mode: str,
    block_mm: float,
    max_shift_mm: float,
    max_rotation_deg: float,
    min_shift_mm: float,
    min_limb_shift_mm: float,
    max_limb_shift_mm: float,
    tolerance_mm: float,
    field: str | None = None,
) -> None:
    """Write the transform from CT points to PET points (ITK, LPS) and what is known of it.

    Parameters
    ----------
    ct, suv, tissues, regions, anatomy
        HU, SUV, label maps on the CT's grid, and the anatomy's JSON (not used yet).
    xfm, xfm_json
        Written.
    mode
        ``header``: leave the scanner's alignment; ``rigid``: correct the whole body; ``limbs``: then each limb.
    block_mm
        The CT is averaged over blocks of about this size.
    max_shift_mm, max_rotation_deg
        A correction beyond these, at the body's centre, is rejected.
    min_shift_mm
        A correction that moves the body less is not needed.
    tolerance_mm
        A region whose skeleton lies further from its uptake is reported as misregistered.
    min_limb_shift_mm, max_limb_shift_mm
        A limb that lies nearer to its uptake needs no correction; a longer one is rejected.
    field
        Written in mode ``limbs``: displacement field in CT space, vectors in LPS mm as ITK has them, on top of the
        transform.
    """
    if (mode == "limbs") != (field is not None):
        raise ValueError("a displacement field belongs to mode `limbs`, and to no other")
    # The CT is gone from memory before the PET is read.
    scene = with_pet(coarse(read_volume(ct), read_volume(tissues), read_volume(regions), block_mm), read_volume(suv))
    result = align(
        scene,
        mode=mode,
        max_shift_mm=max_shift_mm,
        max_rotation_deg=max_rotation_deg,
        min_shift_mm=min_shift_mm,
        min_limb_shift_mm=min_limb_shift_mm,
        max_limb_shift_mm=max_limb_shift_mm,
    )
    with whole_file(xfm) as partial:
        sitk.WriteTransform(to_transform(result.mapping.matrix), str(partial))
    if field is not None:
        with whole_file(field) as partial:
            sitk.WriteImage(field_image(result.mapping), str(partial), useCompression=True)
    else:  # the field of an earlier run in mode `limbs` does not belong to this transform
        Path(xfm).with_suffix(".nii.gz").unlink(missing_ok=True)
    write_json(xfm_json, facts(result, mode, tolerance_mm))
    print(f"rigid correction {result.gate.verdict}: {result.gate.reason}; proposed {result.proposed}")
    for name, limb in result.limbs.items():
        print(f"{name}: {limb.verdict}: {limb.reason}")
    for warning in result.warnings(tolerance_mm):
        print(f"warning: {warning}")
