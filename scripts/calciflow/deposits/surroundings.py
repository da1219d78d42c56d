"""What a CT deposit stands in: its contrast over the tissue around it, voxel by voxel."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calciflow.deposits.crop import CtCrop
from calciflow.deposits.reference import SOFT_TISSUE_HU
from calciflow.labels import TISSUES
from calciflow.measure.boxes import FWHM_PER_SIGMA, dilate_voxels, widen_by
from calciflow.measure.density import local_background
from calciflow.measure.tail import blurred

CLEAR_MM = 1.5
"""Voxels that near to a deposit, beyond the blur, are no background: blur and threshold leave a rim there."""

LEAST_PLAIN = 30
"""Voxels of a tissue that its own background takes; with fewer, all tissues around are averaged."""

LIT_SHARE = 0.05
"""A twentieth of a deposit of 500 HU brightens fat by a fifth of its distance to muscle: more may change its label."""

CORE_HU = 250.0
"""No soft tissue is as bright, nor fat that is half deposit of 600 HU."""

AIR_HU = -300.0
"""Fat reads -120 HU at the lowest: darker is mixed with air."""

AIR_SHARE = 0.02
"""A fiftieth of air darkens a voxel by 20 HU, about as much as the background is uncertain."""


def surroundings(
    crop: CtCrop, over: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """HU as float, contrast over the local background, and the voxels that the background was taken from.

    A voxel's background is that of its own tissue nearby: a deposit that fills a thin layer of fat stands in fat,
    although skin and muscle are as near.

    Parameters
    ----------
    over
        Deposits, in the crop.
    """
    spacing, labels = crop.spacing, crop.labels
    values = crop.hu.astype(np.float32)
    clear = FWHM_PER_SIGMA * max(crop.blur_mm[1:]) + CLEAR_MM
    body = labels > 0
    across = max(clear, 1.1 * spacing[0])
    within = clear if crop.steady.all() else across  # a streak runs on into what lies beside it
    near = widen_by(over, (across, within, within), spacing)
    plain = body & ~crop.rim & ~near & (crop.hu > AIR_HU) & (crop.hu < CORE_HU)
    inner = plain & ~beside_air(crop)
    plain = inner if inner.sum() >= LEAST_PLAIN else plain
    labels = _undimmed(crop, over, plain)
    kinds = [int(kind) for kind in np.unique(labels[near & body]) if (plain & (labels == kind)).sum() >= LEAST_PLAIN]
    # Elsewhere, in bone's depth and in air, no contrast is asked for: it is left at zero.
    background = values.copy()
    rest = (near | plain) & body
    for kind in kinds:
        asked = rest & (labels == kind)
        background[asked] = local_background(values, plain & (labels == kind), spacing, asked)[asked]
        rest = rest & ~asked
    lean = rest & (labels == TISSUES["muscle"])
    background[lean] = SOFT_TISSUE_HU  # too little of it is in view to be measured
    rest &= ~lean
    if rest.any():
        background[rest] = local_background(values, plain, spacing, rest)[rest]
    return values, values - background, plain


def _undimmed(crop: CtCrop, over: NDArray[np.bool_], plain: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Labels in which what a deposit brightens has the tissue of the nearest voxel whose tissue is sure.

    Fat that holds a third of a deposit reads as muscle does, and is labelled so: at its edge, and in a thick slice that
    it hardly reaches into. Sure are plain voxels, and the cores of deposits, which the map labels by what lies around.
    Where bone or streaks of metal brighten as well, labels stay.
    """
    labels, spacing = crop.labels, crop.spacing
    unsure = crop.rim | ~crop.steady[:, None, None]
    core = over & (crop.hu >= CORE_HU)
    # Where in its slice a deposit ends is not known: it may reach into the next.
    reaching = dilate_voxels(over & ~unsure, (1, 0, 0))
    lit = (labels > 0) & ~core & (over | (blurred(reaching, spacing, crop.blur_mm) > LIT_SHARE)) & ~unsure
    sure = plain & ~lit | core
    if not lit.any() or not sure.any():
        return labels
    nearest = ndimage.distance_transform_edt(~sure, spacing, return_distances=False, return_indices=True)
    result = labels.copy()
    result[lit] = labels[tuple(axis[lit] for axis in nearest)]
    return result


def beside_air(crop: CtCrop) -> NDArray[np.bool_]:
    """Voxels that air darkens: at the skin, around gas."""
    return blurred((crop.labels == 0) | (crop.hu < AIR_HU), crop.spacing, crop.blur_mm) > AIR_SHARE
