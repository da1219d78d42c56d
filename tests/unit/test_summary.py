"""The lines at the end of a run, from made-up tables."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from calciflow.analyses.clinical import COMPARISON_COLUMNS
from calciflow.analyses.people import person_columns
from calciflow.analyses.rows import STATISTICS_COLUMNS, adjust, paired
from calciflow.labels import LESION_COLUMNS, SCORE_COLUMNS
from calciflow.summary import print_summary, summary_lines
from calciflow.tables import write_table

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def who(person: int) -> dict[str, Any]:
    return {"participant_id": f"sub-0{person}", "session_id": "ses-01"}


@pytest.fixture
def results(tmp_path):
    """Six people whose imaging scores exceed the clinical ones by 1 1 2 2 7 7, four deposits, one refused scan."""
    differences = [1, 1, 2, 2, 7, 7]
    lesion = {"compartment": "muscle", "concordance": "CT+PET+"}
    lesions = [
        {**who(1), **lesion},
        {**who(1), **lesion, "concordance": "CT-PET+"},
        {**who(2), **lesion, "compartment": "subcutaneous"},
        {**who(2), **lesion, "concordance": "CT-PET+", "flags": "possible_myositis"},
    ]
    cohort = tmp_path / "cohort"
    write_table(cohort / "lesions.tsv", lesions, LESION_COLUMNS)
    write_table(cohort / "participants.tsv", [who(i + 1) for i in range(6)], person_columns(()))
    pairs = [
        {**who(i + 1), "modality": "petct", "imaging_score": 20 + d, "clinical_score": 20, "n_regions": 27}
        for i, d in enumerate(differences)
    ]
    write_table(cohort / "comparison.tsv", pairs, COMPARISON_COLUMNS)
    rows = adjust(
        [paired("score_comparison", "total_score", "petct", "clinical", differences, 0.95)],
        ("total_score", "petct", "clinical"),
    )
    write_table(cohort / "statistics.tsv", rows, STATISTICS_COLUMNS)
    scores = [{**who(i + 1), "modality": "petct", "region": "total", "score": 1} for i in range(6)]
    write_table(cohort / "scores.tsv", scores, SCORE_COLUMNS)
    screening = [{**who(i + 1), "verdict": "accepted"} for i in range(6)]
    screening.append({**who(7), "verdict": "refused", "code": "no_weight", "reason": "The header has no body weight."})
    write_table(tmp_path / "screening.tsv", screening, [*who(1), "verdict", "code", "reason"])
    return tmp_path


def test_three_lines_with_their_numbers(results):
    deposits, score, scans = summary_lines(results)
    assert deposits == (
        "Deposits: 3 in 2 of 6 people: subcutaneous 1 in 1 person (1 CT+PET+); muscle 2 in 1 person (1 CT+PET+, "
        "1 CT-PET+). Set aside as possible myositis: 1."
    )
    assert score == (
        "Primary comparison, score PET/CT against clinical, n = 6: means 23.3 and 20, shift 4 (96.9 % interval 1 to "
        "7); exact p = 0.03125 (smallest attainable 0.03125), asymptotic p = 0.02643."
    )
    assert scans == "Scans: 6 of 7 analysed; refused: sub-07 ses-01 (no_weight: The header has no body weight)."


def test_a_run_that_is_not_complete_says_so(results):
    scores = (results / "cohort" / "scores.tsv").read_text().splitlines()
    (results / "cohort" / "scores.tsv").write_text("\n".join(scores[:-1]) + "\n")
    assert summary_lines(results)[2].startswith("Scans: 5 of 7 analysed; accepted but not finished: sub-06 ses-01;")


def test_empty_cohort(results):
    for name, columns in (
        ("lesions", LESION_COLUMNS),
        ("participants", person_columns(())),
        ("comparison", COMPARISON_COLUMNS),
        ("scores", SCORE_COLUMNS),
    ):
        write_table(results / "cohort" / f"{name}.tsv", [], columns)
    rows = adjust([], ("total_score", "petct", "clinical"))
    write_table(results / "cohort" / "statistics.tsv", rows, STATISTICS_COLUMNS)
    deposits, score, _ = summary_lines(results)
    assert deposits == "Deposits: none in 0 people."
    assert "not possible" in score


def test_printed_with_the_reports_place(results, capsys):
    print_summary(results)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 4
    assert printed[-1] == f"Report: {results / 'report.html'}"


def test_as_a_command(results):
    done = subprocess.run(
        [sys.executable, "-m", "calciflow.summary", str(results)],
        env={"PYTHONPATH": str(SCRIPTS), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("Deposits: 3")
