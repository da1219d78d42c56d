"""Planes and projections of a scan on square pixels, seen the way radiologists look at them.

Coronal pictures are seen from the front and axial ones from the feet, so the patient's right is on the left of the
picture; sagittal ones face left. Planes follow the axes of the CT's grid.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from calciflow.images import Volume

PointMap = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From CT points (n, 3) to PET points (n, 3), RAS mm."""

Box = tuple[slice, slice, slice]

AXES = {"axial": (1, 2), "coronal": (0, 2), "sagittal": (0, 1)}
"""Array axes (rows, columns) of each kind of plane; the third is the one looked along."""

LETTERS = {"axial": ("R", "L", "A", "P"), "coronal": ("R", "L", "S", "I"), "sagittal": ("A", "P", "S", "I")}
"""Directions at the left, right, top and bottom edge."""

_EVERY = 8
_BLOCK = 1_500_000
"""Points that are mapped at once: keeps the coordinates below 100 MB."""


@dataclass(frozen=True)
class Plane:
    """A plane of square pixels through a CT grid.

    Attributes
    ----------
    kind
        ``axial``, ``coronal`` or ``sagittal``.
    indices
        (rows, columns, 3): fractional array indices (z, y, x) of each pixel's centre in the CT's grid.
    pixel_mm
        Size of a pixel, mm.
    """

    kind: str
    indices: NDArray[np.float64]
    pixel_mm: float

    def sample(self, array: NDArray[np.generic], order: int = 1, outside: float = 0.0) -> NDArray[np.generic]:
        """Values of an array on the CT's grid at the pixels (order 0: nearest, 1: linear)."""
        coordinates = np.moveaxis(self.indices, -1, 0)
        dtype = np.float32 if order else array.dtype
        return map_coordinates(array, coordinates, output=dtype, order=order, mode="constant", cval=outside)


def plane(
    kind: str,
    shape: tuple[int, ...],
    spacing: tuple[float, float, float],
    level: float,
    pixel_mm: float,
    centre: tuple[float, float] | None = None,
    extent_mm: float | None = None,
) -> Plane:
    """Lay a plane through a grid.

    Parameters
    ----------
    kind
        ``axial``, ``coronal`` or ``sagittal``.
    shape, spacing
        Of the CT, array axes (z, y, x), mm.
    level
        Array index along the axis looked along.
    pixel_mm
        Size of a pixel, mm.
    centre, extent_mm
        Middle (array indices along rows and columns) and side of a square detail; without them the whole plane.
    """
    rows, columns = AXES[kind]
    depth = 3 - rows - columns
    grid = []
    for place, axis in enumerate((rows, columns)):
        length = shape[axis] * spacing[axis] if extent_mm is None else extent_mm
        middle = (shape[axis] - 1) / 2 if centre is None else centre[place]
        count = max(1, round(length / pixel_mm))
        # Indices fall along the picture: superior, anterior and the patient's right come first.
        offsets = ((count - 1) / 2 - np.arange(count)) * pixel_mm
        grid.append(middle + offsets / spacing[axis])
    indices = np.empty((len(grid[0]), len(grid[1]), 3))
    indices[..., depth] = level
    indices[..., rows] = grid[0][:, None]
    indices[..., columns] = grid[1][None, :]
    return Plane(kind, indices, pixel_mm)


def sample_pet(ct: Volume, pet: Volume, to_pet: PointMap, indices: NDArray[np.float64]) -> NDArray[np.float32]:
    """SUV at CT array indices (..., 3), linear; NaN outside the PET.

    Parameters
    ----------
    ct, pet
        The CT (only its affine is used) and the PET.
    to_pet
        Maps CT points to PET points, RAS mm.
    indices
        Fractional array indices (z, y, x) of the CT.
    """
    flat = indices.reshape(-1, 3)
    values = np.empty(len(flat), np.float32)
    for start in range(0, len(flat), _BLOCK):
        part = slice(start, start + _BLOCK)
        at = pet.index(to_pet(ct.world(flat[part])))
        values[part] = map_coordinates(pet.array, at.T, output=np.float32, order=1, mode="constant", cval=np.nan)
    return values.reshape(indices.shape[:-1])


def _between(nodes: NDArray[np.float64], places: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Node below each place, and the share of the next one; nodes and places rise, places lie within the nodes."""
    if len(nodes) == 1:
        return np.zeros(len(places), np.intp), np.zeros(len(places))
    below = np.clip(np.searchsorted(nodes, places, side="right") - 1, 0, len(nodes) - 2)
    return below, (places - nodes[below]) / (nodes[below + 1] - nodes[below])


def _stretch(values: NDArray[np.float64], axis: int, nodes: NDArray[np.float64], places: NDArray[np.float64]) -> Any:
    """Interpolate linearly along one axis."""
    below, share = _between(nodes, places)
    above = np.minimum(below + 1, len(nodes) - 1)
    shape = [1] * values.ndim
    shape[axis] = -1
    share = share.reshape(shape)
    return values.take(below, axis) * (1 - share) + values.take(above, axis) * share


def coarse_pet(ct: Volume, pet: Volume, to_pet: PointMap, step_mm: float) -> NDArray[np.float32]:
    """SUV on a grid of ``step_mm`` over the whole CT, array axes as the CT's; NaN outside the PET.

    The mapping is asked at every ``_EVERY``-th node only and taken as linear between: exact for a rigid one, and within
    0.1 mm for displacements that bend over centimetres. Ten times as fast as asking at each node.
    """
    axes = []
    for size, spacing in zip(ct.array.shape, ct.spacing, strict=True):
        count = max(1, round(size * spacing / step_mm))
        axes.append((size - 1) / 2 + (np.arange(count) - (count - 1) / 2) * step_mm / spacing)
    values = np.empty([len(axis) for axis in axes], np.float32)
    nodes = [np.unique(np.r_[axis[::_EVERY], axis[-1]]) for axis in axes]
    mesh = np.stack(np.meshgrid(*nodes, indexing="ij"), axis=-1)
    at = pet.index(to_pet(ct.world(mesh.reshape(-1, 3)))).reshape(mesh.shape)
    at = np.moveaxis(at, -1, 1)  # (nodes along z, 3, nodes along y, nodes along x)
    at = _stretch(_stretch(at, 2, nodes[1], axes[1]), 3, nodes[2], axes[2])
    below, share = _between(nodes[0], axes[0])
    for layer, (low, weight) in enumerate(zip(below, share, strict=True)):
        high = min(low + 1, len(at) - 1)
        place = at[low] * (1 - weight) + at[high] * weight
        values[layer] = map_coordinates(
            pet.array, place, output=np.float32, order=1, mode="constant", cval=np.nan, prefilter=False
        )
    return values


def body_box(tissues: NDArray[np.integer[Any]], lesions: NDArray[np.integer[Any]], margin: tuple[int, int, int]) -> Box:
    """Box around the body and all lesions, with a margin (voxels along each axis); everything if there is no body."""
    parts = []
    for axis, size in enumerate(tissues.shape):
        others = tuple(other for other in range(3) if other != axis)
        places = np.flatnonzero((tissues > 0).any(axis=others) | (lesions > 0).any(axis=others))
        first, last = (places[0], places[-1]) if len(places) else (0, size - 1)
        parts.append(slice(max(0, int(first) - margin[axis]), min(size, int(last) + 1 + margin[axis])))
    return parts[0], parts[1], parts[2]


def project(array: NDArray[np.generic], kind: str) -> NDArray[np.generic]:
    """Maximum along the view of a plane's kind, in the array's own pixels, first row on top; NaN is ignored."""
    rows, columns = AXES[kind]
    with np.errstate(invalid="ignore"):
        flat = np.fmax.reduce(array, axis=3 - rows - columns)
    return flat[::-1, ::-1]


def project_inside(
    array: NDArray[np.int16], inside: NDArray[np.generic], kinds: tuple[str, ...], floor: int
) -> dict[str, NDArray[np.int16]]:
    """Maximum projections over the voxels where ``inside`` is not 0, layer by layer; ``floor`` where there is none.

    Layers keep the memory to one slice; a masked copy of a whole CT would double it.
    """
    depth, height, width = array.shape
    found = {"coronal": np.full((depth, width), floor, np.int16), "sagittal": np.full((depth, height), floor, np.int16)}
    for layer in range(depth):
        masked = np.where(inside[layer] > 0, array[layer], np.int16(floor))
        if "coronal" in kinds:
            found["coronal"][layer] = masked.max(axis=0)
        if "sagittal" in kinds:
            found["sagittal"][layer] = masked.max(axis=1)
    return {kind: found[kind][::-1, ::-1] for kind in kinds}


def square(
    picture: NDArray[np.generic],
    spacing: tuple[float, float],
    pixel_mm: float,
    shape: tuple[int, ...] | None = None,
) -> NDArray[np.float32]:
    """Resample a picture with pixels of ``spacing`` (rows, columns; mm) to square ones, its middle staying in place.

    ``shape`` is the new picture's; by default what covers the old one. Beyond the old one's border its edge goes on.
    """
    counts = shape or tuple(max(1, round(n * step / pixel_mm)) for n, step in zip(picture.shape, spacing, strict=True))
    axes = [
        (size - 1) / 2 + (np.arange(count) - (count - 1) / 2) * pixel_mm / step
        for size, step, count in zip(picture.shape, spacing, counts, strict=True)
    ]
    mesh = np.stack(np.meshgrid(*axes, indexing="ij"))
    return map_coordinates(np.asarray(picture, np.float32), mesh, output=np.float32, order=1, mode="nearest")


def turntable(array: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """Maximum projections seen from all sides: (frames, rows, columns), first the anterior view.

    The body turns about its long axis. Nearest neighbours: one gather a frame serves all layers.
    """
    depth, height, width = array.shape
    side = int(np.ceil(np.hypot(height, width)))
    filled = np.nan_to_num(array, nan=0.0)
    padded = np.zeros((height * width + 1, depth), np.float32)  # the last line is "outside"
    padded[:-1] = filled.reshape(depth, -1).T
    offsets = np.arange(side) - (side - 1) / 2
    views = np.empty((frames, depth, side), np.float32)
    for frame in range(frames):
        angle = 2 * np.pi * frame / frames
        along, across = np.meshgrid(offsets, offsets, indexing="ij")
        y = np.floor(np.cos(angle) * along + np.sin(angle) * across + height / 2).astype(int)
        x = np.floor(-np.sin(angle) * along + np.cos(angle) * across + width / 2).astype(int)
        legal = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        places = np.where(legal, y * width + x, height * width)
        highest = np.zeros((side, depth), np.float32)
        for row in places:
            np.maximum(highest, padded[row], out=highest)
        views[frame] = highest.T[::-1, ::-1]
    return views
