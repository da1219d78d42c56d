"""Where a CT point lies in the PET, and the other way round: the transform that every later stage shares."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from calciflow.images import Volume

# ITK's LPS and NIfTI's RAS differ in the sign of x and y.
_FLIP = np.array([-1.0, -1.0, 1.0])
# The displacement field varies by less than a mm over a few cm, so a handful of fixed-point steps inverts it.
_STEPS = 20
_CLOSE_MM = 0.001


def move(matrix: NDArray[Any], points: NDArray[Any]) -> NDArray[np.float64]:
    """Apply a 4 x 4 to points (n, 3).

    Column by column: faster than a product of matrices, whose threads cost more than they bring at a width of 3, and
    the same to the bit whatever their number.
    """
    x, y, z = points[:, 0], points[:, 1], points[:, 2]
    return np.stack([row[0] * x + row[1] * y + row[2] * z + row[3] for row in matrix[:3]], axis=1)


@dataclass(frozen=True)
class Mapping:
    """A rigid transform, and a displacement field on top of it where limbs moved on their own.

    Attributes
    ----------
    matrix
        4 x 4, maps CT points to PET points, RAS mm.
    field
        Displacements, shape (z, y, x, 3), RAS mm: a CT point p lies at ``matrix p + field(p)`` in the PET. None where
        no limb was corrected.
    field_affine
        4 x 4, maps the field's (x, y, z) indices to RAS mm in CT space.
    """

    matrix: NDArray[np.float64]
    field: NDArray[np.float32] | None = None
    field_affine: NDArray[np.float64] | None = None

    @staticmethod
    def identity() -> "Mapping":
        """The header's own alignment: one frame of reference."""
        return Mapping(np.eye(4))

    def displacement(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """The field at CT points (n, 3), linear between its nodes, constant beyond its border; zeros without one."""
        points = np.asarray(points, float).reshape(-1, 3)
        if self.field is None or self.field_affine is None:
            return np.zeros_like(points)
        inverse = np.linalg.inv(self.field_affine)
        index = move(inverse, points)[:, ::-1].T
        return np.stack(
            [map_coordinates(self.field[..., axis], index, order=1, mode="nearest") for axis in range(3)], axis=1
        ).astype(float)

    def ct_to_pet(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """Where CT points (n, 3), RAS mm, lie in the PET, RAS mm."""
        points = np.asarray(points, float).reshape(-1, 3)
        moved = move(self.matrix, points)
        return moved if self.field is None else moved + self.displacement(points)

    def pet_to_ct(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """Where PET points (n, 3), RAS mm, lie in the CT, RAS mm; exact to 0.001 mm where the field can be inverted."""
        points = np.asarray(points, float).reshape(-1, 3)
        inverse = np.linalg.inv(self.matrix)
        found = move(inverse, points)
        if self.field is None:
            return found
        # Most points lie where nothing moved by itself and are exact at once: only the others go on.
        left = np.arange(len(points))
        for _ in range(_STEPS):
            step = (points[left] - self.ct_to_pet(found[left])) @ inverse[:3, :3].T
            found[left] += step
            left = left[np.abs(step).max(axis=1) >= _CLOSE_MM]
            if not len(left):
                break
        return found


def to_matrix(transform: sitk.Transform) -> NDArray[np.float64]:
    """The 4 x 4 RAS matrix of a linear ITK transform (LPS).

    Raises
    ------
    ValueError
        If the transform is not linear.
    """
    if not transform.IsLinear():
        raise ValueError("the transform file holds no linear transform")
    basis = np.vstack([np.zeros(3), np.eye(3)])
    images = np.array([transform.TransformPoint(point.tolist()) for point in basis])
    matrix = np.eye(4)
    matrix[:3, 3] = _FLIP * images[0]
    matrix[:3, :3] = _FLIP[:, None] * (images[1:] - images[0]).T * _FLIP[None, :]
    return matrix


def to_transform(matrix: NDArray[np.float64]) -> sitk.AffineTransform:
    """The linear ITK transform (LPS) of a 4 x 4 RAS matrix: an affine about the origin, so that the file is plain."""
    transform = sitk.AffineTransform(3)
    transform.SetMatrix((_FLIP[:, None] * matrix[:3, :3] * _FLIP[None, :]).ravel().tolist())
    transform.SetTranslation((_FLIP * matrix[:3, 3]).tolist())
    return transform


def field_image(mapping: Mapping) -> sitk.Image:
    """The displacement field of a mapping as ITK's vector image (LPS mm, float32).

    Raises
    ------
    ValueError
        If the mapping has none.
    """
    if mapping.field is None or mapping.field_affine is None:
        raise ValueError("the mapping has no displacement field")
    # Adding 0 turns -0 into 0.
    image = sitk.GetImageFromArray(mapping.field * _FLIP.astype(np.float32) + np.float32(0), isVector=True)
    size = np.linalg.norm(mapping.field_affine[:3, :3], axis=0)
    image.SetSpacing([float(value) for value in size])
    image.SetOrigin([float(value) for value in _FLIP * mapping.field_affine[:3, 3]])
    image.SetDirection([float(value) for value in (_FLIP[:, None] * mapping.field_affine[:3, :3] / size).ravel()])
    return image


def load_mapping(xfm: str | Path, field: str | Path | None = None) -> Mapping:
    """Read the transform that ``register`` wrote, and its field if there is one.

    Parameters
    ----------
    xfm
        ITK transform file (LPS): maps CT points to PET points.
    field
        NIfTI vector image as ITK writes it (LPS mm) on a coarse grid in CT space.
    """
    matrix = to_matrix(sitk.ReadTransform(str(xfm)))
    if field is None:
        return Mapping(matrix)
    image = sitk.ReadImage(str(field), sitk.sitkVectorFloat32)
    array = sitk.GetArrayFromImage(image) * _FLIP.astype(np.float32)
    affine = np.eye(4)
    affine[:3, :3] = (
        _FLIP[:, None] * np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())[None, :]
    )
    affine[:3, 3] = _FLIP * np.array(image.GetOrigin())
    return Mapping(matrix, array, affine)


def ct_voxels(points: NDArray[Any], ct: Volume, mapping: Mapping) -> NDArray[np.intp]:
    """CT voxels, array indices (m, 3), that PET points (n, 3), RAS mm, lie in; points outside the CT are left out."""
    places = np.round(ct.index(mapping.pet_to_ct(points))).astype(int)
    return places[((places >= 0) & (places < np.array(ct.array.shape))).all(axis=1)]
