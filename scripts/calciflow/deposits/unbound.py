"""Tracer that no mineral binds: what was spilled, excreted, or left where it went in.

Fluoride stays where it meets mineral. A focus without calcium that is hotter than the skeleton holds none that could
bind it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from calciflow.deposits.nolesion import MOSTLY
from calciflow.deposits.pet import Focus
from calciflow.deposits.scene import PetScene
from calciflow.images import Volume
from calciflow.labels import region_of
from calciflow.mapping import Mapping, ct_voxels

BONE_QUANTILE, HOTTER = 0.99, 1.5
"""SUV of bone that only joints and disease exceed, and by how much more a focus must: of twelve phantoms' true foci
without calcium none reached 1.2 times that; spilled urine and injections 1.3 to 3 times."""

LEAST_BONE_ML = 20.0
"""Bone in view that says how hot a skeleton is."""

FREE_OF_BONE = 0.05
"""Share of bone in its uptake up to which a focus is none of a joint's, which may be as hot."""

ARMS = ("upper_arm", "elbow", "forearm", "hand")


def bone_level(scene: PetScene) -> float:
    """SUV that little of the skeleton exceeds; infinite if there is too little bone in view."""
    bone = scene.shares["bone"] > MOSTLY
    if bone.sum() * scene.suv.voxel_ml < LEAST_BONE_ML:
        return float("inf")
    return float(np.quantile(scene.suv.array[bone], BONE_QUANTILE))


def region_at_peak(
    focus: Focus, scene: PetScene, regions: NDArray[np.uint8], ct: Volume, mapping: Mapping
) -> tuple[str, str] | None:
    """Region and side where a focus is hottest; None outside the body or the CT."""
    places = ct_voxels(scene.suv.world(np.array([focus.peak])), ct, mapping)
    label = int(regions[tuple(places[0])]) if len(places) else 0
    return region_of(label) if label else None


def is_injection(at: tuple[str, str] | None, sites: Sequence[str]) -> bool:
    """Whether a place is one of the regions, as ``left elbow``, that the configuration names."""
    return at is not None and f"{at[1]} {at[0]}" in sites


def perhaps_unbound(focus: Focus, scene: PetScene, level: float, at: tuple[str, str] | None) -> str | None:
    """Flag of a focus without calcium that is hotter than mineral gets; None if it is not.

    Parameters
    ----------
    level
        As ``bone_level`` gives it.
    at
        Region and side of its peak.
    """
    if focus.diffuse or focus.bone_fraction > FREE_OF_BONE or float(scene.suv.array[focus.peak]) <= HOTTER * level:
        return None
    return "injection site?" if at is not None and at[0] in ARMS else "contamination?"
