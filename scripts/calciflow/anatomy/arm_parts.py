"""Where the parts of an arm begin, counted along its bones; and its bones' proportions."""

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calciflow.anatomy.grid import Grid

ARM_SEGMENTS = ("shoulder", "upper_arm", "elbow", "forearm", "hand", "fingers")

REACH_MM = 432.0
"""Forearm and hand of an adult of 1.70 m: 0.254 of the height (Winter 2009, Biomechanics and Motor Control)."""

UPPER_ARM, WRIST, KNUCKLES = 0.69, 0.575, 0.787
"""Upper arm (humeral head to elbow), elbow to wrist, elbow to knuckles, as parts of forearm plus hand (same source)."""

AXILLA = 0.25
"""The shoulder ends at the axillary folds. The front one is the lower border of the greater pectoral muscle, whose
tendon begins 56 mm below the top of the humeral head (Murachovsky 2006, J Shoulder Elbow Surg 15:675) and is 40 to
45 mm wide: 75 mm below the head's centre, a fourth of the way to the elbow."""

CAPSULE_MM = 45.0
"""The shoulder reaches so far inwards from the centre of the humeral head."""

BALL_SHARE = 0.8
"""Blocks at least that deep, of the deepest, lie about the centre of the humeral head."""

ELBOW_MM = 52.0
"""Half the length of the elbow region."""

WRIST_MM = 32.0
"""The wrist belongs to the hand. It begins where radius and ulna widen, two fingers' breadths above their ends."""

BONE_ENDS_MM = 18.0
"""Radius and ulna are stoutest so far above the joint: halfway along what has widened."""

METACARPAL_HEAD_MM = 10.0
"""The knuckles belong to the fingers, as the wrist to the hand: the heads of the metacarpals, half as long as wide."""

WEB_SHARE = 0.6
"""Thumb and index part at that share of the way from wrist to knuckles: at the thumb's own knuckle."""

THUMB_MM = (-15.0, 40.0)
"""A thumb ends at most so far short of the knuckles, or beyond them; a little finger 65 mm beyond."""

OUTLAST_MM = 30.0
"""Some finger goes on beyond the thumb's tip by more: where none does, the image cuts all rays off."""

THUMB_LENGTH_MM = (25.0, 55.0)
"""Length of both phalanges of a thumb, at least (without its tip) and usually."""

SHORTEST_MM, LONGEST_MM = 360.0, 500.0
"""Forearm and hand of adults of 1.42 to 1.97 m: 0.254 of the height (Winter 2009)."""

SHORT_CUT_MM = 30.0
"""Where shoulder blade and shaft are near, the way along the bones is shorter than the upper arm, by so much."""

PAIR_MM, PALM_MM = 36.0, 66.0
"""A humerus' shaft is narrower than the first, a pair of forearm bones wider; metacarpals and fingers, side by side,
are wider than the second: 20 to 25, 45 to 60 and 65 to 100 mm."""

MISFIT = 0.1
"""What 8 mm of bones of the wrong width take from a place of the elbow; a stout end is worth 0.5 to 3."""

PRIOR = 0.0005
"""Per mm: where the joints in view leave the length open, it is that of an adult of 1.70 m."""

BIN_MM = 8.0
"""Steps along the arm."""


def cut(
    nodes: NDArray[np.int64],
    way: NDArray[np.float64],
    elbow: float,
    wrist: float,
    knuckles: float,
    axilla: float,
    grid: Grid,
) -> NDArray[np.int64]:
    """Give each bone block of an arm its segment.

    Parameters
    ----------
    nodes, way
        Array indices (n, 3) and the way along the bones (n,) in mm, which grows towards the fingertips.
    elbow, wrist, knuckles, axilla
        Ways to the joints, and to where the upper arm begins.
    grid
        The coarse grid.

    Returns
    -------
    ndarray
        Index into ``ARM_SEGMENTS``, (n,).
    """
    cuts = [axilla, elbow - ELBOW_MM, elbow + ELBOW_MM, wrist - WRIST_MM, knuckles - METACARPAL_HEAD_MM]
    segments = np.digitize(way, np.maximum.accumulate(cuts))
    segments[_thumb(nodes, way, wrist, knuckles, grid)] = ARM_SEGMENTS.index("fingers")
    return segments


def _thumb(
    nodes: NDArray[np.int64], way: NDArray[np.float64], wrist: float, knuckles: float, grid: Grid
) -> NDArray[np.bool_]:
    """Find the thumb's phalanges: apart from the other bones beyond the web, and they end near the others' knuckles."""
    web = wrist + WEB_SHARE * (knuckles - wrist)
    beyond = np.flatnonzero(way > web)
    out = np.zeros(len(nodes), bool)
    if len(beyond) == 0:
        return out
    low = nodes[beyond].min(0)
    mask = np.zeros(nodes[beyond].max(0) - low + 1, bool)
    mask[tuple((nodes[beyond] - low).T)] = True
    ray = cc3d.connected_components(mask, connectivity=26)[tuple((nodes[beyond] - low).T)]
    for number in np.unique(ray):
        ends = way[beyond[ray == number]]
        short = THUMB_MM[0] < ends.max() - knuckles < THUMB_MM[1] and np.ptp(ends) > THUMB_LENGTH_MM[0]
        if short and ends.max() < way.max() - OUTLAST_MM:
            out[beyond[(ray == number) & (way[beyond] > ends.max() - THUMB_LENGTH_MM[1])]] = True
    return out


def find_elbow(
    way: NDArray[np.float64],
    complete: bool,
    head: float | None = None,
    points_mm: NDArray[np.float64] | None = None,
) -> tuple[float, float]:
    """Way to the elbow, and length of forearm with hand, in mm.

    Each joint in view counts by how much more bone than the shafts it has. If the fingertips are in view the two
    lengths depend on each other, and if the humeral head is, at the way ``head``, so do they. Without either the elbow
    may lie above the image; the wrist may lie below it. Then the width of the bones (``points_mm``, (n, 3)) tells an
    elbow from a wrist: above an elbow lies one bone, below a wrist lie five.
    """
    length = float(way.max())
    bins = np.arange(0.0, length + 2.0 * BIN_MM, BIN_MM)
    # Not numpy's convolve: of a piece shorter than the kernel it makes the kernel's length.
    amount = ndimage.convolve1d(np.histogram(way, bins)[0].astype(float), [0.25, 0.5, 0.25], mode="nearest")
    shaft = float(np.median(amount)) or 1.0
    centres = bins[:-1] + BIN_MM / 2.0
    widths = np.zeros(len(centres)) if points_mm is None else _widths(points_mm, way, centres)

    def stout(at: float) -> float:
        # A joint right above the image: its bones widen towards it, the more the nearer it is.
        if at < 0.0:
            return max(0.0, float(amount[0]) / shaft - 1.0) * max(0.0, 1.0 + at / ELBOW_MM)
        return float(np.interp(at, centres, amount / shaft - 1.0, right=0.0))

    def misfit(elbow: float, wrist: float) -> float:
        above = (centres < elbow - ELBOW_MM) & (widths > PAIR_MM)
        between = (centres > elbow + ELBOW_MM) & (centres < wrist) & (widths > PALM_MM)
        return MISFIT * float((above | between).sum())

    best = (-np.inf, 0.0, 0.0)
    for reach in np.arange(SHORTEST_MM, LONGEST_MM + 1.0, BIN_MM):
        places = [length - reach] if complete else np.arange(-WRIST * reach, length, BIN_MM / 2.0)
        if head is not None:
            upper = UPPER_ARM * reach
            places = np.arange(head + upper - SHORT_CUT_MM, head + upper + BIN_MM, BIN_MM / 2.0)
        for elbow in places:
            wrist = elbow + WRIST * reach
            fit = stout(elbow) + stout(wrist - BONE_ENDS_MM) - misfit(elbow, wrist)
            best = max(best, (fit - PRIOR * abs(reach - REACH_MM), float(elbow), float(reach)))
    return best[1], best[2]


def _widths(points: NDArray[np.float64], way: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Width in mm of the bones at places along the arm: of an even row of points with the same standard deviation."""
    out = np.zeros(len(at))
    for index, place in enumerate(at.tolist()):
        near = points[np.abs(way - place) < BIN_MM]
        if len(near) > 3:
            out[index] = np.sqrt(12.0 * np.linalg.eigvalsh(np.cov(near.T))[-1])
    return out


def ring(nodes: NDArray[np.int64], way: NDArray[np.float64], at: float) -> NDArray[np.float64]:
    """Middle (3,) of the blocks (n, 3) about a place along the arm, or the nearest block to it."""
    away = np.abs(way - at)
    return np.asarray(nodes[away <= max(BIN_MM, float(away.min()))].mean(0))


def humeral_head(
    nodes: NDArray[np.int64], way: NDArray[np.float64], depth: NDArray[np.float32], at: float
) -> NDArray[np.float64]:
    """Centre (3,) of the humeral head: of the largest ball in the bones near a place along the arm."""
    near = np.abs(way - at) < CAPSULE_MM
    if not near.any():
        return ring(nodes, way, at)
    deep = near & (depth >= BALL_SHARE * depth[near].max())
    return np.asarray(nodes[deep].mean(0))
