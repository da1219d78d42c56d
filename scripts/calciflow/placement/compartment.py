"""Compartment of a lesion from the tissue around it, with probabilities and a reason in plain words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from calciflow.labels import COMPARTMENTS, TISSUES
from calciflow.measure.boxes import Spacing, distance_to
from calciflow.placement.layers import read_layers, voxel_depth

SKIN, FAT, MUSCLE, BONE = TISSUES["skin"], TISSUES["subcutaneous_fat"], TISSUES["muscle"], TISSUES["bone"]
DIGITS = ("fingers", "toes")

PLACE_DOUBT_MM = 1.0
"""Where a tissue border is drawn is known to about that: sets how fast probabilities turn."""

SKIN_DEPTH_MM = 2.4
"""A lesion is the skin's if the middle of its calcium lies that shallow: skin is 1 to 4 mm thick, 2 mm in most places,
and a nodule in it bulges inwards."""

SKIN_DOUBT_MM = 0.35
"""Half a voxel's doubt of the surface, averaged over a lesion."""

FASCIA_SHARE = 0.5
"""A sheet is fascial if that share of its surface lies along the border of fat and muscle (ours), ..."""

FASCIA_MM = 1.5
"""... and its middle that near to the fascia's own depth: half the thickness of a sheet of 3 mm."""

FLAT_CHANCE = 0.5
"""Chance that a small flat deposit, too few voxels for a form, is a sheet at all."""

BONE_MM = 7.0
"""Middle of what lies at a joint's capsule, from bone: capsules lie on the bones' ends, some 4 mm thick, and the
capsule's own reach of 3 mm beyond it."""

PULP_SHARE = 0.25
"""In a digit a deposit with more skin and fat about it than that lies in the pulp, however near the joint (ours)."""

BLUR_MM = 2.0
"""Full width of a CT's blur: that near to a deposit its calcium makes fat read like muscle."""

JOINTED = ("hand", "fingers", "foot", "toes")
"""Regions with a joint every few centimetres: all that lies on bone there lies at a joint, but over the metacarpals."""

CARPUS_MM = 30.0
"""From the wrist's joint to the bases of the metacarpals: the carpus is 34 mm high in its middle (0.54 of the third
metacarpal's 64 mm: Youm 1978, J Bone Joint Surg 60A:423), and less at its sides."""

KNUCKLE_MM = 2.0
"""From the first of the fingers, the metacarpals' heads, to their knuckles' capsules, which begin at the necks."""


@dataclass(frozen=True)
class Surroundings:
    """What lies around a lesion; shares are of voxels, distances in mm.

    Attributes
    ----------
    shares
        Share of each compartment's tissue in the shell (skin, subcutaneous, muscle, other); bone left out.
    depth_min, depth_mean
        Least depth of the lesion below the body's surface, and depth of the middle of its calcium or uptake, mm;
        infinite where the surface is beyond the crop.
    interface
        Share of the lesion's surface within ``shell_mm`` of the border of fat and muscle.
    to_muscle, to_fat
        Distance from the lesion to the nearest muscle and fat; infinite if beyond the crop.
    joint, joint_mm
        Nearest joint (side and name) and the distance to its capsule; ``joint_mm`` is infinite without joints.
    superficial
        Share of skin and fat beside the lesion at its own depth; NaN where unknown.
    fascia_mm
        Depth of the fascia beside it; infinite without muscle, NaN where unknown.
    bone_mean
        Distance of its middle from bone; infinite if beyond the crop.
    """

    shares: dict[str, float]
    depth_min: float
    depth_mean: float
    interface: float
    to_muscle: float
    to_fat: float
    joint: str | None
    joint_mm: float
    superficial: float = float("nan")
    fascia_mm: float = float("nan")
    bone_mean: float = float("inf")


def survey(
    mask: NDArray[np.bool_],
    labels: NDArray[np.uint8],
    spacing: Spacing,
    shell_mm: float,
    points_mm: NDArray[np.float64],
    joints: Sequence[Mapping[str, Any]],
    own_counts: bool = False,
    weights: NDArray[np.float64] | None = None,
) -> Surroundings:
    """Look around a lesion in its crop.

    Parameters
    ----------
    mask
        The lesion.
    labels
        Tissue labels of the crop, with some 10 mm of surroundings.
    shell_mm
        Thickness of the shell that is looked at.
    points_mm
        The lesion's voxels, (n, 3), RAS mm.
    joints
        ``joints`` of the anatomy.
    own_counts
        Whether the lesion's own voxels count as its surroundings: for uptake without calcification, whose labels
        nothing dense has disturbed.
    weights
        Calcium of the lesion's voxels, (n,): where its middle lies; even weights if not given.
    """
    far = distance_to(mask, spacing)
    share = np.full(int(mask.sum()), 1.0) if weights is None else np.maximum(weights, 1e-6)
    share = share / share.sum()
    # Blurred calcium makes the nearest voxels of fat read like muscle; a shell thinner than a voxel holds nothing.
    clear = 0.0 if own_counts else max(BLUR_MM, 1.01 * max(spacing[1:]))
    shell = (far > clear) & (far <= clear + max(shell_mm, 1.01 * max(spacing[1:])))
    if own_counts:
        shell |= mask
    counts = np.bincount(labels[shell], minlength=8).astype(float)
    body = counts[1:].sum() - counts[BONE]
    other = body - counts[SKIN] - counts[FAT] - counts[MUSCLE]
    shares = {"skin": counts[SKIN], "subcutaneous": counts[FAT], "muscle": counts[MUSCLE], "other": other}
    shares = {name: float(count / body) if body > 0 else 0.0 for name, count in shares.items()}
    if body <= 0:
        shares["other"] = 1.0
    fat, muscle = labels == FAT, labels == MUSCLE
    near_fat, near_muscle = distance_to(fat, spacing), distance_to(muscle, spacing)
    surface = mask & (distance_to(~mask, spacing) <= 1.01 * max(spacing))
    border = np.maximum(near_fat, near_muscle)[surface] <= shell_mm + 0.5 * max(spacing[1:])
    # Distances run between voxel centres; the surface lies half a voxel before the first one outside.
    half = 0.5 * max(spacing[1:])
    depth = voxel_depth(labels, distance_to(labels == 0, spacing), spacing)
    own = depth[mask]
    layers = read_layers(labels, depth, far, clear)
    joint, joint_mm = _nearest_joint(points_mm, joints)
    return Surroundings(
        shares,
        float(own.min()),
        float((own * share).sum()),
        float(border.mean()) if border.size else 0.0,
        float(near_muscle[mask].min()),
        float(near_fat[mask].min()),
        joint,
        joint_mm,
        float((layers.superficial(own.astype(float)) * share).sum()),
        layers.fascia_mm,
        float(((distance_to(labels == BONE, spacing)[mask] - half) * share).sum()),
    )


def _nearest_joint(points: NDArray[np.float64], joints: Sequence[Mapping[str, Any]]) -> tuple[str | None, float]:
    best: tuple[str | None, float] = (None, float("inf"))
    for joint in joints:
        centre = np.array([joint["x_mm"], joint["y_mm"], joint["z_mm"]], float)
        apart = float(np.linalg.norm(points - centre, axis=1).min()) - float(joint["radius_mm"])
        if apart < best[1]:
            best = (f"{joint['side']} {joint['name']}", max(apart, 0.0))
    return best


def hand_joint_mm(
    points: NDArray[np.float64], wrist: NDArray[np.float64] | None, fingers: NDArray[np.float64]
) -> float:
    """Distance of a lesion of the hand from carpus or knuckles, mm: between both, over the metacarpals, runs no joint.

    Parameters
    ----------
    points
        The lesion's voxels, RAS mm, (n, 3).
    wrist
        Centre of the wrist of that side, RAS mm; None if it is not in view.
    fingers
        Voxels of that side's fingers, RAS mm, (m, 3); some millimetres apart are near enough.

    Returns
    -------
    float
        0 at a joint, and where wrist or fingers are not in view: then nothing is told.
    """
    if wrist is None or not len(fingers):
        return 0.0
    carpus = float(np.linalg.norm(points - wrist, axis=1).min()) - CARPUS_MM
    knuckles = float(cKDTree(fingers).query(points)[0].min()) - KNUCKLE_MM
    return max(0.0, min(carpus, knuckles))


def probabilities(
    around: Surroundings, *, sheet: float, region: str | None, capsule_mm: float, hand_mm: float = 0.0
) -> dict[str, float]:
    """Probability of each compartment; they add up to 1.

    The shares of the shell are the start, weighed by the layers: what is fat beside the lesion at its depth. A lesion
    whose middle lies in the skin's depth is skin's. A sheet (``sheet``: the chance that it is one) along the border of
    fat and muscle, its middle at the fascia's depth, is fascia's. What touches a joint's capsule, is deep to fat and
    lies on bone is periarticular; in the hand and foot whatever lies on bone, ``hand_mm`` from a joint. In digits skin
    and subcutaneous tissue are one, and pulp goes before joint.
    """
    shares = around.shares
    light, deep = shares["skin"] + shares["subcutaneous"], shares["muscle"]
    other = shares["other"]
    if light + deep > 0 and np.isfinite(around.superficial):
        # Two witnesses: what lies about the lesion, and what lies beside it at its depth.
        part = 0.5 * light / (light + deep) + 0.5 * around.superficial
        light, deep = part * (light + deep), (1.0 - part) * (light + deep)
    digit = region in DIGITS
    in_skin = _step(SKIN_DEPTH_MM - around.depth_mean, 0.0, SKIN_DOUBT_MM)
    result = dict.fromkeys(COMPARTMENTS, 0.0)
    result["subcutaneous"] = light * (1.0 - in_skin)
    result["muscle"] = deep * (1.0 - in_skin)
    result["other"] = other * (1.0 - in_skin)
    result["subcutaneous" if digit else "skin"] += in_skin * (light + deep + other)
    along = 0.0 if digit else float(sheet) * _step(around.interface, FASCIA_SHARE, 0.1)
    if along > 0 and np.isfinite(around.fascia_mm) and np.isfinite(around.depth_mean):
        along *= _step(FASCIA_MM - abs(around.depth_mean - around.fascia_mm), 0.0, 0.3)
    for name in ("subcutaneous", "muscle"):
        result["fascia"] += along * result[name]
        result[name] *= 1.0 - along
    joint_mm = hand_mm if region in JOINTED and np.isfinite(around.bone_mean) else around.joint_mm
    if np.isfinite(joint_mm):
        near = _step(capsule_mm - joint_mm, 0.0, PLACE_DOUBT_MM)
        near *= _step(BONE_MM - around.bone_mean, 0.0, PLACE_DOUBT_MM)
        if digit and light > PULP_SHARE * (light + deep):
            near = 0.0
        for name in ("muscle", "other", "fascia"):
            result["periarticular"] += near * result[name]
            result[name] *= 1.0 - near
    total = sum(result.values())
    return {name: value / total for name, value in result.items()} if total > 0 else {**result, "other": 1.0}


def _step(value: float, at: float, width: float) -> float:
    """Logistic step: 1/2 at ``at``, nine tenths 2.2 ``width`` beyond."""
    return float(1.0 / (1.0 + np.exp(-np.clip((value - at) / width, -40, 40))))


def sentence(
    compartment: str,
    chances: Mapping[str, float],
    around: Surroundings,
    *,
    shell_mm: float,
    depth_mm: float | None,
    sheet: bool,
    region: str | None,
) -> str:
    """Why the compartment was chosen: one sentence with the numbers."""
    names = {"skin": "skin", "subcutaneous": "subcutaneous fat", "muscle": "muscle", "other": "other tissue"}
    main = max(around.shares, key=lambda name: (around.shares[name], name))
    parts = [f"{100 * around.shares[main]:.0f} % of the {shell_mm:g} mm shell is {names[main]}"]
    if compartment == "skin":
        parts.append(f"its middle lies {around.depth_mean:.1f} mm deep, in the skin")
    if depth_mm is not None and np.isfinite(depth_mm):
        parts.append(f"{depth_mm:.0f} mm under the surface")
    if compartment == "fascia" or (sheet and around.interface > 0.2):
        parts.append(f"a sheet, {100 * around.interface:.0f} % of it along the border of fat and muscle")
    digit = region in DIGITS
    small = region in JOINTED and np.isfinite(around.bone_mean) and around.joint_mm > CARPUS_MM
    if compartment == "periarticular" and small:
        # Of hands and feet the anatomy knows no joint but wrist and ankle.
        parts.append(f"its middle {max(around.bone_mean, 0.0):.0f} mm from bone, in the {region}, full of small joints")
    elif compartment == "periarticular" and around.joint:
        parts.append(f"{around.joint_mm:.0f} mm from the capsule of the {around.joint}")
    if compartment in ("subcutaneous", "skin") and np.isfinite(around.to_muscle):
        parts.append(f"fascia {around.to_muscle:.0f} mm deeper")
    elif np.isfinite(around.fascia_mm) and np.isfinite(around.depth_mean):
        parts.append(f"its middle {around.depth_mean:.0f} mm deep, the fascia beside it {around.fascia_mm:.0f} mm")
    if compartment == "muscle" and np.isfinite(around.to_fat):
        parts.append(f"fat {around.to_fat:.0f} mm away")
    if digit and compartment == "subcutaneous":
        parts.append("in a digit, where skin and subcutaneous tissue are one")
    second = sorted(((value, name) for name, value in chances.items() if name != compartment), reverse=True)[0]
    if second[0] >= 0.2:
        parts.append(f"could be {second[1]} ({100 * second[0]:.0f} %)")
    return "; ".join(parts) + "."
