"""Volumes with their place in the patient, and NIfTI files read and written once, fast and repeatably."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from isal import igzip
from numpy.typing import DTypeLike, NDArray

from calciflow.files import whole_file
from calciflow.nifti import nib

if TYPE_CHECKING:
    import SimpleITK as sitk  # loaded by those who call to_sitk or from_sitk: most stages don't

_CHUNK = 1 << 24

LARGE, LARGEST, PACKED_AT_MOST = 1 << 30, 1 << 34, 150
"""Bytes. Above LARGE a file may unpack to PACKED_AT_MOST times its size, as an archive may; above LARGEST (a CT of
1024 x 1024 x 8000 voxels in 16 bit) there is no scan of a person."""


@dataclass(frozen=True)
class Volume:
    """A 3-D array and its place in the patient.

    Attributes
    ----------
    array
        Shape (z, y, x), C order. The volumes of a study are stored closest to RAS: axis 0 runs from
        inferior to superior, axis 1 from posterior to anterior, axis 2 from the patient's left to right.
    affine
        4 x 4, maps (x, y, z) voxel indices to mm in NIfTI's RAS system.
    """

    array: NDArray[Any]
    affine: NDArray[np.float64]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size in mm along the array's axes: (z, y, x)."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(z), float(y), float(x)

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in ml."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    def world(self, indices: NDArray[Any]) -> NDArray[np.float64]:
        """Map array indices (n, 3) in (z, y, x) order to RAS mm (n, 3) in (x, y, z) order."""
        return np.asarray(indices, float)[:, ::-1] @ self.affine[:3, :3].T + self.affine[:3, 3]

    def index(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """Map RAS mm (n, 3) in (x, y, z) order to fractional array indices (n, 3) in (z, y, x) order."""
        inverse = np.linalg.inv(self.affine)
        return (np.asarray(points, float) @ inverse[:3, :3].T + inverse[:3, 3])[:, ::-1]

    def like(self, array: NDArray[Any]) -> "Volume":
        """Another array on the same grid."""
        if array.shape != self.array.shape:
            raise ValueError(f"shape {array.shape} is not the grid's {self.array.shape}")
        return Volume(array, self.affine)

    def crop(self, box: tuple[slice, slice, slice]) -> "Volume":
        """Cut out a box given in array axes (z, y, x); the affine follows. No copy is made."""
        start = [part.indices(size)[0] for part, size in zip(box, self.array.shape, strict=True)]
        affine = self.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ np.array(start[::-1], float)
        return Volume(self.array[box], affine)

    def to_sitk(self) -> "sitk.Image":
        """Give the SimpleITK image (LPS) of this volume. The buffer is copied."""
        import SimpleITK as sitk

        array = self.array.view(np.uint8) if self.array.dtype == bool else self.array
        image = sitk.GetImageFromArray(np.ascontiguousarray(array))
        flip = np.diag([-1.0, -1.0, 1.0])
        size = np.linalg.norm(self.affine[:3, :3], axis=0)
        image.SetSpacing([float(v) for v in size])
        image.SetOrigin([float(v) for v in flip @ self.affine[:3, 3]])
        image.SetDirection([float(v) for v in (flip @ self.affine[:3, :3] / size).ravel()])
        return image

    @staticmethod
    def from_sitk(image: "sitk.Image") -> "Volume":
        """Take a scalar SimpleITK image (LPS)."""
        import SimpleITK as sitk

        flip = np.diag([-1.0, -1.0, 1.0])
        affine = np.eye(4)
        affine[:3, :3] = flip @ np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
        affine[:3, 3] = flip @ np.array(image.GetOrigin())
        return Volume(sitk.GetArrayFromImage(image), affine)


def read_volume(path: str | Path) -> Volume:
    """Read a 3-D NIfTI-1 file (.nii or .nii.gz). The array is read-only and keeps its stored type.

    A scale factor in the header is applied (float32). Memory: one copy of the volume.
    """
    path = Path(path)
    with igzip.open(path, "rb") if path.name.endswith(".gz") else open(path, "rb") as stream:
        header = nib.Nifti1Header(stream.read(348))
        shape = tuple(int(n) for n in header.get_data_shape())
        offset = int(header["vox_offset"])
        size = math.prod(shape) * header.get_data_dtype().itemsize
        _check_size(path, shape, offset, size)
        stream.read(offset - 348)
        # No more than the header announces: what a packed file unpacks to is anybody's word.
        data = stream.read(size)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3:
        raise ValueError(f"{path.name}: a volume has 3 dimensions, this file has {len(shape)}")
    flat = np.frombuffer(data, header.get_data_dtype(), count=math.prod(shape))
    array: NDArray[Any] = flat.reshape(shape[::-1])
    slope, intercept = header.get_slope_inter()
    if slope is not None and (slope != 1 or intercept != 0):
        array = array.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    return Volume(array, np.asarray(header.get_best_affine(), float))


def _check_size(path: Path, shape: tuple[int, ...], offset: int, size: int) -> None:
    """Refuse a header that announces what no scan is, before anything of that size is made."""
    packed = path.stat().st_size
    bomb = size > LARGE and size > PACKED_AT_MOST * packed
    if not shape or min(shape) < 1 or not 348 <= offset <= LARGE or size > LARGEST or bomb:
        raise ValueError(f"{path.name}: the header announces {size} bytes of {shape} voxels; the file has {packed}")


def write_volume(path: str | Path, volume: Volume, dtype: DTypeLike, level: int = 1) -> None:
    """Write a .nii.gz with no time stamp, so that the same volume gives the same bytes.

    The affine goes into the sform (float32, as NIfTI has it); ``level`` is isal's, 0 (fast) to 3 (small).
    """
    array = np.ascontiguousarray(volume.array, dtype=dtype)
    header = nib.Nifti1Header()
    header.set_data_dtype(array.dtype)
    header.set_data_shape(array.shape[::-1])
    header.set_sform(volume.affine, code="scanner")
    header.set_qform(volume.affine, code="scanner", strip_shears=True)
    header.set_xyzt_units("mm", "sec")
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    header.set_slope_inter(1, 0)
    flat = array.reshape(-1).view(np.uint8).data
    with whole_file(path) as partial, open(partial, "wb") as raw:
        with igzip.IGzipFile(filename="", mode="wb", compresslevel=level, fileobj=raw, mtime=0) as stream:
            write_repeatably(stream, header.binaryblock + b"\0\0\0\0")
            for start in range(0, len(flat), _CHUNK):
                stream.write(flat[start : start + _CHUNK])


def write_repeatably(stream: Any, first: bytes) -> None:
    """Write the first bytes (9 or more) of a gzip stream such that the whole stream depends on its data alone.

    The x86 code of isal 1.9.1 (``.write_first_byte`` in ISA-L's ``igzip_icf_body_h1_gr_bt.asm`` and ``igzip_body.asm``)
    takes one hash of a register that holds an address instead of data: 4 in 1,000 streams of mixed data then pack
    differently, by where the process's memory lay. A first piece that is flushed takes another, sound way.
    """
    stream.write(first[:8])
    stream.flush()
    stream.write(first[8:])
