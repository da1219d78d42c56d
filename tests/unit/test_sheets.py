"""Sheets: every fault names file, row, column and what to do."""

import pytest

from calciflow.errors import StudyError
from calciflow.sheets import read_clinical_scores, read_participants, read_scans

PEOPLE = "participant_id\tgroup\tage\nsub-01\tDM\t54\nsub-02\tSSc\tn/a\n"
SCANS = "participant_id\tsession_id\tsource\nsub-01\tses-01\tscans/one\nsub-02\tses-01\tscans/two.zip\n"


@pytest.fixture
def sheet(tmp_path):
    def write(text, name="sheet.tsv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return write


def test_participants_keep_their_covariates(sheet):
    assert read_participants(sheet(PEOPLE)) == {
        "sub-01": {"participant_id": "sub-01", "group": "DM", "age": "54"},
        "sub-02": {"participant_id": "sub-02", "group": "SSc", "age": "n/a"},
    }


def test_scans_in_full(sheet):
    text = (
        "participant_id\tsession_id\tsource\tct_source\tpet_source\tweight_kg\tinjection_datetime\texclude\tacquisition\n"
        "sub-01\tses-01\ta b\tn/a\t\t70.5\t2024-05-31T09:45:00\tn/a\tlegs\n"
        "sub-02\tses-01\tn/a\tc\tp\tn/a\tn/a\tn/a\tn/a\n"
        "sub-02\tses-02\tn/a\tn/a\tn/a\tn/a\tn/a\tpatient moved\tn/a\n"
        "\n"
    )
    first, second, third = read_scans(sheet(text), ["sub-01", "sub-02"])
    assert first.prefix == "sub-01_ses-01_acq-legs"
    assert first.sources == {"source": "a b"}
    assert first.overrides == {"weight_kg": 70.5, "injection_datetime": "2024-05-31T09:45:00"}
    assert second.prefix == "sub-02_ses-01"
    assert second.sources == {"ct_source": "c", "pet_source": "p"}
    assert third.exclude == "patient moved"


def test_spreadsheet_line_ends_and_byte_order_mark(sheet):
    path = sheet("\ufeff" + SCANS.replace("\n", "\r\n"))
    assert [scan.prefix for scan in read_scans(path, ["sub-01", "sub-02"])] == ["sub-01_ses-01", "sub-02_ses-01"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("\tsource\n", "\tsuorce\n", ["row 1", "suorce", "`source`"]),
        ("participant_id\tsession", "participant_id\tsource\tsession", ["row 1", "`source`", "twice"]),
        ("session_id\t", "session\t", ["row 1", "`session_id` is missing", "`session`"]),
        ("\t", ",", ["row 1", "comma-separated"]),
        ("sub-02\tses-01", "sub02\tses-01", ["row 3", "`participant_id`", "sub02", "sub-01"]),
        ("sub-02\tses-01", "sub-03\tses-01", ["row 3", "sub-03", "participants.tsv"]),
        ("sub-02\tses-01", "sub-02\t1", ["row 3", "`session_id`", "ses-01"]),
        ("sub-02\t", "sub-01\t", ["row 3", "sub-01_ses-01", "row 2", "acquisition"]),
        ("scans/one", "", ["row 2", "`source`", "empty"]),
        ("\tscans/one", "", ["row 2", "2 cells", "tabs"]),
    ],
)
def test_faults_of_a_scans_sheet(sheet, old, new, says):
    with pytest.raises(StudyError) as caught:
        read_scans(sheet(SCANS.replace(old, new), "scans.tsv"), ["sub-01", "sub-02"])
    assert "scans.tsv" in str(caught.value)
    for words in says:
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("weight_kg", "72,5", "72.5"),
        ("weight_kg", "70000", "unit"),
        ("weight_kg", "nan", "unit"),
        ("height_m", "172", "unit"),
        ("injected_dose_mbq", "350000000", "unit"),
        ("injected_dose_mbq", "ten", "number"),
        ("injection_datetime", "09:45", "2024-05-31T09:45:00"),
        ("injection_datetime", "2024-05-31", "2024-05-31T09:45:00"),
        ("injection_datetime", "2024-05-31T09:45:00+02:00", "without a zone"),
        ("acquisition", "lower legs", "letters and digits"),
        ("pet_source", "x", "exclude each other"),
    ],
)
def test_bad_cells(sheet, column, value, says):
    text = f"participant_id\tsession_id\tsource\t{column}\nsub-01\tses-01\ta\t{value}\n"
    with pytest.raises(StudyError) as caught:
        read_scans(sheet(text, "scans.tsv"), ["sub-01"])
    assert "scans.tsv, row 2" in str(caught.value)
    assert says in str(caught.value)


def test_a_missing_sheet_and_a_wrong_encoding(sheet, tmp_path):
    with pytest.raises(StudyError, match="no such file"):
        read_participants(tmp_path / "participants.tsv")
    with pytest.raises(StudyError, match="UTF-8"):
        read_participants(sheet(PEOPLE.replace("age", "größe"), encoding="latin-1"))
    with pytest.raises(StudyError, match="empty"):
        read_participants(sheet(""))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("sub-02\tSSc", "sub-01\tSSc", ["row 3", "`sub-01` has a row already"]),
        ("sub-02\tSSc", "sub-02\tn/a", ["row 3", "`group`", "such as DM or SSc"]),
    ],
)
def test_faults_of_a_participants_sheet(sheet, old, new, says):
    with pytest.raises(StudyError) as caught:
        read_participants(sheet(PEOPLE.replace(old, new), "participants.tsv"))
    for words in ("participants.tsv", *says):
        assert words in str(caught.value)


def test_a_ct_source_alone_is_no_scan(sheet):
    text = "participant_id\tsession_id\tct_source\nsub-01\tses-01\tct\n"
    with pytest.raises(StudyError, match="`pet_source`: empty, though `ct_source` is given"):
        read_scans(sheet(text), ["sub-01"])


def test_a_clinical_total_has_no_side(sheet):
    scans = read_scans(sheet(SCANS), ["sub-01", "sub-02"])
    (row,) = read_clinical_scores(sheet(CLINICAL + "sub-01\tses-01\ttotal\tn/a\t12\tn/a\n"), scans)
    assert (row["region"], row["score"]) == ("total", 12.0)


CLINICAL = "participant_id\tsession_id\tregion\tside\tscore\treader\n"


def test_clinical_scores(sheet):
    scans = read_scans(sheet(SCANS), ["sub-01", "sub-02"])
    text = CLINICAL + "sub-01\tses-01\thand\tleft\t2\tA\nsub-01\tses-01\thand\tleft\tn/a\tB\n"
    first, second = read_clinical_scores(sheet(text), scans)
    assert (first["score"], second["score"]) == (2.0, None)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("sub-09\tses-01\thand\tleft\t1\tA\n", "not in scans.tsv"),
        ("sub-01\tses-01\thands\tleft\t1\tA\n", "`hand`"),
        ("sub-01\tses-01\tUpper Arm\tleft\t1\tA\n", "`upper_arm`"),
        ("sub-01\tses-01\thand\tL\t1\tA\n", "midline"),
        ("sub-01\tses-01\thand\tleft\t-1\tA\n", "outside 0"),
        ("sub-01\tses-01\thand\tright\t1\tA\nsub-01\tses-01\thand\tright\t2\tA\n", "row 2"),
    ],
)
def test_faults_of_a_clinical_sheet(sheet, line, says):
    scans = read_scans(sheet(SCANS, "s.tsv"), ["sub-01", "sub-02"])
    with pytest.raises(StudyError) as caught:
        read_clinical_scores(sheet(CLINICAL + line, "clinical_scores.tsv"), scans)
    assert says in str(caught.value)
