"""Calcium deposits: where anatomy lets them lie, their shapes, and the truth about each.

A deposit is placed in voxels of its region, side and compartment, clear of bone, of the surface and of other deposits.
It is rasterised on a grid several times finer than the CT's, cut to its compartment by the body's own distance
fields, and scaled until it has the volume that was asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import edt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calciflow.labels import COMPARTMENTS, TISSUES, region_label, region_of
from calciflow.phantom.body import SKIN_MM
from calciflow.phantom.canvas import Canvas
from calciflow.phantom.deposit_forms import form_of, half_length, limits_of
from calciflow.phantom.shapes import Array, Box
from calciflow.phantom.sites import Sites
from calciflow.phantom.spec import DepositSpec

_FINE_MM = 0.6
"""Largest step of the fine grid: a 0.02 ml nodule (3.4 mm across) then has over 90 points."""

_EDGE_MM = 0.8
"""Width of a deposit's soft edge."""

_APART_MM = 7.0
"""Least gap between deposits, so that each stays an object of its own on PET (FWHM 5 to 8 mm) and CT."""

_CLUSTER_APART_MM = 2.5
"""Least gap within a cluster: nodules lie close together, and CT or PET may see several as one."""

_CONTACT_MM = 0.3
"""Gap up to which a deposit that is asked to touch bone or skin does so."""

_CLEAR_MM = 2.0
"""A deposit whose voxels lie this far from another compartment belongs to its own without doubt."""

_CAPSULE_MM = 7.0
"""A joint's capsule lies within this of its bones."""

DEPOSIT_COLUMNS = (
    "label cluster form compartment neighbours site region side concordance x_mm y_mm z_mm volume_ml hu suv hu_mean "
    "distance_to_bone_mm distance_to_skin_mm hu_background hu_visible contrast_to_noise suv_background suv_visible "
    "suv_peak_visible pet_contrast_to_noise bone_share ct_visible pet_visible"
).split()
"""Columns of the deposit table.

``neighbours``: other compartments within 2 mm, with commas (none: the deposit lies clear of them); ``site``:
``fingertip``, ``tendon``, ``carpal_tunnel`` or nothing; ``hu``, ``suv``: true CT value in the core and true uptake;
``hu_mean``: mean over the deposit of the true CT value on
the CT grid; ``hu_background``: the same of the tissue that it replaced; ``hu_visible``: highest value in it on a
noise-free CT; ``contrast_to_noise``: (hu_visible - hu_background) / noise; ``suv_visible``: highest value within half
the PET's FWHM on a noise-free PET; ``suv_background``: what this would be there without the deposit (spill from bone
included); ``suv_peak_visible``: highest mean of a sphere of 1 ml with its centre there, noise-free;
``pet_contrast_to_noise``: (suv_visible - suv_background) / noise of a voxel at that background; ``bone_share``: share
of ``suv_visible`` that is blurred uptake of bone. ``ct_visible``: ``hu_visible`` is 130 HU or more; ``pet_visible``:
``pet_contrast_to_noise`` is 5 or more (Rose's criterion) and ``bone_share`` below a half. A deposit that is not
visible is hidden by physics: whoever misses it cannot be blamed.
"""


@dataclass
class Placed:
    """A deposit on the CT grid: the part of each voxel it fills, what it added to uptake, its row of the truth."""

    label: int
    spec: DepositSpec
    box: Box
    cover: Array
    row: dict[str, Any]
    added_suv: Array


class PlacementError(Exception):
    """No place satisfies a deposit's wishes."""


def draw_volume(
    rng: np.random.Generator, median_ml: float, log_sd: float, low: float = 0.02, high: float = 60.0
) -> float:
    """A log-normal volume (ml), clipped: sizes of calcinosis are very skewed (doi 10.1016/j.semarthrit.2019.03.001)."""
    return float(np.clip(median_ml * np.exp(rng.normal(0, log_sd)), low, high))


_MOSTLY = 0.7
"""Of a compact deposit of a few voxels, those filled by half make 0.8 of the volume and more."""


class Placer:
    """Finds places for deposits in a painted canvas and paints them."""

    def __init__(
        self,
        canvas: Canvas,
        seed: int,
        calcium: float = 1.0,
        sites: Sites | None = None,
        avoid: NDArray[np.bool_] | None = None,
    ) -> None:
        self.canvas, self.avoid = canvas, avoid
        self.sites = sites
        self.calcium = calcium
        self.rng = np.random.default_rng([seed, 3])
        self.placed: list[Placed] = []
        self._centres: list[tuple[NDArray[np.float64], float, int]] = []
        self._cache: dict[int, tuple[Box, NDArray[np.bool_], Array, Array]] = {}

    def _region(self, label: int) -> tuple[Box, NDArray[np.bool_], Array, Array]:
        """Box around a region, its mask, and there the distances (mm) to bone and to the region's border."""
        if label not in self._cache:
            c = self.canvas
            found = [np.flatnonzero((c.regions == label).any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
            if not len(found[0]):
                raise PlacementError(f"{' '.join(region_of(label)[::-1])} is not in view")
            pad = [int(np.ceil(12 / step)) for step in c.grid.spacing]
            z, y, x = (
                slice(max(0, int(at[0]) - p), min(size, int(at[-1]) + 1 + p))
                for at, p, size in zip(found, pad, c.grid.shape, strict=True)
            )
            box = (z, y, x)
            bone = c.tissues[box] == TISSUES["bone"]
            away = edt.edt(~bone, anisotropy=c.grid.spacing, black_border=False, parallel=1)
            region = c.regions[box] == label
            # Skin and the end of the field of view are no borders of a region: only other regions are.
            others = (c.regions[box] > 0) & ~region
            inner = np.minimum(edt.edt(~others, anisotropy=c.grid.spacing, black_border=False, parallel=1), 1e3)
            self._cache = {label: (box, region, np.minimum(away, 1e3).astype(np.float32), inner)}
        return self._cache[label]

    def _host(self, spec: DepositSpec, box: Box, region: NDArray[np.bool_], bone: Array) -> NDArray[np.bool_]:
        c = self.canvas
        tissue = c.tissues[box]
        if spec.compartment == "fascia":
            near = np.abs(c.fascia[box]) < c.voxel
            host = near & np.isin(tissue, (TISSUES["subcutaneous_fat"], TISSUES["muscle"]))
        elif spec.compartment == "periarticular":
            host = (bone < _CAPSULE_MM) & (tissue == TISSUES["muscle"])
            if self.sites is not None:
                host &= self.sites.near_joint(c, box)
        else:
            name = {"subcutaneous": "subcutaneous_fat", "other": "viscera"}.get(spec.compartment, spec.compartment)
            host = tissue == TISSUES[name]
        if self.avoid is not None and self.avoid[box].any():
            away = edt.edt(~self.avoid[box], anisotropy=c.grid.spacing, black_border=False, parallel=1)
            host &= away > _APART_MM + 2
        if spec.site and self.sites is not None:
            host &= self.sites.mask(spec.site, c, box)
        return host & region

    def add(self, spec: DepositSpec) -> list[Placed]:
        """Place a deposit or a cluster, and paint it; the first of a cluster names it."""
        first: NDArray[np.float64] | None = None
        made = []
        cluster = len(self.placed) + 1
        for number in range(spec.count):
            one = spec
            if number:
                one = replace(spec, volume_ml=draw_volume(self.rng, spec.volume_ml * 0.6, 0.5), at_mm=None)
            try:
                placed = self._add_one(one, cluster, first)
            except PlacementError:
                if number == 0:
                    raise
                break  # the cluster has no more room
            if number == 0:
                first = np.array([placed.row[k] for k in ("x_mm", "y_mm", "z_mm")])
            made.append(placed)
        return made

    def _add_one(self, spec: DepositSpec, cluster: int, near: NDArray[np.float64] | None) -> Placed:
        c = self.canvas
        label = region_label(spec.region, spec.side)
        box, region, bone, inner = self._region(label)
        host = self._host(spec, box, region, bone)
        radius = (3 * spec.volume_ml * 1000 / (4 * np.pi)) ** (1 / 3)
        extent = half_length(spec, radius)
        depth = edt.edt(host, anisotropy=c.grid.spacing, black_border=False, parallel=1)
        half = radius if spec.form in ("nodule", "tumoral") else 2.0
        gap = spec.bone_gap_mm
        allowed = host & (-c.skin[box] > spec.skin_gap_mm)
        if spec.touches == "bone":
            allowed &= bone < half + _CONTACT_MM
        elif spec.compartment != "periarticular":
            allowed &= bone > gap + min(half, 3.0) * 0.7
        if spec.touches == "skin":
            allowed &= -c.skin[box] < half + SKIN_MM + _CONTACT_MM
        best = None
        # Wishes are given up one by one: room for the whole deposit, then distance from the region's border.
        for room, border in ((1.0, 1.0), (0.6, 0.7), (0.35, 0.5), (0.0, 0.3)):
            wish = allowed & (depth >= room * min(half, 12.0)) & (inner >= border * min(extent, 25.0))
            flat = np.flatnonzero(wish)
            if not len(flat):
                continue
            index = np.stack(np.unravel_index(flat, wish.shape), axis=1)
            world = self._world(index + [part.start for part in box])
            free = np.ones(len(flat), bool)
            for centre, reach, one in self._centres:
                apart = _CLUSTER_APART_MM if one == cluster else _APART_MM
                free &= np.linalg.norm(world - centre, axis=1) > reach + extent + apart
            free &= self._in_view(world, min(extent, 6.0))
            if near is not None:
                free &= np.linalg.norm(world - near, axis=1) < spec.spread_mm + radius
            if not free.any():
                continue
            options = np.flatnonzero(free)
            if spec.at_mm is not None:
                best = options[np.argmin(np.linalg.norm(world[options] - np.array(spec.at_mm), axis=1))]
            else:
                best = self.rng.choice(options)
            break
        if best is None:
            raise PlacementError(
                f"no room for a {spec.compartment} deposit of {spec.volume_ml:.2f} ml in {spec.side} {spec.region}"
            )
        centre = world[best] + self.rng.uniform(-0.4, 0.4, 3) * np.array(c.grid.spacing)[::-1]
        room_here = float(depth.reshape(-1)[flat[best]])
        return self._paint(spec, centre, radius, room_here, bone, box, cluster)

    def _world(self, index: NDArray[Any]) -> NDArray[np.float64]:
        g = self.canvas.grid
        return index[:, ::-1] * np.array(g.spacing)[::-1] + np.array(g.origin)

    def _in_view(self, world: NDArray[np.float64], margin: float) -> NDArray[np.bool_]:
        return self.canvas.grid.holds(world, margin)

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
        c, g = self.canvas, self.canvas.grid
        label = len(self.placed) + 1
        reach = half_length(spec, radius) * 1.6 + 4
        box = g.box(centre - reach, centre + reach)
        assert box is not None
        n = [max(1, int(np.ceil(step / _FINE_MM))) for step in g.spacing]
        size = tuple(part.stop - part.start for part in box)
        fine = [
            (np.arange(k * m) + 0.5) / m - 0.5 + part.start for k, m, part in zip(size, n, box, strict=True)
        ]  # voxel indices of the fine points
        z, y, x = (
            (np.float32(o) + (f * step).astype(np.float32)).reshape([-1 if a == axis else 1 for a in range(3)])
            for axis, (f, step, o) in enumerate(zip(fine, g.spacing, g.origin[::-1], strict=True))
        )
        level = self._upsample(c.fascia[box], box, fine)
        under = self._upsample(c.skin[box], box, fine)
        bone_here = np.full(size, 1e3, np.float32)
        at = [slice(max(p.start, q.start), min(p.stop, q.stop)) for p, q in zip(box, region_box, strict=True)]
        bone_here[tuple(slice(a.start - p.start, a.stop - p.start) for a, p in zip(at, box, strict=True))] = bone[
            tuple(slice(a.start - q.start, a.stop - q.start) for a, q in zip(at, region_box, strict=True))
        ]
        away = self._upsample(bone_here, box, fine)
        state = self.rng.integers(1 << 32)
        limit = limits_of(spec, level, under, away)
        point = float(spec.volume_ml)
        scale, volume = 1.0, 0.0
        dv = float(np.prod(g.spacing)) / np.prod(n) / 1000
        for _ in range(6):
            d = form_of(spec, (x, y, z), centre, radius * scale, room, level, under, np.random.default_rng(state))
            cover = np.clip(np.float32(0.5) - np.maximum(d, limit) * np.float32(1 / _EDGE_MM), 0, 1)
            volume = float(cover.sum(dtype=np.float64)) * dv
            if abs(volume / point - 1) < 0.01 or volume == 0:
                break
            scale *= float(np.clip((point / volume) ** (1 / (2 if spec.form == "sheet" else 3)), 0.6, 1.5))
        part = self._average(spec, cover, box, n)
        volume = float(part.sum(dtype=np.float64)) * float(np.prod(g.spacing)) / 1000
        if volume <= 0.3 * point:
            raise PlacementError(
                f"a {spec.compartment} deposit in {spec.side} {spec.region} was cut away by its limits"
            )
        weights = part.astype(float)
        zz, yy, xx = (
            np.arange(p.start, p.stop) * st + o for p, st, o in zip(box, g.spacing, g.origin[::-1], strict=True)
        )
        total = weights.sum()
        mean = [
            float((weights.sum(axis=(0, 1)) * xx).sum() / total),
            float((weights.sum(axis=(0, 2)) * yy).sum() / total),
            float((weights.sum(axis=(1, 2)) * zz).sum() / total),
        ]
        calcified = spec.concordance.startswith("CT+")
        avid = spec.concordance.endswith("PET+")
        inside = part >= min(0.5, float(part.max()) * 0.7)
        row = {
            "label": label, "cluster": cluster, "form": spec.form, "compartment": spec.compartment,
            "neighbours": ",".join(self._neighbours(spec, box, inside, bone_here)) or None, "site": spec.site or None,
            "region": spec.region, "side": spec.side, "concordance": spec.concordance,
            "x_mm": mean[0], "y_mm": mean[1], "z_mm": mean[2], "volume_ml": volume,
            "hu": spec.hu * self.calcium if calcified else None, "suv": spec.suv if avid else None,
            "distance_to_bone_mm": float(np.min(bone_here[inside])) if (bone_here[inside] < 900).any() else None,
            "distance_to_skin_mm": float(np.min(-c.skin[box][inside])),
        }  # fmt: skip
        before = c.suv[box].copy()
        row["hu_background"] = float((c.hu[box] * part).sum(dtype=np.float64) / total)
        c.blend(box, part, spec.hu * self.calcium if calcified else None, spec.suv if avid else None)
        row["hu_mean"] = float((c.hu[box] * part).sum(dtype=np.float64) / total) if calcified else None
        placed = Placed(label, spec, box, part, row, c.suv[box] - before)
        self.placed.append(placed)
        self._centres.append((np.array(mean), half_length(spec, radius * max(1.0, scale) ** 0.5), cluster))
        return placed

    def _average(self, spec: DepositSpec, cover: Array, box: Box, n: Sequence[int]) -> Array:
        """Part of each voxel of ``box`` that a deposit fills, from its cover on a grid ``n`` times finer."""
        a, b, c = (part.stop - part.start for part in box)
        mean = cover.reshape(a, n[0], b, n[1], c, n[2]).mean(axis=(1, 3, 5), dtype=np.float64)
        return mean.astype(np.float32)

    def _neighbours(self, spec: DepositSpec, box: Box, inside: NDArray[np.bool_], bone: Array) -> list[str]:
        """Compartments other than its own that lie within 2 mm of a deposit's voxels."""
        c = self.canvas
        if spec.site == "fingertip":
            return []  # in the pulp nothing else is near by definition
        fascia, depth = c.fascia[box][inside], -c.skin[box][inside]
        digit = spec.region in ("fingers", "toes")  # where skin and subcutaneous are one layer
        out = set()
        if depth.min() < SKIN_MM + _CLEAR_MM and not (digit and spec.compartment == "subcutaneous"):
            out.add("skin")
        if fascia.max() > -_CLEAR_MM and depth.max() > SKIN_MM - _CLEAR_MM:
            out.add("subcutaneous")
        if fascia.min() < _CLEAR_MM:
            out.add("muscle")
        # a sheet within 3 mm of the fascia is of the fascia
        if spec.form == "sheet" and np.abs(fascia).min() < 3 + _CLEAR_MM:
            out.add("fascia")
        # near a joint, what is deep to fat is periarticular up to 3 mm from the capsule
        if self.sites is not None and fascia.min() < _CLEAR_MM:
            joint = self.sites.near_joint(c, box)[inside]
            if (joint & (bone[inside] < _CAPSULE_MM + 3 + _CLEAR_MM)).any():
                out.add("periarticular")
        return [name for name in COMPARTMENTS if name in out - {spec.compartment}]

    def _upsample(self, values: Array, box: Box, fine: Sequence[NDArray[np.float64]]) -> Array:
        """Linear interpolation of a box's values at fine voxel indices along each axis."""
        for axis, (f, part) in enumerate(zip(fine, box, strict=True)):
            at = np.clip(f - part.start, 0, values.shape[axis] - 1)
            low = np.minimum(at.astype(int), max(values.shape[axis] - 2, 0))
            high = np.minimum(low + 1, values.shape[axis] - 1)
            shape = [1, 1, 1]
            shape[axis] = -1
            weight = (at - low).astype(np.float32).reshape(shape)
            below = values.take(low, axis=axis)
            values = below + weight * (values.take(high, axis=axis) - below)
        return values

    def label_map(self) -> NDArray[np.uint8]:
        """Deposit labels on the CT grid: voxels that are filled by half.

        A sheet thinner than the slices may fill few voxels by half: where these are less than ``_MOSTLY`` of its
        volume, as many of the fullest count as make it, and at least one.
        """
        grid = self.canvas.grid
        labels = np.zeros(grid.shape, np.uint8 if len(self.placed) < 256 else np.uint16)
        for item in self.placed:
            count = max(1, round(float(item.row["volume_ml"]) * 1000 / float(np.prod(grid.spacing))))
            least = 0.5
            if (item.cover >= least).sum() < _MOSTLY * count:
                last = -min(count, item.cover.size)
                least = max(float(np.partition(item.cover, last, axis=None)[last]), 1e-3)
            labels[item.box][item.cover >= least] = item.label
        return labels

    def table(self) -> pd.DataFrame:
        """The truth's rows."""
        return pd.DataFrame([item.row for item in self.placed], columns=list(DEPOSIT_COLUMNS))
