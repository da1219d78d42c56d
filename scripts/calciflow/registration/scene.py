"""What registration looks at: CT, tissues and regions in blocks of a few millimetres, and the PET on its own grid."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from calciflow.anatomy.grid import Grid, block_mean, blocks, centres, dilate
from calciflow.images import Volume
from calciflow.labels import TISSUES
from calciflow.mapping import move

FWHM_TO_SIGMA = 1 / 2.3548
SKELETON_REACH_MM = 14.0
"""The surroundings of bone that its uptake is held against: two widths of the PET's blur."""
BLUR_MM = 7.0
"""Resolution that the CT's skeleton is blurred to before it is held against the PET: 5 to 7 mm are usual."""


@dataclass(frozen=True)
class Scene:
    """A scan in coarse blocks.

    Attributes
    ----------
    affine
        4 x 4, block indices (x, y, z) to RAS mm.
    spacing
        Block size in mm, (z, y, x).
    hu
        Mean Hounsfield units a block, float32; -1000 outside the body, so that couch and clothes count for nothing.
    body, bone, viscera
        Fraction of each block, float32, 0 to 1.
    regions
        Label at each block's centre (``labels.region_label``).
    pet
        SUV on the PET's own grid.
    """

    affine: NDArray[np.float64]
    spacing: tuple[float, float, float]
    hu: NDArray[np.float32]
    body: NDArray[np.float32]
    bone: NDArray[np.float32]
    viscera: NDArray[np.float32]
    regions: NDArray[np.uint8]
    pet: Volume

    def points(self, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        """RAS mm of the blocks of a mask, (n, 3)."""
        return move(self.affine, np.argwhere(mask)[:, ::-1].astype(float))

    @cached_property
    def skeleton(self) -> NDArray[np.float32]:
        """The CT's skeleton as the PET would show it: the bone fraction, blurred."""
        sigma = [BLUR_MM * FWHM_TO_SIGMA / step for step in self.spacing]
        return gaussian_filter(self.bone, sigma, mode="nearest")

    @cached_property
    def around_bone(self) -> NDArray[np.bool_]:
        """Bone and its surroundings within the body, without organs: kidneys, gut and bladder outshine bone."""
        near = dilate(self.bone > 0.3, SKELETON_REACH_MM, self.spacing)
        return near & (self.body > 0.5) & ((self.viscera < 0.5) | (self.bone > 0.3))


def _labelled(array: NDArray[Any], label: int, grid: Grid) -> NDArray[np.float32]:
    return block_mean(array == label, grid)


def prepare(ct: Volume, tissues: Volume, regions: Volume, suv: Volume, block_mm: float) -> Scene:
    """Make the scene; memory stays at one boolean copy of the CT's grid above the inputs."""
    grid = blocks(ct.array.shape, ct.spacing, block_mm)
    body = block_mean(tissues.array != 0, grid)
    hu = block_mean(ct.array, grid)
    hu[body < 0.5] = -1000
    picks = [np.rint(centres(grid, axis)).astype(int) for axis in range(3)]
    affine = ct.affine.copy()
    factors = np.array(grid.factors[::-1], float)
    affine[:3, 3] += ct.affine[:3, :3] @ ((factors - 1) / 2)
    affine[:3, :3] = ct.affine[:3, :3] * factors
    return Scene(
        affine,
        grid.spacing,
        hu,
        body,
        _labelled(tissues.array, TISSUES["bone"], grid),
        _labelled(tissues.array, TISSUES["viscera"], grid),
        regions.array[picks[0]][:, picks[1]][:, :, picks[2]].astype(np.uint8),
        suv,
    )


def indices(volume: Volume, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fractional array indices, shape (3, n) in (z, y, x) order, of RAS points (n, 3)."""
    inverse = np.linalg.inv(volume.affine)
    return move(inverse, points).T[::-1]


def sample_at(volume: Volume, index: NDArray[np.float64]) -> NDArray[np.float32]:
    """Values of a volume at fractional indices (3, n), linear; NaN outside its outermost voxel centres."""
    if not index.shape[1]:
        return np.zeros(0, np.float32)
    found = map_coordinates(volume.array, index, output=np.float32, order=1, mode="constant", cval=np.nan)
    inside = (index[0] >= 0) & (index[1] >= 0) & (index[2] >= 0)
    for axis in range(3):
        inside &= index[axis] <= volume.array.shape[axis] - 1
    found[~inside] = np.nan
    return found


def sample(volume: Volume, points: NDArray[np.float64]) -> NDArray[np.float32]:
    """Values of a volume at RAS points (n, 3), linear; NaN outside its outermost voxel centres."""
    return sample_at(volume, indices(volume, points))


def pet_coverage(scene: Scene) -> float:
    """Part of the CT's body that lies in the PET's field of view."""
    points = scene.points(scene.body > 0.5)
    if not len(points):
        return 0.0
    index = indices(scene.pet, points)
    last = np.array(scene.pet.array.shape)[:, None] - 0.5
    return float(np.mean(np.all((index >= -0.5) & (index <= last), axis=0)))
