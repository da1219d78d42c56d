"""Small soft-tissue structures that make a limb look like one: veins in the fat, fat and tendons around joints."""

from collections.abc import Sequence

import numpy as np

from calciflow.phantom.body import Group, Part
from calciflow.phantom.canvas import FAT, Canvas
from calciflow.phantom.pose import Limbs
from calciflow.phantom.shapes import Ellipsoid, Frame, Loft, tube

_TENDON = (85.0, 0.5)
_VEIN = (42.0, 1.2)


def _veins(part: Part, canvas: Canvas, count: int, s: float, rng: np.random.Generator) -> None:
    """Superficial veins that wind along a limb half-way through its fat."""
    inner, outer = part.fascia, part.skin
    if not isinstance(inner, Loft) or not isinstance(outer, Loft):
        return
    if canvas.grid.box(*outer.bounds()) is None:
        return
    first, last = inner.profile[0, 0], inner.profile[-1, 0]
    for number in range(count):
        w = np.linspace(first + 0.08 * (last - first), last - 0.04 * (last - first), 14)
        angle = 2 * np.pi * (number + rng.uniform(0, 0.7)) / count + np.cumsum(rng.normal(0, 0.10, len(w)))
        rows = []
        for at, phi in zip(w, angle, strict=True):
            here = np.array([at], np.float32)
            ends = []
            for loft in (inner, outer):
                cu, cv, ap, an, bp, bn = (float(v[0]) for v in loft.at(here))
                a, b = (ap if np.cos(phi) > 0 else an), (bp if np.sin(phi) > 0 else bn)
                ends.append((cu + a * np.cos(phi), cv + b * np.sin(phi)))
            share = rng.uniform(0.3, 0.6)
            u, v = (lo + share * (hi - lo) for lo, hi in zip(*ends, strict=True))
            rows.append(inner.frame.point(u, v, at))
        canvas.paint(tube(rows, np.linspace(2.0, 1.2, len(rows)) * s), *_VEIN, None, "subcutaneous_fat")


def _ball(frame: Frame, centre: Sequence[float], radii: Sequence[float], s: float) -> Ellipsoid:
    return Ellipsoid(frame.point(*(np.array(centre, float) * s)), np.array(radii, float) * s, frame)


def _cord(frame: Frame, rows: Sequence[Sequence[float]], s: float, canvas: Canvas, what: tuple[float, float]) -> None:
    table = np.array(rows, float) * s
    name = "tendon" if what == _TENDON else None
    canvas.paint(tube([frame.point(*row[:3]) for row in table], table[:, 3]), *what, None, "muscle", name)


def _knee(limbs: Limbs, canvas: Canvas, s: float) -> None:
    """Fat of the popliteal space and around the patella, hamstring tendons, heads of the gastrocnemius."""
    thigh, leg = limbs.frames["thigh"], limbs.frames["lower_leg"]
    end = float(np.linalg.norm(limbs.knee - limbs.hip)) / s
    for shape in (
        _ball(thigh, (0, -34, end - 30), (36, 17, 66), s),
        _ball(thigh, (0, 24, end - 55), (30, 9, 26), s),
        _ball(leg, (0, 33, 12), (24, 11, 18), s),
        _ball(thigh, (38, 8, end - 20), (8, 26, 44), s),
        _ball(thigh, (-38, 8, end - 20), (8, 26, 44), s),
    ):
        canvas.paint(shape, FAT[0], FAT[1], None, "muscle")
    _cord(thigh, [[33, -34, end - 110, 10], [35, -30, end - 40, 6], [36, -22, end + 10, 4]], s, canvas, (65, 0.6))
    _cord(thigh, [[-26, -40, end - 110, 11], [-33, -34, end - 40, 6], [-34, -24, end + 10, 4]], s, canvas, (65, 0.6))
    _cord(thigh, [[-12, -46, end - 110, 6], [-20, -41, end - 40, 3]], s, canvas, _TENDON)
    for m in (1, -1):
        _cord(leg, [[m * 18, -26, -36, 7], [m * 19, -32, 0, 13], [m * 20, -34, 50, 17]], s, canvas, (58, 0.6))
    _cord(thigh, [[0, -32, end - 110, 3.6], [2, -28, end - 30, 3.4]], s, canvas, (42, 1.2))
    _cord(thigh, [[0, 40, end - 90, 8], [0, 41, end - 40, 6]], s, canvas, _TENDON)
    _cord(leg, [[0, 39, -14, 4.5], [0, 36, 34, 4.5]], s, canvas, _TENDON)


def _ankle(limbs: Limbs, canvas: Canvas, s: float) -> None:
    """Fat before the Achilles tendon, the tendon, and those of the extensors."""
    leg = limbs.frames["lower_leg"]
    end = float(np.linalg.norm(limbs.ankle - limbs.knee)) / s
    canvas.paint(_ball(leg, (0, -22, end - 22), (20, 10, 44), s), FAT[0], FAT[1], None, "muscle")
    _cord(leg, [[0, -32, end - 110, 9], [0, -28, end - 60, 5.5], [0, -29, end + 14, 5.5]], s, canvas, _TENDON)
    for u in (-8, 2, 11):
        _cord(leg, [[u, 24, end - 60, 4], [u, 25, end, 3]], s, canvas, _TENDON)


def _arm(limbs: Limbs, canvas: Canvas, s: float) -> None:
    """Fat of the elbow's bend, biceps and triceps tendons, flexor tendons in the carpal tunnel."""
    upper, fore, hand = limbs.frames["upper_arm"], limbs.frames["forearm"], limbs.frames["hand"]
    end = float(np.linalg.norm(limbs.elbow - limbs.shoulder)) / s
    canvas.paint(_ball(upper, (0, 14, end - 8), (18, 9, 24), s), FAT[0], FAT[1], None, "muscle")
    canvas.paint(_ball(upper, (0, -17, end - 22), (16, 6, 18), s), FAT[0], FAT[1], None, "muscle")
    _cord(upper, [[0, 24, end - 50, 6], [3, 16, end + 2, 3.5]], s, canvas, _TENDON)
    _cord(upper, [[0, -26, end - 60, 6], [0, -21, end - 12, 4.5]], s, canvas, _TENDON)
    wrist = float(np.linalg.norm(limbs.wrist - limbs.elbow)) / s
    canvas.paint(_ball(fore, (0, 6, wrist - 30), (17, 5, 26), s), FAT[0], FAT[1], None, "muscle")
    for u in (-9, -3, 3, 9):
        _cord(hand, [[u * 0.8, 8, -30, 2.6], [u * 0.8, 8, 10, 2.6], [u * 2.4, 7, 80, 2.2]], s, canvas, _TENDON)


def paint_details(canvas: Canvas, groups: Sequence[Group], limbs: Sequence[Limbs], s: float, seed: int) -> None:
    """Paint them over fat and muscle, before bones; labels stay: fat between bellies belongs to muscle."""
    for number, part in enumerate(part for group in groups[1:] for part in group.parts):
        if part.muscles is not None:
            # A limb's veins do not depend on which others are in view.
            _veins(part, canvas, 5, s, np.random.default_rng([seed, 7, number]))
    for item in limbs:
        _knee(item, canvas, s)
        _ankle(item, canvas, s)
        _arm(item, canvas, s)
