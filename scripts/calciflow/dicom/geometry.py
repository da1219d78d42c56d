"""Where slices lie: order, gaps, duplicates, shear, and the canonical axes of the volume they make.

All of it follows from Image Position (0020,0032), Image Orientation (0020,0037) and Pixel Spacing (0028,0030);
Slice Location, Instance Number and Patient Position are vendors' notes and are not used
(DICOM PS3.3 C.7.6.2.1.1).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calciflow.errors import Refusal

UNIT_TOLERANCE = 1e-3
"""Direction cosines are written with 6 or more digits; some writers give 3 or 4."""
SAME_PLACE_MM = 0.01
"""Slices closer than this are one slice twice (positions are written in hundredths of a mm or finer)."""
SHEAR_DEGREES = 0.1
"""An angle between normal and step beyond this is a tilt; below it, rounding (1 m of body: 1.7 mm)."""
JITTER = 0.1
"""Fraction of the increment by which a gap may differ from the median, and a slice from its place on the regular grid.
Bed borders of GE scanners differ by 3 % (`3.19, 3.27, 3.29 mm`); half an increment would be a wrong slice. Ours."""
JITTER_MM = 0.02
"""The same for thin slices, whose positions are rounded."""
MINIMUM_SLICES = 3
"""Fewer are no volume: scouts, monitoring and single images. Ours."""
MISSING_FRACTION = 0.2
"""When more than this part of the gaps is too wide, the increment itself varies. Ours."""

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Grid:
    """A regular grid, and where each slice goes on it.

    Attributes
    ----------
    slots
        For each place along the slice axis, in the canonical direction, the indices of the slices given (more than
        one: duplicates).
    affine
        4 x 4, canonical voxel indices (x, y, z) to RAS mm.
    shape
        Canonical array shape (z, y, x).
    slice_axis
        Axis of ``shape`` along which the slices lie: 0 for axial slices.
    axes
        For the slice array (slice, row, column): the canonical array axis that each becomes.
    flips
        For the same: whether it runs against the canonical axis. The slice axis never does (``slots`` is in order).
    increment
        Mean distance of neighbouring slices, mm.
    jitter
        Largest distance of a slice from its place on the grid, mm.
    """

    slots: tuple[tuple[int, ...], ...]
    affine: NDArray[np.float64]
    shape: tuple[int, int, int]
    slice_axis: int
    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    increment: float
    jitter: float

    def slices_of(self, array: NDArray[Any]) -> NDArray[Any]:
        """View of a canonical array as (slice, row, column), to be filled slice by slice as they come."""
        view = array.transpose(self.axes)
        return view[tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flips)]


def directions(orientation: Sequence[float]) -> NDArray[np.float64]:
    """Unit vectors along a row, along a column, and their normal: rows of a 3 x 3 array (LPS).

    Raises
    ------
    Refusal
        ``geometry`` if the six numbers are no two perpendicular unit vectors.
    """
    row, column = np.array(orientation[:3], float), np.array(orientation[3:], float)
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if any(abs(length - 1) > 10 * UNIT_TOLERANCE for length in lengths) or abs(row @ column) > UNIT_TOLERANCE:
        raise Refusal(
            "geometry",
            "Image Orientation (0020,0037) is no pair of perpendicular directions: send the original series.",
        )
    row = row / lengths[0]
    column = column - (column @ row) * row
    column /= np.linalg.norm(column)
    return np.array([row, column, np.cross(row, column)])


def _clusters(distances: NDArray[np.float64]) -> list[list[int]]:
    order = np.argsort(distances, kind="stable")
    clusters: list[list[int]] = []
    last = -np.inf
    for index in order:
        if distances[index] - last > SAME_PLACE_MM:
            clusters.append([])
            last = distances[index]
        clusters[-1].append(int(index))
    return clusters


def _check_gaps(places: NDArray[np.float64], along: str) -> None:
    gaps = np.diff(places)
    middle = float(np.median(gaps))
    wide = gaps > 1.5 * middle
    even = np.abs(gaps - middle) <= max(JITTER * middle, JITTER_MM)
    if wide.any() and wide.sum() <= max(1, MISSING_FRACTION * len(gaps)) and even[~wide].all():
        first = int(np.flatnonzero(wide)[0])
        count = int(np.sum(np.round(gaps[wide] / middle)) - wide.sum())
        raise Refusal(
            "missing_slice",
            f"{max(count, 1)} slice(s) missing, the first between {along} = {places[first]:.2f} and "
            f"{places[first + 1]:.2f} mm, where the increment is {middle:.2f} mm: send the series again.",
        )
    if not even.all():
        raise Refusal(
            "geometry",
            f"The slice increment varies between {gaps.min():.2f} and {gaps.max():.2f} mm: send a series with one "
            "increment.",
        )


def build_grid(
    positions: Sequence[Sequence[float]],
    orientation: Sequence[float],
    spacing: Sequence[float],
    rows: int,
    columns: int,
) -> Grid:
    """Find the regular grid of a stack of slices.

    Parameters
    ----------
    positions
        Image Position of each slice, (n, 3), mm, LPS.
    orientation
        Image Orientation that they share.
    spacing
        Pixel Spacing: distance of rows, distance of columns, mm.
    rows, columns
        Matrix size.

    Raises
    ------
    Refusal
        ``missing_slice``, ``gantry_tilt`` or ``geometry``.
    """
    if not all(0.01 < value < 100 for value in spacing):
        raise Refusal("geometry", "Pixel Spacing (0028,0030) is absurd: send the original series.")
    points = np.asarray(positions, float)
    if np.abs(points).max() > 1e5:
        raise Refusal("geometry", "Image Position (0020,0032) is absurd (over 100 m): send the original series.")
    row, column, normal = directions(orientation)
    # The direction along the slices in which the canonical axis grows.
    slice_world = int(np.argmax(np.abs(normal)))
    ras_sign = LPS_TO_RAS[slice_world, slice_world] * np.sign(normal[slice_world])
    upward = normal * ras_sign
    distances = points @ upward
    clusters = _clusters(distances)
    if len(clusters) < MINIMUM_SLICES:
        raise Refusal("geometry", f"{len(clusters)} slice position(s) are no volume: send the whole series.")
    firsts = points[[cluster[0] for cluster in clusters]]
    places = distances[[cluster[0] for cluster in clusters]]
    for cluster in clusters:
        if np.ptp(points[cluster], axis=0).max() > 10 * SAME_PLACE_MM:
            raise Refusal("geometry", "Slices lie side by side in one plane: send each volume as a series of its own.")
    step = firsts[-1] - firsts[0]
    step /= np.linalg.norm(step)
    angle = np.degrees(np.arccos(np.clip(step @ upward, -1, 1)))
    if angle > SHEAR_DEGREES:
        straight = np.linalg.norm(np.cross(firsts - firsts[0], step), axis=1).max() < 0.5
        if straight:
            raise Refusal(
                "gantry_tilt",
                f"The slices are sheared by {angle:.1f} degrees (gantry tilt): send a reconstruction without tilt.",
            )
        raise Refusal("geometry", "The slices do not lie above one another: send each volume as a series of its own.")
    places = (firsts - firsts[0]) @ step
    name = "xyz"[slice_world]
    _check_gaps(firsts[:, slice_world] if normal_is_axis(upward) else distances[[c[0] for c in clusters]], name)
    sideways = np.linalg.norm(firsts - firsts[0] - places[:, None] * step, axis=1).max()
    if sideways > max(0.1, 0.1 * min(spacing)):
        raise Refusal("geometry", f"Slices are shifted sideways by up to {sideways:.1f} mm: send the original series.")
    increment = float(places[-1] / (len(places) - 1))
    jitter = float(np.abs(places - increment * np.arange(len(places))).max())
    if jitter > max(2 * JITTER * increment, JITTER_MM):
        raise Refusal(
            "geometry", f"Slices lie up to {jitter:.2f} mm off a regular grid: send a series with one increment."
        )
    # Orthonormal, with the slices exactly in their places: the step rules, rounding goes into the rows.
    row = row - (row @ step) * step
    row /= np.linalg.norm(row)
    column = np.cross(step, row) * np.sign(np.cross(step, row) @ column)
    lps = np.eye(4)
    # Columns of the matrix: slice index, row index, column index.
    lps[:3, 0] = step * increment
    lps[:3, 1] = column * spacing[0]
    lps[:3, 2] = row * spacing[1]
    lps[:3, 3] = firsts[0]
    affine, axes, flips, shape = canonical(LPS_TO_RAS @ lps, (len(clusters), rows, columns))
    return Grid(tuple(tuple(cluster) for cluster in clusters), affine, shape, axes[0], axes, flips, increment, jitter)


def normal_is_axis(normal: NDArray[np.float64]) -> bool:
    """Whether a direction runs along a patient axis, so that positions can be named by one coordinate."""
    return bool(np.abs(normal).max() > 1 - 1e-6)


def canonical(
    affine: NDArray[np.float64], shape: tuple[int, int, int]
) -> tuple[NDArray[np.float64], tuple[int, int, int], tuple[bool, bool, bool], tuple[int, int, int]]:
    """Reorder and flip the axes of a slice array so that it lies closest to RAS, without resampling.

    Parameters
    ----------
    affine
        4 x 4, (slice, row, column) indices to RAS mm, orthogonal columns.
    shape
        (slices, rows, columns).

    Returns
    -------
    affine, axes, flips, shape
        As in :class:`Grid`.
    """
    size = np.linalg.norm(affine[:3, :3], axis=0)
    cosines = affine[:3, :3] / size
    # The assignment of axes to x, y, z with the largest sum of cosines; six candidates.
    permutations = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
    best = max(permutations, key=lambda p: sum(abs(cosines[p[i], i]) for i in range(3)))
    result = np.eye(4)
    result[:3, 3] = affine[:3, 3]
    flips = []
    new_shape = [0, 0, 0]
    axes = []
    for old in range(3):
        world = best[old]
        flip = cosines[world, old] < 0
        direction = affine[:3, old]
        if flip:
            result[:3, 3] += direction * (shape[old] - 1)
            direction = -direction
        result[:3, world] = direction
        axis = 2 - world  # array axes run z, y, x
        axes.append(axis)
        flips.append(bool(flip))
        new_shape[axis] = shape[old]
    result += 0.0  # no negative zeros in files
    return (
        result,
        (axes[0], axes[1], axes[2]),
        (flips[0], flips[1], flips[2]),
        (new_shape[0], new_shape[1], new_shape[2]),
    )
