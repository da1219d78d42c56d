"""Where the disease likes to sit: fingertips, tendon sheaths, the carpal tunnel, joints. Masks on a canvas's box."""

from collections.abc import Sequence

import edt
import numpy as np
from numpy.typing import NDArray

from calciflow.phantom.body import FINGERS, toe_axis
from calciflow.phantom.canvas import Canvas
from calciflow.phantom.pose import Limbs
from calciflow.phantom.shapes import Array, Box
from calciflow.phantom.structures import STRUCTURES

_PULP_MM = 13.0
_SHEATH_MM = 4.0


def joints_of(limbs: Sequence[Limbs], s: float) -> list[tuple[NDArray[np.float64], float]]:
    """Centre (RAS mm) and reach (mm) of the joints of arms and legs: within it bone is part of the joint."""
    out: list[tuple[NDArray[np.float64], float]] = []
    for item in limbs:
        for centre, reach in (
            (item.hip, 42.0), (item.knee, 48.0), (item.ankle, 36.0), (item.shoulder, 40.0), (item.elbow, 36.0),
            (item.wrist, 26.0),
        ):  # fmt: skip
            out.append((centre, reach * s))
        hand, foot = item.frames["hand"], item.frames["foot"]
        for chain in FINGERS.values():
            out += [(hand.point(*(np.array(joint) * s)), 9.0 * s) for joint in chain[1:-1]]
        for index in range(5):
            _, start, _, _ = toe_axis(index, s)
            out.append((foot.point(*start), 11.0 * s))
    return out


class Sites:
    """Places of a posed person.

    Parameters
    ----------
    limbs, scale
        Joints and frames; height relative to 1.70 m.
    """

    def __init__(self, limbs: Sequence[Limbs], scale: float) -> None:
        self.limbs, self.scale = limbs, scale
        self._joints = joints_of(limbs, scale)

    def near_joint(self, canvas: Canvas, box: Box) -> NDArray[np.bool_]:
        """Voxels of a box within the reach of a joint."""
        x, y, z = canvas.grid.axes(box)
        out = np.zeros(tuple(part.stop - part.start for part in box), bool)
        for centre, reach in self._joints:
            low, high = centre - reach, centre + reach
            if x.max() < low[0] or x.min() > high[0] or z.max() < low[2] or z.min() > high[2]:
                continue
            c = centre.astype(np.float32)
            out |= (x - c[0]) ** 2 + (y - c[1]) ** 2 + (z - c[2]) ** 2 < np.float32(reach**2)
        return out

    def mask(self, site: str, canvas: Canvas, box: Box) -> NDArray[np.bool_]:
        """Voxels of a box that belong to a site (``calciflow.phantom.spec.Site``)."""
        if site == "tendon":
            tendon = canvas.structures[box] == STRUCTURES["tendon"]
            away: Array = edt.edt(~tendon, anisotropy=canvas.grid.spacing, black_border=False, parallel=1)
            return away <= _SHEATH_MM
        x, y, z = canvas.grid.axes(box)
        out = np.zeros(tuple(part.stop - part.start for part in box), bool)
        s = self.scale
        for item in self.limbs:
            frame = item.frames["hand"]
            if site == "fingertip":
                for chain in FINGERS.values():
                    tip = frame.point(*(np.array(chain[-1]) * s)).astype(np.float32)
                    away = (x - tip[0]) ** 2 + (y - tip[1]) ** 2 + (z - tip[2]) ** 2
                    out |= away < np.float32((_PULP_MM * s) ** 2)
            else:
                u, v, w = frame.local(x, y, z)
                tunnel = (np.abs(u) < 12 * s) & (v > 2 * s) & (v < 13 * s) & (w > -12 * s) & (w < 30 * s)
                out |= tunnel
        return out
