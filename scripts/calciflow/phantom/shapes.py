"""Implicit shapes, given by their signed distance in mm, and their rasterisation inside their own boxes.

Distances are negative inside. Coordinates are RAS mm: x to the patient's right, y to the front, z to the head. They
come as arrays that broadcast against each other, so that a shape pays for full arrays only where its axes are oblique.
Exact distances of round cones and triangles follow Quilez, "Distance functions"
(iquilezles.org/articles/distfunctions); ellipsoids and lofts use the first-order distance f (f - 1) / |grad f|,
which is right near the surface.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

Array = NDArray[np.float32]
Box = tuple[slice, slice, slice]
Widths = float | NDArray[np.float64]

FAR = np.float32(1000.0)
"""Distance in mm that stands for 'nowhere near'."""

_LUT_STEP = 0.5
"""Step in mm at which a loft's profile is tabulated; profiles change by less than 0.3 mm over it."""


@dataclass(frozen=True)
class Grid:
    """An axis-aligned voxel grid.

    Attributes
    ----------
    shape
        Number of voxels along (z, y, x).
    spacing
        Voxel size in mm along (z, y, x).
    origin
        RAS mm (x, y, z) of the first voxel's centre.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]

    @property
    def affine(self) -> NDArray[np.float64]:
        """4 x 4, (x, y, z) voxel indices to RAS mm."""
        affine = np.diag([self.spacing[2], self.spacing[1], self.spacing[0], 1.0])
        affine[:3, 3] = self.origin
        return affine

    def axes(self, box: Box | None = None) -> tuple[Array, Array, Array]:
        """Coordinates x, y, z of a box, shaped to broadcast to (z, y, x)."""
        out = []
        for axis in (2, 1, 0):
            part = slice(None) if box is None else box[axis]
            start, stop, _ = part.indices(self.shape[axis])
            values = self.origin[2 - axis] + self.spacing[axis] * np.arange(start, stop)
            shape = [1, 1, 1]
            shape[axis] = -1
            out.append(values.astype(np.float32).reshape(shape))
        return out[0], out[1], out[2]

    def box(self, low: ArrayLike, high: ArrayLike) -> Box | None:
        """Voxels between two corners in mm, or None if the grid has none there."""
        low, high = np.asarray(low, float), np.asarray(high, float)
        parts = []
        for axis in (0, 1, 2):
            step, origin = self.spacing[axis], self.origin[2 - axis]
            start = max(0, int(np.ceil((low[2 - axis] - origin) / step)))
            stop = min(self.shape[axis], int(np.floor((high[2 - axis] - origin) / step)) + 1)
            if stop <= start:
                return None
            parts.append(slice(start, stop))
        return parts[0], parts[1], parts[2]

    def holds(self, world: NDArray[np.float64], margin_mm: float) -> NDArray[np.bool_]:
        """Which RAS points (n, 3) lie that far within the outermost voxel centres."""
        low = np.array(self.origin) + margin_mm
        high = np.array(self.origin) + (np.array(self.shape)[::-1] - 1) * np.array(self.spacing)[::-1] - margin_mm
        return ((world > low) & (world < high)).all(axis=1)


@dataclass(frozen=True)
class Frame:
    """A local system: ``origin`` and unit axes u (across), v (towards the front), w (along), as rows of ``axes``."""

    origin: NDArray[np.float64]
    axes: NDArray[np.float64]

    @staticmethod
    def along(start: ArrayLike, end: ArrayLike, front: ArrayLike, mirror: bool = False) -> "Frame":
        """Frame at ``start`` whose w axis looks at ``end``; v is ``front`` made perpendicular to it.

        u completes the system: it points to the patient's right for a limb that hangs down and faces forward, and with
        ``mirror`` (left limbs) to the left, so that u is always lateral.
        """
        start, end = np.asarray(start, float), np.asarray(end, float)
        w = (end - start) / np.linalg.norm(end - start)
        v = np.asarray(front, float) - np.dot(front, w) * w
        v = v / np.linalg.norm(v)
        u = np.cross(w, v)  # down x front = right, in a right-handed system
        return Frame(start, np.stack([-u if mirror else u, v, w]))

    def local(self, x: Array, y: Array, z: Array) -> tuple[Array, Array, Array]:
        """Local coordinates (u, v, w); zero coefficients leave the broadcasting shape small."""
        out = []
        for axis in self.axes:
            total: Any = np.float32(-np.dot(axis, self.origin))
            for coefficient, values in zip(axis, (x, y, z), strict=True):
                if abs(coefficient) > 1e-9:
                    total = total + np.float32(coefficient) * values
            out.append(total)
        return out[0], out[1], out[2]

    def point(self, u: float, v: float, w: float) -> NDArray[np.float64]:
        """RAS mm of a local point."""
        return self.origin + np.array([u, v, w], float) @ self.axes


class Shape(Protocol):
    """Anything with a box and a signed distance."""

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Corners in mm of a box that holds the shape."""
        ...

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance in mm at broadcast coordinates."""
        ...


@dataclass(frozen=True)
class Cone:
    """A round cone: a segment from ``a`` to ``b`` whose radius goes from ``ra`` to ``rb``."""

    a: NDArray[np.float64]
    b: NDArray[np.float64]
    ra: float
    rb: float

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Corners in mm of the shape's box."""
        r = max(self.ra, self.rb)
        return np.minimum(self.a, self.b) - r, np.maximum(self.a, self.b) + r

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance in mm."""
        ab = self.b - self.a
        length2 = float(ab @ ab)
        dx, dy, dz = x - np.float32(self.a[0]), y - np.float32(self.a[1]), z - np.float32(self.a[2])
        if length2 < 1e-12:
            return np.sqrt(dx * dx + dy * dy + dz * dz) - np.float32(self.ra)
        k = (ab / length2).astype(np.float32)
        t = np.clip(dx * k[0] + dy * k[1] + dz * k[2], 0, 1)
        a = ab.astype(np.float32)
        dx, dy, dz = dx - t * a[0], dy - t * a[1], dz - t * a[2]
        return np.sqrt(dx * dx + dy * dy + dz * dz) - (np.float32(self.ra) + t * np.float32(self.rb - self.ra))


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid with half-axes ``radii`` along its frame's u, v, w (by default x, y, z)."""

    centre: NDArray[np.float64]
    radii: NDArray[np.float64]
    frame: Frame | None = None

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Corners in mm of the shape's box."""
        if self.frame is None:
            half = np.asarray(self.radii, float)
        else:
            half = np.sqrt(((self.frame.axes * np.asarray(self.radii)[:, None]) ** 2).sum(axis=0))
        return self.centre - half, self.centre + half

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """First-order signed distance in mm."""
        if self.frame is None:
            u, v, w = (c - np.float32(o) for c, o in zip((x, y, z), self.centre, strict=True))
        else:
            u, v, w = Frame(self.centre, self.frame.axes).local(x, y, z)
        a, b, c = (np.float32(1 / r) for r in self.radii)
        u, v, w = u * a, v * b, w * c
        k0 = np.sqrt(u * u + v * v + w * w)
        u, v, w = u * a, v * b, w * c
        k1 = np.sqrt(u * u + v * v + w * w)
        k1 += np.float32(1e-6)
        return np.maximum(k0 * (k0 - 1) / k1, np.float32(-min(self.radii)))


@dataclass(frozen=True)
class Triangle:
    """A triangular plate with rounded rim: all points within ``radius`` of the triangle a, b, c."""

    a: NDArray[np.float64]
    b: NDArray[np.float64]
    c: NDArray[np.float64]
    radius: float

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Corners in mm of the shape's box."""
        points = np.stack([self.a, self.b, self.c])
        return points.min(axis=0) - self.radius, points.max(axis=0) + self.radius

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance in mm."""
        corners = [np.asarray(p, float) for p in (self.a, self.b, self.c)]
        normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
        normal /= np.linalg.norm(normal)
        edge2: Any = None
        inside: Any = True
        for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
            e = end - start
            d = [c - np.float32(o) for c, o in zip((x, y, z), start, strict=True)]
            t = np.clip(sum(di * np.float32(ei) for di, ei in zip(d, e, strict=True)) / np.float32(e @ e), 0, 1)
            q = [di - t * np.float32(ei) for di, ei in zip(d, e, strict=True)]
            squared = q[0] * q[0] + q[1] * q[1] + q[2] * q[2]
            edge2 = squared if edge2 is None else np.minimum(edge2, squared)
            inward = np.cross(normal, e).astype(np.float32)
            inside = inside & (d[0] * inward[0] + d[1] * inward[1] + d[2] * inward[2] > 0)
        n = normal.astype(np.float32)
        d = [c - np.float32(o) for c, o in zip((x, y, z), corners[0], strict=True)]
        plane = np.abs(d[0] * n[0] + d[1] * n[1] + d[2] * n[2])
        return np.where(inside, plane, np.sqrt(edge2)) - np.float32(self.radius)


@dataclass(frozen=True)
class Loft:
    """Elliptical cross-sections along a frame's w axis.

    Attributes
    ----------
    profile
        Shape (k, 7): w, then per knot the centre's u and v and the half-widths towards +u, -u, +v, -v (mm), joined by
        monotone cubics.
    power
        Above 2 the sections are squarer (superellipses).
    """

    frame: Frame
    profile: NDArray[np.float64]
    power: float = 2.0

    @cached_property
    def table(self) -> tuple[float, NDArray[np.float32]]:
        """First w and the profile (6, n) every ``_LUT_STEP`` mm."""
        w = np.arange(self.profile[0, 0], self.profile[-1, 0] + _LUT_STEP, _LUT_STEP)
        values = PchipInterpolator(self.profile[:, 0], self.profile[:, 1:])(np.minimum(w, self.profile[-1, 0]))
        return float(w[0]), np.ascontiguousarray(values.T, np.float32)

    def at(self, w: Array) -> list[Array]:
        """Centre and half-widths at w (held constant beyond the ends): u, v, +u, -u, +v, -v."""
        first, table = self.table
        index = np.clip((w - np.float32(first)) * np.float32(1 / _LUT_STEP) + np.float32(0.5), 0, table.shape[1] - 1)
        index = index.astype(np.int32)
        return [row[index] for row in table]

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Corners in mm of the shape's box."""
        p = self.profile
        corners = []
        for w, cu, cv, ap, an, bp, bn in p:
            for du in (ap, -an):
                for dv in (bp, -bn):
                    corners.append(self.frame.point(cu + du, cv + dv, w))
        stack = np.stack(corners)
        return stack.min(axis=0), stack.max(axis=0)

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """First-order signed distance in mm, with flat ends."""
        u, v, w = self.frame.local(x, y, z)
        cu, cv, ap, an, bp, bn = self.at(w)
        u, v = u - cu, v - cv
        a = np.where(u > 0, 1 / ap, 1 / an)
        b = np.where(v > 0, 1 / bp, 1 / bn)
        u, v = u * a, v * b
        if self.power == 2.0:
            k0 = np.sqrt(u * u + v * v)
            u, v = u * a, v * b
            k1 = np.sqrt(u * u + v * v)
        else:
            u, v = np.abs(u), np.abs(v)
            less = np.float32(self.power - 1)
            up, vp = u**less, v**less
            k0 = (u * up + v * vp) ** np.float32(1 / self.power)
            u, v = up * a, vp * b
            k1 = np.sqrt(u * u + v * v) * np.maximum(k0, np.float32(1e-3)) ** np.float32(2 - self.power)
        k1 = k1 + np.float32(1e-6)
        side = np.maximum(k0 * (k0 - 1) / k1, -np.minimum(np.minimum(ap, an), np.minimum(bp, bn)))
        end = np.maximum(np.float32(self.profile[0, 0]) - w, w - np.float32(self.profile[-1, 0]))
        outside = np.maximum(end, 0)
        out = np.maximum(side, 0)
        rounded = np.sqrt(out * out + outside * outside)
        return np.where(end > 0, rounded, np.maximum(side, end)).astype(np.float32)

    def widened(self, sides: Widths, front: Widths, back: Widths, ends: float = 0.0) -> "Loft":
        """The loft with half-widths enlarged (mm, scalars or one value a knot) and both ends moved out."""
        p = self.profile.copy()
        p[:, 3] += sides
        p[:, 4] += sides
        p[:, 5] += front
        p[:, 6] += back
        p[:, 3:] = np.maximum(p[:, 3:], 0.5)
        p[0, 0] -= ends
        p[-1, 0] += ends
        return Loft(self.frame, p, self.power)


@dataclass(frozen=True)
class Union:
    """Several shapes as one; ``blend`` mm of smoothing where they meet (Quilez' quadratic smooth minimum)."""

    shapes: tuple[Shape, ...]
    blend: float = 0.0

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Corners in mm of the union's box."""
        boxes = [shape.bounds() for shape in self.shapes]
        return np.min([low for low, _ in boxes], axis=0), np.max([high for _, high in boxes], axis=0)

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance in mm."""
        total: Any = None
        for shape in self.shapes:
            d = shape.distance(x, y, z)
            total = d if total is None else smooth_minimum(total, d, self.blend)
        return total


def smooth_minimum(a: Any, b: Any, k: float) -> Any:
    """Minimum of two distances, rounded over ``k`` mm where they are nearly equal; at most k/4 below the minimum."""
    if k <= 0:
        return np.minimum(a, b)
    h = np.maximum(np.float32(k) - np.abs(a - b), 0)
    return np.minimum(a, b) - h * h * np.float32(0.25 / k)


def tube(points: ArrayLike, radii: ArrayLike) -> Union:
    """Round cones through ``points`` (n, 3) mm with ``radii`` (n or one) mm."""
    points = np.asarray(points, float)
    radii = np.broadcast_to(np.asarray(radii, float), len(points))
    pairs = zip(points[:-1], points[1:], radii[:-1], radii[1:], strict=True)
    return Union(tuple(Cone(a, b, float(ra), float(rb)) for a, b, ra, rb in pairs))


def field(shape: Shape, grid: Grid, margin: float) -> tuple[Box, Array] | None:
    """Signed distance on the grid's voxels within ``margin`` mm of the shape's box; None if it is out of view.

    Unions are rasterised child by child in the children's own boxes; elsewhere the distance is ``FAR``.
    """
    low, high = shape.bounds()
    box = grid.box(low - margin, high + margin)
    if box is None:
        return None
    size = tuple(part.stop - part.start for part in box)
    if isinstance(shape, Union) and len(shape.shapes) > 1:
        values = np.full(size, FAR, np.float32)
        for child in shape.shapes:
            got = field(child, grid, margin + shape.blend)
            if got is None:
                continue
            inner = tuple(
                slice(max(p.start, q.start) - p.start, min(p.stop, q.stop) - p.start)
                for p, q in zip(box, got[0], strict=True)
            )
            if any(part.stop <= part.start for part in inner):
                continue
            cut = tuple(
                slice(i.start + p.start - q.start, i.stop + p.start - q.start)
                for i, p, q in zip(inner, box, got[0], strict=True)
            )
            values[inner] = smooth_minimum(values[inner], got[1][cut], shape.blend)
        return box, values
    x, y, z = grid.axes(box)
    return box, np.broadcast_to(shape.distance(x, y, z), size).astype(np.float32, copy=False)


def points(*rows: Sequence[float]) -> NDArray[np.float64]:
    """An (n, 3) array of points in mm."""
    return np.asarray(rows, float)
