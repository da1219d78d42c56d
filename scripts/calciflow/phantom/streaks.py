"""Streaks that metal throws on CT: the error of its sinogram (beam hardening, photon starvation), reconstructed.

The error is made on a coarse parallel-beam sinogram and goes through filtered back-projection (Kak and Slaney,
Principles of Computerized Tomographic Imaging, 1988, chapter 3), so bands and stars lie where a scanner puts them: dark
between two metals, along the longest path through one, bright beside it. Their strength is ours: some hundred HU.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from calciflow.measure.sinogram import ramp_filtered
from calciflow.phantom.shapes import Array, Grid
from calciflow.phantom.traps import Metal

_STEP_MM = 3.0
_ANGLES = 90
_HARDENING = 16.0
_HALF_MM = 40.0
"""A path p through metal (mm) seems shorter by 16 p^2 / (p + 40) mm of water. Only what is not linear in p makes
streaks: two squares of metal of 1 cm have -250 to -300 HU between them, as fillings and hips do."""
_STARVED = 0.6
_WATER_HU = 1000.0
_MOST_HU = 1200.0


def projector(shape: tuple[int, int], step: float, angles: int) -> tuple[csr_matrix, int]:
    """Line integrals (mm) of a plane (rows, columns) of ``step`` mm: matrix (angles * bins, pixels), number of bins."""
    ny, nx = shape
    y, x = np.meshgrid(np.arange(ny) - (ny - 1) / 2, np.arange(nx) - (nx - 1) / 2, indexing="ij")
    bins = int(np.ceil(np.hypot(nx, ny))) + 2
    pixel = np.arange(ny * nx)
    rows, columns, values = [], [], []
    for number, angle in enumerate(np.arange(angles) * np.pi / angles):
        s = (x * np.cos(angle) + y * np.sin(angle)).ravel() + (bins - 1) / 2
        low = np.floor(s).astype(int)
        for at, weight in ((low, 1 - (s - low)), (low + 1, s - low)):
            rows.append(number * bins + at)
            columns.append(pixel)
            values.append(weight)
    matrix = csr_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(angles * bins, ny * nx)
    )
    return matrix * step, bins


def back_project(sinogram: NDArray[np.float64], matrix: csr_matrix, bins: int, step: float) -> NDArray[np.float64]:
    """Filtered back-projection of sinograms (angles * bins, n) in mm: planes (pixels, n), without unit.

    The ramp filter is Kak and Slaney's eq. 61 of chapter 3, sampled at ``step`` mm.
    """
    angles = sinogram.shape[0] // bins
    filtered = ramp_filtered(sinogram.reshape(angles, bins, -1), step)
    out: NDArray[np.float64] = (matrix.T / step) @ filtered.reshape(angles * bins, -1) * np.pi / angles
    return out


def _share(size: int, step: float, coarse: int, coarse_step: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For linear interpolation from the coarse axis: the lower knot of each pixel, and the upper one's weight."""
    at = (np.arange(size) - (size - 1) / 2) * step / coarse_step + (coarse - 1) / 2
    low = np.clip(np.floor(at).astype(np.int64), 0, coarse - 2)
    return low, np.clip(at - low, 0, 1)


def add_streaks(hu: Array, grid: Grid, metals: Sequence[Metal], seed: int) -> dict[int, Array]:
    """Add the streaks of all metal to a CT, in place; metal itself stays as it is.

    Parameters
    ----------
    hu
        (z, y, x), HU.
    metals
        Boxes and covers on the same grid.
    seed
        Of the scan: photon starvation is random.

    Returns
    -------
    dict
        What was added to each slice that has metal, HU (y, x).
    """
    added: dict[int, Array] = {}
    if not metals:
        return added
    planes = sorted({k for metal in metals for k in range(metal.box[0].start, metal.box[0].stop)})
    place = {k: number for number, k in enumerate(planes)}
    _, ny, nx = grid.shape
    step = max(_STEP_MM, grid.spacing[2])
    cy, cx = (int(np.ceil(n * h / step)) + 1 for n, h in ((ny, grid.spacing[1]), (nx, grid.spacing[2])))
    iy, ix = (
        np.rint((np.arange(n) - (n - 1) / 2) * h / step + (c - 1) / 2).astype(int).clip(0, c - 1)
        for n, h, c in ((ny, grid.spacing[1], cy), (nx, grid.spacing[2], cx))
    )
    metal_map = np.zeros((len(planes), cy, cx))
    area = grid.spacing[1] * grid.spacing[2] / step**2
    for metal in metals:
        z, y, x = metal.box
        for number, part in enumerate(metal.cover):
            np.add.at(metal_map[place[z.start + number]], np.ix_(iy[y], ix[x]), part * area)
    matrix, bins = projector((cy, cx), step, _ANGLES)
    path = matrix @ np.minimum(metal_map, 1).reshape(len(planes), -1).T
    rng = np.random.default_rng([seed, 42])
    error = -_HARDENING * path**2 / (path + _HALF_MM)
    error += rng.standard_normal(path.shape) * _STARVED * np.minimum(path, 40) * np.exp(np.minimum(path, 40) / 40) / 4
    planes_error = back_project(error, matrix, bins, step).T.reshape(len(planes), cy, cx) * _WATER_HU
    ly, wy = _share(ny, grid.spacing[1], cy, step)
    lx, wx = _share(nx, grid.spacing[2], cx, step)
    kept = [(metal, hu[metal.box].copy()) for metal in metals]
    for number, k in enumerate(planes):
        if not metal_map[number].any():
            continue
        rows = planes_error[number][ly] * (1 - wy)[:, None] + planes_error[number][ly + 1] * wy[:, None]
        fine = rows[:, lx] * (1 - wx) + rows[:, lx + 1] * wx
        added[k] = np.clip(fine, -_MOST_HU, _MOST_HU).astype(np.float32)
        hu[k] += added[k]
    for metal, before in kept:
        part = hu[metal.box]
        part[metal.cover > 0.3] = before[metal.cover > 0.3]
    return added
