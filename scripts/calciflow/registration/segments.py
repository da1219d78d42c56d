"""The parts of the body that move on their own, and what is known of how each moved."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calciflow.labels import region_label
from calciflow.registration.outline import NO_FIT, Fit

SHAFTS = ("upper_arm", "forearm", "thigh", "lower_leg")


@dataclass(frozen=True)
class Segment:
    """A part of the body that moves on its own.

    Attributes
    ----------
    name
        ``left forearm``.
    chain
        The limb it belongs to.
    regions
        The regions that it moves.
    ends
        Regions at its ends that tell of its place too, one of which moves with it: a shaft alone slides along itself
        unseen. The joint moves with a thigh, the foot with a lower leg.
    holder
        The regions that it hangs on: it turns about where it meets them.
    """

    name: str
    chain: str
    regions: tuple[tuple[str, str], ...]
    ends: tuple[tuple[tuple[str, str], ...], ...] = ((),)
    holder: tuple[tuple[str, str], ...] = ()

    @property
    def shaft(self) -> bool:
        """Whether its bone looks alike all along."""
        return self.regions[0][0] in SHAFTS

    @property
    def holder_labels(self) -> tuple[int, ...]:
        """Labels of the regions that it hangs on."""
        return tuple(region_label(region, side) for region, side in self.holder)

    @property
    def labels(self) -> tuple[int, ...]:
        """Labels of ``desc-regions_dseg`` that it moves."""
        return tuple(region_label(region, side) for region, side in self.regions)

    @property
    def seen_by(self) -> tuple[tuple[int, ...], ...]:
        """Sets of labels whose skeleton may tell of it."""
        return tuple((*self.labels, *(region_label(region, side) for region, side in end)) for end in self.ends)


def _segments() -> tuple[Segment, ...]:
    both = ("left", "right")
    neck = tuple(("neck", side) for side in both)
    found = [Segment("head", "head", tuple(("head", side) for side in both), holder=neck)]
    for side in both:
        for chain, root, joint, upper, lower, tip in (
            ("arm", "shoulder", "elbow", "upper_arm", "forearm", ("hand", "fingers")),
            ("leg", "pelvis", "knee", "thigh", "lower_leg", ("foot", "toes")),
        ):
            near = ((joint, side),)
            far = tuple((region, side) for region in tip)
            limb = f"{side} {chain}"
            found.append(Segment(f"{side} {upper}", limb, ((upper, side),), (near,), ((root, side),)))
            found.append(Segment(f"{side} {lower}", limb, ((lower, side),), (near, far), near))
            found.append(Segment(f"{side} {tip[0]}", limb, far, holder=((lower, side),)))
    return tuple(found)


SEGMENTS = _segments()
# What holds a chain to the rest of the body, and the joints between its segments, which take what is beside them.
ANCHORS = {"arm": ("shoulder",), "leg": ("pelvis",), "head": ("chest",)}
JOINTS = {"arm": ("elbow",), "leg": ("knee",), "head": ("neck",)}
HINGES = tuple(
    (joint, side, upper, lower)
    for side in ("left", "right")
    for joint, upper, lower in (("elbow", "upper_arm", "forearm"), ("knee", "thigh", "lower_leg"))
)


@dataclass(frozen=True)
class Correction:
    """A segment's own motion, on top of the whole body's.

    Attributes
    ----------
    verdict
        ``kept``, ``not needed``, ``rejected`` or ``untestable``.
    reason
        In words.
    matrix
        4 x 4, RAS mm, applied after the whole body's transform; identity unless kept.
    shift_mm
        How far it moves the segment's bone in the mean (proposed, if not kept).
    before, after
        Correlation of uptake with the skeleton.
    cap
        Uptake that both were cut at.
    outline
        How the limb's outline fits: a measure that the search did not look at.
    """

    verdict: str
    reason: str
    matrix: NDArray[np.float64]
    shift_mm: float | None = None
    before: float | None = None
    after: float | None = None
    cap: float = float("inf")
    outline: Fit = NO_FIT


NO_CORRECTION = Correction("untestable", "not looked at", np.eye(4))
