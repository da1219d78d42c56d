"""Bones of arms and legs, in the pose of the limbs. Measures in mm at 1.70 m, in the limbs' own frames."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from calciflow.phantom.body import FINGERS, toe_axis
from calciflow.phantom.bones import Bone, Point, Rows, ball, graded, long_bone
from calciflow.phantom.pose import SIGN, Limbs
from calciflow.phantom.shapes import Shape, Union, tube


def joint_spaces(limbs: Limbs, s: float) -> Iterator[Shape]:
    """Cartilage and fluid of hip, knee and shoulder, to be painted before the leg's and arm's bones."""
    thigh = limbs.frames["thigh"]
    length = float(np.linalg.norm(limbs.knee - limbs.hip))
    yield ball(limbs.hip + np.array([-SIGN[limbs.side] * 2, 0, 4]) * s, 26.0 * s)
    yield ball(thigh.point(0, -6 * s, length - 2 * s), np.array([37, 24, 9]) * s, thigh)
    yield ball(limbs.frames["upper_arm"].point(-4 * s, 0, 2 * s), 24.5 * s)


def leg_bones(limbs: Limbs, s: float) -> Iterator[Bone]:
    """Femur to toes of one side."""
    side, m = limbs.side, SIGN[limbs.side]
    f = limbs.frames["thigh"]
    length = float(np.linalg.norm(limbs.knee - limbs.hip)) / s
    neck: Rows = [[-2, 0, 0, 21], [16, -2, 14, 16], [38, -4, 34, 17]]
    head = ball(limbs.hip + np.array([-m * 2, 0, 4]) * s, 23.5 * s)
    shaft: Rows = [
        [38, -4, 30, 19], [34, 0, 62, 18], [27, 4, 110, 14.5], [20, 8, 200, 13.5], [13, 6, 290, 14],
        [5, 2, 338, 16.5], [2, 0, length - 50, 21], [0, 4, length - 26, 24],
    ]  # fmt: skip
    trochanter = ball(f.point(50 * s, -10 * s, 26 * s), np.array([15, 17, 22]) * s)
    lesser = ball(f.point(18 * s, -16 * s, 72 * s), np.array([9, 9, 11]) * s)
    aspera: Rows = [[26, -8, 100, 5], [19, -5, 200, 5.5], [12, -7, 290, 5]]  # linea aspera
    condyles = [
        ball(f.point(x * s, y * s, (length - 24) * s), np.array([17, 27, 20]) * s, f)
        for x, y in ((23, -10), (-23, -11))
    ]
    whole: tuple[Shape, ...] = (
        head,
        long_bone(f, neck, s),
        long_bone(f, shaft, s),
        long_bone(f, aspera, s),
        trochanter,
        lesser,
        *condyles,
    )
    table: Rows = [
        [-25, 1.6, 900, 200, 4.2, 4.2], [40, 1.8, 1000, 150, 4.0, 3.6], [80, 4.0, 1350, 60, 2.8, 2.2],
        [130, 5.5, 1500, -10, 2.1, 1.0], [270, 5.5, 1500, -20, 2.0, 0.9], [340, 2.6, 1250, 60, 2.4, 1.8],
        [380, 1.3, 900, 130, 3.0, 2.8], [length - 12, 1.3, 900, 170, 3.3, 3.1], [length + 2, 2.4, 1000, 220, 3.4, 3.3],
    ]  # fmt: skip
    yield graded(f"{side} femur", Union(whole, 8 * s), f, table, s)
    yield Bone(
        f"{side} patella",
        ball(f.point(0, 37 * s, (length - 24) * s), np.array([21, 9.5, 21]) * s, f),
        1.8 * s,
        900,
        190,
        3.0,
    )

    f = limbs.frames["lower_leg"]
    length = float(np.linalg.norm(limbs.ankle - limbs.knee)) / s
    plateau = ball(f.point(0, -2 * s, 17 * s), np.array([38, 25, 15]) * s, f)
    shaft = [
        [-2, 2, 20, 24], [-4, 8, 48, 18], [-6, 9, 90, 13], [-8, 9, 150, 11.5], [-8, 8, 240, 11], [-7, 5, 305, 12.5],
        [-5, 0, length - 30, 17], [-4, -2, length - 13, 19],
    ]  # fmt: skip
    crest: Rows = [[0, 27, 38, 8], [1, 22, 80, 5], [1, 20, 160, 4.5], [-2, 15, 250, 5]]
    border: Rows = [[-16, 2, 70, 6], [-17, 0, 150, 5], [-15, 0, 250, 5]]
    malleolus = ball(f.point(-20 * s, -2 * s, (length - 2) * s), np.array([7, 10, 13]) * s, f)
    whole = (plateau, long_bone(f, shaft, s), long_bone(f, crest, s), long_bone(f, border, s), malleolus)
    table = [
        [0, 2.4, 1000, 220, 3.3, 3.2], [12, 1.3, 900, 160, 3.1, 3.0], [50, 1.6, 950, 90, 2.8, 2.4],
        [95, 4.0, 1350, 0, 2.0, 1.2], [160, 4.2, 1500, -20, 1.8, 0.8], [270, 3.8, 1450, -10, 1.8, 0.9],
        [320, 1.8, 1000, 80, 2.2, 1.9], [length - 12, 1.3, 900, 170, 2.7, 2.5],
    ]  # fmt: skip
    yield graded(f"{side} tibia", Union(whole, 8 * s), f, table, s)
    fibula: Rows = [
        [34, -16, 18, 9.5], [32, -15, 45, 6.5], [27, -13, 150, 6], [20, -9, 270, 6], [18, -6, length - 35, 7],
        [18, -8, length + 12, 7],
    ]  # fmt: skip
    table = [
        [10, 1.2, 850, 130, 2.4, 2.2], [45, 2.4, 1250, 30, 1.9, 1.3], [length - 40, 2.6, 1300, 30, 1.9, 1.3],
        [length, 1.3, 900, 150, 2.3, 2.1],
    ]  # fmt: skip
    yield graded(f"{side} fibula", long_bone(f, fibula, s), f, table, s)

    f = limbs.frames["foot"]
    tarsus = (
        ("talus", (0, -12, 6), (17, 12, 24)),
        ("navicular", (-10, -20, 37), (17, 12, 8)),
        ("cuboid", (17, -36, 42), (12, 11, 17)),
        ("medial cuneiform", (-20, -29, 58), (8, 11, 12)),
        ("middle cuneiform", (-7, -23, 56), (7, 9, 9)),
        ("lateral cuneiform", (6, -27, 57), (8, 10, 11)),
    )
    for name, centre, radii in tarsus:
        piece = ball(f.point(*(np.array(centre) * s)), np.array(radii) * s, f)
        yield Bone(f"{side} {name}", piece, 1.2 * s, 800, 190, 2.6)
    # The heel bone carries the talus and reaches the cuboid.
    heel: list[Shape] = [
        ball(f.point(*(np.array(centre) * s)), np.array(radii) * s, f)
        for centre, radii in (
            ((3, -38, -24), (15, 16, 31)), ((4, -30, -4), (14, 11, 18)), ((11, -35, 16), (11, 10, 14)),
            ((-9, -26, 4), (9, 6, 11)),
        )
    ]  # fmt: skip
    yield Bone(f"{side} calcaneus", Union(tuple(heel), 6 * s), 1.2 * s, 800, 190, 2.6)
    for index in range(5):
        u, start, end, r = toe_axis(index, s)
        base = f.point(u * 0.75, (-30, -26, -29, -36, -40)[index] * s, (72, 70, 70, 66, 62)[index] * s)
        wide = (7.5, 4.6, 4.4, 4.4, 4.8)[index] * s
        knuckle = f.point(start[0], start[1] + 2 * s, start[2] - 2 * s)
        shape = tube([base, 0.6 * base + 0.4 * knuckle, knuckle], [wide * 1.25, wide * 0.85, wide * 1.15])
        yield Bone(f"{side} metatarsal {index + 1}", shape, 1.5 * s, 1050, 120, 2.2)
        count = 2 if index == 0 else 3
        yield from _phalanges(f"{side} toe {index + 1}", f.point(*start), f.point(*end), count, r * 0.52, s)


def _phalanges(name: str, start: Point, end: Point, count: int, radius: float, s: float) -> Iterator[Bone]:
    weights = {2: (0.62, 0.38), 3: (0.5, 0.27, 0.23)}[count]
    at = 0.06
    for index, part in enumerate(weights):
        low, high = at, min(at + 0.9 * part, 0.95)
        at += 0.92 * part
        a, b = start + low * (end - start), start + high * (end - start)
        shape = tube([a, 0.5 * (a + b), b], [radius, radius * 0.8, radius * 0.85])
        yield Bone(f"{name} phalanx {index + 1}", shape, 1.2 * s, 950, 150, 2.0)


def arm_bones(limbs: Limbs, s: float) -> Iterator[Bone]:
    """Humerus to fingertips of one side."""
    side = limbs.side
    f = limbs.frames["upper_arm"]
    length = float(np.linalg.norm(limbs.elbow - limbs.shoulder)) / s
    head = ball(f.point(-4 * s, 0, 2 * s), 22 * s)
    shaft: Rows = [
        [0, 0, 8, 21], [0, 0, 40, 15], [0, 0, 80, 11.5], [0, 0, 150, 10.5], [0, 0, 225, 10.5], [0, 0, length - 35, 12],
        [0, 0, length - 22, 11],
    ]  # fmt: skip
    trochlea = tube([f.point(-24 * s, 0, (length - 10) * s), f.point(24 * s, 0, (length - 10) * s)], 10.5 * s)
    epicondyle = ball(f.point(-27 * s, -2 * s, (length - 16) * s), np.array([8, 8, 10]) * s)
    tubercle = ball(f.point(15 * s, 4 * s, 6 * s), np.array([10, 11, 15]) * s)
    table: Rows = [
        [-22, 1.4, 850, 130, 3.0, 3.0], [35, 1.6, 900, 100, 2.7, 2.4], [75, 3.6, 1300, 0, 1.8, 1.1],
        [150, 4.2, 1400, -20, 1.7, 0.8], [225, 3.8, 1350, 10, 1.8, 1.0], [length - 25, 1.6, 950, 160, 2.4, 2.2],
    ]  # fmt: skip
    yield graded(
        f"{side} humerus", Union((head, long_bone(f, shaft, s), trochlea, epicondyle, tubercle), 6 * s), f, table, s
    )
    f = limbs.frames["forearm"]
    length = float(np.linalg.norm(limbs.wrist - limbs.elbow)) / s
    # The pair lies side by side across the palm: radius on the thumb's side (u > 0).
    ulna: Rows = [
        [-10, -15, -14, 10], [-14, -10, 6, 11.5], [-16, -6, 40, 8.5], [-15, -2, 120, 6.8], [-16, 0, 200, 5.8],
        [-18, 0, length - 4, 7.5],
    ]  # fmt: skip
    radius: Rows = [
        [14, -2, 14, 10.5], [13, 0, 34, 8], [15, 1, 110, 7.5], [14, 0, 190, 8], [9, 0, length - 24, 12.5],
        [8, 0, length - 15, 12],
    ]  # fmt: skip
    table = [
        [0, 1.5, 950, 140, 2.3, 2.2], [45, 2.4, 1250, 40, 1.9, 1.2], [190, 2.4, 1250, 40, 1.8, 1.2],
        [length - 15, 1.2, 900, 150, 2.2, 2.1],
    ]  # fmt: skip
    yield graded(f"{side} ulna", long_bone(f, ulna, s), f, table, s)
    yield graded(f"{side} radius", long_bone(f, radius, s), f, table, s)
    f = limbs.frames["hand"]
    carpals = (
        ("scaphoid", (14, 1, 4)), ("lunate", (3, 0, 2)), ("triquetrum", (-10, -1, 4)), ("pisiform", (-15, 8, 7)),
        ("trapezium", (21, 5, 18)), ("trapezoid", (13, 0, 18)), ("capitate", (3, 0, 17)), ("hamate", (-9, 1, 18)),
    )  # fmt: skip
    for name, centre in carpals:
        r = 4.5 if name == "pisiform" else 7.2
        radii = np.array([r * 0.95, r, r * (1.25 if name == "capitate" else 1.05)]) * s
        yield Bone(f"{side} {name}", ball(f.point(*(np.array(centre) * s)), radii, f), 1.1 * s, 850, 220, 2.2)
    for finger, joints in FINGERS.items():
        chain = [f.point(*(np.array(j) * s)) for j in joints]
        thick = (5.2, 4.4, 3.6) if finger == "thumb" else (4.6, 4.3, 3.6, 3.0)
        for index, (a, b) in enumerate(pairwise(chain)):
            first, last = index == 0, index == len(chain) - 2
            # A metacarpal begins beyond the wrist, the last phalanx ends short of the fingertip's pulp.
            start = a + (0.28 if first and finger != "thumb" else 0.07) * (b - a)
            end = a + (0.72 if last else 0.94) * (b - a)
            r = thick[index] * s * (0.85 if finger == "little" else 1.0)
            shape = tube([start, 0.5 * (start + end), end], [r * 1.2, r * 0.82, r * (0.9 if last else 1.15)])
            kind = "metacarpal" if first else f"phalanx {index}"
            yield Bone(f"{side} {finger} {kind}", shape, 1.2 * s, 1050, 130, 1.9)
