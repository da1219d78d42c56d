"""Where deposits may lie in a host, and what each adds to its CT and PET.

Places and shapes are those of the phantom (`calciflow.phantom.deposits`): the host's tissue map stands in for the
phantom's body.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import edt
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from calciflow.images import Volume
from calciflow.implant.host import Host, Optics, straight_grid
from calciflow.implant.sharpness import SIGMA
from calciflow.labels import TISSUES
from calciflow.phantom.canvas import Canvas
from calciflow.phantom.deposits import Placed, PlacementError, Placer
from calciflow.phantom.physics import blur_resample, resampling_matrix
from calciflow.phantom.shapes import Array, Box, Grid
from calciflow.phantom.spec import DepositSpec

DENSE_HU = 130.0
"""What is that dense and no bone is the host's own calcium, metal or contrast: deposits keep away from it."""

OWN_MM = 8.0
"""Least distance from the middle of a deposit to the host's own dense spots, and from bone to what counts as its own
uptake."""

FAT_HU = (-190.0, -30.0)
LEAN_HU = (-29.0, 150.0)
"""CT values of fat and muscle (Aubrey et al. 2014, doi 10.1111/apha.12224)."""

_DARKEST_HU = -130.0
"""No soft tissue is darker than fat."""

_MEAN_SIGMA_MM = 2.0
_CAPSULE_MM = 3.0
"""What lies within this of a joint capsule is periarticular, as the default of `compartments.capsule_mm` has it."""

_PET_EDGE_MM = 10.0
_NEGLIGIBLE = 1e-4
"""Part of an implant's highest value below which it is cut off, so that the host stays untouched further out."""


@dataclass(frozen=True)
class Added:
    """What one deposit adds to an image, in a box (z, y, x) of it."""

    box: Box
    values: Array


def host_canvas(host: Host) -> Canvas:
    """The body of a host as a canvas: noise-free CT values, uptake, tissues, distances to skin and fascia.

    The canvas lies on the CT's grid, cut to ``host.box``.
    """
    ct = host.ct.crop(host.box)
    grid = straight_grid(ct)
    canvas = Canvas(grid)
    canvas.tissues = np.ascontiguousarray(host.tissues[host.box])
    canvas.regions = np.ascontiguousarray(host.regions[host.box])
    canvas.hu = _without_noise(ct.array, canvas.tissues, grid.spacing)
    canvas.suv = _on_grid(host.suv, ct)
    canvas.skin = _signed(canvas.tissues > 0, grid.spacing)
    outer = (0, TISSUES["skin"], TISSUES["subcutaneous_fat"])
    canvas.fascia = _signed(~np.isin(canvas.tissues, outer), grid.spacing)
    return canvas


def _signed(mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> Array:
    """Signed distance (mm) to a mask's border, negative inside; the border runs half-way between voxel centres."""
    half = np.float32(0.5 * float(np.mean(spacing[1:])))
    out = edt.edt(~mask, anisotropy=spacing, black_border=False, parallel=1)
    np.minimum(out, np.float32(1e3), out=out)
    inner = edt.edt(mask, anisotropy=spacing, black_border=False, parallel=1)
    np.minimum(inner, np.float32(1e3), out=inner)
    np.copyto(out, -inner, where=mask)
    out -= np.sign(out) * half
    return out


def _without_noise(hu: NDArray[np.int16], tissues: NDArray[np.uint8], spacing: tuple[float, float, float]) -> Array:
    """CT averaged in each slice over its own kind of tissue (fat, lean, bone, outside), 2 mm of sigma."""
    kinds = np.zeros(8, np.uint8)
    kinds[[TISSUES["skin"], TISSUES["subcutaneous_fat"]]] = 1
    kinds[[TISSUES["muscle"], TISSUES["viscera"], TISSUES["other"], TISSUES["lung"]]] = 2
    kinds[TISSUES["bone"]] = 3
    sigma = [_MEAN_SIGMA_MM / step for step in spacing[1:]]
    out = np.empty(hu.shape, np.float32)
    for k, plane in enumerate(hu):
        kind = kinds[np.minimum(tissues[k], 7)]
        for one in range(4):
            mask = kind == one
            if mask.any():
                weight = gaussian_filter(mask.astype(np.float32), sigma)
                total = gaussian_filter(np.where(mask, plane, 0).astype(np.float32), sigma)
                mean = total[mask] / np.maximum(weight[mask], 1e-6)
                # At the surface a voxel is partly air, which no deposit replaces.
                out[k][mask] = np.maximum(mean, _DARKEST_HU) if one else mean
    return out


def _on_grid(image: Volume, grid: Volume) -> Array:
    """An image's values at the voxels of another grid with parallel axes, linear between its own; 0 outside."""
    out = np.empty(grid.array.shape, np.float32)
    size = grid.array.shape
    first, last = image.index(grid.world(np.array([[0, 0, 0], [s - 1 for s in size]])))
    axes = [np.linspace(a, b, n) for a, b, n in zip(first, last, size, strict=True)]
    rows, columns = np.meshgrid(axes[1], axes[2], indexing="ij")
    for k, z in enumerate(axes[0]):
        out[k] = map_coordinates(image.array, [np.full(rows.shape, z), rows, columns], order=1, cval=0.0)
    return out


class Implanter(Placer):
    """Places deposits in a host where its tissue map is sure, and renders what the scanner would have made of them.

    Attributes
    ----------
    ct, pet
        For each deposit of ``placed``: what it adds to the CT (HU, on the canvas) and to the PET (SUV, on its grid),
        without noise; None where it adds nothing.
    """

    def __init__(self, host: Host, canvas: Canvas, seed: int, calcium: float, sure_mm: float = 3.0) -> None:
        super().__init__(canvas, seed, calcium)
        self.optics: Optics = host.optics
        self.pet_grid = straight_grid(host.suv)
        self.ct: list[Added | None] = []
        self.pet: list[Added | None] = []
        self.sure_mm = sure_mm
        self._fascia = canvas.fascia
        # The map's border is known to some mm only: within them a voxel is neither fat nor muscle.
        away = np.maximum(np.abs(canvas.fascia) - np.float32(sure_mm), np.float32(0.0))
        self._sure_fascia = np.sign(canvas.fascia) * away
        self._free = _undisturbed(canvas)
        self._joints = host.joints
        self._pending: tuple[Added | None, Added | None] = (None, None)

    def add(self, spec: DepositSpec) -> list[Placed]:
        """Place and render a deposit or a cluster; raises ``PlacementError`` where there is no room."""
        self.canvas.fascia = self._fascia if spec.compartment == "fascia" else self._sure_fascia
        try:
            return super().add(spec)
        finally:
            self.canvas.fascia = self._fascia

    def _host(self, spec: DepositSpec, box: Box, region: NDArray[np.bool_], bone: Array) -> NDArray[np.bool_]:
        host = super()._host(spec, box, region, bone) & self._free[box]
        hu, skin, fascia = self.canvas.hu[box], self.canvas.skin[box], self.canvas.fascia[box]
        if spec.compartment == "subcutaneous":
            host &= (fascia > 0) & (skin < -self.sure_mm) & (hu >= FAT_HU[0]) & (hu <= FAT_HU[1])
        elif spec.compartment in ("muscle", "periarticular"):
            host &= (fascia < 0) & (hu >= LEAN_HU[0]) & (hu <= LEAN_HU[1])
        if spec.compartment == "periarticular":
            host &= self._near_joint(box)
        elif spec.compartment in ("muscle", "fascia"):
            host &= ~self._near_joint(box)
        return host

    def _near_joint(self, box: Box) -> NDArray[np.bool_]:
        """Voxels within 3 mm of a joint's capsule (`calciflow.anatomy.joints`)."""
        x, y, z = self.canvas.grid.axes(box)
        out = np.zeros(tuple(part.stop - part.start for part in box), bool)
        for centre, radius in self._joints:
            away = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2
            out |= away < (radius + _CAPSULE_MM) ** 2
        return out

    def _neighbours(self, spec: DepositSpec, box: Box, inside: NDArray[np.bool_], bone: Array) -> list[str]:
        used, self.canvas.fascia = self.canvas.fascia, self._fascia
        try:
            return super()._neighbours(spec, box, inside, bone)
        finally:
            self.canvas.fascia = used

    def _in_view(self, world: NDArray[np.float64], margin: float) -> NDArray[np.bool_]:
        return super()._in_view(world, margin) & self.pet_grid.holds(world, _PET_EDGE_MM)

    def _average(self, spec: DepositSpec, cover: Array, box: Box, n: Sequence[int]) -> Array:
        calcium = spec.hu * self.calcium if spec.concordance.startswith("CT+") else None
        uptake = spec.suv if spec.concordance.endswith("PET+") else None
        ct = pet = None
        if calcium is not None:
            ct = self._seen_by_ct(cover * (np.float32(calcium) - _repeat(self.canvas.hu[box], n)), box, n)
        if uptake is not None:
            pet = self._seen_by_pet(cover * (np.float32(uptake) - _repeat(self.canvas.suv[box], n)), box, n)
        self._pending = (ct, pet)
        return super()._average(spec, cover, box, n)

    def _paint(
        self,
        spec: DepositSpec,
        centre: NDArray[np.float64],
        radius: float,
        room: float,
        bone: Array,
        region_box: Box,
        cluster: int,
    ) -> Placed:
        placed = super()._paint(spec, centre, radius, room, bone, region_box, cluster)
        ct, pet = self._pending
        self.ct.append(ct)
        self.pet.append(pet)
        return placed

    def _fine_grid(self, box: Box, n: Sequence[int]) -> Grid:
        """The grid ``n`` times finer than the canvas in a box of it."""
        g = self.canvas.grid
        steps = [s / m for s, m in zip(g.spacing, n, strict=True)]
        low = [
            o + (part.start - 0.5) * s + 0.5 * f
            for o, part, s, f in zip(g.origin[::-1], box, g.spacing, steps, strict=True)
        ]
        size = [(part.stop - part.start) * m for part, m in zip(box, n, strict=True)]
        return Grid((size[0], size[1], size[2]), (steps[0], steps[1], steps[2]), (low[2], low[1], low[0]))

    def _seen_by_ct(self, excess: Array, box: Box, n: Sequence[int]) -> Added:
        """Blur in the plane and over the slice, at the voxels' centres."""
        g, fine, optics = self.canvas.grid, self._fine_grid(box, n), self.optics
        sigma = optics.ct_fwhm_mm * SIGMA
        out = _widened(box, [optics.profile.reach_mm, 4 * sigma, 4 * sigma], g)
        z = g.origin[2] + g.spacing[0] * np.arange(out[0].start, out[0].stop)
        fine_z = fine.origin[2] + fine.spacing[0] * np.arange(fine.shape[0])
        along = (optics.profile.weights(z[:, None] - fine_z[None]) * fine.spacing[0]).astype(np.float32)
        planes = np.tensordot(along, excess, axes=(1, 0))
        for axis in (1, 2):
            start = g.origin[2 - axis] + g.spacing[axis] * out[axis].start
            matrix = resampling_matrix(
                fine.shape[axis],
                fine.spacing[axis],
                fine.origin[2 - axis],
                out[axis].stop - out[axis].start,
                g.spacing[axis],
                start,
                sigma,
            ).toarray()
            planes = np.moveaxis(np.tensordot(matrix, planes, axes=(1, axis)), 0, axis)
        return Added(out, _cut(planes.astype(np.float32)))

    def _seen_by_pet(self, excess: Array, box: Box, n: Sequence[int]) -> Added:
        """Blur with the PET's resolution, at its voxels' centres."""
        fine, pet, fwhm = self._fine_grid(box, n), self.pet_grid, self.optics.pet_fwhm_mm
        reach = 4 * fwhm * SIGMA
        low = np.array(fine.origin) - reach
        high = np.array(fine.origin) + (np.array(fine.shape)[::-1] - 1) * np.array(fine.spacing)[::-1] + reach
        out = pet.box(low, high)
        if out is None:
            raise PlacementError("a deposit lies outside the PET")
        start = np.array([part.start for part in out])[::-1]
        corner = np.array(pet.origin) + start * np.array(pet.spacing)[::-1]
        size = [part.stop - part.start for part in out]
        part = Grid((size[0], size[1], size[2]), pet.spacing, (float(corner[0]), float(corner[1]), float(corner[2])))
        return Added(out, _cut(blur_resample(excess, fine, part, fwhm)))


def _undisturbed(canvas: Canvas) -> NDArray[np.bool_]:
    """Where the host shows nothing of its own: no calcium, metal or contrast, no focal uptake away from bone."""
    spacing = canvas.grid.spacing
    bone = canvas.tissues == TISSUES["bone"]
    body = canvas.tissues > 0
    beside = edt.edt(~bone, anisotropy=spacing, black_border=False, parallel=1) if bone.any() else None
    own = (canvas.hu > DENSE_HU) & body & ~bone
    if beside is not None:
        own &= beside > 3.0  # what is nearer is the bone's blurred edge
    soft = np.isin(canvas.tissues, (TISSUES["muscle"], TISSUES["subcutaneous_fat"]))
    if soft.any():
        hot = (canvas.suv > 3 * max(float(np.median(canvas.suv[soft])), 0.3)) & body
        own |= hot if beside is None else hot & (beside > OWN_MM)
    if not own.any():
        return body
    free: NDArray[np.bool_] = edt.edt(~own, anisotropy=spacing, black_border=False, parallel=1) > OWN_MM
    return free & body


def _repeat(values: Array, n: Sequence[int]) -> Array:
    """Values of voxels at the points of a grid ``n`` times finer."""
    for axis, m in enumerate(n):
        values = np.repeat(values, m, axis=axis)
    return values


def _widened(box: Box, reach_mm: Sequence[float], grid: Grid) -> Box:
    z, y, x = (
        slice(max(0, part.start - pad), min(size, part.stop + pad))
        for part, size, pad in zip(
            box,
            grid.shape,
            [int(np.ceil(r / s)) for r, s in zip(reach_mm, grid.spacing, strict=True)],
            strict=True,
        )
    )
    return z, y, x


def _cut(values: Array) -> Array:
    """Values with their negligible tail set to 0."""
    return np.where(np.abs(values) < _NEGLIGIBLE * np.abs(values).max(), np.float32(0), values)


def total(added: Sequence[Added | None], shape: tuple[int, ...]) -> Array:
    """All that is added, on the whole grid."""
    out = np.zeros(shape, np.float32)
    for item in added:
        if item is not None:
            out[item.box] += item.values
    return out
