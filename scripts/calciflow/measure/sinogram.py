"""A small parallel-beam sinogram, for what lies on the rays of an object of a few voxels, such as metal.

After Kak and Slaney, Principles of Computerized Tomographic Imaging, 1988, chapter 3. Rays of direction number a of n
have the angle pi a / n: the point (y, x) lies on the ray s = x cos + y sin, mm from that through the origin.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Sinogram:
    """Values of rays.

    Attributes
    ----------
    rows
        (directions, bins).
    first, step
        Place of the first bin and width of one, mm.
    """

    rows: NDArray[np.float64]
    first: float
    step: float

    def squared(self) -> "Sinogram":
        """Squares of the values."""
        return Sinogram(self.rows**2, self.first, self.step)

    def scaled(self, factor: float) -> "Sinogram":
        """The values times a factor."""
        return Sinogram(self.rows * factor, self.first, self.step)

    def filtered(self) -> "Sinogram":
        """Folded with the ramp filter: what back-projection makes the image of (values mm: image without unit)."""
        return Sinogram(ramp_filtered(self.rows, self.step), self.first, self.step)

    def back_projected(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean over the directions, times pi, of the rays' values through points (n, 2) in mm; 0 beyond the last bin.

        Notes
        -----
        Of the filtered sinogram that is the image itself. Of variances of independent rays it is the variance that they
        leave in the image, up to a factor: the ramp filter's kernel falls with the fourth power of the distance when
        squared, so a ray passes its variance to its own line.
        """
        count, bins = self.rows.shape
        out = np.zeros(len(points))
        for row, (y, x) in zip(self.rows, directions(count), strict=True):
            place = (points[:, 0] * y + points[:, 1] * x - self.first) / self.step
            out += np.interp(place, np.arange(bins), row, left=0.0, right=0.0)
        return out * np.pi / count


def directions(count: int) -> NDArray[np.float64]:
    """Across rays: sine and cosine (y, x) of ``count`` angles over half a turn, (count, 2)."""
    angles = np.arange(count) * np.pi / count
    return np.stack([np.sin(angles), np.cos(angles)], axis=1)


def paths(points: NDArray[np.float64], area: float, count: int, step: float, reach: float) -> Sinogram:
    """Lengths of the rays within an object, mm.

    Parameters
    ----------
    points, area
        Its pixels' centres (n, 2) in mm, and the area of a pixel in mm2.
    count, step
        Directions, and width of a ray in mm; a pixel counts for the two rays that it lies between.
    reach
        Rays lie up to so far from the origin, mm, and a bin further than the object.
    """
    reach = max(reach, float(np.hypot(*points.T).max(initial=0.0))) + step
    half = int(np.ceil(reach / step))
    rows = np.zeros((count, 2 * half + 1))
    for row, across in zip(rows, directions(count), strict=True):
        place = points @ across / step + half
        low = np.floor(place).astype(int)
        share = place - low
        row += np.bincount(low, 1.0 - share, len(row))
        row += np.bincount(low + 1, share, len(row) + 1)[: len(row)]
    return Sinogram(rows * area / step, -half * step, step)


def ramp_filtered(rows: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Rows (directions, bins, ...) folded along their bins with the ramp filter.

    Kak and Slaney's eq. 61 of chapter 3, sampled at ``step`` mm.
    """
    bins = rows.shape[1]
    n = np.arange(-bins + 1, bins)
    kernel = np.zeros(len(n))
    kernel[n % 2 == 1] = -1 / (np.pi * n[n % 2 == 1] * step) ** 2
    kernel[n == 0] = 1 / (4 * step**2)
    size = 1 << int(np.ceil(np.log2(len(n) + bins)))
    spectrum = np.fft.rfft(np.roll(np.pad(kernel, (0, size - len(n))), -(bins - 1)))
    spectrum = spectrum.reshape((1, -1) + (1,) * (rows.ndim - 2))
    folded: NDArray[np.float64] = np.fft.irfft(np.fft.rfft(rows, size, axis=1) * spectrum, size, axis=1)[:, :bins]
    return folded * step
