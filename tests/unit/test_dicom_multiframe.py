"""Enhanced multi-frame PET and CT give what the same slices give as single files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

import dicom_scans as make
from calciflow.images import read_volume
from calciflow.index import index_scan
from dicom_scans import convert_scan

ENHANCED_PET, ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.130", "1.2.840.10008.5.1.4.1.1.2.1"


def _item(**tags: Any) -> Items:
    data = Dataset()
    for tag, value in tags.items():
        setattr(data, tag, value)
    return Items([data])


def enhanced(images: list[Dataset], order: list[int]) -> Dataset:
    """Pack single slices into one enhanced object (PS3.3 A.38.1 and A.56.1: what the standard requires here)."""
    first = images[0]
    is_pet = first.Modality == "PT"
    data = Dataset()
    for tag in (
        "SpecificCharacterSet StudyDate StudyTime SeriesDate SeriesTime Modality Manufacturer ManufacturerModelName "
        "PatientName PatientID PatientBirthDate PatientSex PatientSize PatientWeight StudyInstanceUID "
        "SeriesInstanceUID SeriesNumber FrameOfReferenceUID PatientPosition SamplesPerPixel PhotometricInterpretation "
        "Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation"
    ).split():
        setattr(data, tag, getattr(first, tag))
    data.SOPClassUID = ENHANCED_PET if is_pet else ENHANCED_CT
    data.SOPInstanceUID = f"1.2.3.{first.SeriesNumber}"
    data.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    data.NumberOfFrames = len(images)
    if is_pet:
        data.AcquisitionDateTime = "20240305110000"
        data.AttenuationCorrected = data.DecayCorrected = "YES"
        data.DecayCorrectionDateTime = "20240305110000"
        given = Dataset()
        given.Radiopharmaceutical = "Fluoride"
        given.RadiopharmaceuticalStartDateTime = "20240305100000"
        given.RadionuclideTotalDose = 200e6
        given.RadionuclideHalfLife = 6586.2
        given.RadionuclideCodeSequence = _item(CodeValue="C-111A1", CodingSchemeDesignator="SRT", CodeMeaning="F18")
        data.RadiopharmaceuticalInformationSequence = Items([given])
    shared = Dataset()
    shared.PlaneOrientationSequence = _item(ImageOrientationPatient=first.ImageOrientationPatient)
    shared.PixelMeasuresSequence = _item(PixelSpacing=first.PixelSpacing, SliceThickness=first.SliceThickness)
    if is_pet:
        unit = Dataset()
        unit.CodeValue, unit.CodingSchemeDesignator, unit.CodeMeaning = "Bq/ml", "UCUM", "Becquerels/milliliter"
        shared.PETFrameTypeSequence = _item(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])
    else:
        shared.CTImageFrameTypeSequence = _item(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])
        shared.CTReconstructionSequence = _item(ConvolutionKernel="B30f")
    data.SharedFunctionalGroupsSequence = Items([shared])
    frames = []
    for index in order:
        image = images[index]
        own = Dataset()
        own.PlanePositionSequence = _item(ImagePositionPatient=image.ImagePositionPatient)
        own.PixelValueTransformationSequence = _item(
            RescaleSlope=image.RescaleSlope, RescaleIntercept=image.RescaleIntercept, RescaleType="HU"
        )
        own.FrameContentSequence = _item(
            FrameAcquisitionDateTime="20240305110000",
            FrameReferenceDateTime="20240305110100",
            FrameAcquisitionDuration=120000.0,
        )
        if is_pet:
            own.PixelValueTransformationSequence[0].RescaleType = "BQML"
            mapping = Dataset()
            mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = float(image.RescaleSlope), 0.0
            mapping.MeasurementUnitsCodeSequence = Items([unit])
            own.RealWorldValueMappingSequence = Items([mapping])
        frames.append(own)
    data.PerFrameFunctionalGroupsSequence = Items(frames)
    data.PixelData = b"".join(images[index].PixelData for index in order)
    data["PixelData"].VR = "OW"
    data.file_meta = first.file_meta
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    return data


def run(source: Path, out: Path) -> dict[str, Any]:
    index_scan(
        series=str(out / "series.tsv"),
        screening=str(out / "screening.json"),
        selection=str(out / "selection.json"),
        scan={"participant_id": "sub-01", "session_id": "ses-01", "acquisition": None},
        sources={"source": str(source)},
    )
    result: dict[str, Any] = json.loads((out / "screening.json").read_text())
    assert result["code"] != "internal", json.loads((out / "selection.json").read_text())["traceback"]
    return result


def convert(out: Path) -> None:
    convert_scan(
        selection=str(out / "selection.json"),
        ct=str(out / "ct.nii.gz"),
        ct_json=str(out / "ct.json"),
        pet=str(out / "pet.nii.gz"),
        pet_json=str(out / "pet.json"),
    )


@pytest.mark.parametrize("compressed", [False, True])
def test_frames_equal_single_slices(compressed: bool, tmp_path: Path) -> None:
    from pydicom.uid import RLELossless

    ct, pet = make.ct(), make.pet()
    order = [3, 0, 9, 1, 8, 2, 7, 4, 6, 5]
    run(make.scan(tmp_path / "single", ct, pet), tmp_path / "one")
    convert(tmp_path / "one")
    packed = [enhanced(ct, order), enhanced(pet, order)]
    if compressed:
        for data in packed:
            data.compress(RLELossless, generate_instance_uid=False)
    result = run(make.scan(tmp_path / "multi", packed), tmp_path / "two")
    assert result["verdict"] == "accepted", result["reason"]
    convert(tmp_path / "two")
    for name in ("ct.nii.gz", "pet.nii.gz"):
        one, two = read_volume(tmp_path / "one" / name), read_volume(tmp_path / "two" / name)
        np.testing.assert_array_equal(one.array, two.array)
        np.testing.assert_allclose(one.affine, two.affine, atol=1e-5)


def test_missing_frame_is_refused(tmp_path: Path) -> None:
    packed = [enhanced(make.ct(), list(range(10))), enhanced(make.pet(), [0, 1, 2, 3, 5, 6, 7, 8, 9])]
    packed[1].NumberOfFrames = 9
    assert run(make.scan(tmp_path / "in", packed), tmp_path)["code"] == "missing_slice"


def test_pixels_cut_off_are_refused(tmp_path: Path) -> None:
    packed = [enhanced(make.ct(), list(range(10))), enhanced(make.pet(), list(range(10)))]
    packed[1].PixelData = packed[1].PixelData[:-100]
    assert run(make.scan(tmp_path / "in", packed), tmp_path)["code"] == "unreadable"


@pytest.mark.parametrize("position", ["HFS", "FFP", "HFDR"])
@pytest.mark.parametrize("converter", ["SimpleITK", "dcm2niix"])
@pytest.mark.parametrize("kind", ["ct", "pet"])
def test_frames_lie_where_other_converters_put_them(kind: str, converter: str, position: str, tmp_path: Path) -> None:
    import SimpleITK as sitk

    import converters as others

    series = getattr(make, kind)(orientation=make.ORIENTATIONS[position])
    for data in series:
        data.RescaleSlope = 0.75 if kind == "pet" else 1  # both others take the first frame's slope for all frames
    # SimpleITK takes the frames in the order of the file.
    order = list(range(10)) if converter == "SimpleITK" else [3, 0, 9, 1, 8, 2, 7, 4, 6, 5]
    (path,) = make.write(tmp_path / "in", [enhanced(series, order)])
    if converter == "SimpleITK":
        theirs = others.Volume.from_sitk(sitk.ReadImage(str(path)))
    else:
        theirs = others.by_dcm2niix(tmp_path / "in", tmp_path / "out")
    others.assert_agree(others.one_series(tmp_path / "in"), theirs)
