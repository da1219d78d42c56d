"""Metal, and which deposits are no more than its streaks.

Photon starvation and beam hardening draw lines through metal, in its slices alone, that darken as much as they brighten
(De Man et al. 1999, IEEE Trans Nucl Sci 46:691). Calcium only brightens: how much muscle is spread where metal's rays
pass tells how bright a streak there may be.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from calciflow.deposits.ct import Deposit
from calciflow.deposits.rays import LONGER_TAILS, Rays, find_rays
from calciflow.measure.boxes import Spacing

METAL_HU = 2500.0
"""No deposit is that dense (hydroxyapatite of dense calcinosis reads up to about 2000 HU); metal is, and enamel."""

METAL_VOXELS = 20
"""Metal in a slice, at least: enamel and single voxels make no streaks."""

RAISED = 0.2
"""Share of a deposit's rise that a streak may make, from which it is flagged."""


@dataclass(frozen=True)
class Metal:
    """Where metal lies.

    Attributes
    ----------
    slices
        Slices with metal, (n,).
    rays
        Its streaks, by slice; those without enough muscle to measure them on are left out.
    """

    slices: NDArray[np.int64]
    rays: dict[int, Rays] = field(default_factory=dict)


def find_metal(hu: NDArray[np.int16], tissues: NDArray[np.uint8], spacing: Spacing) -> Metal:
    """Find metal in the body, and measure its streaks by what they do to muscle."""
    found = metal_voxels(hu, tissues)
    return Metal(np.array(list(found), int), find_rays(hu, tissues, found, spacing))


def metal_voxels(hu: NDArray[np.int16], tissues: NDArray[np.uint8]) -> dict[int, NDArray[np.int64]]:
    """Metal in the body, (n, 2) voxels (y, x) by slice; slices with too little of it to make streaks are left out."""
    found = {}
    for index, plane in enumerate(hu):
        metal = plane >= METAL_HU
        metal &= tissues[index] > 0
        if metal.sum() >= METAL_VOXELS:
            found[index] = np.argwhere(metal)
    return found


def is_streak(deposit: Deposit, metal: Metal, spacing: Spacing) -> bool:
    """Whether a deposit is a metal's streak.

    It lies in metal's slices alone, and is no brighter than streaks are there; more is allowed to what is drawn as one.
    """
    rays = metal.rays.get(deposit.peak[0])
    if rays is None or not np.isin(deposit.voxels[:, 0], metal.slices).all():
        return False
    rise, brightest = _rise(deposit), _brightest(deposit, rays, spacing)
    return rise <= brightest or (rise <= LONGER_TAILS * brightest and rays.drawn(deposit.voxels, spacing))


def beside_metal(deposit: Deposit, metal: Metal, spacing: Spacing) -> bool:
    """Whether streaks may make a good part of a deposit's rise over soft tissue."""
    rays = metal.rays.get(deposit.peak[0])
    return rays is not None and _brightest(deposit, rays, spacing) > RAISED * _rise(deposit)


def _rise(deposit: Deposit) -> float:
    return deposit.density.hu_max - deposit.density.background_hu


def _brightest(deposit: Deposit, rays: Rays, spacing: Spacing) -> float:
    """Rise of the brightest streak where a deposit lies in its brightest slice, HU."""
    voxels = deposit.voxels
    return rays.brightest(voxels[voxels[:, 0] == deposit.peak[0], 1:] * np.array(spacing[1:]))
