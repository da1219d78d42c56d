"""Calcified walls of the femoral and popliteal arteries: plaques in a row, where these run from groin to knee.

One leg alone needs a long row. Atherosclerosis is a disease of all arteries (two legs of one person calcify alike), and
the two legs' arteries are each other's mirror image: short rows of both that mirror each other count together.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

COURSE = np.array(
    [
        (-0.36, 78.0, 12.0),
        (-0.24, 56.0, 16.0),
        (-0.14, 40.0, 34.0),
        (-0.04, 24.0, 45.0),
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
the artery runs: from the aorta's end at the fourth lumbar vertebra to the sacroiliac joint and along the pelvic brim,
before the femoral head's inner third (Garrett et al. 2005, Catheter Cardiovasc Interv 65:205), in the adductor canal
medially of the shaft, through the adductor hiatus at two thirds to three quarters of the way, and behind the knee
(Standring, Gray's Anatomy)."""

AROUND_MM = 30.0
"""Bodies differ, and so does the joints' centre: the artery lies within that distance of the course."""

ALONG_MM = 5.0
"""Plaques lie within the artery's width (6 to 9 mm) of its axis, which is the course moved and tilted."""

PLAQUES, SPAN_MM = 4, 80.0
"""Plaques in a row, and their least length along the artery. Of three the third may lie in line by chance: among four
deposits about the course one in four times, four of six one in ten."""

TOGETHER, EACH = 5, 2
"""Plaques of both legs together, and of each of them, whose rows mirror each other."""

MIRROR_MM = 12.0
"""The two arteries, and the joints that their courses are reckoned from, are alike to about that. A proven row tells
where the other leg's artery runs: a circle of that radius is 3 % of a thigh's muscles (65 mm)."""

MOSTLY = 0.6
"""Share of the small deposits about both courses that such a pair of rows must hold: among many scattered ones a few
lie in line."""

ALONE = 0.75
"""Likewise for a row of one leg on a fitted line: four of four or five, five of six deposits about the course."""

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
        (n,) each: part of a row of at least ``PLAQUES``, or of rows of both legs that mirror each other and hold
        ``TOGETHER``; or of a row of three, which may be chance.
    """
    walls, perhaps = np.zeros(len(points), bool), np.zeros(len(points), bool)
    places = {(one["name"], one["side"]): np.array([one["x_mm"], one["y_mm"], one["z_mm"]]) for one in joints}
    legs = []
    for side, sign in (("left", 1.0), ("right", -1.0)):
        ends = _ends(places.get(("hip", side)), places.get(("knee", side)))
        if ends is not None:
            legs.append(_leg(points, volumes_ml, ends, sign))
    proven = [max(leg.long_rows(), key=_size, default=None) for leg in legs]
    if len(legs) == 2:
        pair = _mirrored(*legs)
        proven = [max(filter(None, both), key=_size, default=None) for both in zip(proven, pair, strict=True)]
    for leg, row in zip(legs, proven, strict=True):
        if row is not None:
            walls[leg.which[row.members]] = True
        elif longest := max((one for one in leg.rows if len(one.members) > EACH), key=_size, default=None):
            perhaps[leg.which[longest.members]] = True
    for row, other in zip(proven, legs[::-1], strict=True):
        if row is not None and len(legs) == 2:
            mirror = other.which[row.near(other.along_mm, other.away)]
            (walls if len(mirror) >= EACH else perhaps)[mirror] = True
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


def _size(row: "_Row") -> int:
    return len(row.members)


@dataclass(frozen=True)
class _Row:
    """Deposits that one artery may hold, which is the course moved and tilted."""

    members: NDArray[np.int64]
    first_mm: float
    last_mm: float
    line: Floats
    """Distance from the course, medially and anteriorly, mm: slope and value at 0 mm along it (2, 2)."""

    def near(self, along_mm: Floats, away: Floats) -> NDArray[np.int64]:
        """Those of a leg's deposits that lie about this row, or its mirror image, and not far beyond its ends."""
        apart = np.hypot(*(away - along_mm[:, None] * self.line[0] - self.line[1]).T)
        reached = (along_mm >= self.first_mm - SPAN_MM) & (along_mm <= self.last_mm + SPAN_MM)
        return np.flatnonzero((apart <= MIRROR_MM) & reached)

    def apart(self, other: "_Row") -> float:
        """Largest distance of the two lines, mm, on the stretch that both rows span."""
        ends = min(self.first_mm, other.first_mm), max(self.last_mm, other.last_mm)
        lines = self.line - other.line
        return max(float(np.linalg.norm(end * lines[0] + lines[1])) for end in ends)


@dataclass(frozen=True)
class _Leg:
    """The small deposits of a leg along the artery's course."""

    which: NDArray[np.int64]
    along_mm: Floats
    away: Floats
    n_about: int
    """How many lie within ``AROUND_MM`` of the course."""
    rows: list[_Row]
    """On lines through two of them: what one leg alone must show."""
    fitted: list[_Row]
    """On lines fitted to all: plaques on opposite walls give a line that leaves the axis by as much."""

    def long_rows(self) -> list[_Row]:
        """Rows that prove an artery on this leg alone."""
        nearly_all = max(float(PLAQUES), ALONE * self.n_about)
        return [row for row in self.rows if _size(row) >= PLAQUES] + [
            row for row in self.fitted if _size(row) >= nearly_all
        ]


def _leg(points: Floats, volumes_ml: Floats, ends: tuple[Floats, Floats], medial_x: float) -> _Leg:
    along, away = _beside(points, *ends, medial_x)
    which = np.flatnonzero((volumes_ml <= LARGEST_ML) & (along > COURSE[0, 0]) & (along < COURSE[-1, 0]))
    along_mm, away = along[which] * float(np.linalg.norm(ends[1] - ends[0])), away[which]
    about = np.flatnonzero(np.hypot(*away.T) <= AROUND_MM)
    rows = [_rows(along_mm, away, about, fitted) for fitted in (False, True)]
    return _Leg(which, along_mm, away, len(about), *rows)


def _rows(along_mm: Floats, away: Floats, about: NDArray[np.int64], fitted: bool) -> list[_Row]:
    """All rows of at least ``EACH`` of the deposits ``about`` the course that are ``SPAN_MM`` long."""
    rows: dict[bytes, _Row] = {}
    for one, other in combinations(about, 2):
        apart = along_mm[other] - along_mm[one]
        if abs(apart) < SPAN_MM / 2.0:
            continue
        slope = (away[other] - away[one]) / apart
        line = away[one] + (along_mm - along_mm[one])[:, None] * slope
        members = about[np.hypot(*(away - line).T)[about] <= (2.0 if fitted else 1.0) * ALONG_MM]
        if fitted:
            members = _settled(along_mm, away, members)
        if members.tobytes() in rows:
            continue
        low, high = float(along_mm[members].min()), float(along_mm[members].max())
        if high - low >= SPAN_MM:
            rows[members.tobytes()] = _Row(members, low, high, _line(along_mm, away, members))
    return list(rows.values())


def _line(along_mm: Floats, away: Floats, members: NDArray[np.int64]) -> Floats:
    return np.polyfit(along_mm[members], away[members], 1)


def _settled(along_mm: Floats, away: Floats, members: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of the members that lie within ``ALONG_MM`` of the line fitted to them."""
    while len(members) > EACH:
        slope, start = _line(along_mm, away, members)
        off = np.hypot(*(away[members] - along_mm[members, None] * slope - start).T)
        if off.max() <= ALONG_MM:
            break
        members = np.delete(members, int(np.argmax(off)))
    return members


def _mirrored(one: _Leg, other: _Leg) -> tuple[_Row | None, _Row | None]:
    """The longest pair of rows that mirror each other; none if they hold too few to be no chance."""
    best: tuple[_Row | None, _Row | None] = (None, None)
    least = max(TOGETHER, int(np.ceil(MOSTLY * (one.n_about + other.n_about))))
    for first in one.fitted:
        for second in other.fitted:
            both = _size(first) + _size(second)
            if both >= least and first.apart(second) <= MIRROR_MM:
                best, least = (first, second), both + 1
    return best
