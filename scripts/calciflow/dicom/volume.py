"""Reading the chosen series: every slice checked once, or filled into one array."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from calciflow.dicom.archive import walk
from calciflow.dicom.geometry import Grid
from calciflow.dicom.headers import quiet
from calciflow.dicom.pixels import Undecodable, activity, hounsfield, open_slice, padding, rescale, stored_values
from calciflow.errors import Refusal, ScanError
from calciflow.images import Volume


def slices(
    root: str, files: Sequence[Mapping[str, Any]], whole_header: bool = False
) -> Iterator[tuple[int, Dataset | Undecodable]]:
    """Give the chosen files' data sets (or what is wrong with them), in the order in which the source holds them.

    Parameters
    ----------
    root
        The source.
    files
        Places: ``path``, ``member`` and ``frame``.
    whole_header
        Parse every element, not only those of the pixels.

    Yields
    ------
    int
        Index in ``files``.
    Dataset or Undecodable
        The whole object; the same one for each frame of a multi-frame file.
    """
    wanted: dict[tuple[str, str], list[int]] = {}
    for index, place in enumerate(files):
        wanted.setdefault((place["path"], place["member"]), []).append(index)
    for entry, stream in walk(root, wanted):
        indices = wanted.pop(entry.key, [])
        found: Dataset | Undecodable
        try:
            found = open_slice(stream.read(), whole_header)
        except Undecodable as error:
            found = error
        except Exception as error:  # a disk or archive that fails in the middle of a file
            found = Undecodable(f"it cannot be read to its end ({type(error).__name__})")
        for index in indices:
            yield index, found
    for indices in wanted.values():
        for index in indices:
            yield index, Undecodable("it is gone")


def fill(
    root: str,
    files: Sequence[Mapping[str, Any]],
    grid: Grid,
    *,
    pet: bool,
    terms: Sequence[tuple[int, int, float]] | None = None,
) -> Volume:
    """Decode, rescale and place every slice; one array is held, and one slice beside it.

    Parameters
    ----------
    root, files, grid
        As ``index`` wrote them down.
    pet
        Whether values are activities, else HU.
    terms
        For a joined volume: (index in ``files``, slice of the volume, weight); else each file is a slice.

    Returns
    -------
    Volume
        CT: int16 HU. PET: float32 in its own units.

    Raises
    ------
    ScanError
        If a slice that ``index`` had found sound cannot be read now.
    """
    array: NDArray[Any] = np.zeros(grid.shape, np.float32 if pet else np.int16)
    view = grid.slices_of(array)
    places: dict[int, list[tuple[int, float]]] = {index: [] for index in range(len(files))}
    for index, slot, weight in terms or [(index, index, 1.0) for index in range(len(files))]:
        places[index].append((slot, weight))
    with quiet():
        for index, dataset in slices(root, files):
            ordinal = files[index]["ordinal"]
            try:
                if isinstance(dataset, Undecodable):
                    raise dataset
                image = values(dataset, files[index]["frame"], pet=pet)
                for slot, weight in places[index]:
                    if weight == 1.0:
                        view[slot] += image
                    else:
                        part = image * np.float32(weight)
                        view[slot] += part if pet else np.rint(part).astype(np.int16)
            except (Undecodable, Refusal, ValueError) as error:
                # The words of any other error may quote the header.
                why = type(error).__name__ if type(error) is ValueError else str(error)
                raise ScanError(
                    f"file {ordinal} of the series: {why}. The source has changed since it was indexed: "
                    "run `calciflow refresh`."
                ) from None
    return Volume(array, grid.affine)


def values(dataset: Dataset, frame: int | None, *, pet: bool) -> NDArray[Any]:
    """One slice in HU (int16) or in the PET's units (float32), shape (rows, columns)."""
    stored = stored_values(dataset, frame)
    if frame is None:
        slope, intercept = rescale(dataset)
    else:
        from calciflow.dicom.multiframe import frame_rescale

        slope, intercept = frame_rescale(dataset, frame)
    pad = padding(dataset)
    if not pet:
        return hounsfield(stored, slope, intercept, pad)
    if intercept != 0:
        raise Refusal(
            "scaling",
            f"Rescale Intercept (0028,1052) of the PET is {intercept:g}, not 0: send the original images.",
        )
    return activity(stored, slope, pad)
