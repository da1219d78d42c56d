"""The person on a grid: CT value, uptake, tissue and region, painted part by part."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from calciflow.labels import TISSUES, region_label
from calciflow.phantom.body import SKIN_MM, Group, Part
from calciflow.phantom.bones import Bone
from calciflow.phantom.shapes import FAR, Array, Box, Grid, Loft, Shape, smooth_minimum
from calciflow.phantom.shapes import field as distance_field
from calciflow.phantom.structures import STRUCTURES, structure_of_bone

AIR_HU = -1000.0
SKIN = (15.0, 0.4)
FAT = (-105.0, 0.25)
MUSCLE = (55.0, 0.6)
"""CT value (HU) and uptake (SUV). Fat and muscle: middle of the ranges in Aubrey et al. 2014 (doi 10.1111/apha.12224);
uptake of NaF in soft tissue stays below blood at 1 h."""

_OVER_BONE_MM = 3.0
"""Least cover of skin over bone."""

_DRAPE_MM = 6.0
"""Width over which the skin rises to a bone beneath it; bones must be known this far around."""

BONE_MARGIN_MM = 2 * _DRAPE_MM
"""Margin that a bone's box needs."""


@dataclass
class Canvas:
    """A person on a grid.

    Attributes
    ----------
    hu, suv
        CT value in HU and uptake in SUV, float32, edges softened by partial volume, before any physics.
    skin, fascia
        Signed distance (mm) to the body's surface and to the muscle fascia (approximate away from them; 1000: far).
    tissues, regions
        ``calciflow.labels``; 0 outside the body.
    structures
        ``calciflow.phantom.structures``; 0 where nothing named lies.
    """

    grid: Grid
    hu: Array = field(init=False)
    suv: Array = field(init=False)
    skin: Array = field(init=False)
    fascia: Array = field(init=False)
    tissues: NDArray[np.uint8] = field(init=False)
    regions: NDArray[np.uint8] = field(init=False)
    structures: NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        shape = self.grid.shape
        self.hu = np.full(shape, AIR_HU, np.float32)
        self.suv = np.zeros(shape, np.float32)
        self.skin = np.full(shape, FAR, np.float32)
        self.fascia = np.full(shape, FAR, np.float32)
        self.tissues = np.zeros(shape, np.uint8)
        self.regions = np.zeros(shape, np.uint8)
        self.structures = np.zeros(shape, np.uint8)

    @property
    def voxel(self) -> float:
        """Width in mm over which an edge is softened: a voxel's mean size."""
        return float(np.mean(self.grid.spacing))

    def cover(self, distance: Array) -> Array:
        """Part of a voxel that lies inside a surface, from the signed distance of its centre."""
        return np.clip(np.float32(0.5) - distance * np.float32(1 / self.voxel), 0, 1)

    def blend(self, box: Box, cover: Array, hu: float | Array | None, suv: float | Array | None) -> None:
        """Mix CT value and uptake into a box with weights ``cover``; None leaves a channel alone."""
        for channel, value in ((self.hu, hu), (self.suv, suv)):
            if value is not None:
                part = channel[box]
                part += cover * (np.asarray(value, np.float32) - part)

    def paint(
        self,
        shape: Shape,
        hu: float | None,
        suv: float | None,
        tissue: str | None = None,
        within: str | None = None,
        structure: str | None = None,
    ) -> None:
        """Fill a shape; ``within`` limits it to voxels of one tissue, ``structure`` names it."""
        got = distance_field(shape, self.grid, 2 * self.voxel)
        if got is None:
            return
        box, d = got
        cover = self.cover(d)
        if within is not None:
            cover = cover * (self.tissues[box] == TISSUES[within])
        self.blend(box, cover, hu, suv)
        if tissue is not None:
            self.tissues[box][cover >= 0.5] = TISSUES[tissue]
        if structure is not None:
            self.structures[box][cover >= 0.5] = STRUCTURES[structure]

    def paint_bone(self, bone: Bone, place: tuple[Box, Array], calcium: float = 1.0, uptake: float = 1.0) -> None:
        """Fill a bone: cortex around marrow.

        Parameters
        ----------
        bone, place
            The bone, and its box and signed distance on this grid.
        calcium, uptake
            Scale the CT value of what is mineral (tube voltage), and the bone's SUV.
        """
        box, d = place
        cover = self.cover(d)
        columns: Sequence[Any] = (bone.shell_mm, bone.cortex, bone.marrow, bone.suv, bone.suv)
        if bone.along is not None:
            frame, table = bone.along
            w = frame.local(*self.grid.axes(box))[2]
            columns = [np.interp(w, table[:, 0], table[:, k]).astype(np.float32) for k in range(1, 6)]
        shell, cortex, marrow, suv, marrow_suv = columns
        # Fat in marrow is dark at any voltage: only what is above soft tissue scales.
        marrow = np.where(np.asarray(marrow) > 60, marrow * np.float32(calcium), marrow)
        self.blend(box, cover, cortex * np.float32(calcium), suv * np.float32(uptake))
        self.blend(box, self.cover(d + np.asarray(shell, np.float32)), marrow, marrow_suv * np.float32(uptake))
        self.tissues[box][cover >= 0.5] = TISSUES["bone"]
        self.structures[box][cover >= 0.5] = STRUCTURES[structure_of_bone(bone.name)]


def _overlap(outer: Box, inner: Box) -> Box | None:
    parts = [slice(max(p.start, q.start), min(p.stop, q.stop)) for p, q in zip(outer, inner, strict=True)]
    return None if any(p.stop <= p.start for p in parts) else (parts[0], parts[1], parts[2])


def _relative(box: Box, base: Box) -> Box:
    moved = [slice(p.start - q.start, p.stop - q.start) for p, q in zip(box, base, strict=True)]
    return moved[0], moved[1], moved[2]


def _label_along(part: Part, grid: Grid, box: Box) -> NDArray[np.uint8] | np.uint8:
    if len(part.regions) == 1:
        return np.uint8(part.regions[0][1])
    w = part.frame.local(*grid.axes(box))[2]
    ends = np.array([end for end, _ in part.regions[:-1]], np.float32)
    labels = np.array([label for _, label in part.regions], np.uint8)
    place = np.zeros(np.shape(w), np.uint8)
    for end in ends:
        place += w > end
    return labels[place]


def _divide_at_inlet(labels: NDArray[np.uint8], group: Group, grid: Grid, box: Box) -> None:
    """Tell neck from chest in place."""
    if group.inlet is None:
        return
    x, y, z = grid.axes(box)
    above = (group.inlet.local(x, y, z)[2] > 0) & (np.abs(x) < group.inlet_mm)
    for side in ("left", "right"):
        chest, neck = region_label("chest", side), region_label("neck", side)
        both = (labels == chest) | (labels == neck)
        labels[both] = np.where(above, neck, chest)[both]


def _rasterise_group(group: Group, canvas: Canvas, core: bool) -> None:
    """Build a group in its own box, then merge it into the body."""
    grid = canvas.grid
    margin = 6.0 + group.blend
    boxes = [part.skin.bounds() for part in group.parts]
    hull = grid.box(np.min([b[0] for b in boxes], axis=0) - margin, np.max([b[1] for b in boxes], axis=0) + margin)
    if hull is None:
        return
    size = tuple(p.stop - p.start for p in hull)
    skin = np.full(size, FAR, np.float32)
    fascia = np.full(size, FAR, np.float32)
    labels = np.zeros(size, np.uint8)
    seen: list[Shape] = []
    for part in group.parts:
        got = None if any(part.skin is one for one in seen) else distance_field(part.skin, grid, margin)
        if got is None:
            continue
        seen.append(part.skin)
        at = _relative(got[0], hull)
        here = skin[at]
        closer = got[1] < here + np.float32(0.25 * group.blend)
        labels[at] = np.where(closer, _label_along(part, grid, got[0]), labels[at])
        skin[at] = smooth_minimum(here, got[1], group.blend)
        if part.fascia is not None:
            inner = distance_field(part.fascia, grid, margin)
            if inner is not None:
                at = _relative(inner[0], hull)
                fascia[at] = smooth_minimum(fascia[at], inner[1], group.blend)
    if core:
        x = grid.axes(hull)[0]
        labels = np.where(labels > 0, labels // 10 * 10 + np.where(x > 0, 2, 1), 0).astype(np.uint8)
        _divide_at_inlet(labels, group, grid, hull)
    body_skin, body_fascia, body_labels = canvas.skin[hull], canvas.fascia[hull], canvas.regions[hull]
    body_labels[...] = np.where(skin < body_skin, labels, body_labels)
    if group.joint is not None:
        near = grid.box(group.joint - group.joint_reach, group.joint + group.joint_reach)
        zone = None if near is None else _overlap(near, hull)
        if zone is not None:
            x, y, z = grid.axes(zone)
            j = group.joint.astype(np.float32)
            away = np.sqrt((x - j[0]) ** 2 + (y - j[1]) ** 2 + (z - j[2]) ** 2)
            k = np.maximum(np.float32(group.joint_blend) * (1 - away / np.float32(group.joint_reach)), np.float32(0.1))
            at = _relative(zone, hull)
            for own, body in ((skin, body_skin), (fascia, body_fascia)):
                h = np.maximum(k - np.abs(own[at] - body[at]), 0)
                own[at] = np.minimum(own[at], body[at]) - h * h * np.float32(0.25) / k
    np.minimum(body_skin, skin, out=body_skin)
    np.minimum(body_fascia, fascia, out=body_fascia)


def _paint_bellies(part: Part, canvas: Canvas, plane_mm: float, rng: np.random.Generator) -> None:
    """Draw the planes of fat between the muscle bellies of a part."""
    # drawn for every part, so that the bellies do not depend on the field of view
    a1, a2, a3 = (np.float32(v) for v in rng.uniform(0, 6.28, 3))
    loft, seeds = part.fascia, part.muscles
    if seeds is None or not isinstance(loft, Loft):
        return
    grid = canvas.grid
    p = loft.profile
    keep = (p[:, 0] >= part.span[0] - 60) & (p[:, 0] <= part.span[1] + 60)
    low, high = Loft(loft.frame, p[keep]).bounds() if keep.sum() > 1 else loft.bounds()
    box = grid.box(low, high)
    if box is None:
        return
    inside = canvas.fascia[box] < -1.0
    u, v, w = loft.frame.local(*grid.axes(box))
    inside &= (w > np.float32(part.span[0])) & (w <= np.float32(part.span[1]))
    flat = np.flatnonzero(inside)
    if not len(flat):
        return
    size = inside.shape
    u, v, w = (np.broadcast_to(c, size).reshape(-1)[flat] for c in (u, v, w))
    cu, cv, ap, an, bp, bn = loft.at(w)
    a, b = (ap + an) * np.float32(0.5), (bp + bn) * np.float32(0.5)
    mean = (a + b) * np.float32(0.5)
    # Bellies are no polygons: bend the section, differently from level to level.
    bend = np.float32(0.075) * mean
    pu, pv, pw = u / mean, v / mean, w / (3 * mean)
    u, v = (
        u + bend * np.sin(3.1 * pv + 2.2 * pw + a1) + bend * np.float32(0.5) * np.sin(7 * pv - 3 * pw + a3),
        v + bend * np.sin(3.4 * pu - 2.0 * pw + a2) + bend * np.float32(0.5) * np.sin(6.5 * pu + 3.3 * pw + a1),
    )
    first = np.full(len(flat), np.inf, np.float32)
    second, third = first.copy(), first.copy()
    for su, sv, sr in seeds.astype(np.float32):
        power = (u - cu - su * a) ** 2 + (v - cv - sv * b) ** 2 - (sr * mean) ** 2
        third = np.minimum(third, np.maximum(second, power))
        second = np.minimum(second, np.maximum(first, power))
        first = np.minimum(first, power)
    # Two power distances differ by 2 |c1 - c2| per mm across their plane; bellies lie about 0.6 half-widths apart.
    across = (second - first) / (np.float32(1.2) * mean)
    corner = (third - first) / (np.float32(1.2) * mean)
    # Planes are thin and uneven, and widen where three bellies meet.
    wide = np.float32(plane_mm) * (
        np.float32(0.75) + np.float32(0.6) * np.sin(4.3 * pu + 2.9 * pw + a2) * np.sin(3.7 * pv - 3.1 * pw + a3)
    )
    wide = np.maximum(wide, 0) + np.float32(1.6 * plane_mm) * np.exp(-corner / np.float32(2.5))
    # They fade at the ends of the part, where bellies turn into tendon.
    ends = np.clip(np.minimum(w - np.float32(part.span[0]), np.float32(part.span[1]) - w) / 25, 0, 1)
    cover = np.clip(np.float32(0.5) + (wide / 2 - across) / np.float32(canvas.voxel), 0, 1)
    cover *= np.minimum(np.float32(1.0), wide / np.float32(canvas.voxel)) * ends * np.float32(0.95)
    keep = cover > 0
    for channel, value in ((canvas.hu, FAT[0]), (canvas.suv, FAT[1])):
        view = channel[box]
        index = np.unravel_index(flat[keep], size)
        view[index] += cover[keep] * (np.float32(value) - view[index])


def _drape(canvas: Canvas, box: Box, bone: Array) -> None:
    """Lay the skin over a bone that comes near the surface (shins, elbows, the spine of the thin)."""
    skin, regions = canvas.skin[box], canvas.regions[box]
    wanted = bone - np.float32(_OVER_BONE_MM)
    if not ((wanted < skin) & (wanted < 0)).any():
        return
    skin[...] = smooth_minimum(skin, wanted, _DRAPE_MM)
    bare = (skin < 0) & (regions == 0)
    if bare.any() and regions.any():
        nearest = distance_transform_edt(
            regions == 0, sampling=canvas.grid.spacing, return_distances=False, return_indices=True
        )
        regions[bare] = regions[tuple(nearest)][bare]


def paint_body(
    canvas: Canvas,
    groups: Sequence[Group],
    bones: Sequence[tuple[Box, Array]],
    plane_mm: float,
    rng: np.random.Generator,
) -> None:
    """Paint skin, subcutaneous fat and muscle, with planes of fat of ``plane_mm`` between the bellies.

    ``bones`` are boxes and signed distances: the skin covers them.
    """
    for number, group in enumerate(groups):
        _rasterise_group(group, canvas, core=number == 0)
    for box, distance in bones:
        _drape(canvas, box, distance)
    everything = (slice(None), slice(None), slice(None))
    touched = canvas.grid.box(*_hull(groups)) or everything
    skin, fascia = canvas.skin[touched], canvas.fascia[touched]
    np.maximum(fascia, skin + np.float32(SKIN_MM), out=fascia)  # muscle never reaches through the skin
    canvas.blend(touched, canvas.cover(skin), *SKIN)
    canvas.blend(touched, canvas.cover(skin + np.float32(SKIN_MM)), *FAT)
    canvas.blend(touched, canvas.cover(fascia), *MUSCLE)
    tissues = canvas.tissues[touched]
    # A voxel thicker than the skin would leave none: the outermost voxel is skin by name.
    tissues[skin < 0] = TISSUES["subcutaneous_fat"]
    tissues[(skin < 0) & (skin > -max(SKIN_MM, 0.5 * canvas.voxel))] = TISSUES["skin"]
    tissues[(fascia < 0) & (skin < 0)] = TISSUES["muscle"]
    canvas.regions[touched][skin >= 0] = 0
    for group in groups:
        for part in group.parts:
            _paint_bellies(part, canvas, plane_mm, rng)


def body_volume_ml(groups: Sequence[Group], step_mm: float) -> float:
    """Volume inside the skin, from a coarse grid with softened edges (right to about 0.5 % at 10 mm)."""
    low, high = _hull(groups)
    size = np.ceil((high - low) / step_mm).astype(int)
    grid = Grid(
        (int(size[2]), int(size[1]), int(size[0])), (step_mm,) * 3, (float(low[0]), float(low[1]), float(low[2]))
    )
    canvas = Canvas(grid)
    for number, group in enumerate(groups):
        _rasterise_group(group, canvas, core=number == 0)
    return float(canvas.cover(canvas.skin).sum(dtype=np.float64)) * step_mm**3 / 1000


def _hull(groups: Sequence[Group]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    boxes = [part.skin.bounds() for group in groups for part in group.parts]
    return np.min([b[0] for b in boxes], axis=0) - 20, np.max([b[1] for b in boxes], axis=0) + 20
