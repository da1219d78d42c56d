"""Stage ``sweep``: how deposits, scores and estimates move with a parameter's value.

Estimates and their intervals are compared, p values are not even read: with several thresholds tried, the smallest p
would choose the threshold.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from calciflow.tables import read_table, write_table

SWEEP_COLUMNS = ("parameter value own kind analysis outcome group_a group_b n estimate ci_low ci_high ci_level").split()

TOTALS = {
    "n_lesions": "deposits",
    "n_ct_pet": "deposits CT+PET+",
    "n_ct_only": "deposits CT+PET-",
    "n_pet_only": "deposits CT-PET+",
    "n_indeterminate": "deposits with uptake open",
    "n_subcutaneous": "subcutaneous deposits",
    "n_muscle": "muscle deposits",
    "n_set_aside": "findings set aside",
    "n_dropped": "candidates dropped",
}
"""Columns of ``participants.tsv`` that are added up over the people."""

MEANS = {"volume_ml": "volume_ml", "tlf": "tlf", "hydroxyapatite_mg": "hydroxyapatite_mg"}
SCORES = {"score_ct": "ct", "score_pet": "pet", "score_petct": "petct", "score_clinical": "clinical"}
LEFT_OUT = ("detection_by_region",)
"""Analyses that are too many rows to compare."""


def count_rows(people: pd.DataFrame) -> list[dict[str, Any]]:
    """Deposits and scores of a run: sums over the measured people, medians of burden, means of scores."""
    measured = people[people["session_id"].notna()]
    n = len(measured)
    rows: list[dict[str, Any]] = []
    for column, name in TOTALS.items():
        rows.append(_row("deposits", "sum", name, n, float(measured[column].sum())))
    involved = measured["muscle_involved"].astype(str).str.lower() == "true"
    rows.append(_row("deposits", "people", "muscle involved", n, float(involved.sum())))
    for column, name in MEANS.items():
        rows.append(_row("deposits", "median a person", name, n, float(measured[column].astype(float).median())))
    for column, modality in SCORES.items():
        scores = measured[column].astype(float).dropna()
        if len(scores):
            rows.append(_row("scores", "mean", "total_score", len(scores), float(scores.mean()), modality))
    return rows


def _row(kind: str, analysis: str, outcome: str, n: int, estimate: float, group_a: str | None = None) -> dict[str, Any]:
    return {
        "kind": kind,
        "analysis": analysis,
        "outcome": outcome,
        "group_a": group_a,
        "n": n,
        "estimate": estimate,
    }


def estimate_rows(statistics: pd.DataFrame) -> list[dict[str, Any]]:
    """Estimates of a run with their intervals; no p."""
    kept = statistics[statistics["estimate"].notna() & ~statistics["analysis"].isin(LEFT_OUT)]
    names = ("analysis", "outcome", "group_a", "group_b", "n", "estimate", "ci_low", "ci_high", "ci_level")
    return [{"kind": "estimates", **{name: row[name] for name in names}} for row in kept.to_dict("records")]


def compare_runs(
    *,
    participants: str | Sequence[str],
    statistics: str | Sequence[str],
    table: str,
    runs: Sequence[Mapping[str, Any]],
) -> None:
    """Write the table that compares the runs.

    Parameters
    ----------
    participants, statistics
        The cohort's tables of each run, in the order of ``runs``.
    table
        The output, ``results/sweep/sweep.tsv``.
    runs
        ``parameter``, ``value`` (as text) and ``own`` of each run.
    """
    people = [participants] if isinstance(participants, str) else list(participants)
    tested = [statistics] if isinstance(statistics, str) else list(statistics)
    texts = ("analysis", "outcome", "group_a", "group_b", "method", "note")
    rows = [
        {**run, **row}
        for run, own_people, own_tests in zip(runs, people, tested, strict=True)
        for row in (*count_rows(read_table(own_people)), *estimate_rows(read_table(own_tests, text_columns=texts)))
    ]
    write_table(table, rows, SWEEP_COLUMNS)
    for run in runs:
        print(f"{run['parameter']} = {run['value']}{' (own)' if run['own'] else ''}")
