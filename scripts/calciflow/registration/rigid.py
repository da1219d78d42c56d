"""Whole-body rigid search by mutual information, the same to the bit whatever the number of cores."""

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from calciflow.anatomy.grid import dilate
from calciflow.images import Volume
from calciflow.labels import REGION_LABELS
from calciflow.mapping import to_matrix, to_transform
from calciflow.registration.descent import Descent
from calciflow.registration.scene import FWHM_TO_SIGMA, Scene, box_around

# Arms, hands, head and feet move on their own between CT and PET; the rest of the body decides.
FIRM_REGIONS = ("chest", "abdomen", "pelvis", "shoulder", "thigh")
FIRM_LABELS = tuple(label for label, (region, _) in REGION_LABELS.items() if region in FIRM_REGIONS)
ENOUGH_FIRM = 0.3
"""Part of the body in view that must be firm regions to decide alone; a scan of a hand has none."""
_RIM_MM = 12.0
"""The mask reaches this far past the body, so that its outline counts."""
_HU_RANGE = (-500.0, 500.0)
_HOT_QUANTILE = 0.995
"""Uptake above is cut: bladder and kidneys would fill the histogram's range."""
_BINS = 32
_MOVING_MM, _SMOOTH_MM, _MARGIN_MM = 5.5, 5.0, 60.0
"""The PET is smoothed by 5 mm (FWHM) and sampled every 5.5 mm, to 60 mm past the mask: motion stays within that."""
_DESCENT = Descent(
    levels_mm=(18.0, 9.0), sigmas_mm=(6.0, 3.0), first_step_mm=2.0, last_step_mm=0.02, iterations=60, flat=1e-8
)
"""Distance of the CT blocks that are compared, and smoothing, at the two resolutions. A body has over 50,000 blocks of
9 mm, which fix six numbers to 0.1 mm; finer ones cost time and change nothing."""


def firm_mask(scene: Scene) -> NDArray[np.bool_]:
    """Blocks that decide on the body's position: firm regions and a rim around them, or all if they are too few."""
    body = scene.body > 0.5
    firm = body & np.isin(scene.regions, FIRM_LABELS)
    if firm.sum() < ENOUGH_FIRM * body.sum():
        firm = body
    return dilate(firm, _RIM_MM, scene.spacing)


def _moving(scene: Scene, mask: NDArray[np.bool_], top: float) -> Volume:
    """The PET around the body, its range compressed, smoothed and thinned to ``_MOVING_MM``."""
    steps = np.array([max(1.0, _MOVING_MM / step) for step in scene.pet.spacing])
    part = scene.pet.crop(box_around(scene.pet, scene.points(mask), _MARGIN_MM))
    # The square root evens out the step from air to body (0.3) and from muscle to bone (5).
    rooted = np.sqrt(np.clip(part.array, 0, top)).astype(np.float32)
    sigma = [_SMOOTH_MM * FWHM_TO_SIGMA / step for step in part.spacing]
    smooth = gaussian_filter(rooted, sigma, mode="nearest", truncate=3)
    axes = [np.arange(0, size - 1 + 1e-6, step) for size, step in zip(part.array.shape, steps, strict=True)]
    thin = map_coordinates(smooth, np.stack(np.meshgrid(*axes, indexing="ij")), output=np.float32, order=1)
    affine = part.affine.copy()
    affine[:3, :3] = part.affine[:3, :3] * steps[::-1]
    return Volume(thin, affine)


def search(scene: Scene) -> NDArray[np.float64] | None:
    """Find the rigid transform that maps CT points to PET points, starting at the header's alignment.

    Mattes mutual information on every voxel of the mask (no random sampling), two resolutions, one work unit: sums
    are made in one order, so the result does not depend on the machine's cores.

    Returns
    -------
    ndarray or None
        4 x 4, RAS mm; None if the search failed (hardly any overlap, a constant image).
    """
    fixed = Volume(np.clip(scene.hu, *_HU_RANGE), scene.affine).to_sitk()
    mask = firm_mask(scene)
    if not mask.any():
        return None
    values = scene.pet.array[::2, ::2, ::2]  # an eighth of the voxels gives the same quantile
    top = float(np.quantile(values[values > 0.05], _HOT_QUANTILE)) if (values > 0.05).any() else 0.0
    if top <= 0:
        return None
    moving = _moving(scene, mask, top).to_sitk()
    centre = scene.points(mask).mean(axis=0) * [-1, -1, 1]
    start = sitk.Euler3DTransform()
    start.SetCenter([float(value) for value in centre])

    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(_BINS)
    if not _DESCENT.run(method, (fixed, moving), mask, scene.affine, start):
        return None
    return to_matrix(to_transform(to_matrix(start)))


def rotation_degrees(matrix: NDArray[np.float64]) -> float:
    """Angle of a rigid transform's rotation."""
    return float(np.degrees(np.arccos(np.clip((np.trace(matrix[:3, :3]) - 1) / 2, -1, 1))))
