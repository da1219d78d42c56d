"""Foci that are the slope of something hotter: uphill from them lies the bladder, a kidney or another organ."""

import numpy as np
from scipy import ndimage

from calciflow.deposits.pet import Focus
from calciflow.deposits.scene import PetScene
from calciflow.measure.boxes import FWHM_PER_SIGMA

CALM = 0.5
"""The image is calmed by half the scanner's blur first, so that single voxels of noise are no summits."""

FARTHEST = 2.5
"""An organ's edge is that near, in widths of the blur: blur carries uptake hardly more than one of them, and the map's
border may lie as far off again."""


def rises_to_organ(focus: Focus, scene: PetScene) -> bool:
    """Whether uptake only grows from a focus' peak to voxels that are mostly viscera: it has no summit of its own."""
    spacing = np.array(scene.suv.spacing)
    reach = np.ceil(FARTHEST * scene.fwhm_mm / spacing).astype(int)
    low = np.maximum(np.array(focus.peak) - reach, 0)
    box = tuple(slice(int(a), int(p + r + 1)) for a, p, r in zip(low, focus.peak, reach, strict=True))
    calm = ndimage.gaussian_filter(scene.suv.array[box], CALM * scene.fwhm_mm / FWHM_PER_SIGMA / spacing)
    organs = scene.shares["organs"][box]
    at = tuple(int(v) for v in np.array(focus.peak) - low)
    while organs[at] <= 0.5:
        near = tuple(slice(max(0, v - 1), v + 2) for v in at)
        best = np.unravel_index(int(np.argmax(calm[near])), calm[near].shape)
        step = tuple(int(part.start + v) for part, v in zip(near, best, strict=True))
        if calm[step] <= calm[at]:
            return False
        at = step
    return True
