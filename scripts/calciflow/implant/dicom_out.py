"""The host's DICOM with the deposits in it: stored types, slopes and tags kept, identifiers new, a note added."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import ExplicitVRLittleEndian

from calciflow.convert import grid_of
from calciflow.dicom.headers import quiet
from calciflow.dicom.pixels import Undecodable, padding, rescale, stored_values
from calciflow.dicom.volume import slices
from calciflow.errors import ScanError
from calciflow.phantom.dicom_writer import uid
from calciflow.phantom.shapes import Array

NOTE = "calciflow: simulated deposits (implants) were added to this image. Not for diagnosis."

_KEPT_UIDS = (
    "ClassUID",
    "TransferSyntaxUID",
    "CodingSchemeUID",
    "ContextUID",
    "ContextGroupExtensionCreatorUID",
    "MappingResourceUID",
    "DeviceUID",
)
_STANDARD = "1.2.840.10008."
_LITTLE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")
_HIGHEST_HU = 3071.0
"""Scanners with 12 bits go no higher; what was higher before stays."""


def new_uid(old: str, seed: int) -> str:
    """The identifier that stands for ``old`` in the implanted scan: the same wherever it is referred to."""
    return uid("implant", seed, old)


def write_scan(
    selection: Mapping[str, Any], ct: Array, suv: Array, factors: tuple[float, ...], folder: str | Path, seed: int
) -> None:
    """Write both series into ``folder/CT`` and ``folder/PT``; what was there is replaced.

    Parameters
    ----------
    selection
        The host's private selection (`calciflow.index`).
    ct, suv
        What is added, HU and SUV, on the whole grids of CT and PET.
    factors
        SUV for 1 of the PET's own units: one, or one a slice.
    """
    units = np.array(factors if len(factors) > 1 else [factors[0]] * suv.shape[0], np.float64)
    for kind, name, added in (("ct", "CT", ct), ("pet", "PT", suv / units[:, None, None])):
        place = Path(folder) / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        part = selection[kind]
        planes = grid_of(part).slices_of(added)
        with quiet():
            for index, dataset in slices(part["source"], part["files"], whole_header=True):
                if isinstance(dataset, Undecodable):
                    raise ScanError(f"file {part['files'][index]['ordinal']} of the {kind}: {dataset}")
                add_to_slice(dataset, planes[index], pet=kind == "pet")
                rename(dataset, seed)
                dataset.save_as(place / f"{name}{index + 1:04d}.dcm", enforce_file_format=True)


def add_to_slice(dataset: Dataset, added: NDArray[Any], *, pet: bool) -> None:
    """Add values (HU, or the PET's own units) to a slice, in place.

    Where nothing is added, stored words stay as they are: the slope changes only if the sum does not fit the stored
    type, and then all of the slice is written anew, within half a step of the new slope.
    """
    syntax = str(getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", "") or _LITTLE[0])
    touched = bool(np.any(added))
    if not touched and syntax in _LITTLE:
        return
    stored = stored_values(dataset)
    new = np.asarray(stored)
    if touched:
        slope, intercept = rescale(dataset)
        bits, signed = int(dataset.BitsStored), int(dataset.PixelRepresentation) == 1
        top = (1 << (bits - 1)) - 1 if signed else (1 << bits) - 1
        low = -(1 << (bits - 1)) if signed else 0
        wide = stored.astype(np.float64)
        pad = _padding_mask(dataset, stored)
        share = np.where(pad, 0.0, added)
        if pet:
            low = min(low, int(stored.min())) if stored.min() < 0 else 0
            if float((wide + share / slope).max()) > top:
                wide = _rescaled(dataset, wide, share, slope, top)
                share = np.zeros_like(share)
                slope = float(dataset.RescaleSlope)
            new = np.rint(wide + share / slope)
        else:
            roof = max(float(stored.max()), min(float(top), np.floor((_HIGHEST_HU - intercept) / slope)))
            new = np.minimum(wide + np.rint(share / slope), roof)
        new = np.where(pad & (share == 0), stored, np.clip(new, low, top)).astype(stored.dtype)
    _store(dataset, new, syntax)


def _padding_mask(dataset: Dataset, stored: NDArray[Any]) -> NDArray[np.bool_]:
    limits = padding(dataset)
    if limits is None:
        return np.zeros(stored.shape, bool)
    words = stored.astype(np.int64) & 0xFFFF
    return np.asarray((words >= min(limits)) & (words <= max(limits)))


def _rescaled(
    dataset: Dataset, wide: NDArray[np.float64], share: NDArray[np.float64], slope: float, top: int
) -> NDArray[np.float64]:
    """Stored values of a PET slice under a new slope that holds its highest value; the header's slopes follow."""
    values = wide * slope + share
    text = f"{float(values.max()) / top * (1 + 1e-6):.9g}"
    dataset.RescaleSlope = text
    ratio = float(text) / slope
    for item in dataset.get("RealWorldValueMappingSequence", []) or []:
        if "RealWorldValueSlope" in item:
            item.RealWorldValueSlope = float(item.RealWorldValueSlope) * ratio
    return np.asarray(values / float(text))


def _store(dataset: Dataset, new: NDArray[Any], syntax: str) -> None:
    """Put stored values into a dataset, uncompressed, and what describes them with it."""
    size = new.dtype.itemsize
    kind = "i" if int(dataset.PixelRepresentation) == 1 else "u"
    dataset.PixelData = new.astype(f"<{kind}{size}").tobytes()
    dataset["PixelData"].VR = "OW" if size > 1 else "OB"
    dataset.HighBit = int(dataset.BitsStored) - 1
    for name, value in (("SmallestImagePixelValue", new.min()), ("LargestImagePixelValue", new.max())):
        if name in dataset:  # the dictionary leaves its VR open
            dataset[name] = DataElement(dataset[name].tag, "SS" if kind == "i" else "US", int(value))
    if syntax not in _LITTLE:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian


def rename(dataset: Dataset, seed: int) -> None:
    """Give a dataset new identifiers, and say in it that it holds implants."""
    _walk(dataset, lambda old: new_uid(old, seed))
    comment = str(dataset.get("ImageComments", "") or "")
    dataset.ImageComments = f"{comment} {NOTE}".strip() if NOTE not in comment else comment
    item, purpose = Dataset(), Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning = "109103", "DCM", "Modifying Equipment"
    item.PurposeOfReferenceCodeSequence = DicomSequence([purpose])
    item.Manufacturer = "calciflow"
    item.ManufacturerModelName = "calciflow implant"
    item.ContributionDescription = NOTE
    dataset.ContributingEquipmentSequence = DicomSequence([*dataset.get("ContributingEquipmentSequence", []), item])
    meta = getattr(dataset, "file_meta", None)
    if meta is None or "TransferSyntaxUID" not in meta:
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = _LITTLE[0]
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID


def _walk(dataset: Dataset, change: Callable[[str], str]) -> None:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                _walk(item, change)
        elif element.VR == "UI" and element.value and not element.keyword.endswith(_KEPT_UIDS):
            many = not isinstance(element.value, str)
            values = [str(v) for v in element.value] if many else [str(element.value)]
            values = [v if v.startswith(_STANDARD) or not v else change(v) for v in values]
            element.value = values if many else values[0]
