"""Index: every source gets a verdict, and the right series are taken."""

import json
import os
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

import dicom_scans as make
from calciflow import codes
from calciflow.images import read_volume
from calciflow.index import index_scan
from calciflow.tables import read_table
from dicom_scans import convert_scan


def run(source: Path | dict[str, str], out: Path, **options: Any) -> dict[str, Any]:
    """Index a source; gives the screening."""
    sources = source if isinstance(source, dict) else {"source": str(source)}
    index_scan(
        series=str(out / "series.tsv"),
        screening=str(out / "screening.json"),
        selection=str(out / "private" / "selection.json"),
        scan={"participant_id": "sub-01", "session_id": "ses-01", "acquisition": None},
        sources=sources,
        **options,
    )
    result: dict[str, Any] = json.loads((out / "screening.json").read_text())
    if result["code"] is not None:
        assert result["code"] in codes.CODES
        assert result["reason"].endswith(".")
    if result["code"] == "internal":
        traceback = json.loads((out / "private" / "selection.json").read_text())["traceback"]
        pytest.fail(traceback)
    return result


def table(out: Path) -> dict[int, dict[str, Any]]:
    rows = read_table(out / "series.tsv").to_dict("records")
    return {row["series"]: row for row in rows}


def test_takes_a_good_scan(tmp_path: Path) -> None:
    result = run(make.scan(tmp_path / "in"), tmp_path)
    assert result["verdict"] == "accepted"
    assert result["warnings"] == []
    assert result["size"] == {
        "pet": [8, 10, 10],
        "pet_spacing_mm": [3.0, 4.0, 3.0],
        "ct": [16, 20, 10],
        "ct_spacing_mm": [1.5, 2.0, 3.0],
    }
    rows = table(tmp_path)
    assert [rows[n]["taken"] for n in (1, 2)] == ["ct", "pet"]
    assert result["chosen"] == {"pet_series": 2, "ct_series": 1}


def test_private_file_is_for_its_owner(tmp_path: Path) -> None:
    run(make.scan(tmp_path / "in"), tmp_path)
    private = tmp_path / "private" / "selection.json"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600


# --- one good scan, damaged in one way each -----------------------------------------------------------------------

Series = list[Dataset]
Damage = Callable[[Series, Series], Any]


def each(tag: str, value: object) -> Callable[[Series], None]:
    def act(series: Series) -> None:
        for data in series:
            if value is None:
                if tag in data:
                    delattr(data, tag)
            else:
                setattr(data, tag, value)

    return act


def _radio(tag: str, value: object) -> Damage:
    def act(ct: Series, pet: Series) -> None:
        for data in pet:
            item = data.RadiopharmaceuticalInformationSequence[0]
            if value is None:
                delattr(item, tag)
            else:
                setattr(item, tag, value)

    return act


def _tilt(ct: Series, pet: Series) -> None:
    for k, data in enumerate(ct):
        data.ImageOrientationPatient = [1, 0, 0, 0, np.cos(0.2), -np.sin(0.2)]
        data.ImagePositionPatient = [-12, -20, 100 + 3 * k]


def _same_place_other_pixels(ct: Series, pet: Series) -> None:
    twin = make.renumber(ct[4:5], 3)[0]
    twin.SeriesInstanceUID = ct[0].SeriesInstanceUID
    twin.PixelData = bytes(len(twin.PixelData))
    ct.append(twin)


def _one_of_another_size(ct: Series, pet: Series) -> None:
    pet[4].PixelSpacing = [4.5, 4.5]


def _cut(count: int) -> Damage:
    def act(ct: Series, pet: Series) -> None:
        pet[4].PixelData = pet[4].PixelData[:count]

    return act


DAMAGES: dict[str, tuple[str, Damage]] = {
    "no PET": ("no_pet", lambda ct, pet: pet.clear()),
    "no CT": ("no_ct", lambda ct, pet: ct.clear()),
    "scout only": ("no_ct", lambda ct, pet: each("ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"])(ct)),
    "CT captures": ("no_ct", lambda ct, pet: each("SOPClassUID", "1.2.840.10008.5.1.4.1.1.7")(ct)),
    "NAC": ("no_ac_pet", lambda ct, pet: each("CorrectedImage", ["NORM", "DECY"])(pet)),
    "no CorrectedImage": ("no_ac_pet", lambda ct, pet: each("CorrectedImage", None)(pet)),
    "gated": ("no_ac_pet", lambda ct, pet: each("SeriesType", ["GATED", "IMAGE"])(pet)),
    "MIP": ("no_ac_pet", lambda ct, pet: each("ImageType", ["DERIVED", "SECONDARY", "MIP"])(pet)),
    "reprojection": ("no_ac_pet", lambda ct, pet: each("SeriesType", ["STATIC", "REPROJECTION"])(pet)),
    "slice missing": ("missing_slice", lambda ct, pet: pet.pop(4)),
    "CT slice missing": ("missing_slice", lambda ct, pet: ct.pop(4)),
    "last slice missing": ("missing_slice", lambda ct, pet: each("NumberOfSlices", 11)(pet)),
    "one slice of another pixel size": ("missing_slice", _one_of_another_size),
    "no position": ("geometry", lambda ct, pet: each("ImagePositionPatient", None)(pet)),
    "no orientation": ("geometry", lambda ct, pet: each("ImageOrientationPatient", None)(pet)),
    "broken orientation": ("geometry", lambda ct, pet: each("ImageOrientationPatient", [1, 0, 0, 1, 0, 0])(pet)),
    "no pixel spacing": ("geometry", lambda ct, pet: each("PixelSpacing", None)(ct)),
    "absurd pixel spacing": ("geometry", lambda ct, pet: each("PixelSpacing", [0, 0])(pet)),
    "one slice only": ("geometry", lambda ct, pet: pet.__delitem__(slice(1, None))),
    "increment varies": (
        "geometry",
        lambda ct, pet: [setattr(d, "ImagePositionPatient", [-12, -20, 100 + 0.4 * k * k]) for k, d in enumerate(pet)],
    ),
    "shifted sideways": ("geometry", lambda ct, pet: setattr(pet[4], "ImagePositionPatient", [-2, -20, 112])),
    "sagittal": ("geometry", lambda ct, pet: _sagittal(pet)),
    "tilted gantry": ("gantry_tilt", _tilt),
    "tilt in the header": ("gantry_tilt", lambda ct, pet: each("GantryDetectorTilt", 12.5)(ct)),
    "same place, other pixels": ("ambiguous", _same_place_other_pixels),
    "two equal CTs": ("ambiguous", lambda ct, pet: ct.extend(make.renumber(make.ct(seed=9), 8))),
    "two equal PETs": ("ambiguous", lambda ct, pet: pet.extend(make.renumber(make.pet(seed=9), 8))),
    "two patients": ("identity_mismatch", lambda ct, pet: each("PatientID", "PID2")(ct)),
    "one PET slice of another patient": ("identity_mismatch", lambda ct, pet: setattr(pet[4], "PatientID", "PID2")),
    "PET of two patients": (
        "identity_mismatch",
        lambda ct, pet: pet.extend(make.renumber(make.pet(), 8, PatientID="PID2", StudyInstanceUID="1.2.3")),
    ),
    "other frame": ("frame_of_reference", lambda ct, pet: each("FrameOfReferenceUID", "1.2.3.4")(ct)),
    "other place": ("no_overlap", lambda ct, pet: _move(ct, 500)),
    "pixels cut off": ("unreadable", _cut(31)),
    "no pixels": ("unreadable", lambda ct, pet: pet[4].__delattr__("PixelData")),
    "intercept": ("scaling", lambda ct, pet: each("RescaleIntercept", -1)(pet)),
    "slope 0": ("scaling", lambda ct, pet: setattr(pet[4], "RescaleSlope", 0)),
    "no slope": ("scaling", lambda ct, pet: each("RescaleSlope", None)(pet)),
    "no CT intercept": ("scaling", lambda ct, pet: each("RescaleIntercept", None)(ct)),
    "CT in other units": ("units", lambda ct, pet: each("RescaleType", "OD")(ct)),
    "PET in counts per second": ("units", lambda ct, pet: each("Units", "CPS")(pet)),
    "no units": ("units", lambda ct, pet: each("Units", None)(pet)),
    "lossy pixels": ("transfer_syntax", lambda ct, pet: _lossy(pet)),
    "all zero": ("empty", lambda ct, pet: [setattr(d, "PixelData", bytes(len(d.PixelData))) for d in pet]),
    "no weight": ("no_weight", lambda ct, pet: each("PatientWeight", None)(pet)),
    "weight 0": ("no_weight", lambda ct, pet: each("PatientWeight", 0)(pet)),
    "no dose": ("no_dose", _radio("RadionuclideTotalDose", None)),
    "absurd dose": ("dose", _radio("RadionuclideTotalDose", 10)),
    "half-life": ("half_life", _radio("RadionuclideHalfLife", 66.0)),
    "decay correction unknown": ("decay", lambda ct, pet: each("DecayCorrection", "MAYBE")(pet)),
    "no injection time": ("time", _radio("RadiopharmaceuticalStartTime", None)),
    "eight hours of uptake": ("time", _radio("RadiopharmaceuticalStartTime", "030000")),
}


def _sagittal(series: Series) -> None:
    for k, data in enumerate(series):
        data.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
        data.ImagePositionPatient = [-12 + 3 * k, -20, 120]


def _lossy(series: Series) -> None:
    from pydicom.encaps import encapsulate

    for data in series:
        data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.50"  # JPEG baseline
        data.PixelData = encapsulate([b"\xff\xd8" + bytes(100) + b"\xff\xd9"])


def _move(series: Series, by: float) -> None:
    for data in series:
        x, y, z = data.ImagePositionPatient
        data.ImagePositionPatient = [x, y, z + by]


@pytest.mark.parametrize("name", DAMAGES)
def test_each_damage_is_refused_by_its_code(name: str, tmp_path: Path) -> None:
    code, act = DAMAGES[name]
    ct, pet = make.ct(), make.pet()
    act(ct, pet)
    result = run(make.scan(tmp_path / "in", ct, pet), tmp_path)
    assert (result["verdict"], result["code"]) == ("refused", code), result["reason"]


def test_missing_slice_is_named_by_its_place(tmp_path: Path) -> None:
    pet = make.pet()
    pet.pop(4)  # slices lie 3 mm apart from z = 100 mm: the fifth at 112
    reason = run(make.scan(tmp_path / "in", make.ct(), pet), tmp_path)["reason"]
    assert "between z = 109.00 and 115.00 mm" in reason
    assert "1 slice" in reason


@pytest.mark.parametrize("count", [0, 1, 100, 200, 400, 700, 1000, 1500])
def test_truncated_file(count: int, tmp_path: Path) -> None:
    make.scan(tmp_path / "in")
    victim = sorted((tmp_path / "in" / "s1").iterdir())[3]
    data = victim.read_bytes()
    victim.write_bytes(data[: min(count, len(data) - 40)])
    result = run(tmp_path / "in", tmp_path)
    assert result["verdict"] == "refused"
    # Cut before its mark it is no DICOM any more; then its place is empty.
    assert result["code"] in (("unreadable", "missing_slice") if count else ("unreadable",))


def test_corrupt_compressed_pixels(tmp_path: Path) -> None:
    from pydicom.uid import RLELossless

    pet = make.pet()
    for data in pet:
        data.compress(RLELossless, generate_instance_uid=False)
    assert run(make.scan(tmp_path / "good", make.ct(), pet), tmp_path)["verdict"] == "accepted"
    pet[4].PixelData = pet[4].PixelData[:40] + bytes(len(pet[4].PixelData) - 40)
    result = run(make.scan(tmp_path / "bad", make.ct(), pet), tmp_path)
    assert result["code"] == "unreadable"
    assert re.search(r"File \d+ of the PET, row 2", result["reason"])


@pytest.mark.parametrize("case", ["missing", "empty", "text", "archive", "unknown role"])
def test_source_that_is_none(case: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    sources = {"source": str(folder)}
    expected = "unreadable"
    if case == "empty":
        folder.mkdir()
    elif case == "text":
        folder.mkdir()
        (folder / "a.txt").write_text("hello" * 100)
    elif case == "archive":
        folder.write_bytes(b"PK\x03\x04" + bytes(100))
        expected = "archive"
    elif case == "unknown role":
        sources = {}
    assert run(sources, tmp_path)["code"] == expected


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every folder")
def test_folder_without_permission(tmp_path: Path) -> None:
    folder = make.scan(tmp_path / "in")
    (folder / "s1").chmod(0)
    try:
        assert run(folder, tmp_path)["code"] == "unreadable"
    finally:
        (folder / "s1").chmod(0o700)


# --- from everything a PACS sends, the right pair -----------------------------------------------------------------


def _report(number: int, uid: str, modality: str) -> list[Dataset]:
    data = make.renumber(make.ct(1), number, SOPClassUID=uid, Modality=modality)[0]
    for tag in ("PixelData", "Rows", "Columns", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(data, tag)
    data.file_meta.MediaStorageSOPClassUID = uid
    return [data]


def _pack(folder: Path, form: str) -> Path:
    """The same source as an archive, nested archives, or with names as on a DICOM disk and a DICOMDIR."""
    packed = folder.parent / "packed"
    if form in ("zip", "gztar"):
        return Path(shutil.make_archive(str(packed), form, folder))
    if form.startswith("nested"):
        inner, outer = form.split()[1:]
        whole = folder.parent / "outer"
        whole.mkdir()
        for part in sorted(folder.iterdir()):
            if part.is_dir():
                shutil.make_archive(str(whole / part.name), inner, part)
            else:
                shutil.copy(part, whole)
        return Path(shutil.make_archive(str(packed), outer, whole))
    if form == "disk":
        for number, path in enumerate(sorted(folder.rglob("*.dcm"))):
            target = packed / "DICOM" / f"PA{number % 7:03d}" / f"IM{number:06d}"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        directory = make.ct(1)[0]
        directory.SOPClassUID = directory.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
        directory.save_as(packed / "DICOMDIR", enforce_file_format=True)
        return packed
    return folder


@pytest.mark.parametrize(
    "form", ["folder", "zip", "gztar", "disk", "nested zip zip", "nested gztar zip", "nested zip gztar"]
)
def test_picks_the_pair_from_everything(form: str, tmp_path: Path) -> None:
    ct, pet = make.ct(20), make.pet(20)
    wanted_ct, wanted_pet = 3, 5
    folder = tmp_path / "in"
    frames = []
    for frame in range(3):
        part = make.renumber(make.pet(20, seed=frame), 14, FrameReferenceTime=60000 * frame, ActualFrameDuration=60000)
        for k, data in enumerate(part):
            data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{frame}.{k}"
        frames += part
    make.scan(
        folder,
        ct,
        pet,
        make.renumber(make.ct(2, shape=(64, 16)), 1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
        make.renumber(ct, 4, ConvolutionKernel="B70f"),
        make.renumber(ct[5:12], 6, SeriesDescription="diagnostic chest"),
        make.renumber(ct, 12, ImageType=["DERIVED", "SECONDARY", "MPR"]),
        frames,
        make.renumber(make.ct(20, seed=6), 15, ContrastBolusAgent="Iomeron 400"),
        make.renumber(make.pet(10, seed=6, increment=6.0, shape=(8, 8), spacing=(5.0, 3.0)), 16),
        make.renumber(make.ct(1), 93, SOPClassUID="1.2.840.10008.5.1.4.1.1.7"),
        make.renumber(make.ct(20, seed=5), 13, FrameOfReferenceUID="1.2.3.9", StudyInstanceUID="1.2.3"),
        make.renumber(pet, 7, CorrectedImage=["NORM", "DECY"]),
        make.renumber(pet, 8, SeriesType=["GATED", "IMAGE"]),
        make.renumber(pet[:8], 9, SeriesDescription="brain"),
        make.renumber(pet, 10, ImageType=["DERIVED", "SECONDARY", "MIP"]),
        make.renumber(pet, 11, ImageType=["DERIVED", "SECONDARY"]),
        _report(90, "1.2.840.10008.5.1.4.1.1.88.67", "SR"),
        _report(91, "1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT"),
        make.renumber(make.ct(1), 92, SOPClassUID="1.2.840.10008.5.1.4.1.1.7", Modality="OT"),
    )
    (folder / "readme.txt").write_text("not DICOM")
    (folder / "s0" / "copy.dcm").write_bytes(next((folder / "s0").iterdir()).read_bytes())
    result = run(_pack(folder, form), tmp_path)
    assert result["verdict"] == "accepted", result["reason"]
    rows = {row["series_number"]: row for row in table(tmp_path).values()}
    assert rows[wanted_ct]["taken"] == "ct"
    assert rows[wanted_pet]["taken"] == "pet"
    assert sum(row["taken"] == row["taken"] for row in rows.values()) == 2  # the others are missing (NaN)
    assert all(isinstance(row["reason"], str) for row in rows.values())
    assert "sharper" in rows[4]["reason"]
    assert "covers less" in rows[6]["reason"]
    assert "derived" in rows[12]["reason"]
    assert "frame of reference" in rows[13]["reason"]
    assert "ATTN" in rows[7]["reason"]
    assert rows[8]["reason"] == "gated"
    assert "shorter" in rows[9]["reason"]
    assert "projection" in rows[10]["reason"]
    assert "Dose" in rows[90]["reason"]
    assert "Structure" in rows[91]["reason"]
    assert "Secondary Capture" in rows[92]["reason"]
    assert "Secondary Capture" in rows[93]["reason"]
    assert "in time" in rows[14]["reason"]
    assert "contrast" in rows[15]["reason"]
    assert "larger voxels" in rows[16]["reason"]
    assert rows[1]["reason"].startswith("a scout")
    # The chosen voxels can be read from where they lie.
    convert_scan(
        selection=str(tmp_path / "private" / "selection.json"),
        pet=str(tmp_path / "pet.nii.gz"),
        pet_json=str(tmp_path / "pet.json"),
    )
    stored = np.frombuffer(pet[7].PixelData, np.int16).reshape(10, 8)
    array = read_volume(tmp_path / "pet.nii.gz").array[7]
    assert sorted(array.ravel()) == pytest.approx(sorted((stored * float(pet[7].RescaleSlope)).ravel()), rel=1e-6)
    assert [w["code"] for w in result["warnings"]] == ["duplicates"]


def test_two_examinations_mixed_are_told_apart_by_the_forced_pet(tmp_path: Path) -> None:
    old = {"StudyInstanceUID": "1.2.3", "FrameOfReferenceUID": "1.2.4", "StudyDate": "20230101"}
    folder = make.scan(
        tmp_path / "in",
        make.ct(),
        make.pet(),
        make.renumber(make.ct(seed=8), 13, **old),
        make.renumber(make.pet(seed=9), 15, **old),
        make.renumber(make.ct(12, seed=7), 23, StudyInstanceUID="1.2.5", FrameOfReferenceUID="1.2.6"),
    )
    doubt = run(folder, tmp_path)
    assert doubt["code"] == "ambiguous"
    assert "(series 5," in doubt["reason"]
    assert "(series 15," in doubt["reason"]
    assert all(isinstance(row["reason"], str) for row in table(tmp_path).values())
    for pet, ct in (("5", 3), ("15", 13)):
        chosen = run(folder, tmp_path, pet_series=pet)["chosen"]
        assert table(tmp_path)[chosen["ct_series"]]["series_number"] == ct


def test_dynamic_frames_in_one_series_are_not_taken(tmp_path: Path) -> None:
    frames = []
    for frame in range(3):
        part = make.renumber(make.pet(seed=frame), 8, FrameReferenceTime=60000 * frame, ActualFrameDuration=60000)
        for k, data in enumerate(part):
            data.SOPInstanceUID = f"1.2.3.{frame}.{k}"
        frames += part
    folder = make.scan(tmp_path / "in", make.ct(), make.pet(), frames)
    assert run(folder, tmp_path)["verdict"] == "accepted"
    rows = table(tmp_path)
    assert sum(row["part"] == "dynamic" for row in rows.values()) == 3
    only = make.scan(tmp_path / "only", make.ct(), frames)
    assert run(only, tmp_path)["code"] == "no_ac_pet"


def test_acquisitions_that_overlap_within_one_series_are_told_apart(tmp_path: Path) -> None:
    # Chest, then abdomen, in one series: four slices lie where the other acquisition has some too.
    ct = make.ct(20)
    second = make.renumber(make.ct(12, seed=8), 3, AcquisitionNumber=2)
    for data in second:
        data.SeriesInstanceUID = ct[0].SeriesInstanceUID
        x, y, z = data.ImagePositionPatient
        data.ImagePositionPatient = [x, y, z + 48]
    result = run(make.scan(tmp_path / "in", [*ct, *second], make.pet(28)), tmp_path)
    assert result["verdict"] == "accepted", result["reason"]
    assert result["chosen"]["ct_joined"] == [1, 2]
    assert result["size"]["ct"][2] == 28


@pytest.mark.parametrize(
    ("cell", "number"),
    [("8", 8), ("5", 5), ("#3", 8), ("*second*", 8), ("*SECOND*", 8), ("uid", 8)],
)
def test_forced_pet(cell: str, number: int, tmp_path: Path) -> None:
    second = make.renumber(make.pet(seed=7), 8, SeriesDescription="a second one")
    folder = make.scan(tmp_path / "in", make.ct(), make.pet(), second)
    doubt = run(folder, tmp_path)
    assert doubt["code"] == "ambiguous"
    assert "#2 (series 5, 30 mm long, 3 mm slices), #3 (series 8, 30 mm long, 3 mm slices)" in doubt["reason"]
    assert all(isinstance(row["reason"], str) for row in table(tmp_path).values())
    forced = second[0].SeriesInstanceUID if cell == "uid" else cell
    result = run(folder, tmp_path, pet_series=forced)
    assert result["verdict"] == "accepted", result["reason"]
    assert table(tmp_path)[result["chosen"]["pet_series"]]["series_number"] == number


def test_forced_ct_in_another_frame_is_taken_with_a_warning(tmp_path: Path) -> None:
    other = make.renumber(make.ct(), 8, FrameOfReferenceUID="1.2.3.9")
    folder = make.scan(tmp_path / "in", make.pet(), other)
    result = run(folder, tmp_path, ct_series="8")
    assert result["verdict"] == "accepted"
    assert [w["code"] for w in result["warnings"]] == ["frame_of_reference"]


@pytest.mark.parametrize(("cell", "code"), [("77", "not_found"), ("*nothing*", "not_found"), ("PT*", "ambiguous")])
def test_forced_choice_that_fits_none_or_many(cell: str, code: str, tmp_path: Path) -> None:
    folder = make.scan(tmp_path / "in", make.ct(), make.pet(), make.renumber(make.pet(seed=7), 8))
    result = run(folder, tmp_path, pet_series=cell)
    assert result["code"] == code
    # The sentence lists what may stand in the cell, as it may stand there.
    assert "#2 (series 5, 30 mm long, 3 mm slices), #3 (series 8, 30 mm long, 3 mm slices)" in result["reason"]
    assert all(isinstance(row["reason"], str) for row in table(tmp_path).values())


def test_forced_pet_must_be_attenuation_corrected(tmp_path: Path) -> None:
    nac = make.renumber(make.pet(), 8, CorrectedImage=["NORM"])
    folder = make.scan(tmp_path / "in", make.ct(), make.pet(), nac)
    result = run(folder, tmp_path, pet_series="8")
    assert result["code"] == "not_found"
    assert "ATTN" in result["reason"]
    assert "those that can be used are #2 (series 5," in result["reason"]


def test_pet_alone_is_taken_where_no_ct_is_required(tmp_path: Path) -> None:
    folder = make.scan(tmp_path / "in", make.pet())
    assert run(folder, tmp_path)["code"] == "no_ct"
    result = run(folder, tmp_path, require_ct=False)
    assert result["verdict"] == "accepted"
    assert result["chosen"]["ct_series"] is None


def test_separate_sources(tmp_path: Path) -> None:
    make.scan(tmp_path / "c", make.ct())
    make.scan(tmp_path / "p", make.pet(), make.renumber(make.ct(seed=9), 9))
    result = run({"ct_source": str(tmp_path / "c"), "pet_source": str(tmp_path / "p")}, tmp_path)
    assert result["verdict"] == "accepted"
    assert table(tmp_path)[result["chosen"]["ct_series"]]["series_number"] == 3


def test_override_replaces_a_missing_weight(tmp_path: Path) -> None:
    pet = make.change(make.pet(), lambda d: d.__delattr__("PatientWeight"))
    folder = make.scan(tmp_path / "in", make.ct(), pet)
    assert run(folder, tmp_path, overrides={"weight_kg": 70.0})["verdict"] == "accepted"


def test_order_of_files_does_not_matter(tmp_path: Path) -> None:
    ct, pet = make.ct(), make.pet()
    make.scan(tmp_path / "a" / "in", ct, pet)
    make.scan(tmp_path / "b" / "in", ct[::-1], pet[::-1])
    for name in "ab":
        run(tmp_path / name / "in", tmp_path / name)
    assert (tmp_path / "a" / "series.tsv").read_bytes() == (tmp_path / "b" / "series.tsv").read_bytes()


# --- identity -----------------------------------------------------------------------------------------------------

# Attributes of the basic application level confidentiality profile (DICOM PS3.15, table E.1-1) that images carry.
IDENTIFYING = {
    "AccessionNumber": "XACCESS",
    "InstitutionName": "XINSTITUTION",
    "InstitutionAddress": "XADDRESS",
    "ReferringPhysicianName": "XREFERRING",
    "StationName": "XSTATION",
    "StudyDescription": "XSTUDYDESC",
    "SeriesDescription": "XSERIESDESC",
    "InstitutionalDepartmentName": "XDEPARTMENT",
    "PerformingPhysicianName": "XPERFORMING",
    "OperatorsName": "XOPERATOR",
    "PatientName": "XNAME^XGIVEN",
    "PatientID": "XPID",
    "PatientBirthDate": "19511213",
    "OtherPatientIDs": "XOTHERID",
    "PatientAddress": "XSTREET",
    "PatientComments": "XCOMMENT",
    "AdditionalPatientHistory": "XHISTORY",
    "DeviceSerialNumber": "XSERIAL",
    "ProtocolName": "XPROTOCOL",
    "StudyID": "XSTUDYID",
    "ImageComments": "XIMAGECOMMENT",
    "RequestedProcedureDescription": "XREQUESTED",
    "StudyDate": "19991117",
    "SeriesDate": "19991117",
    "AcquisitionDate": "19991117",
    "StudyTime": "111317",
    "SeriesTime": "111317",
    "AcquisitionTime": "111317",
    "StudyInstanceUID": "1.2.99999.1",
    "SeriesInstanceUID": "1.2.99999.2",
    "FrameOfReferenceUID": "1.2.99999.3",
}


def test_no_identity_leaves(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def mark(data: Dataset) -> None:
        for tag, value in IDENTIFYING.items():
            setattr(data, tag, value + (".1" if tag == "SeriesInstanceUID" and data.Modality == "CT" else ""))

    ct, pet = make.change(make.ct(), mark), make.change(make.pet(), mark)
    for data in pet:
        data.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartTime = "101317"
        data.ImageType = ["ORIGINAL", "PRIMARY", "XNAME"]
        data.ConvolutionKernel = "X NAME; X"
    folder = make.scan(tmp_path / "XNAME XFOLDER", ct, pet)
    good = run(folder, tmp_path)
    assert good["verdict"] == "accepted", good["reason"]
    shown = (tmp_path / "series.tsv").read_text() + (tmp_path / "screening.json").read_text()
    pet[2].PixelData = b"12"
    pet[3].PatientID = "XPIDTWO"
    make.write(folder / "s1", pet)
    run(folder, tmp_path)
    shown += (tmp_path / "series.tsv").read_text() + (tmp_path / "screening.json").read_text()
    out, err = capfd.readouterr()
    shown += out + err
    for secret in [*IDENTIFYING.values(), "XNAME", "XFOLDER", "99999", "1.2.826"]:
        assert secret not in shown, secret


def test_bug_becomes_a_verdict_without_quoting_the_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise KeyError(str(make.ct(1)[0].PatientName))

    monkeypatch.setattr("calciflow.index.choose", fail)
    with pytest.raises(pytest.fail.Exception, match="Doe"):  # `run` shows the private traceback
        run(make.scan(tmp_path / "in"), tmp_path)
    result = json.loads((tmp_path / "screening.json").read_text())
    assert (result["verdict"], result["code"]) == ("refused", "internal")
    out, err = capfd.readouterr()
    assert "index.py" in out
    assert "KeyError" in out
    assert "Doe" not in out + err + json.dumps(result)


# --- archives -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar", "bztar", "xztar"])
def test_archive_as_source(kind: str, tmp_path: Path) -> None:
    make.scan(tmp_path / "in")
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), kind, tmp_path / "in"))
    assert run(packed, tmp_path)["verdict"] == "accepted"
    data = packed.read_bytes()
    packed.write_bytes(data[: len(data) // 2])
    result = run(packed, tmp_path)
    assert result["verdict"] == "refused"
    assert result["code"] in ("archive", "unreadable", "missing_slice", "no_pet", "no_ct")


def test_dicomdir_and_stray_files_do_no_harm(tmp_path: Path) -> None:
    folder = make.scan(tmp_path / "in")
    directory = make.ct(1)[0]
    directory.SOPClassUID = directory.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    directory.save_as(folder / "DICOMDIR", enforce_file_format=True)
    (folder / "Thumbs.db").write_bytes(os.urandom(3000))
    (folder / ".DS_Store").write_bytes(b"")
    (folder / "viewer.exe").write_bytes(b"MZ" + bytes(5000))
    assert run(folder, tmp_path)["verdict"] == "accepted"
    assert len(table(tmp_path)) == 2


def test_files_without_preamble_are_read(tmp_path: Path) -> None:
    folder = make.scan(tmp_path / "in")
    for path in (folder / "s0").iterdir():
        from pydicom import dcmread

        data = dcmread(path)
        del data.file_meta
        data.save_as(path, enforce_file_format=False, implicit_vr=True, little_endian=True)
    assert run(folder, tmp_path)["verdict"] == "accepted"


# --- real data ----------------------------------------------------------------------------------------------------


@pytest.mark.realdata
def test_real_collection_with_everything_in_one_folder(testdata: Path, tmp_path: Path) -> None:
    # Uncropped and cropped PET of one examination, and its CT: the longer PET is the whole-body one.
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").symlink_to(testdata / "sts" / "STS_001")
    (tmp_path / "in" / "b").symlink_to(testdata / "sts_raw_pet")
    result = run(tmp_path / "in", tmp_path)
    assert result["verdict"] == "accepted"
    rows = table(tmp_path)
    assert rows[result["chosen"]["pet_series"]]["slices"] == 267
    assert "coverage" in [warning["code"] for warning in result["warnings"]]


@pytest.mark.realdata
def test_real_whole_body_pet_alone(testdata: Path, tmp_path: Path) -> None:
    result = run(testdata / "sts_raw_pet", tmp_path, require_ct=False)
    assert result["verdict"] == "accepted"
    assert result["size"]["pet"] == [128, 128, 267]
    assert run(testdata / "sts_raw_pet", tmp_path)["code"] == "no_ct"
