"""What bone and other hot organs explain of the uptake around them: spill by the PET's blur."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calciflow.measure.boxes import FWHM_PER_SIGMA, Spacing

ROUNDS = 8
"""Rounds of the maximum-likelihood iteration: by then uptake sits in the tissue it fits, before noise is amplified."""

SMOOTH_MM = 6.0
"""Reach over which a tissue's own uptake is averaged: a lesion at its surface must not pass for its uptake."""


@dataclass(frozen=True)
class Spill:
    """Uptake on the PET grid (crop or whole), SUV, that each hot tissue explains by itself and by its blur."""

    bone: NDArray[np.float32]
    organs: NDArray[np.float32]


def blur(image: NDArray[np.float32], fwhm_mm: float, spacing: Spacing) -> NDArray[np.float32]:
    """Blur by the PET's resolution; beyond the border lies nothing."""
    sigma = [fwhm_mm / FWHM_PER_SIGMA / step for step in spacing]
    result: NDArray[np.float32] = ndimage.gaussian_filter(image, sigma, mode="nearest", truncate=3.0)
    return result


class Along:
    """Averages along a tissue: normalised convolution with its share of each voxel."""

    def __init__(self, share: NDArray[np.float32], spacing: Spacing, reach_mm: float) -> None:
        self.share = share
        self.sigma = [reach_mm / step for step in spacing]
        self.weight = np.maximum(self._spread(share), np.float32(1e-4))

    def _spread(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        result: NDArray[np.float32] = ndimage.gaussian_filter(values, self.sigma, mode="nearest", truncate=2.5)
        return result

    def mean(self, activity: NDArray[np.float32]) -> NDArray[np.float32]:
        """Average of ``activity`` over the tissue around each voxel."""
        result = self._spread(self.share * activity)
        result /= self.weight
        return result


def predict_spill(
    suv: NDArray[np.float32],
    bone: NDArray[np.float32],
    organs: NDArray[np.float32],
    fwhm_mm: float,
    spacing: Spacing,
    smooth_mm: float = SMOOTH_MM,
) -> Spill:
    """Predict what bone and hot organs alone would show on this PET.

    The image is taken as the blur of three tissues: bone, organs, and soft tissue between. Their uptakes are found
    by Richardson-Lucy iteration (Richardson 1972, doi 10.1364/JOSA.62.000055; Lucy 1974, doi 10.1086/111605) from
    the CT's tissue shares, each tissue correcting its own uptake; bone's is averaged along the bone, so that uptake
    beside a bone is not bone's. What bone and organs hold is blurred again.

    Parameters
    ----------
    suv
        PET, g/ml.
    bone, organs
        Share of each PET voxel that is bone, and viscera or lung, 0 to 1.
    fwhm_mm
        Resolution of the PET, full width at half maximum.

    Notes
    -----
    Rousset et al. 1998 (geometric transfer matrix) solve the same mixture per region; here the uptake may vary
    along it.
    """
    image = np.maximum(suv, 0).astype(np.float32)
    soft = np.clip(1.0 - bone - organs, 0.0, 1.0).astype(np.float32)
    along_bone = Along(bone, spacing, smooth_mm)
    hot_bone = along_bone.mean(image)
    hot_organs = image.copy()
    rest = Along(soft, spacing, smooth_mm).mean(image)
    floor = np.float32(1e-3)
    has_bone = bool(bone.any())
    for _ in range(ROUNDS):
        mixture = blur(bone * hot_bone + organs * hot_organs + soft * rest, fwhm_mm, spacing)
        ratio = blur((image + floor) / (mixture + floor), fwhm_mm, spacing)
        np.clip(ratio, 0.5, 2.0, out=ratio)
        if has_bone:
            hot_bone *= along_bone.mean(ratio)
        hot_organs *= ratio
        rest *= ratio
    return Spill(bone=blur(bone * hot_bone, fwhm_mm, spacing), organs=blur(organs * hot_organs, fwhm_mm, spacing))
