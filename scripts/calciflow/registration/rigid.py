"""Whole-body rigid search by mutual information, the same to the bit whatever the number of cores."""

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from calciflow.anatomy.grid import dilate
from calciflow.images import Volume
from calciflow.labels import REGION_LABELS
from calciflow.mapping import to_matrix, to_transform
from calciflow.registration.scene import FWHM_TO_SIGMA, Scene, indices

# Arms, hands, head and feet move on their own between CT and PET; the rest of the body decides.
FIRM_REGIONS = ("chest", "abdomen", "pelvis", "shoulder", "thigh")
_ENOUGH_FIRM = 0.3
"""Part of the body in view that must be firm regions to decide alone; a scan of a hand has none."""
_RIM_MM = 12.0
"""The mask reaches this far past the body, so that its outline counts."""
_HU_RANGE = (-500.0, 500.0)
_HOT_QUANTILE = 0.995
"""Uptake above is cut: bladder and kidneys would fill the histogram's range."""
_BINS = 32
_MOVING_MM, _SMOOTH_MM, _MARGIN_MM = 5.5, 5.0, 60.0
"""The PET is smoothed by 5 mm (FWHM) and sampled every 5.5 mm, to 60 mm past the mask: motion stays within that."""
_LEVELS_MM, _SIGMAS_MM = (18.0, 9.0), (6.0, 3.0)
"""Distance of the CT blocks that are compared, and smoothing, at the two resolutions. A body has over 50,000 blocks of
9 mm, which fix six numbers to 0.1 mm; finer ones cost time and change nothing."""
_FIRST_STEP_MM, _LAST_STEP_MM, _ITERATIONS = 2.0, 0.02, 60
_ANGLE_DIGITS, _SHIFT_DIGITS = 6, 4
"""Rounding of the result, rad and mm: far below what can be seen, far above the noise of another summing order."""


def firm_mask(scene: Scene) -> NDArray[np.bool_]:
    """Blocks that decide on the body's position: firm regions and a rim around them, or all if they are too few."""
    body = scene.body > 0.5
    labels = [label for label, (region, _) in REGION_LABELS.items() if region in FIRM_REGIONS]
    firm = body & np.isin(scene.regions, labels)
    if firm.sum() < _ENOUGH_FIRM * body.sum():
        firm = body
    return dilate(firm, _RIM_MM, scene.spacing)


def _moving(scene: Scene, mask: NDArray[np.bool_], top: float) -> Volume:
    """The PET around the body, its range compressed, smoothed and thinned to ``_MOVING_MM``."""
    places = indices(scene.pet, scene.points(mask)).T
    steps = np.array([max(1.0, _MOVING_MM / step) for step in scene.pet.spacing])
    margin = _MARGIN_MM / np.array(scene.pet.spacing)
    last = np.array(scene.pet.array.shape) - 1.0
    low = np.clip(np.floor(places.min(axis=0) - margin), 0, last)
    high = np.clip(np.ceil(places.max(axis=0) + margin), low, last)
    box = tuple(slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))
    part = scene.pet.crop((box[0], box[1], box[2]))
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
    method.SetNumberOfWorkUnits(1)
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricSamplingStrategy(method.NONE)
    method.SetMetricFixedMask(Volume(mask, scene.affine).to_sitk())
    method.SetInterpolator(sitk.sitkLinear)
    block = float(np.cbrt(np.prod(scene.spacing)))
    method.SetShrinkFactorsPerLevel([max(1, round(level / block)) for level in _LEVELS_MM])
    method.SetSmoothingSigmasPerLevel(list(_SIGMAS_MM))
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=_FIRST_STEP_MM,
        minStep=_LAST_STEP_MM,
        numberOfIterations=_ITERATIONS,
        gradientMagnitudeTolerance=1e-8,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(start, inPlace=True)
    try:
        method.Execute(fixed, moving)
    except RuntimeError as error:  # ITK: too few samples map inside the moving image
        print(f"rigid search stopped: {str(error).splitlines()[-1][:200]}")
        return None
    angles = [round(value, _ANGLE_DIGITS) for value in start.GetParameters()[:3]]
    shifts = [round(value, _SHIFT_DIGITS) for value in start.GetParameters()[3:]]
    start.SetParameters([*angles, *shifts])
    return to_matrix(to_transform(to_matrix(start)))


def rotation_degrees(matrix: NDArray[np.float64]) -> float:
    """Angle of a rigid transform's rotation."""
    return float(np.degrees(np.arccos(np.clip((np.trace(matrix[:3, :3]) - 1) / 2, -1, 1))))
