"""Compartment of a lesion from the tissue around it, with probabilities and a reason in plain words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calciflow.labels import COMPARTMENTS, TISSUES
from calciflow.measure.boxes import Spacing, distance_to

SKIN, FAT, MUSCLE, BONE = TISSUES["skin"], TISSUES["subcutaneous_fat"], TISSUES["muscle"], TISSUES["bone"]
DIGITS = ("fingers", "toes")

PLACE_DOUBT_MM = 1.0
"""Where a tissue border is drawn is known to about that: sets how fast probabilities turn."""

SKIN_REACH_MM = 0.8
"""A lesion in the skin comes that near to the surface ..."""

SKIN_DEPTH_MM = 4.0
"""... and lies on average no deeper: skin is 1 to 4 mm thick, and a nodule in it bulges inwards."""

FASCIA_SHARE = 0.5
"""A sheet is fascial if that share of its surface lies along the border of fat and muscle."""

DEEP_FAT_SHARE = 0.5
"""A deposit with more subcutaneous fat around it than this is not deep to fat."""


@dataclass(frozen=True)
class Surroundings:
    """What lies around a lesion; shares are of voxels, distances in mm.

    Attributes
    ----------
    shares
        Share of each compartment's tissue in the shell (skin, subcutaneous, muscle, other); bone left out.
    depth_min, depth_mean
        Depth of the lesion's voxels below the body's surface, mm; infinite where the surface is beyond the crop.
    interface
        Share of the lesion's surface within ``shell_mm`` of the border of fat and muscle.
    to_muscle, to_fat
        Distance from the lesion to the nearest muscle and fat; infinite if beyond the crop.
    joint, joint_mm
        Nearest joint (side and name) and the distance to its capsule; ``joint_mm`` is infinite without joints.
    """

    shares: dict[str, float]
    depth_min: float
    depth_mean: float
    interface: float
    to_muscle: float
    to_fat: float
    joint: str | None
    joint_mm: float


def survey(
    mask: NDArray[np.bool_],
    labels: NDArray[np.uint8],
    spacing: Spacing,
    shell_mm: float,
    points_mm: NDArray[np.float64],
    joints: Sequence[Mapping[str, Any]],
    own_counts: bool = False,
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
    """
    far = distance_to(mask, spacing)
    # A shell thinner than a voxel holds nothing.
    shell = (far <= max(shell_mm, 1.01 * max(spacing[1:]))) & ~mask
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
    depth = distance_to(labels == 0, spacing)[mask] - 0.5 * max(spacing[1:])
    joint, joint_mm = _nearest_joint(points_mm, joints)
    return Surroundings(
        shares,
        float(depth.min()),
        float(depth.mean()),
        float(border.mean()) if border.size else 0.0,
        float(near_muscle[mask].min()),
        float(near_fat[mask].min()),
        joint,
        joint_mm,
    )


def _nearest_joint(points: NDArray[np.float64], joints: Sequence[Mapping[str, Any]]) -> tuple[str | None, float]:
    best: tuple[str | None, float] = (None, float("inf"))
    for joint in joints:
        centre = np.array([joint["x_mm"], joint["y_mm"], joint["z_mm"]], float)
        apart = float(np.linalg.norm(points - centre, axis=1).min()) - float(joint["radius_mm"])
        if apart < best[1]:
            best = (f"{joint['side']} {joint['name']}", max(apart, 0.0))
    return best


def probabilities(around: Surroundings, *, sheet: bool, region: str | None, capsule_mm: float) -> dict[str, float]:
    """Probability of each compartment; they add up to 1.

    The shares of the shell are the start. A lesion that reaches the surface and stays shallow is skin's. A sheet
    along the border of fat and muscle is fascia's, by how much of it lies there. What touches a joint's capsule and
    is deep to fat is periarticular, by how near it is. In digits skin and subcutaneous tissue are one, and pulp
    goes before joint.
    """
    result = dict.fromkeys(COMPARTMENTS, 0.0)
    for name, share in around.shares.items():
        result[name] += share
    digit = region in DIGITS
    # The shell always grazes the skin of what lies just under it: only what reaches the surface and stays shallow is
    # the skin's.
    in_skin = _step(SKIN_REACH_MM - around.depth_min, 0.0, 0.3) * _step(SKIN_DEPTH_MM - around.depth_mean, 0.0, 0.7)
    grazed = result["skin"]
    result["skin"] = 0.0
    base = sum(result.values())
    if base > 0:
        result = {name: value / base for name, value in result.items()}
    elif grazed > 0:
        result["subcutaneous"] = 1.0
    result = {name: value * (1.0 - in_skin) for name, value in result.items()}
    result["subcutaneous" if digit else "skin"] += in_skin
    if sheet:
        along = _step(around.interface, FASCIA_SHARE, 0.1)
        moved = along * (result["subcutaneous"] + result["muscle"])
        result["subcutaneous"] *= 1.0 - along
        result["muscle"] *= 1.0 - along
        result["fascia"] += moved
    if np.isfinite(around.joint_mm):
        superficial = around.shares["subcutaneous"] + around.shares["skin"]
        deep = _step(DEEP_FAT_SHARE - superficial, 0.0, 0.1)
        near = _step(capsule_mm - around.joint_mm, 0.0, PLACE_DOUBT_MM) * deep
        if digit and superficial > DEEP_FAT_SHARE / 2:
            near = 0.0
        for name in ("muscle", "subcutaneous", "other", "fascia"):
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
    digit: bool,
) -> str:
    """Why the compartment was chosen: one sentence with the numbers."""
    names = {"skin": "skin", "subcutaneous": "subcutaneous fat", "muscle": "muscle", "other": "other tissue"}
    main = max(around.shares, key=lambda name: (around.shares[name], name))
    parts = [f"{100 * around.shares[main]:.0f} % of the {shell_mm:g} mm shell is {names[main]}"]
    if compartment == "skin":
        parts.append(f"reaches the surface and lies {around.depth_mean:.0f} mm deep on average")
    if depth_mm is not None and np.isfinite(depth_mm):
        parts.append(f"{depth_mm:.0f} mm under the surface")
    if compartment == "fascia" or (sheet and around.interface > 0.2):
        parts.append(f"a sheet, {100 * around.interface:.0f} % of it along the border of fat and muscle")
    if compartment == "periarticular" and around.joint:
        parts.append(f"{around.joint_mm:.0f} mm from the capsule of the {around.joint}")
    if compartment in ("subcutaneous", "skin") and np.isfinite(around.to_muscle):
        parts.append(f"fascia {around.to_muscle:.0f} mm deeper")
    if compartment == "muscle" and np.isfinite(around.to_fat):
        parts.append(f"fat {around.to_fat:.0f} mm away")
    if digit and compartment == "subcutaneous":
        parts.append("in a digit, where skin and subcutaneous tissue are one")
    second = sorted(((value, name) for name, value in chances.items() if name != compartment), reverse=True)[0]
    if second[0] >= 0.2:
        parts.append(f"could be {second[1]} ({100 * second[0]:.0f} %)")
    return "; ".join(parts) + "."
