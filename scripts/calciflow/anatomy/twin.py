"""The body's symmetry: bone has its mirror image on the other side, a deposit seldom has.

The bone around an object is laid, mirrored, over the other side's by a rigid fit (iterative closest points; Besl and
McKay 1992). Where it does not come to lie on bone, as with arms bent differently or a field of view that holds one
side, symmetry says nothing. Nor does it in fingers and toes, whose ends disease may eat on one side, in the cartilage
of ribs, between ribs, where the next one is near, or at the midline.

It speaks only against bone. That both sides look alike may be two deposits: these often come in pairs.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from calciflow.anatomy.judge import Candidate, Place
from calciflow.anatomy.points import kabsch

AROUND_MM, BESIDE_MM = 50.0, 30.0
"""Bone that is fitted: within that of the object; and that must then lie on bone."""

FITS_MM, FITTING = 5.0, 0.8
"""Distance within which mirrored bone lies on bone, and the least share of it. A real CT of a trunk (3 mm blocks) has
that around a fifth of its pieces of bone, with 60 % of these within 3 mm."""

FARTHEST_MM = 8.0
"""A fit that moves the object farther may have slid to the next bone: half the distance of metacarpals or ribs."""

BONE_MM, MOST = 3.0, 5.0
"""Log-odds for bone fall by one a mm from where the object's mirror image lies, in the median, 3 mm from what is dense.
Of 211 pieces of bone with 0.1 ml and more in two real CTs, whose surroundings fit, 21 % lay farther than 3 mm, 6 % than
5 mm and 1 % than 7 mm."""

LEAST_ML = 0.1
"""Smaller objects are a few blocks, which blur and noise break in other places on each side."""

LEAST_POINTS, LEAST_BESIDE, MOST_POINTS, ROUNDS, KEPT = 60, 20, 1500, 25, 0.75
"""Blocks of bone that make a fit, and that make one up beside the object (else all are asked); the most that are used;
steps of the fit, and the share of the nearest that each of them uses."""

ITSELF = 0.3
"""Share of an object that comes to lie on itself, at the midline."""

NO_PAIRS = ("fingers", "toes")

Points = NDArray[np.float64]


def in_rib_cartilage(candidate: Candidate, place: Place) -> bool:
    """Whether an object may lie in the cartilage of ribs, that hardens on either side and is no deposit."""
    front = place.region in ("chest", "abdomen") and not place.dorsal
    return front and (place.by_cavity or not candidate.tied)


def apart_in_chest_wall(candidate: Candidate, place: Place) -> bool:
    """Whether an object lies apart in the wall of the chest: in thick slices a piece of rib.

    Its mirror image may fall between two ribs of the other side.
    """
    wall = place.among_ribs or (place.region in ("chest", "abdomen") and place.by_cavity)
    return wall and not candidate.tied


def against_bone(apart_mm: float | None) -> float:
    """By how much the log-odds for bone fall; 0 where symmetry says nothing."""
    return 0.0 if apart_mm is None else float(np.clip(apart_mm - BONE_MM, 0.0, MOST))


@dataclass
class Twins:
    """Mirror images among the dense objects of a scan.

    Attributes
    ----------
    points
        (n, 3) all dense blocks, RAS mm.
    labels
        (n,) their objects.
    sure
        (n,) whether they are sure bone.
    plane
        x of the body's plane of symmetry, RAS mm.
    """

    points: Points
    labels: NDArray[np.int32]
    sure: NDArray[np.bool_]
    plane: float
    _tree: cKDTree = field(init=False)
    _bone: Points = field(init=False)
    _bones: cKDTree = field(init=False)

    def __post_init__(self) -> None:
        self._tree = cKDTree(self.points)
        self._bone = self.points[self.sure]
        self._bones = cKDTree(self._bone)

    def _mirrored(self, points: Points) -> Points:
        return points * (-1.0, 1.0, 1.0) + (2.0 * self.plane, 0.0, 0.0)

    def _fit(self, source: Points) -> tuple[Points, Points]:
        """Lay points onto what is dense; the quarter that lies farthest is left out of each step."""
        rotation, shift = np.eye(3), np.zeros(3)
        for _ in range(ROUNDS):
            distance, nearest = self._tree.query(source @ rotation.T + shift)
            kept = distance <= max(float(np.quantile(distance, KEPT)), 1.0)
            before = (rotation, shift)
            motion = kabsch(source[kept], self.points[nearest[kept]])
            rotation, shift = motion[:3, :3], motion[:3, 3]
            if np.allclose(rotation, before[0], atol=1e-4) and np.allclose(shift, before[1], atol=0.05):
                break
        return rotation, shift

    def apart_mm(self, candidate: Candidate, place: Place) -> float | None:
        """Median distance in mm of an object's mirror image from what is dense; None where symmetry says nothing."""
        if place.region in NO_PAIRS or candidate.shape.volume_ml < LEAST_ML:
            return None
        if apart_in_chest_wall(candidate, place) or in_rib_cartilage(candidate, place):
            return None
        own = self.points[self.labels == candidate.label]
        centre = own.mean(0)
        around = self._bone[np.sort(self._bones.query_ball_point(centre, AROUND_MM)).astype(int)]
        if len(around) < LEAST_POINTS:
            return None
        around = around[:: -(-len(around) // MOST_POINTS)]
        rotation, shift = self._fit(self._mirrored(around))
        image = self._mirrored(centre[None])
        if float(np.linalg.norm(image @ rotation.T + shift - image)) > FARTHEST_MM:
            return None
        beside = around[np.linalg.norm(around - centre, axis=1) < BESIDE_MM]
        beside = beside if len(beside) >= LEAST_BESIDE else around
        distance, _ = self._tree.query(self._mirrored(beside) @ rotation.T + shift)
        if float(np.mean(distance < FITS_MM)) < FITTING:
            return None
        distance, nearest = self._tree.query(self._mirrored(own) @ rotation.T + shift)
        if float(np.mean((self.labels[nearest] == candidate.label) & (distance < FITS_MM))) > ITSELF:
            return None
        return float(np.median(distance))
