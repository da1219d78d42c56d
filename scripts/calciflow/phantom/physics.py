"""What a scanner makes of a person: CT with blur, slice profile, couch and noise; PET with blur, movement and noise."""

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.ndimage import correlate1d, gaussian_filter, gaussian_filter1d, uniform_filter1d
from scipy.sparse import csr_matrix

from calciflow.images import Volume
from calciflow.phantom.canvas import AIR_HU, Canvas
from calciflow.phantom.movement import Movement
from calciflow.phantom.shapes import Array, Grid
from calciflow.phantom.spec import CtSpec, PetSpec

_SIGMA = 1 / np.sqrt(8 * np.log(2))  # sigma of a Gaussian of FWHM 1

CALCIUM = {80: 1.44, 100: 1.17, 120: 1.0, 140: 0.89}
"""CT value of calcium relative to 120 kVp. Ours: from the fall of hydroxyapatite's mass attenuation against water's
with the beam's effective energy (NIST XCOM), rounded; scanners differ by some 5 %."""

_REFERENCE_MM = 300.0
_WATER_PER_MM = 0.0193  # water at about 70 keV effective (NIST)
_WATER_511_PER_MM = 0.0096


def calcium_factor(kvp: float) -> float:
    """CT value of calcium relative to 120 kVp, between the tabulated voltages."""
    return float(np.interp(kvp, list(CALCIUM), list(CALCIUM.values())))


def blur_ct(hu: Array, spacing: tuple[float, float, float], spec: CtSpec) -> None:
    """In-plane kernel and slice profile, in place.

    The painter softens edges over about a voxel already; what is left of the kernel is applied here.
    """
    for axis in (1, 2):
        left = (spec.kernel_fwhm_mm * _SIGMA) ** 2 - spacing[axis] ** 2 / 12
        sigma = np.sqrt(max(left, 0.0)) / spacing[axis]
        if sigma > 0.2:
            # slice by slice: the work stays in the cache
            for plane in hu:
                plane[...] = gaussian_filter1d(plane, sigma, axis=axis - 1, mode="nearest", truncate=3)
    extra = ((spec.thickness_mm or spec.slice_mm) - spec.slice_mm) / spec.slice_mm
    if extra > 0:
        weights = np.zeros(2 * int(np.ceil(extra / 2)) + 1)
        weights += 1
        weights[0] = weights[-1] = extra / 2 - (len(weights) - 3) / 2
        correlate1d(hu, weights / weights.sum(), axis=0, output=hu, mode="nearest")


def water_diameter(hu: Array, pixel_mm2: float) -> NDArray[np.float64]:
    """Water-equivalent diameter of each slice in mm (AAPM Report 220)."""
    total = np.array([np.maximum(plane, AIR_HU).sum(dtype=np.float64) / 1000 + plane.size for plane in hu])
    return 2 * np.sqrt(np.maximum(total * pixel_mm2, 1.0) / np.pi)


def add_couch(canvas: Canvas, spec: CtSpec) -> None:
    """Couch under the body and blanket over the legs, painted where the body is not."""
    grid = canvas.grid
    x, y, _ = grid.axes()
    if spec.table:
        middle = float(x[0, 0, x.size // 2])
        dish = (x[0, 0] - np.float32(middle)) ** 2 / np.float32(2 * 520.0)  # the couch is a shallow trough
        body = (canvas.skin < 0).any(axis=0)
        rows, columns = np.nonzero(body)
        if len(rows):
            top = float((y[0, rows, 0] - dish[columns]).min()) - 5.0
            d = y[0] - (dish[None] + np.float32(top))  # > 0 above the couch
            half = np.abs(x[0] - np.float32(middle)) - np.float32(212)
            shell = np.maximum(np.abs(d + 12) - 12, half)
            cover = np.clip(0.5 - shell / canvas.voxel, 0, 1)
            core = np.clip(0.5 - (shell + 2.2) / canvas.voxel, 0, 1)
            mat = np.clip(0.5 - np.maximum(np.abs(d - 2) - 2.0, half + 8) / canvas.voxel, 0, 1)
            plane = np.float32(AIR_HU) + cover * np.float32(760) - core * np.float32(700) + mat * np.float32(180)
            for hu, skin in zip(canvas.hu, canvas.skin, strict=True):
                np.copyto(hu, plane, where=(skin > 1.5) & (plane > AIR_HU + 1))
    if spec.blanket:
        z = grid.axes()[2].reshape(-1)
        for k in np.flatnonzero((z > 120) & (z < 800)):
            skin, hu = canvas.skin[k], canvas.hu[k]
            layer = np.clip(1 - np.abs(skin - 7) / np.float32(2.5), 0, 1) * (y[0] > -20)
            hu += layer * np.float32(170)


def ct_noise_sd(diameter: NDArray[np.float64], spec: CtSpec) -> NDArray[np.float64]:
    """Noise (HU) in the middle of each slice from its water-equivalent diameter.

    Half of the exponential growth with the path is undone by tube current modulation.
    """
    grow = np.exp(0.25 * _WATER_PER_MM * (diameter - _REFERENCE_MM))
    thin = np.sqrt(3.0 / (spec.thickness_mm or spec.slice_mm))
    return spec.noise_hu * np.clip(grow, 0.25, 2.5) * thin


def add_ct_noise(hu: Array, grid: Grid, spec: CtSpec, seed: int) -> NDArray[np.float64]:
    """Add noise in place and return its SD a slice; a slice's noise does not depend on the field of view along z.

    Noise is highest in the middle of the body, and is streaked from side to side where the body is much wider than
    deep.
    """
    diameter = water_diameter(hu, grid.spacing[1] * grid.spacing[2])
    sd = ct_noise_sd(diameter, spec)
    x, y, _ = grid.axes()
    blur = np.clip(spec.kernel_fwhm_mm * _SIGMA / grid.spacing[2], 0.35, 1.5)
    probe = np.zeros((41, 41), np.float32)
    probe[20, 20] = 1
    fine_gain = 1 / np.sqrt((gaussian_filter(probe, blur) ** 2).sum())
    long_gain = 1 / np.sqrt((gaussian_filter(probe, (blur, 8)) ** 2).sum())
    for k in range(grid.shape[0]):
        # The place of the slice in the body, not its number, seeds it.
        place = round((grid.origin[2] + k * grid.spacing[0]) * 100) + (1 << 24)
        rng = np.random.default_rng([seed, 4, place])
        white = rng.standard_normal(grid.shape[1:], dtype=np.float32)
        noise = gaussian_filter(white, blur, truncate=3) * np.float32(fine_gain)
        body = hu[k] > -300
        columns, rows = body.any(axis=0), body.any(axis=1)
        if columns.any():
            wide, deep = columns.sum() * grid.spacing[2], rows.sum() * grid.spacing[1]
            streak = float(np.clip((wide / max(deep, 1.0) - 1.6) * 0.5, 0, 0.9))
            if streak > 0.05:
                noise = noise * np.float32(np.sqrt(1 - streak**2 * 0.5)) + gaussian_filter(
                    white[::-1], (blur, 8), truncate=2.5
                ) * np.float32(long_gain * streak * 0.7)
            cx = float(x.reshape(-1)[columns].mean())
            cy = float(y.reshape(-1)[rows].mean())
            shape = np.exp(-(((x[0] - cx) / (0.62 * wide)) ** 2) - ((y[0] - cy) / (0.62 * max(deep, 60))) ** 2)
            noise *= np.float32(0.5) + np.float32(0.5) * shape.astype(np.float32)
        else:
            noise *= np.float32(0.5)
        hu[k] += noise * np.float32(sd[k])
    return sd


def resampling_matrix(
    size: int, step: float, origin: float, new_size: int, new_step: float, new_origin: float, sigma: float
) -> csr_matrix:
    """Gaussian blur and resampling along an axis as one sparse matrix (new_size, size).

    Rows are normalised by the kernel's whole sum, not by the part that falls in view, so that activity is conserved and
    outside the field of view counts as empty.
    """
    centres = new_origin + new_step * np.arange(new_size)
    reach = 4 * sigma
    rows, columns, values = [], [], []
    for row, centre in enumerate(centres):
        low = int(np.ceil((centre - reach - origin) / step))
        high = int(np.floor((centre + reach - origin) / step))
        index = np.arange(low, high + 1)
        weight = np.exp(-0.5 * ((origin + index * step - centre) / sigma) ** 2)
        weight /= weight.sum()
        keep = (index >= 0) & (index < size)
        rows += [row] * int(keep.sum())
        columns += index[keep].tolist()
        values += weight[keep].tolist()
    return csr_matrix((np.array(values, np.float32), (rows, columns)), shape=(new_size, size))


def blur_resample(array: Array, grid: Grid, new: Grid, fwhm_mm: float) -> Array:
    """Blur with an isotropic Gaussian of ``fwhm_mm`` and sample on another grid."""
    sigma = fwhm_mm * _SIGMA
    matrices = [
        resampling_matrix(n, h, o, m, k, p, sigma)
        for n, h, o, m, k, p in zip(
            grid.shape, grid.spacing, grid.origin[::-1], new.shape, new.spacing, new.origin[::-1], strict=True
        )
    ]
    my, mx = matrices[1], matrices[2]
    planes = np.empty((grid.shape[0], new.shape[1], new.shape[2]), np.float32)
    for k, plane in enumerate(array):
        planes[k] = (mx @ (my @ plane).T).T
    out = matrices[0] @ planes.reshape(grid.shape[0], -1)
    return np.ascontiguousarray(out.reshape(new.shape), np.float32)


def pet_grid(ct: Grid, spec: PetSpec) -> Grid:
    """PET grid that holds the CT's field of view; its voxels sit at no simple offset to the CT's."""
    low = np.array(ct.origin) - 0.5 * np.array(ct.spacing)[::-1]
    extent = np.array(ct.shape)[::-1] * np.array(ct.spacing)[::-1]
    steps = np.array([spec.pixel_mm, spec.pixel_mm, spec.slice_mm])
    margin = np.array([spec.margin_mm, spec.margin_mm, 0.0])
    size = np.floor((extent + 2 * margin) / steps).astype(int)
    size[:2] = max(size[:2])
    origin = low + 0.5 * (extent - size * steps) + 0.5 * steps + np.array([0.7, -0.4, 0.0])
    return Grid(
        (int(size[2]), int(size[1]), int(size[0])),
        (spec.slice_mm, spec.pixel_mm, spec.pixel_mm),
        (float(origin[0]), float(origin[1]), float(origin[2])),
    )


def _moved(image: Volume, matrix: NDArray[np.float64], new: Grid) -> Array:
    """An image moved by a 4 x 4 (RAS mm) and sampled on a grid, linearly; empty outside."""
    back = np.linalg.inv(matrix)
    flip = np.diag([-1.0, -1.0, 1.0])
    transform = sitk.AffineTransform(3)
    transform.SetMatrix([float(v) for v in (flip @ back[:3, :3] @ flip).ravel()])
    transform.SetTranslation([float(v) for v in flip @ back[:3, 3]])
    target = Volume(np.zeros(new.shape, np.uint8), new.affine).to_sitk()
    moved = sitk.Resample(image.to_sitk(), target, transform, sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    return sitk.GetArrayFromImage(moved)


def pet_ideal(suv: Array, grid: Grid, new: Grid, spec: PetSpec, movement: Movement) -> Array:
    """Noise-free PET in SUV on the PET grid, after movement.

    A limb that moves on its own is cut out, moved, and added: all steps are linear, and at its joint, where the two
    parts are faded into each other, they lie within 3 mm.
    """
    limb = movement.limb
    if limb is None and np.array_equal(movement.body, np.eye(4)):
        return blur_resample(suv, grid, new, spec.fwhm_mm)
    # Blur onto a grid of half the PET's steps, then move that with linear interpolation, which adds h^2/6 of variance.
    step = min(spec.pixel_mm, spec.slice_mm) / 2
    fwhm = float(np.sqrt(max(spec.fwhm_mm**2 - step**2 / 6 / _SIGMA**2, 1.0)))

    def blurred(array: Array, own: Grid) -> Volume:
        # a margin, so that what the blur carries over the border is not lost
        pad = np.ceil(2 * spec.fwhm_mm / step) if own is not grid else 0
        size = [int(np.ceil(n * h / step) + 1 + 2 * pad) for n, h in zip(own.shape, own.spacing, strict=True)]
        x, y, z = (float(o - pad * step) for o in own.origin)
        half = Grid((size[0], size[1], size[2]), (step, step, step), (x, y, z))
        return Volume(blur_resample(array, own, half, fwhm), half.affine)

    if limb is None:
        return _moved(blurred(suv, grid), movement.body, new)
    kept = suv[limb.box].copy()
    suv[limb.box] *= 1 - limb.weight
    out = _moved(blurred(suv, grid), movement.body, new)
    suv[limb.box] = kept
    corner = np.array([part.start for part in limb.box])[::-1] * np.array(grid.spacing)[::-1] + np.array(grid.origin)
    own = Grid(kept.shape, grid.spacing, (float(corner[0]), float(corner[1]), float(corner[2])))
    out += _moved(blurred(kept * limb.weight, own), limb.matrix, new)
    return out


_PET_POWER = 0.6
_PET_FLOOR = 0.02


def pet_noise_sd(diameter_mm: NDArray[np.float64], spec: PetSpec) -> NDArray[np.float64]:
    """Noise of a voxel of 1 SUV at each slice (SUV), from the body's water-equivalent diameter there."""
    grow = np.exp(0.25 * _WATER_511_PER_MM * (diameter_mm - _REFERENCE_MM))
    return spec.noise * np.clip(grow, 0.5, 2.5)


def noise_with_signal(suv: float) -> float:
    """How noise grows with the signal, relative to that of 1 SUV: as ``add_pet_noise`` has it."""
    return float((max(suv, 0.0) + _PET_FLOOR) ** _PET_POWER)


def add_pet_noise(suv: Array, grid: Grid, spec: PetSpec, diameter_mm: NDArray[np.float64], seed: int) -> Array:
    """PET with correlated noise whose variance grows with the signal and with attenuation along the path.

    Parameters
    ----------
    suv
        Noise-free PET, (z, y, x).
    diameter_mm
        Water-equivalent diameter of the body at each slice (z,).

    Returns
    -------
    array
        float32, not negative, as iterative reconstruction gives it.
    """
    rng = np.random.default_rng([seed, 5])
    sigma = [spec.noise_fwhm_mm * _SIGMA / h for h in grid.spacing]
    noise = rng.standard_normal(grid.shape, dtype=np.float32)
    probe = np.zeros((25, 25, 25), np.float32)
    probe[12, 12, 12] = 1
    gain = 1 / np.sqrt((gaussian_filter(probe, sigma) ** 2).sum())
    noise = gaussian_filter(noise, sigma, truncate=3, mode="wrap")
    local = uniform_filter1d(suv, 3, axis=0, mode="nearest")
    np.maximum(local, 0, out=local)
    # Iterative reconstruction: between Poisson's square root and proportional; almost nothing outside the body.
    np.add(local, np.float32(_PET_FLOOR), out=local)
    np.power(local, np.float32(_PET_POWER), out=local)
    noise *= local
    noise *= (gain * pet_noise_sd(diameter_mm, spec)).astype(np.float32)[:, None, None]
    noise += suv
    return np.maximum(noise, 0, out=noise)
