"""Head to toe in pieces: series of one frame of reference that continue each other become one volume.

Body and legs are often acquired as two series. Within one frame of reference their voxels can be put on one grid
without touching the plane of the slices; along the body slices are taken as they are where the two lattices agree,
interpolated linearly where they do not, and blended linearly over the overlap in PET (whose outer slices are the
noisiest: the scanner is least sensitive there). In CT one piece is taken up to a cut: the sharper one, else the middle.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calciflow.dicom.geometry import Grid
from calciflow.dicom.kernels import kernel_is_sharp
from calciflow.dicom.series import Group

MOST_OVERLAP = 0.5
"""Pieces overlap by a few slices up to a bed position; what overlaps more is another picture of the same part. Ours."""
MOST_PIECES = 4
SAME_PLANE_MM = 0.1
SAME_SIZE = 1e-3
MOST_CT_STEP = 2.5
"""Ratio of slice increments up to which CT pieces are put on the finer one's lattice. Ours."""
ALIGNED = 0.02
"""Fraction of an increment within which two lattices agree. Ours."""


@dataclass(frozen=True)
class Lattice:
    """Positions of a group's slices along the slice axis, in mm."""

    start: float
    step: float
    count: int

    @property
    def end(self) -> float:
        """Position of the last slice."""
        return self.start + self.step * (self.count - 1)


def _axis(grid: Grid) -> NDArray[np.float64]:
    column: NDArray[np.float64] = grid.affine[:3, 2 - grid.slice_axis]
    return column / np.linalg.norm(column)


def lattice(item: Group, axis: NDArray[np.float64]) -> Lattice:
    """Where a group's slices lie along an axis."""
    assert item.grid is not None
    return Lattice(float(item.grid.affine[:3, 3] @ axis), item.grid.increment, len(item.grid.slots))


def _same_plane(one: Grid, two: Grid) -> bool:
    """Whether the slices of both have the same matrix, pixel size, direction and place in the plane."""
    if one.axes != two.axes or one.flips != two.flips or one.shape[1:] != two.shape[1:] or one.slice_axis != 0:
        return False
    if np.abs(one.affine[:3, :2] - two.affine[:3, :2]).max() > SAME_SIZE:
        return False
    between = one.affine[:3, 3] - two.affine[:3, 3]
    axis = _axis(one)
    aside = between - (between @ axis) * axis
    return bool(np.abs(aside).max() < SAME_PLANE_MM)


def continues(lower: Group, upper: Group) -> bool:
    """Whether ``upper`` goes on where ``lower`` ends, as another piece of the same acquisition."""
    one, two = lower.first, upper.first
    if lower.grid is None or upper.grid is None or lower.source != upper.source or not one.frame_uid:
        return False
    if (one.frame_uid, one.study_uid, one.modality, one.units, one.model) != (
        (two.frame_uid, two.study_uid, two.modality, two.units, two.model)
    ):
        return False
    if not _same_plane(lower.grid, upper.grid):
        return False
    steps = sorted((lower.grid.increment, upper.grid.increment))
    if steps[1] > steps[0] * (MOST_CT_STEP if lower.is_ct else 1 + 10 * SAME_SIZE):
        return False
    if lower.is_ct and kernel_is_sharp(one.kernel) != kernel_is_sharp(two.kernel):
        return False
    axis = _axis(lower.grid)
    low, high = lattice(lower, axis), lattice(upper, axis)
    overlap = low.end - high.start
    shortest = min(low.end - low.start, high.end - high.start)
    return low.start < high.start and low.end < high.end and -1.5 * steps[1] <= overlap <= MOST_OVERLAP * shortest


def chains(groups: Sequence[Group]) -> list[list[Group]]:
    """Every way to line up groups that continue each other, longest runs only."""
    found = [[item] for item in groups]
    open_runs = found[:]
    for _ in range(MOST_PIECES - 1):
        longer = [[*run, item] for run in open_runs for item in groups if continues(run[-1], item)]
        found += longer
        open_runs = longer
    runs = [[g.number for g in run] for run in found]

    def inside(run: list[int], other: list[int]) -> bool:
        return len(run) < len(other) and all(number in other for number in run)

    return [run for run, numbers in zip(found, runs, strict=True) if not any(inside(numbers, o) for o in runs)]


def join(pieces: Sequence[Group]) -> Group:
    """One volume from pieces, lowest first.

    The grid is that of the longest piece in PET and of the finest in CT, prolonged. Each of its slices is a weighted
    sum of slices of the pieces: ``terms`` holds (piece, slice of the piece, slice of the volume, weight).
    """
    assert all(piece.grid is not None for piece in pieces)
    ct = pieces[0].is_ct
    leader = min(pieces, key=lambda p: (p.grid.increment if ct and p.grid else 0.0, -p.extent, p.number))
    grid = leader.grid
    assert grid is not None
    axis = _axis(grid)
    lattices = [lattice(piece, axis) for piece in pieces]
    base = lattice(leader, axis)
    below = int(np.ceil((base.start - lattices[0].start) / base.step - 0.5))
    above = int(np.ceil((lattices[-1].end - base.end) / base.step - 0.5))
    count = base.count + below + above
    start = base.start - below * base.step
    affine = grid.affine.copy()
    affine[:3, 3] -= below * grid.affine[:3, 2]
    terms: list[tuple[int, int, int, float]] = []
    for slot in range(count):
        place = start + slot * base.step
        terms += [(p, s, slot, w) for p, s, w in _mixture(place, lattices, ct)]
    joined = Group(
        number=leader.number,
        source=leader.source,
        headers=[*leader.headers, *(h for p in pieces if p is not leader for h in p.headers)],
        grid=Grid(
            slots=((),) * count,
            affine=affine,
            shape=(count, *grid.shape[1:]),
            slice_axis=0,
            axes=grid.axes,
            flips=grid.flips,
            increment=grid.increment,
            jitter=max(piece.grid.jitter for piece in pieces if piece.grid),
        ),
    )
    joined.pieces = tuple(pieces)
    joined.terms = terms
    joined.leader = pieces.index(leader)
    return joined


def _mixture(place: float, lattices: Sequence[Lattice], ct: bool) -> list[tuple[int, int, float]]:
    """Which slices make the slice at ``place``: piece, slice, weight; the weights add up to 1."""
    slack = 0.51 * min(one.step for one in lattices)
    covering = [p for p, one in enumerate(lattices) if one.start - 1e-6 <= place <= one.end + 1e-6]
    if not covering:
        # In the seam between two pieces, or half a step beyond an end.
        lower = [p for p, one in enumerate(lattices) if one.end < place]
        upper = [p for p, one in enumerate(lattices) if one.start > place]
        if lower and upper:
            one, two = lattices[lower[-1]], lattices[upper[0]]
            share = (place - one.end) / (two.start - one.end)
            return [(lower[-1], one.count - 1, 1 - share), (upper[0], 0, share)]
        near = min(
            range(len(lattices)), key=lambda p: min(abs(place - lattices[p].start), abs(place - lattices[p].end))
        )
        one = lattices[near]
        assert min(abs(place - one.start), abs(place - one.end)) <= 2 * slack
        return [(near, 0 if place < one.start else one.count - 1, 1.0)]
    shares = _shares(place, covering, lattices, ct)
    result = []
    for piece, share in shares:
        one = lattices[piece]
        exact = np.clip((place - one.start) / one.step, 0, one.count - 1)
        nearest = round(float(exact))
        if abs(exact - nearest) < ALIGNED:
            result.append((piece, nearest, share))
            continue
        first = int(exact)
        part = float(exact) - first
        result += [(piece, first, share * (1 - part)), (piece, first + 1, share * part)]
    return result


def _shares(place: float, covering: Sequence[int], lattices: Sequence[Lattice], ct: bool) -> list[tuple[int, float]]:
    if len(covering) == 1:
        return [(covering[0], 1.0)]
    lower, upper = covering[0], covering[1]
    one, two = lattices[lower], lattices[upper]
    if ct:
        if abs(one.step - two.step) > SAME_SIZE * one.step:
            return [(lower if one.step < two.step else upper, 1.0)]
        return [(lower if place < (one.end + two.start) / 2 else upper, 1.0)]
    width = one.end - two.start
    share = 0.5 if width <= 0 else float(np.clip((place - two.start) / width, 0, 1))
    return [(p, s) for p, s in ((lower, 1 - share), (upper, share)) if s > 0]
