"""The skeleton on CT against hot bone on PET: a measure of alignment apart from the search by mutual information."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calciflow.labels import REGION_LABELS
from calciflow.registration.scene import Scene, indices, sample, sample_at

PART_MM = 90.0
"""Size of the parts of the skeleton that vote apart: large against the PET's blur, so that votes are independent."""
PART_POINTS = 60
"""A part with fewer blocks in view says nothing."""
HOT_CORRELATION = 0.35
"""Correlation of uptake with the blurred skeleton, over parts, below which bone is not hot: another tracer, or a scan
so displaced that nothing can be said. NaF phantoms lie above 0.7, FDG below 0.2; ours."""
HOT_REGION = 0.5
"""The same for one region at its best shift: a tumour or bladder that a shifted bone falls upon stays below; ours."""
CHANCE_Z = 3.0
"""An improvement must exceed this many standard errors over the parts."""
LEAST_GAIN = 0.01
"""And the mean correlation must rise by this much: less is nothing in millimetres."""
_HOT_QUANTILE = 0.98

LEAST_BONE = 0.2
"""Blurred bone fraction that a region must reach: less is no bone that a PET could show."""
LEAST_SEEN = 0.6
"""Part of a region's points that the PET must show."""
REACH_MM = 24.0
"""A limb is searched for this far around its place: 20 mm is what limbs move between CT and PET, and some more."""
_COARSE_MM, _FINE_MM, _FINE_ROUNDS = 6.0, (3.0, 1.5, 0.75), 4
_COARSE_POINTS, _FINE_POINTS = 400, 2000
_PULL = 0.02 / 10.0**2
"""Correlation lost per mm2 of shift: along a shaft all shifts look alike, and the smallest is then the answer."""
RESOLUTION_ML = 0.6
"""Volume within which noise and bone are one observation: a sphere of 1.5 times the PET's width, 10.5 mm."""


@dataclass(frozen=True)
class Pattern:
    """Points of the CT with what the PET should show there: the skeleton, or the body's outline.

    Attributes
    ----------
    points
        RAS mm in CT space, (n, 3).
    expected
        The CT's bone fraction or soft tissue, blurred as the PET is, (n,).
    region
        Label of each point's region, (n,).
    part
        Number of the part of the body that each point votes in, (n,).
    point_ml
        Volume that a point stands for.
    """

    points: NDArray[np.float64]
    expected: NDArray[np.float32]
    region: NDArray[np.uint8]
    part: NDArray[np.int64]
    point_ml: float


def pattern(
    scene: Scene, points: NDArray[np.float64], expected: NDArray[np.float32], region: NDArray[np.uint8]
) -> Pattern:
    """Sort points into the parts that vote apart."""
    cell = np.floor(points / PART_MM).astype(np.int64)
    # A part is a cube of one body side and region: an arm beside the trunk votes for itself.
    keys = np.column_stack([cell, region])
    part = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1) if len(keys) else np.zeros(0, np.int64)
    return Pattern(points, expected, region, part, float(np.prod(scene.spacing)) / 1000)


def skeleton_of(scene: Scene) -> Pattern:
    """Take bone and its surroundings out of a scene."""
    mask = scene.around_bone
    return pattern(scene, scene.points(mask), scene.skeleton[mask], scene.regions[mask])


def correlations(expected: NDArray[np.float32], seen: NDArray[np.float32], cap: float) -> NDArray[np.float64]:
    """Pearson correlation of each row of ``seen`` (m, n) with ``expected`` (n,); NaN where too few points are seen.

    Uptake above ``cap`` is cut: a hot joint or a deposit must not speak for all. The sums are einsum's, not BLAS's,
    which adds in another order with another number of threads.
    """
    good = np.isfinite(seen)
    count = good.sum(axis=1).astype(float)
    b = np.where(good, np.minimum(seen, np.float32(cap)), 0).astype(np.float64)
    weight = good.astype(np.float64)
    a = expected.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_a, mean_b = np.einsum("ij,j->i", weight, a) / count, b.sum(axis=1) / count
        covariance = np.einsum("ij,j->i", b, a) / count - mean_a * mean_b
        spread_a = np.einsum("ij,j->i", weight, a * a) / count - mean_a**2
        spread_b = (b * b).sum(axis=1) / count - mean_b**2
        found = covariance / np.sqrt(spread_a * spread_b)
    enough = (count >= PART_POINTS) & (spread_a > 1e-6) & (spread_b > 1e-9)
    return np.where(enough, found, np.nan)


def uptake_cap(seen: NDArray[np.float32]) -> float:
    """Uptake that :func:`correlations` cuts at: the 98th percentile of what is seen."""
    good = seen[np.isfinite(seen)]
    return float(np.quantile(good, _HOT_QUANTILE)) if len(good) else 0.0


def agreement(scene: Scene, skeleton: Pattern, placed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation of uptake with the expected skeleton in each part; NaN where nothing is said.

    ``placed``: where a mapping puts the skeleton's points in the PET, RAS mm, (n, 3).
    """
    seen = sample(scene.pet, placed)
    order = np.argsort(skeleton.part, kind="stable")
    counts = np.bincount(skeleton.part) if len(order) else np.zeros(0, int)
    groups = np.split(order, np.cumsum(counts)[:-1]) if len(counts) else []
    found = [correlations(skeleton.expected[group], seen[None, group], uptake_cap(seen[group]))[0] for group in groups]
    return np.array(found, float)


@dataclass(frozen=True)
class Comparison:
    """How an alignment compares with another, over the parts that both show.

    Attributes
    ----------
    before, after
        Mean correlation.
    z
        Mean gain in standard errors over the parts.
    parts
        Number of parts.
    """

    before: float
    after: float
    z: float
    parts: int

    @property
    def better(self) -> bool:
        """Whether the second is better by more than chance."""
        return self.parts >= 3 and self.after - self.before >= LEAST_GAIN and self.z >= CHANCE_Z

    @property
    def worse(self) -> bool:
        """Whether the second is worse by more than chance."""
        return self.parts >= 3 and self.before - self.after >= LEAST_GAIN and self.z <= -CHANCE_Z


def compare(before: NDArray[np.float64], after: NDArray[np.float64]) -> Comparison:
    """Compare two alignments part by part: the parts are independent, so their scatter tells what chance does."""
    both = np.isfinite(before) & np.isfinite(after)
    if not both.any():
        return Comparison(float("nan"), float("nan"), 0.0, 0)
    gain = after[both] - before[both]
    count = int(both.sum())
    error = float(gain.std(ddof=1) / np.sqrt(count)) if count > 1 else float("inf")
    z = float(gain.mean() / error) if error > 0 else 0.0
    return Comparison(float(before[both].mean()), float(after[both].mean()), z, count)


@dataclass(frozen=True)
class LocalShift:
    """How far a region's skeleton lies from its uptake.

    Attributes
    ----------
    shift
        RAS mm, to add to where the transform puts the region.
    before, after
        Correlation without and with the shift.
    sure
        Whether the shift is more than chance.
    axis
        Unit vector along the region's bone.
    """

    shift: NDArray[np.float64]
    before: float
    after: float
    sure: bool
    axis: NDArray[np.float64]

    @property
    def hot(self) -> bool:
        """Whether uptake there looks like the region's skeleton at all."""
        return self.after >= HOT_REGION

    @property
    def millimetres(self) -> float:
        """Length of the shift; 0 if it is not sure."""
        return float(np.linalg.norm(self.shift)) if self.sure else 0.0

    @property
    def across(self) -> float:
        """Length of its part across the bone; 0 if the shift is not sure.

        A shaft looks alike all along: its joint, the hand or the foot tell how far it slid.
        """
        if not self.sure:
            return 0.0
        return float(np.linalg.norm(self.shift - self.axis * (self.axis @ self.shift)))


def local_shift(
    scene: Scene, skeleton: Pattern, placed: NDArray[np.float64], labels: tuple[int, ...]
) -> LocalShift | None:
    """Search the translation that brings a region's skeleton onto its uptake.

    ``placed``: where a mapping puts the skeleton's points in the PET, RAS mm, (n, 3). Returns None where nothing can
    be told: too little bone in both fields of view. Whether bone is hot is for the caller to ask.
    """
    chosen = np.flatnonzero(np.isin(skeleton.region, labels))
    if len(chosen) < 2 * PART_POINTS or skeleton.expected[chosen].max(initial=0) < LEAST_BONE:
        return None
    volume_ml = len(chosen) * skeleton.point_ml
    index = indices(scene.pet, placed[chosen])
    to_index = np.linalg.inv(scene.pet.affine)[:3, :3]
    seen = sample_at(scene.pet, index)
    if np.isfinite(seen).mean() < LEAST_SEEN:
        return None
    cap = uptake_cap(seen)

    def quality(shifts: NDArray[np.float64], most: int) -> NDArray[np.float64]:
        every = max(1, len(chosen) // most)
        offsets = (shifts @ to_index.T)[:, ::-1].T
        places = (index[:, None, ::every] + offsets[:, :, None]).reshape(3, -1)
        values = sample_at(scene.pet, places).reshape(len(shifts), -1)
        return correlations(skeleton.expected[chosen[::every]], values, cap)

    def best_of(shifts: NDArray[np.float64], most: int) -> NDArray[np.float64]:
        score = quality(shifts, most) - _PULL * (shifts**2).sum(axis=1)
        return shifts[int(np.argmax(np.where(np.isfinite(score), score, -np.inf)))]

    steps = np.arange(-REACH_MM, REACH_MM + 1, _COARSE_MM)
    best = best_of(np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3), _COARSE_POINTS)
    neighbours = np.array([[i, j, k] for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)], float)
    for step in _FINE_MM:
        for _ in range(_FINE_ROUNDS):
            found = best_of(best + step * neighbours, _FINE_POINTS)
            if np.array_equal(found, best):
                break
            best = found
    before, after = (float(value) for value in quality(np.array([np.zeros(3), best]), len(chosen)))
    if not np.isfinite(before) or not np.isfinite(after):
        return None
    axis = axis_of(placed[chosen], skeleton.expected[chosen])
    return LocalShift(best, before, after, significant(before, after, volume_ml), axis)


def axis_of(points: NDArray[np.float64], weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Direction in which weighted points (n, 3) spread most."""
    away = points - np.average(points, axis=0, weights=weights)
    spread = np.einsum("ni,n,nj->ij", away, weights.astype(np.float64), away)
    return np.asarray(np.linalg.eigh(spread)[1][:, -1], float)


def significant(before: float, after: float, volume_ml: float) -> bool:
    """Whether a correlation over a volume rose by more than chance.

    Fisher's transform: the two correlations as if of two samples, which errs towards "by chance".
    """
    independent = max(4.0, volume_ml / RESOLUTION_ML)
    rise = (np.arctanh(min(after, 0.999)) - np.arctanh(min(before, 0.999))) * np.sqrt((independent - 3) / 2)
    return bool(rise > CHANCE_Z and after - before > LEAST_GAIN)


def region_groups() -> dict[str, tuple[int, ...]]:
    """Regions that are judged apart: trunk regions whole, limbs by side; hands with their fingers, feet with toes."""
    groups: dict[str, tuple[int, ...]] = {}
    for label, (region, side) in REGION_LABELS.items():
        region = {"fingers": "hand", "toes": "foot"}.get(region, region)
        trunk = region in ("head", "neck", "chest", "abdomen", "pelvis")
        name = region if trunk else f"{side} {region}"
        groups[name] = (*groups.get(name, ()), label)
    return groups
