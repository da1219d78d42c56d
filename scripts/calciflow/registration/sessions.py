"""CT to CT: two sessions of one person, the whole body first, then region by region, since limbs lie differently."""

from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion
from scipy.spatial import cKDTree

from calciflow.anatomy.grid import dilate
from calciflow.anatomy.points import kabsch
from calciflow.images import Volume
from calciflow.labels import REGION_LABELS
from calciflow.mapping import move
from calciflow.registration.descent import Descent
from calciflow.registration.scene import Blocks, sample

BLOCK_MM = 4.0
HU_RANGE = (-150.0, 350.0)
"""From fat to the brightness at which bone outshines everything else: fat, muscle and bone count alike."""

_DESCENT = Descent(
    levels_mm=(8.0, 4.0), sigmas_mm=(4.0, 2.0), first_step_mm=4.0, last_step_mm=0.02, iterations=150, flat=1e-6
)
_RIM_MM = 8.0
_STEPS_MM = np.arange(-240.0, 241.0, 20.0)
"""Starts along the body's axis: two scans need not begin at the same place."""

_FEW_BLOCKS = 60
_COVERED = 0.6
"""A pose is judged only where the other session shows that share of what is looked at."""

_GAIN = 0.03
"""A region's own pose is taken if it lowers the mean square by that share: less is noise of two low-dose CTs."""

_MAX_TURN_DEG, _MAX_SHIFT_MM = 60.0, 150.0

_MOST_POINTS = 6000


@dataclass(frozen=True)
class Pose:
    """Where a region of the later session lies in the earlier one.

    Attributes
    ----------
    matrix
        4 x 4, RAS mm, later to earlier.
    residual_mm
        Median distance between the two surfaces of bone after it; None where there is too little bone.
    own
        Whether the region has a pose of its own, or the whole body's.
    """

    matrix: NDArray[np.float64]
    residual_mm: float | None
    own: bool


@dataclass(frozen=True)
class Alignment:
    """How two sessions of one person lie on each other.

    Attributes
    ----------
    whole
        Pose of the whole body.
    regions
        Pose by label of ``desc-regions_dseg``; a region that one of the two does not show is missing.
    """

    whole: Pose
    regions: dict[int, Pose] = field(default_factory=dict)

    def pose(self, label: int | None) -> Pose:
        """Pose of a region, of the whole body where it has none."""
        return self.whole if label is None else self.regions.get(label, self.whole)


def _sub(scene: Blocks, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    points = scene.points(mask)
    if len(points) > _MOST_POINTS:
        points = points[np.linspace(0, len(points) - 1, _MOST_POINTS).astype(int)]
    return points


class _Pair:
    """Both sessions in blocks, and how well a pose of the later one fits the earlier one."""

    def __init__(self, later: Blocks, earlier: Blocks) -> None:
        self.later, self.earlier = later, earlier
        self.fixed = Volume(np.clip(later.hu, *HU_RANGE).astype(np.float32), later.affine)
        self.moving = Volume(np.clip(earlier.hu, *HU_RANGE).astype(np.float32), earlier.affine)
        self._images = (self.fixed.to_sitk(), self.moving.to_sitk())

    def misfit(self, points: NDArray[np.float64], matrix: NDArray[np.float64]) -> float:
        """Mean square of the differences in HU; infinite where the earlier session shows too little of the points."""
        apart = sample(self.moving, move(matrix, points)) - sample(self.fixed, points)
        known = np.isfinite(apart)
        return float(np.mean(apart[known] ** 2, dtype=np.float64)) if known.mean() >= _COVERED else float("inf")

    def refine(self, mask: NDArray[np.bool_], start: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Search a rigid pose from a start; every block of the mask, one work unit: the same on every machine."""
        flip = np.diag([-1.0, -1.0, 1.0, 1.0])
        first = flip @ start @ flip
        centre = self.later.points(mask).mean(axis=0) * [-1, -1, 1]
        transform = sitk.Euler3DTransform()
        transform.SetCenter([float(v) for v in centre])
        transform.SetMatrix([float(v) for v in first[:3, :3].ravel()], 1e-6)
        transform.SetTranslation([float(v) for v in first[:3, :3] @ centre + first[:3, 3] - centre])
        method = sitk.ImageRegistrationMethod()
        method.SetMetricAsMeanSquares()
        if not _DESCENT.run(method, self._images, mask, self.later.affine, transform):
            return None
        turn = np.array(transform.GetMatrix()).reshape(3, 3)
        found = np.eye(4)
        found[:3, :3] = turn
        found[:3, 3] = np.array(transform.GetTranslation()) + centre - turn @ centre
        result: NDArray[np.float64] = flip @ found @ flip
        return result

    def residual(self, mask: NDArray[np.bool_], matrix: NDArray[np.float64]) -> float | None:
        """Median distance of bone's surface in the later session to that in the earlier one, mm."""
        own = _surface(self.later) & mask
        other = _surface(self.earlier)
        if own.sum() < _FEW_BLOCKS or other.sum() < _FEW_BLOCKS:
            return None
        placed = move(matrix, _sub(self.later, own))
        near = cKDTree(self.earlier.points(other)).query(placed)[0]
        return round(float(np.median(near)), 2)


def _surface(scene: Blocks) -> NDArray[np.bool_]:
    bone = scene.bone > 0.4
    edge: NDArray[np.bool_] = bone & ~binary_erosion(bone)
    return edge


def _centres(scene: Blocks) -> dict[int, NDArray[np.float64]]:
    """Centre of each region's bone that is whole in view: none of it in the first or last slab."""
    found = {}
    ends = np.zeros(scene.body.shape, bool)
    ends[[0, -1]] = True
    for label in REGION_LABELS:
        own = scene.regions == label
        if own.sum() >= _FEW_BLOCKS and not (own & ends).any():
            weight = np.where(own, scene.bone, 0.0)
            if weight.sum() > 1:
                places = np.argwhere(weight > 0)
                amount = weight[tuple(places.T)][:, None]
                found[label] = move(scene.affine, ((places * amount).sum(axis=0) / amount.sum())[None, ::-1])[0]
    return found


def _starts(pair: _Pair) -> list[NDArray[np.float64]]:
    """Poses of the whole body to start from: the headers', that of the regions' centres, each slid along the body."""
    starts = [np.eye(4)]
    own, other = _centres(pair.later), _centres(pair.earlier)
    common = sorted(set(own) & set(other))
    if len(common) >= 3:
        starts.append(kabsch(np.array([own[k] for k in common]), np.array([other[k] for k in common])))
    middles = [scene.points(scene.body > 0.5).mean(axis=0) for scene in (pair.later, pair.earlier)]
    central = np.eye(4)
    central[:2, 3] = (middles[1] - middles[0])[:2]
    starts.append(central)
    slid = []
    for start in starts:
        for step in _STEPS_MM:
            matrix = start.copy()
            matrix[2, 3] += step
            slid.append(matrix)
    return slid


def align_sessions(later: Blocks, earlier: Blocks) -> Alignment | None:
    """Register two sessions of one person by their CT in blocks of ``BLOCK_MM``.

    Returns
    -------
    Alignment or None
        None where they show nothing in common.
    """
    pair = _Pair(later, earlier)
    body = later.body > 0.5
    if not body.any() or not (earlier.body > 0.5).any():
        return None
    around = dilate(body, _RIM_MM, later.spacing)
    points = _sub(later, around)
    starts = sorted(((pair.misfit(points, start), rank, start) for rank, start in enumerate(_starts(pair))))[:3]
    best: tuple[float, NDArray[np.float64]] | None = None
    for misfit, _, start in starts:
        if not np.isfinite(misfit):
            continue
        found = pair.refine(around, start)
        for matrix in (start, found):
            if matrix is not None and (best is None or pair.misfit(points, matrix) < best[0]):
                best = (pair.misfit(points, matrix), matrix)
    if best is None:
        return None
    whole = Pose(best[1], pair.residual(around, best[1]), False)
    regions = {}
    for label in REGION_LABELS:
        pose = _region(pair, label, whole.matrix)
        if pose is not None:
            regions[label] = pose
    return Alignment(whole, regions)


def _region(pair: _Pair, label: int, whole: NDArray[np.float64]) -> Pose | None:
    """A region's own pose; the whole body's where that fits as well, None where either session lacks the region."""
    own, other = pair.later.regions == label, pair.earlier.regions == label
    if own.sum() < _FEW_BLOCKS or other.sum() < _FEW_BLOCKS:
        return None
    mask = dilate(own, _RIM_MM, pair.later.spacing)
    points = _sub(pair.later, mask)
    before = pair.misfit(points, whole)
    moved = whole.copy()
    moved[:3, 3] += pair.earlier.points(other).mean(axis=0) - move(whole, pair.later.points(own)).mean(axis=0)
    best = (before, whole, False)
    for start in (whole, moved):
        if not np.isfinite(pair.misfit(points, start)):
            continue
        found = pair.refine(mask, start)
        if found is None or not _plausible(found, whole, points):
            continue
        misfit = pair.misfit(points, found)
        if misfit < best[0] and misfit < (1.0 - _GAIN) * before:
            best = (misfit, found, True)
    if not np.isfinite(best[0]):
        return None
    return Pose(best[1], pair.residual(own, best[1]), best[2])


def _plausible(matrix: NDArray[np.float64], whole: NDArray[np.float64], points: NDArray[np.float64]) -> bool:
    turn = matrix[:3, :3] @ whole[:3, :3].T
    angle = float(np.degrees(np.arccos(np.clip((np.trace(turn) - 1.0) / 2.0, -1.0, 1.0))))
    shift = float(np.linalg.norm(move(matrix, points).mean(axis=0) - move(whole, points).mean(axis=0)))
    return angle <= _MAX_TURN_DEG and shift <= _MAX_SHIFT_MM
