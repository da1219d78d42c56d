"""The search that the stages share: ITK's gradient descent over rigid transforms, the same on every machine."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from calciflow.images import Volume

_ANGLE_DIGITS, _SHIFT_DIGITS = 6, 4
"""Digits of radians and of mm that are kept: what lies below differs between machines and means nothing."""


@dataclass(frozen=True)
class Descent:
    """How a search steps.

    Attributes
    ----------
    levels_mm, sigmas_mm
        Grid and smoothing of each resolution.
    first_step_mm, last_step_mm
        Steps that it begins and ends with.
    iterations
        Most steps at a resolution.
    flat
        Length of the gradient below which it ends.
    """

    levels_mm: Sequence[float]
    sigmas_mm: Sequence[float]
    first_step_mm: float
    last_step_mm: float
    iterations: int
    flat: float

    def run(
        self,
        method: sitk.ImageRegistrationMethod,
        images: tuple[sitk.Image, sitk.Image],
        mask: NDArray[np.bool_],
        affine: NDArray[np.float64],
        start: sitk.Euler3DTransform,
    ) -> bool:
        """Search from ``start``, which is changed in place and rounded; False if the search failed.

        Every voxel of the mask counts (no random sampling) and there is one work unit: sums are made in one order.

        Parameters
        ----------
        method
            With its metric set.
        images
            The fixed and the moving one.
        mask, affine
            Voxels of the fixed image that count, and its 4 x 4 (RAS mm).
        """
        method.SetNumberOfWorkUnits(1)
        method.SetMetricSamplingStrategy(method.NONE)
        volume = Volume(mask, affine)
        method.SetMetricFixedMask(volume.to_sitk())
        method.SetInterpolator(sitk.sitkLinear)
        block = float(np.cbrt(np.prod(volume.spacing)))
        method.SetShrinkFactorsPerLevel([max(1, round(level / block)) for level in self.levels_mm])
        method.SetSmoothingSigmasPerLevel(list(self.sigmas_mm))
        method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
        method.SetOptimizerAsRegularStepGradientDescent(
            learningRate=self.first_step_mm,
            minStep=self.last_step_mm,
            numberOfIterations=self.iterations,
            gradientMagnitudeTolerance=self.flat,
        )
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetInitialTransform(start, inPlace=True)
        try:
            method.Execute(*images)
        except RuntimeError as error:  # ITK: too few samples map inside the moving image
            print(f"search stopped: {str(error).splitlines()[-1][:200]}")
            return False
        angles = [round(value, _ANGLE_DIGITS) for value in start.GetParameters()[:3]]
        shifts = [round(value, _SHIFT_DIGITS) for value in start.GetParameters()[3:]]
        start.SetParameters([*angles, *shifts])
        return True
