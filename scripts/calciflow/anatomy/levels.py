"""Levels of the body along the table: which slice of which side is foot, knee, thigh, pelvis, chest or head."""

from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calciflow.anatomy.grid import Grid, Mask, sections

LEVELS = ("foot", "lower_leg", "knee", "thigh", "pelvis", "abdomen", "chest", "neck", "head")
"""From the soles up."""


@dataclass(frozen=True)
class Profile:
    """What each slice of one side of the body shows; every array has one value a slice.

    Attributes
    ----------
    area
        Cross-section of the body in cm2.
    core
        The same within 110 mm of the midline: without raised arms.
    bones
        Number of bone sections of at least 0.4 cm2.
    first, second
        Areas of the two largest sections in cm2.
    width
        Largest extent of the largest section in mm.
    reach
        Extent of all sections together in mm.
    total
        Area of all sections in cm2.
    lateral
        Area more than 45 mm from the midline of sections of at least 3 cm2, in cm2: hip bones, no ribs.
    central
        Area of bone within 30 mm of the midline in cm2 (both sides).
    lung, skull
        Area of lung and cranial cavity in cm2 (both sides).
    """

    area: NDArray[np.float64]
    core: NDArray[np.float64]
    bones: NDArray[np.int64]
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    width: NDArray[np.float64]
    reach: NDArray[np.float64]
    total: NDArray[np.float64]
    lateral: NDArray[np.float64]
    central: NDArray[np.float64]
    lung: NDArray[np.float64]
    skull: NDArray[np.float64]


def profile(
    body: Mask, bone: Mask, lungs: Mask, skull: Mask, half: Mask, aside: NDArray[np.float32], grid: Grid
) -> Profile:
    """Measure every slice of one side.

    Parameters
    ----------
    body, bone, lungs, skull
        Masks on one grid; ``bone`` without the arms.
    half
        The side.
    aside
        Distance from the midline in mm, shape to broadcast.
    grid
        That grid.
    """
    cell = grid.spacing[1] * grid.spacing[2] / 100.0
    count = body.shape[0]
    near = aside < 110.0
    central = np.broadcast_to(aside < 30.0, body.shape)
    lateral = np.broadcast_to(aside > 45.0, body.shape)
    numbers = np.zeros((7, count))
    sections = bone & half
    for z in range(count):
        if not sections[z].any():
            continue
        labels = cc3d.connected_components(sections[z], connectivity=8)
        stats = cc3d.statistics(labels)
        areas = stats["voxel_counts"][1:] * cell
        keep = np.flatnonzero(areas >= 0.4)
        if len(keep) == 0:
            continue
        keep = keep[np.argsort(-areas[keep], kind="stable")]
        boxes = [stats["bounding_boxes"][index + 1] for index in keep]
        low = np.array([[part.start for part in box] for box in boxes])
        high = np.array([[part.stop for part in box] for box in boxes])
        size = np.array(grid.spacing[1:])
        numbers[0, z] = len(keep)
        numbers[1, z] = areas[keep[0]]
        numbers[2, z] = areas[keep[1]] if len(keep) > 1 else 0.0
        numbers[3, z] = ((high[0] - low[0])[-2:] * size).max()
        numbers[4, z] = ((high.max(0) - low.min(0))[-2:] * size).max()
        numbers[5, z] = areas[keep].sum()
        large = np.concatenate([[False], areas >= 3.0])
        numbers[6, z] = (large[labels] & lateral[z]).sum() * cell
    return Profile(
        (body & half).sum((1, 2)) * cell,
        (body & half & near).sum((1, 2)) * cell,
        numbers[0].astype(int),
        numbers[1],
        numbers[2],
        numbers[3],
        numbers[4],
        numbers[5],
        numbers[6],
        (bone & central).sum((1, 2)) * cell,
        lungs.sum((1, 2)) * cell,
        skull.sum((1, 2)) * cell,
    )


SLOPE_CM2 = 150.0
"""Half a section of the neck where the shoulders slope into it, or rise with raised arms; a chest's is 180 and more.
It still is rather neck than a head without a cranial cavity."""


THIGH_CM2 = 45.0
"""Least section of a thigh, right above a lean knee 70 cm2; of an ankle, whose two bones seem one, at most 35."""

FACE_MM, FACE_CM2 = 100.0, 110.0
"""Half a section of the face without cranial cavity, as at the upper end of many fields of view: bones reach from the
chin, teeth or cheek to the spine or the back of the skull, and it is narrower than the shoulders."""

HIP_CM2, HIP_MM = 12.0, 90.0
"""Least section of a hip bone at its joint with the sacrum, and width of both together in one half. A vertebra with a
rib, where no lung is seen any more, has 7 cm2 aside."""


def costs(p: Profile) -> NDArray[np.float64]:
    """How badly each slice fits each level, shape (len(LEVELS), slices), 0 fits and 1 does not.

    The numbers are adult anatomy with wide margins: femoral and tibial shafts are 25 to 35 mm wide, condyles 70 to
    90 mm, a vertebra covers more than 8 cm2, lungs more than 10 cm2 in all slices between apex and base.
    """
    has_lung, has_skull = p.lung > 8.0, p.skull > 8.0
    axial = p.central > 4.0
    column = ndimage.maximum_filter1d(p.central, 5) > 4.0  # a disc between two vertebrae interrupts no spine
    none = p.bones == 0
    # A femoral artery with contrast agent or a calcified wall is a small second section beside the shaft, and so are
    # the five rays of a hand that lies on the thigh; a fibula has a fourth of the tibia's section.
    shaft = (p.width < 60) & (p.first < 16) & (p.area > THIGH_CM2)
    beside = (p.bones > 1) & (p.bones < 8) & (p.second < 0.3 * p.first)
    joined = axial & (p.lateral > HIP_CM2) & (p.width > HIP_MM)  # hip bone and sacrum, as one at their joint
    face = np.zeros(len(p.area), bool)
    if has_lung.any() and not has_skull.any():
        face[np.flatnonzero(has_lung)[-1] + 1 :] = True
        face &= axial & (p.reach > FACE_MM) & (p.core < FACE_CM2)
    table = {
        "foot": np.where((p.total > 0.16 * p.area) & (p.area < 130) & ~axial, 0.2, 1.0) + 0.3 * (p.bones == 2),
        "lower_leg": np.where((p.bones == 2) & (p.first > 1.5 * p.second) & (p.width < 60) & (p.reach < 90), 0.0, 1.0)
        + 0.1 * (p.second < 0.2 * p.first),
        "knee": np.where((p.width > 55) & (p.reach < 115) & (p.total > 0.12 * p.area) & ~axial, 0.1, 1.0),
        "thigh": np.where(shaft & (p.bones == 1), 0.0, np.where(shaft & beside, 0.15, 1.0)),
        "pelvis": np.where(((p.bones >= 2) | joined) & (p.reach > 75) & (p.area > 120), 0.2, 1.0)
        + 0.3 * (~(p.total > 8) | (shaft & (p.second < 3.0)))
        + 0.4 * (axial & (p.lateral < 6.0))
        + 0.4 * (p.bones >= 7),
        "abdomen": np.where(axial & (p.area > 150), 0.3, 1.0) + 0.4 * (p.lateral > 7.0),
        "chest": np.where(has_lung, 0.0, 0.9),
        "neck": np.where(axial & (p.core < 100), 0.2, np.where(column & (p.core < SLOPE_CM2), 0.4, 1.0)) + 0.4 * face,
        "head": np.where(has_skull, 0.0, np.where(face, 0.1, 0.6)) + 0.2 * (p.core > 140),
    }
    rows = np.array([table[name] for name in LEVELS], float)
    legs = [LEVELS.index(name) for name in ("foot", "lower_leg", "knee", "thigh", "pelvis", "abdomen")]
    rows[legs] += 1.0 * has_lung + 2.0 * has_skull
    rows[[LEVELS.index("chest"), LEVELS.index("neck")]] += 1.0 * has_skull
    rows[LEVELS.index("neck")] += 0.6 * has_lung
    rows[LEVELS.index("head")] += 1.5 * has_lung
    rows[:, none] = np.minimum(rows[:, none], 0.6)
    return rows


HAND_CM2 = 60.0
"""Section of a palm with its thumb (30 cm2), or of a hand that lies flat."""

FOOT_LONG_MM, ANKLE_MM = 70.0, 50.0
"""Tibia and fibula, and the talus between them, reach over some 50 mm; once the heel bone comes in, over more than 80.
The ankle, which belongs to the foot, begins that far above: where the tibia widens, 30 to 45 mm above the joint."""

KNEE_MM, SHIN_MM, THIGH_MM = 90.0, 12.0, 12.0
"""The knee reaches from the tibial tuberosity, 42 mm below its joint, to the end of the joint's recess behind the
quadriceps, 60 mm above it. The tibia widens 30 mm below the joint, the femur narrows 48 mm above it. From the tibia's
widening the knee reaches so far up, and down; and from the femur's narrowing up. Farther down the calf begins: there a
real scan's calcified mass in the calf (STS_028 of the test data) would be called knee."""

CREST_MM = 18.0
"""The abdomen begins at the transtubercular plane, through the tubercles of the iliac crests at the fifth lumbar
vertebra: two centimetres below the crests' highest points, where hip bones are first seen."""

APEX_MM = 8.0
"""The neck begins so far above the apex of the lungs (first rib)."""

JAW_MM = 40.0
"""Jaw below the lowest slice of the cranial cavity."""


def trunk_only(bone: Mask, body: Mask, aside: NDArray[np.float32], half: Mask, grid: Grid) -> Mask:
    """Leave out bones in pieces of the section that are no part of trunk or leg.

    In slices with a spine: pieces that the spine is not in, as arms at the sides. In others: pieces of a hand's size
    beside a larger one of the same half, as hands beside the thighs whose arms the field of view has cut off.
    """
    labels = sections(body)
    spine = bone & (aside < 30.0)
    held = np.bincount(labels[spine], minlength=int(labels.max()) + 1) > 0
    held[0] = False
    axial = np.asarray(spine.any((1, 2)))[:, None, None]
    return bone & np.where(axial, held[labels], ~hands_beside(body, half, grid))


def hands_beside(body: Mask, half: Mask, grid: Grid) -> Mask:
    """Find pieces of axial sections that have a hand's size and lie beside a piece more than twice as large."""
    labels = sections(body & half)
    count = int(labels.max())
    area = np.bincount(labels.ravel(), minlength=count + 1) * grid.spacing[1] * grid.spacing[2] / 100.0
    of_slice = np.zeros(count + 1, np.int64)
    of_slice[labels.reshape(-1)] = np.repeat(np.arange(len(labels)), labels[0].size)
    largest = np.zeros(len(labels))
    np.maximum.at(largest, of_slice[1:], area[1:])
    hand = (area < HAND_CM2) & (area < 0.5 * largest[of_slice])
    hand[0] = False
    return np.asarray(hand[labels])


SWITCH_MM = 12.0
"""A level that fits better over less than this is not entered."""


def sequence(cost: NDArray[np.float64], slice_mm: float) -> NDArray[np.int64]:
    """Best ascending sequence of levels by dynamic programming: from the soles up no level comes twice.

    Parameters
    ----------
    cost
        Shape (levels, slices), slices from inferior to superior.
    slice_mm
        Slice distance in mm.
    """
    weights = cost * slice_mm
    levels, count = weights.shape
    best = np.empty_like(weights)
    origin = np.zeros((levels, count), int)
    best[:, 0] = weights[:, 0]
    step = np.arange(levels)
    # Going past a level costs as well, so that none is left out without need; the anatomy has no gaps.
    jump = np.where(step[:, None] >= step[None], SWITCH_MM * (step[:, None] - step[None]), np.inf)
    jump = np.where(step[:, None] > step[None] + 1, jump * 2.0, jump)
    for z in range(1, count):
        options = best[None, :, z - 1] + jump
        origin[:, z] = options.argmin(1)
        best[:, z] = options.min(1) + weights[:, z]
    path = np.zeros(count, int)
    path[-1] = int(best[:, -1].argmin())
    for z in range(count - 1, 0, -1):
        path[z - 1] = origin[path[z], z]
    return path


def adjust(path: NDArray[np.int64], p: Profile, slice_mm: float) -> NDArray[np.int64]:
    """Give ankle, knee and head's jaw their length, which the slices' own looks do not show.

    The ankle reaches ``ANKLE_MM`` above the highest section that is a foot's; from where the tibia widens the knee
    reaches ``KNEE_MM`` up and ``SHIN_MM`` down; the abdomen begins ``CREST_MM`` below the highest slice with hip bones;
    the neck begins above the lungs; the jaw reaches ``JAW_MM`` below the cranial cavity, if that is in view: else the
    head was told by the face.
    """
    out = path.copy()
    foot, knee, abdomen, neck, head = (LEVELS.index(name) for name in ("foot", "knee", "abdomen", "neck", "head"))
    long = np.flatnonzero((path == foot) & (p.reach > FOOT_LONG_MM))
    if len(long):
        up = long[-1] + 1 + round(ANKLE_MM / slice_mm)
        out[:up][path[:up] == foot + 1] = foot
        out[up:][path[up:] == foot] = foot + 1
    slices = np.flatnonzero(path == knee)
    if len(slices):
        # Without the tibia's widening in view the femur's narrowing tells.
        up = slices[0] + round(KNEE_MM / slice_mm) if slices[0] > 0 else slices[-1] + 1 + round(THIGH_MM / slice_mm)
        out[slices[0] : up][path[slices[0] : up] == knee + 1] = knee
        out[up:][path[up:] == knee] = knee + 1
        down = max(0, slices[0] - round(SHIN_MM / slice_mm))
        out[down : slices[0]][path[down : slices[0]] == knee - 1] = knee
    slices = np.flatnonzero(path == abdomen)
    if len(slices):
        low = max(0, slices[0] - round(CREST_MM / slice_mm))
        out[low : slices[0]][path[low : slices[0]] == abdomen - 1] = abdomen
    full = np.flatnonzero(p.lung > 0.0)
    if len(full) and (path >= neck).any():
        top = full[-1] + round(APEX_MM / slice_mm)
        out[top + 1 :][path[top + 1 :] == LEVELS.index("chest")] = neck
    slices = np.flatnonzero(path == head)
    if p.skull.any() and len(slices) and slices[0] > 0:
        low = slices[0] - round(JAW_MM / slice_mm)
        out[max(0, low) : slices[0]][path[max(0, low) : slices[0]] == neck] = head
    return out
