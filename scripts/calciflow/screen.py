"""Stage ``screen``: one table of all scans, who is accepted, refused or excluded, and why."""

from collections.abc import Mapping, Sequence
from typing import Any

from calciflow.files import read_json
from calciflow.tables import write_table

SCREENING_COLUMNS = (
    "participant_id session_id verdict code reason acquisition ct_series pet_series ct_size pet_size ct_spacing_mm "
    "pet_spacing_mm warnings"
).split()
IDENTITY = ("participant_id", "session_id", "acquisition")


def screen_scans(*, screenings: Sequence[str], table: str, scans: Sequence[Mapping[str, Any]]) -> None:
    """Gather the verdicts of all scans of the sheet, in its order.

    Parameters
    ----------
    screenings
        The ``P_screening.json`` of every scan that is not excluded.
    table
        Output: ``results/screening.tsv``.
    scans
        All rows of the sheet: participant, session, acquisition, and ``exclude`` (a reason, or None).

    Raises
    ------
    KeyError
        If a scan that is not excluded has no screening.
    """
    verdicts = {}
    for path in screenings:
        content = read_json(path)
        verdicts[_identity(content)] = content
    rows = [_row(scan, verdicts) for scan in scans]
    write_table(table, rows, SCREENING_COLUMNS)
    counts = {word: sum(row["verdict"] == word for row in rows) for word in ("accepted", "refused", "excluded")}
    print(f"{len(rows)} scans: " + ", ".join(f"{count} {word}" for word, count in counts.items()))


def _identity(row: Mapping[str, Any]) -> tuple[str, str, str]:
    person, session, acquisition = (row.get(key) for key in IDENTITY)
    return str(person), str(session), str(acquisition or "")


def _row(scan: Mapping[str, Any], verdicts: Mapping[tuple[str, str, str], Mapping[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {key: scan.get(key) or None for key in IDENTITY}
    if scan.get("exclude"):
        return row | {"verdict": "excluded", "code": "excluded", "reason": scan["exclude"]}
    verdict = verdicts[_identity(scan)]
    chosen, size = verdict.get("chosen") or {}, verdict.get("size") or {}
    return row | {
        "verdict": verdict["verdict"],
        "code": verdict["code"],
        "reason": verdict["reason"],
        "ct_series": chosen.get("ct_series"),
        "pet_series": chosen.get("pet_series"),
        "ct_size": size.get("ct"),
        "pet_size": size.get("pet"),
        "ct_spacing_mm": size.get("ct_spacing_mm"),
        "pet_spacing_mm": size.get("pet_spacing_mm"),
        "warnings": list(dict.fromkeys(warning["code"] for warning in verdict.get("warnings") or [])) or None,
    }
