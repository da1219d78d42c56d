"""CT deposits, found and delimited on the CT grid."""

from collections import Counter
from dataclasses import dataclass, field

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import ndtr, ndtri

from calciflow.deposits.crop import CtCrop, rim_of
from calciflow.deposits.edge import beyond_edge
from calciflow.deposits.reference import DEFAULT_NOISE_HU, MAD_TO_SD, SOFT_TISSUE_HU
from calciflow.deposits.surroundings import LEAST_PLAIN, beside_air, surroundings
from calciflow.images import Volume
from calciflow.measure.boxes import (
    FWHM_PER_SIGMA,
    Box,
    Spacing,
    box_of,
    distance_to,
    grow,
    offset,
    whole,
    widen,
)
from calciflow.measure.density import (
    Density,
    agatston,
    measure_density,
    plateau,
    smoothed,
)

MARGIN_MM = 12.0
"""Surroundings of a candidate that its background is taken from."""

FALSE_PER_SCAN = 0.05
"""Noise maxima that a scan is allowed to pass, on average."""

HINT_VOXELS = 6
HINT_NOISE = 1.8
"""A small component is looked at closely if its 3 x 3 mean rises by that many standard deviations of a voxel."""

EDGE_DOUBT = 1.6
"""Voxels by which the map may draw bone too thin: half of one by drawing whole voxels, and one by a mistake. A seed
beside the rim then lies on bone's true edge, at half its height, and the rim a voxel within it; the tenth is for soft
tissue brighter than assumed."""

DENSEST_SOFT_HU = 70.0
"""Muscle, tendon and fresh blood read 40 to 70 HU without contrast agent."""

_CUBE = np.ones((3, 3, 3), bool)

THICK_SLICE_MM = 3.3
"""Thicker slices are wider than bone's edge is blurred (2 to 3 mm)."""

STREAK_MARGIN = 1.2
"""Streaks between bones give CT noise longer tails than a Gaussian's: the needed significance is raised by that."""

MOST_CANDIDATES = 4000
"""With more components than these the noise is worse than measured: the threshold is raised until fewer are left."""


@dataclass
class Deposit:
    """A CT deposit.

    Attributes
    ----------
    box
        Its crop in the CT grid, surroundings included.
    mask
        Local half-maximum mask in the crop.
    territory
        Voxels of the crop that may be counted for its mass.
    peak
        Index of its highest voxel in the CT grid (z, y, x).
    significance
        Peak contrast over the local noise, both smoothed.
    """

    box: Box
    mask: NDArray[np.bool_]
    territory: NDArray[np.bool_]
    density: Density
    agatston: float | None
    peak: tuple[int, int, int]
    significance: float
    flags: list[str] = field(default_factory=list)

    @property
    def voxels(self) -> NDArray[np.int64]:
        """Indices of its voxels in the CT grid, (n, 3), order (z, y, x)."""
        return np.argwhere(self.mask) + offset(self.box)


@dataclass(frozen=True)
class CtRules:
    """How deposits are found on CT; HU, mm and ml."""

    threshold: NDArray[np.float32]
    """Threshold of every slice."""
    noise: NDArray[np.float32]
    """Noise of every slice."""
    blur_mm: tuple[float, float, float]
    min_volume_ml: float
    merge_mm: float
    streaked: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, int))
    """Slices with metal: there streaks brighten tissue as well as deposits do."""


def false_alarm_z(volume_ml: float, element_ml: float) -> float:
    """Significance that pure noise exceeds ``FALSE_PER_SCAN`` times in so much tissue.

    The tissue holds volume / element independent values, each above z with the Gaussian's upper tail; the expected
    number of noise maxima is their product.
    """
    count = max(volume_ml / max(element_ml, 1e-4), 1.0)
    return -float(ndtri(min(FALSE_PER_SCAN / count, 0.1)))


def find_deposits(
    ct: Volume, tissues: NDArray[np.uint8], bone: NDArray[np.bool_], rules: CtRules
) -> tuple[list[Deposit], Counter[str]]:
    """Find calcified deposits outside bone.

    Parameters
    ----------
    ct
        HU, int16.
    tissues
        Tissue labels on the CT grid.
    bone
        The skeleton on the CT grid (without the pieces that may be deposits).

    Returns
    -------
    list of Deposit, Counter
        Ordered from head to toe; what was dropped here, by cause.

    Notes
    -----
    Seeds are voxels over the threshold and not in bone or the one voxel of partial volume around it. Around each seed
    the local background is interpolated from plain tissue, and the deposit is what exceeds half the local plateau over
    it; it may reach back into bone's rim, so a deposit that touches bone keeps its flank. Pieces less than
    ``merge_mm`` apart are one deposit; what is farther apart at half its own height is two.
    """
    dropped: Counter[str] = Counter()
    body_box = box_of(tissues > 0)
    if body_box is None:
        return [], dropped
    hu, labels, skeleton = ct.array[body_box], tissues[body_box], bone[body_box]
    spacing = ct.spacing
    noise = rules.noise[body_box[0]]
    threshold = rules.threshold[body_box[0], None, None].astype(np.float32)
    rim = rim_of(skeleton, spacing)
    steady = ~np.isin(np.arange(len(ct.array)), rules.streaked)[body_box[0]]
    over = (labels > 0) & ~skeleton & (hu >= np.ceil(threshold).astype(np.int16))
    clear = beyond_edge(hu, over, skeleton, threshold[:, 0, 0], SOFT_TISSUE_HU, rules.blur_mm, spacing)
    allowed = over & ~rim
    del over
    components, count = _components(hu, allowed, threshold)
    body_ml = float((labels > 0).sum()) * ct.voxel_ml
    element_ml = float(np.prod([FWHM_PER_SIGMA * s for s in rules.blur_mm])) / 1000.0
    fall = edge_fall(spacing, rules.blur_mm)
    least_z = STREAK_MARGIN * false_alarm_z(body_ml, element_ml)

    def crop(box: Box) -> CtCrop:
        return CtCrop(hu[box], labels[box], skeleton[box], rim[box], steady[box[0]], spacing, rules.blur_mm)

    painted = np.zeros(hu.shape, bool)
    joined = np.zeros(hu.shape, bool)
    boxes = cc3d.statistics(components, no_slice_conversion=False)["bounding_boxes"] if count else []
    for label in range(1, count + 1):
        tight = boxes[label]
        box = grow(tight, MARGIN_MM, spacing, hu.shape)
        seed = (components[box] == label) & clear[box]
        others = (components[box] > 0) & (components[box] != label) & clear[box]
        if not seed.any() or not stands_out(hu[box], seed, skeleton[box], rim[box], fall):
            dropped["edge of bone"] += 1
            continue
        sure = height_over_noise(hu[box], seed, noise[box[0]])
        if sure < least_z and not _hint(hu, tight, components, label, float(noise[tight[0].start])):
            dropped["noise"] += 1
            continue
        cut = _delimit(crop(box), seed, others)
        if cut is None or max(cut[1], sure) < least_z:
            dropped["noise"] += 1
            continue
        painted[box] |= cut[0]
        # Faint deposits side by side overlap in their half heights: what is over the threshold tells them apart. In
        # bone's rim, which has no seeds, a deposit's own flanks hang together.
        core = cut[0] & (seed | (rim[box] & (hu[box] >= threshold[box[0]])))
        joined[box] |= widen(core, rules.merge_mm / 2.0, spacing)
    deposits = []
    groups = cc3d.connected_components(joined, connectivity=26)
    whole_boxes = cc3d.statistics(groups)["bounding_boxes"] if joined.any() else []
    for label in range(1, int(groups.max()) + 1):
        box = grow(whole_boxes[label], MARGIN_MM, spacing, hu.shape)
        own = groups[box] == label
        mask = _territory(painted[box], own, (groups[box] > 0) & ~own, spacing)
        if not mask.any():
            continue
        deposit = measure_deposit(crop(box), mask, painted[box] & ~mask)
        if max(deposit.density.volume_ml, float(mask.sum()) * ct.voxel_ml) < rules.min_volume_ml:
            dropped["too small"] += 1
            continue
        start = offset(box) + offset(body_box)
        deposit.box = tuple(slice(a, a + n) for a, n in zip(start, mask.shape, strict=True))  # type: ignore[assignment]
        deposit.peak = tuple(int(v) for v in np.array(deposit.peak) + start)  # type: ignore[assignment]
        deposits.append(deposit)
    deposits.sort(key=lambda d: tuple(-v for v in d.peak))
    return deposits, dropped


def edge_fall(spacing: Spacing, blur_mm: tuple[float, float, float]) -> float:
    """What the blurred edge of a bone drawn ``EDGE_DOUBT`` voxels too thin keeps from the rim to the next voxel.

    The rim's centre lies half a voxel beyond the drawn border, the next one a voxel farther. Sharpest where voxels are
    widest for their blur; the largest share along the axes counts.
    """
    within = min(step / max(sigma, 1e-6) for step, sigma in zip(spacing, blur_mm, strict=True))
    return float(ndtr((EDGE_DOUBT - 1.5) * within) / ndtr((EDGE_DOUBT - 0.5) * within))


def stands_out(
    hu: NDArray[np.int16],
    seed: NDArray[np.bool_],
    skeleton: NDArray[np.bool_],
    rim: NDArray[np.bool_],
    fall: float,
) -> bool:
    """Whether a seed beside bone is more than bone's blurred edge where the map draws bone too thin.

    An edge falls from bone outwards, and blur makes it fall fast: a seed with a voxel that keeps more than ``fall``
    (:func:`edge_fall`) of all that lies between it and the bone is no edge.
    """
    between = np.where(rim & ~skeleton, hu, np.int16(SOFT_TISSUE_HU))
    between = ndimage.maximum_filter(between, size=3, mode="nearest")[seed] - SOFT_TISSUE_HU
    return bool((hu[seed] - SOFT_TISSUE_HU >= fall * between).any())


def height_over_noise(hu: NDArray[np.int16], seed: NDArray[np.bool_], noise: NDArray[np.float32]) -> float:
    """How far a seed's highest voxel rises over the densest soft tissue, in standard deviations of a voxel's noise.

    Between fat, muscle and skin HU vary more than noise does, but nothing soft is denser than ``DENSEST_SOFT_HU``: in
    hands and feet, all borders, that tells a small deposit that its local contrast does not.
    """
    height = (hu - np.float32(DENSEST_SOFT_HU)) / np.maximum(noise, 1.0)[:, None, None]
    return float(height[seed].max())


def _hint(hu: NDArray[np.int16], tight: Box, components: NDArray[np.uint32], label: int, noise: float) -> bool:
    """Cheap look at a small component: whether the 3 x 3 mean about its highest voxel rises over its surroundings.

    A single noisy voxel has neighbours like any tissue; a deposit, blurred, does not. Larger components pass.
    """
    own = components[tight] == label
    if own.sum() > HINT_VOXELS:
        return True
    place = np.argwhere(own)[int(np.argmax(hu[tight][own]))] + offset(tight)
    plane = hu[place[0], max(0, place[1] - 4) : place[1] + 5, max(0, place[2] - 4) : place[2] + 5]
    near = hu[place[0], max(0, place[1] - 1) : place[1] + 2, max(0, place[2] - 1) : place[2] + 2]
    return float(near.mean()) - float(np.median(plane)) >= HINT_NOISE * noise


def _territory(
    painted: NDArray[np.bool_], own: NDArray[np.bool_], others: NDArray[np.bool_], spacing: Spacing
) -> NDArray[np.bool_]:
    """The painted voxels that are connected to a group of cores and nearer to it than to any other group."""
    region = painted | own
    if others.any():
        region &= distance_to(own, spacing) < distance_to(others, spacing)
    parts = cc3d.connected_components(np.ascontiguousarray(region), connectivity=26)
    mask: NDArray[np.bool_] = np.isin(parts, np.unique(parts[own & region])) & painted & (region | own)
    return mask


def _components(
    hu: NDArray[np.int16], allowed: NDArray[np.bool_], threshold: NDArray[np.float32]
) -> tuple[NDArray[np.uint32], int]:
    """Connected voxels over the threshold; it rises by a tenth while there are more than can be anything but noise."""
    level = np.ceil(threshold).astype(np.int16)
    while True:
        components = cc3d.connected_components((hu >= level) & allowed, connectivity=26)
        count = int(components.max())
        if count <= MOST_CANDIDATES:
            return components, count
        level = np.ceil(level * 1.1).astype(np.int16)


def _delimit(
    crop: CtCrop, seed: NDArray[np.bool_], others: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], float] | None:
    """Half-maximum mask of a seed and its significance; None if nothing is left."""
    spacing, blur_mm = crop.spacing, crop.blur_mm
    _, contrast, plain = surroundings(crop, seed | others)
    smooth = smoothed(contrast)
    significance = float(smooth[seed].max()) / _noise(smooth, plain)
    level = plateau(contrast, seed, spacing, blur_mm)
    reach = FWHM_PER_SIGMA * max(blur_mm[1:])
    near = widen(seed, max(reach, 1.01 * spacing[0]), spacing) & (crop.labels > 0) & ~crop.skeleton
    # In bone's rim a voxel is bright by bone: there the deposit keeps only what touches its own seed.
    near &= ~crop.rim | _nearer(crop, seed)
    mask = near & np.isfinite(level) & (level > 0) & (contrast >= 0.5 * level)
    top = seed & (smooth == smooth[seed].max())
    mask |= top
    parts = cc3d.connected_components(np.ascontiguousarray(mask), connectivity=26)
    kept = np.isin(parts, np.unique(parts[mask & seed])) & mask
    return (kept, significance) if kept.any() else None


def _noise(smooth: NDArray[np.float32], plain: NDArray[np.bool_]) -> float:
    """Robust spread of plain tissue in a smoothed crop, HU; at least 1."""
    if plain.sum() < LEAST_PLAIN:
        return DEFAULT_NOISE_HU / 2.0
    values = smooth[plain]
    return max(float(MAD_TO_SD * np.median(np.abs(values - np.median(values)))), 1.0)


def _nearer(crop: CtCrop, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voxels next to a mask and no farther from it than from bone: what lies between is shared at half way.

    Between thick slices half way is a voxel that either may reach into: nobody counts it.
    """
    spacing = crop.spacing
    slack = 1e-3 if spacing[0] <= THICK_SLICE_MM else -1e-3
    close = ndimage.binary_dilation(mask, _CUBE)
    if not (close & crop.rim).any():
        return close
    tight = box_of(mask)
    if tight is None:
        return close
    # What is a voxel from the mask is no farther from it than bone that lies outside this box.
    box = grow(tight, 3.0 * max(spacing), spacing, mask.shape)
    close[box] &= distance_to(mask[box], spacing) <= distance_to(crop.skeleton[box], spacing) + slack
    return close


def measure_deposit(crop: CtCrop, mask: NDArray[np.bool_], others: NDArray[np.bool_]) -> Deposit:
    """Measure a deposit in its crop, with ``MARGIN_MM`` of surroundings; box and peak still count from the crop.

    Parameters
    ----------
    mask, others
        The deposit's voxels, and those of its neighbours, which are no background.
    """
    spacing = crop.spacing
    values, contrast, plain = surroundings(crop, mask | others)
    territory = (crop.labels > 0) & ~beside_air(crop) & ~crop.skeleton
    territory = mask | (territory & (~crop.rim | _nearer(crop, mask)))
    if others.any():
        territory &= distance_to(mask, spacing) <= distance_to(others, spacing)
    density = measure_density(values, mask, contrast, territory, spacing, crop.blur_mm)
    smooth = smoothed(contrast)
    highest = np.argwhere(mask & (crop.hu == crop.hu[mask].max()))[0]
    counted = widen(mask, 1.01 * spacing[2], spacing) & territory
    return Deposit(
        box=whole(mask.shape),
        mask=mask,
        territory=territory,
        density=density,
        agatston=agatston(values, counted, spacing),
        peak=(int(highest[0]), int(highest[1]), int(highest[2])),
        significance=float(smooth[mask].max()) / _noise(smooth, plain),
    )
