"""A phantom's scan as hospital DICOM, in the way a Siemens Biograph writes it; `calciflow.phantom.dialects` has others.

The patient is fictitious. Identifiers come from the scan's name and seed, so the same scan gives the same bytes.
"""

import copy
import hashlib
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import ExplicitVRLittleEndian

from calciflow.images import Volume
from calciflow.phantom.scan import HALF_LIFE_S, PhantomScan

CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
PET_STORAGE = "1.2.840.10008.5.1.4.1.1.128"
_EPOCH = datetime(2021, 3, 1, 9, 0, 0)
_CT_LEAD_S = 90.0  # the CT comes first


def uid(*parts: object) -> str:
    """A UID under 2.25 (UUID-derived, PS3.5 B.2) from a hash of ``parts``."""
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big') >> 8}"


def _date(moment: datetime) -> str:
    return moment.strftime("%Y%m%d")


def _time(moment: datetime) -> str:
    return moment.strftime("%H%M%S.%f")


def code_item(value: str, scheme: str, meaning: str) -> Dataset:
    """An item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


Finish = Callable[[Dataset, int, int], str]
"""Last changes to a slice before it is written, given its number from the head and how many there are; gives the file's
name."""


def plain_name(dataset: Dataset, number: int, count: int) -> str:
    """Name of a slice's file: its modality and number from the head."""
    return f"{dataset.Modality}{number + 1:04d}.dcm"


def common(scan: PhantomScan, start: datetime, kind: str, number: int) -> Dataset:
    """What all series share: patient, study, series, frame of reference, equipment."""
    person, name = scan.spec.person, scan.spec.name
    key = (name, scan.seed)
    d = Dataset()
    d.SpecificCharacterSet = "ISO_IR 192"
    d.StudyDate, d.StudyTime = _date(start), _time(start)
    d.SeriesDate = d.AcquisitionDate = d.ContentDate = _date(start)
    d.SeriesTime = d.AcquisitionTime = d.ContentTime = _time(start)
    d.AccessionNumber = f"FICTION{scan.seed:06d}"
    d.Modality = kind
    d.Manufacturer = "SIEMENS"
    d.InstitutionName = "Nowhere University Hospital (digital phantom)"
    d.ReferringPhysicianName = "Fictitious^Referrer"
    d.StationName = "PHANTOM01"
    d.StudyDescription = "PET^NaF_WholeBody (digital phantom)"
    d.ManufacturerModelName = "Biograph 64 (digital phantom)"
    d.PatientName = f"Fictitious^{name}"
    d.PatientID = f"FICT-{name}-{scan.seed}"
    d.PatientBirthDate = f"{start.year - person.age:04d}0101"
    d.PatientSex = person.sex
    d.PatientAge = f"{person.age:03d}Y"
    d.PatientSize = f"{person.height_m:.2f}"
    d.PatientWeight = f"{person.weight_kg:.1f}"
    d.BodyPartExamined = "WHOLEBODY"
    d.SoftwareVersions = "calciflow phantom"
    d.PatientPosition = "HFS"
    d.StudyInstanceUID = uid(*key, "study")
    d.SeriesInstanceUID = uid(*key, kind, "series")
    d.FrameOfReferenceUID = uid(*key, "frame of reference")
    d.PositionReferenceIndicator = ""
    d.StudyID = "1"
    d.SeriesNumber = number
    d.SamplesPerPixel = 1
    d.PhotometricInterpretation = "MONOCHROME2"
    d.BitsAllocated = d.BitsStored = 16
    d.HighBit = 15
    return d


def _apart(template: Dataset) -> Dataset:
    """A copy that can be changed by itself. Copied deeply, a slice's hundred elements take longer than its pixels."""
    one = Dataset()
    for element in template:
        shared = isinstance(element.value, str | bytes | int | float)
        value = element.value if shared else copy.deepcopy(element.value)
        one[element.tag] = DataElement(element.tag, element.VR, value, already_converted=True)
    return one


def write_slices(
    folder: Path,
    template: Dataset,
    volume: Volume,
    sop_class: str,
    key: tuple[object, ...],
    pixels: Callable[[int, NDArray[Any]], tuple[NDArray[Any], dict[str, object]]],
    finish: Finish = plain_name,
) -> None:
    """One file a slice, numbered from the head down, as a scanner that moves from head to feet does."""
    folder.mkdir(parents=True, exist_ok=True)
    count, rows, columns = volume.array.shape
    template.Rows, template.Columns = rows, columns
    sz, sy, sx = volume.spacing
    template.PixelSpacing = [f"{sy:.6g}", f"{sx:.6g}"]
    template.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    template.SOPClassUID = sop_class
    # RAS to LPS: the first pixel of a slice is the patient's right front corner.
    right, front, low = volume.world(np.array([[0, rows - 1, columns - 1]]))[0]
    for number in range(count):
        index = count - 1 - number
        z = low + index * sz
        template.SOPInstanceUID = uid(*key, number)
        template.InstanceNumber = number + 1
        template.ImagePositionPatient = [f"{-right:.6f}"[:16], f"{-front:.6f}"[:16], f"{z:.6f}"[:16]]
        template.SliceLocation = f"{z:.6f}"[:16]
        data, extra = pixels(index, np.ascontiguousarray(volume.array[index, ::-1, ::-1]))
        for name, value in extra.items():
            setattr(template, name, value)
        template.PixelData = data.tobytes()
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = sop_class
        meta.MediaStorageSOPInstanceUID = template.SOPInstanceUID
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.ImplementationClassUID = uid("calciflow phantom")
        meta.ImplementationVersionName = "CALCIFLOW"
        # The next slice starts from the template again, whatever is changed in this one.
        one = _apart(template)
        one.file_meta = meta
        one.save_as(folder / finish(one, number, count), enforce_file_format=True)


def write_ct(scan: PhantomScan, folder: Path, start: datetime, finish: Finish) -> None:
    """Write a scan's CT, one file a slice."""
    spec = scan.spec.ct
    d = common(scan, start, "CT", 2)
    d.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"]
    d.SeriesDescription = "CT WB  3.0  B31f"
    d.ScanOptions = "SPIRAL CT"
    d.SliceThickness = f"{spec.thickness_mm or spec.slice_mm:.6g}"
    d.KVP = spec.kvp
    d.DataCollectionDiameter = "500"
    d.ReconstructionDiameter = f"{spec.pixel_mm * spec.matrix[0]:.6g}"
    d.GantryDetectorTilt = 0
    d.TableHeight = "150"
    d.XRayTubeCurrent = 60
    d.ExposureTime = 500
    d.ConvolutionKernel = "B31f"
    d.PixelRepresentation = 0
    d.RescaleIntercept, d.RescaleSlope, d.RescaleType = "-1024", "1", "HU"
    d.WindowCenter, d.WindowWidth = "40", "400"
    d.BurnedInAnnotation = "NO"

    def pixels(_: int, plane: NDArray[Any]) -> tuple[NDArray[Any], dict[str, object]]:
        return (plane.astype(np.int32) + 1024).astype("<u2"), {}

    write_slices(folder, d, scan.ct, CT_STORAGE, (scan.spec.name, scan.seed, "CT"), pixels, finish)


def write_pet(scan: PhantomScan, folder: Path, start: datetime, finish: Finish) -> None:
    """Write a scan's PET, one file a slice, with a slope of its own on each."""
    spec = scan.spec.pet
    rate = np.log(2) / HALF_LIFE_S
    d = common(scan, start, "PT", 4)
    d.ImageType = ["ORIGINAL", "PRIMARY"]
    d.SeriesDescription = "PET NaF WB (AC)"
    d.SliceThickness = f"{spec.slice_mm:.6g}"
    d.CorrectedImage = ["NORM", "DTIM", "ATTN", "SCAT", "DECY", "RAN"]
    d.Units = "BQML"
    d.CountsSource = "EMISSION"
    d.SeriesType = ["WHOLE BODY", "IMAGE"]
    d.DecayCorrection = "START"
    d.RandomsCorrectionMethod = "DLYD"
    d.AttenuationCorrectionMethod = "measured,AC CT"
    d.ScatterCorrectionMethod = "Model-based"
    d.ReconstructionMethod = "OSEM3D 2i21s"
    d.ConvolutionKernel = f"XYZGAUSSIAN{spec.noise_fwhm_mm:.2f}"
    d.CollimatorType = "NONE"
    d.AxialAcceptance = "38"
    d.NumberOfSlices = scan.pet_suv.array.shape[0]
    d.PixelRepresentation = 1
    d.RescaleIntercept, d.RescaleType = "0", "BQML"
    d.ActualFrameDuration = str(int(spec.frame_s * 1000))
    d.BurnedInAnnotation = "NO"

    injected = start - timedelta(minutes=spec.uptake_min)
    drug = Dataset()
    drug.Radiopharmaceutical = "Fluoride"
    drug.RadiopharmaceuticalVolume = "0"
    drug.RadiopharmaceuticalStartTime = _time(injected)
    drug.RadiopharmaceuticalStartDateTime = injected.strftime("%Y%m%d%H%M%S.%f")
    drug.RadionuclideTotalDose = f"{spec.dose_mbq * 1e6:.0f}"
    drug.RadionuclideHalfLife = f"{HALF_LIFE_S}"
    drug.RadionuclidePositronFraction = "0.967"
    drug.RadionuclideCodeSequence = DicomSequence([code_item("C-111A1", "SRT", "^18^Fluorine")])
    # CID 4021: Sodium fluoride F^18^
    drug.RadiopharmaceuticalCodeSequence = DicomSequence([code_item("C-B1032", "SRT", "Sodium fluoride F^18^")])
    d.RadiopharmaceuticalInformationSequence = DicomSequence([drug])

    count, spacing = scan.pet_suv.array.shape[0], scan.pet_suv.spacing[0]
    frame = spec.frame_s
    # Ratio of activity at a frame's start to its mean over the frame, and the time at which activity equals that mean.
    mean_factor = rate * frame / -np.expm1(-rate * frame)
    mean_time = np.log(mean_factor) / rate
    scale = scan.bqml_per_suv

    def pixels(index: int, plane: NDArray[Any]) -> tuple[NDArray[Any], dict[str, object]]:
        bed = int(index * spacing // spec.bed_mm)  # beds run from the thighs up
        began = bed * frame
        values = plane * np.float64(scale)
        top = float(values.max())
        slope = f"{max(top, 1.0) / 32767:.8g}"
        stored = np.rint(values / float(slope)).clip(0, 32767).astype("<i2")
        moment = start + timedelta(seconds=began)
        return stored, {
            "RescaleSlope": slope,
            "AcquisitionDate": _date(moment),
            "AcquisitionTime": _time(moment),
            "FrameReferenceTime": f"{(began + mean_time) * 1000:.6g}"
            if began + mean_time < 1e3
            else f"{(began + mean_time) * 1000:.9g}",
            "DecayFactor": f"{mean_factor * np.exp(rate * began):.6g}",
            "ImageIndex": count - index,
            "SmallestImagePixelValue": int(stored.min()),
            "LargestImagePixelValue": int(stored.max()),
        }

    write_slices(folder, d, scan.pet_suv, PET_STORAGE, (scan.spec.name, scan.seed, "PT"), pixels, finish)


def start_of(scan: PhantomScan) -> datetime:
    """Start of a scan's PET: days and times of day differ between scans, and never depend on the clock."""
    return _EPOCH + timedelta(
        days=scan.seed % 600, minutes=(scan.seed * 37) % 240, milliseconds=(scan.seed * 271) % 1000
    )


def write_dicom(scan: PhantomScan, folder: str | Path, finish: Finish = plain_name) -> None:
    """Write CT and PET into ``folder/CT`` and ``folder/PT``, one file a slice; what was there is replaced.

    PET values are Bq/ml, decay-corrected to the start of the scan, with a slope of its own on each slice. A reader that
    follows DICOM gets SUVbw equal to ``scan.pet_suv`` within half a stored step (1/65534 of a slice's maximum).
    ``finish`` makes the last changes to each slice.
    """
    folder = Path(folder)
    for name in ("CT", "PT"):
        shutil.rmtree(folder / name, ignore_errors=True)
    start = start_of(scan)
    write_ct(scan, folder / "CT", start - timedelta(seconds=_CT_LEAD_S), finish)
    write_pet(scan, folder / "PT", start, finish)
