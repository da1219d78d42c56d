"""Whether a CT deposit takes up the tracer: positive, negative, or not to be told."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from calciflow.deposits.ct import Deposit
from calciflow.deposits.match import Part, reach_mm
from calciflow.deposits.pet import Focus
from calciflow.deposits.scene import PetScene
from calciflow.measure.amplitude import Amplitude, detection_limit, fit_amplitude, footprint
from calciflow.measure.boxes import Box

MOST_POINTS = 2000
"""A deposit's footprint is summed over at most so many of its voxels, evenly drawn: blur hides the difference."""

SURROUNDINGS = 2.0
"""The fit looks that many widths of the PET's blur beyond the deposit: enough for a background."""

FITTED_RISE = 0.5
"""Where CT tells place and size, half the rise that a focus must show by itself is enough."""

OVERLAP = 0.5
ONE_SIDED_95 = 1.645


@dataclass(frozen=True)
class StatusRules:
    """When uptake is told to be there, and when it is told not to be.

    Attributes
    ----------
    positive_z
        Standard errors of the fitted amplitude that make uptake sure.
    negative_ratio
        Times the blood pool's uptake: a deposit whose true uptake surely lies below has none.
    bone_spill_max
        Share of the uptake beyond which bone explains it.
    rise
        Least visible rise as a share of the blood pool's uptake.
    tolerance_mm
        Residual of the registration.
    level
        SUV that uptake must reach under fixed thresholds; None under the relative ones.
    """

    positive_z: float = 3.0
    negative_ratio: float = 3.0
    bone_spill_max: float = 0.5
    rise: float = 0.4
    tolerance_mm: float = 3.0
    level: float | None = None


@dataclass
class PetEvidence:
    """What PET says of one CT deposit."""

    status: str = "indeterminate"
    amplitude: Amplitude | None = None
    limit: float | None = None
    bone_fraction: float | None = None
    flags: list[str] = field(default_factory=lambda: ["outside PET"])


def weigh_deposits(
    deposits: list[Deposit],
    points: list[NDArray[np.float64]],
    foci: list[Focus],
    parts: list[Part],
    scene: PetScene,
    rules: StatusRules,
) -> tuple[list[PetEvidence], list[Part]]:
    """Decide on every deposit's uptake.

    Parameters
    ----------
    points
        Where each deposit's CT voxels lie on the scene's grid, fractional indices (z, y, x).
    parts
        What ``match`` gave.

    Returns
    -------
    list of PetEvidence, list of Part
        The parts that stand: uptake that bone explains at a deposit is taken away from it (and is no lesion of its
        own), a focus that only passes by a deposit becomes uptake without calcification, and a deposit whose uptake was
        found by the fit alone gets the voxels of its footprint.
    """
    kept = [part for part in parts if part.deposit is None]
    free = [part.voxels for part in kept if not part.diffuse]
    trees = [cKDTree(p * np.array(scene.suv.spacing)) for p in points]
    extents = _extents(points), _extents(free)
    evidence = []
    for index, (deposit, own) in enumerate(zip(deposits, points, strict=True)):
        found = [part for part in parts if part.deposit == index]
        result, box, shape = _fit(index, deposit, points, free, extents, scene)
        if result is None or box is None or shape is None:
            evidence.append(PetEvidence())
            kept += [Part(None, part.focus, part.voxels) for part in found]
            continue
        noise = float(scene.noise[box][shape >= 0.5 * shape.max()].mean())
        texture = float(scene.filtered_noise[box][shape >= 0.5 * shape.max()].mean())
        least = FITTED_RISE * rules.rise * scene.uptakes.reference
        min_rise = max(least, rules.positive_z * max(0.5 * noise, texture))
        limit = detection_limit(result, min_rise, rules.positive_z)
        verdict = PetEvidence("indeterminate", result, limit, None, [])
        verdict.bone_fraction = _bone_fraction(result, found, scene)
        with_focus = [
            part for part in found if _belongs(part, foci[part.focus], own, trees[index], result, scene, rules)
        ]
        upper = result.background + result.excess + ONE_SIDED_95 * result.error
        seen = result.excess * result.recovery
        if rules.level is not None:
            sure = bool(with_focus)
            absent = upper < rules.level
        else:
            fitted = result.excess >= rules.positive_z * result.error and seen >= min_rise
            sure = bool(with_focus) or fitted
            absent = upper < rules.negative_ratio * scene.uptakes.reference
        if verdict.bone_fraction >= rules.bone_spill_max and (sure or not absent):
            verdict.flags.append("bone spill")
        elif sure:
            verdict.status = "positive"
            if verdict.bone_fraction > 0.3:
                verdict.flags.append("bone spill")
            for part in found:
                if any(part is chosen for chosen in with_focus):
                    kept.append(part)
                else:
                    kept.append(Part(None, part.focus, part.voxels))
            if not with_focus:
                core = np.argwhere(shape >= 0.5 * shape.max()) + np.array([s.start for s in box])
                kept.append(Part(index, -1, core))
        else:
            verdict.status = "negative" if absent else "indeterminate"
            kept += [Part(None, part.focus, part.voxels) for part in found]
        evidence.append(verdict)
    return evidence, kept


def _fit(
    index: int,
    deposit: Deposit,
    points: list[NDArray[np.float64]],
    free: list[NDArray[np.int64]],
    extents: tuple[NDArray[np.float64], NDArray[np.float64]],
    scene: PetScene,
) -> tuple[Amplitude | None, Box | None, NDArray[np.float32] | None]:
    """Fit the amplitude in a crop of the scene; None where the PET does not show the deposit."""
    spacing = np.array(scene.suv.spacing)
    own = points[index]
    size = np.array(scene.suv.array.shape)
    inside = ((own > -0.5) & (own < size - 0.5)).all(axis=1)
    if inside.mean() < 0.9:
        return None, None, None
    margin = SURROUNDINGS * scene.fwhm_mm / spacing
    low = np.clip(np.floor(own.min(axis=0) - margin), 0, size - 1).astype(int)
    high = np.clip(np.ceil(own.max(axis=0) + margin) + 1, 1, size).astype(int)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    shape_of = tuple(int(n) for n in high - low)
    shape = footprint(_thin(own) - low, deposit.density.volume_ml, shape_of, scene.suv.spacing, scene.fwhm_mm)
    others = np.zeros(shape_of, np.float32)
    beside, around = (
        np.flatnonzero(((extent[:, 1] > low - 1) & (extent[:, 0] < high + 1)).all(axis=1)) for extent in extents
    )
    for other in beside:
        if other != index:
            where = points[other]
            volume = 1.0 * len(where) / max(len(points[index]), 1) * deposit.density.volume_ml
            others += footprint(_thin(where) - low, volume, shape_of, scene.suv.spacing, scene.fwhm_mm)
    for other in around:
        voxels = free[other]
        volume = len(voxels) * scene.suv.voxel_ml
        others += footprint(_thin(voxels.astype(float)) - low, volume, shape_of, scene.suv.spacing, scene.fwhm_mm)
    chosen = (box[0], box[1], box[2])
    result = fit_amplitude(
        scene.suv.array[chosen],
        np.stack([shape, others]),
        scene.shares["body"][chosen],
        scene.spill.bone[chosen] + scene.spill.organs[chosen],
        scene.spill.bone[chosen],
        float(scene.noise[chosen].mean()),
        scene.uptakes.noise_fwhm_mm,
        scene.suv.spacing,
        scene.background[chosen],
    )
    return result, chosen, shape


def _extents(sets: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """Lowest and highest place of each set of points along the axes, (n, 2, 3)."""
    return np.array([(one.min(axis=0), one.max(axis=0)) for one in sets], np.float64).reshape(-1, 2, 3)


def _thin(points: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(points) <= MOST_POINTS:
        return points
    return points[np.linspace(0, len(points) - 1, MOST_POINTS).astype(int)]


def _bone_fraction(result: Amplitude, found: list[Part], scene: PetScene) -> float:
    """Share of the uptake at the deposit, in its focus if it has one, that bone's spill explains."""
    if found:
        where = tuple(np.concatenate([part.voxels for part in found]).T)
        total = float(np.maximum(scene.suv.array[where], 0).sum(dtype=np.float64))
        spill = float(scene.spill.bone[where].sum(dtype=np.float64))
    else:
        total, spill = result.observed, result.spill
    return float(np.clip(spill / total, 0.0, 1.0)) if total > 1e-6 else 0.0


def _belongs(
    part: Part,
    focus: Focus,
    own: NDArray[np.float64],
    tree: cKDTree,
    result: Amplitude,
    scene: PetScene,
    rules: StatusRules,
) -> bool:
    """Whether a matched focus is the deposit's: the fit agrees, its peak is in reach, or the deposit lies in it."""
    spacing = np.array(scene.suv.spacing)
    if result.excess >= 2.0 * result.error and result.excess > 0:
        return True
    reach = reach_mm(rules.tolerance_mm, scene.fwhm_mm)
    if tree.query(np.array(focus.peak) * spacing)[0] <= reach:
        return True
    members = cKDTree(part.voxels * spacing)
    near = members.query(own * spacing)[0] <= 0.5 * float(spacing.max())
    return bool(near.mean() >= OVERLAP)
