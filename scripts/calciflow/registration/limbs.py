"""Limb by limb: a small rigid correction for each part of the body that moves on its own, blended smoothly.

Each segment's skeleton is brought onto its own uptake; what improves by more than chance becomes part of one
displacement field, in which neighbours along a limb blend over their joint and nothing leaks from a hand to the thigh
that it lies on.
"""

from collections.abc import Callable
from collections.abc import Mapping as Table
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from calciflow.mapping import Mapping, move
from calciflow.registration.climb import climb, turn_about
from calciflow.registration.field import build_field, joint_owners
from calciflow.registration.outline import limb_fit
from calciflow.registration.scene import Scene, sample
from calciflow.registration.segments import NO_CORRECTION, SEGMENTS, Correction, Segment
from calciflow.registration.skeleton import (
    HOT_REGION,
    LEAST_GAIN,
    REACH_MM,
    LocalShift,
    Pattern,
    axis_of,
    correlations,
    local_shift,
    significant,
    uptake_cap,
)

_TURN_STEPS_DEG, _SHIFT_STEPS_MM = (4.0, 2.0, 1.0, 0.5), (2.0, 1.0, 0.5, 0.25)
_TURNED = 0.85
"""Where the search from the best shift ends below this correlation (limbs in place lie near 0.9), the segment's turns
about its joint are tried as starts too: a finger lies as well on its neighbour's uptake as on its own."""
_SWINGS_DEG = tuple(
    np.array([x, y, z])
    for x, y, z in product((-16.0, -8.0, 0.0, 8.0, 16.0), repeat=3)
    if 0 < np.hypot(np.hypot(x, y), z) < 18
)
_TRIALS = 5
_PIVOT_MM = 15.0
_TURN_PULL = 0.01 / 10.0**2
"""Correlation lost per square degree: about the axis of a shaft all turns look alike."""
_POINTS = 2500
LEAST_WITNESSES = 2
"""Limbs that must bear out a motion of the whole body which its own skeleton alone doesn't prove."""
_KEPT_BY_SKELETON = "the skeleton fits its uptake better, by more than chance; the PET shows no outline"
_KEPT_BY_BOTH = "skeleton and outline fit better, each by more than chance"


def _pivot(skeleton: Pattern, placed: NDArray[np.float64], segment: Segment) -> NDArray[np.float64] | None:
    """Where a segment hangs on its neighbour: the middle of its points that lie within 15 mm of the neighbour's."""
    own = placed[np.isin(skeleton.region, segment.labels)]
    holder = placed[np.isin(skeleton.region, segment.holder_labels)]
    if not len(own) or not len(holder):
        return None
    near = own[cKDTree(holder).query(own, distance_upper_bound=_PIVOT_MM)[0] < _PIVOT_MM]
    return near.mean(axis=0) if len(near) else None


def _unslid(
    matrix: NDArray[np.float64],
    fits: float,
    centre: NDArray[np.float64],
    axis: NDArray[np.float64],
    agree: Callable[[NDArray[np.float64]], float],
) -> tuple[NDArray[np.float64], float]:
    """A motion without its slide along the bone, unless the slide fits markedly better; and how it fits.

    A shaft looks alike all along: noise once slid a forearm by 4 mm that had moved across its axis alone.
    """
    slide = float((move(matrix, centre[None])[0] - centre) @ axis)
    stays = matrix.copy()
    stays[:3, 3] = np.round(stays[:3, 3] - slide * axis, 9)
    fits_unslid = agree(stays)
    return (matrix, fits) if fits - fits_unslid > LEAST_GAIN else (stays, fits_unslid)


def correct_segment(
    scene: Scene,
    skeleton: Pattern,
    placed: NDArray[np.float64],
    labels: tuple[int, ...],
    start: LocalShift | None,
    pivot: NDArray[np.float64] | None,
    min_shift_mm: float,
    max_shift_mm: float,
    shaft: bool = False,
) -> Correction:
    """Refine a segment's local shift to a small rigid motion, and judge it.

    ``placed``: the skeleton's points under the whole body's transform, RAS mm, (n, 3); ``labels``: the regions whose
    skeleton tells; ``pivot``: the joint that holds the segment, RAS mm under that transform, None if out of view;
    ``shaft``: whether it looks alike all along.
    """
    still = np.eye(4)
    if start is None:
        return Correction("untestable", "too little bone in both fields of view", still)
    chosen = np.flatnonzero(np.isin(skeleton.region, labels))
    picked = chosen[:: max(1, len(chosen) // _POINTS)]
    points, expected = placed[picked], skeleton.expected[picked]
    volume_ml = len(chosen) * skeleton.point_ml
    centre = np.average(points, axis=0, weights=expected + 1e-6)
    cap = uptake_cap(sample(scene.pet, points + start.shift))

    def score(parameters: NDArray[np.float64]) -> float:
        matrix = turn_about(centre, parameters)
        seen = sample(scene.pet, move(matrix, points))
        value = float(correlations(expected, seen[None], cap)[0])
        pull = _TURN_PULL * float(parameters[:3] @ parameters[:3])
        return value - pull if np.isfinite(value) else -np.inf

    straight = np.concatenate([np.zeros(3), start.shift])
    best, value = climb(score, straight, _TURN_STEPS_DEG, _SHIFT_STEPS_MM)
    if value < _TURNED and pivot is not None:
        swings = [
            np.concatenate(
                [turn, move(turn_about(pivot, np.concatenate([turn, np.zeros(3)])), centre[None])[0] - centre]
            )
            for turn in _SWINGS_DEG
        ]
        heights = np.array([score(swing) for swing in swings])
        for number in np.argsort(-heights, kind="stable")[:_TRIALS]:
            found, height = climb(score, swings[number], _TURN_STEPS_DEG, _SHIFT_STEPS_MM)
            if height > value + 1e-6:
                best, value = found, height
    whole, bone = placed[chosen], skeleton.expected[chosen]

    def agree(matrix: NDArray[np.float64]) -> float:
        return float(correlations(bone, sample(scene.pet, move(matrix, whole))[None], cap)[0])

    matrix = np.round(turn_about(centre, best), 9)
    after = agree(matrix)
    if shaft:
        matrix, after = _unslid(matrix, after, centre, axis_of(whole, bone), agree)
    before = agree(still)
    away = move(matrix, points) - points
    shift = float(np.average(np.sqrt((away**2).sum(axis=1)), weights=expected + 1e-6))
    told = (shift, before, after)
    if after < HOT_REGION:
        return Correction("untestable", f"no uptake within {REACH_MM:g} mm looks like its skeleton", still, *told)
    if not significant(before, after, volume_ml):
        return Correction("not needed", "no motion beyond chance", still, *told)
    if shift < min_shift_mm:
        return Correction("not needed", f"the motion found is below {min_shift_mm:g} mm", still, *told)
    if shift > max_shift_mm:
        return Correction("rejected", f"{shift:.1f} mm is out of bounds", still, *told)
    return Correction("kept", _KEPT_BY_SKELETON, matrix, *told, cap)


def _gain(start: tuple[LocalShift | None, tuple[int, ...]]) -> float:
    """How much a shift that is sure improves; what is not sure comes last, what cannot be told behind it."""
    shift = start[0]
    if shift is None:
        return -3.0
    return shift.after - shift.before if shift.sure else -1.0 if shift.hot else -2.0


def correct_limbs(
    scene: Scene,
    skeleton: Pattern,
    outline: Pattern,
    matrix: NDArray[np.float64],
    min_shift_mm: float,
    max_shift_mm: float,
) -> tuple[Mapping, dict[str, Correction]]:
    """Correct each segment, blend, and take back what the blended field does not improve."""
    placed = Mapping(matrix).ct_to_pet(skeleton.points)
    corrections = {}
    for segment in SEGMENTS:
        starts = [(local_shift(scene, skeleton, placed, labels), labels) for labels in segment.seen_by]
        start, labels = max(starts, key=_gain)
        pivot = _pivot(skeleton, placed, segment)
        corrections[segment.name] = correct_segment(
            scene, skeleton, placed, labels, start, pivot, min_shift_mm, max_shift_mm, segment.shaft
        )
    # Each round takes at least one correction back: what a neighbour loses with it is looked at again.
    while True:
        owners = joint_owners(scene, skeleton, matrix, corrections)
        mapping = build_field(scene, matrix, corrections, owners)
        judged = {
            segment.name: _judge_blended(scene, skeleton, outline, mapping, segment, corrections[segment.name])
            for segment in SEGMENTS
        }
        if all(judged[name].verdict == known.verdict for name, known in corrections.items()):
            return mapping, judged
        corrections = judged


def borne_out(matrix: NDArray[np.float64], skeleton: Pattern, limbs: Table[str, Correction]) -> bool:
    """Whether limbs that were looked at one by one moved as a motion of the whole body would have moved them.

    Parameters
    ----------
    matrix
        The body's proposed motion, RAS mm.
    limbs
        Corrections of the segments from where the body lay before that motion.

    Notes
    -----
    A limb that moved by itself points within 30 degrees of the body's proposal, and as far within a factor of two, by
    chance once in 15 times: two of four that agree, once in 40. A limb that does not agree may have moved besides.
    """
    agree: dict[str, bool] = {}
    for segment in SEGMENTS:
        correction = limbs.get(segment.name, NO_CORRECTION)
        chosen = np.isin(skeleton.region, segment.labels)
        if correction.verdict != "kept" or segment.chain in agree or not chosen.any():
            continue
        centre = skeleton.points[chosen].mean(axis=0, keepdims=True)
        own, whole = (move(one, centre) - centre for one in (correction.matrix, matrix))
        agree[segment.chain] = bool(np.linalg.norm(own - whole) < 0.5 * np.linalg.norm(own))
    return sum(agree.values()) >= LEAST_WITNESSES


def _judge_blended(
    scene: Scene, skeleton: Pattern, outline: Pattern, mapping: Mapping, segment: Segment, known: Correction
) -> Correction:
    """A segment's correction as the field has it: skeleton and outline must bear it out."""
    if known.verdict == "rejected" and known.outline.before is not None:
        return known
    surface = outline.points[np.isin(outline.region, segment.labels)]
    fit = limb_fit(scene, outline, move(mapping.matrix, surface), mapping.ct_to_pet(surface), segment.labels)
    known = replace(known, outline=fit)
    if known.verdict != "kept":
        return known
    chosen = np.isin(skeleton.region, segment.labels)
    points, expected = skeleton.points[chosen], skeleton.expected[chosen]
    before, after = (
        float(correlations(expected, sample(scene.pet, places)[None], known.cap)[0])
        for places in (move(mapping.matrix, points), mapping.ct_to_pet(points))
    )
    if not after - before >= LEAST_GAIN:
        reason = "blended with its neighbours it fits no better"
    elif fit.told and not fit.better:
        reason = "the skeleton fits better, but the outline does not by more than chance"
    else:
        return replace(known, reason=_KEPT_BY_BOTH if fit.told else _KEPT_BY_SKELETON)
    return replace(known, verdict="rejected", reason=reason, matrix=np.eye(4), after=after)
