"""Where metal's streaks lie in a slice, and how bright they are there.

A streak is the error of rays through metal, drawn along their lines by filtered back-projection (De Man et al. 1999,
IEEE Trans Nucl Sci 46:691). So metal's shape tells where streaks lie: they gather where many rays with a long way
through metal meet. How bright they are the slice's own muscle tells. Two kinds are told apart:

- beam hardening shortens a path p through metal by an amount that grows faster than p, in the first order as its square
  (Brooks and Di Chiro 1976, Phys Med Biol 21:390): the same bands in all slices with the same metal, dark along the
  longest paths and bright beside them;
- photon starvation makes rays err at random, the more the longer their path: its variance in a place is the sum over
  the rays that pass there.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from calciflow.deposits.reference import MAD_TO_SD
from calciflow.labels import TISSUES
from calciflow.measure.boxes import Spacing
from calciflow.measure.sinogram import Sinogram, paths

DIRECTIONS, WIDTH_MM = 180, 3.0
"""Rays: a degree apart they lie no wider than that 170 mm from the metal, and streaks are as wide: some detector bins,
and the CT's blur."""

SAMPLES, LEAST_MUSCLE = 2000, 500
"""Voxels of muscle in a slice that its streaks are measured on: about so many of them, and at least."""

NEAR = 0.75
"""Quantile of muscle by the rays' share, above which streaks are measured: there they stand out of the noise."""

OUTLIER = 3.0
"""Muscle further off what is expected, in its spreads, is fat between muscles or a deposit."""

ROUNDS = 5
"""Of fitting with such outliers drawn nearer: some two per cent of a slice's muscle are, so it settles at once."""

REACH_MM, NOISE_SLICES = 60.0, 5
"""Slices without metal up to that far off tell the noise: the median of that many, linear in between."""

BRIGHTEST = 5.3
"""Of Gaussian streaks the brightest in one scan of twenty, in standard deviations: the soft tissue of the slices with a
prosthesis holds some 800,000 places as wide as a streak."""

DRAWN_OUT, ALIGNED_DEG = 2.0, 10.0
"""What is so many times as long as wide, and points at the metal within the error of an axis of some ten voxels, is
drawn as a streak is: no nodule is, and a sheet or strand by chance in one case of six."""

LONGER_TAILS = 2.0
"""What is drawn as a streak passes for one up to so many times that brightness: photon starvation has longer tails than
a Gaussian, and errors that repeat from slice to slice draw the same streak in all of them. In three phantoms with hip
prostheses such streaks end at 1.7 times, others at 1.1; true deposits begin at 1.15 times, none drawn as a streak."""

FELT = 0.5
"""Streaks below that share of the noise raise its spread by less than an eighth: a candidate has already stood out of
noise, and streaks are no reason to doubt it."""


@dataclass(frozen=True)
class Rays:
    """Streaks of one slice.

    Attributes
    ----------
    spread
        Back-projected: variance of what is random, HU^2.
    bands
        Back-projected: what hardening adds, HU.
    noise
        Standard deviation without streaks, HU.
    origin
        Row and column that the rays' places count from, mm.
    metal
        Its pixels' centres from there, (n, 2), mm.
    """

    spread: Sinogram
    bands: Sinogram
    noise: float
    origin: NDArray[np.float64]
    metal: NDArray[np.float64]

    def brightest(self, places: NDArray[np.float64]) -> float:
        """Rise over muscle of the brightest streak that places (n, 2; rows and columns in mm) may hold, HU."""
        band = float(self.bands.back_projected(places - self.origin).max(initial=0.0))
        variance = float(self.spread.back_projected(places - self.origin).mean())
        felt = variance**0.5 >= FELT * self.noise
        return band + (BRIGHTEST * (variance + self.noise**2) ** 0.5 if felt else 0.0)

    def drawn(self, voxels: NDArray[np.int64], spacing: Spacing) -> bool:
        """Whether voxels (n, 3) are drawn as a streak is: longer than wide in their slices, and towards the metal."""
        length, width, axis = extent_in_slices(voxels, spacing)
        if length < DRAWN_OUT * width:
            return False
        way = self.metal - (voxels[:, 1:].mean(axis=0) * np.array(spacing[1:]) - self.origin)
        ahead, aside = way @ axis, way @ np.array([axis[1], -axis[0]])
        return bool(np.rad2deg(np.arctan2(np.abs(aside), np.abs(ahead))).min() <= ALIGNED_DEG)


def find_rays(
    hu: NDArray[np.int16], tissues: NDArray[np.uint8], metal: dict[int, NDArray[np.int64]], spacing: Spacing
) -> dict[int, Rays]:
    """Measure the streaks of slices with metal.

    Parameters
    ----------
    hu, tissues
        The CT and its tissue labels.
    metal
        Rows and columns (n, 2) of metal's pixels, by slice.

    Returns
    -------
    dict
        By slice; one with too little muscle to measure streaks is left out.
    """
    noise = noise_without(hu, tissues, np.array(sorted(metal), int), spacing[0])
    scale = np.array(spacing[1:], float)
    found = {}
    for index, pixels in metal.items():
        muscle = np.argwhere(tissues[index] == TISSUES["muscle"])
        if len(muscle) < LEAST_MUSCLE:
            continue
        muscle = muscle[:: max(1, len(muscle) // SAMPLES)]
        values = hu[index][tuple(muscle.T)].astype(float)
        origin = pixels.mean(axis=0) * scale
        found[index] = _rays(pixels * scale - origin, muscle * scale - origin, values, noise.get(index), scale, origin)
    return found


def _rays(
    metal: NDArray[np.float64],
    places: NDArray[np.float64],
    values: NDArray[np.float64],
    noise: float | None,
    scale: NDArray[np.float64],
    origin: NDArray[np.float64],
) -> Rays:
    way = paths(metal, float(np.prod(scale)), DIRECTIONS, WIDTH_MM, float(np.hypot(*places.T).max()))
    square = way.squared()
    hardened = square.filtered()
    off = values - np.median(values)
    band = -hardened.back_projected(places)
    strength = robust_slope(band, off)
    off = off - strength * band
    share = square.back_projected(places)
    near = share >= np.quantile(share, NEAR)
    if noise is None:  # nothing without metal is in view: what is left furthest from the rays, streaks included
        noise = _spread(off[share <= np.quantile(share, 1.0 - NEAR)])
    variance = max(0.0, _spread(off[near]) ** 2 - noise**2) / max(float(np.median(share[near])), 1e-9)
    return Rays(square.scaled(variance), hardened.scaled(-strength), noise, origin, metal)


def robust_slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Slope of y on x through the origin, at least 0: what lies further off than ``OUTLIER`` spreads is drawn nearer.

    Huber's estimate by modified residuals (Huber and Ronchetti, Robust Statistics, 2009, section 7.8).
    """
    square = max(float(x @ x), 1e-9)
    slope = float(x @ y) / square
    for _ in range(ROUNDS):
        left = y - slope * x
        limit = OUTLIER * _spread(left)
        slope += float(x @ left.clip(-limit, limit)) / square
    return max(0.0, slope)


def extent_in_slices(voxels: NDArray[np.int64], spacing: Spacing) -> tuple[float, float, NDArray[np.float64]]:
    """Length and width (mm) of voxels (n, 3) within their slices, and the direction (row, column) of the length.

    From the second moments about each slice's own centre, with a voxel's own: a bar of length L has the variance
    L^2 / 12 along it.
    """
    scale = np.array(spacing[1:], float)
    _, own = np.unique(voxels[:, 0], return_inverse=True)
    places = voxels[:, 1:] * scale
    count = np.bincount(own)
    centres = np.stack([np.bincount(own, column) / count for column in places.T], axis=1)
    apart = places - centres[own]
    moments = apart.T @ apart / len(voxels) + np.diag(scale**2 / 12.0)
    sizes, axes = np.linalg.eigh(moments)
    width, length = np.sqrt(12.0 * sizes)
    return float(length), float(width), axes[:, 1]


def _spread(values: NDArray[np.float64]) -> float:
    """Standard deviation by the median: fat and deposits hardly count."""
    return MAD_TO_SD * float(np.median(np.abs(values - np.median(values))))


def noise_without(
    hu: NDArray[np.int16], tissues: NDArray[np.uint8], slices: NDArray[np.int64], slice_mm: float
) -> dict[int, float]:
    """Spread of muscle in slices with metal as it would be without, HU: from the slices above and below.

    Empty if no slice without metal and with muscle is near.
    """
    if not len(slices):
        return {}
    reach = max(1, round(REACH_MM / slice_mm))
    near = np.unique((slices[:, None] + np.arange(-reach, reach + 1)).ravel())
    free, spreads = [], []
    for index in near[(near >= 0) & (near < len(hu))].tolist():
        if index in slices:
            continue
        values = hu[index][tissues[index] == TISSUES["muscle"]]
        if len(values) >= LEAST_MUSCLE:
            free.append(index)
            spreads.append(_spread(values.astype(float)))
    if not free:
        return {}
    smooth = median_filter(np.array(spreads), NOISE_SLICES, mode="nearest")
    return dict(zip(slices.tolist(), np.interp(slices, free, smooth).tolist(), strict=True))
