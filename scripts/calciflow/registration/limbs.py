"""Limb by limb: a small rigid correction for each part of the body that moves on its own, blended smoothly.

Each segment's skeleton is brought onto its own uptake; what improves by more than chance becomes part of one
displacement field, in which neighbours along a limb blend over their joint and nothing leaks from a hand to the thigh
that it lies on.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.spatial.transform import Rotation

from calciflow.images import Volume
from calciflow.labels import region_label
from calciflow.mapping import Mapping, move
from calciflow.registration.scene import Scene, sample
from calciflow.registration.skeleton import (
    LEAST_GAIN,
    LocalShift,
    Skeleton,
    correlations,
    local_shift,
    significant,
    uptake_cap,
)

FIELD_MM = 10.0
"""Grid of the displacement field: limbs are rigid, and joints blend over a few centimetres."""
_BLEND_MM = 12.0
_TURN_STEPS_DEG, _SHIFT_STEPS_MM = (4.0, 2.0, 1.0, 0.5), (2.0, 1.0, 0.5, 0.25)
_MAX_TURN_DEG = 15.0
_TURN_PULL = 0.02 / 10.0**2
"""Correlation lost per square degree: about the axis of a shaft all turns look alike."""
_POINTS = 2500
_ROUNDS = 6
_DIGITS = 3


@dataclass(frozen=True)
class Segment:
    """A part of the body that moves on its own.

    Attributes
    ----------
    name
        ``left forearm``.
    chain
        The limb it belongs to.
    regions
        The regions that it moves.
    ends
        Regions at its ends that tell of its place too, one of which moves with it: a shaft alone slides along itself
        unseen. The joint moves with a thigh, the foot with a lower leg.
    """

    name: str
    chain: str
    regions: tuple[tuple[str, str], ...]
    ends: tuple[tuple[tuple[str, str], ...], ...] = ((),)

    @property
    def labels(self) -> tuple[int, ...]:
        """Labels of ``desc-regions_dseg`` that it moves."""
        return tuple(region_label(region, side) for region, side in self.regions)

    @property
    def seen_by(self) -> tuple[tuple[int, ...], ...]:
        """Sets of labels whose skeleton may tell of it."""
        return tuple((*self.labels, *(region_label(region, side) for region, side in end)) for end in self.ends)


def _segments() -> tuple[Segment, ...]:
    found = [Segment("head", "head", (("head", "left"), ("head", "right")))]
    for side in ("left", "right"):
        for chain, joint, upper, lower, tip in (
            ("arm", "elbow", "upper_arm", "forearm", ("hand", "fingers")),
            ("leg", "knee", "thigh", "lower_leg", ("foot", "toes")),
        ):
            near = ((joint, side),)
            far = tuple((region, side) for region in tip)
            limb = f"{side} {chain}"
            found.append(Segment(f"{side} {upper}", limb, ((upper, side),), (near,)))
            found.append(Segment(f"{side} {lower}", limb, ((lower, side),), (near, far)))
            found.append(Segment(f"{side} {tip[0]}", limb, far))
    return tuple(found)


SEGMENTS = _segments()
# What holds a chain to the rest of the body, and the joints between its segments, which take what is beside them.
_ANCHORS = {"arm": ("shoulder",), "leg": ("pelvis",), "head": ("chest",)}
_JOINTS = {"arm": ("elbow",), "leg": ("knee",), "head": ("neck",)}


@dataclass(frozen=True)
class Correction:
    """A segment's own motion, on top of the whole body's.

    Attributes
    ----------
    verdict
        ``kept``, ``not needed``, ``rejected`` or ``untestable``.
    reason
        In words.
    matrix
        4 x 4, RAS mm, applied after the whole body's transform; identity unless kept.
    shift_mm
        How far it moves the segment's centre (proposed, if not kept).
    before, after
        Correlation of uptake with the skeleton.
    cap
        Uptake that both were cut at.
    """

    verdict: str
    reason: str
    matrix: NDArray[np.float64]
    shift_mm: float | None = None
    before: float | None = None
    after: float | None = None
    cap: float = float("inf")


def _turn_about(centre: NDArray[np.float64], parameters: NDArray[np.float64]) -> NDArray[np.float64]:
    """4 x 4 of a rotation vector (degrees) about ``centre`` and a shift (mm)."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(parameters[:3], degrees=True).as_matrix()
    matrix[:3, 3] = centre + parameters[3:] - matrix[:3, :3] @ centre
    return matrix


def correct_segment(
    scene: Scene,
    skeleton: Skeleton,
    placed: NDArray[np.float64],
    labels: tuple[int, ...],
    start: LocalShift | None,
    min_shift_mm: float,
    max_shift_mm: float,
) -> Correction:
    """Refine a segment's local shift to a small rigid motion, and judge it.

    ``placed``: the skeleton's points under the whole body's transform, RAS mm, (n, 3); ``labels``: the regions whose
    skeleton tells.
    """
    still = np.eye(4)
    if start is None:
        return Correction("untestable", "too little hot bone in both fields of view", still)
    numbers = (start.millimetres, start.before, start.after)
    if not start.sure:
        return Correction("not needed", "no shift beyond chance", still, *numbers)
    if start.millimetres < min_shift_mm:
        return Correction("not needed", f"shift below {min_shift_mm:g} mm", still, *numbers)
    chosen = np.flatnonzero(np.isin(skeleton.region, labels))
    picked = chosen[:: max(1, len(chosen) // _POINTS)]
    points, expected = placed[picked], skeleton.expected[picked]
    centre = np.average(points, axis=0, weights=expected + 1e-6)
    cap = uptake_cap(sample(scene.pet, points + start.shift))

    def score(parameters: NDArray[np.float64]) -> float:
        matrix = _turn_about(centre, parameters)
        seen = sample(scene.pet, move(matrix, points))
        value = float(correlations(expected, seen[None], cap)[0])
        pull = _TURN_PULL * float(parameters[:3] @ parameters[:3])
        return value - pull if np.isfinite(value) else -np.inf

    best = np.concatenate([np.zeros(3), start.shift])
    value = score(best)
    # Coordinate search, largest steps first: six parameters, a smooth hill, the same result on every machine.
    for turn, step in zip(_TURN_STEPS_DEG, _SHIFT_STEPS_MM, strict=True):
        for _ in range(_ROUNDS):
            improved = False
            for axis in range(6):
                for sign in (-1.0, 1.0):
                    trial = best.copy()
                    trial[axis] += sign * (turn if axis < 3 else step)
                    if np.linalg.norm(trial[:3]) > _MAX_TURN_DEG:
                        continue
                    found = score(trial)
                    if found > value + 1e-6:
                        best, value, improved = trial, found, True
            if not improved:
                break
    matrix = np.round(_turn_about(centre, best), 9)
    whole = placed[chosen]
    after = float(correlations(skeleton.expected[chosen], sample(scene.pet, move(matrix, whole))[None], cap)[0])
    before = float(correlations(skeleton.expected[chosen], sample(scene.pet, whole)[None], cap)[0])
    shift = float(np.linalg.norm(best[3:]))
    told = (shift, before, after)
    if shift > max_shift_mm:
        return Correction("rejected", f"{shift:.1f} mm is out of bounds", still, *told)
    if not significant(before, after, len(chosen) * skeleton.point_ml):
        return Correction("rejected", "the skeleton does not fit better than by chance", still, *told)
    return Correction("kept", "the skeleton fits its uptake better, by more than chance", matrix, *told, cap)


def build_field(scene: Scene, matrix: NDArray[np.float64], corrections: dict[str, Correction]) -> Mapping:
    """Blend the segments' corrections into a displacement field on a coarse grid over the CT.

    Within a chain (an arm, a leg, head and neck) each block takes the mean of its neighbours' displacements, weighted
    by a Gaussian of 12 mm; blocks of different chains never mix; outside the body the nearest block counts.
    """
    every = [max(1, round(FIELD_MM / step)) for step in scene.spacing]
    index = tuple(slice(step // 2, None, step) for step in every)
    regions = scene.regions[index]
    body = scene.body[index] > 0.5
    affine = scene.affine.copy()
    affine[:3, 3] += scene.affine[:3, :3] @ np.array([step // 2 for step in every[::-1]], float)
    affine[:3, :3] = scene.affine[:3, :3] * np.array(every[::-1], float)
    spacing = [step * count for step, count in zip(scene.spacing, every, strict=True)]
    sigma = [_BLEND_MM / step for step in spacing]
    displacement = np.zeros((*regions.shape, 3), np.float32)
    for chain in dict.fromkeys(segment.chain for segment in SEGMENTS):
        members = [segment for segment in SEGMENTS if segment.chain == chain]
        if not any(corrections[segment.name].verdict == "kept" for segment in members if segment.name in corrections):
            continue
        kind = chain.split()[-1]
        sides = ("left", "right") if kind == "head" else (chain.split()[0],)
        joints = [region_label(region, side) for region in _JOINTS[kind] for side in sides]
        anchors = [region_label(region, side) for region in _ANCHORS[kind] for side in sides]
        labels = [label for segment in members for label in segment.labels]
        inside = body & np.isin(regions, [*labels, *joints])
        points = Volume(inside, affine).world(np.argwhere(inside))
        at = move(matrix, points)
        total = gaussian_filter((body & np.isin(regions, anchors)).astype(np.float32), sigma)[inside]
        moved = np.zeros((len(points), 3))
        for segment in members:
            weight = gaussian_filter((body & np.isin(regions, segment.labels)).astype(np.float32), sigma)[inside]
            own = corrections[segment.name].matrix if segment.name in corrections else np.eye(4)
            moved += weight[:, None] * (move(own, at) - at)
            total = total + weight
        displacement[inside] = moved / np.maximum(total, 1e-6)[:, None]
    if body.any():
        nearest = distance_transform_edt(~body, sampling=spacing, return_distances=False, return_indices=True)
        displacement = displacement[nearest[0], nearest[1], nearest[2]]
    return Mapping(matrix, np.round(displacement, _DIGITS).astype(np.float32), affine)


def _gain(start: tuple[LocalShift | None, tuple[int, ...]]) -> float:
    """How much a shift that is sure improves; what is not sure comes last, what cannot be told behind it."""
    shift = start[0]
    if shift is None:
        return -2.0
    return shift.after - shift.before if shift.sure else -1.0


def correct_limbs(
    scene: Scene, skeleton: Skeleton, matrix: NDArray[np.float64], min_shift_mm: float, max_shift_mm: float
) -> tuple[Mapping, dict[str, Correction]]:
    """Correct each segment, blend, and take back what the blended field does not improve."""
    placed = Mapping(matrix).ct_to_pet(skeleton.points)
    corrections = {}
    for segment in SEGMENTS:
        starts = [(local_shift(scene, skeleton, placed, labels), labels) for labels in segment.seen_by]
        start, labels = max(starts, key=_gain)
        corrections[segment.name] = correct_segment(scene, skeleton, placed, labels, start, min_shift_mm, max_shift_mm)
    mapping = build_field(scene, matrix, corrections)
    after = mapping.ct_to_pet(skeleton.points)
    taken_back = False
    for segment in SEGMENTS:
        if corrections[segment.name].verdict != "kept":
            continue
        chosen = np.flatnonzero(np.isin(skeleton.region, segment.labels))
        seen = sample(scene.pet, after[chosen])
        known = corrections[segment.name]
        found = float(correlations(skeleton.expected[chosen], seen[None], known.cap)[0])
        before = float(correlations(skeleton.expected[chosen], sample(scene.pet, placed[chosen])[None], known.cap)[0])
        if not found - before >= LEAST_GAIN:
            corrections[segment.name] = Correction(
                "rejected",
                "blended with its neighbours it fits no better",
                np.eye(4),
                known.shift_mm,
                known.before,
                found,
            )
            taken_back = True
    return (build_field(scene, matrix, corrections) if taken_back else mapping), corrections
