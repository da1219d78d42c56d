"""Foci that are a part of something hot: no valley parts them from the bladder, a kidney or another organ."""

import cc3d
import numpy as np
from scipy import ndimage

from calciflow.deposits.pet import PROMINENCE, SADDLE, Focus
from calciflow.deposits.scene import PetScene
from calciflow.measure.boxes import FWHM_PER_SIGMA

CALM = 0.5
"""The image is calmed by half the scanner's blur first, so that single voxels of noise are no summits."""

REACH_MM = 50.0
"""Half of a full bladder or of a kidney's length: farther organs are not looked for."""

ORGAN_SHARE = 0.4
"""Share of organ, as of a focus itself: so much of a small focus that lies beside an organ is not in it."""

BONE_SHARE = 0.3
"""Over bone two things hang together that have nothing in common."""


def belongs_to_organ(focus: Focus, scene: PetScene) -> bool:
    """Whether no valley parts a focus' peak from an organ, as of two foci that would be told apart.

    What hangs together at ``SADDLE`` of the peak's height above the background is one thing. Where the viscera in it
    are ``ORGAN_SHARE`` of them and the focus, so is the focus theirs: their slope, or a part of their plateau that the
    map does not hold.
    """
    spacing = np.array(scene.suv.spacing)
    reach = np.ceil(REACH_MM / spacing).astype(int)
    low = np.maximum(np.array(focus.peak) - reach, 0)
    box = tuple(slice(int(a), int(p + r + 1)) for a, p, r in zip(low, focus.peak, reach, strict=True))
    at = tuple(int(v) for v in np.array(focus.peak) - low)
    calm = ndimage.gaussian_filter(scene.suv.array[box], CALM * scene.fwhm_mm / FWHM_PER_SIGMA / spacing)
    height = calm[at] - scene.background[focus.peak]
    valley = min(SADDLE * height, height - PROMINENCE * scene.filtered_noise[focus.peak])
    over = (calm >= scene.background[focus.peak] + valley) & (scene.shares["bone"][box] <= BONE_SHARE)
    over[at] = True
    labels = cc3d.connected_components(over, connectivity=6)
    organs = scene.shares["organs"]
    organ = np.count_nonzero((organs[box] > 0.5) & (labels == labels[at]))
    rest = np.count_nonzero(organs[tuple(focus.voxels.T)] <= 0.5)
    return bool(organ >= ORGAN_SHARE * (organ + rest))
