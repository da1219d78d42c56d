"""An analytic limb for the tests of lesions and compartments: a cylinder of skin, fat, muscle and bone, with balls
in it."""

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from calciflow.images import Volume
from calciflow.labels import TISSUES, region_label

SKIN_MM, FAT_MM, MUSCLE_MM, BONE_MM = 60.0, 58.0, 45.0, 12.0
"""Outer radii of skin, fat, muscle and bone."""

HU = {"outside": -1000.0, "skin": 20.0, "subcutaneous_fat": -100.0, "muscle": 55.0, "bone": 900.0}
SUV = {"outside": 0.0, "skin": 0.3, "subcutaneous_fat": 0.2, "muscle": 0.6, "bone": 5.0}
FINE = 3
FWHM_PER_SIGMA = 2.354820045


@dataclass(frozen=True)
class Ball:
    """A deposit: centre RAS mm, volume, HU (None: not on CT), SUV (None: that of its surroundings)."""

    x: float
    y: float
    z: float
    volume_ml: float
    hu: float | None = 600.0
    suv: float | None = None

    @property
    def radius(self):
        return (3000.0 * self.volume_ml / (4.0 * np.pi)) ** (1.0 / 3.0)


@dataclass
class Limb:
    ct: Volume
    suv: Volume
    tissues: np.ndarray
    regions: np.ndarray
    anatomy: dict = field(default_factory=dict)


def grid(spacing, extent):
    """Axis-aligned grid centred on the origin: shape (z, y, x) and affine."""
    shape = tuple(round(2 * half / step) + 1 for half, step in zip(extent, spacing, strict=True))
    affine = np.diag([spacing[2], spacing[1], spacing[0], 1.0])
    affine[:3, 3] = [-(n - 1) / 2 * s for n, s in zip(shape[::-1], spacing[::-1], strict=True)]
    return shape, affine


def _axes(shape, affine, fine=1):
    out = []
    for axis, size in enumerate(shape):
        step, origin = affine[2 - axis, 2 - axis], affine[2 - axis, 3]
        index = (np.arange(size * fine) + 0.5) / fine - 0.5
        line = [1, 1, 1]
        line[axis] = -1
        out.append((origin + step * index).reshape(line))
    return out


def labels_on(shape, affine, fine=1):
    z, y, x = _axes(shape, affine, fine)
    radius = np.sqrt(x**2 + y**2) + 0 * z
    result = np.zeros(radius.shape, np.uint8)
    for name, outer in (("skin", SKIN_MM), ("subcutaneous_fat", FAT_MM), ("muscle", MUSCLE_MM), ("bone", BONE_MM)):
        result[radius <= outer] = TISSUES[name]
    return result


def _painted(shape, affine, values, balls, key, fine):
    labels = labels_on(shape, affine, fine)
    table = np.array([values["outside"]] + [values.get(name, values["muscle"]) for name in TISSUES], np.float32)
    image = table[labels]
    z, y, x = _axes(shape, affine, fine)
    for ball in balls:
        value = getattr(ball, key)
        if value is not None:
            inside = (x - ball.x) ** 2 + (y - ball.y) ** 2 + (z - ball.z) ** 2 <= ball.radius**2
            image[inside] = value
    return image


def _coarse(image, fine):
    z, y, x = (n // fine for n in image.shape)
    return image.reshape(z, fine, y, fine, x, fine).mean(axis=(1, 3, 5))


def limb(
    balls=(), *, ct_spacing=(3.0, 1.5, 1.5), pet_spacing=(3.0, 4.0, 4.0), half_z=45.0, kernel_mm=1.5, fwhm_mm=6.0,
    noise_hu=12.0, noise_suv=0.05, seed=0, bone_suv=5.0,
):  # fmt: skip
    """Make CT, PET and label maps of the limb with balls; PET and CT share their frame of reference."""
    rng = np.random.default_rng(seed)
    shape, affine = grid(ct_spacing, (half_z, 66.0, 66.0))
    fine = _painted(shape, affine, HU, balls, "hu", FINE)
    sigma = kernel_mm / FWHM_PER_SIGMA
    for axis in (1, 2):
        fine = ndimage.gaussian_filter1d(fine, sigma * FINE / ct_spacing[axis], axis)
    ct = _coarse(fine, FINE) + noise_hu * rng.standard_normal(shape)
    pet_shape, pet_affine = grid(pet_spacing, (half_z, 70.0, 70.0))
    uptake = _painted(pet_shape, pet_affine, {**SUV, "bone": bone_suv}, balls, "suv", FINE)
    # Beyond the ends the limb goes on: the image is blurred with its edge repeated.
    steps = [fwhm_mm / FWHM_PER_SIGMA * FINE / step for step in pet_spacing]
    suv = _coarse(ndimage.gaussian_filter(uptake, steps, mode="nearest"), FINE)
    grain = ndimage.gaussian_filter(rng.standard_normal(pet_shape), [4.5 / FWHM_PER_SIGMA / s for s in pet_spacing])
    suv = suv + noise_suv * grain / grain.std()
    tissues = labels_on(shape, affine)
    regions = np.where(tissues > 0, region_label("thigh", "right"), 0).astype(np.uint8)
    anatomy = {
        "regions": {"right thigh": {"volume_ml": 1000.0, "touches_border": True, "imaged_fraction": 0.3}},
        "joints": [],
        "midline": {"point_mm": [-100.0, 0.0, 0.0], "normal": [1.0, 0.0, 0.0]},
        "noise_hu": noise_hu,
        "uncertain_bone": [],
        "warnings": [],
    }
    return Limb(
        Volume(np.round(ct).astype(np.int16), affine),
        Volume(np.maximum(suv, 0).astype(np.float32), pet_affine),
        tissues,
        regions,
        anatomy,
    )
