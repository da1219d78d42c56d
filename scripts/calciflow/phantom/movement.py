"""What moves between CT and PET: the whole body, and one limb or the head on top of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calciflow.labels import region_label
from calciflow.mapping import move
from calciflow.phantom.canvas import Canvas
from calciflow.phantom.pose import Limbs
from calciflow.phantom.shapes import Array, Box, Grid
from calciflow.phantom.spec import LimbMotion, Motion

_RAMPS: dict[str, tuple[str, float, float, tuple[str, ...], tuple[str, ...]]] = {
    # frame whose w axis the limb fades in along, from and to (mm at 1.70 m), regions that fade, regions that move whole
    "arm": ("upper_arm", 0, 60, ("shoulder", "upper_arm"), ("elbow", "forearm", "hand", "fingers")),
    "forearm": ("forearm", -30, 30, ("elbow",), ("forearm", "hand", "fingers")),
    "leg": ("thigh", 60, 120, ("thigh",), ("knee", "lower_leg", "foot", "toes")),
    "lower_leg": ("lower_leg", -30, 30, ("knee",), ("lower_leg", "foot", "toes")),
}
_NECK_Z = (1440.0, 1500.0)
"""The head turns about the lower end of the neck, and is rigid above its upper (mm at 1.70 m)."""


@dataclass(frozen=True)
class Rigid:
    """The movement as a map of RAS points: q = rotation (p - centre) + centre + shift, from CT to PET."""

    rotation: NDArray[np.float64]
    centre: NDArray[np.float64]
    shift: NDArray[np.float64]

    @staticmethod
    def of(motion: Motion, middle: tuple[float, float, float]) -> "Rigid":
        """Movement of a spec; rotations are applied about x, then y, then z."""
        rx, ry, rz = np.deg2rad(motion.rotation_deg)
        cx, sx, cy, sy, cz, sz = np.cos(rx), np.sin(rx), np.cos(ry), np.sin(ry), np.cos(rz), np.sin(rz)
        about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
        about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
        centre = np.array(motion.centre_mm if motion.centre_mm is not None else middle, float)
        return Rigid(about_z @ about_y @ about_x, centre, np.array(motion.shift_mm, float))

    def matrix(self) -> NDArray[np.float64]:
        """4 x 4, CT point to PET point (RAS mm)."""
        out = np.eye(4)
        out[:3, :3] = self.rotation
        out[:3, 3] = self.centre + self.shift - self.rotation @ self.centre
        return out


@dataclass(frozen=True)
class MovedLimb:
    """A limb that moved on its own.

    Attributes
    ----------
    limb, pivot
        Its name, and the joint (RAS mm, in the CT) that it turned about.
    box, weight
        Where it lies on the CT's grid, and how much of its movement each voxel takes part in, 0 to 1.
    matrix
        4 x 4, RAS mm: where a point of the limb in the CT lies during the PET, the body's movement included.
    """

    limb: str
    pivot: NDArray[np.float64]
    box: Box
    weight: Array
    matrix: NDArray[np.float64]


@dataclass(frozen=True)
class Movement:
    """Where points of the CT lie during the PET: ``body`` is a 4 x 4 (RAS mm); ``limb`` is None if none moved alone."""

    grid: Grid
    body: NDArray[np.float64]
    limb: MovedLimb | None = None

    def weight_map(self) -> NDArray[np.uint8]:
        """How much each voxel of the CT takes part in the limb's movement, in percent."""
        out = np.zeros(self.grid.shape, np.uint8)
        if self.limb is not None:
            out[self.limb.box] = np.rint(100 * self.limb.weight)
        return out

    def matrix_at(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """The 4 x 4 of the part that holds a point (RAS mm)."""
        if self.limb is None:
            return self.body
        index = (np.asarray(point) - np.array(self.grid.origin)) / np.array(self.grid.spacing)[::-1]
        at = [round(float(i)) - part.start for i, part in zip(index[::-1], self.limb.box, strict=True)]
        if any(not 0 <= i < n for i, n in zip(at, self.limb.weight.shape, strict=True)):
            return self.body
        return self.limb.matrix if self.limb.weight[at[0], at[1], at[2]] >= 0.5 else self.body


def place_after(
    points: NDArray[np.float64],
    weight: NDArray[np.float64],
    body: NDArray[np.float64],
    limb: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """Where CT points (n, 3) lie in the PET (RAS mm), from the weight (n,) of the limb's movement at each."""
    out = move(body, points)
    return out if limb is None else out + weight[:, None] * (move(limb, points) - out)


def pivot_of(limb: str, limbs: Sequence[Limbs], scale: float) -> NDArray[np.float64]:
    """The joint (RAS mm) that a limb turns about."""
    if limb == "head":
        return np.array([0.0, -20.0, _NECK_Z[0]]) * scale
    side, part = limb.split()
    item = next(one for one in limbs if one.side == side)
    return {"arm": item.shoulder, "forearm": item.elbow, "leg": item.hip, "lower_leg": item.knee}[part]


def lever_of(limb: str, limbs: Sequence[Limbs], scale: float) -> float:
    """Distance (mm) from a limb's joint to its far end."""
    if limb == "head":
        return 260.0 * scale
    side, part = limb.split()
    item = next(one for one in limbs if one.side == side)
    beyond = 100.0 * scale  # fingers reach this far beyond the knuckles
    joints = {
        "arm": (item.shoulder, item.elbow, item.wrist, item.knuckles),
        "forearm": (item.elbow, item.wrist, item.knuckles),
        "leg": (item.hip, item.knee, item.ankle, item.toes),
        "lower_leg": (item.knee, item.ankle, item.toes),
    }[part]
    away = max(float(np.linalg.norm(one - joints[0])) for one in joints[1:])
    return away + (beyond if part in ("arm", "forearm") else 0.0)


def _weights(limb: str, limbs: Sequence[Limbs], scale: float, canvas: Canvas) -> tuple[Box, Array] | None:
    if limb == "head":
        fade = [region_label("neck", side) for side in ("left", "right")]
        whole = [region_label("head", side) for side in ("left", "right")]
    else:
        side, part = limb.split()
        frame, start, end, near, far = _RAMPS[part]
        fade = [region_label(region, side) for region in near]
        whole = [region_label(region, side) for region in far]
    wanted = np.isin(canvas.regions, [*fade, *whole])
    found = [np.flatnonzero(wanted.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    if not len(found[0]):
        return None
    z, y, x = (slice(int(at[0]), int(at[-1]) + 1) for at in found)
    box = (z, y, x)
    if limb == "head":
        along = canvas.grid.axes(box)[2]
        start, end = _NECK_Z
    else:
        item = next(one for one in limbs if one.side == side)
        along = item.frames[frame].local(*canvas.grid.axes(box))[2]
    ramp = np.clip((along / np.float32(scale) - np.float32(start)) / np.float32(end - start), 0, 1)
    labels = canvas.regions[box]
    weight = np.where(np.isin(labels, fade), ramp, np.isin(labels, whole)).astype(np.float32)
    return box, weight


def movement_of(
    motion: Motion, limb_motion: LimbMotion | None, limbs: Sequence[Limbs], scale: float, canvas: Canvas
) -> Movement:
    """The movement of a painted person. A limb that is not in view does not move.

    Parameters
    ----------
    motion, limb_motion
        What was asked for.
    limbs, scale
        Joints, and the person's height relative to 1.70 m.
    """
    grid = canvas.grid
    middle = np.array(grid.origin) + 0.5 * (np.array(grid.shape)[::-1] - 1) * np.array(grid.spacing)[::-1]
    body = np.eye(4)
    if not motion.none:
        body = Rigid.of(motion, (float(middle[0]), float(middle[1]), float(middle[2]))).matrix()
    if limb_motion is None:
        return Movement(grid, body)
    found = _weights(limb_motion.limb, limbs, scale, canvas)
    if found is None:
        return Movement(grid, body)
    pivot = pivot_of(limb_motion.limb, limbs, scale)
    turn = Motion(rotation_deg=limb_motion.rotation_deg)
    own = Rigid.of(turn, (float(pivot[0]), float(pivot[1]), float(pivot[2]))).matrix()
    return Movement(grid, body, MovedLimb(limb_motion.limb, pivot, *found, body @ own))
