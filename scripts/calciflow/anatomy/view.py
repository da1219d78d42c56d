"""What a viewer on the trunk's axis sees: bone, the wall's outer face, and how thick the wall is in every direction."""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import ndimage

from calciflow.anatomy.grid import Mask, closed
from calciflow.measure.boxes import Spacing

RAYS = 180
"""Directions of view in a slice, 2 degrees apart."""

ANGLE = 2 * np.pi * np.arange(RAYS) / RAYS
"""Of the directions: 0 is towards higher columns, a quarter turn to the front."""

BACKWARD = np.sin(ANGLE) < -0.2
"""Directions towards the muscles of the back."""

RIB_GAP_MM = 22.0
"""Half the distance of neighbouring ribs along the body, with the slope of a rib in it."""

DISC_MM = 14.0
"""Thickest disc."""

NEAR_MM = 12.0
"""Bone nearer to the axis is none of the wall."""

CHEST_CM2 = 5.0
"""In slices with more lung the aorta may lie beside a vertebra, and no psoas does."""

WALL_MM = (6.0, 11.0, 30.0)
"""Thinnest, usual and thickest wall of the trunk beside the bones, at the sides and in front."""

WALL_RANK = 0.2
"""Rank, among the thicknesses that fat, gas and ribs show around a place, of the one that counts: each is the wall's or
more. On a real CT that a network labelled, muscle agrees better (Dice) at 0.2 than at 0.4: 0.74 and 0.72."""

BACK_WALL_MM, PELVIC_WALL_MM = 60.0, 70.0
"""Thickest wall at the back (loins) and in the pelvis (groin). With 90 mm at the back, kidneys that touch it are lost
in it: 166 ml instead of 43 in seven phantoms. For such a reason the muscles that line the pelvis stay with the cavity:
a bladder against the bone looks like them."""

EVEN_RAYS, UNEVEN_RAYS = 12, 5
"""The wall is alike 24 degrees to each side, and 10 where single muscles make it."""

OUTSIDE_MM = 10.0
"""In the pelvis a ray that leaves the layer of muscle for so far has left the trunk, as towards the penis. Above, the
layer may have gaps."""

FORAMEN_MM, SIDEWAYS_DEG, GAP_RAYS = 40.0, 50.0, 30
"""The obturator foramen, as high as that, opens sideways below the hip's socket: there the view ends where it does
above. Other gaps of the bony pelvis (sciatic notch, groin) are up to so many directions wide."""

INTERCOSTAL_MM = 4.0
"""From a rib's inner face to the pleura or peritoneum."""


def in_chest(lungs: Mask, step: Spacing) -> NDArray[np.bool_]:
    """Slices with lungs."""
    return np.asarray(lungs.sum((1, 2)) * step[1] * step[2] > CHEST_CM2 * 100.0)


def polar(
    y: NDArray[np.float64], x: NDArray[np.float64], row: float, column: float, step: Spacing
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Distance in mm from the axis, and index of the direction, of blocks of a slice."""
    dy, dx = (y - row) * step[1], (x - column) * step[2]
    return np.hypot(dy, dx), np.rint(np.arctan2(dy, dx) / (2 * np.pi) * RAYS).astype(int) % RAYS


def _thickest_wall(pelvis: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Thickest wall in mm in every slice and direction; ``pelvis``: slices at its level."""
    return np.where(BACKWARD, BACK_WALL_MM, np.where(pelvis[:, None], PELVIC_WALL_MM, WALL_MM[2]))


def blocking(bone: Mask, step: Spacing) -> Mask:
    """Bone with discs and narrow gaps."""
    disc = 2 * max(1, round(DISC_MM / 2.0 / step[0])) + 1
    blocked = bone | ndimage.binary_closing(bone, np.ones((disc, 1, 1)))
    return blocked | closed(blocked, 10.0, step, flat=True)


@dataclass(frozen=True)
class View:
    """What a viewer on the axis sees, a row a slice and a column a direction (``RAYS``); mm from the axis.

    Attributes
    ----------
    edge
        To the wall's outer face; 1000 more where the image ends before it.
    bone
        To bone in the way, inf where there is none.
    wall
        Thickness of what lies between the farthest fat or gas and the outer face; nan where that is no wall's.
    ribs
        The same of the wall that ribs lie in.
    """

    edge: NDArray[np.float64]
    bone: NDArray[np.float64]
    wall: NDArray[np.float64]
    ribs: NDArray[np.float64]


def look(
    hull: Mask,
    proof: Mask,
    blocked: Mask,
    bone: Mask,
    axis: NDArray[np.float64],
    pelvis: NDArray[np.bool_],
    middle: int,
    step: Spacing,
) -> View:
    """Look around in every slice; ``pelvis``: slices at its level."""
    thickest = _thickest_wall(pelvis)
    step_mm = min(step[1:]) / 2.0
    radii = np.arange(0.0, 320.0, step_mm)
    y = (radii[None, :] * np.sin(ANGLE)[:, None]) / step[1]
    x = middle + (radii[None, :] * np.cos(ANGLE)[:, None]) / step[2]
    columns = np.rint(x).astype(int)
    off_x = (columns < 0) | (columns >= hull.shape[2])
    columns = columns.clip(0, hull.shape[2] - 1)
    size = (len(hull), RAYS)
    edge, limit = np.zeros(size), np.zeros(size)
    wall, ribs = np.full(size, np.nan), np.full(size, np.nan)

    def farthest(seen: Mask) -> NDArray[np.int64]:
        return np.where(seen.any(1), seen.shape[1] - 1 - seen[:, ::-1].argmax(1), -1)

    for z in range(len(hull)):
        lines = np.rint(axis[z] + y).astype(int)
        off = off_x | (lines < 0) | (lines >= hull.shape[1])
        lines = lines.clip(0, hull.shape[1] - 1)
        seen = hull[z][lines, columns] & ~off
        last = _way_out(seen, step_mm) if pelvis[z] else farthest(seen).clip(0)
        edge[z] = radii[last]
        cut = off[np.arange(RAYS), np.minimum(last + 1, len(radii) - 1)]  # the image ends before the wall does
        edge[z, cut] += 1000.0
        hit = blocked[z][lines, columns] & ~off & (radii > NEAR_MM)
        limit[z] = np.where(hit.any(1), radii[hit.argmax(1)], np.inf)
        deepest = farthest(proof[z][lines, columns] & ~off & (radii[None] <= edge[z][:, None] - WALL_MM[0]))
        thick = edge[z] - radii[deepest]
        known = (deepest >= 0) & (thick <= thickest[z]) & ~cut
        wall[z, known] = thick[known]
        rib = bone[z][lines, columns] & ~off & (radii > NEAR_MM)
        beside = np.where(rib.any(1), edge[z] - radii[rib.argmax(1)] + INTERCOSTAL_MM, np.inf)
        known = (beside >= WALL_MM[0]) & (beside <= np.where(BACKWARD, BACK_WALL_MM, WALL_MM[2])) & ~cut
        ribs[z, known] = beside[known]
    return View(edge, limit, wall, ribs)


def _way_out(inside: Mask, step_mm: float) -> NDArray[np.int64]:
    """Index of the last sample inside before a ray leaves what is inside for good, or for more than ``OUTSIDE_MM``."""
    gap = max(1, round(OUTSIDE_MM / step_mm))
    seen = np.pad(inside, ((0, 0), (gap, gap)))
    joined = ndimage.binary_closing(seen, np.ones((1, gap)))[:, gap:-gap]
    begin = joined.argmax(1)
    after = np.arange(joined.shape[1])[None] > begin[:, None]
    left = ~joined & after
    return np.where(left.any(1), left.argmax(1) - 1, np.where(joined.any(1), joined.shape[1] - 1, 0))


def borders(view: View, pelvis: NDArray[np.bool_], step: Spacing) -> NDArray[np.float64]:
    """How far the cavity reaches in every slice and direction, mm."""
    limit = np.where(pelvis[:, None], view.bone, _between_ribs(view.bone, step))
    down = max(1, round(FORAMEN_MM / step[0]))
    above = ndimage.minimum_filter1d(limit, 2 * down + 1, axis=0, origin=-down, mode="nearest")
    sideways = np.abs(np.cos(ANGLE)) > np.cos(np.radians(SIDEWAYS_DEG))
    limit = np.where(pelvis[:, None] & sideways, above, limit)
    for z in np.flatnonzero(pelvis).tolist():
        limit[z] = _ring(limit[z])
    near = max(1, round(24.0 / step[0]))
    wall = np.fmin(view.wall, _along(view.ribs, max(1, round(RIB_GAP_MM / step[0]))))
    uneven = pelvis[:, None] | BACKWARD
    wall = np.where(uneven, _fill(wall, near, UNEVEN_RAYS), _fill(wall, near, EVEN_RAYS))
    # Bone in the wall's outer face only: a rib stands for the wall around it.
    border = np.minimum(view.edge - wall, limit - INTERCOSTAL_MM)
    border = ndimage.median_filter(
        np.pad(border.clip(0, 2000), ((0, 0), (4, 4)), mode="wrap"), size=(3, 5), mode="nearest"
    )
    return np.asarray(border[:, 4:-4])


def _between_ribs(limit: NDArray[np.float64], step: Spacing) -> NDArray[np.float64]:
    """Join what is seen of neighbouring ribs: between them the wall goes from one's inner face to the other's."""
    farthest = 2 * max(1, round(RIB_GAP_MM / step[0]))
    out = limit.copy()
    z = np.arange(len(limit))
    for ray in range(limit.shape[1]):
        known = np.flatnonzero(np.isfinite(limit[:, ray]))
        if len(known) == 0:
            continue
        below = known[(np.searchsorted(known, z, side="right") - 1).clip(0)]
        above = known[np.searchsorted(known, z).clip(0, len(known) - 1)]
        between = (below <= z) & (z <= above) & (above - below <= farthest)
        out[between, ray] = np.interp(z[between], known, limit[known, ray])
    return out


def _ring(limit: NDArray[np.float64]) -> NDArray[np.float64]:
    """Close the gaps of the bony pelvis: the view ends between two bones no more than ``GAP_RAYS`` apart."""
    known = np.flatnonzero(np.isfinite(limit))
    if len(known) < 2:
        return limit
    out = limit.copy()
    for first, last in zip(known.tolist(), [*known[1:].tolist(), int(known[0]) + RAYS], strict=True):
        if 1 < last - first <= GAP_RAYS:
            between = np.arange(first + 1, last)
            out[between % RAYS] = np.interp(between, (first, last), (limit[first], limit[last % RAYS]))
    return out


def _along(values: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Mean of the known values within so many slices; nan where none is."""
    known = np.isfinite(values)
    size = (2 * reach + 1, 1)
    weight = ndimage.uniform_filter(known.astype(float), size=size, mode="constant")
    total = ndimage.uniform_filter(np.where(known, values, 0.0), size=size, mode="constant")
    return np.divide(total, weight, out=np.full_like(total, np.nan), where=weight > 1e-6)


def _fill(values: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """The wall around each place: what is known of it says how thick it is at most.

    A low one of the known values (``WALL_RANK``), so many slices and directions around; the usual thickness where few
    are known.
    """
    out = np.empty_like(values)
    sides = np.pad(values, ((0, 0), (width, width)), mode="wrap")
    for z in range(len(values)):
        rows = sides[max(0, z - height) : z + height + 1 : 2]  # every other one tells enough
        near = np.sort(sliding_window_view(rows, 2 * width + 1, axis=1)[..., ::2].swapaxes(0, 1).reshape(RAYS, -1))
        count = np.isfinite(near).sum(1)  # nan is sorted last
        low = near[np.arange(RAYS), (WALL_RANK * count).astype(int).clip(0, near.shape[1] - 1)]
        share = np.clip(count / near.shape[1] / 0.15, 0.0, 1.0)
        around = share * np.where(count > 0, low, WALL_MM[1]) + (1.0 - share) * WALL_MM[1]
        out[z] = np.fmin(values[z], around)
    return out
