"""What a bone is: an implicit shape with cortex, marrow and uptake. The bones themselves: limb_bones, axial_bones.

Uptake of NaF in normal bone (SUVmax, mean over patients): T12 6.6, L5 6.1, sacrum 4.6, ilium 5.4 (Rohren et al. 2015).
Lower values of the appendicular skeleton and of shafts, and the CT values (trabecular bone of vertebrae 190 HU, cortex
to 1500 HU), are ours: usual ones of middle age, chosen by comparison with real scans, not fitted to a study.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calciflow.phantom.shapes import Ellipsoid, Frame, Shape, Union, tube

Point = NDArray[np.float64]
Rows = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Bone:
    """A bone: its shape, cortex (mm, HU), marrow (HU) and uptake (SUV).

    ``along`` (frame, table) lets them change along a long bone: rows of w (mm), shell, cortex, marrow, SUV of the
    cortex, SUV of the marrow.
    """

    name: str
    shape: Shape
    shell_mm: float
    cortex: float
    marrow: float
    suv: float
    along: tuple[Frame, NDArray[np.float64]] | None = None


def ball(centre: Sequence[float] | Point, radii: ArrayLike, frame: Frame | None = None) -> Ellipsoid:
    """Ellipsoid with one or three half-axes (mm)."""
    r = np.broadcast_to(np.asarray(radii, float), 3).copy()
    return Ellipsoid(np.asarray(centre, float), r, frame)


def long_bone(frame: Frame, rows: Rows, s: float) -> Union:
    """Tube through rows of (u, v, w, radius) of a limb's frame."""
    table = np.asarray(rows, float) * s
    return tube([frame.point(*row[:3]) for row in table], table[:, 3])


def graded(name: str, shape: Shape, frame: Frame, table: Rows, s: float) -> Bone:
    """Bone whose cortex, marrow and uptake change along ``frame``; ``table``: see ``Bone.along`` (mm at 1.70 m)."""
    rows = np.asarray(table, float)
    rows[:, :2] *= s
    return Bone(name, shape, 2.0, 1000, 100, 2.0, (frame, rows))
