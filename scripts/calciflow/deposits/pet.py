"""PET foci, found and delimited on the PET grid."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

from calciflow.deposits.diffuse import diffuse_zones, modest
from calciflow.deposits.scene import FILTER, PetScene
from calciflow.measure.amplitude import SPILL_DOUBT

SADDLE = 0.75
"""Two maxima are two foci if the uptake between them falls below this share of the lower one, and ..."""

PROMINENCE = 4.0
"""... by that many standard deviations of the filtered noise: less is noise on one focus."""

POINT_SHARE = 0.7
"""A point source fills pi/6 FWHM^3 at half height; what fills less than that share of it is no uptake but noise."""

NOISE_TAIL = 4.0
"""Noise of few counts is skewed: its upper tail is up to that many times as long as a Gaussian's (``slice_tails``)."""

WIDTH_VOXELS = 6
"""The width of a focus is looked at that far about its peak."""

LARGEST_SPLIT = 60_000
"""A component of more voxels is no deposit that could be split."""

FIXED_LEVELS = {"SUV10": 10.0, "SUV15": 15.0}
PERCENTS = {"41%": 0.41, "50%": 0.50}


@dataclass
class Focus:
    """A PET focus on the scene's grid.

    Attributes
    ----------
    voxels
        (n, 3) indices (z, y, x) of the delimited focus.
    basin
        (m, 3) indices of all that belongs to its maximum, down to the detection threshold.
    heights
        (m,) excess of the basin's voxels over what is explained, SUV.
    peak
        Index of its highest voxel.
    significance
        Filtered excess over its noise.
    bone_fraction, organ_fraction
        Share of its uptake that spill from bone, and from organs, explains.
    diffuse
        Whether it is a diffusely hot muscle group rather than a focus.
    """

    voxels: NDArray[np.int64]
    basin: NDArray[np.int64]
    heights: NDArray[np.float32]
    peak: tuple[int, int, int]
    significance: float
    bone_fraction: float
    organ_fraction: float
    diffuse: bool = False
    flags: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PetRules:
    """How foci are found on PET."""

    threshold: str = "relative"
    suv_absolute: float = 4.0
    rise: float = 0.4
    z: float = 5.2
    min_volume_ml: float = 0.05
    tolerance_mm: float = 3.0

    @property
    def level(self) -> float | None:
        """SUV that a focus must reach under the fixed thresholds; None under the relative ones."""
        if self.threshold == "absolute":
            return self.suv_absolute
        return FIXED_LEVELS.get(self.threshold)


def needed_excess(scene: PetScene, rules: PetRules) -> NDArray[np.float32]:
    """Filtered excess that a focus must exceed, SUV.

    The larger of ``z`` times the filtered noise and the least rise (a share of the blood pool's uptake), plus the
    doubt of the predicted spill: ``SPILL_DOUBT`` of it, and what half the registration's tolerance would shift of
    it.
    """
    spill = scene.spill.bone + scene.spill.organs
    slope = np.zeros(spill.shape, np.float32)
    for axis, step in enumerate(scene.suv.spacing):
        if spill.shape[axis] > 1:
            slope += np.gradient(spill, step, axis=axis).astype(np.float32) ** 2
    doubt = np.hypot(SPILL_DOUBT * spill, 0.5 * rules.tolerance_mm * np.sqrt(slope))
    rise = rules.rise * scene.uptakes.reference
    return (np.maximum(rules.z * scene.filtered_noise, rise) + doubt).astype(np.float32)


def find_foci(
    scene: PetScene, rules: PetRules, midline: Mapping[str, Any] | None = None
) -> tuple[list[Focus], Counter[str]]:
    """Find foci of uptake outside bone and organs.

    ``midline`` is the body's plane of symmetry: diffuse uptake of both sides is two findings.

    Returns
    -------
    list of Focus, Counter
        In falling order of their height; what is left out by its own volume or level, by cause.
    """
    dropped: Counter[str] = Counter()
    excess = scene.excess()
    filtered, needed = scene.filtered, needed_excess(scene, rules)
    significance = (filtered / np.maximum(needed, 1e-6) * rules.z).astype(np.float32)
    over = filtered > needed
    zones = diffuse_zones(scene, needed, midline)
    for zone in zones:
        over[tuple(zone.T)] = False
    labels = cc3d.connected_components(over, connectivity=18)
    count = int(labels.max())
    boxes = cc3d.statistics(labels)["bounding_boxes"] if count else []
    foci = [_whole(zone, excess, significance, scene) for zone in zones]
    voxel_ml = scene.suv.voxel_ml
    # Found in the filtered image, a point source is as wide as both blurs together.
    least_ml = POINT_SHARE * np.pi / 6.0 * (scene.fwhm_mm**2 * (1.0 + FILTER**2)) ** 1.5 / 1000.0
    for label in range(1, count + 1):
        box = boxes[label]
        mask = labels[box] == label
        start = np.array([part.start for part in box])
        for basin in split(np.where(mask, filtered[box], -np.inf).astype(np.float32), scene.filtered_noise[box]):
            focus = _delimit(basin + start, excess, significance, scene, rules)
            if rules.level is not None and scene.suv.array[focus.peak] < rules.level:
                dropped[f"below SUV {rules.level:g}"] += 1
            elif half_height(focus, filtered) * voxel_ml < least_ml and not _beyond_noise(focus, scene, rules):
                dropped["narrower than the PET's blur"] += 1
            elif len(focus.voxels) * voxel_ml < rules.min_volume_ml:
                dropped["too small"] += 1
            else:
                foci.append(focus)
    foci.sort(key=lambda f: (-float(excess[f.peak]), f.peak))
    return foci, dropped


def _beyond_noise(focus: Focus, scene: PetScene, rules: PetRules) -> bool:
    """Whether a focus is higher than any noise: of voxels as wide as the blur a point fills but one or two."""
    return bool(scene.filtered[focus.peak] > NOISE_TAIL * rules.z * scene.filtered_noise[focus.peak])


def half_height(focus: Focus, filtered: NDArray[np.float32]) -> int:
    """Voxels about a focus' peak that are connected to it at half its height in the filtered image.

    Those below the threshold of detection as well: of a faint focus only the tip is over it.
    """
    peak = max(focus.basin.tolist(), key=lambda place: float(filtered[tuple(place)]))
    box = tuple(slice(max(0, at - WIDTH_VOXELS), at + WIDTH_VOXELS + 1) for at in peak)
    crop = filtered[box]
    top = tuple(at - part.start for at, part in zip(peak, box, strict=True))
    parts = cc3d.connected_components(np.ascontiguousarray(crop >= 0.5 * crop[top]), connectivity=6)
    return int((parts == parts[top]).sum())


def split(height: NDArray[np.float32], noise: NDArray[np.float32]) -> list[NDArray[np.int64]]:
    """Split a component into the basins of its maxima, in falling order of height.

    Voxels are taken from the highest down; one without a taken neighbour starts a basin, one between two basins
    joins them unless it lies below ``SADDLE`` of the lower maximum and ``PROMINENCE`` times the noise below it.
    Minus infinity is outside.

    Returns
    -------
    list of (n, 3) arrays
        Indices of each basin's voxels.
    """
    places = np.argwhere(np.isfinite(height))
    if len(places) > LARGEST_SPLIT or len(places) <= 2:
        return [places]
    values = height[tuple(places.T)]
    order = np.argsort(-values, kind="stable")
    owner = np.full(np.array(height.shape) + 2, -1, np.int64)
    parents: list[int] = []
    tops: list[float] = []
    steps = [(a, b, c) for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1) if 0 < abs(a) + abs(b) + abs(c) < 3]

    def root(label: int) -> int:
        while parents[label] != label:
            parents[label] = parents[parents[label]]
            label = parents[label]
        return label

    for rank in order:
        z, y, x = (int(v) + 1 for v in places[rank])
        value = float(values[rank])
        local = float(noise[z - 1, y - 1, x - 1])
        near = sorted({root(int(owner[z + a, y + b, x + c])) for a, b, c in steps if owner[z + a, y + b, x + c] >= 0})
        if not near:
            parents.append(len(parents))
            tops.append(value)
            owner[z, y, x] = len(parents) - 1
            continue
        best = max(near, key=lambda label: (tops[label], -label))
        owner[z, y, x] = best
        for label in near:
            if label != best and value >= min(SADDLE * tops[label], tops[label] - PROMINENCE * local):
                parents[label] = best
    roots = np.array([root(int(owner[tuple(p + 1)])) for p in places])
    ranks = sorted(set(roots.tolist()), key=lambda label: (-tops[label], label))
    return [places[roots == label] for label in ranks]


def _delimit(
    basin: NDArray[np.int64],
    excess: NDArray[np.float32],
    significance: NDArray[np.float32],
    scene: PetScene,
    rules: PetRules,
) -> Focus:
    """Delimit a focus in its basin by the rule, and tell what of it is spill."""
    where = tuple(basin.T)
    heights = excess[where]
    top = int(np.argmax(heights))
    suv = scene.suv.array[where]
    if rules.level is not None:
        chosen = suv >= rules.level
    elif rules.threshold in PERCENTS:
        chosen = suv >= PERCENTS[rules.threshold] * suv[top]
    else:
        chosen = heights >= 0.5 * heights[top]
    chosen[top] = True
    voxels = basin[chosen]
    low = voxels.min(axis=0)
    grid = np.zeros(voxels.max(axis=0) - low + 1, np.uint8)
    grid[tuple((voxels - low).T)] = 1
    parts = cc3d.connected_components(grid, connectivity=18)
    voxels = voxels[parts[tuple((voxels - low).T)] == parts[tuple(basin[top] - low)]]
    bone_fraction, organ_fraction = _explained(voxels, scene)
    return Focus(
        voxels=voxels,
        basin=basin,
        heights=heights,
        peak=(int(basin[top][0]), int(basin[top][1]), int(basin[top][2])),
        significance=float(significance[where].max()),
        bone_fraction=bone_fraction,
        organ_fraction=organ_fraction,
    )


def _whole(
    voxels: NDArray[np.int64], excess: NDArray[np.float32], significance: NDArray[np.float32], scene: PetScene
) -> Focus:
    """A diffusely hot muscle group as it is: no half height, no basin."""
    where = tuple(voxels.T)
    peak = voxels[int(np.argmax(excess[where]))]
    bone_fraction, organ_fraction = _explained(voxels, scene)
    return Focus(
        voxels=voxels,
        basin=voxels,
        heights=excess[where],
        peak=(int(peak[0]), int(peak[1]), int(peak[2])),
        significance=float(significance[where].max()),
        bone_fraction=bone_fraction,
        organ_fraction=organ_fraction,
        diffuse=True,
        flags=["possible myositis"] if modest(voxels, scene) else [],
    )


def _explained(voxels: NDArray[np.int64], scene: PetScene) -> tuple[float, float]:
    """Shares of the uptake that spill from bone, and from organs, explains."""
    inner = tuple(voxels.T)
    total = max(float(np.maximum(scene.suv.array[inner], 0).sum(dtype=np.float64)), 1e-6)
    parts = (scene.spill.bone, scene.spill.organs)
    bone, organs = (float(np.clip(part[inner].sum(dtype=np.float64) / total, 0, 1)) for part in parts)
    return bone, organs
