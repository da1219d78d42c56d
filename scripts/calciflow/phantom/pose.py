"""Where a person's joints are: lengths from height, girth from body mass index, arms as the scan wants them.

The body lies supine. z is the height above the soles of the standing person, x points to the patient's right, y to the
front, and x = y = 0 is the trunk's axis. Lengths are those of a person of 1.70 m, scaled by height: segment lengths as
fractions of stature after Drillis and Contini (in Winter, Biomechanics and Motor Control, 4th ed., fig. 4.1), landmarks
of the trunk after common surface anatomy (crest of the ilium at L4, jugular notch at T2/T3).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from calciflow.phantom.shapes import Frame, Loft
from calciflow.phantom.spec import PersonSpec

Point = NDArray[np.float64]

REFERENCE_HEIGHT_M = 1.70
SIGN = {"right": 1.0, "left": -1.0}
UPRIGHT = Frame(np.zeros(3), np.eye(3))

# z, half-width, front half-depth, back half-depth of the muscular trunk (mm) at 1.70 m and BMI 22.
_TRUNK = np.array(
    [
        [790, 118, 58, 70],
        [830, 152, 84, 92],
        [890, 164, 90, 97],
        [950, 157, 88, 92],
        [1010, 143, 84, 85],
        [1090, 132, 82, 82],
        [1180, 139, 92, 88],
        [1260, 150, 100, 95],
        [1330, 156, 93, 100],
        [1385, 142, 72, 100],
        [1425, 98, 48, 88],
        [1455, 62, 44, 66],
    ],
    float,
)
# Fat at BMI 23 in mm (sides, front, back) at the same heights, for a man; women carry more, and more of it below.
_TRUNK_FAT = np.array(
    [
        [790, 10, 6, 12],
        [830, 16, 10, 16],
        [890, 17, 13, 20],
        [950, 16, 14, 18],
        [1010, 16, 15, 14],
        [1090, 15, 14, 12],
        [1180, 10, 10, 9],
        [1260, 8, 7, 8],
        [1330, 8, 6, 9],
        [1385, 7, 5, 9],
        [1425, 6, 4, 8],
        [1455, 5, 4, 7],
    ],
    float,
)


@dataclass(frozen=True)
class Build:
    """Proportions: ``scale`` of lengths, ``lean`` of muscle girth, ``fat`` under the skin, ``belly`` (BMI above 22)."""

    scale: float
    lean: float
    fat: float
    belly: float
    female: bool


def build_of(person: PersonSpec, fat: float | None = None, muscle: float = 1.0) -> Build:
    """Proportions of a person; ``fat`` and ``muscle`` are set by the calibration to the body weight."""
    estimate = max(0.12, (person.bmi - 13.5) / 9.5) ** 1.15
    return Build(
        scale=person.height_m / REFERENCE_HEIGHT_M,
        lean=muscle * person.muscularity * (person.bmi / 22.0) ** 0.30 * (0.93 if person.sex == "F" else 1.0),
        fat=estimate if fat is None else fat,
        belly=max(0.0, person.bmi - 22.0),
        female=person.sex == "F",
    )


def trunk_lofts(build: Build) -> tuple[Loft, Loft]:
    """Muscular trunk and skin, as lofts along z."""
    s = build.scale
    z, a, bf, bp = (_TRUNK * s).T
    # Visceral fat pushes the belly's front out, between the ribs and the pubis.
    bulge = np.exp(-(((z / s - 1070) / 95.0) ** 2)) * build.belly
    # Bones do not get thinner with their owner: neither does the trunk around them.
    a = a * max(build.lean, 0.96) + bulge * 1.6 * s
    bf = bf * build.lean**0.7 + bulge * 3.6 * s
    bp = bp * max(build.lean, 0.97)
    zero = np.zeros_like(z)
    fascia = Loft(UPRIGHT, np.stack([z, zero, zero, a, a, bf, bp], axis=1), power=2.5)
    _, sides, front, back = _TRUNK_FAT.T * build.fat
    if build.female:
        lower = 1.0 + 0.7 / (1 + np.exp((_TRUNK[:, 0] - 1100) / 40.0))
        sides, front, back = sides * lower, front * lower, back * lower
    return fascia, fascia.widened(sides + 2, front + 2, back + 2)


@dataclass(frozen=True)
class Limbs:
    """Joints of one side (RAS mm) and the directions that the bones are built along."""

    side: str
    hip: Point
    knee: Point
    ankle: Point
    toes: Point
    shoulder: Point
    elbow: Point
    wrist: Point
    knuckles: Point
    palm: Point
    arm_front: Point
    frames: Mapping[str, Frame] = field(default_factory=dict)


def _toward(start: Point, target: Point, length: float) -> Point:
    direction = target - start
    return start + direction / np.linalg.norm(direction) * length


def _unit(vector: Point) -> Point:
    out: Point = vector / np.linalg.norm(vector)
    return out


def _turned(vector: Point, angle: float) -> Point:
    """A vector turned about z (rad), from the front to the right."""
    x, y, z = vector
    return np.array([x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle), z])


def half_width(loft: Loft, z: float) -> tuple[float, float]:
    """Half-width and front half-depth of a trunk loft at height z (mm)."""
    _, _, a, _, front, _ = loft.at(np.array([z], np.float32))
    return float(a[0]), float(front[0])


def _lying_hand(skin: Loft, wrist: Point, m: float, s: float) -> Point:
    """Direction of a hand that lies on the trunk: bent at the wrist as far as the skin lets it."""
    best = _unit(np.array([-m * 0.45, 0.0, -0.89]))
    along = np.linspace(0.25, 1.0, 6) * 190 * s
    curl = np.array([0.0, -1.0, 0.0]) * 20 * s  # fingers bend towards the palm
    for tilt in np.arange(0.0, -1.45, -0.1):
        direction = _unit(np.array([-m * 0.45, tilt, -0.89]))
        points = wrist + along[:, None] * direction + np.linspace(0, 1, 6)[:, None] ** 2 * curl
        x, y, z = points.T.astype(np.float32)
        if float(skin.distance(x, y, z).min()) < 15 * s:
            break
        best = direction
    return best


def limbs_of(person: PersonSpec, build: Build, skin: Loft, side: str, rng: np.random.Generator) -> Limbs:
    """Joints of one side.

    Arms beside the body keep clear of the trunk by their own thickness; the lengths of upper arm, forearm and hand
    never change.
    """
    m, s = SIGN[side], build.scale
    jitter = rng.normal(0, 4, 6)
    thigh = 64 * s * build.lean + (8 + 9 * build.female) * build.fat * 0.8
    hip = np.array([m * 88, 0, 890]) * s
    knee = np.array([m * max(80 * s, thigh * 0.92 + 4) + m * abs(jitter[0]), -12 * s, 455 * s])
    turn = np.deg2rad(person.hip_rotation_deg[0 if side == "right" else 1])
    ankle = np.array([knee[0] - m * 6 * s + m * abs(jitter[1]), -32 * s, 75 * s])
    toes = ankle + _turned(np.array([m * 0.22, 0.86, -0.42]), m * turn) * 200 * s

    upper, fore, hand = 300 * s, 252 * s, 92 * s
    arm = 42 * s * build.lean + 7 * build.fat
    if person.arms == "up":
        shoulder = np.array([m * 168 * s, -8 * s, 1412 * s])
        elbow = _toward(shoulder, np.array([m * (225 * s + 2 * build.fat), 10 * s, 1660 * s]), upper)
        wrist = _toward(elbow, np.array([m * 86 * s, 45 * s, elbow[2] + 150 * s]), fore)
        knuckles = wrist + _unit(np.array([-m * 0.1, 0.05, 0.95])) * hand
        palm = np.array([0.0, 1.0, 0.0])
        front = np.array([0.0, 1.0, 0.1])
    elif person.arms == "belly":
        shoulder = np.array([m * 170, -15, 1392]) * s
        waist, _ = half_width(skin, 1100 * s)
        front_y = max(half_width(skin, z * s)[1] for z in (960, 1000, 1040, 1080)) + 22 * s
        # The elbow moves out and forward until the forearm lies on the trunk, not in it.
        for out in range(0, 160, 8):
            at = np.array([m * (waist + arm + 0.5 * out * s), (-30 + out) * s, 1100 * s])
            elbow = _toward(shoulder, at, upper)
            # The wrist lies a hand's breadth from the midline: a long forearm points down.
            dy = float(np.clip(front_y - elbow[1], 0.0, fore * 0.93))
            dx = float(np.clip(abs(elbow[0]) - 118 * s, 0.0, np.sqrt(fore**2 - dy**2)))
            down = float(np.sqrt(max(fore**2 - dy**2 - dx**2, 0.0)))
            wrist = elbow + np.array([-m * dx, dy, -down])
            path = elbow + np.linspace(0.1, 1.0, 10)[:, None] * (wrist - elbow)
            x, y, z = path.T.astype(np.float32)
            if float((skin.distance(x, y, z) - np.linspace(38, 24, 10) * s * build.lean**0.7).min()) > 0:
                break
        knuckles = wrist + _lying_hand(skin, wrist, m, s) * hand
        palm = np.array([0.0, -1.0, 0.0])
        front = np.array([0.0, 0.3, 1.0])
    elif person.arms == "under":
        shoulder = np.array([m * 170, -15, 1392]) * s
        waist = max(half_width(skin, z * s)[0] for z in (1060, 1100, 1140))
        elbow = _toward(shoulder, np.array([m * (max(waist, 165 * s) + arm * 0.9 + 4), -62 * s, 1095 * s]), upper)
        # below the buttocks, whose back lies here, see ``body``
        buttock = 102 * s * build.lean + 12 * build.fat * (1.5 if build.female else 1.0)
        loin = max(float(skin.at(np.array([z * s], np.float32))[5][0]) for z in (830, 860, 890, 920))
        back = -max(buttock, loin) - 17 * s
        wrist = _toward(elbow, np.array([m * 125 * s, back, 880 * s]), fore)
        knuckles = wrist + _unit(np.array([-m * 0.55, (back - wrist[1]) / hand, -0.8])) * hand
        palm = np.array([0.0, -1.0, 0.0])
        front = np.array([-m * 0.5, 0.85, 0.0])
    else:
        shoulder = np.array([m * 170, -15, 1392]) * s
        waist = max(half_width(skin, z * s)[0] for z in (1060, 1100, 1140))
        elbow = _toward(shoulder, np.array([m * (max(waist, 165 * s) + arm * 0.9 + 4), -28 * s, 1095 * s]), upper)
        hips = max(half_width(skin, z * s)[0] for z in (830, 890, 950))
        wrist = _toward(elbow, np.array([m * (hips + 26 * s + 4), (-5 + jitter[2]) * s, 850 * s]), fore)
        knuckles = wrist + _unit(np.array([m * 0.03, 0.05, -1.0])) * hand
        palm = np.array([-m, 0.15, 0.0])
        front = np.array([-m * 0.5, 0.85, 0.0])
    frames = {
        "thigh": Frame.along(hip, knee, _turned(np.array([0.0, 1, 0]), m * turn), side == "left"),
        "lower_leg": Frame.along(knee, ankle, _turned(np.array([m * 0.12, 1, 0]), m * turn), side == "left"),
        "foot": Frame.along(ankle, toes, _turned(np.array([0, 0.4, 1.0]), m * turn), side == "left"),
        "upper_arm": Frame.along(shoulder, elbow, front, side == "left"),
        "forearm": Frame.along(elbow, wrist, palm + 0.4 * front, side == "left"),
        "hand": Frame.along(wrist, knuckles, palm, side == "left"),
    }
    return Limbs(side, hip, knee, ankle, toes, shoulder, elbow, wrist, knuckles, palm, front, frames)
