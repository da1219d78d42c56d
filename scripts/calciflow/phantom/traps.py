"""Traps: what looks like a deposit and is none. Painted into a person, each object with a row and a label of its own.

CT values and uptake are ours, within what is known: calcified plaques and cartilage read 150 to 1000 HU; contrast in
bowel and vessels 150 to 350 HU; metal saturates the scale; urine is the hottest fluid on NaF PET, vessel walls and
cartilage take up a little, inflamed joints and entheses as much as bone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calciflow.labels import TISSUES, region_label
from calciflow.phantom.canvas import Canvas
from calciflow.phantom.model import Person
from calciflow.phantom.shapes import Array, Box, Ellipsoid, Shape
from calciflow.phantom.shapes import field as distance_field
from calciflow.phantom.spec import Traps

TRAP_COLUMNS = ("index", "name", "trap", "x_mm", "y_mm", "z_mm", "volume_ml", "hu", "suv")
"""Columns of ``traps.tsv``.

``index``: label in ``traps.nii.gz``; ``name``: the trap; ``trap``: which object of it; centre (RAS mm) and volume of
what was painted (0 and none for traps that have no voxels of their own); ``hu``, ``suv``: CT value at the scan's tube
voltage and uptake that were painted, none where the channel was left alone.
"""

DIFFUSE = frozenset({"oral_contrast", "intravenous_contrast", "myositis", "attenuation_mismatch", "arthritis"})
"""Traps that fill whole organs or regions: deposits may lie in or beside them."""

Point = NDArray[np.float64]
Mask = Callable[[Box], NDArray[np.bool_]]


STREAK_HU = 60.0


@dataclass(frozen=True)
class Metal:
    """Metal on the CT grid: its box, the part of each voxel that it fills, and its trap's name."""

    box: Box
    cover: Array
    name: str = ""


class TrapPainter:
    """Paints traps and keeps their truth.

    Parameters
    ----------
    canvas, person
        The painted person.
    seed
        Of the scan; each trap draws its own random numbers.
    calcium
        CT value of calcium and contrast relative to 120 kVp.
    """

    def __init__(self, canvas: Canvas, person: Person, seed: int, calcium: float) -> None:
        self.canvas, self.person, self.calcium = canvas, person, calcium
        self.s = person.build.scale
        self.labels = np.zeros(canvas.grid.shape, np.uint8)
        self.rows: list[dict[str, Any]] = []
        self.metal: list[Metal] = []
        self._seed = seed
        self.name = ""
        self.rng = np.random.default_rng(0)

    def start(self, name: str) -> None:
        """Begin a trap: what is painted from here on belongs to it."""
        self.name = name
        number = [item.name for item in fields(Traps)].index(name)
        self.rng = np.random.default_rng([self._seed, 41, number])

    def _row(self, what: str, box: Box | None, cover: Array | None, hu: float | None, suv: float | None) -> None:
        row: dict[str, Any] = {"index": len(self.rows) + 1, "name": self.name, "trap": what, "hu": hu, "suv": suv}
        row |= {"x_mm": None, "y_mm": None, "z_mm": None, "volume_ml": 0.0}
        if box is not None and cover is not None:
            total = float(cover.sum(dtype=np.float64))
            grid = self.canvas.grid
            row["volume_ml"] = total * float(np.prod(grid.spacing)) / 1000
            for axis, key in ((2, "x_mm"), (1, "y_mm"), (0, "z_mm")):
                others = tuple(a for a in range(3) if a != axis)
                at = grid.origin[2 - axis] + grid.spacing[axis] * np.arange(box[axis].start, box[axis].stop)
                row[key] = float((cover.sum(axis=others, dtype=np.float64) * at).sum() / total)
        self.rows.append(row)

    def mark(self, name: str, what: str) -> None:
        """A row for a trap that has no voxels of its own."""
        self.name = name
        self._row(what, None, None, None, None)

    def fill(self, what: str, box: Box, cover: Array, hu: float | None, suv: float | None) -> bool:
        """Paint into a box with weights; whether anything of it is in view."""
        if float(cover.max(initial=0.0)) < 0.02:
            return False
        self.canvas.blend(box, cover, hu, suv)
        self._row(what, box, cover, hu, suv)
        keep = cover >= min(0.5, float(cover.max()))
        self.labels[box][keep] = min(len(self.rows), 255)
        return True

    def put(
        self,
        what: str,
        shape: Shape,
        hu: float | None,
        suv: float | None,
        within: Mask | None = None,
    ) -> bool:
        """Paint a shape, cut to a mask of its box; HU are those at 120 kVp."""
        got = distance_field(shape, self.canvas.grid, 2 * self.canvas.voxel)
        if got is None:
            return False
        box, d = got
        cover = self.canvas.cover(d)
        if within is not None:
            cover = cover * within(box)
        return self.fill(what, box, cover, None if hu is None else hu * self.calcium, suv)

    def put_metal(self, what: str, shape: Shape, hu: float = 8000.0) -> bool:
        """Paint metal, which takes up nothing and will throw streaks."""
        got = distance_field(shape, self.canvas.grid, 2 * self.canvas.voxel)
        if got is None:
            return False
        box, d = got
        cover = self.canvas.cover(d)
        if not self.fill(what, box, cover, hu, 0.0):
            return False
        self.metal.append(Metal(box, cover, self.name))
        return True

    def ball(self, centre: Sequence[float] | Point, radii: float | Sequence[float]) -> Ellipsoid:
        """An upright ellipsoid in mm."""
        return Ellipsoid(np.asarray(centre, float), np.broadcast_to(np.asarray(radii, float), 3).copy())

    def tissue(self, *names: str) -> Mask:
        """A mask of some tissues, for ``put``."""
        wanted = [TISSUES[name] for name in names]

        def mask(box: Box) -> NDArray[np.bool_]:
            return np.isin(self.canvas.tissues[box], wanted)

        return mask

    def surface_y(self, x: float, z: float, front: bool = True) -> float | None:
        """Where the body's front or back lies (y, mm) at x and z; None if it is not in view."""
        grid = self.canvas.grid
        i = round((x - grid.origin[0]) / grid.spacing[2])
        k = round((z - grid.origin[2]) / grid.spacing[0])
        if not (0 <= i < grid.shape[2] and 0 <= k < grid.shape[0]):
            return None
        inside = np.flatnonzero(self.canvas.skin[k, :, i] < 0)
        if not len(inside):
            return None
        return float(grid.origin[1] + grid.spacing[1] * (inside[-1] if front else inside[0]))

    def somewhere(
        self, region: str, side: str, tissue: str, keep: Callable[[Array, Array, Array], NDArray[np.bool_]]
    ) -> Point | None:
        """A random voxel's centre (RAS mm) in a region, side and tissue where ``keep`` of its coordinates holds."""
        c = self.canvas
        index = np.argwhere((c.regions == region_label(region, side)) & (c.tissues == TISSUES[tissue]))
        if not len(index):
            return None
        world = index[:, ::-1] * np.array(c.grid.spacing)[::-1] + np.array(c.grid.origin)
        x, y, z = world.T.astype(np.float32)
        world = world[keep(x, y, z)]
        return None if not len(world) else np.asarray(world[int(self.rng.integers(len(world)))], float)

    def mark_streaks(self, added: Mapping[int, Array]) -> None:
        """Label what streaks made brighter by 60 HU and more, in and around the body, as the metal's trap.

        Muscle then reaches calcium's threshold with the noise that all scans have.
        """
        for name in dict.fromkeys(metal.name for metal in self.metal):
            own = [metal.box[0] for metal in self.metal if metal.name == name]
            first, last = min(part.start for part in own), max(part.stop for part in own)
            number, volume = len(self.rows) + 1, 0
            for k, plane in added.items():
                if not first <= k < last:
                    continue
                bright = (plane > STREAK_HU) & (self.labels[k] == 0) & (self.canvas.skin[k] < 5)
                self.labels[k][bright] = min(number, 255)
                volume += int(bright.sum())
            if volume:
                self.mark(name, "streaks brighter by 60 HU and more")
                self.rows[-1]["volume_ml"] = volume * float(np.prod(self.canvas.grid.spacing)) / 1000

    def focal(self) -> NDArray[np.bool_] | None:
        """Voxels of traps that deposits keep away from; None if there are none."""
        labels = [min(row["index"], 255) for row in self.rows if row["volume_ml"] > 0 and row["name"] not in DIFFUSE]
        return np.isin(self.labels, labels) if labels else None
