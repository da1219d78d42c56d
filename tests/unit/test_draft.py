"""Draft: sheets from an archive of scans."""

import json
import shutil
import stat
from pathlib import Path

import pytest

import dicom_scans as make
from calciflow.draft import draft_study
from calciflow.errors import StudyError
from calciflow.index import index_scan
from calciflow.sheets import read_participants, read_scans


def visit(patient: str, date: str) -> list:
    """CT and PET of one patient on one day."""

    def mark(data) -> None:
        data.PatientID, data.PatientName = patient, f"Name^{patient}"
        for tag in ("StudyDate", "SeriesDate", "AcquisitionDate"):
            setattr(data, tag, date)
        for tag in ("StudyInstanceUID", "FrameOfReferenceUID", "SeriesInstanceUID"):
            value = getattr(data, tag)
            setattr(data, tag, f"{value[:40]}.{sum(map(ord, patient))}.{date}")
        data.SOPInstanceUID = f"{data.SOPInstanceUID[:40]}.{sum(map(ord, patient))}.{date}"
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID

    return [make.change(make.ct(4), mark), make.change(make.pet(4), mark)]


VISITS = [("P-B", "20240301"), ("P-A", "20240401"), ("P-A", "20230115")]


def check(study: Path) -> list:
    """Read the sheets as the workflow does, and index each scan."""
    people = read_participants(study / "config" / "participants.tsv")
    scans = read_scans(study / "config" / "scans.tsv", people)
    for scan in scans:
        out = study / "out" / scan.prefix
        index_scan(
            series=str(out / "series.tsv"),
            screening=str(out / "screening.json"),
            selection=str(out / "selection.json"),
            scan=scan.identity,
            sources={role: str(study / path) for role, path in scan.sources.items()},
            pet_series=scan.pet_series,
        )
        assert json.loads((out / "screening.json").read_text())["verdict"] == "accepted"
    return scans


def test_a_folder_for_each_visit(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    for number, (patient, date) in enumerate(VISITS):
        make.scan(archive / f"visit{number}", *visit(patient, date))
    make.write(archive / "ct only", visit("P-C", "20240101")[0])
    summary = draft_study(tmp_path / "study", archive)
    assert (summary["participants"], summary["scans"], summary["examinations_without_PET_left_out"]) == (2, 3, 1)
    scans = check(tmp_path / "study")
    assert [scan.prefix for scan in scans] == ["sub-001_ses-01", "sub-001_ses-02", "sub-002_ses-01"]
    assert [scan.sources["source"] for scan in scans] == [f"../archive/visit{n}" for n in (2, 1, 0)]
    key = (tmp_path / "study" / "private" / "key.tsv").read_text()
    assert "P-A" in key
    assert "20230115" in key
    assert stat.S_IMODE((tmp_path / "study" / "private" / "key.tsv").stat().st_mode) == 0o600
    sheets = (tmp_path / "study" / "config" / "scans.tsv").read_text()
    assert "P-A" not in sheets + json.dumps(summary)
    assert (tmp_path / "study" / "private" / ".gitignore").read_text() == "*\n"


def test_everything_in_one_folder(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    start = 0
    for patient, date in VISITS:
        for series in visit(patient, date):
            make.write(archive, series, start=start)
            start += len(series)
    summary = draft_study(tmp_path / "study", archive)
    assert summary["mixed_folders_linked"] == 3
    assert len(check(tmp_path / "study")) == 3


def test_an_archive_file_for_each_visit(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    for number, (patient, date) in enumerate(VISITS):
        folder = make.scan(tmp_path / f"v{number}", *visit(patient, date))
        shutil.make_archive(str(archive / f"v{number}"), "zip", folder)
    draft_study(tmp_path / "study", archive)
    scans = check(tmp_path / "study")
    assert [scan.sources["source"] for scan in scans] == [f"../archive/v{n}.zip" for n in (2, 1, 0)]


def test_visits_mixed_in_one_archive_file_are_left_out_with_a_reason(tmp_path: Path) -> None:
    for number, (patient, date) in enumerate(VISITS):
        make.scan(tmp_path / "in" / str(number), *visit(patient, date))
    packed = shutil.make_archive(str(tmp_path / "all"), "zip", tmp_path / "in")
    summary = draft_study(tmp_path / "study", Path(packed))
    assert summary["not_reachable"] == 3
    people = read_participants(tmp_path / "study" / "config" / "participants.tsv")
    scans = read_scans(tmp_path / "study" / "config" / "scans.tsv", people)
    assert all("unpack" in (scan.exclude or "") for scan in scans)


@pytest.mark.parametrize(
    "name", ["config/participants.tsv", "config/scans.tsv", "config/config.yaml", "private/key.tsv"]
)
def test_nothing_is_overwritten(name: str, tmp_path: Path) -> None:
    make.scan(tmp_path / "archive", *visit(*VISITS[0]))
    there = tmp_path / "study" / name
    there.parent.mkdir(parents=True)
    there.write_text("mine")
    with pytest.raises(StudyError, match="not overwritten"):
        draft_study(tmp_path / "study", tmp_path / "archive")
    assert there.read_text() == "mine"
    assert [p for p in (tmp_path / "study").rglob("*") if p.is_file()] == [there]


@pytest.mark.parametrize("case", ["missing", "empty", "ct only"])
def test_archive_without_scans(case: str, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    if case != "missing":
        archive.mkdir()
    if case == "ct only":
        make.write(archive, make.ct())
    with pytest.raises(StudyError, match="archive"):
        draft_study(tmp_path / "study", archive)
    assert not (tmp_path / "study").exists()


def test_legs_scanned_after_turning_the_patient_get_a_row_of_their_own(tmp_path: Path) -> None:
    ct, pet = visit("P-A", "20240401")
    legs = [make.renumber(ct, 13), make.renumber(pet, 15)]
    for series in legs:
        for data in series:
            data.FrameOfReferenceUID = "1.2.3.4"
            data.PatientPosition = "FFS"
    make.scan(tmp_path / "archive", ct, pet, *legs)
    summary = draft_study(tmp_path / "study", tmp_path / "archive")
    assert summary["scans_in_pieces"] == 1
    scans = check(tmp_path / "study")
    assert [scan.prefix for scan in scans] == ["sub-001_ses-01_acq-body", "sub-001_ses-01_acq-legs"]
    assert [scan.pet_series for scan in scans] == ["5", "15"]
    chosen = [
        json.loads((tmp_path / "study" / "out" / scan.prefix / "screening.json").read_text())["chosen"]
        for scan in scans
    ]
    assert chosen == [{"pet_series": 3, "ct_series": 1}, {"pet_series": 4, "ct_series": 2}]


def test_legs_with_another_matrix_get_a_row_of_their_own(tmp_path: Path) -> None:
    # One frame of reference, but no common grid: two volumes, and a CT that was joined from its own two pieces.
    ct, pet = visit("P-A", "20240401")
    legs = [make.renumber(ct, 13), make.renumber(pet, 15)]
    for series in legs:
        for data in series:
            x, y, z = data.ImagePositionPatient
            data.ImagePositionPatient = [x, y, z - 12]
    for data in legs[1]:
        data.Rows = 12
        data.PixelData = data.PixelData + data.PixelData[:32]
    make.scan(tmp_path / "archive", ct, pet, *legs)
    assert draft_study(tmp_path / "study", tmp_path / "archive")["scans_in_pieces"] == 1
    scans = check(tmp_path / "study")
    assert [scan.prefix for scan in scans] == ["sub-001_ses-01_acq-body", "sub-001_ses-01_acq-part2"]
    assert [scan.pet_series for scan in scans] == ["5", "15"]
