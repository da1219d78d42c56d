"""Normal uptake of soft tissue around a focus: each tissue its own, blurred as the PET blurs it."""

import numpy as np
from numpy.typing import NDArray

from calciflow.deposits.blocks import block_percentile
from calciflow.measure.boxes import Spacing
from calciflow.measure.spill import blur

SOFT = ("muscle", "fat", "other")
LEAST_SHARE = 0.02
"""A tissue that fills less than this share of the quiet voxels has no uptake of its own fitted."""

FIT_VOXELS = 200_000
ROUNDS = 3
TRIM = 2.5
"""Voxels farther than that many robust spreads from the fit are left out of the next round."""

RATIO = (0.4, 2.5)
"""How far a place may differ from the whole body's uptake of its tissues."""


def tissue_levels(
    rest: NDArray[np.float32], parts: list[NDArray[np.float32]], quiet: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Uptake of each tissue, SUV, that fits the quiet voxels best: least squares, outliers trimmed.

    Parameters
    ----------
    rest
        PET without spill, SUV.
    parts
        Blurred share of each tissue.
    quiet
        Voxels of normal soft tissue.
    """
    where = np.flatnonzero(quiet)
    if not len(where):
        return np.zeros(len(parts))
    if len(where) > FIT_VOXELS:
        where = where[:: len(where) // FIT_VOXELS + 1]
    design = np.stack([part.ravel()[where] for part in parts], axis=1).astype(np.float64)
    values = rest.ravel()[where].astype(np.float64)
    enough = design.mean(axis=0) > LEAST_SHARE
    levels = np.zeros(len(parts))
    keep = np.ones(len(values), bool)
    if not enough.any():
        return levels
    for _ in range(ROUNDS):
        solution = np.linalg.lstsq(design[keep][:, enough], values[keep], rcond=None)[0]
        away = values - design[:, enough] @ solution
        spread = 1.4826 * float(np.median(np.abs(away[keep] - np.median(away[keep]))))
        keep = np.abs(away) <= TRIM * max(spread, 1e-6)
        levels[enough] = np.maximum(solution, 0.0)
    # Where a tissue is hardly in view it is taken for the others' mean.
    levels[~enough] = float(levels[enough].mean())
    return levels


NORMAL = 0.75
"""Most uptake of normal soft tissue, in blood pools: muscle takes up half of what blood holds (``BLOOD_TO_MUSCLE``),
and half as much again is left for what differs from place to place. More is inflamed, and no background. Ours."""


def soft_background(
    rest: NDArray[np.float32],
    shares: dict[str, NDArray[np.float32]],
    quiet: NDArray[np.bool_],
    reference: float,
    fwhm_mm: float,
    spacing: Spacing,
) -> NDArray[np.float32]:
    """Uptake of normal soft tissue at every voxel, SUV.

    Muscle takes up about twice what fat does, and at their border and at the skin PET blurs: a background that knows
    no tissues leaves there a texture that competes with small foci. Here each tissue's uptake, fitted to the whole
    body, is laid on the map and blurred; places differ by a smooth factor from block to block.

    Parameters
    ----------
    rest
        PET without spill from bone and organs, SUV.
    shares
        Tissue shares on the PET grid.
    quiet
        Voxels of normal soft tissue.
    reference
        Blood pool, or what stands in for it.
    fwhm_mm
        Resolution of the PET.
    """
    # A vein in fat takes up what muscle does; laid on as fat it would stand out as a focus.
    lean = {"muscle": shares["strands"], "fat": -shares["strands"]}
    parts = [blur(shares[name] + lean.get(name, np.float32(0)), fwhm_mm, spacing) for name in SOFT]
    levels = tissue_levels(rest, parts, quiet)
    if not levels.any():
        return (0.5 * np.float32(reference) * shares["body"]).astype(np.float32)
    model = np.zeros(rest.shape, np.float32)
    for level, part in zip(levels, parts, strict=True):
        model += np.float32(level) * part
    del parts  # a long fine PET takes as much memory as all that is left
    floor = np.float32(0.05 * max(float(levels.max()), 1e-3))
    ratio = block_percentile((rest / np.maximum(model, floor)).astype(np.float32), quiet, spacing, 50.0)
    ratio = np.clip(np.nan_to_num(ratio, nan=1.0), *RATIO)
    background: NDArray[np.float32] = np.clip(model * ratio, 0.0, NORMAL * reference).astype(np.float32)
    return background
