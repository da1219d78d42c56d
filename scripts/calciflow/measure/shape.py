"""Extent and form of a lesion: nodule, sheet, tumoral or reticular."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calciflow.measure.boxes import Spacing, box_of, distance_to

SHEET_THINNESS = 0.5
"""A lesion whose largest inscribed ball is thinner than half the ball of its own volume is no lump."""

SHEET_ASPECT = 2.5
"""A sheet is that many times wider than thick in two directions."""

RETICULAR_FILL = 0.3
"""A net fills less than that share of its own bounding disc."""

TUMORAL_ML = 10.0
"""A lump from that volume on is called tumoral: some 27 mm across. Ours; tumoral calcinosis has no agreed limit."""

SMALLEST_VOXELS = 12
"""Fewer voxels have no form that could be told from noise."""


@dataclass(frozen=True)
class Shape:
    """Extent and form.

    Attributes
    ----------
    length_mm, width_mm, depth_mm
        Extent along the principal axes, the longest first.
    thickness_mm
        Diameter of the largest inscribed ball.
    thinness
        ``thickness_mm`` over the diameter of the ball of equal volume; 1 for a ball.
    axes
        Principal directions as rows, in array order (z, y, x), unit length.
    morphology
        ``nodule``, ``sheet``, ``tumoral`` or ``reticular``.
    """

    length_mm: float
    width_mm: float
    depth_mm: float
    thickness_mm: float
    thinness: float
    axes: NDArray[np.float64]
    morphology: str


def measure_shape(mask: NDArray[np.bool_], spacing: Spacing) -> Shape:
    """Measure extent and form of a mask of at least one voxel.

    Parameters
    ----------
    mask
        Crop.
    spacing
        Voxel size in mm, (z, y, x).
    """
    mask = mask[box_of(mask)]
    points = np.argwhere(mask) * np.array(spacing)
    centred = points - points.mean(axis=0)
    covariance = centred.T @ centred / len(points) + np.diag(np.array(spacing) ** 2 / 12.0)
    _, vectors = np.linalg.eigh(covariance)
    axes = vectors.T[::-1]
    # The voxel's own width along each direction: centres span one voxel less than the lesion does.
    own = np.abs(axes) @ np.array(spacing)
    spans = np.ptp(centred @ axes.T, axis=0) + own
    order = np.argsort(-spans, kind="stable")
    axes, spans = axes[order], spans[order]
    volume = len(points) * float(np.prod(spacing))
    padded = np.pad(mask, 1)
    # Distances run to the next voxel's centre outside: half a voxel too far.
    inner = float(distance_to(~padded, spacing)[padded].max()) - 0.5 * min(spacing)
    thickness = 2.0 * inner
    thinness = min(thickness / (6.0 * volume / np.pi) ** (1.0 / 3.0), 1.0)
    return Shape(
        float(spans[0]),
        float(spans[1]),
        float(spans[2]),
        thickness,
        thinness,
        axes,
        _form(len(points), volume, spans, thickness, thinness),
    )


def _form(voxels: int, volume_mm3: float, spans: NDArray[np.float64], thickness: float, thinness: float) -> str:
    if voxels < SMALLEST_VOXELS:
        return "nodule"
    if thinness < SHEET_THINNESS and spans[1] >= SHEET_ASPECT * thickness:
        disc = np.pi / 4.0 * float(spans[0] * spans[1]) * thickness
        return "sheet" if volume_mm3 >= RETICULAR_FILL * disc else "reticular"
    return "tumoral" if volume_mm3 >= 1000.0 * TUMORAL_ML else "nodule"
