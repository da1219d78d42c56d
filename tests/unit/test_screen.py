"""Screen: one row a scan, in the sheet's order."""

from pathlib import Path

import pytest

from calciflow.files import write_json
from calciflow.screen import SCREENING_COLUMNS, screen_scans
from calciflow.tables import read_table


def _scan(person: str, session: str = "ses-01", **more: object) -> dict[str, object]:
    return {"participant_id": person, "session_id": session, "acquisition": None, "exclude": None, **more}


def _screening(path: Path, scan: dict[str, object], **content: object) -> str:
    identity = {key: scan[key] for key in ("participant_id", "session_id", "acquisition")}
    filled: dict[str, object] = {
        "verdict": "accepted",
        "code": None,
        "reason": None,
        "chosen": {},
        "warnings": [],
        "size": {},
    }
    write_json(path, {**identity, **filled, **content})
    return str(path)


def test_table(tmp_path: Path) -> None:
    scans = [
        _scan("sub-02"),
        _scan("sub-01", acquisition="legs"),
        _scan("sub-01", exclude="=moved away"),
        _scan("sub-03"),
    ]
    screenings = [
        _screening(tmp_path / "3.json", scans[3], verdict="refused", code="no_ct", reason="There is none."),
        _screening(
            tmp_path / "1.json",
            scans[1],
            chosen={"ct_series": 1, "pet_series": 2},
            size={
                "ct": [5, 6, 7],
                "pet": [1, 2, 3],
                "ct_spacing_mm": [1.0, 1.0, 3.0],
                "pet_spacing_mm": [4.0, 4.0, 3.0],
            },
            warnings=[
                {"code": "tracer", "text": "x"},
                {"code": "jitter", "text": "y"},
                {"code": "tracer", "text": "z"},
            ],
        ),
        _screening(tmp_path / "0.json", scans[0]),
    ]
    screen_scans(screenings=screenings, table=str(tmp_path / "screening.tsv"), scans=scans)
    lines = (tmp_path / "screening.tsv").read_text().splitlines()
    assert lines[0].split("\t") == SCREENING_COLUMNS
    rows = read_table(tmp_path / "screening.tsv").to_dict("records")
    assert [row["participant_id"] for row in rows] == ["sub-02", "sub-01", "sub-01", "sub-03"]
    assert [row["verdict"] for row in rows] == ["accepted", "accepted", "excluded", "refused"]
    assert rows[1]["acquisition"] == "legs"
    assert rows[1]["warnings"] == "tracer;jitter"
    assert rows[1]["ct_size"] == "5;6;7"
    assert rows[2]["reason"] == "'=moved away"
    assert (rows[3]["code"], rows[3]["reason"]) == ("no_ct", "There is none.")


def test_no_scans(tmp_path: Path) -> None:
    screen_scans(screenings=[], table=str(tmp_path / "screening.tsv"), scans=[])
    assert (tmp_path / "screening.tsv").read_text() == "\t".join(SCREENING_COLUMNS) + "\n"


def test_scan_without_screening_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        screen_scans(screenings=[], table=str(tmp_path / "screening.tsv"), scans=[_scan("sub-01")])
