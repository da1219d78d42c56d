"""Calcified walls of the femoral and popliteal artery: plaques in a row, where the artery runs from groin to knee."""

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

COURSE = np.array(
    [
        (-0.10, 12.0, 45.0),
        (0.10, 24.0, 44.0),
        (0.30, 30.0, 28.0),
        (0.50, 30.0, 8.0),
        (0.70, 25.0, -10.0),
        (0.85, 15.0, -25.0),
        (1.00, 3.0, -35.0),
        (1.15, 0.0, -35.0),
    ]
)
"""Way from the femoral head's centre to the knee's (0 to 1), and how far medially and anteriorly of that line, in mm,
the artery runs: before the femoral head's inner third, in the adductor canal medially of the shaft, through the
adductor hiatus at two thirds to three quarters of the way, and behind the knee (Standring, Gray's Anatomy)."""

AROUND_MM = 30.0
"""Bodies differ, and so does the joints' centre: the artery lies within that distance of the course."""

ALONG_MM = 5.0
"""Plaques lie within the artery's width (6 to 9 mm) of its axis, which is the course moved and tilted."""

PLAQUES, SPAN_MM = 4, 80.0
"""Plaques in a row, and their least length along the artery. Of three the third may lie in line by chance: among four
deposits about the course one in four times, four of six one in ten."""

LARGEST_ML = 0.4
"""A plaque of half the wall of 20 mm of an artery."""

THIGH_MM = 420.0
"""Hip to knee at 1.70 m (0.245 of the height; Winter 2009), where one of them is out of view."""


def arterial_walls(
    points: Floats, volumes_ml: Floats, joints: Iterable[Mapping[str, Any]]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell deposits that are plaques of a femoral artery.

    Parameters
    ----------
    points, volumes_ml
        Centres of deposits that lie among muscle, RAS mm (n, 3), and their volumes (n,).
    joints
        ``joints`` of the anatomy: ``name``, ``side``, ``x_mm``, ``y_mm``, ``z_mm``.

    Returns
    -------
    walls, perhaps
        (n,) each: part of a row of at least ``PLAQUES``; or of a shorter one, which may be chance.
    """
    walls, perhaps = np.zeros(len(points), bool), np.zeros(len(points), bool)
    places = {(one["name"], one["side"]): np.array([one["x_mm"], one["y_mm"], one["z_mm"]]) for one in joints}
    for side, sign in (("left", 1.0), ("right", -1.0)):
        ends = _ends(places.get(("hip", side)), places.get(("knee", side)))
        if ends is None:
            continue
        along, away = _beside(points, *ends, sign)
        near = np.flatnonzero(
            (volumes_ml <= LARGEST_ML)
            & (along > COURSE[0, 0])
            & (along < COURSE[-1, 0])
            & (np.hypot(*away.T) <= AROUND_MM)
        )
        length = float(np.linalg.norm(ends[1] - ends[0]))
        row = near[_longest_row(along[near] * length, away[near])]
        (walls if len(row) >= PLAQUES else perhaps)[row] = True
    return walls, perhaps & ~walls


def _ends(hip: Floats | None, knee: Floats | None) -> tuple[Floats, Floats] | None:
    down = np.array([0.0, 0.0, -THIGH_MM])
    if hip is None and knee is None:
        return None
    if hip is None:
        assert knee is not None
        return knee - down, knee
    return hip, hip + down if knee is None else knee


def _beside(points: Floats, hip: Floats, knee: Floats, medial_x: float) -> tuple[Floats, Floats]:
    """Way along hip to knee (n,), 0 to 1, and distance from the course, medially and anteriorly, mm (n, 2)."""
    axis = (knee - hip) / np.linalg.norm(knee - hip)
    medial = np.array([medial_x, 0.0, 0.0])
    medial -= (medial @ axis) * axis
    medial /= np.linalg.norm(medial)
    anterior = np.array([0.0, 1.0, 0.0])
    anterior -= (anterior @ axis) * axis + (anterior @ medial) * medial
    anterior /= np.linalg.norm(anterior)
    from_hip = points - hip
    along = from_hip @ axis / np.linalg.norm(knee - hip)
    usual = np.column_stack([np.interp(along, COURSE[:, 0], COURSE[:, k]) for k in (1, 2)])
    return along, np.column_stack([from_hip @ medial, from_hip @ anterior]) - usual


def _longest_row(along_mm: Floats, away: Floats) -> NDArray[np.int64]:
    """The most deposits that one artery may hold: the course moved and tilted through two of them; at least three."""
    best = np.zeros(0, np.int64)
    for one, other in combinations(range(len(along_mm)), 2):
        apart = along_mm[other] - along_mm[one]
        if abs(apart) < SPAN_MM / 2.0:
            continue
        tilt = (away[other] - away[one]) / apart
        line = away[one] + (along_mm - along_mm[one])[:, None] * tilt
        row = np.flatnonzero(np.hypot(*(away - line).T) <= ALONG_MM)
        if len(row) > max(len(best), 2) and np.ptp(along_mm[row]) >= SPAN_MM:
            best = row
    return best
