"""What lies on the skin: electrodes, leads and tubes that touch the body and pass for a part of it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from calciflow.deposits.ct import Deposit
from calciflow.images import Volume
from calciflow.labels import region_of
from calciflow.measure.boxes import Spacing, distance_to, grow, inside, offset

BALL_MM = 12.0
"""Radius of a ball that rolls inside the body's outline and reaches all of it but what sticks out.

An electrode is a disc of 10 mm radius and a tube is thinner; arms, thighs and necks are wider throughout.
"""

COARSE_MM = 2.0
"""A sixth of the ball: its border is known to a fraction of that."""

STICKS_OUT = 0.7
"""A deposit that bulges the skin keeps its foot in the body; what lies on the skin sticks out as a whole."""

FOOT = 0.2
"""Share of a piece beside such an object that sticks out, from which it is a part of it."""

CRUMB = 0.33
CRUMB_MM = 4.0
"""What is left over beside such an object: a piece of at most that share of its size and no farther from it than
blur reaches: 4 mm, or the next voxel of thick slices."""

AIR_HU, AIR_MM, AIR_SHARE = -500, 5.0, 0.4
"""Half of what is around a ball is air if half of it stands out, and more of what lies on the skin. Electrodes in
slices of 4 and 5 mm, most of which passed for body, had 0.41 to 0.52 within 5 mm, deposits 0.37 at most (16 phantoms,
regions that are ``BROAD``)."""

FLAG = "on the skin?"

BROAD = ("neck", "chest", "abdomen", "pelvis", "shoulder", "upper_arm", "forearm", "thigh", "lower_leg")
"""Elsewhere (ears, fingers, elbows, kneecaps, heels) the body itself is as narrow as what lies on it."""


def on_skin(
    deposits: Sequence[Deposit], ct: Volume, tissues: NDArray[np.uint8], regions: NDArray[np.uint8]
) -> list[bool]:
    """Which deposits lie on the skin.

    Those that stick out as a whole (``STICKS_OUT``); those that do in part (``FOOT``) and lie within a ball's radius of
    such a one: the rim of an electrode is pressed into the skin; and crumbs of one that blur leaves in the skin.

    Parameters
    ----------
    tissues, regions
        Label maps on the CT's grid; 0 is outside.
    """
    shares = [sticking_out(deposit, tissues, regions, ct.spacing) for deposit in deposits]
    whole = [deposit for deposit, share in zip(deposits, shares, strict=True) if share >= STICKS_OUT]
    if not whole:
        return [False] * len(deposits)
    trees = [cKDTree(ct.world(deposit.voxels)) for deposit in whole]
    reach = max(CRUMB_MM, 1.01 * float(np.linalg.norm(ct.spacing)))
    result = []
    for deposit, share in zip(deposits, shares, strict=True):
        points = ct.world(deposit.voxels)
        away = [float(tree.query(points)[0].min()) for tree in trees] if share < STICKS_OUT else [0.0]
        # An object of thin parts is found as several.
        beside = sum(tree.n for gap, tree in zip(away, trees, strict=False) if gap <= BALL_MM)
        crumb = min(away) <= reach and len(points) <= CRUMB * beside
        result.append(share >= STICKS_OUT or (share >= FOOT and min(away) <= BALL_MM) or crumb)
    return result


def amid_air(deposit: Deposit, ct: Volume, regions: NDArray[np.uint8]) -> bool:
    """Whether much of what surrounds a deposit is air, where the body itself is broad."""
    if not _is_broad(deposit, regions):
        return False
    box = grow(deposit.box, AIR_MM, ct.spacing, ct.array.shape)
    mask = np.zeros([part.stop - part.start for part in box], bool)
    mask[inside(deposit.box, box)] = deposit.mask
    away = distance_to(mask, ct.spacing)
    around = (away > 0) & (away <= AIR_MM)
    return bool(around.any() and (ct.array[box][around] < AIR_HU).mean() >= AIR_SHARE)


def _is_broad(deposit: Deposit, regions: NDArray[np.uint8]) -> bool:
    """Whether most of a deposit lies in a region that is wide throughout."""
    places = regions[deposit.box][deposit.mask]
    places = places[places > 0]
    return bool(len(places)) and region_of(int(np.bincount(places).argmax()))[0] in BROAD


def sticking_out(deposit: Deposit, tissues: NDArray[np.uint8], regions: NDArray[np.uint8], spacing: Spacing) -> float:
    """Share of a deposit's voxels that stick out of the body, 0 to 1; 0 where the body is narrow itself.

    Notes
    -----
    The body is opened with a ball of ``BALL_MM`` (eroded and dilated by it): ridges and knobs narrower than the ball
    are left out. A ball that reaches a voxel lies within two radii of it, so a crop that wide is enough; the ball is
    so large that every ``COARSE_MM`` a voxel will do, and distances between those are interpolated.
    """
    if not _is_broad(deposit, regions):
        return 0.0
    if not (distance_to(tissues[deposit.box] == 0, spacing)[deposit.mask] <= BALL_MM).any():
        return 0.0
    box = grow(deposit.box, 2.0 * BALL_MM, spacing, tissues.shape)
    steps = [max(1, round(COARSE_MM / size)) for size in spacing]
    thin: Spacing = tuple(step * size for step, size in zip(steps, spacing, strict=True))  # type: ignore[assignment]
    core = distance_to(tissues[box][tuple(slice(None, None, step) for step in steps)] == 0, thin) > BALL_MM
    if not core.any():
        return 0.0
    at = (deposit.voxels - offset(box)) / steps
    near = tuple(
        slice(max(0, int(low - BALL_MM / size)), int(high + BALL_MM / size) + 2)
        for low, high, size in zip(at.min(axis=0), at.max(axis=0), thin, strict=True)
    )
    opened = BALL_MM - distance_to(core[near], thin)
    own = (at - [part.start for part in near]).T
    return float((ndimage.map_coordinates(opened, own, order=1, mode="nearest") < 0).mean())
