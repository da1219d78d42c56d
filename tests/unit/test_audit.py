"""The identity audit finds what it must, wherever it stands, and nothing that is nobody's."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dicom_scans as make
import sentinels
from calciflow.audit import audit_study, own_texts, phrases, search_for, text_of, words
from calciflow.errors import StudyError
from calciflow.images import Volume, write_volume
from calciflow.index import index_scan

SCAN = {"participant_id": "sub-01", "session_id": "ses-01", "acquisition": None}
LIBRARY = Path(__file__).resolve().parents[2] / "scripts" / "calciflow"


def identifiers(out: Path, source: Path) -> dict[str, Any]:
    out.mkdir(parents=True, exist_ok=True)
    index_scan(
        series=str(out / "series.tsv"),
        screening=str(out / "screening.json"),
        selection=str(out / "selection.json"),
        scan=SCAN,
        sources={"source": str(source)},
    )
    content: dict[str, Any] = json.loads((out / "selection.json").read_text())
    return content


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A scan full of sentinels, in its headers and in the names of its folders and files."""
    root = tmp_path_factory.mktemp("marked")
    ct, pet = make.ct(), make.pet()
    for number, series in enumerate((ct, pet), 1):
        for data in series:
            sentinels.mark(data, str(number))
            data.PatientName = "Müller-Lüdenscheidt^Heinrich Otto"
            data.InstitutionName = "Spital am Beispielberg"
        make.write(root / "ZQXSEN Doe Jane" / series[0].Modality, series, suffix=" ZQXSEN 19991117.dcm")
    return root, identifiers(root / "out", root / "ZQXSEN Doe Jane")


def test_the_list_holds_every_kind_of_identifier_and_is_private(marked: tuple[Path, dict[str, Any]]) -> None:
    root, content = marked
    kinds = {item["what"] for item in content["identifiers"]}
    for kind in (
        "PatientName PatientID PatientBirthDate AccessionNumber InstitutionName InstitutionAddress StationName "
        "DeviceSerialNumber ReferringPhysicianName OperatorsName StudyInstanceUID SeriesInstanceUID SOPInstanceUID "
        "FrameOfReferenceUID UIDStem path OtherPatientNames"
    ).split():
        assert kind in kinds, kind
    assert oct((root / "out" / "selection.json").stat().st_mode)[-3:] == "600"
    # Nested names (a sequence of the request) count as well.
    assert any("NESTED" in item["value"] for item in content["identifiers"])


LEAKS = {
    "name": ("results/a.json", '{"note": "Heinrich MULLER-LUDENSCHEIDT"}'),
    "name in capitals": ("logs/a.log", "PatientName: MÜLLER-LÜDENSCHEIDT^HEINRICH OTTO"),
    "given name alone": ("results/a.html", "<td>heinrich</td>"),
    "patient id": ("logs/a.log", "ID 'ZQXSEN00100020'"),
    "birth date": ("results/a.tsv", "19511213"),
    "birth date with points": ("results/a.tsv", "born 13.12.1951."),
    "birth date, ISO": ("results/a.json", "1951-12-13T00:00"),
    "accession number": ("results/a.tsv", "x\tZQXSEN00080050\t1"),
    "institution": ("results/a.html", "Spital am Beispielberg, CT 2"),
    "study UID": ("logs/a.log", "(0020,000d) 1.2.777777.2097165"),
    "an image's UID": ("logs/a.log", "cannot read 1.2.777777.9.0003"),
    "folder": ("logs/a.log", "/data/ZQXSEN Doe Jane/PT: permission denied"),
    "file name": ("logs/a.log", "no pixels in 00000-0 ZQXSEN 19991117.dcm"),
    "name of a result": ("results/sub-01/Heinrich_Otto.png", "x"),
}


def study(root: Path, file: str, content: str | bytes) -> Path:
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    (root / file).write_bytes(data)
    (root / "results").mkdir(exist_ok=True)
    (root / "results" / "good.tsv").write_text("participant_id\tvalue\nsub-01\t0.19511213\nsub-01\t119511213\n")
    return root


def audit(root: Path, content: dict[str, Any], **options: Any) -> None:
    (root / "private").mkdir(exist_ok=True)
    (root / "private" / "list.json").write_text(json.dumps(content))
    audit_study(
        identifiers=[str(root / "private" / "list.json")],
        told=str(root / "results" / "audit.json"),
        private=str(root / "private" / "audit.tsv"),
        labels=["sub-01", "ses-01", "DM"],
        study=str(root),
        **options,
    )


@pytest.mark.parametrize("case", LEAKS)
def test_a_leak_fails_and_names_the_file_but_not_the_identifier(
    case: str, marked: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    file, content = LEAKS[case]
    with pytest.raises(StudyError) as caught:
        audit(study(tmp_path, file, content), marked[1])
    message = str(caught.value)
    if case != "name of a result":  # a file can only be named by its name
        for secret in ("heinrich", "denscheidt", "zqxsen", "1951", "beispielberg", "777777"):
            assert secret not in message.casefold()
    assert f"{file} holds" in message
    assert "of sub-01_ses-01" in message
    assert not (tmp_path / "results" / "audit.json").exists()
    found = tmp_path / "private" / "audit.tsv"
    assert oct(found.stat().st_mode)[-3:] == "600"
    assert file in found.read_text()


def test_what_is_clean_passes(marked: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    audit(study(tmp_path, "logs/a.log", "converting 10 slices\n"), marked[1])
    told = json.loads((tmp_path / "results" / "audit.json").read_text())
    assert told == {"scans": 1, "identifiers_found": 0}


def test_leaks_inside_packed_files(marked: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    volume = Volume(np.zeros((3, 3, 3), np.uint8), np.eye(4))
    write_volume(tmp_path / "results" / "a.nii.gz", volume, np.uint8)
    study(tmp_path, "logs/a.log", "fine")
    audit(tmp_path, marked[1])
    data = bytearray(gzip.decompress((tmp_path / "results" / "a.nii.gz").read_bytes()))
    data[148:156] = b"Heinrich"  # NIfTI's free text
    (tmp_path / "results" / "a.nii.gz").write_bytes(gzip.compress(bytes(data)))
    with pytest.raises(StudyError, match=r"a\.nii\.gz holds"):
        audit(tmp_path, marked[1])


def test_pictures_are_searched_for_text_not_for_pixels(tmp_path: Path) -> None:
    chunk = lambda kind, data: len(data).to_bytes(4, "big") + kind + data + b"crc "  # noqa: E731
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IDAT", b" heinrich ") + chunk(b"tEXt", b"Author\0Jane")
    (tmp_path / "a.png").write_bytes(png)
    text = text_of(tmp_path / "a.png")
    assert "Jane" in text
    assert "heinrich" not in text
    (tmp_path / "a.html").write_text('<img src="data:image/png;base64,Heinrich/AAA+=="> Jane')
    text = text_of(tmp_path / "a.html")
    assert "Jane" in text
    assert "Heinrich" not in text


def hits(what: str, value: str, text: str, labels: tuple[str, ...] = ()) -> bool:
    content = {"scan": SCAN, "identifiers": [{"what": what, "value": value}]}
    return bool(search_for([content], own_texts(LIBRARY), labels).found(text))


def test_what_names_nobody_is_not_looked_for() -> None:
    # Words of the program itself, labels of the sheets, numbers that any table may hold, pieces of longer words.
    assert not hits("PatientName", "Page^Chest", "the chest on this page")
    assert hits("PatientName", "Page^Chest", "Name: Page, Chest")  # the two together are a name
    assert not hits("PatientID", "sub-01", "sub-01", ("sub-01",))
    assert not hits("PatientID", "SSc", "SSc")
    assert not hits("PatientID", "1234", "1234 voxels")
    assert hits("PatientID", "12345678", "ID 12345678")
    assert not hits("PatientID", "345678", "12.345678")
    assert not hits("InstitutionName", "Basel", "basellike")
    assert hits("InstitutionName", "Basel", "Basel")
    assert not hits("InstitutionName", "Basel", "Basel", ("Basel",))
    assert not hits("path", "slice", "slice")
    assert not hits("path", "IM0001", "0001")
    assert not hits("StudyID", "1", "1")
    assert not hits("path", "scan.dcm", "a scan")


def test_uids_that_were_drawn_at_random_are_found() -> None:
    """They have three parts, the last of up to 39 digits; the other images' UIDs share no longer stem."""
    one, other = "2.25.329800735698586629295641978511506172918", "2.25.13"
    assert hits("StudyInstanceUID", one, f"study {one}")
    assert hits("UIDStem", "2.25", f"image {one}")
    assert not hits("UIDStem", "2.25", "version 2.25.13, 2.25 ml")
    assert not hits("UIDStem", "1.2", one)
    assert not hits("StudyInstanceUID", one, other)


def test_words() -> None:
    assert words("Müller_x 1.25e-3 1.2.840.1 A-17") == ["muller", "x", "1.25", "e", "3", "1.2.840.1", "a", "17"]
    assert ("1951", "12", "13") in phrases("PatientBirthDate", "19511213")
    assert phrases("PatientID", "") == set()


def test_the_config_can_let_a_word_pass(marked: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    study(tmp_path, "results/a.json", '{"note": "Heinrich"}')
    with pytest.raises(StudyError):
        audit(tmp_path, marked[1])
    audit(tmp_path, marked[1], ignore=["Heinrich"])


def test_a_source_that_cannot_be_read_still_gives_a_list(tmp_path: Path) -> None:
    (tmp_path / "Jane Roe").mkdir()
    (tmp_path / "Jane Roe" / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + os.urandom(50))
    content = identifiers(tmp_path / "out", tmp_path / "Jane Roe")
    assert {"what": "path", "value": "Jane Roe"} in content["identifiers"]
    assert identifiers(tmp_path / "out", tmp_path / "absent")["identifiers"] == []
