"""What an object's surroundings say about it: whether it is part of a bone or lies beside one.

A piece of bone is enclosed by bone, or lies in cancellous bone, or goes on in other bones along their axes. A deposit
stands beside a bone, over a valley of soft tissue or a thin neck, away from the limb's axis.
"""

from dataclasses import dataclass
from functools import lru_cache

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calciflow.anatomy.grid import Grid, Mask, bounding_box, distance
from calciflow.anatomy.objects import Floats, Labels

REACH_MM = 15.0
"""How far around an object is looked at: the width of a finger, or of a metacarpal and its neighbour."""

DIRECTIONS = ((0, 0, 1), (0, 1, 0), (0, 1, 1), (0, 1, -1), (1, 0, 0))
"""Lines of sight, each looked along both ways."""

AT_ONCE = 4096
"""Blocks of an object whose lines of sight are followed at once: 15 MB of indices."""

UNKNOWN = 0.5
SMALL_NEIGHBOUR = 0.3
"""Share of an object's size that a neighbour needs to say anything about it."""

LONG = 1.5
"""Length over width of a neighbour that has an axis."""

SOFT_HU = 50.0
_CROSS = ndimage.generate_binary_structure(3, 1)


@dataclass(frozen=True)
class Surroundings:
    """What lies around an object.

    Attributes
    ----------
    enclosed
        Mean share of lines of sight that meet other dense objects within ``REACH_MM`` at both ends: near 1 inside a
        bone, 0 to 0.4 beside one or between two.
    seen
        The same for at least one end.
    bed_hu
        Median HU around it beyond its own blur: soft tissue or fat around a deposit, cancellous bone inside one.
    centrality
        Depth under the skin over the greatest depth within ``REACH_MM``: 1 in the axis of a digit; ``UNKNOWN`` where
        no skin is so near.
    """

    enclosed: float
    seen: float
    bed_hu: float
    centrality: float


@lru_cache(maxsize=16)
def _sight(spacing: tuple[float, float, float]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Steps (n, 3) along all lines of sight, both ways in turn, and where each way begins among them."""
    steps, begins = [], [0]
    for direction in DIRECTIONS:
        line = np.arange(1, max(1, int(REACH_MM / float(np.linalg.norm(np.array(direction) * spacing)))) + 1)
        for way in (1, -1):
            steps.append(way * line[:, None] * np.array(direction))
            begins.append(begins[-1] + len(line))
    return np.concatenate(steps), np.array(begins[:-1])


def _in_sight(other: Mask, places: NDArray[np.int64], grid: Grid) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each place (n, 3), how many lines of sight meet ``other`` at both ends, and at one at least."""
    steps, begins = _sight(grid.spacing)
    size = np.array(other.shape)
    both, one = np.zeros(len(places), np.int64), np.zeros(len(places), np.int64)
    for start in range(0, len(places), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        along = places[part, None] + steps
        inside = np.asarray(((along >= 0) & (along < size)).all(axis=-1))
        z, y, x = np.moveaxis(np.where(inside[..., None], along, 0), -1, 0)
        met = np.logical_or.reduceat(other[z, y, x] & inside, begins, axis=1)
        both[part] = (met[:, ::2] & met[:, 1::2]).sum(axis=1)
        one[part] = (met[:, ::2] | met[:, 1::2]).sum(axis=1)
    return both, one


def look_around(hu: NDArray[np.float32], own: Mask, other: Mask, body: Mask, grid: Grid) -> Surroundings:
    """Describe the surroundings of an object in a box around it with ``REACH_MM`` of margin.

    Parameters
    ----------
    hu, own, other, body
        HU, the object, the dense objects that may be bones beside it, and the body, of the box.
    grid
        For the block size.
    """
    both, one = _in_sight(other, np.argwhere(own), grid)
    tight = bounding_box(own, 2)
    near = ndimage.binary_dilation(own[tight], _CROSS)
    ring = ndimage.binary_dilation(near, _CROSS) & ~near & ~other[tight]
    central = UNKNOWN
    if not body.all():
        depth = distance(body, grid.spacing)
        central = float(depth[own].mean()) / float(depth.max())
    return Surroundings(
        float(both.mean()) / len(DIRECTIONS),
        float(one.mean()) / len(DIRECTIONS),
        float(np.median(hu[tight][ring])) if ring.sum() >= 3 else 200.0,
        central,
    )


def saddles(hu: NDArray[np.float32], labels: Labels, count: int, bone: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Measure how each object hangs on the bones among the others.

    Parameters
    ----------
    hu, labels, count
        HU and objects.
    bone
        For each label: whether it counts as bone.

    Returns
    -------
    contact, saddle
        Share of its faces that touch bone; and the highest HU over which it does, above soft tissue, over its own
        height above soft tissue: near 1 within a bone, 0 for no contact.
    """
    faces, into = np.zeros(count + 1), np.zeros(count + 1)
    top, height = np.full(count + 1, SOFT_HU), np.full(count + 1, SOFT_HU)
    inside = labels > 0
    np.maximum.at(height, labels[inside], hu[inside])
    for axis in range(3):
        low = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        for first, second in ((low, high), (high, low)):
            edge = (labels[first] > 0) & (labels[first] != labels[second])
            own, other = labels[first][edge], labels[second][edge]
            faces += np.bincount(own, minlength=count + 1)
            touch = bone[other] & (other > 0)
            into += np.bincount(own[touch], minlength=count + 1)
            np.maximum.at(top, own[touch], np.minimum(hu[first][edge][touch], hu[second][edge][touch]))
    return into / np.maximum(faces, 1.0), (top - SOFT_HU) / np.maximum(height - SOFT_HU, 50.0)


def groups(labels: Labels, count: int, anchors: NDArray[np.bool_]) -> tuple[Labels, NDArray[np.bool_]]:
    """Find which objects hang together.

    Returns
    -------
    group, tied
        For each label: number of its connected group; and whether this holds a sure bone.
    """
    parts = cc3d.connected_components(labels > 0, connectivity=6)
    places = np.flatnonzero(labels)
    group = np.zeros(count + 1, np.int32)
    group[labels.reshape(-1)[places]] = parts.reshape(-1)[places]
    held = np.zeros(int(parts.max()) + 1, bool)
    held[group[anchors]] = True
    held[0] = False
    return group, held[group]


@dataclass(frozen=True)
class Axes:
    """Centres (n, 3), long axes (n, 3) and half extents (n, 3), ascending, of objects; mm, by their moments."""

    centre: Floats
    axis: Floats
    half: Floats


def axes_of(labels: Labels, count: int, grid: Grid) -> Axes:
    """Measure all objects at once; a box of even density has half extents of sqrt(3) times its standard deviations."""
    step = np.array(grid.spacing)
    places = np.argwhere(labels > 0) * step
    of = labels[labels > 0]
    size = np.bincount(of, minlength=count + 1).clip(1)
    centre = np.stack([np.bincount(of, weights=places[:, a], minlength=count + 1) / size for a in range(3)], 1)
    away = places - centre[of]
    spread = np.zeros((count + 1, 3, 3))
    for a in range(3):
        for b in range(a, 3):
            spread[:, a, b] = np.bincount(of, weights=away[:, a] * away[:, b], minlength=count + 1) / size
            spread[:, b, a] = spread[:, a, b]
    spread += np.diag(step**2 / 12.0)
    values, vectors = np.linalg.eigh(spread)
    return Axes(centre, vectors[:, :, 2], np.sqrt(3.0 * values))


def in_line(
    label: int, near: Labels, start: tuple[int, int, int], size: NDArray[np.int64], axes: Axes, grid: Grid
) -> float:
    """How far along its neighbour's long axis an object lies, in half lengths of the neighbour.

    The next phalanx lies in line (2), a deposit beside the bone (0 to 1). Neighbours much smaller than the object don't
    count; of a round one nothing can be told: 1.

    Parameters
    ----------
    label, near, start
        The object, labels of a box around it, and where the box begins.
    size
        Blocks of each object.
    """
    places = np.argwhere((near > 0) & (near != label))
    of = near[tuple(places.T)]
    enough = size[of] >= SMALL_NEIGHBOUR * size[label]
    if not enough.any():
        return 1.0
    away = np.linalg.norm((places[enough] + start) * np.array(grid.spacing) - axes.centre[label], axis=1)
    other = int(of[enough][int(np.argmin(away))])
    if axes.half[other, 2] <= LONG * axes.half[other, 1]:
        return 1.0
    along = abs(float((axes.centre[label] - axes.centre[other]) @ axes.axis[other]))
    return min(along / float(axes.half[other, 2]), 2.0)
