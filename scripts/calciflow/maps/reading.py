"""Reading a foreign map onto the CT's grid, and refusing one that does not belong to it."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from calciflow.errors import ScanError
from calciflow.images import Volume, read_volume
from calciflow.maps.masks import files_of
from calciflow.maps.table import Label, label_tables
from calciflow.nifti import nib

SAME_GRID = 0.01
"""Grids whose corners lie within this part of a voxel are the same: NIfTI stores the affine in single precision, and
programs that go through LPS and back round it again."""


@dataclass(frozen=True)
class ForeignMap:
    """A foreign map on the CT's grid.

    Attributes
    ----------
    kind
        A table of ``labels.tsv``.
    labels
        Label numbers, uint8, 0 where the map says nothing.
    resampled
        Whether the grid was another one (nearest voxel).
    unread
        Masks in the folder whose name the table does not know.
    """

    kind: str
    labels: NDArray[np.uint8]
    resampled: bool
    unread: list[str] = field(default_factory=list)

    @property
    def table(self) -> dict[int, Label]:
        """What the labels mean."""
        return label_tables()[self.kind]


def read_map(kind: str, path: str, ct: Volume) -> ForeignMap:
    """Read a label map, or a folder of masks named as the labels are.

    Raises
    ------
    ScanError
        If it is not there, holds labels that the kind does not have, carries other names for them, or does not cover
        the CT.
    """
    files = files_of(path)
    if not files:
        raise ScanError(
            f"tissues.labelmaps.{kind}: this scan has no such map, or several files fit. Put it where the pattern in "
            "config/config.yaml says, or correct the pattern (or the column `labelmap` of scans.tsv)."
        )
    if Path(path).is_dir():
        return _from_masks(kind, files, ct)
    volume = _read(kind, files[0])
    _check_names(kind, files[0])
    labels = _whole_numbers(kind, volume.array)
    unknown = sorted({int(value) for value in np.unique(labels)} - set(label_tables()[kind]) - {0})
    if unknown:
        raise ScanError(
            f"tissues.labelmaps.{kind}: the map holds label {unknown[0]}, which this kind of map does not have. "
            "Is it the output of another program, task or version?"
        )
    array, resampled = _on_grid(kind, Volume(labels, volume.affine), ct)
    return ForeignMap(kind, array, resampled)


def _from_masks(kind: str, files: list[str], ct: Volume) -> ForeignMap:
    numbers = {label.name: number for number, label in label_tables()[kind].items()}
    out = np.zeros(ct.array.shape, np.uint8)
    resampled, unread, read = False, [], 0
    for file in files:
        name = Path(file).name.removesuffix(".gz").removesuffix(".nii")
        if name not in numbers:
            unread.append(name)
            continue
        volume = _read(kind, file)
        mask, other = _on_grid(kind, Volume((volume.array > 0).view(np.uint8), volume.affine), ct)
        out[(mask > 0) & (out == 0)] = numbers[name]
        resampled |= other
        read += 1
    if not read:
        raise ScanError(
            f"tissues.labelmaps.{kind}: no mask in the folder has a name of this kind of map, such as "
            f"{next(iter(numbers))}.nii.gz."
        )
    return ForeignMap(kind, out, resampled, sorted(unread))


def _read(kind: str, file: str) -> Volume:
    try:
        return read_volume(file)
    except Exception as error:  # whatever a damaged file does to the reader
        raise ScanError(
            f"tissues.labelmaps.{kind}: the map cannot be read as a NIfTI volume ({type(error).__name__}). "
            "Make it again."
        ) from error


def _whole_numbers(kind: str, array: NDArray[Any]) -> NDArray[np.uint8]:
    """Labels as uint8; programs also store them as floats."""
    if array.dtype == np.uint8:
        return array
    low, high = (array.min(), array.max()) if array.size else (0, 0)
    if not (low >= 0 and high <= 255):
        raise ScanError(f"tissues.labelmaps.{kind}: labels from {low} to {high}: this is no label map.")
    whole = np.rint(array).astype(np.uint8)
    if not np.array_equal(whole, array):
        raise ScanError(f"tissues.labelmaps.{kind}: values between whole numbers: this is no label map.")
    return whole


def _check_names(kind: str, file: str) -> None:
    """Compare the names that TotalSegmentator writes into the header with the table's."""
    try:
        extensions = nib.load(file).header.extensions
    except Exception:  # the header was readable before; an odd extension is no reason to refuse
        return
    for extension in extensions:
        content = extension.get_content()
        text = content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)
        found = re.findall(r'<Label\b[^>]*?\bKey="(\d+)"[^>]*>\s*<!\[CDATA\[(.*?)\]\]>', text)
        table = label_tables()[kind]
        for number, name in found:
            label = table.get(int(number))
            if int(number) and (label is None or label.name != name):
                raise ScanError(
                    f"tissues.labelmaps.{kind}: the file calls label {number} otherwise than this kind of map does. "
                    "Is it the output of another task or version?"
                )


def _on_grid(kind: str, volume: Volume, ct: Volume) -> tuple[NDArray[np.uint8], bool]:
    """Give the labels on the CT's grid, nearest voxel, and whether that needed resampling."""
    shape = np.array(ct.array.shape)
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in shape], indexing="ij")).reshape(3, -1).T
    there = volume.index(ct.world(corners))
    if volume.array.shape == ct.array.shape and np.abs(there - corners).max() < SAME_GRID:
        return volume.array, False
    # Centres of the CT's corner voxels may lie up to one voxel of the map outside it: half is the voxel's own size,
    # half is what rounding a size to whole voxels of a coarser grid leaves out.
    last = np.array(volume.array.shape) - 0.5
    outside = max(float((-0.5 - there).max()), float((there - last).max()))
    if not outside <= 1.0:
        raise ScanError(
            f"tissues.labelmaps.{kind}: the map does not cover the CT: it ends {_mm(volume, there, last):.0f} mm "
            "inside it. Was it made from another series, or from a cut-out?"
        )
    try:
        image = sitk.Resample(
            volume.to_sitk(),
            [int(n) for n in shape[::-1]],
            sitk.Transform(),
            sitk.sitkNearestNeighbor,
            *_frame(ct),
            0,
            sitk.sitkUInt8,
        )
    except RuntimeError:
        raise ScanError(f"tissues.labelmaps.{kind}: the axes of the map's grid are not at right angles.") from None
    # Nearest voxel ends at the map's outer centres plus half a voxel; the rim within the tolerance stays 0.
    return sitk.GetArrayFromImage(image), True


def _frame(ct: Volume) -> tuple[list[float], list[float], list[float]]:
    """Origin, spacing and direction (LPS) of the CT."""
    flip = np.diag([-1.0, -1.0, 1.0])
    size = np.linalg.norm(ct.affine[:3, :3], axis=0)
    direction = flip @ ct.affine[:3, :3] / size
    return (flip @ ct.affine[:3, 3]).tolist(), size.tolist(), direction.ravel().tolist()


def _mm(volume: Volume, there: NDArray[np.float64], last: NDArray[np.float64]) -> float:
    excess = np.maximum(np.maximum(-0.5 - there, there - last), 0.0)
    return float((excess * np.array(volume.spacing)).max())
