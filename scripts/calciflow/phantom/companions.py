"""The series that a real study carries beside its CT and its attenuation-corrected PET.

Each is a trap for who takes the first CT or PET that comes: a topogram, a second CT, the PET without attenuation
correction, projections of it, screen captures and protocols stored as CT or PET, a dose report.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import ExplicitVRLittleEndian

from calciflow.images import Volume
from calciflow.phantom.dicom_writer import (
    CT_STORAGE,
    PET_STORAGE,
    Finish,
    code_item,
    common,
    start_of,
    uid,
    write_ct,
    write_pet,
)
from calciflow.phantom.scan import PhantomScan
from calciflow.phantom.spec import replace

CAPTURE_STORAGE = "1.2.840.10008.5.1.4.1.1.7"
DOSE_REPORT_STORAGE = "1.2.840.10008.5.1.4.1.1.88.67"

SHARP_KERNELS = {"SIEMENS": "B70f", "GE MEDICAL SYSTEMS": "LUNG", "Philips Medical Systems": "YB"}
_UNATTENUATED = 0.3
"""What is left of the PET without attenuation correction, roughly: 12 cm of tissue at 0.0096 per mm."""


def write_companions(scan: PhantomScan, folder: str | Path, finish: Finish, rng: np.random.Generator) -> None:
    """Write the other series of a study, each into a folder of its own.

    Parameters
    ----------
    finish
        The dialect's changes; what makes a series what it is wins over them.
    rng
        Draws which second CT there is.
    """
    folder = Path(folder)
    _second_ct(scan, folder / "second_ct", finish, str(rng.choice(("part", "thick", "sharp"))))
    _uncorrected(scan, folder / "nac", finish)
    _topogram(scan, folder / "topogram", finish)
    _projections(scan, folder / "mip", finish, 6, {"ImageType": ["DERIVED", "SECONDARY", "MIP"]})
    reprojection = {"ImageType": ["DERIVED", "PRIMARY"], "SeriesType": ["WHOLE BODY", "REPROJECTION"]}
    _projections(scan, folder / "reprojection", finish, 7, reprojection)
    _capture(scan, folder / "capture", 8, "PT", "Fused screen")
    _capture(scan, folder / "protocol", 501, "CT", "Patient Protocol")
    _dose_report(scan, folder / "dose")


def _as_series(scan: PhantomScan, finish: Finish, name: str, number: int, fixed: dict[str, Any]) -> Finish:
    """The dialect's changes, then the series' own: identifiers, number, and ``fixed`` elements (None: left out)."""

    def change(d: Dataset, index: int, count: int) -> str:
        d.SeriesNumber = number
        d.SeriesInstanceUID = uid(scan.spec.name, scan.seed, name, "series")
        d.SOPInstanceUID = d.file_meta.MediaStorageSOPInstanceUID = uid(scan.spec.name, scan.seed, name, index)
        file = finish(d, index, count)
        for keyword, value in fixed.items():
            if value is not None:
                setattr(d, keyword, value)
            elif keyword in d:
                delattr(d, keyword)
        return file

    return change


def _second_ct(scan: PhantomScan, folder: Path, finish: Finish, kind: str) -> None:
    """A second reconstruction: a sharp one of a part of the body, or thick slices of all of it, soft or sharp."""
    ct = scan.ct
    fixed: dict[str, Any] = {"SeriesDescription": "CT thick"}
    if kind == "part":
        third = ct.array.shape[0] // 3
        other = ct.crop((slice(third, 2 * third), slice(None), slice(None)))
        spec = scan.spec.ct
    else:
        pairs = ct.array.shape[0] // 2
        mean = ct.array[: 2 * pairs].reshape(pairs, 2, *ct.array.shape[1:]).mean(axis=1)
        affine = ct.affine.copy()
        affine[:3, 3] += 0.5 * affine[:3, 2]
        affine[:3, 2] *= 2
        other = Volume(np.rint(mean).astype(np.int16), affine)
        spec = replace(scan.spec.ct, slice_mm=2 * scan.spec.ct.slice_mm, thickness_mm=None)

    def sharpened(d: Dataset, index: int, count: int) -> str:
        file = _as_series(scan, finish, "second CT", 3, fixed)(d, index, count)
        if kind != "thick":
            d.ConvolutionKernel = SHARP_KERNELS[d.Manufacturer]
            d.SeriesDescription = "CT sharp"
        return file

    changed = replace(scan, ct=other, spec=replace(scan.spec, ct=spec))
    write_ct(changed, folder, start_of(scan) - timedelta(seconds=80), sharpened)


def _uncorrected(scan: PhantomScan, folder: Path, finish: Finish) -> None:
    """The PET without attenuation correction: same grid, same units, lower values."""
    fixed = {
        "SeriesDescription": "PET NaF WB (NAC)",
        "CorrectedImage": ["NORM", "DTIM", "SCAT", "DECY", "RAN"],
        "AttenuationCorrectionMethod": "NONE",
    }
    faint = scan.pet_suv.like(scan.pet_suv.array * np.float32(_UNATTENUATED))
    write_pet(replace(scan, pet_suv=faint), folder, start_of(scan), _as_series(scan, finish, "NAC", 5, fixed))


def _plane(scan: PhantomScan, volume: Volume, modality: str, number: int, name: str, index: int) -> Dataset:
    """Header of a coronal image through the middle of a volume."""
    d = common(scan, start_of(scan), modality, number)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    d.file_meta = meta
    d.SOPClassUID = meta.MediaStorageSOPClassUID = CT_STORAGE if modality == "CT" else PET_STORAGE
    d.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = uid(scan.spec.name, scan.seed, name, index)
    d.SeriesInstanceUID = uid(scan.spec.name, scan.seed, name, "series")
    d.InstanceNumber = index + 1
    sz, _, sx = volume.spacing
    depth, rows, columns = volume.array.shape
    d.PixelSpacing = [f"{sz:.6g}", f"{sx:.6g}"]
    d.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    right, middle, high = volume.world(np.array([[depth - 1, rows // 2, columns - 1]]))[0]
    d.ImagePositionPatient = [f"{-right:.6f}"[:16], f"{-middle:.6f}"[:16], f"{high:.6f}"[:16]]
    return d


def _save(d: Dataset, pixels: NDArray[Any], folder: Path, file: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    d.Rows, d.Columns = pixels.shape[:2]
    d.PixelData = pixels.tobytes()
    d.save_as(folder / file, enforce_file_format=True)


def _topogram(scan: PhantomScan, folder: Path, finish: Finish) -> None:
    """The localizer that every CT begins with: one coronal projection."""
    d = _plane(scan, scan.ct, "CT", 1, "topogram", 0)
    d.RescaleIntercept, d.RescaleSlope, d.PixelRepresentation, d.KVP = "-1024", "1", 0, scan.spec.ct.kvp
    file = finish(d, 0, 1)
    kind = ["CT_SOM5 TOP"] if d.Manufacturer == "SIEMENS" else []
    d.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER", *kind]
    d.SeriesDescription = "Topogram"
    mean = scan.ct.array.mean(axis=1)[::-1, ::-1]
    _save(d, (np.rint(mean).astype(np.int32) + 1024).clip(0, 4095).astype("<u2"), folder, file)


def _projections(scan: PhantomScan, folder: Path, finish: Finish, number: int, fixed: dict[str, Any]) -> None:
    """Highest values along two directions, stored as PET images."""
    pet = scan.pet_suv
    for index, axis in enumerate((1, 2)):
        d = _plane(scan, pet, "PT", number, f"projection {number}", index)
        values = pet.array.max(axis=axis)[::-1, ::-1] * scan.bqml_per_suv
        slope = f"{max(float(values.max()), 1.0) / 32767:.8g}"
        d.PixelRepresentation, d.RescaleIntercept, d.RescaleSlope, d.RescaleType = 1, "0", slope, "BQML"
        d.Units, d.DecayCorrection, d.SeriesType = "BQML", "START", ["WHOLE BODY", "IMAGE"]
        d.CorrectedImage = ["NORM", "DTIM", "ATTN", "SCAT", "DECY", "RAN"]
        d.ConvolutionKernel, d.DecayFactor = "", "1"
        d.RadiopharmaceuticalInformationSequence = DicomSequence([Dataset()])
        file = finish(d, index, 2)
        for keyword, value in fixed.items():
            setattr(d, keyword, value)
        d.SeriesDescription = "PET projections"
        _save(d, np.rint(values / float(slope)).clip(0, 32767).astype("<i2"), folder, file)


def _capture(scan: PhantomScan, folder: Path, number: int, modality: str, description: str) -> None:
    """A screen capture in colour, with the modality of what was on the screen."""
    d = common(scan, start_of(scan), modality, number)
    d.file_meta = FileMetaDataset()
    d.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    d.SOPClassUID = d.file_meta.MediaStorageSOPClassUID = CAPTURE_STORAGE
    d.SOPInstanceUID = d.file_meta.MediaStorageSOPInstanceUID = uid(scan.spec.name, scan.seed, description)
    d.SeriesInstanceUID = uid(scan.spec.name, scan.seed, description, "series")
    del d.FrameOfReferenceUID, d.PositionReferenceIndicator
    d.ImageType = ["DERIVED", "SECONDARY", "SCREEN SAVE"]
    d.SeriesDescription, d.ConversionType, d.InstanceNumber = description, "WSD", 1
    d.SamplesPerPixel, d.PhotometricInterpretation, d.PlanarConfiguration = 3, "RGB", 0
    d.BitsAllocated = d.BitsStored = 8
    d.HighBit, d.PixelRepresentation = 7, 0
    grey = np.clip(scan.ct.array[::2, scan.ct.array.shape[1] // 2, ::2].astype(float)[::-1] / 8 + 128, 0, 255)
    colour = np.repeat(grey.astype(np.uint8)[..., None], 3, axis=-1)
    if colour.size % 2:  # an even number of bytes
        colour = colour[:, :-1]
    _save(d, np.ascontiguousarray(colour), folder, f"capture{number}.dcm")


def _dose_report(scan: PhantomScan, folder: Path) -> None:
    """A radiation dose structured report: no image."""
    folder.mkdir(parents=True, exist_ok=True)
    d = common(scan, start_of(scan), "SR", 502)
    d.file_meta = FileMetaDataset()
    d.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    d.SOPClassUID = d.file_meta.MediaStorageSOPClassUID = DOSE_REPORT_STORAGE
    d.SOPInstanceUID = d.file_meta.MediaStorageSOPInstanceUID = uid(scan.spec.name, scan.seed, "dose")
    d.SeriesInstanceUID = uid(scan.spec.name, scan.seed, "dose", "series")
    for keyword in (
        "FrameOfReferenceUID", "PositionReferenceIndicator", "SamplesPerPixel", "PhotometricInterpretation",
        "BitsAllocated", "BitsStored", "HighBit",
    ):  # fmt: skip
        delattr(d, keyword)
    d.SeriesDescription, d.InstanceNumber = "Dose Report", 1
    d.CompletionFlag, d.VerificationFlag, d.ValueType = "COMPLETE", "UNVERIFIED", "CONTAINER"
    d.ConceptNameCodeSequence = DicomSequence([code_item("113701", "DCM", "X-Ray Radiation Dose Report")])
    d.ContinuityOfContent = "SEPARATE"
    d.save_as(folder / "dose.dcm", enforce_file_format=True)
