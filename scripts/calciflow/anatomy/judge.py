"""Bone or deposit: the probability that a dense object is bone, from its build, its surroundings and its place.

HU decides nothing: calcium is calcium. Two logistic models weigh the evidence. The first knows no body regions: it
makes the skeleton that these are found from. The second adds the region, and how the object hangs on that skeleton.
The weights were fitted to the objects of development phantoms (``benchmark``, split dev, of which none was used to
judge the result); that they say what anatomy says is tested.
"""

from dataclasses import dataclass

import numpy as np

from calciflow.anatomy.evidence import UNKNOWN, Surroundings
from calciflow.anatomy.objects import Shape

ANCHOR_ODDS = 3.0
"""Log-odds from an object's build from which it is skeleton whatever lies around it (probability 0.95)."""

SOLID_HU = -25.0
"""Core less shell above which an object is solid."""

INNER_SHARE, INNER_HU = 0.55, 90.0
"""What is enclosed so much, in a bed of cancellous bone, is a piece of that bone."""

VALLEY = (0.35, 0.6)
"""In the limbs a piece of bone hangs on its bone over more than half its height; a deposit, often over less."""

NECK = (0.05, 0.15)
"""Share of its surface by which an object hangs on others: below it is a neck, from a sixth (a cube's face) on none."""

SHALLOW_MM = 10.0
"""Skin and fat over a bone are as thick or thicker, but over shins, knuckles and the skull."""

SOFTEST_HU = 60.0
"""Soft tissue lies below, cancellous bone well above."""

MIDLINE_MM = 15.0
"""Spinous processes, vertebrae and sternum lie within this distance of the midline."""

SMALL_PARTS = ("hand", "fingers", "foot", "toes")
TRUNK = ("head", "neck", "chest", "abdomen", "pelvis", "")

SHAFTS = ("upper_arm", "forearm", "thigh", "lower_leg")
"""No processes of bones stand off there; what does is a deposit. The weight of ``shaft_valley`` is ours: the phantoms
have too few of these."""

ARM_ROOT, ARM_ASIDE_MM = ("shoulder", "upper_arm"), 60.0

FREE_ASIDE_MM = 35.0
"""Half the width of the manubrium: farther from the midline the trunk has ribs only as bones apart from others."""

LEAST_SADDLE = 0.2
"""What meets a bone only over less than a fifth of its own height touches the bone's blur: it is free."""

DORSAL_FREE_MM = MIDLINE_MM
"""Behind the vertebrae nothing is bone apart from others but tips of spinous processes: transverse processes hang on
their vertebrae, ribs lie along the cavity. The belly has no bone of its own at all; the xiphoid may reach into it."""

LARYNX_MM, LARYNX_ASIDE_MM = 6.0, 12.0
"""Hyoid and larynx lie under skin, fat and strap muscles, but for the larynx's prominence at the midline: what is less
deep, and farther aside, is none of them. Ours."""

FATTY_HU = -50.0
"""What lies in fat, with no bone within ``evidence.REACH_MM``, is none of the trunk's free bones: cartilage, ligaments
or muscle hold these. Fat reads about -100 HU, muscle 50; the xiphoid, before fat, lies along the cavity. Ours."""

NECK_ASIDE_MM = 30.0
"""Half the width of hyoid and larynx: the neck's dense parts that hang on no bone. The head has none at all."""

DEEPEST_MM = 30.0
"""Deeper than this under the skin says no more."""

BUILD = {
    "one": 0.72,
    "log_volume": 0.73,
    "enclosed": -0.39,
    "seen": -0.24,
    "bed": 1.13,
    "shell": 1.15,
    "core": -0.73,
    "slender": 0.52,
    "deep": 4.28,
    "central": 1.59,
    "in_line": 0.94,
}
"""Weights of the first model."""

PLACE = {
    "tied": {
        "one": -0.85,
        "log_volume": 1.89,
        "enclosed": 1.29,
        "seen": 0.78,
        "bed": 0.7,
        "shell": 2.32,
        "core": -0.28,
        "slender": 1.33,
        "deep": 3.44,
        "shallow": -0.86,
        "head_shallow": -3.44,
        "central": 1.4,
        "in_line": 1.34,
        "contact": 1.13,
        "neck": -3.04,
        "saddle": 1.63,
        "valley": -1.88,
        "trunk_valley": -1.76,
        "small_part": 0.31,
        "trunk": 1.39,
        "wall": 1.17,
        "head_neck": -0.26,
        "midline": 0.89,
        "shaft_valley": -3.0,
    },
    "free": {
        "one": -4.9,
        "enclosed": 1.82,
        "seen": 3.29,
        "cancellous": 8.24,
    },
    "free_trunk": {
        "one": -1.19,
        "log_volume": -1.67,
        "enclosed": 0.53,
        "seen": 1.55,
        "bed": 0.9,
        "shell": 0.31,
        "core": -1.48,
        "slender": 1.11,
        "deep": 1.87,
        "wall": 0.13,
        "ribs": 2.0,
        "head_neck": 0.25,
        "midline": 2.08,
    },
}
"""Weights of the second: for what is tied to a bone; and for what is free in limbs and in trunk. That of ``ribs`` is
ours: the muscles that calcify lie outside the ribs. In sixteen development phantoms 103 dense objects of 0.05 ml
and more lay apart within 15 mm of the lungs: 94 ribs, nine hardened cartilages of ribs, and no deposit."""


@dataclass(frozen=True)
class Candidate:
    """A dense object that may be bone.

    Attributes
    ----------
    label
        Its label in ``Finding.labels``.
    shape, around
        Its build and its surroundings.
    tied
        Whether it hangs on a sure bone, if through others.
    in_line
        How far along its neighbour's axis it lies (``evidence.in_line``).
    contact, saddle
        How it hangs on the skeleton (``evidence.saddles``).
    centre
        Array index (3,).
    """

    label: int
    shape: Shape
    around: Surroundings
    tied: bool
    in_line: float
    contact: float
    saddle: float
    centre: tuple[float, float, float]


@dataclass(frozen=True)
class Place:
    """Where an object lies.

    Attributes
    ----------
    region
        Body region of its centre, empty if unknown.
    in_cavity, by_cavity
        Whether it lies in chest, abdomen or pelvis, where no bones are; or right outside.
    among_ribs
        Whether most of it lies right beside the lungs, in the layer of the ribs.
    aside_mm
        Distance from the midline.
    dorsal
        Whether it lies behind the middle of the body's section there.
    """

    region: str = ""
    in_cavity: bool = False
    by_cavity: bool = False
    among_ribs: bool = False
    aside_mm: float = 100.0
    dorsal: bool = False


def build_odds(shape: Shape, at_border: bool) -> float:
    """Log-odds for bone from an object's own build.

    Build: 60 HU of core below shell count 1, at most 4; a core as dense as the shell counts 2 to 5 against bone.
    Size: a factor of 10 in volume counts 1.2, even at 1 ml; but large and solid is a tumoral deposit, no bone.
    An object that the image's border cuts has lost its build: a large one is bone.
    """
    size = float(1.2 * np.log10(max(shape.volume_ml, 1e-3)))
    if at_border and shape.volume_ml > 5.0:
        return size + 2.5
    if not np.isfinite(shape.contrast_hu):
        return size + (1.0 if shape.hollow > 0.15 else 0.0)
    if shape.contrast_hu > SOLID_HU:
        return min(size, 0.0) - 2.0 - float(np.clip((shape.contrast_hu - SOLID_HU) / 30.0, 0.0, 3.0))
    return size + float(np.clip(-shape.contrast_hu / 60.0, 0.0, 4.0)) + (1.0 if shape.hollow > 0.15 else 0.0)


def weights_of(candidate: Candidate, place: Place | None) -> dict[str, float]:
    """Weights of the model for a place; None if no place is known.

    Limbs have no small bones apart from others (sesamoids are told from deposits by nothing). The trunk has: pieces of
    the sternum, tips of spinous processes, pieces of ribs. No upper arm reaches the midline: what the map calls so
    there is sternum.
    """
    if place is None:
        return BUILD if candidate.tied else PLACE["free"]
    tied = candidate.tied and not 0.0 < candidate.saddle < LEAST_SADDLE
    if place.region in TRUNK or place.among_ribs or (place.region in ARM_ROOT and place.aside_mm < ARM_ASIDE_MM):
        # Pelvis: no ribs there, and no bone apart from others but the coccyx.
        reach = {"head": 0.0, "neck": NECK_ASIDE_MM, "": NECK_ASIDE_MM, "pelvis": MIDLINE_MM}
        limit = reach.get(place.region, FREE_ASIDE_MM)
        if place.dorsal or place.region == "abdomen":
            limit = min(limit, DORSAL_FREE_MM)
        elif place.region == "neck" and candidate.shape.depth_mm < LARYNX_MM:
            limit = LARYNX_ASIDE_MM
        far = place.aside_mm > limit and (place.region in reach or not place.by_cavity)
        far |= candidate.around.seen == 0.0 and candidate.around.bed_hu < FATTY_HU and not place.by_cavity
        far &= not place.among_ribs
        return PLACE["tied" if tied else "free" if far else "free_trunk"]
    return PLACE["tied" if tied else "free"]


def evidence(candidate: Candidate, place: Place) -> dict[str, float]:
    """The numbers that the models weigh, by name."""
    shape, around = candidate.shape, candidate.around
    contrast = shape.contrast_hu if np.isfinite(shape.contrast_hu) else None
    valley = float(np.clip((VALLEY[1] - candidate.saddle) / (VALLEY[1] - VALLEY[0]), 0.0, 1.0))
    small, trunk = place.region in SMALL_PARTS, place.region in TRUNK
    shallow = float(np.clip(1.0 - shape.least_depth_mm / SHALLOW_MM, 0.0, 1.0))
    return {
        "one": 1.0,
        "log_volume": float(np.log10(max(shape.volume_ml, 0.005))),
        "enclosed": around.enclosed,
        "seen": around.seen,
        "bed": float(np.clip(around.bed_hu, -100.0, 150.0)) / 100.0,
        "cancellous": float(np.clip((around.bed_hu - SOFTEST_HU) / SOFTEST_HU, 0.0, 1.0)),
        "shell": float(np.clip(-contrast, 0.0, 200.0)) / 100.0 if contrast is not None else 0.0,
        "core": float(np.clip(contrast - SOLID_HU, 0.0, 90.0)) / 100.0 if contrast is not None else 0.0,
        "slender": float(np.log(np.clip(shape.length_mm / shape.thickness_mm, 1.0, 8.0))),
        "deep": float(np.clip(shape.depth_mm, 0.0, DEEPEST_MM)) / DEEPEST_MM,
        "central": around.centrality - UNKNOWN,
        "in_line": candidate.in_line,
        "shallow": shallow,
        "head_shallow": shallow * (place.region == "head"),
        "shaft_valley": valley * (place.region in SHAFTS and place.aside_mm >= ARM_ASIDE_MM),
        "small_part": float(small),
        "trunk": float(trunk),
        "contact": min(candidate.contact, 0.5),
        "saddle": float(np.clip(candidate.saddle, 0.0, 1.0)),
        "neck": float(np.clip((NECK[1] - candidate.contact) / (NECK[1] - NECK[0]), 0.0, 1.0)),
        "valley": valley * (not trunk),
        "trunk_valley": valley * trunk,
        "wall": float(place.by_cavity),
        "ribs": float(place.among_ribs),
        "head_neck": float(place.region in ("head", "neck")),
        "midline": float(place.aside_mm < MIDLINE_MM and place.region != "head"),
    }


def is_inside_bone(candidate: Candidate) -> bool:
    """Whether a dense object lies in the cancellous bone of another, where its build says nothing."""
    return candidate.around.enclosed > INNER_SHARE and candidate.around.bed_hu > INNER_HU


def probability(candidate: Candidate, place: Place | None = None, against: float = 0.0) -> float:
    """Probability that a dense object is bone; without a place from its build and surroundings alone.

    ``against``: log-odds that other evidence takes from bone (``twin.against_bone``).
    """
    if place is not None and place.in_cavity:
        return 0.0
    if is_inside_bone(candidate):
        return 0.98
    numbers = evidence(candidate, place or Place())
    odds = sum(weight * numbers[name] for name, weight in weights_of(candidate, place).items()) - against
    return float(1.0 / (1.0 + np.exp(-np.clip(odds, -30.0, 30.0))))
