"""Positions and voxels against two independent converters, SimpleITK's GDCM reader and dcm2niix.

Every voxel of theirs must lie in ours within 0.01 mm with the same value, whatever way either keeps its axes. Where
dcm2niix is missing, its tests say so and skip; what Debian's build of it (1.0.20220720) cannot read is named beside
each skip, and compared with SimpleITK alone. Faults of single grids are in test_dicom_geometry.py.
"""

import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import converters as others
import dicom_scans as make
from calciflow.dicom.headers import quiet, read_listing
from calciflow.dicom.pixels import open_slice, stored_values
from calciflow.dicom.series import group
from calciflow.index import index_scan

both = pytest.mark.parametrize("converter", others.CONVERTERS)


@pytest.mark.realdata
@both
@pytest.mark.parametrize("kind", ["ct", "pet"])
@pytest.mark.parametrize("person", ["001", "028", "044", "045", "049"])
def test_limb_scans(testdata: Path, person: str, kind: str, converter: str, tmp_path: Path) -> None:
    source = testdata / "sts" / f"STS_{person}"
    ours = others.through_stages(source, tmp_path / "ours", kind)
    others.assert_agree(ours, others.CONVERTERS[converter](source / kind.upper(), tmp_path / "theirs"))


@pytest.mark.realdata
@both
def test_whole_body_pet_with_uneven_gaps(testdata: Path, converter: str, tmp_path: Path) -> None:
    source = testdata / "sts_raw_pet"
    ours = others.through_stages(source, tmp_path / "ours", "pet", require_ct=False)
    assert 0.01 < json.loads((tmp_path / "ours" / "x.json").read_text())["SliceJitter"] < 0.33
    others.assert_agree(ours, others.CONVERTERS[converter](source, tmp_path / "theirs"))


@pytest.mark.realdata
@both
def test_jpeg_2000_ct(testdata: Path, converter: str, tmp_path: Path) -> None:
    folder = testdata / "ct_reference" / "example_ct_dicom"
    others.assert_agree(others.one_series(folder), others.CONVERTERS[converter](folder, tmp_path / "theirs"))


@pytest.fixture(scope="module")
def references(testdata: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("references")
    with tarfile.open(testdata / "suv_dro.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    yield folder / "DRO"
    shutil.rmtree(folder)


@pytest.mark.realdata
@both
def test_suv_reference_objects(references: Path, converter: str, tmp_path: Path) -> None:
    folders = sorted(path for path in references.iterdir() if path.is_dir())
    assert len(folders) == 17
    for folder in folders:
        ours = others.through_stages(folder, tmp_path / folder.name / "ours", "pet", require_ct=False)
        theirs = others.CONVERTERS[converter](folder / "PT", tmp_path / folder.name / "theirs")
        others.assert_agree(ours, theirs)


CONVERTIBLE = (
    "ge/anatomical/001",
    "ge/anatomical/001_implicit",
    "generic/anatomical/001",
    "generic/anatomical/001_implicit",
    "generic/anatomical/002_non_isotropic",
    "generic/compressed/001",
    "generic/compressed_j2k/001",
    "generic/compressed_jpeg/001",
    "generic/compressed_jpegls/001",
    "generic/compressed_rle/001",
)


@pytest.mark.realdata
@both
@pytest.mark.parametrize("name", CONVERTIBLE)
def test_published_series(testdata: Path, name: str, converter: str, tmp_path: Path) -> None:
    if converter == "dcm2niix" and "jpegls" in name:
        pytest.skip("Debian's dcm2niix is built without JPEG-LS")
    folder = testdata / "edge" / "dicom2nifti" / name
    others.assert_agree(others.one_series(folder), others.CONVERTERS[converter](folder, tmp_path / "theirs"))


@pytest.mark.realdata
@pytest.mark.parametrize("number", range(1, 10))
def test_transfer_syntaxes_against_simpleitk(testdata: Path, number: int) -> None:
    path = testdata / "edge" / "transfer_syntax" / "In" / f"{number}.dcm"
    with quiet():
        ours = stored_values(open_slice(path.read_bytes()))
    theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    assert np.array_equal(ours, theirs.reshape(ours.shape))


REFUSED = {
    "dicom2nifti/failing/gantrytilting/001": "gantry_tilt",
    "dicom2nifti/failing/notavolume/001": "no_ct",  # four images of one place: like a topogram, no candidate at all
    "dicom2nifti/failing/sliceincrement/001": "missing_slice",
    "dicom2nifti/failing/sliceincrement/002": "gantry_tilt",
    "tilt_ge": "gantry_tilt",
}


@pytest.mark.realdata
@pytest.mark.parametrize("name", REFUSED)
def test_faulty_ct_stops_the_whole_scan(testdata: Path, name: str, tmp_path: Path) -> None:
    # The CT of a scan whose PET is sound: the verdict must name the CT's fault.
    folder = tmp_path / "in"
    shutil.copytree(testdata / "edge" / name, folder / "ct")
    (item,) = group([("source", read_listing(folder).headers)])
    frame, study = item.first.frame_uid, item.first.study_uid
    pet = make.pet()
    for data in pet:
        data.FrameOfReferenceUID, data.StudyInstanceUID = frame, study
        data.PatientID, data.PatientName, data.PatientBirthDate = item.first.patient
    make.write(folder / "pet", pet)
    index_scan(
        series=str(tmp_path / "series.tsv"),
        screening=str(tmp_path / "screening.json"),
        selection=str(tmp_path / "selection.json"),
        scan={"participant_id": "sub-01", "session_id": "ses-01"},
        sources={"source": str(folder)},
    )
    screening = json.loads((tmp_path / "screening.json").read_text())
    assert (screening["verdict"], screening["code"]) == ("refused", REFUSED[name]), screening["reason"]
