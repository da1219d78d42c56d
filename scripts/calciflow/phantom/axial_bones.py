"""Bones of trunk and head: spine, ribs, sternum, shoulder and hip girdles, skull, jaw, teeth (mm at 1.70 m)."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from calciflow.phantom.bones import Bone, Point, ball
from calciflow.phantom.pose import SIGN, Limbs
from calciflow.phantom.shapes import Ellipsoid, Frame, Loft, Shape, Triangle, Union, tube


def girdle_bones(limbs: Limbs, s: float) -> Iterator[Bone]:
    """Scapula, clavicle and hip bone of one side."""
    side, m = limbs.side, SIGN[limbs.side]
    joint = limbs.shoulder / s  # moves with the arm

    def at(*p: float) -> Point:
        return np.array([m * p[0], p[1], p[2]], float) * s

    dz = joint[2] - 1392
    top, tip, edge = at(78, -62, 1398 + dz * 0.5), at(92, -76, 1262 + dz * 0.3), at(136, -38, 1374 + dz * 0.7)
    glenoid = np.array([joint[0] - m * 25, joint[1] - 4, joint[2] - 4]) * s
    acromion = np.array([joint[0] + m * 6, joint[1] - 8, joint[2] + 28]) * s
    yield Bone(
        f"{side} scapula",
        Union(
            (
                Triangle(top, tip, edge, 2.6 * s),
                tube([tip, edge, glenoid], np.array([4.5, 6.5, 10]) * s),
                tube([top, tip], 3.5 * s),
                tube([at(84, -68, 1368 + dz * 0.5), at(134, -54, 1396 + dz * 0.8), acromion], np.array([4, 6, 8]) * s),
                tube([edge, at(140, 4, 1398 + dz * 0.8)], np.array([7, 5]) * s),
            ),
            4 * s,
        ),
        1.6 * s, 900, 160, 3.4,
    )  # fmt: skip
    clavicle = [
        at(18, 36, 1402),
        at(50, 42, 1410),
        at(100, 18, 1422 + dz * 0.5),
        acromion + np.array([-m * 10, 10, 2]) * s,
    ]
    yield Bone(f"{side} clavicle", tube(clavicle, np.array([10, 7, 6, 7.5]) * s), 2.2 * s, 1100, 120, 3.2)

    psis, crest, asis = at(42, -72, 985), at(118, -22, 1030), at(122, 48, 972)
    socket, notch, spine = limbs.hip, at(66, -48, 915), at(52, -55, 880)
    aiis, tuber, pubis = at(100, 42, 928), at(62, -44, 812), at(12, 42, 868)
    yield Bone(
        f"{side} hip bone",
        Union(
            (
                Triangle(psis, crest, socket, 5 * s),
                Triangle(crest, asis, socket, 5 * s),
                Triangle(psis, notch, socket, 6.5 * s),
                tube([psis, at(84, -58, 1022), crest, at(132, 18, 1012), asis], np.array([8, 7, 8, 8, 8]) * s),
                tube([asis, aiis, at(92, 26, 905)], np.array([7, 8, 12]) * s),
                Ellipsoid(socket + np.array([-m * 6, 2, 12]) * s, np.array([22, 28, 26]) * s),
                tube([at(76, -16, 890), notch, spine, tuber], np.array([18, 11, 13, 16]) * s),
                tube([at(74, 26, 890), at(45, 46, 884), pubis], np.array([13, 9, 10]) * s),
                tube([tuber, at(40, 4, 820), pubis], np.array([12, 7, 9]) * s),
            ),
            7 * s,
        ),
        1.7 * s, 950, 170, 5.2,
    )  # fmt: skip


def spine_axis(z: float) -> tuple[float, float]:
    """Middle of the vertebral bodies at height z (mm at 1.70 m): y, and slope dy/dz."""
    # lordosis of the loins, kyphosis of the chest, lordosis of the neck
    knots = np.array([
        [960, -38], [985, -28], [1040, -14], [1100, -22], [1180, -36], [1270, -48], [1350, -48], [1420, -30],
        [1470, -17], [1545, -20],
    ], float)  # fmt: skip
    curve = PchipInterpolator(knots[:, 0], knots[:, 1])
    return float(curve(z)), float(curve.derivative()(z))


def spine_side(z: float, sway: float) -> float:
    """How far the spine lies to the right of the midline at height z (mm at 1.70 m): an S of loins and chest."""
    return float(sway * np.sin(2 * np.pi * np.clip((z - 960) / 490, 0, 1)))


def vertebrae() -> list[tuple[str, float, float, float, float]]:
    """Name, height of the centre, height of the body, half-width and half-depth (mm at 1.70 m), L5 to C1."""
    rows = []
    z = 980.0
    for name, count, tall, gap, wide, deep in (
        ("L", 5, 27.0, 9.0, 24.0, 17.0),
        ("T", 12, 20.5, 4.4, 16.5, 14.0),
        ("C", 7, 12.6, 4.4, 12.0, 8.5),
    ):
        for index in range(count):
            number = count - index
            grow = 1 + {"L": 0.05, "T": 0.22, "C": 0.1}[name] * (number / count - 0.5)
            height = tall * (1 + (0.12 * (number / count - 0.5) if name == "T" else 0))
            rows.append((f"{name}{number}", z + height / 2, height, wide * grow, deep * grow))
            z += height + gap
    return rows


def _arch(name: str, frame: Frame, deep: float, s: float) -> Union:
    """Pedicles, laminae, transverse and spinous processes of a vertebra."""
    lumbar, neck = name[0] == "L", name[0] == "C"
    canal = 8.5
    back = -deep - 2 * canal - 1

    def at(u: float, v: float, w: float) -> Point:
        return frame.point(u * s, v * s, w * s)

    pieces: list[Shape] = []
    for m in (1.0, -1.0):
        side = m * (canal + 5)
        thick = np.array([4.6, 5.5, 4]) * s * (0.75 if neck else 1.0)
        pieces.append(tube([at(side, -deep + 2, 2), at(side, -deep - 9, 0), at(0, back, -4)], thick))
        if neck:
            wing, ends = [at(side, -deep - 4, 0), at(m * 24, -deep + 4, -2)], [5.5, 3.5]
        else:
            reach, rear = (36, -2) if lumbar else (29, -14)
            wing, ends = [at(side, -deep - 9, 2), at(m * reach, -deep - 9 + rear, 4)], [5.0, 3.5]
        pieces.append(tube(wing, np.array(ends) * s))
    drop = 4 if lumbar else (8 if neck else 16)
    reach = 20 if lumbar else (11 if neck else 13)
    tip = 4.8 if lumbar else 3.2
    pieces.append(tube([at(0, back, -3), at(0, back - reach, -drop)], np.array([3.6, tip]) * s))
    return Union(tuple(pieces), 3 * s)


def spine_bones(s: float, sway: float = 0.0) -> Iterator[Bone]:
    """Vertebrae, sacrum, coccyx; ``sway`` is that of a scoliosis (mm at 1.70 m)."""
    for name, z, tall, wide, deep in vertebrae():
        y, slope = spine_axis(z)
        frame = Frame.along((0, 0, 0), (0, slope, 1.0), (0, 1, -slope), mirror=True)
        frame = Frame(np.array([spine_side(z, sway), y, z]) * s, frame.axes)
        radii = np.array([wide * 0.82, deep, tall * 0.42]) * s
        body = [
            ball(frame.point(dx * wide * s, 0, dz * tall * s), radii, frame)
            for dx in (-0.18, 0.18)
            for dz in (-0.16, 0.16)
        ]
        suv = {"L": 6.3, "T": 6.4, "C": 4.6}[name[0]]
        yield Bone(f"{name} body", Union(tuple(body), 5 * s), 1.1 * s, 620, 260 if name[0] == "C" else 190, suv)
        yield Bone(f"{name} arch", _arch(name, frame, deep, s), 1.4 * s, 800, 230, suv * 0.9)

    sacrum = [
        ball(np.array([0, y, z]) * s, np.array([w, d, h]) * s)
        for y, z, w, d, h in (
            (-40, 962, 34, 17, 17),
            (-52, 938, 30, 14, 18),
            (-63, 912, 24, 11, 18),
            (-68, 888, 17, 9, 16),
        )
    ]
    wings = [ball(np.array([m * 36, -52, 950]) * s, np.array([19, 17, 26]) * s) for m in (1, -1)]
    crest = tube(np.array([[0, -62, 972], [0, -76, 935], [0, -80, 900]]) * s, 5 * s)
    yield Bone("sacrum", Union((*sacrum, *wings, crest), 8 * s), 1.2 * s, 700, 140, 4.9)
    coccyx = tube(np.array([[0, -68, 876], [0, -62, 850], [0, -52, 838]]) * s, np.array([8, 5, 3.5]) * s)
    yield Bone("coccyx", coccyx, 1.2 * s, 700, 150, 3.0)


def _rim(wall: Loft, z: float) -> tuple[float, float, float, float]:
    """Half-width, front, back and middle in y of the rib cage at height z (mm), around the cavity ``wall``."""
    _, centre, half, _, front, back = (float(v[0]) for v in wall.at(np.array([z], np.float32)))
    return half + 6.0, front + 6.0, back + 6.0, centre


def rib_paths(s: float, wall: Loft, sway: float = 0.0) -> Iterator[tuple[str, int, NDArray[np.float64]]]:
    """Side, number and course (n, 3) in mm of each rib, from its vertebra to where its cartilage begins."""
    heights = {name: z for name, z, *_ in vertebrae()}
    for number in range(1, 13):
        level = heights[f"T{number}"]
        # A rib leaves its vertebra, sinks as it runs forward, and ends where its cartilage begins.
        drop = (20, 42, 58, 68, 74, 78, 82, 86, 88, 84, 60, 40)[number - 1]
        reach = (0.86, 0.88, 0.88, 0.88, 0.86, 0.83, 0.79, 0.74, 0.68, 0.60, 0.42, 0.28)[number - 1]
        for m in (1.0, -1.0):
            path = []
            y0, _ = spine_axis(level)
            for t in np.linspace(0, 1, 15):
                angle = np.pi * (0.12 + t * (reach - 0.12))
                z = level + 4 - drop * (0.5 - 0.5 * np.cos(np.pi * min(1.0, t * reach * 1.15))) * 1.05
                a, front, back, cy = _rim(wall, z * s)
                depth = back if np.cos(angle) > 0 else front
                x = m * a * np.sin(angle) ** 0.9
                y = cy - depth * np.cos(angle)
                path.append([x, y, z * s])
            path[0] = [(m * 22 + spine_side(level, sway)) * s, (y0 - 16) * s, (level + 4) * s]
            yield "right" if m > 0 else "left", number, np.array(path)


def costal_cartilages(s: float, wall: Loft) -> list[tuple[str, NDArray[np.float64]]]:
    """Name and course (n, 3) in mm of the cartilages of ribs 1 to 10: to the breast bone, 8 to 10 to the one above."""
    out: list[tuple[str, NDArray[np.float64]]] = []
    ends: dict[str, NDArray[np.float64]] = {}
    for side, number, path in rib_paths(s, wall):
        if number > 10:
            continue
        start, m = path[-1], 1.0 if side == "right" else -1.0
        # rib 1 meets the manubrium, rib 7 the lower end of the breast bone
        z = (1388 - (number - 1) * 25) * s
        target = np.array([m * (22 if number < 3 else 15) * s, 0.0, z]) if number <= 7 else ends[side]
        rows = []
        for t in np.linspace(0, 1, 7):
            x, height = (1 - t) * start[0] + t * target[0], (1 - t) * start[2] + t * target[2]
            a, front, _, cy = _rim(wall, height)
            rows.append([x, cy + front * np.sqrt(max(1 - (x / a) ** 2, 0.05)), height])
        rows[0] = start.tolist()
        course = np.array(rows)
        ends[side] = course[3]
        out.append((f"{side} cartilage {number}", course))
    return out


def rib_cage(s: float, wall: Loft, sway: float = 0.0) -> Iterator[Bone]:
    """Ribs 1 to 12 of both sides, and the sternum, around the cavity ``wall`` of the chest."""
    for side, number, path in rib_paths(s, wall, sway):
        wide = 4.8 * s if number > 1 else 5.5 * s
        yield Bone(f"{side} rib {number}", tube(path, wide), 1.5 * s, 900, 130, 3.4)
    _, front, _, cy = _rim(wall, 1385 * s)
    top = np.array([0, cy + front * 0.92, 1388 * s])
    _, front, _, cy = _rim(wall, 1215 * s)
    low = np.array([0, cy + front, 1222 * s])
    breast = [
        Ellipsoid(top + (low - top) * t, np.array([w, 6.5, h]) * s)
        for t, w, h in ((0.08, 27, 26), (0.42, 17, 34), (0.78, 18, 36))
    ]
    yield Bone("sternum", Union(tuple(breast), 8 * s), 1.3 * s, 700, 130, 3.8)


def skull_bones(s: float) -> Iterator[Bone]:
    """Calvaria, face, jaw, teeth. The brain is painted over the calvaria's inside afterwards."""

    def p(*row: float) -> Point:
        return np.array(row, float) * s

    vault = ball(p(0, -4, 1614), np.array([71, 90, 79]) * s)
    base = ball(p(0, -20, 1572), np.array([52, 55, 34]) * s)
    yield Bone("calvaria", Union((vault, base), 10 * s), 1.6 * s, 1200, 500, 2.8)
    face: list[Shape] = [ball(p(0, 58, 1556), np.array([34, 26, 34]) * s), tube(_arch_of_teeth(1540) * s, 6.5 * s)]
    for m in (1, -1):
        face.append(tube([p(m * 30, 74, 1562), p(m * 58, 52, 1568), p(m * 66, 10, 1574)], np.array([6, 5.5, 4]) * s))
        face.append(
            tube(
                [p(m * 14, 86, 1604), p(m * 40, 82, 1612), p(m * 54, 62, 1592), p(m * 52, 56, 1566)],
                np.array([5, 6, 5, 5]) * s,
            )
        )
    yield Bone("face", Union(tuple(face), 5 * s), 1.3 * s, 900, 250, 2.6)
    half = [[52, 8, 1562], [52, 12, 1522], [39, 46, 1508], [18, 72, 1502], [0, 78, 1501]]
    path = half + [[-x, y, z] for x, y, z in reversed(half[:-1])]
    jaw = Union((tube(np.array(path) * s, 8 * s), tube(_arch_of_teeth(1507) * s, 6 * s)), 4 * s)
    yield Bone("mandible", jaw, 2.4 * s, 1300, 300, 2.6)


def _arch_of_teeth(z: float, reach: float = 0.0, count: int = 14) -> NDArray[np.float64]:
    """Points along a dental arch at height z (mm at 1.70 m): the bone that holds the teeth, or their middles."""
    angle = np.linspace(-1.25, 1.25, count)
    return np.stack([34 * np.sin(angle), 40 + reach + 34 * np.cos(angle), np.full(count, z)], axis=1)


def teeth(s: float) -> Iterator[Shape]:
    """Crowns and roots of both rows: the roots stand in the bone of the jaws."""
    for z, reach in ((1516, 0.0), (1530, 1.5)):
        for centre in _arch_of_teeth(z, reach) * s:
            yield Ellipsoid(centre, np.array([3.4, 3.4, 7]) * s)
