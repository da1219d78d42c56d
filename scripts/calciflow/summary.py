"""The three lines that a physician wants at the end of a run."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from calciflow.labels import COMPARTMENTS, CONCORDANCES
from calciflow.lesion_table import flag_words
from calciflow.tables import read_table

SET_ASIDE = ("possible myositis",)
"""Lesions with this flag are no calcinosis until someone says so: counted apart, as in the statistics."""


def _number(value: float) -> str:
    return "n/a" if not math.isfinite(value) else f"{value:.3g}"


def _p(value: float) -> str:
    return "n/a" if not math.isfinite(value) else f"{value:.4g}"  # four digits tell 0.03125 from 0.03


def _people(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"


def deposits_line(lesions: pd.DataFrame, people: pd.DataFrame, set_aside: Sequence[str] = SET_ASIDE) -> str:
    """How many deposits of which class in which compartment."""
    measured = int(people["session_id"].notna().sum())
    apart = [bool(flag_words(flags) & set(set_aside)) for flags in lesions["flags"]]
    counted = lesions[[not flag for flag in apart]]
    if not len(counted):
        line = f"Deposits: none in {_people(measured)}"
    else:
        parts = []
        for compartment in COMPARTMENTS:
            own = counted[counted["compartment"] == compartment]
            if len(own):
                classes = [(name, int((own["concordance"] == name).sum())) for name in CONCORDANCES]
                shown = ", ".join(f"{number} {name}" for name, number in classes if number)
                who = _people(own["participant_id"].nunique())
                parts.append(f"{compartment} {len(own)} in {who} ({shown})")
        line = f"Deposits: {len(counted)} in {counted['participant_id'].nunique()} of {_people(measured)}: "
        line += "; ".join(parts)
    if sum(apart):
        line += f". Set aside as {' or '.join(set_aside)}: {sum(apart)}"
    return line + "."


def score_line(statistics: pd.DataFrame, comparison: pd.DataFrame, people: pd.DataFrame) -> str:
    """The primary comparison with both kinds of p, and the smallest p that its n allows."""
    primary = statistics[statistics["analysis"] == "primary"].iloc[0]
    names = {"petct": "PET/CT", "ct": "CT", "pet": "PET", "clinical": "clinical", "total_score": "score"}
    a, b = (names.get(str(primary[key]), str(primary[key])) for key in ("group_a", "group_b"))
    what = f"{names.get(str(primary['outcome']), str(primary['outcome']))} {a} against {b}"
    n = int(primary["n"])
    if n == 0:
        note = primary["note"] if isinstance(primary["note"], str) else "no data"
        return f"Primary comparison, {what}: not possible ({note})."
    line = f"Primary comparison, {what}, n = {n}: "
    if primary["group_b"] == "clinical":
        sessions = set(zip(people["participant_id"], people["session_id"], strict=True))
        own = comparison[comparison["modality"] == primary["group_a"]]
        own = own[[pair in sessions for pair in zip(own["participant_id"], own["session_id"], strict=True)]]
        means = own[["imaging_score", "clinical_score"]].mean()
        line += f"means {_number(means['imaging_score'])} and {_number(means['clinical_score'])}, "
    line += f"shift {_number(primary['estimate'])}"
    if math.isfinite(primary["ci_low"]):
        level = f"{100 * primary['ci_level']:.1f} % interval"
        line += f" ({level} {_number(primary['ci_low'])} to {_number(primary['ci_high'])})"
    else:
        line += " (too few for an interval)"
    exact = f"exact p = {_p(primary['p_exact'])}"
    if primary["p_attainable"] > 0.05:
        exact += f" (smallest attainable {_p(primary['p_attainable'])}: cannot reach 0.05)"
    else:
        exact += f" (smallest attainable {_p(primary['p_attainable'])})"
    return f"{line}; {exact}, asymptotic p = {_p(primary['p_asymptotic'])}."


def scans_line(screening: pd.DataFrame, scores: pd.DataFrame) -> str:
    """How many scans were analysed, and which were not, and why.

    Parameters
    ----------
    scores
        The cohort's scores: a session that is not there was accepted but is not finished (``allow_incomplete``).
    """
    accepted = screening[screening["verdict"] == "accepted"]
    finished = set(zip(scores["participant_id"], scores["session_id"], strict=True))
    sessions = list(zip(accepted["participant_id"], accepted["session_id"], strict=True))
    missing = sorted({session for session in sessions if session not in finished})
    line = f"Scans: {sum(session in finished for session in sessions)} of {len(screening)} analysed"
    if missing:
        line += f"; accepted but not finished: {', '.join(' '.join(session) for session in missing)}"
    for verdict in ("refused", "excluded"):
        own = screening[screening["verdict"] == verdict]
        if len(own):
            each = []
            for row in own.to_dict("records"):
                why = [str(row[key]) for key in ("code", "reason") if isinstance(row.get(key), str)]
                scan = f"{row['participant_id']} {row['session_id']}"
                acquisition = row.get("acquisition")
                scan += f" {acquisition}" if isinstance(acquisition, str) else ""
                each.append(f"{scan} ({': '.join(why).rstrip('.')})" if why else scan)
            line += f"; {verdict}: {', '.join(each)}"
    return line + "."


def summary_lines(results: str | Path) -> list[str]:
    """Three sentences on the cohort, read from its tables.

    Parameters
    ----------
    results
        The study's ``results`` folder with ``screening.tsv`` and ``cohort/``.
    """
    results = Path(results)
    cohort = results / "cohort"
    people = read_table(cohort / "participants.tsv")
    return [
        deposits_line(read_table(cohort / "lesions.tsv", text_columns=("flags", "reason")), people),
        score_line(read_table(cohort / "statistics.tsv"), read_table(cohort / "comparison.tsv"), people),
        scans_line(
            read_table(results / "screening.tsv", text_columns=("verdict", "code", "reason")),
            read_table(cohort / "scores.tsv"),
        ),
    ]


def print_summary(results: str | Path) -> None:
    """Print the three lines, and where the report is."""
    for line in summary_lines(results):
        print(line)
    print(f"Report: {Path(results) / 'report.html'}")


if __name__ == "__main__":
    print_summary(sys.argv[1] if len(sys.argv) > 1 else "results")
