"""DICOM of a phantom, read back by rules written down here from the standard, not by the project's own readers."""

from datetime import datetime

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from calciflow.images import Volume
from calciflow.phantom.dicom_writer import uid, write_dicom
from calciflow.phantom.scan import make_scan
from calciflow.phantom.spec import CtSpec, PersonSpec, PetSpec, ScanSpec
from calciflow.phantom.tiny import tiny_leg


@pytest.fixture(scope="module")
def leg():
    return tiny_leg(7)


@pytest.fixture(scope="module")
def folder(leg, tmp_path_factory):
    path = tmp_path_factory.mktemp("dicom")
    write_dicom(leg, path)
    return path


def headers(folder):
    sets = [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]
    return sorted(sets, key=lambda d: float(d.ImagePositionPatient[2]))


def moment(date, time):
    return datetime.strptime(date + time, "%Y%m%d%H%M%S.%f")


def suv_from_headers(sets):
    """SUVbw, DecayCorrection START: dose decayed to the series' start (PS3.3 C.8.9.1; QIBA FDG-PET profile)."""
    first = sets[0]
    drug = first.RadiopharmaceuticalInformationSequence[0]
    half_life = float(drug.RadionuclideHalfLife)
    injected = datetime.strptime(drug.RadiopharmaceuticalStartDateTime, "%Y%m%d%H%M%S.%f")
    waited = (moment(first.SeriesDate, first.SeriesTime) - injected).total_seconds()
    dose = float(drug.RadionuclideTotalDose) * 2 ** (-waited / half_life)
    factor = float(first.PatientWeight) * 1000 / dose
    return np.stack([d.pixel_array * float(d.RescaleSlope) * factor for d in sets])[:, ::-1, ::-1]


def test_suv_comes_back(leg, folder):
    got = suv_from_headers(headers(folder / "PT"))
    top = leg.pet_suv.array.max(axis=(1, 2), keepdims=True)
    assert (np.abs(got - leg.pet_suv.array) <= top / 32767 * 0.51 + 1e-6).all()


def test_hounsfield_units_come_back_exactly(leg, folder):
    sets = headers(folder / "CT")
    got = np.stack([d.pixel_array.astype(int) * int(d.RescaleSlope) + int(d.RescaleIntercept) for d in sets])
    np.testing.assert_array_equal(got[:, ::-1, ::-1], leg.ct.array)


@pytest.mark.parametrize("kind", ["CT", "PT"])
def test_another_reader_finds_the_same_geometry(leg, folder, kind):
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder / kind)))
    image = Volume.from_sitk(reader.Execute())
    truth = leg.ct if kind == "CT" else leg.pet_bqml
    rng = np.random.default_rng(0)
    index = np.stack([rng.integers(0, n, 50) for n in truth.array.shape], axis=1)
    there = image.index(truth.world(index))
    np.testing.assert_allclose(there, np.rint(there), atol=1e-3)
    values = image.array[tuple(np.rint(there).astype(int).T)]
    np.testing.assert_allclose(values, truth.array[tuple(index.T)], rtol=1e-3, atol=float(truth.array.max()) / 32000)


def test_every_slice_points_at_the_same_reference_time(folder):
    """Back-computed from each slice: acquisition + time of the mean activity - FrameReferenceTime."""
    sets = headers(folder / "PT")
    rate = np.log(2) / float(sets[0].RadiopharmaceuticalInformationSequence[0].RadionuclideHalfLife)
    for d in sets:
        length = float(d.ActualFrameDuration) / 1000
        middle = np.log(rate * length / (1 - np.exp(-rate * length))) / rate
        acquired = moment(d.AcquisitionDate, d.AcquisitionTime)
        back = acquired.timestamp() + middle - float(d.FrameReferenceTime) / 1000
        start = moment(d.SeriesDate, d.SeriesTime)
        assert back == pytest.approx(start.timestamp(), abs=0.05)
        since = (acquired - start).total_seconds()
        factor = np.exp(rate * since) * rate * length / (1 - np.exp(-rate * length))
        assert float(d.DecayFactor) == pytest.approx(factor, rel=1e-4)


def test_beds_are_acquired_one_after_the_other(folder):
    times = [d.AcquisitionTime for d in headers(folder / "PT")]
    assert len(set(times)) == 2  # 120 mm at 110 mm a bed
    assert times == sorted(times)


def test_slopes_differ_from_slice_to_slice_and_intercept_is_zero(folder):
    sets = headers(folder / "PT")
    assert len({d.RescaleSlope for d in sets}) > 20
    assert all(float(d.RescaleIntercept) == 0 for d in sets)


def test_headers_say_what_they_must(leg, folder):
    pet, ct = headers(folder / "PT"), headers(folder / "CT")
    first = pet[0]
    assert first.Units == "BQML"
    assert first.DecayCorrection == "START"
    assert {"ATTN", "DECY", "NORM"} <= set(first.CorrectedImage)
    assert first.NumberOfSlices == len(pet)
    drug = first.RadiopharmaceuticalInformationSequence[0]
    assert drug.RadionuclideCodeSequence[0].CodeValue == "C-111A1"
    assert "luoride" in drug.Radiopharmaceutical
    assert "luoride" in drug.RadiopharmaceuticalCodeSequence[0].CodeMeaning
    assert float(first.PatientWeight) == leg.spec.person.weight_kg
    assert first.FrameOfReferenceUID == ct[0].FrameOfReferenceUID
    assert first.StudyInstanceUID == ct[0].StudyInstanceUID
    assert first.SeriesInstanceUID != ct[0].SeriesInstanceUID
    uids = [d.SOPInstanceUID for d in (*pet, *ct)]
    assert len(set(uids)) == len(uids)
    assert all(len(value) <= 64 and value.is_valid for value in uids)
    assert "Fictitious" in str(first.PatientName)


def test_same_scan_same_bytes(leg, folder, tmp_path):
    write_dicom(leg, tmp_path)
    for path in sorted(folder.rglob("*.dcm")):
        assert (tmp_path / path.relative_to(folder)).read_bytes() == path.read_bytes()


def test_what_was_there_is_replaced(leg, tmp_path):
    stale = tmp_path / "CT" / "CT9999.dcm"
    stale.parent.mkdir()
    stale.write_bytes(b"old")
    write_dicom(leg, tmp_path)
    assert not stale.exists()


def test_another_dose_weight_and_timing_come_back(tmp_path):
    """Several beds, long frames, an obese man."""
    spec = ScanSpec(
        name="other",
        person=PersonSpec(1.9, 31.0, "M", 70),
        ct=CtSpec(pixel_mm=4.0, matrix=(110, 80), slice_mm=5.0, table=False),
        pet=PetSpec(pixel_mm=5.3, slice_mm=5.0, dose_mbq=411.7, uptake_min=93.5, frame_s=185.0, bed_mm=40.0),
        z_range_mm=(500, 640),
    )
    scan = make_scan(spec, 12345)
    write_dicom(scan, tmp_path)
    got = suv_from_headers(headers(tmp_path / "PT"))
    np.testing.assert_allclose(got, scan.pet_suv.array, atol=float(scan.pet_suv.array.max()) / 60000)


def test_uids_depend_on_all_parts():
    assert uid("a", 1) == uid("a", 1)
    assert len({uid("a", 1), uid("a", 2), uid("b", 1), uid("a", 1, "x")}) == 4
