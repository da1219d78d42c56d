"""The trunk's axis, from which a viewer looks around, and the pelvic floor, from spine, symphysis and hip bones."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calciflow.anatomy.entering import SPINE_HALF_MM
from calciflow.anatomy.grid import Grid, Mask
from calciflow.measure.boxes import Spacing

AXIS_MM = 45.0
"""The viewer stands this far in front of the spine's front."""

SYMPHYSIS_MM = 25.0
"""The pubic bones come so near the midline, hip joints and ischium don't."""

COCCYX_MM = 50.0
"""The coccyx ends so far above the lower edge of the symphysis, or a little less."""


def _hips_row(plane: Mask, lateral: NDArray[np.bool_]) -> float | None:
    """Mean row of the bone of a slice that lies far aside; None where there is none."""
    count = plane[:, lateral].sum(1)
    return float(np.average(np.arange(len(count)), weights=count)) if count.any() else None


def _spine_front(bone: Mask, inside: Mask, pelvis: NDArray[np.bool_], middle: int, grid: Grid) -> NDArray[np.float64]:
    """Row of the front of the spine in every slice, smoothed along the body; nan where no spine is in view."""
    half = max(1, round(12.0 / grid.spacing[2]))
    lateral = np.abs(np.arange(bone.shape[2]) - middle) * grid.spacing[2] > SPINE_HALF_MM
    strip = np.asarray(bone[:, :, max(0, middle - half) : middle + half + 1].any(2))
    front = np.full(bone.shape[0], np.nan)
    for z in range(bone.shape[0]):
        rows = np.flatnonzero(strip[z])
        body_rows = np.flatnonzero(inside[z].any(1))
        if len(rows) == 0 or len(body_rows) == 0:
            continue
        limit = body_rows[0] + 0.62 * (body_rows[-1] - body_rows[0])
        if pelvis[z] and (hips := _hips_row(bone[z], lateral)) is not None:
            limit = min(limit, hips)
        rows = rows[rows < limit]  # the sternum lies in front, and the pubis, of the hip bones' middle too
        if len(rows):
            front[z] = rows[-1]
    known = np.flatnonzero(np.isfinite(front))
    if len(known) == 0:
        return front
    filled = np.interp(np.arange(len(front)), known, front[known])
    return ndimage.median_filter(filled, size=2 * round(30.0 / grid.spacing[0]) + 1, mode="nearest")


def floor_rows(bone: Mask, pelvis: NDArray[np.bool_], middle: int, step: Spacing) -> NDArray[np.float64]:
    """Row in every slice that the pelvic floor reaches: behind it lie the buttocks, -inf where it doesn't reach.

    The floor runs from the tip of the coccyx to the lower edge of the symphysis (the pubococcygeal line; Yang et al.
    1991). A coccyx that is not seen is taken to be ``COCCYX_MM`` above that edge, as far back as the hip bones.
    """
    aside = np.abs(np.arange(bone.shape[2]) - middle) * step[2]
    lateral = aside > SPINE_HALF_MM
    out = np.full(len(bone), -np.inf)
    symphysis = coccyx = None  # the lowest slice with each, and its row there
    back = np.inf
    for z in np.flatnonzero(pelvis).tolist():
        hips = _hips_row(bone[z], lateral)
        if hips is None:
            continue
        central = np.flatnonzero(bone[z][:, aside < SYMPHYSIS_MM].any(1))
        before, behind = central[central > hips], central[central <= hips]
        if symphysis is None and len(before):
            symphysis = (z, float(before[0]))
        if coccyx is None and len(behind):
            coccyx = (z, float(behind[-1]))
        back = min(back, float(np.flatnonzero(bone[z][:, lateral].any(1))[0]))
    if symphysis is None:
        return out
    low, high = symphysis, coccyx or (symphysis[0] + max(1, round(COCCYX_MM / step[0])), back)
    if low[0] < high[0]:
        below = np.arange(min(high[0], len(bone)))
        out[below] = np.interp(below, [low[0], high[0]], [low[1], high[1]])
    return out


def axis_of(
    bone: Mask, inside: Mask, pelvis: NDArray[np.bool_], middle: int, grid: Grid
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows of the spine's front (nan where no spine is in view) and of the viewer in every slice."""
    front = _spine_front(bone, inside, pelvis, middle, grid)
    rows = np.arange(inside.shape[1], dtype=float)
    fallback = np.array([np.average(rows, weights=plane.sum(1) + 1e-9) for plane in inside])
    return front, np.where(np.isfinite(front), front + AXIS_MM / grid.spacing[1], fallback)
