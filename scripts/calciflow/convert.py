"""Stage ``convert``: one volume each for CT and PET, exact in value and place, without identity."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from calciflow.dicom.bids import load
from calciflow.dicom.geometry import Grid
from calciflow.dicom.volume import fill
from calciflow.errors import ScanError
from calciflow.files import read_json, write_json
from calciflow.images import write_volume


def convert_volume(*, selection: str, volume: str, sidecar: str, modality: str) -> None:
    """Write the volume that ``index`` chose: CT as int16 HU, PET as float32 in its own units, not resampled.

    Peak memory is one volume and one slice.

    Parameters
    ----------
    selection
        The scan's private file from ``index``.
    volume, sidecar
        Outputs: NIfTI with canonical axes, and JSON without identity.
    modality
        ``ct`` or ``pet``.

    Raises
    ------
    ScanError
        If the scan was refused, or the source has changed since it was indexed.
    """
    chosen = read_json(selection)
    part = chosen[modality]
    # A PET that lacks nothing but a CT can be taken as far as its SUV image.
    if part is None or (chosen["verdict"] != "accepted" and not (modality == "pet" and chosen["code"] == "no_ct")):
        raise ScanError(f"the scan was refused ({chosen['code']}): there is no {modality} to convert")
    if part.get("nifti"):
        filled = load(part["nifti"], grid_of(part), pet=modality == "pet", scale=part["scale"])
    else:
        filled = fill(part["source"], part["files"], grid_of(part), pet=modality == "pet", terms=part["terms"])
    write_volume(volume, filled, np.float32 if modality == "pet" else np.int16)
    write_json(sidecar, part["sidecar"])
    print(f"{modality}: {' x '.join(str(n) for n in filled.array.shape[::-1])} voxels from {len(part['files'])} slices")


def grid_of(part: Mapping[str, Any]) -> Grid:
    """The geometry that ``index`` wrote down."""
    z, y, x = part["shape"]
    first, second, third = part["axes"]
    flips = part["flips"]
    return Grid(
        slots=((),) * part["shape"][part["slice_axis"]],
        affine=np.asarray(part["affine"], float),
        shape=(z, y, x),
        slice_axis=part["slice_axis"],
        axes=(first, second, third),
        flips=(flips[0], flips[1], flips[2]),
        increment=part["increment_mm"],
        jitter=part["jitter_mm"],
    )
