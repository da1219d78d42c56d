"""Decoding every slice of the chosen series once, so that a damaged file is found before anything depends on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from calciflow.dicom.headers import PIXELS
from calciflow.dicom.pixels import Undecodable
from calciflow.dicom.series import Group
from calciflow.dicom.volume import slices, values
from calciflow.errors import Refusal


@dataclass
class Checked:
    """A group whose slices are all sound.

    Attributes
    ----------
    files
        For each slice of the grid: ``path``, ``member``, ``frame``, ``ordinal`` (place among the series' files).
    copies
        The same for files that repeat a slice.
    datasets
        PET: each slice's header without pixels.
    lowest, highest
        Range of the values, in HU or in the PET's units.
    """

    files: list[dict[str, Any]]
    copies: list[dict[str, Any]]
    datasets: list[Dataset]
    lowest: float
    highest: float


def check_slices(item: Group, root: str) -> Checked:
    """Decode the slices of a group (no joined one).

    Raises
    ------
    Refusal
        ``unreadable``, ``scaling``, ``transfer_syntax``; ``ambiguous`` for two files in one place with different
        pixels; ``empty``. Files are named by their ordinal in the series.
    """
    grid = item.grid
    assert grid is not None
    kind = "PET" if item.is_pet else "CT"
    slot_of = [slot for slot, indices in enumerate(grid.slots) for _ in indices]
    files: list[dict[str, Any]] = []
    for indices in grid.slots:
        for index in indices:
            header = item.headers[index]
            place = {"path": header.entry.path, "member": header.entry.member}
            files.append({**place, "frame": header.frame, "ordinal": index + 1})
    kept: dict[int, int] = {}
    prints: dict[int, bytes] = {}
    datasets: dict[int, Dataset] = {}
    lowest, highest = np.inf, -np.inf
    for index, dataset in slices(root, files, whole_header=item.is_pet):
        name = f"File {files[index]['ordinal']} of the {kind}, row {item.number},"
        try:
            if isinstance(dataset, Undecodable):
                raise dataset
            image = values(dataset, files[index]["frame"], pet=item.is_pet)
        except Undecodable as error:
            raise Refusal("unreadable", f"{name} is damaged: {error}. Send the series again.") from None
        except Refusal as refusal:
            raise Refusal(refusal.code, f"{name} cannot be used: {refusal.reason}") from None
        if image.shape != (item.first.rows, item.first.columns):
            raise Refusal("unreadable", f"{name} is damaged: its matrix is not that of its header. Send it again.")
        slot = slot_of[index]
        mark = sha256(image.tobytes()).digest()
        if prints.setdefault(slot, mark) != mark:
            raise Refusal(
                "ambiguous",
                f"{name} lies where another file of the series lies, with different pixels: remove one of them.",
            )
        lowest, highest = min(lowest, float(image.min())), max(highest, float(image.max()))
        # Of equal copies the first in order counts, whatever the order in which they came.
        if index <= kept.get(slot, index):
            kept[slot] = index
            if item.is_pet:
                if files[index]["frame"] is None:
                    for tag in PIXELS:
                        if tag in dataset:
                            del dataset[tag]
                datasets[slot] = dataset
    if not highest > lowest:
        raise Refusal(
            "empty", f"The {kind}, row {item.number}, has the same value everywhere: send the original images."
        )
    chosen = set(kept.values())
    return Checked(
        [files[kept[slot]] for slot in range(len(grid.slots))],
        [file for index, file in enumerate(files) if index not in chosen],
        [datasets[slot] for slot in sorted(datasets)],
        lowest,
        highest,
    )


def description(item: Group, root: str, checked: Sequence[Checked], scales: Sequence[float]) -> dict[str, Any]:
    """What ``convert`` needs of a group.

    Parameters
    ----------
    item
        The group; joined or not.
    root
        Its source.
    checked
        Its pieces' slices; the group's own if it is not joined.
    scales
        For each piece a factor on its values (PET pieces are decay corrected to times of their own).

    Returns
    -------
    dict
        Among others ``files``, and for a joined volume ``terms``: (index in ``files``, slice of the volume, weight).
    """
    grid = item.grid
    assert grid is not None
    first = item.first
    starts = np.cumsum([0, *(len(one.files) for one in checked)])
    terms = [(int(starts[piece]) + index, slot, weight * scales[piece]) for piece, index, slot, weight in item.terms]
    return {
        "series": [piece.number for piece in item.pieces] or [item.number],
        "source": str(root),
        "files": [file for one in checked for file in one.files],
        "copies": [file for one in checked for file in one.copies],
        "terms": terms or None,
        "affine": grid.affine,
        "shape": grid.shape,
        "axes": grid.axes,
        "flips": grid.flips,
        "slice_axis": grid.slice_axis,
        "increment_mm": grid.increment,
        "jitter_mm": grid.jitter,
        "range": [min(one.lowest for one in checked), max(one.highest for one in checked)],
        "uids": {"study": first.study_uid, "series": first.series_uid, "frame": first.frame_uid},
    }
