"""The soft body: skin and fascia surfaces of trunk, head and limbs, muscle bellies, and the region each belongs to."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calciflow.labels import region_label
from calciflow.phantom.pose import SIGN, UPRIGHT, Build, Limbs, trunk_lofts
from calciflow.phantom.shapes import Cone, Ellipsoid, Frame, Loft, Shape, tube

SKIN_MM = 1.8
"""Thickness of skin: 1.55 mm (thigh) to 2.54 mm (back) (Laurent et al. 2007, doi 10.1016/j.vaccine.2007.05.046)."""

# Muscle bellies as seeds in a cross-section: u and v in half-widths of the fascia, radius in mean half-widths.
# A voxel belongs to the belly of least power distance; planes of fat lie where two are equal.
_THIGH = [
    [0.05, 0.70, 0.30], [0.62, 0.28, 0.42], [-0.45, 0.40, 0.36], [0.10, 0.30, 0.30], [-0.72, 0.30, 0.16],
    [-0.50, -0.20, 0.40], [-0.88, -0.15, 0.14], [0.38, -0.60, 0.34], [-0.02, -0.75, 0.26], [-0.36, -0.66, 0.28],
]  # fmt: skip
_CALF = [
    [0.35, 0.55, 0.26], [0.75, 0.10, 0.22], [0.00, -0.30, 0.45], [0.45, -0.72, 0.34], [-0.45, -0.70, 0.38],
    [0.05, 0.15, 0.24], [-0.35, 0.50, 0.25],
]  # fmt: skip
_ARM = [[0.0, 0.62, 0.42], [0.15, 0.18, 0.34], [-0.25, -0.55, 0.40], [0.42, -0.42, 0.36], [-0.45, -0.10, 0.25]]
_FOREARM = [
    [0.55, 0.40, 0.30], [-0.10, 0.62, 0.32], [-0.62, 0.25, 0.32], [-0.10, 0.18, 0.28], [0.10, -0.55, 0.34],
    [-0.50, -0.40, 0.30], [0.55, -0.30, 0.28],
]  # fmt: skip
_TRUNK = [
    [0.24, -0.74, 0.22], [-0.24, -0.74, 0.22], [0.62, -0.66, 0.24], [-0.62, -0.66, 0.24], [0.98, -0.05, 0.30],
    [-0.98, -0.05, 0.30], [0.80, 0.62, 0.26], [-0.80, 0.62, 0.26], [0.26, 0.98, 0.22], [-0.26, 0.98, 0.22],
]  # fmt: skip
_PELVIS = [
    [0.48, -0.80, 0.40], [-0.48, -0.80, 0.40], [0.90, -0.18, 0.36], [-0.90, -0.18, 0.36], [0.55, 0.52, 0.30],
    [-0.55, 0.52, 0.30], [0.88, 0.42, 0.22], [-0.88, 0.42, 0.22], [0.30, -0.20, 0.25], [-0.30, -0.20, 0.25],
]  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A piece of the body: its fascia and skin surfaces, regions along its axis, and its muscle bellies.

    ``fascia`` is None for what is fat throughout. ``regions`` holds (w up to which, label) along ``frame``; ``muscles``
    has shape (k, 3), see ``_THIGH``; ``span`` is the part of w in which bellies are drawn.
    """

    fascia: Shape | None
    skin: Shape
    frame: Frame
    regions: tuple[tuple[float, int], ...]
    muscles: NDArray[np.float64] | None = None
    span: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Group:
    """Parts that blend into each other over ``blend`` mm, and into the body over ``joint_blend`` near ``joint``.

    What is chest or neck is neck above w = 0 of the frame ``inlet``, up to ``inlet_mm`` from the midline, else chest.
    """

    parts: tuple[Part, ...]
    blend: float
    joint: NDArray[np.float64] | None = None
    joint_blend: float = 0.0
    joint_reach: float = 1.0
    inlet: Frame | None = None
    inlet_mm: float = 0.0


def _loft(frame: Frame, rows: Sequence[Sequence[float]], scale: float, girth: float) -> Loft:
    """Rows of (w, centre u, centre v, lateral, medial, front, back)."""
    profile = np.asarray(rows, float) * scale
    profile[:, 1:] *= girth
    return Loft(frame, profile)


def _jittered(seeds: Sequence[Sequence[float]], rng: np.random.Generator) -> NDArray[np.float64]:
    table = np.asarray(seeds, float)
    return table + rng.normal(0, [0.03, 0.03, 0.015], table.shape)


def _leg(limbs: Limbs, b: Build, rng: np.random.Generator) -> Group:
    s, side, f = b.scale, limbs.side, b.fat
    label = {name: region_label(name, side) for name in ("thigh", "knee", "lower_leg", "foot", "toes", "pelvis")}
    more = 1.9 if b.female else 1.0
    parts = []

    frame = limbs.frames["thigh"]
    length = float(np.linalg.norm(limbs.knee - limbs.hip))
    thigh = _loft(
        frame,
        [
            [-20, 0, -4, 62, 60, 66, 74], [40, 0, -4, 72, 70, 76, 82], [90, 0, -2, 74, 72, 78, 80],
            [160, 0, 0, 70, 68, 74, 72], [250, 0, 2, 62, 60, 64, 62], [340, 0, 0, 51, 52, 52, 52],
            [400, 0, 0, 47, 49, 46, 46], [length / s + 12, 0, 0, 46, 47, 46, 44],
        ],
        s, b.lean,
    )  # fmt: skip
    fat = np.interp(thigh.profile[:, 0] / s, [0, 150, 300, 400, 440], [9, 8.5, 7, 4, 3.5]) * f * more
    parts.append(
        Part(
            thigh,
            thigh.widened(fat + SKIN_MM, fat * 0.9 + SKIN_MM, fat * 1.2 + SKIN_MM, 2),
            frame,
            ((60 * s, label["pelvis"]), (length - 60 * s, label["thigh"]), (np.inf, label["knee"])),
            _jittered(_THIGH, rng),
            (0.0, length - 70 * s),
        )
    )
    frame = limbs.frames["lower_leg"]
    length = float(np.linalg.norm(limbs.ankle - limbs.knee))
    calf = _loft(
        frame,
        [
            [-12, 0, 0, 46, 47, 46, 44], [30, 0, -2, 46, 47, 42, 48], [70, 0, -5, 47, 48, 40, 54],
            [120, 0, -8, 48, 49, 38, 58], [180, 0, -7, 44, 45, 36, 51], [250, 0, -3, 34, 34, 33, 36],
            [320, 0, 0, 27, 27, 29, 31], [length / s, 0, 0, 30, 30, 32, 34],
        ],
        s, b.lean**0.8,
    )  # fmt: skip
    fat = np.interp(calf.profile[:, 0] / s, [0, 60, 180, 320, 380], [3.5, 4.5, 5.5, 3, 2]) * f * (0.5 + 0.5 * more)
    parts.append(
        Part(
            calf,
            calf.widened(fat + SKIN_MM, fat * 0.6 + SKIN_MM, fat * 1.2 + SKIN_MM),
            frame,
            ((60 * s, label["knee"]), (length - 45 * s, label["lower_leg"]), (np.inf, label["foot"])),
            _jittered(_CALF, rng),
            (42 * s, length - 50 * s),
        )
    )
    frame = limbs.frames["foot"]
    foot = _loft(
        frame,
        [
            [-58, 0, -34, 14, 14, 20, 20], [-45, 0, -34, 24, 24, 28, 27], [-15, 0, -32, 28, 28, 34, 32],
            [20, 0, -32, 30, 30, 33, 30], [60, 2, -38, 34, 34, 25, 25], [110, 3, -46, 39, 38, 17, 18],
            [140, 3, -51, 43, 42, 13, 14], [156, 3, -52, 40, 40, 11, 12],
        ],
        s, 1.0,
    )  # fmt: skip
    pad = 2.0 + 1.2 * f
    sole = np.where(foot.profile[:, 0] < 0, 9.0, 6.0) * s  # the heel's and the ball's pad
    parts.append(Part(foot, foot.widened(pad, pad, sole, 2), frame, ((np.inf, label["foot"]),)))
    for index in range(5):
        _, start, end, r = toe_axis(index, s)
        path = [frame.point(*start), frame.point(*end)]
        parts.append(
            Part(
                tube(path, r - 2.5 * s),
                tube(path, r + (0.6 + 0.5 * f)),
                frame,
                ((150 * s, label["foot"]), (np.inf, label["toes"])),
            )
        )
    return Group(tuple(parts), 10 * s, limbs.hip, 30 * s, 170 * s)


def toe_axis(index: int, s: float) -> tuple[float, tuple[float, float, float], tuple[float, float, float], float]:
    """Toe 0 (great toe) to 4 in the foot's frame: u, start at the ball, end at the tip, radius (mm)."""
    u = (-30, -11, 5, 20, 34)[index] * s
    length = (58, 54, 47, 40, 33)[index] * s
    r = (12.5, 8.5, 8, 8, 8)[index] * s
    ball = (150, 152, 148, 141, 132)[index] * s
    return u, (u, -53 * s, ball - 5 * s), (u * 1.05, -55 * s, ball + length - r), r


FINGERS = {
    "thumb": ((24, 9, 22), (42, 15, 56), (51, 20, 87), (55, 22, 108)),
    "index": ((20, 0, 12), (25, 0, 90), (28, 4, 133), (29, 11, 156), (30, 18, 172)),
    "middle": ((8, 0, 12), (8, -1, 93), (8, 4, 141), (8, 12, 168), (8, 20, 184)),
    "ring": ((-4, 0, 12), (-9, 0, 87), (-12, 5, 131), (-13, 13, 156), (-14, 20, 172)),
    "little": ((-15, 1, 12), (-25, 2, 79), (-30, 6, 112), (-32, 12, 130), (-33, 18, 145)),
}
"""Base of metacarpal, knuckle, and interphalangeal joints to the tip (mm at 1.70 m) in the hand's frame."""


def _arm(limbs: Limbs, b: Build, rng: np.random.Generator) -> Group:
    s, side, f = b.scale, limbs.side, b.fat
    label = {
        name: region_label(name, side) for name in ("shoulder", "upper_arm", "elbow", "forearm", "hand", "fingers")
    }
    more = 1.6 if b.female else 1.0
    parts = []

    frame = limbs.frames["upper_arm"]
    length = float(np.linalg.norm(limbs.elbow - limbs.shoulder))
    upper = _loft(
        frame,
        [
            [-28, 0, 0, 34, 34, 34, 34], [0, 0, 0, 46, 40, 46, 46], [50, 0, 0, 45, 42, 48, 48],
            [110, 0, 0, 38, 38, 45, 46], [190, 0, 0, 35, 36, 42, 42], [260, 0, 0, 36, 35, 33, 34],
            [length / s + 8, 0, 0, 37, 36, 30, 31],
        ],
        s, b.lean,
    )  # fmt: skip
    fat = np.interp(upper.profile[:, 0] / s, [0, 150, 260, 300], [5, 6, 4, 3]) * f * more
    parts.append(
        Part(
            upper,
            upper.widened(fat + SKIN_MM, fat * 0.7 + SKIN_MM, fat * 1.4 + SKIN_MM, 2),
            frame,
            ((75 * s, label["shoulder"]), (length - 50 * s, label["upper_arm"]), (np.inf, label["elbow"])),
            _jittered(_ARM, rng),
            (50 * s, length - 45 * s),
        )
    )
    frame = limbs.frames["forearm"]
    length = float(np.linalg.norm(limbs.wrist - limbs.elbow))
    fore = _loft(
        frame,
        [
            [-8, 0, 0, 37, 36, 30, 31], [30, 0, 0, 40, 38, 33, 33], [80, 0, 0, 38, 36, 32, 31],
            [150, 0, 0, 31, 30, 25, 25], [210, 0, 0, 26, 26, 18, 18], [length / s, 0, 0, 27, 27, 17, 17],
        ],
        s, b.lean**0.7,
    )  # fmt: skip
    fat = np.interp(fore.profile[:, 0] / s, [0, 100, 250], [3.5, 3.5, 1.5]) * f * more
    parts.append(
        Part(
            fore,
            fore.widened(fat + SKIN_MM, fat + SKIN_MM, fat + SKIN_MM),
            frame,
            ((50 * s, label["elbow"]), (length - 30 * s, label["forearm"]), (np.inf, label["hand"])),
            _jittered(_FOREARM, rng),
            (40 * s, length - 45 * s),
        )
    )
    frame = limbs.frames["hand"]
    palm = _loft(
        frame,
        [
            [-8, 0, 0, 26, 26, 15, 14], [15, 2, 2, 29, 27, 14, 11], [50, 2, 2, 36, 33, 13, 10],
            [80, 0, 1, 36, 33, 11, 9], [92, 0, 0, 33, 31, 9, 9],
        ],
        s, 1.0,
    )  # fmt: skip
    pad = 0.8 * f + 1.2
    parts.append(Part(palm, palm.widened(pad + 0.6, pad + 2.0, pad + 0.8, 1), frame, ((np.inf, label["hand"]),)))
    for name, joints in FINGERS.items():
        chain = [frame.point(*(np.array(j) * s)) for j in joints[1:]]
        wide = np.linspace(9.5, 8.0, len(chain)) * s * (1.1 if name == "thumb" else 1.0)
        if name == "thumb":
            chain = [frame.point(*(np.array(joints[0]) * s)), *chain]
            wide = np.array([12.0, 11.5, 10.0, 9.0]) * s
        parts.append(
            Part(
                tube(chain, wide - 4.0 * s),  # in a finger, bone and tendons fill what fat and skin leave
                tube(chain, wide - 0.8 * s + 0.5 * f),
                frame,
                ((50 * s if name == "thumb" else 84 * s, label["hand"]), (np.inf, label["fingers"])),
            )
        )
    return Group(tuple(parts), 7 * s, limbs.shoulder, 34 * s, 120 * s)


_NOTCH, _PROMINENS = (0.0, 50.0, 1405.0), (0.0, -65.0, 1455.0)
"""Jugular notch, and the tip of C7's spinous process: the neck's lower border runs through both (mm at 1.70 m)."""

_NECK_MM = 75.0
"""Half the width of the neck's root; farther aside is the slope of the shoulder."""


def _core(limbs: Sequence[Limbs], b: Build, rng: np.random.Generator) -> Group:
    """Trunk, shoulders, neck, head."""
    s, f = b.scale, b.fat
    fascia, skin = trunk_lofts(b)
    trunk = (
        (1015 * s, region_label("pelvis", "right")),
        (1195 * s, region_label("abdomen", "right")),
        (np.inf, region_label("chest", "right")),
    )
    notch, prominens = np.array(_NOTCH) * s, np.array(_PROMINENS) * s
    # Its v axis looks from the notch back to C7, so w, upright to it, looks up.
    back = (prominens - notch) / np.linalg.norm(prominens - notch)
    up = np.array([0.0, back[2], -back[1]])
    inlet = Frame(notch, np.stack([np.cross(back, up), back, up]))
    parts = [
        Part(fascia, skin, UPRIGHT, trunk, _jittered(_PELVIS, rng), (815 * s, 1005 * s)),
        Part(fascia, skin, UPRIGHT, trunk, _jittered(_TRUNK, rng), (1005 * s, 1370 * s)),
    ]

    def blob(centre: Sequence[float], radii: Sequence[float], fat: float, region: str, muscle: bool = True) -> None:
        c, r = np.asarray(centre, float) * s, np.asarray(radii, float) * s
        side = "right" if c[0] > 0 else "left"
        label = region_label(region, side)
        inner = Ellipsoid(c, r) if muscle else None
        parts.append(Part(inner, Ellipsoid(c, r + fat + SKIN_MM), UPRIGHT, ((np.inf, label),)))

    thin = 2.0 + 2.0 * f
    for m in (1.0, -1.0):
        # buttocks, then the slope from neck to shoulder
        blob((m * 68, -52, 872), (66, 50 * b.lean, 74), 12 * f * (1.5 if b.female else 1.0), "pelvis")
        if b.female:
            r = 34 + 9 * f**0.5
            blob((m * 78, 92 * b.lean**0.7, 1262), (r * 1.15, r * 0.8, r), 3.0 + 5 * f, "chest", muscle=False)
        side = "right" if m > 0 else "left"
        joint = next(item.shoulder for item in limbs if item.side == side)
        slope = Cone(np.array([m * 45, -30, 1448]) * s, joint + np.array([-m * 8, -6, 13]) * s, 34 * s, 28 * s)
        over = Cone(slope.a, slope.b, slope.ra + 4 * f + SKIN_MM, slope.rb + 4 * f + SKIN_MM)
        at = float(joint[0] - m * 45 * s)
        frame = Frame(
            np.zeros(3), np.stack([np.array([0, 1, 0]), np.array([0, 0, 1]), np.array([m, 0, 0])]).astype(float)
        )
        regions = ((abs(at), region_label("chest", side)), (np.inf, region_label("shoulder", side)))
        parts.append(Part(slope, over, frame, regions))
    neck = _loft(
        UPRIGHT, [[1440, 0, -8, 56, 56, 46, 56], [1490, 0, -8, 52, 52, 48, 52], [1560, 0, -12, 50, 50, 40, 54]], s, 1
    )
    label = ((1500 * s, region_label("neck", "right")), (np.inf, region_label("head", "right")))
    parts.append(Part(neck, neck.widened(thin, thin, thin), UPRIGHT, label))
    head = ((1500 * s, region_label("neck", "right")), (np.inf, region_label("head", "right")))
    for centre, radii in (
        ((0, -4, 1613), (74, 93, 82)),  # cranium
        ((0, 38, 1560), (63, 55, 68)),  # face
        ((0, 34, 1524), (59, 50, 36)),  # cheeks and jaw
        ((0, 62, 1520), (42, 34, 27)),  # chin
        ((0, 98, 1566), (14, 16, 20)),  # nose
    ):
        c, r = np.array(centre) * s, np.array(radii) * s
        parts.append(Part(Ellipsoid(c, r), Ellipsoid(c, r + 3.0 + 1.2 * f**0.5), UPRIGHT, head))
    return Group(tuple(parts), 26 * s, inlet=inlet, inlet_mm=_NECK_MM * s)


def groups_of(limbs: Sequence[Limbs], build: Build, rng: np.random.Generator) -> list[Group]:
    """All groups of parts, the core first."""
    groups = [_core(limbs, build, rng)]
    for item in limbs:
        groups.append(_leg(item, build, rng))
        groups.append(_arm(item, build, rng))
    return groups


__all__ = ["FINGERS", "SIGN", "SKIN_MM", "Group", "Part", "groups_of", "toe_axis"]
