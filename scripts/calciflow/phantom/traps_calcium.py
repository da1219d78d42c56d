"""Traps on CT: calcium in arteries, cartilage, veins and scars; contrast; spurs; metal; what lies on the skin."""

import numpy as np
from numpy.typing import NDArray

from calciflow.labels import TISSUES
from calciflow.phantom.asymmetry import SMALL
from calciflow.phantom.axial_bones import costal_cartilages, teeth
from calciflow.phantom.organs import AORTA, AORTA_RADII, cavity_of, leg_artery
from calciflow.phantom.pose import SIGN
from calciflow.phantom.shapes import Array, Box, Cone, Ellipsoid, Union, tube
from calciflow.phantom.structures import STRUCTURES
from calciflow.phantom.traps import Mask, Point, TrapPainter


def _along(points: Point, radii: Point, t: float) -> tuple[Point, Point, float]:
    """Point, direction and radius at a share ``t`` of a course's knots."""
    at = min(t, 0.999) * (len(points) - 1)
    low = int(at)
    step = points[low + 1] - points[low]
    share = at - low
    radius = float(radii[low] + share * (radii[low + 1] - radii[low]))
    return points[low] + share * step, step / np.linalg.norm(step), radius


def _plaque(painter: TrapPainter, what: str, points: Point, radii: Point, t: float) -> None:
    """A flat plaque on the wall of a tube."""
    rng = painter.rng
    middle, axis, radius = _along(points, radii, t)
    across = np.cross(axis, rng.normal(0, 1, 3))
    across /= np.linalg.norm(across)
    size = float(rng.uniform(0.5, 1.0)) * radius
    ends = middle + across * radius * 0.95 + np.array([[-1.0], [1.0]]) * axis * size
    plate = tube(ends, max(1.2, 0.22 * radius))
    painter.put(what, plate, float(rng.uniform(350, 1000)), float(rng.uniform(1.4, 3.0)))


def arterial_calcification(painter: TrapPainter) -> None:
    """Plaques on the aorta and on the iliac and femoral arteries of both sides."""
    for t in np.sort(painter.rng.uniform(0.05, 0.98, 9)):
        _plaque(painter, "aorta", AORTA * painter.s, AORTA_RADII * painter.s, float(t))
    for item in painter.person.limbs:
        points, radii, _ = leg_artery(item, painter.s)
        for t in np.sort(painter.rng.uniform(0.02, 0.95, 7)):
            _plaque(painter, f"{item.side} iliac or femoral artery", points, radii, float(t))


def costal_cartilage(painter: TrapPainter) -> None:
    """Grains and rims of calcium in half of the cartilages."""
    rng, s = painter.rng, painter.s
    for name, course in costal_cartilages(s, cavity_of(painter.person.trunk, painter.person.build)):
        if rng.uniform() < 0.4:
            continue
        for t in rng.uniform(0.05, 0.95, int(rng.integers(2, 5))):
            middle, axis, _ = _along(course, np.ones(len(course)), float(t))
            off = rng.normal(0, 1, 3)
            off -= (off @ axis) * axis
            middle = middle + off / np.linalg.norm(off) * 2.6 * s
            grain = tube(middle + np.array([[-1.0], [1.0]]) * axis * rng.uniform(1.5, 6), float(rng.uniform(1.1, 2.2)))
            painter.put(name, painter.person.bent(grain), float(rng.uniform(250, 700)), float(rng.uniform(1.2, 2.6)))


def phleboliths(painter: TrapPainter) -> None:
    """Two to six stones in the veins beside bladder and rectum, some with a lucent middle."""
    rng, s = painter.rng, painter.s
    for _ in range(int(rng.integers(2, 7))):
        m = 1 if rng.uniform() < 0.5 else -1
        centre = np.array([m * rng.uniform(26, 48), rng.uniform(-22, 14), rng.uniform(838, 872)]) * s
        radius = float(rng.uniform(1.6, 3.2))
        hu = float(rng.uniform(300, 900))
        painter.put("pelvic vein", painter.ball(centre, radius), hu, None)
        if radius > 2.6:
            painter.canvas.paint(painter.ball(centre, 0.9), 120 * painter.calcium, None)


def granulomas(painter: TrapPainter) -> None:
    """One to three scars with shells of calcium in the fat of each buttock's upper outer part."""
    rng, s = painter.rng, painter.s
    for side in ("right", "left"):
        m = SIGN[side]

        def upper_outer(x: Array, y: Array, z: Array, m: float = m) -> NDArray[np.bool_]:
            lateral, high = m * x / s, z / s
            return (y < -45 * s) & (lateral > 45) & (lateral < 130) & (high > 880) & (high < 975)

        for _ in range(int(rng.integers(1, 4))):
            centre = painter.somewhere("pelvis", side, "subcutaneous_fat", upper_outer)
            if centre is None:
                continue
            radius = float(rng.uniform(3.0, 7.0))
            fat = painter.tissue("subcutaneous_fat")
            if painter.put(f"{side} buttock", painter.ball(centre, radius), float(rng.uniform(250, 700)), 1.2, fat):
                painter.canvas.paint(painter.ball(centre, radius - 1.6), -60, 0.6, None, "subcutaneous_fat")


def _dense(painter: TrapPainter, name: str, what: str, hu: float) -> None:
    """Contrast in a structure: its CT value is raised, gas is left."""
    canvas = painter.canvas
    inside = (canvas.structures == STRUCTURES[name]) & (canvas.hu > -150) & (canvas.tissues != TISSUES["bone"])
    found = [np.flatnonzero(inside.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    if not len(found[0]):
        return
    z, y, x = (slice(int(at[0]), int(at[-1]) + 1) for at in found)
    painter.fill(what, (z, y, x), inside[z, y, x].astype(np.float32), hu * painter.calcium, None)


def oral_contrast(painter: TrapPainter) -> None:
    """Bowel and stomach at 180 to 350 HU."""
    for name in ("bowel", "stomach"):
        _dense(painter, name, name, float(painter.rng.uniform(180, 350)))


def intravenous_contrast(painter: TrapPainter) -> None:
    """Portal phase: heart and vessels at 150 to 220 HU, kidneys somewhat more."""
    blood = float(painter.rng.uniform(150, 220))
    for name, more in (("heart", 0.0), ("vessel", 0.0), ("kidney", 40.0)):
        _dense(painter, name, name, blood + more)


def dental_metal(painter: TrapPainter) -> None:
    """Crowns of gold or amalgam on two to five teeth."""
    crowns = list(teeth(painter.s))
    for number in sorted(painter.rng.choice(len(crowns), int(painter.rng.integers(2, 6)), replace=False)):
        tooth = crowns[int(number)]
        assert isinstance(tooth, Ellipsoid)
        painter.put_metal(f"tooth {number + 1}", Ellipsoid(tooth.centre, tooth.radii * np.array([0.9, 0.9, 0.55])))


def hip_prosthesis(painter: TrapPainter) -> None:
    """Cup, head, neck and stem instead of one hip's joint; bone around the stem is hot."""
    rng, s = painter.rng, painter.s
    item = painter.person.limbs[int(rng.integers(2))]
    m, frame = SIGN[item.side], item.frames["thigh"]
    head = item.hip + np.array([-m * 2, 0, 4]) * s
    neck = frame.point(24 * s, -4 * s, 40 * s)
    stem = [neck, frame.point(27 * s, 3 * s, 95 * s), frame.point(22 * s, 7 * s, 165 * s)]
    around = painter.person.bent(tube([neck, *stem[1:]], 15.0 * s))
    painter.put(f"{item.side} bone around the stem", around, None, float(rng.uniform(5, 9)), painter.tissue("bone"))
    parts = (painter.ball(head, 17.0 * s), tube([head, neck], 7 * s), tube(stem, np.array([9, 7, 5]) * s))
    metal = painter.person.bent(Union(parts, 4 * s))
    painter.put_metal(f"{item.side} hip", metal)
    box = painter.canvas.grid.box(*metal.bounds())
    if box is not None:
        cut = painter.canvas.hu[box] > 3000
        painter.canvas.tissues[box][cut] = TISSUES["other"]  # metal stands where bone was


def tubes(painter: TrapPainter) -> None:
    """Electrodes with leads on the front of the chest, and an infusion tube across it."""
    rng, s = painter.rng, painter.s
    for x, z in ((60, 1350), (-60, 1350), (-95, 1200)):
        y = painter.surface_y(x * s, z * s)
        if y is None:
            continue
        painter.put("electrode", painter.ball((x * s, y + 2.5, z * s), (9, 2.5, 9)), 250.0, 0.0, _outside(painter))
        painter.put("stud of an electrode", painter.ball((x * s, y + 5.5, z * s), (2.2, 2.5, 2.2)), 2500.0, 0.0)
    rows = []
    for x in np.linspace(-110, 110, 12):
        z = (1290 + 12 * np.sin(x / 25) + rng.normal(0, 2)) * s
        y = painter.surface_y(x * s, z)
        if y is not None:
            rows.append([x * s, y + 4.5, z])
    if len(rows) > 1:
        painter.put("infusion tube", tube(rows, 2.8), 320.0, 0.0, _outside(painter))


def _outside(painter: TrapPainter) -> Mask:
    def mask(box: Box) -> NDArray[np.bool_]:
        return painter.canvas.skin[box] > 0

    return mask


def enthesis_spurs(painter: TrapPainter) -> None:
    """Spurs of bone with uptake at heel, kneecap, elbow and trochanter of each side."""
    rng, s = painter.rng, painter.s
    for item in painter.person.limbs:
        thigh, foot, fore = item.frames["thigh"], item.frames["foot"], item.frames["forearm"]
        end = float(np.linalg.norm(item.knee - item.hip)) / s
        spurs = (
            ("heel, plantar", foot.point(3 * s, -52 * s, -10 * s), foot.point(3 * s, -56 * s, 4 * s)),
            ("heel, Achilles tendon", foot.point(3 * s, -34 * s, -52 * s), foot.point(3 * s, -22 * s, -58 * s)),
            ("kneecap", thigh.point(0, 41 * s, (end - 42) * s), thigh.point(0, 42 * s, (end - 54) * s)),
            ("elbow", fore.point(-14 * s, -22 * s, -14 * s), fore.point(-14 * s, -26 * s, -25 * s)),
            ("trochanter", thigh.point(63 * s, -10 * s, 16 * s), thigh.point(66 * s, -12 * s, 3 * s)),
        )
        for place, start, tip in spurs:
            if rng.uniform() < 0.25:
                continue
            share = SMALL if place.startswith("heel") else 1.0
            cone = painter.person.bent(Cone(np.asarray(start), np.asarray(tip), 3.2 * s, 1.2 * s), share)
            painter.put(f"{item.side} {place}", cone, float(rng.uniform(500, 900)), float(rng.uniform(5, 11)))
