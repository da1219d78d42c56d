"""Diffuse uptake of muscle, as of active myositis: one finding for a muscle group, not a lesion for each patch."""

from collections.abc import Mapping, Sequence
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

from calciflow.anatomy.midline import sides
from calciflow.deposits.scene import PetScene
from calciflow.measure.boxes import box_of, distance_to, grow, offset

DIFFUSE_ML = 20.0
"""Muscle that takes up too much is diffuse rather than focal from that volume on; ours."""

BLOOD_RATIO = 1.4
"""Muscle with more vessels than others shows up to about the blood pool's uptake; inflamed muscle takes up more. The
blood pool is measured to within 5 % (ten phantoms). Ours."""

FRINGE = 0.5
"""Muscle hangs together where its uptake rises by that share of what a focus needs: patches lie in one muscle."""

FOCAL = 2.0
"""What rises that many times as far as the middle of the muscle's uptake stands out of it: a focus of its own."""

FOCAL_Z = 4.0
"""And by that many standard deviations of the filtered noise."""

MUSCLE = 0.5
"""Share of muscle in a voxel of muscle."""

OTHER = 0.2
"""Share of bone and organs in a voxel beside muscle that may show muscle's uptake: less than that."""

MOSTLY = 0.6
"""Share of muscle in a zone, at least."""

PATCH_CHANCE = 0.75
"""A patch elsewhere is no hotter than most of the scan's inflamed muscle, as blur takes from it: its hottest voxel is
one that as many voxels of that muscle, as far apart as noise is independent, exceed with a chance of a quarter."""

MODEST = 5.0
"""The middle of inflamed muscle's uptake over normal muscle's, at most; a mass takes up more. Judged by the median: the
maximum of some thousand voxels grows with their number and with noise. Patches and noise lift the maximum by a fifth or
more over the middle, so that this is no stricter than 6 for the maximum, as for what is found as a focus; ours."""


def diffuse_zones(
    scene: PetScene, needed: NDArray[np.float32], midline: Mapping[str, Any] | None = None
) -> list[NDArray[np.int64]]:
    """Find muscle groups of at least ``DIFFUSE_ML`` that take up too much.

    Parameters
    ----------
    needed
        Filtered excess that a focus must exceed, SUV, on the scene's grid.
    midline
        The body's plane of symmetry: a zone that reaches over it, as where both thighs touch, is two.

    Returns
    -------
    list of (n, 3) arrays
        Indices (z, y, x) on the scene's grid of what takes up too much, from the largest zone down. A zone leaves out
        foci that stand out of it, with a width of the PET's blur around them.

    Notes
    -----
    Uptake in muscle without calcification, diffuse or on both sides, is seen in active myositis (An et al. 2014); it is
    patchy, and each patch would pass for a focus.
    """
    muscle = scene.shares["muscle"] > MUSCLE
    over = scene.filtered > needed
    # Blur carries muscle's uptake over its border, and the map takes thin muscle for fat.
    soft = muscle | (over & (scene.shares["bone"] + scene.shares["organs"] < OTHER))
    labels = cc3d.connected_components((scene.filtered > FRINGE * needed) & soft, connectivity=18)
    sizes = np.bincount(labels[over], minlength=1)
    sizes[0] = 0
    boxes = cc3d.statistics(labels)["bounding_boxes"]
    zones = []
    for label in np.flatnonzero(sizes * scene.suv.voxel_ml >= DIFFUSE_ML):
        box = grow(boxes[label], scene.fwhm_mm, scene.suv.spacing, labels.shape)
        own = (labels[box] == label) & over[box]
        if muscle[box][own].mean() < MOSTLY:
            continue
        if float(np.median(scene.suv.array[box][own])) < BLOOD_RATIO * scene.uptakes.reference:
            continue
        zone = own & ~_foci_in(own, scene, box)
        if zone.sum() * scene.suv.voxel_ml >= DIFFUSE_ML:
            zones += _by_side(np.argwhere(zone) + offset(box), scene, midline)
    return sorted(zones, key=lambda zone: -len(zone))


def modest(zone: NDArray[np.int64], scene: PetScene) -> bool:
    """Whether a zone's uptake is as modest as inflamed muscle's."""
    where = tuple(zone.T)
    usual = max(float(np.median(scene.background[where])), 1e-3)
    return float(np.median(scene.suv.array[where])) < MODEST * usual


def is_patch(focus: NDArray[np.int64], zones: Sequence[NDArray[np.int64]], scene: PetScene) -> bool:
    """Whether a focus may be one more patch of the muscle disease that the scan shows elsewhere.

    It lies in muscle, and is no hotter than as much of a zone of inflamed muscle (``PATCH_CHANCE``): what is left of a
    muscle group whose other patches stay below the threshold.

    Parameters
    ----------
    focus
        Indices (n, 3) of its voxels on the scene's grid.
    zones
        Those of each zone of inflamed muscle; with none of them there is no patch.
    """
    where = tuple(focus.T)
    if not zones or float(scene.shares["muscle"][where].mean()) < MOSTLY:
        return False
    alike_ml = scene.uptakes.noise_fwhm_mm**3 / 1000.0
    number = max(1.0, len(focus) * scene.suv.voxel_ml / alike_ml)
    quantile = PATCH_CHANCE ** (1.0 / number)
    level = max(float(np.quantile(scene.suv.array[tuple(zone.T)], quantile)) for zone in zones)
    return float(scene.suv.array[where].max()) <= level


def _by_side(zone: NDArray[np.int64], scene: PetScene, midline: Mapping[str, Any] | None) -> list[NDArray[np.int64]]:
    """A zone's left and right part where both are diffuse by themselves; else the zone, which overlaps the middle."""
    # In the PET's own space: what separates it from the CT's is far less than a muscle's width.
    side = sides(scene.suv.world(zone), midline)
    if side is None:
        return [zone]
    parts = [zone[side < 0], zone[side > 0]]
    if min(len(part) for part in parts) * scene.suv.voxel_ml < DIFFUSE_ML:
        return [zone]
    # The plane itself goes with the first, lest a voxel be lost.
    return [zone[side <= 0], parts[1]]


def _foci_in(own: NDArray[np.bool_], scene: PetScene, box: tuple[slice, slice, slice]) -> NDArray[np.bool_]:
    """What stands out of a zone, and a width of the blur around it."""
    filtered = scene.filtered[box]
    level = float(np.median(filtered[own]))
    hot = own & (filtered > np.maximum(FOCAL * level, level + FOCAL_Z * scene.filtered_noise[box]))
    tight = box_of(hot)
    if tight is None:
        return hot
    wide = grow(tight, scene.fwhm_mm, scene.suv.spacing, own.shape)
    hot[wide] = distance_to(hot[wide], scene.suv.spacing) <= scene.fwhm_mm
    return hot
