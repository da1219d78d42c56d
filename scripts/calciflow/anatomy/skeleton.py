"""The skeleton: dense objects that are bone, with their marrow, told from deposits in two steps.

First from build and surroundings alone: from that skeleton the body's plan is found. Then, with the plan, every object
that is no large bone is judged again, and the skeleton is mended where the second answer differs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calciflow.anatomy.bone import calm, dense_bone, fill_marrow, whole_cranium
from calciflow.anatomy.evidence import REACH_MM, SOFT_HU, axes_of, groups, in_line, look_around, saddles
from calciflow.anatomy.grid import Box, Grid, Mask, widened
from calciflow.anatomy.judge import ANCHOR_ODDS, Candidate, Place, build_odds, is_inside_bone, probability
from calciflow.anatomy.objects import Labels, describe, is_contrast, is_tube, split
from calciflow.anatomy.twin import Twins, against_bone
from calciflow.anatomy.vault import on_the_vault

SMALLEST_ML = 0.02
"""Smaller objects are never a bone of their own, only a piece of one."""

LARGE_ML = 150.0
"""No deposit reported so far was larger and had the build of a bone; saves describing femora."""

CONTRAST_OBJECT_ML = 1.0
"""Smaller objects have too little inside to show contrast agent."""

LIKELY, TAKEN = 0.5, 0.65
"""Probabilities from which an object is bone, for finding the plan and in the end: to lose a deposit costs more than to
show a piece of bone that is listed as uncertain."""

SURE = 0.9963
"""What is bone whatever the other side says: symmetry takes a log-odds of 5 at most (``twin.MOST``)."""

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Finding:
    """The skeleton as it is known so far, and what it was made of.

    Attributes
    ----------
    bone
        Skeleton, filled with its marrow.
    skull
        The cranial cavity.
    labels
        All dense objects.
    taken
        For each label: whether it is bone.
    candidates
        Objects that are no large bones.
    hu
        Mean HU of the blocks.
    blood
        Vessels, and bowel, that contrast agent fills.
    group
        For each label: number of the objects that it hangs together with.
    """

    bone: Mask
    skull: Mask
    labels: Labels
    taken: Flags
    candidates: list[Candidate]
    hu: NDArray[np.float32]
    blood: Mask
    group: Labels

    @property
    def sure(self) -> Flags:
        """For each label: whether it is bone by its own build."""
        sure = self.taken.copy()
        sure[[candidate.label for candidate in self.candidates]] = False
        return sure

    @cached_property
    def dense(self) -> NDArray[np.int64]:
        """Indices (n, 3) of all dense blocks."""
        return np.argwhere(self.labels)

    @property
    def others(self) -> Mask:
        """Dense, but no bone."""
        return np.asarray(~self.taken[self.labels] & (self.labels > 0))


def _margin(grid: Grid) -> tuple[int, int, int]:
    z, y, x = (max(2, int(np.ceil((REACH_MM + 1.0) / step))) for step in grid.spacing)
    return z, y, x


def find_skeleton(hu: NDArray[np.float32], body: Mask, skin_depth: NDArray[np.float32], grid: Grid) -> Finding:
    """Find the skeleton from build and surroundings of the dense objects.

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
    quiet = calm(hu, grid)
    dense, blood = dense_bone(hu, quiet, body, grid)
    labels, count = split(hu, dense)
    size = np.bincount(labels[labels > 0], minlength=count + 1)
    volume = size * grid.block_ml
    boxes = cc3d.statistics(labels.view(np.uint32))["bounding_boxes"]
    margin = _margin(grid)
    taken = volume > LARGE_ML
    taken[0] = False
    contrast, vessel = _contrast(quiet, labels, volume, boxes, grid)
    taken &= ~contrast
    # Spongy bone may be as even as contrast agent: what has no vessel's shape is left to its place in the body.
    told = (volume > 0) & ~vessel
    shapes = {}
    for label in np.flatnonzero(told & ~taken).tolist():
        box = widened(boxes[label], hu.shape, margin)
        shapes[label] = describe(hu[box], labels[box] == label, skin_depth[box], grid)
        cut = any(part.start == 0 or part.stop == end for part, end in zip(boxes[label], hu.shape, strict=True))
        anchor = volume[label] >= SMALLEST_ML and build_odds(shapes[label], cut) >= ANCHOR_ODDS
        taken[label] = anchor and not contrast[label]
    group, tied = groups(labels, count, taken)
    axes = axes_of(labels, count, grid)
    flesh = body & (hu > -500.0)
    candidates = []
    for label in np.flatnonzero(told & ~taken).tolist():
        box = widened(boxes[label], hu.shape, margin)
        near = labels[box]
        # Pieces of one deposit don't enclose each other.
        other = (near > 0) & (near != label) if tied[label] else (near > 0) & (group[near] != group[label])
        around = look_around(hu[box], near == label, other, flesh[box], grid)
        start = (box[0].start, box[1].start, box[2].start)
        line = in_line(label, near, start, size, axes, grid)
        z, y, x = (axes.centre[label] / np.array(grid.spacing)).tolist()
        candidates.append(Candidate(label, shapes[label], around, bool(tied[label]), line, 0.0, 0.0, (z, y, x)))
    for candidate in candidates:
        taken[candidate.label] = probability(candidate) >= LIKELY and not contrast[candidate.label]
    contact, saddle = saddles(hu, labels, count, taken)
    candidates = [replace(c, contact=float(contact[c.label]), saddle=float(saddle[c.label])) for c in candidates]
    filled, skull = fill_marrow(taken[labels], _without(hu, labels, taken), grid)
    blood |= vessel[labels]
    labels, taken = _off_the_vault(hu, labels, taken, skull, grid)
    skull = whole_cranium(skull, filled, grid)
    group = np.concatenate([group, np.zeros(len(taken) - len(group), group.dtype)])
    return Finding(_but(filled, labels, taken), skull, labels, taken, candidates, hu, blood, group)


def _off_the_vault(
    hu: NDArray[np.float32], labels: Labels, taken: Flags, skull: Mask, grid: Grid
) -> tuple[Labels, Flags]:
    """Give what stands out from the skull's vault labels of its own, that are no bone."""
    outside = on_the_vault(hu, skull, grid) & taken[labels]
    if not outside.any():
        return labels, taken
    parts, count = cc3d.connected_components(outside, connectivity=6, return_N=True)
    labels = labels.copy()
    labels[outside] = parts[outside].astype(np.int32) + len(taken) - 1
    return labels, np.concatenate([taken, np.zeros(count, bool)])


def _contrast(
    quiet: NDArray[np.float32], labels: Labels, volume: NDArray[np.floating], boxes: Sequence[Box], grid: Grid
) -> tuple[Flags, Flags]:
    """For each label, whether it is filled with contrast agent; and whether it is a vessel, by its shape too.

    ``quiet``: the calmed HU.
    """
    contrast = np.zeros(len(volume), bool)
    vessel = np.zeros(len(volume), bool)
    for label in np.flatnonzero(volume >= CONTRAST_OBJECT_ML).tolist():
        mask = labels[boxes[label]] == label
        contrast[label] = is_contrast(quiet[boxes[label]], mask, grid)
        vessel[label] = contrast[label] and is_tube(mask, grid)
    return contrast, vessel


def _without(hu: NDArray[np.float32], labels: Labels, taken: Flags) -> NDArray[np.float32]:
    """HU with soft tissue in the place of other dense objects and of their blur, so that these close no cortex."""
    other = (labels > 0) & ~taken[labels]
    if not other.any():
        return hu
    halo = ndimage.binary_dilation(other, ndimage.generate_binary_structure(3, 1)) & ~taken[labels]
    return np.where(halo, np.minimum(hu, np.float32(SOFT_HU)), hu)


def _but(filled: Mask, labels: Labels, taken: Flags) -> Mask:
    return np.asarray(filled & (taken[labels] | (labels == 0)))


def settle(
    finding: Finding, place: Callable[[Candidate], Place], twins: Twins | None, grid: Grid
) -> tuple[Finding, list[tuple[Candidate, float]]]:
    """Judge every candidate again, now that its place in the body is known.

    ``twins`` ask the other side about those that pass for bone; None: there is no other side.

    Returns
    -------
    finding, chances
        The skeleton, mended where the answer differs; and each candidate's probability of being bone.
    """
    taken = finding.taken.copy()
    chances = []
    for candidate in finding.candidates:
        here = place(candidate)
        chance = probability(candidate, here)
        if twins is not None and TAKEN <= chance < SURE and not is_inside_bone(candidate):
            chance = probability(candidate, here, against_bone(twins.apart_mm(candidate, here)))
        chances.append((candidate, chance))
        taken[candidate.label] = chance >= TAKEN
    changed = np.flatnonzero(taken != finding.taken)
    if len(changed) == 0:
        return finding, chances
    bone = finding.bone.copy()
    boxes = cc3d.statistics(finding.labels.view(np.uint32))["bounding_boxes"]
    for label in changed.tolist():
        inner = widened(boxes[label], bone.shape, (1, 2, 2))
        outer = widened(inner, bone.shape, _margin(grid))
        part = Grid(grid.factors, bone[outer].shape, bone[outer].shape, grid.spacing)
        labels = finding.labels[outer]
        filled, _ = fill_marrow(taken[labels], _without(finding.hu[outer], labels, taken), part, whole=False)
        at = tuple(slice(i.start - o.start, i.stop - o.start) for i, o in zip(inner, outer, strict=True))
        # A box cuts large bones open: it may add to the new object's marrow, but takes only from a rejected one's.
        new = _but(filled, labels, taken)[at]
        bone[inner] = (bone[inner] | new) if taken[label] else (bone[inner] & new)
    return replace(finding, bone=_but(bone, finding.labels, taken), taken=taken), chances
