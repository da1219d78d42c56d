"""Bone or deposit: every dense object is judged by its build, its size, and its place.

HU decides nothing: calcium is calcium. Bone has a dense shell around a less dense core, is large or belongs to a chain
of bones, and lies in the axis of its digit; a deposit is densest inside, small, and lies anywhere. The weights are
ours; they act on a log-odds scale, and what stays between is called uncertain instead of forced.
"""

from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray

from calciflow.anatomy.bone import dense_bone, fill_marrow
from calciflow.anatomy.grid import Grid, Mask, dilate, distance
from calciflow.anatomy.objects import Labels, Shape, describe, faces_into, split

SMALLEST_ML = 0.02
"""Smaller objects are noise, calcified vessels, or deposits: never a bone of their own."""

ANCHOR_ODDS = 3.0
"""Log-odds from which an object is skeleton without looking at its neighbours (probability 0.95)."""

ENCLOSED = 0.5
"""Share of an object inside a filled bone that makes it part of it (cancellous bone, bone islands)."""

STANDS_OUT = 0.7
"""Share of its surface with which a deposit that touches bone stands out of it."""

SOLID_HU = -25.0
"""Core less shell above which an object is solid."""

RIB_ODDS = 3.5
"""What is dense in the layer right outside the pleura and the peritoneum is a rib, or its cartilage."""

NECK = 1.0
"""Area of contact with other dense objects over an object's mean cross-section, below which it is a neck."""

LARGE_ML = 150.0
"""No deposit reported so far was larger and had the build of a bone; saves describing femora."""

NEAR_MM = 5.0
"""Neighbours in the skeleton are this near: joint space and partial volume."""


@dataclass(frozen=True)
class Candidate:
    """A dense object outside the sure skeleton.

    Attributes
    ----------
    label
        Its label in ``Finding.objects``.
    shape
        Its build.
    odds
        Log-odds for bone from its build alone.
    gap_mm
        Distance to the sure skeleton, at most 15.
    contact
        Share of its surface that faces bone.
    centre
        Array index (3,).
    """

    label: int
    shape: Shape
    odds: float
    gap_mm: float
    contact: float
    centre: tuple[float, float, float]


@dataclass(frozen=True)
class Finding:
    """The sure skeleton, and what else is dense.

    Attributes
    ----------
    bone
        Sure skeleton, filled with its marrow.
    skull
        The cranial cavity.
    objects
        Labels of the other dense objects.
    candidates
        Those of them that could be bone.
    """

    bone: Mask
    skull: Mask
    objects: Labels
    candidates: list[Candidate]


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


def _box(box: tuple[slice, ...], shape: tuple[int, ...], margin: tuple[int, int, int]) -> tuple[slice, slice, slice]:
    parts = [
        slice(max(0, part.start - m), min(size, part.stop + m))
        for part, size, m in zip(box, shape, margin, strict=True)
    ]
    return parts[0], parts[1], parts[2]


def find_skeleton(hu: NDArray[np.float32], body: Mask, skin_depth: NDArray[np.float32], grid: Grid) -> Finding:
    """Find the sure skeleton and list what else may be bone.

    Parameters
    ----------
    hu
        Mean HU of the blocks.
    body
        The body.
    skin_depth
        Depth under the skin in mm.
    grid
        Blocks of about 2 mm.
    """
    dense = dense_bone(hu, body, grid)
    labels, count = split(hu, dense)
    size = np.bincount(labels[labels > 0], minlength=count + 1)
    volume = size * grid.block_ml
    boxes = cc3d.statistics(labels.view(np.uint32))["bounding_boxes"]
    z, y, x = (max(2, round(16.0 / step)) for step in grid.spacing)
    margin = (z, y, x)
    sure = volume > LARGE_ML
    sure[0] = False
    shapes: dict[int, Shape] = {}
    odds = np.full(count + 1, -9.0)
    for label in np.flatnonzero((volume >= SMALLEST_ML) & ~sure).tolist():
        if label == 0:
            continue
        box = _box(boxes[label], hu.shape, margin)
        own = labels[box] == label
        shapes[label] = describe(hu[box], own, skin_depth[box], grid)
        cut = any(part.start == 0 or part.stop == size for part, size in zip(boxes[label], hu.shape, strict=True))
        odds[label] = build_odds(shapes[label], cut)
    sure |= odds >= ANCHOR_ODDS
    # What touches the sure skeleton takes part in closing its cortex, and is bone unless most of it stands out.
    total, into = faces_into(labels, count, labels > 0, grid)
    neck = into
    tied = _tied(labels, sure, into)
    filled, skull = fill_marrow((sure | tied)[labels], hu, grid)
    total, into = faces_into(labels, count, filled, grid)
    share = into / np.maximum(total, 1)
    inside = np.bincount(labels[filled], minlength=count + 1) / np.maximum(size, 1)
    inside[0] = 0.0
    solid = np.zeros(count + 1, bool)
    for label, shape in shapes.items():
        # A piece of a bone is joined over its whole section, a deposit over less.
        section = 1000.0 * shape.volume_ml / shape.length_mm
        dense_core = not np.isfinite(shape.contrast_hu) or shape.contrast_hu > SOLID_HU
        solid[label] = dense_core and neck[label] < NECK * section
    sure |= (inside > ENCLOSED) & ~(tied & (share < 1.0 - STANDS_OUT) & solid)
    sure[0] = False
    bone = filled & (sure[labels] | (labels == 0))
    for label in np.flatnonzero(tied & ~sure).tolist():
        # Marrow that only a rejected object had closed is no marrow.
        if volume[label] < SMALLEST_ML:
            continue
        box = _box(boxes[label], hu.shape, margin)
        part = Grid(grid.factors, bone[box].shape, bone[box].shape, grid.spacing)
        bone[box] &= fill_marrow(sure[labels[box]], hu[box], part)[0]
    candidates = []
    rest = labels * ~bone
    for label, shape in shapes.items():
        if sure[label]:
            continue
        box = _box(boxes[label], hu.shape, margin)
        own = rest[box] == label
        if own.sum() * grid.block_ml < SMALLEST_ML:
            continue
        away = distance(~bone[box], grid.spacing)
        near = bone[box] | ((labels[box] > 0) & sure[labels[box]])
        rim = dilate(own, 1.01 * max(grid.spacing), grid.spacing) & ~own
        contact = float((rim & near).sum() / max(1, rim.sum()))
        gap = float(away[own].min()) if near.any() else 15.0
        points = np.argwhere(own).mean(0) + [part.start for part in box]
        candidates.append(Candidate(label, shape, float(odds[label]), min(gap, 15.0), contact, tuple(points.tolist())))
    return Finding(bone, skull, rest, candidates)


def _tied(labels: Labels, sure: NDArray[np.bool_], faces: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Objects that touch the sure skeleton, at once or through each other."""
    count = len(sure) - 1
    out = np.zeros(count + 1, bool)
    if not (faces > 0).any():
        return out
    groups = cc3d.connected_components(labels > 0, connectivity=6)
    of_group = np.zeros(int(groups.max()) + 1, bool)
    of_group[np.unique(groups[sure[labels]])] = True
    of_group[0] = False
    first = np.zeros(count + 1, np.int64)
    places = np.flatnonzero(labels)
    first[labels.reshape(-1)[places]] = groups.reshape(-1)[places]
    out = of_group[first] & ~sure
    out[0] = False
    return out


def probability(candidate: Candidate, region: str, in_cavity: bool, by_cavity: bool) -> float:
    """Probability that a dense object is bone, from its build and its place.

    Parameters
    ----------
    candidate
        The object.
    region
        Body region of its centre, empty if unknown.
    in_cavity
        Whether it lies in the chest, abdomen or pelvis, where no bones are.
    by_cavity
        Whether it lies right outside the cavity: in the layer of the ribs.
    """
    shape, odds = candidate.shape, candidate.odds
    if in_cavity:
        return 0.0
    odds += 6.0 * candidate.contact
    rib = by_cavity and region in ("chest", "abdomen") and shape.depth_mm > 8.0
    if rib:
        odds += RIB_ODDS if not np.isfinite(shape.contrast_hu) else 0.5 * RIB_ODDS
    elif candidate.gap_mm < NEAR_MM:
        odds += 0.8
    else:
        odds -= 1.0 + 0.15 * (candidate.gap_mm - NEAR_MM)
    if region in ("fingers", "toes") and np.isfinite(shape.centrality):
        odds += 4.0 * (min(shape.centrality, 1.0) - 0.55)
    if region in ("head", "neck") and shape.depth_mm > 10.0:
        odds += 2.5  # hyoid, larynx, teeth, skull base
    return float(1.0 / (1.0 + np.exp(-odds)))
