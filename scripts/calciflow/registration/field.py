"""Corrections of segments blended into one displacement field on a coarse grid."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from calciflow.images import Volume
from calciflow.labels import region_label
from calciflow.mapping import Mapping, move
from calciflow.registration.scene import Scene, sample
from calciflow.registration.segments import ANCHORS, HINGES, JOINTS, NO_CORRECTION, SEGMENTS, Correction
from calciflow.registration.skeleton import LEAST_GAIN, PART_POINTS, Pattern, correlations, uptake_cap

FIELD_MM = 10.0
"""Grid of the displacement field: limbs are rigid, and joints blend over a few centimetres."""
_BLEND_MM = 12.0
_DIGITS = 3


def joint_owners(
    scene: Scene, skeleton: Pattern, matrix: NDArray[np.float64], corrections: dict[str, Correction]
) -> dict[str, tuple[int, ...]]:
    """Labels of elbows and knees that fit their uptake better with one of their segments, by that segment's name.

    Where neither fits better the joint bends: it takes what is beside it.
    """
    owners: dict[str, tuple[int, ...]] = {}
    for joint, side, upper, lower in HINGES:
        pair = [f"{side} {name}" for name in (upper, lower)]
        known = [corrections.get(name, NO_CORRECTION) for name in pair]
        chosen = np.flatnonzero(skeleton.region == region_label(joint, side))
        if not any(one.verdict == "kept" for one in known) or len(chosen) < PART_POINTS:
            continue
        at = move(matrix, skeleton.points[chosen])
        seen = np.stack([sample(scene.pet, move(one.matrix, at)) for one in known])
        fits = correlations(skeleton.expected[chosen], seen, max(uptake_cap(values) for values in seen))
        if abs(fits[0] - fits[1]) >= LEAST_GAIN:
            owners[pair[int(fits.argmax())]] = (region_label(joint, side),)
    return owners


def build_field(
    scene: Scene,
    matrix: NDArray[np.float64],
    corrections: dict[str, Correction],
    owners: dict[str, tuple[int, ...]] | None = None,
) -> Mapping:
    """Blend the segments' corrections into a displacement field on a coarse grid over the CT.

    Within a chain (an arm, a leg, head and neck) each block takes the mean of its neighbours' displacements, weighted
    by a Gaussian of 12 mm; blocks of different chains never mix; outside the body the nearest block counts.
    ``owners``: joints that move with one segment.
    """
    owners = owners or {}
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
        joints = [region_label(region, side) for region in JOINTS[kind] for side in sides]
        anchors = [region_label(region, side) for region in ANCHORS[kind] for side in sides]
        labels = [label for segment in members for label in segment.labels]
        inside = body & np.isin(regions, [*labels, *joints])
        points = Volume(inside, affine).world(np.argwhere(inside))
        at = move(matrix, points)
        total = gaussian_filter((body & np.isin(regions, anchors)).astype(np.float32), sigma)[inside]
        moved = np.zeros((len(points), 3))
        for segment in members:
            own_labels = [*segment.labels, *owners.get(segment.name, ())]
            weight = gaussian_filter((body & np.isin(regions, own_labels)).astype(np.float32), sigma)[inside]
            own = corrections[segment.name].matrix if segment.name in corrections else np.eye(4)
            moved += weight[:, None] * (move(own, at) - at)
            total = total + weight
        displacement[inside] = moved / np.maximum(total, 1e-6)[:, None]
    if body.any():
        nearest = distance_transform_edt(~body, sampling=spacing, return_distances=False, return_indices=True)
        displacement = displacement[nearest[0], nearest[1], nearest[2]]
    return Mapping(matrix, np.round(displacement, _DIGITS).astype(np.float32), affine)
