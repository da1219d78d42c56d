"""A small generator of hospital-like PET/CT, for the tests of the DICOM front end.

Loaded by path: test files are no package. Its own arithmetic of positions is the plain one of DICOM PS3.3 C.7.6.2.1.1.
"""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"
PET_CLASS = "1.2.840.10008.5.1.4.1.1.128"
ROOT = "1.2.826.0.1.3680043.8.498."
STUDY, FRAME = ROOT + "1", ROOT + "2"

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
# Image orientation of a scanner's axial slice for each Patient Position, as the standard's table has it
# (PS3.3 C.7.3.1.1.2): gantry axes turned with the patient.
ORIENTATIONS = {
    "HFS": (1, 0, 0, 0, 1, 0),
    "HFP": (-1, 0, 0, 0, -1, 0),
    "HFDR": (0, 1, 0, -1, 0, 0),
    "HFDL": (0, -1, 0, 1, 0, 0),
    "FFS": (-1, 0, 0, 0, 1, 0),
    "FFP": (1, 0, 0, 0, -1, 0),
    "FFDR": (0, -1, 0, -1, 0, 0),
    "FFDL": (0, 1, 0, 1, 0, 0),
}


def _uid(*parts: object) -> str:
    return generate_uid(ROOT, [str(part) for part in parts])


def image(
    kind: str,
    index: int,
    stored: np.ndarray,
    *,
    number: int = 3,
    origin: Sequence[float] = (-12.0, -20.0, 100.0),
    orientation: Sequence[float] = AXIAL,
    spacing: tuple[float, float] = (2.0, 1.5),
    increment: float = 3.0,
) -> Dataset:
    """One slice; ``index`` counts along the normal."""
    row, column = np.array(orientation[:3], float), np.array(orientation[3:], float)
    normal = np.cross(row, column)
    data = Dataset()
    data.SpecificCharacterSet = "ISO_IR 100"
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"] if kind == "CT" else ["ORIGINAL", "PRIMARY"]
    data.SOPClassUID = CT_CLASS if kind == "CT" else PET_CLASS
    data.SOPInstanceUID = _uid(kind, number, index)
    data.StudyDate = data.SeriesDate = data.AcquisitionDate = "20240305"
    data.StudyTime = data.SeriesTime = data.AcquisitionTime = "110000"
    data.Modality = "CT" if kind == "CT" else "PT"
    data.Manufacturer = "SIEMENS"
    data.ManufacturerModelName = "Biograph 64"
    data.SeriesDescription = f"{kind} number {number}"
    data.PatientName = "Doe^Jane"
    data.PatientID = "PID4711"
    data.PatientBirthDate = "19600101"
    data.PatientSex = "F"
    data.PatientSize = 1.7
    data.PatientWeight = 70.0
    data.SliceThickness = abs(increment)
    data.StudyInstanceUID = STUDY
    data.SeriesInstanceUID = _uid("series", number)
    data.SeriesNumber = number
    data.AcquisitionNumber = 1
    data.InstanceNumber = index + 1
    data.ImagePositionPatient = [float(v) for v in np.array(origin) + index * increment * normal]
    data.ImageOrientationPatient = [float(v) for v in orientation]
    data.FrameOfReferenceUID = FRAME
    data.PatientPosition = "HFS"
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.Rows, data.Columns = stored.shape
    data.PixelSpacing = [spacing[0], spacing[1]]
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit = 15
    data.PixelRepresentation = int(stored.dtype.kind == "i")
    if kind == "CT":
        data.KVP = 120
        data.ConvolutionKernel = "B30f"
        data.RescaleSlope, data.RescaleIntercept, data.RescaleType = 1, -1024, "HU"
    else:
        data.CorrectedImage = ["NORM", "DTIM", "ATTN", "SCAT", "DECY", "RAN"]
        data.RescaleSlope, data.RescaleIntercept = 0.5 + 0.01 * index, 0
        data.SeriesType = ["WHOLE BODY", "IMAGE"]
        data.Units = "BQML"
        data.CountsSource = "EMISSION"
        data.DecayCorrection = "START"
        data.ActualFrameDuration = 120000
        data.FrameReferenceTime = 60000
        given = Dataset()
        given.Radiopharmaceutical = "Fluoride"
        given.RadiopharmaceuticalStartTime = "100000"
        given.RadionuclideTotalDose = 200e6
        given.RadionuclideHalfLife = 6586.2
        nuclide = Dataset()
        nuclide.CodeValue, nuclide.CodingSchemeDesignator, nuclide.CodeMeaning = "C-111A1", "SRT", "^18^Fluorine"
        given.RadionuclideCodeSequence = Items([nuclide])
        data.RadiopharmaceuticalInformationSequence = Items([given])
    data.PixelData = stored.astype("<" + stored.dtype.str[1:]).tobytes()
    data["PixelData"].VR = "OW"
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    return data


def ct(slices: int = 10, *, shape: tuple[int, int] = (20, 16), seed: int = 1, **place: object) -> list[Dataset]:
    """A CT series of noise: unsigned, intercept -1024."""
    random = np.random.default_rng(seed)
    place.setdefault("number", 3)
    return [
        image("CT", k, random.integers(0, 3000, shape, dtype=np.uint16), **place)  # type: ignore[arg-type]
        for k in range(slices)
    ]


def pet(slices: int = 10, *, shape: tuple[int, int] = (10, 8), seed: int = 2, **place: object) -> list[Dataset]:
    """A PET series of noise over the same field of view, another slope on each slice."""
    random = np.random.default_rng(seed)
    place.setdefault("number", 5)
    place.setdefault("spacing", (4.0, 3.0))
    return [
        image("PT", k, random.integers(0, 32767, shape, dtype=np.int16), **place)  # type: ignore[arg-type]
        for k in range(slices)
    ]


def change(series: Sequence[Dataset], action: Callable[[Dataset], object]) -> list[Dataset]:
    """Do something to every image of a series."""
    for data in series:
        action(data)
    return list(series)


def renumber(series: Sequence[Dataset], number: int, **tags: object) -> list[Dataset]:
    """Copy a series under another number, UID and tags."""
    result = []
    for index, data in enumerate(copy.deepcopy(list(series))):
        data.SeriesNumber = number
        data.SeriesInstanceUID = _uid("series", number)
        data.SOPInstanceUID = _uid("copy", number, index)
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        for tag, value in tags.items():
            setattr(data, tag, value)
        result.append(data)
    return result


def write(folder: Path, series: Sequence[Dataset], *, start: int = 0, suffix: str = ".dcm") -> list[Path]:
    """Write images; names tell nothing of the order of the slices."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index, data in enumerate(series, start):
        path = folder / f"{(index * 7919) % 10007:05d}-{index}{suffix}"
        data.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def scan(folder: Path, *series: Sequence[Dataset]) -> Path:
    """Write a scan: CT and PET by default."""
    for number, images in enumerate(series or (ct(), pet())):
        write(folder / f"s{number}", images)
    return folder


def convert_scan(*, selection, ct=None, ct_json=None, pet, pet_json):
    """Both volumes of a scan, or the PET alone, as the two jobs of rule convert write them."""
    from calciflow.convert import convert_volume

    convert_volume(selection=selection, volume=pet, sidecar=pet_json, modality="pet")
    if ct is not None:
        convert_volume(selection=selection, volume=ct, sidecar=ct_json, modality="ct")
