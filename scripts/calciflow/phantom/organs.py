"""The trunk's inside: cavity, lungs, heart, vessels, abdominal and pelvic organs, brain, airways.

Uptake of NaF outside bone follows blood and urine: kidneys, ureters and bladder are hot, soft tissue stays below blood
at 1 h. The values are ours within that picture.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calciflow.phantom.axial_bones import spine_axis, spine_side, vertebrae
from calciflow.phantom.canvas import FAT, Canvas
from calciflow.phantom.pose import SIGN, UPRIGHT, Build, Limbs
from calciflow.phantom.shapes import Array, Ellipsoid, Loft, Shape, Union, tube

BLOOD = (42.0, 1.25)
LUNG = (-840.0, 0.35)
VISCERAL_FAT = (FAT[0], 0.3)
BOWEL = (28.0, 0.8)
GAS = (-900.0, 0.2)
AIR = (-980.0, 0.1)
"""CT value (HU) and uptake (SUV)."""

# z (mm at 1.70 m); half-width, front and back of the cavity as fractions of the muscular trunk's.
_CAVITY = np.array(
    [
        [822, 0.30, 0.30, 0.30],
        [850, 0.40, 0.50, 0.50],
        [900, 0.44, 0.66, 0.62],
        [945, 0.50, 0.78, 0.50],
        [985, 0.72, 0.84, 0.30],
        [1030, 0.86, 0.86, 0.28],
        [1090, 0.88, 0.87, 0.34],
        [1170, 0.88, 0.87, 0.58],
        [1250, 0.88, 0.86, 0.70],
        [1330, 0.80, 0.82, 0.70],
        [1380, 0.58, 0.74, 0.60],
        [1415, 0.40, 0.60, 0.42],
    ]
)


AORTA = np.array([
    [2, 6, 1285], [6, 14, 1325], [-4, 0, 1345], [-18, -16, 1335], [-20, -24, 1290], [-14, -16, 1200], [-10, 0, 1120],
    [-6, 8, 1020],
], float)  # fmt: skip
AORTA_RADII = np.array([15, 14, 13, 12, 12, 11, 10, 9], float)
"""Course and radius of the aorta from the heart to its fork (mm at 1.70 m)."""


def ureter_path(m: float) -> NDArray[np.float64]:
    """Course of a ureter from kidney to bladder (mm at 1.70 m); ``m`` is 1 on the right, -1 on the left."""
    return np.array([
        [m * 46, -28, 1085], [m * 40, -14, 1030], [m * 38, -18, 960], [m * 40, -26, 900], [m * 16, 8, 868],
    ])  # fmt: skip


def leg_artery(item: Limbs, s: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Course and radius of the iliac and femoral artery of one side (mm), and the femoral part alone."""
    m, thigh = SIGN[item.side], item.frames["thigh"]
    iliac = np.array([[4 + m * 10, 4, 1020], [m * 36, 8, 965], [m * 58, 44, 905]]) * s
    rows = ((-22, 46, 20), (-30, 36, 100), (-34, 16, 200), (-26, -10, 310), (-4, -30, 400))
    femoral = np.array([thigh.point(u * s, v * s, w * s) for u, v, w in rows])
    width = np.array([5.6, 5.2, 4.8, 4.6, 4.4, 4.2, 3.6, 3.2]) * s
    return np.concatenate([iliac, femoral]), width, femoral


def cavity_of(trunk: Loft, build: Build) -> Loft:
    """The space inside the trunk's muscle, thorax to pelvis."""
    rows = []
    for z, a, front, back in _CAVITY:
        at = [float(v[0]) for v in trunk.at(np.array([z * build.scale], np.float32))]
        rows.append([z * build.scale, 0, 0, at[2] * a, at[3] * a, at[4] * front, at[5] * back])
    return Loft(UPRIGHT, np.array(rows), power=2.3)


@dataclass(frozen=True)
class Inside:
    """What of a shape lies inside another, ``gap`` mm from its wall."""

    shape: Shape
    limit: Shape
    gap: float = 0.0

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Corners in mm of the shape's box."""
        return self.shape.bounds()

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance in mm."""
        out: Array = np.maximum(self.shape.distance(x, y, z), self.limit.distance(x, y, z) + np.float32(self.gap))
        return out


class Organs:
    """Paints organs given in mm at 1.70 m, cut to the cavity."""

    def __init__(self, canvas: Canvas, trunk: Loft, build: Build) -> None:
        self.canvas, self.s = canvas, build.scale
        self.cavity = cavity_of(trunk, build)

    def ball(self, centre: Sequence[float], radii: Sequence[float]) -> Ellipsoid:
        """An upright ellipsoid."""
        return Ellipsoid(np.array(centre, float) * self.s, np.array(radii, float) * self.s)

    def cord(self, points: ArrayLike, radii: ArrayLike) -> Union:
        """A tube."""
        return tube(np.array(points, float) * self.s, np.asarray(radii, float) * self.s)

    def put(
        self,
        shape: Shape,
        what: tuple[float, float],
        tissue: str = "viscera",
        gap: float = 1.0,
        structure: str | None = None,
    ) -> None:
        """Paint a shape inside the cavity."""
        self.canvas.paint(Inside(shape, self.cavity, gap), *what, tissue, structure=structure)

    def thorax(self) -> None:
        """Lungs with their vessels, diaphragm, mediastinum, heart, airways."""
        canvas, s = self.canvas, self.s
        for m in (1.0, -1.0):
            # Wider than any chest: the lungs fill it, but for the pleura.
            rows = [
                [1168, 78, -22, 44, 24, 20, 50], [1190, 78, -10, 80, 34, 60, 80], [1240, 74, 0, 110, 40, 100, 100],
                [1300, 70, 0, 110, 46, 100, 100], [1350, 60, -8, 100, 42, 90, 90], [1395, 46, -14, 70, 26, 60, 60],
                [1412, 42, -16, 20, 16, 30, 30],
            ]  # fmt: skip
            self.put(self.upright(rows, m), LUNG, "lung", 4.0)
            self.cupula(m)
            self.put(self.ball((m * 74, 2, 1168), (64, 80, 46 if m > 0 else 36)), (52.0, 0.7))
            root = np.array([m * 18, -16, 1290])
            ends = (
                (60, 20, 1340), (78, 0, 1300), (65, -40, 1240), (60, 30, 1250), (50, -20, 1370), (85, -30, 1270),
                (70, 40, 1290),
            )  # fmt: skip
            for x, y, z in ends:
                end = np.array([m * x, y, z])
                fork = 0.5 * (root + end)
                canvas.paint(self.cord([root, fork, end], [6, 3.2, 1.5]), 40, 1.0, None, "lung")
                for side in ((12, 10, -14), (-6, -16, 14)):
                    canvas.paint(self.cord([fork, fork + 1.6 * np.array(side)], [2.6, 1.2]), 40, 1.0, None, "lung")
        self.put(self.ball((0, -10, 1330), (24, 36, 60)), (-20.0, 0.5))
        heart = Union((self.ball((-22, 26, 1252), (50, 42, 48)), self.ball((4, 16, 1275), (40, 36, 42))), 12 * s)
        self.put(heart, BLOOD, structure="heart")
        canvas.paint(self.cord([[0, -10, 1440], [0, -18, 1330], [-6, -20, 1200]], 7), 35, 0.6, "viscera")
        canvas.paint(
            self.cord([[0, 18, 1520], [0, 12, 1440], [0, -6, 1330]], [9, 8, 8]), *AIR, "viscera", structure="airway"
        )
        for m in (1, -1):
            canvas.paint(self.cord([[0, -6, 1330], [m * 28, -16, 1305]], 6), *AIR, "viscera")

    def cupula(self, m: float) -> None:
        """Paint a lung's tip, which the first rib surrounds up to its neck beside T1."""
        rows = [
            [1372, 40, -8, 26, 20, 36, 34], [1400, 34, -8, 22, 16, 32, 32], [1422, 28, -6, 14, 12, 24, 26],
            [1436, 27, -6, 9, 9, 13, 15], [1442, 27, -6, 3, 3, 4, 5],
        ]  # fmt: skip
        self.canvas.paint(self.upright(rows, m), *LUNG, "lung")

    def upright(self, rows: Sequence[Sequence[float]], m: float) -> Loft:
        """Shape of sections (``Loft``, mm at 1.70 m) of the right side; mirrored where ``m`` is -1."""
        profile = np.array(rows, float) * self.s
        profile[:, 1] *= m
        if m < 0:
            profile[:, [3, 4]] = profile[:, [4, 3]]
        return Loft(UPRIGHT, profile)

    def abdomen(self, rng: np.random.Generator) -> None:
        """Liver, spleen, stomach, kidneys, ureters, psoas, bowel, bladder, uterus or prostate, rectum."""
        canvas, s = self.canvas, self.s
        liver = Union((self.ball((66, 10, 1160), (72, 74, 62)), self.ball((0, 34, 1172), (60, 42, 36))), 20 * s)
        self.put(liver, (58.0, 0.75), gap=4.0)
        self.put(self.ball((-92, -30, 1180), (30, 38, 46)), (50.0, 0.7), gap=4.0)
        self.put(self.ball((-52, 26, 1150), (42, 40, 42)), (30.0, 0.7), gap=4.0, structure="stomach")
        canvas.paint(self.ball((-50, 50, 1158), (22, 12, 22)), *GAS, None, "viscera")
        for m in (1, -1):
            z = 1112 - m * 5
            self.put(self.ball((m * 60, -32, z), (27, 23, 54)), (36.0, 4.5), structure="kidney")
            canvas.paint(self.ball((m * 50, -28, z), (9, 9, 20)), 12, 9.0, None, "viscera", "kidney")
            canvas.paint(self.cord(ureter_path(m), 1.8), 10, 8.0, None, "viscera", "ureter")
            psoas = [[m * 28, -24, 1130], [m * 40, -18, 1060], [m * 54, 0, 990], [m * 76, 32, 920], [m * 84, 20, 870]]
            canvas.paint(self.cord(psoas, [9, 19, 24, 20, 14]), 58, 0.6, "muscle")
        colon = np.array([
            [88, 0, 1010], [92, 0, 1090], [70, 40, 1110], [0, 62, 1098], [-70, 38, 1125], [-95, -10, 1100],
            [-94, -5, 1010], [-60, 5, 965], [-20, 0, 930],
        ], float)  # fmt: skip
        self.put(self.cord(colon, 19), BOWEL, structure="bowel")
        for t in np.linspace(0.04, 0.96, 16):
            at = t * (len(colon) - 1)
            low = int(at)
            centre = colon[low] + (at - low) * (colon[low + 1] - colon[low]) + np.array([0, 5, 0])
            r = rng.uniform(6, 13)
            self.put(self.ball(centre, (r, r * 0.8, r)), GAS, gap=6.0)
        path = [np.array([-50.0, 30, 1080])]
        for _ in range(46):
            step = path[-1] + rng.normal(0, 1, 3) * np.array([30, 18, 20])
            path.append(np.clip(step, [-68, 0, 960], [66, 58, 1085]))
        self.put(self.cord(path, 12.5), BOWEL, gap=3.0, structure="bowel")
        self.put(self.ball((0, 34, 872), (44, 34, 34)), (6.0, 25.0), gap=3.0, structure="bladder")
        self.put(self.ball((0, -6, 862), (22, 18, 24)), (42.0, 0.8))
        self.put(self.cord([[-20, 0, 930], [0, -38, 905], [0, -40, 860], [0, -34, 826]], 15), BOWEL, structure="bowel")

    def vessels(self, limbs: Sequence[Limbs]) -> None:
        """Aorta, vena cava, iliac and femoral vessels, carotids and jugular veins with the fat around them."""
        canvas = self.canvas
        canvas.paint(self.cord(AORTA, AORTA_RADII), *BLOOD, "viscera", structure="vessel")
        cava = [[22, 4, 1010], [22, 0, 1120], [20, 4, 1200], [16, 4, 1240]]
        canvas.paint(self.cord(cava, [10, 11, 12, 12]), *BLOOD, "viscera", structure="vessel")
        for item in limbs:
            m, s = SIGN[item.side], self.s
            artery, width, femoral = leg_artery(item, s)
            sheath = tube(femoral, np.array([14, 11, 8, 7, 6]) * s)
            canvas.paint(sheath, FAT[0], FAT[1], None, "muscle")
            canvas.paint(tube(artery, width), *BLOOD, None, structure="vessel")
            beside = [p + np.array([-m * 8, -5, 0]) * s for p in artery]
            canvas.paint(tube(beside, width), *BLOOD, None, structure="vessel")
            neck = [[m * 26, 4, 1430], [m * 30, 6, 1480], [m * 32, 0, 1545]]
            canvas.paint(self.cord(neck, [7, 8.5, 7]), FAT[0], FAT[1], None, "muscle")
            canvas.paint(self.cord(neck, 3.4), *BLOOD, None, structure="vessel")
            canvas.paint(
                self.cord([[x + m * 8, y - 1, z] for x, y, z in neck], [5, 5, 4]), *BLOOD, None, structure="vessel"
            )
            canvas.paint(self.ball((m * 15, 20, 1468), (8, 9, 20)), 95, 0.9, None, structure="thyroid")


def paint_organs(canvas: Canvas, limbs: Sequence[Limbs], trunk: Loft, build: Build, rng: np.random.Generator) -> None:
    """Paint everything inside trunk and neck but bone."""
    organs = Organs(canvas, trunk, build)
    canvas.paint(organs.cavity, *VISCERAL_FAT, "viscera")
    organs.thorax()
    organs.abdomen(rng)
    organs.vessels(limbs)


def paint_head(canvas: Canvas, s: float) -> None:
    """Brain, eyes, sinuses, airway, tongue: over the skull's bone."""

    def ball(centre: Sequence[float], radii: Sequence[float]) -> Ellipsoid:
        return Ellipsoid(np.array(centre, float) * s, np.array(radii, float) * s)

    brain = Union((ball((0, -4, 1616), (65, 84, 73)), ball((0, -30, 1566), (40, 36, 26))), 10 * s)
    canvas.paint(brain, 35, 0.2, "viscera")
    for m in (1, -1):
        canvas.paint(ball((m * 9, -6, 1622), (5, 28, 9)), 8, 0.2, "viscera")
        canvas.paint(ball((m * 32, 68, 1588), (17, 19, 15)), FAT[0], 0.3, "viscera")
        canvas.paint(ball((m * 32, 74, 1588), (12, 12, 12)), 12, 0.3, "viscera")
        canvas.paint(ball((m * 21, 60, 1560), (10, 16, 15)), *AIR, "viscera")
    canvas.paint(ball((0, 72, 1562), (8, 26, 17)), *AIR, "viscera")
    canvas.paint(tube(np.array([[0, 36, 1560], [0, 20, 1545], [0, 18, 1505]]) * s, 8 * s), *AIR, "viscera")
    canvas.paint(ball((0, 48, 1526), (24, 24, 11)), 60, 0.8, "viscera")


def discs(s: float, sway: float = 0.0) -> Iterator[Shape]:
    """Intervertebral discs of a spine that swings by ``sway`` (mm at 1.70 m)."""
    rows = vertebrae()
    for (_, z, tall, wide, deep), (_, above, tall2, _, _) in pairwise(rows):
        low, high = z + tall / 2, above - tall2 / 2
        middle = 0.5 * (low + high)
        y, _ = spine_axis(middle)
        radii = np.array([wide * 0.95, deep * 0.95, max(high - low, 4) * 0.8])
        yield Ellipsoid(np.array([spine_side(middle, sway), y, middle]) * s, radii * s)
