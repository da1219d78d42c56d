"""A mask that a reader corrected in 3D Slicer or ITK-SNAP: read, checked against the CT, matched with the machine's."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calciflow.errors import StudyError
from calciflow.images import Volume
from calciflow.nifti import nib

GRID_VOXELS = 0.1
"""A corrected mask's corners may lie that share of a voxel off the CT's: programs round headers, never that much."""

MOST_LABELS = 65_535
MERGED_SHARE = 0.5
"""A lesion without a label of its own was merged if at least that share of it lies in one other label."""


@dataclass(frozen=True)
class Matched:
    """A corrected mask in the machine's numbers.

    Attributes
    ----------
    labels
        The mask, each label by the number of the lesion it is.
    changed
        Numbers whose outline is not the machine's; new ones among them.
    added
        New numbers; the machine's lesion that they were cut from, or None.
    merged
        Machine's lesions that went into another: number to number.
    removed
        Machine's lesions that the mask holds no more.
    """

    labels: NDArray[np.uint16]
    changed: tuple[int, ...]
    added: dict[int, int | None]
    merged: dict[int, int]
    removed: tuple[int, ...]


def read_mask(path: str | Path, ct: Volume) -> NDArray[np.uint16]:
    """Read a corrected mask on the grid of the CT, (z, y, x).

    Axes stored in another order or direction are turned; labels may have any number.

    Raises
    ------
    StudyError
        If it cannot be read, holds no label or no whole numbers, or lies on another grid.
    """
    path = Path(path)
    again = (
        f"Load the CT and `desc-lesions_dseg` of this scan together, correct the labels, and save the label map with "
        f"the CT's geometry as {path.name}."
    )
    try:
        image = nib.as_closest_canonical(nib.load(path))
        values = np.asanyarray(image.dataobj)
    except Exception as error:
        raise StudyError(f"{path}: cannot be read as NIfTI ({type(error).__name__}). {again}") from None
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim != 3:
        raise StudyError(f"{path}: {values.ndim} dimensions; a label map has 3. {again}")
    size, wanted = values.shape, ct.array.shape[::-1]
    if size != wanted:
        raise StudyError(
            f"{path}: {' x '.join(map(str, size))} voxels, but the CT has {' x '.join(map(str, wanted))}. {again}"
        )
    corners = np.array([[x, y, z, 1.0] for x in (0, size[0]) for y in (0, size[1]) for z in (0, size[2])])
    apart = np.linalg.norm(corners @ (np.asarray(image.affine, float) - ct.affine).T, axis=1).max()
    if apart > GRID_VOXELS * min(ct.spacing):
        raise StudyError(f"{path}: lies up to {apart:.3g} mm off the CT's grid. {again}")
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > MOST_LABELS:
        raise StudyError(f"{path}: labels must be whole numbers from 0 to {MOST_LABELS}. {again}")
    labels = values.astype(np.uint16)
    if values.dtype.kind == "f" and not np.array_equal(labels, values):
        raise StudyError(f"{path}: holds fractions; a label map has whole numbers. {again}")
    if not labels.any():
        raise StudyError(f"{path}: holds no label. To take out every lesion, reject each in the sheet of edits.")
    return np.ascontiguousarray(labels.transpose(2, 1, 0))


def match_labels(mask: NDArray[np.uint16], machine: NDArray[np.uint16], first_free: int) -> Matched:
    """Give each label of a corrected mask the number of the machine's lesion that it overlaps most.

    The numbers in the mask themselves mean nothing: programs renumber labels on export, and the machine's numbers move
    when a parameter changes.

    Parameters
    ----------
    mask, machine
        Label maps on one grid.
    first_free
        Number that the first new lesion gets.
    """
    where = np.flatnonzero((mask.ravel() > 0) | (machine.ravel() > 0))
    own, old = mask.ravel()[where], machine.ravel()[where]
    pairs, counts = np.unique(old.astype(np.uint32) * 65_536 + own, return_counts=True)
    shared = {(int(pair) // 65_536, int(pair) % 65_536): int(count) for pair, count in zip(pairs, counts, strict=True)}
    size_of: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for key, count in shared.items():
        for sizes, label in zip(size_of, key, strict=True):
            sizes[label] = sizes.get(label, 0) + count
    both = sorted((key for key in shared if key[0] and key[1]), key=lambda key: (-shared[key], key))
    number_of: dict[int, int] = {}
    for before, label in both:
        if label not in number_of and before not in number_of.values():
            number_of[label] = before
    added: dict[int, int | None] = {}
    for label in sorted(size_of[1]):
        if label and label not in number_of:
            number = first_free + len(added)
            added[number] = next((before for before, other in both if other == label), None)
            number_of[label] = number
    merged, removed = {}, []
    for before in sorted(size_of[0]):
        if before and before not in number_of.values():
            share, label = max(
                ((shared[key] / size_of[0][before], key[1]) for key in both if key[0] == before), default=(0.0, 0)
            )
            if share >= MERGED_SHARE:
                merged[before] = number_of[label]
            else:
                removed.append(before)
    same = {
        before
        for label, before in number_of.items()
        if shared.get((before, label)) == size_of[0].get(before) == size_of[1][label]
    }
    table = np.zeros(int(mask.max()) + 1, np.uint16)
    for label, number in number_of.items():
        table[label] = number
    changed = tuple(sorted(set(number_of.values()) - same))
    return Matched(table[mask], changed, added, merged, tuple(removed))
