"""What registration looks at: CT, tissues and regions in blocks of a few millimetres, and the PET on its own grid."""

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from calciflow.anatomy.grid import block_mean, blocks, centres, dilate, erode
from calciflow.images import Volume
from calciflow.labels import TISSUES
from calciflow.mapping import move

FWHM_TO_SIGMA = 1 / 2.3548
SKELETON_REACH_MM = 14.0
"""The surroundings of bone that its uptake is held against: two widths of the PET's blur."""
BLUR_MM = 7.0
"""Resolution that the CT's skeleton is blurred to before it is held against the PET: 5 to 7 mm are usual."""
OUTLINE_REACH_MM = 12.0
"""Depth of the shell on either side of the body's surface: past it nothing tells of the surface."""
FAT_UPTAKE = 0.4
"""Uptake of fat, as a share of other soft tissue's: fluoride stays in water; ours."""
_PET_MARGIN_MM = 110.0
"""The PET is kept to this distance from the CT's body: the farthest that any search looks (20 mm for the whole body,
25 mm for a limb, 24 mm around that), and a rim for smoothing."""


@dataclass(frozen=True)
class Blocks:
    """A CT in coarse blocks.

    Attributes
    ----------
    affine
        4 x 4, block indices (x, y, z) to RAS mm.
    spacing
        Block size in mm, (z, y, x).
    hu
        Mean Hounsfield units a block, float32; -1000 outside the body, so that couch and clothes count for nothing.
    body, bone, viscera, fat
        Fraction of each block, float32, 0 to 1; ``fat`` is subcutaneous.
    regions
        Label at each block's centre (``labels.region_label``).
    """

    affine: NDArray[np.float64]
    spacing: tuple[float, float, float]
    hu: NDArray[np.float32]
    body: NDArray[np.float32]
    bone: NDArray[np.float32]
    viscera: NDArray[np.float32]
    fat: NDArray[np.float32]
    regions: NDArray[np.uint8]

    def points(self, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        """RAS mm of the blocks of a mask, (n, 3)."""
        return move(self.affine, np.argwhere(mask)[:, ::-1].astype(float))

    def blurred(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the PET would make of a map of blocks."""
        sigma = [BLUR_MM * FWHM_TO_SIGMA / step for step in self.spacing]
        return gaussian_filter(array, sigma, mode="nearest")

    @cached_property
    def skeleton(self) -> NDArray[np.float32]:
        """The CT's skeleton as the PET would show it: the bone fraction, blurred."""
        return self.blurred(self.bone)

    @cached_property
    def soft(self) -> NDArray[np.float32]:
        """The CT's body as the PET would show it, its bone cut off: fat takes up less than the rest."""
        return self.blurred(self.body - np.float32(1 - FAT_UPTAKE) * self.fat)

    @cached_property
    def around_bone(self) -> NDArray[np.bool_]:
        """Bone and its surroundings within the body, without organs: kidneys, gut and bladder outshine bone."""
        near = dilate(self.bone > 0.3, SKELETON_REACH_MM, self.spacing)
        return near & (self.body > 0.5) & ((self.viscera < 0.5) | (self.bone > 0.3))

    @cached_property
    def around_outline(self) -> NDArray[np.bool_]:
        """Both sides of the body's surface, as far as its blur reaches."""
        body = self.body > 0.5
        return dilate(body, OUTLINE_REACH_MM, self.spacing) & ~erode(body, OUTLINE_REACH_MM, self.spacing)


@dataclass(frozen=True)
class Scene(Blocks):
    """A scan: the CT in coarse blocks, and the PET around it.

    Attributes
    ----------
    pet
        SUV on the PET's own grid, around the body.
    """

    pet: Volume


def coarse(ct: Volume, tissues: Volume, regions: Volume, block_mm: float) -> Blocks:
    """Average a CT and its maps; memory stays at one boolean copy of the CT's grid above the inputs."""
    grid = blocks(ct.array.shape, ct.spacing, block_mm)

    def share(tissue: str) -> NDArray[np.float32]:
        return block_mean(tissues.array == TISSUES[tissue], grid)

    body = block_mean(tissues.array != 0, grid)
    hu = block_mean(ct.array, grid)
    hu[body < 0.5] = -1000
    picks = [np.rint(centres(grid, axis)).astype(int) for axis in range(3)]
    affine = ct.affine.copy()
    factors = np.array(grid.factors[::-1], float)
    affine[:3, 3] += ct.affine[:3, :3] @ ((factors - 1) / 2)
    affine[:3, :3] = ct.affine[:3, :3] * factors
    return Blocks(
        affine,
        grid.spacing,
        hu,
        body,
        share("bone"),
        share("viscera"),
        share("subcutaneous_fat"),
        regions.array[picks[0]][:, picks[1]][:, :, picks[2]].astype(np.uint8),
    )


def with_pet(found: Blocks, suv: Volume) -> Scene:
    """Add the PET: the part around the body, float32, without NaN, which would spread through a blur."""
    inside = found.body > 0.5
    part = suv.crop(box_around(suv, found.points(inside), _PET_MARGIN_MM)) if inside.any() else suv
    values = np.array(part.array, np.float32)
    np.nan_to_num(values, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    own = {item.name: getattr(found, item.name) for item in fields(Blocks)}
    return Scene(**own, pet=part.like(values))


def indices(volume: Volume, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fractional array indices, shape (3, n) in (z, y, x) order, of RAS points (n, 3)."""
    inverse = np.linalg.inv(volume.affine)
    return move(inverse, points).T[::-1]


def box_around(volume: Volume, points: NDArray[np.float64], margin_mm: float) -> tuple[slice, slice, slice]:
    """The part of a volume within a margin of the RAS points (n, 3), along its axes; at least one voxel."""
    places = indices(volume, points).T
    margin = margin_mm / np.array(volume.spacing)
    last = np.array(volume.array.shape) - 1.0
    low = np.clip(np.floor(places.min(axis=0) - margin), 0, last)
    high = np.clip(np.ceil(places.max(axis=0) + margin), low, last)
    z, y, x = (slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))
    return z, y, x


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
