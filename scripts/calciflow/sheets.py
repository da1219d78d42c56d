"""The study's sheets: read, checked cell by cell, and turned into rows.

Every message names the file, the row (as a spreadsheet counts, header = 1), the column, and what to do.
"""

import difflib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from calciflow.errors import StudyError
from calciflow.labels import REGIONS, SIDES
from calciflow.sheet_rows import EMPTY, read_rows

PARTICIPANT = re.compile(r"sub-[A-Za-z0-9]+")
SESSION = re.compile(r"ses-[A-Za-z0-9]+")
ACQUISITION = re.compile(r"[A-Za-z0-9]+")

PARTICIPANT_COLUMNS = {
    "participant_id": "BIDS label of the person: `sub-` and letters or digits. Required.",
    "group": "Diagnosis or study group, such as `DM` or `SSc`. Required.",
}
SCAN_COLUMNS = {
    "participant_id": "The person; must stand in `participants.tsv`. Required.",
    "session_id": "BIDS label of the visit: `ses-` and letters or digits. Required.",
    "source": "Folder, .zip, .tar or .tar.gz with the scan's DICOM files, or a PET-BIDS folder. Relative to the study.",
    "ct_source": "Instead of `source`: where the CT is.",
    "pet_source": "Instead of `source`: where the PET is.",
    "ct_series": "Forces the CT: series number, UID, or a pattern of its description (`*LOW DOSE*`).",
    "pet_series": "Forces the PET: series number, UID, or a pattern of its description.",
    "weight_kg": "Body weight in kg; overrides the header.",
    "height_m": "Body height in m; overrides the header.",
    "injected_dose_mbq": "Net activity at the time of injection in MBq; overrides the header.",
    "injection_datetime": "Time of injection on the scanner's clock, `YYYY-MM-DDThh:mm:ss`; overrides the header.",
    "exclude": "A reason in a few words: the scan is left out and listed with it.",
    "acquisition": "Letters or digits, such as `body` or `legs`: for a session acquired in pieces that share no frame "
    "of reference.",
    "labelmap": "What `{labelmap}` stands for in the patterns of `tissues.labelmaps`, for this scan.",
}
CLINICAL_COLUMNS = {
    "participant_id": "The person. Required.",
    "session_id": "The visit. Required.",
    "region": "One of the fixed regions, or a region of the scoring form; `total` where only a total was given. "
    "Required.",
    "side": "`left`, `right` or `midline`; `n/a` for a total. Of the halves of a region that the form scores as a "
    "whole, the higher score counts. Required.",
    "score": "The clinician's score, a number, 0 or more; `n/a` if not examined. Required.",
    "reader": "Who scored; several readers of one region each have a row.",
}
OVERRIDES = ("weight_kg", "height_m", "injected_dose_mbq", "injection_datetime")
SOURCES = ("source", "ct_source", "pet_source")


@dataclass(frozen=True)
class Scan:
    """A row of ``scans.tsv``."""

    participant_id: str
    session_id: str
    acquisition: str | None
    sources: dict[str, str]
    ct_series: str | None = None
    pet_series: str | None = None
    overrides: dict[str, float | str] = field(default_factory=dict)
    exclude: str | None = None
    labelmap: str | None = None

    @property
    def prefix(self) -> str:
        """File name prefix, ``sub-01_ses-01`` or ``sub-01_ses-01_acq-legs``."""
        tail = f"_acq-{self.acquisition}" if self.acquisition else ""
        return f"{self.participant_id}_{self.session_id}{tail}"

    @property
    def identity(self) -> dict[str, str | None]:
        """What names the scan in tables."""
        return {
            "participant_id": self.participant_id,
            "session_id": self.session_id,
            "acquisition": self.acquisition,
        }


def _optional(row: dict[str, str], column: str) -> str | None:
    value = row.get(column, "")
    return None if value in EMPTY else value


def _labelled(path: Path, number: int, row: dict[str, str], column: str, pattern: re.Pattern[str], like: str) -> str:
    value = row[column]
    if not pattern.fullmatch(value):
        raise StudyError(f"{path}, row {number}, column `{column}`: `{value}` is no label; write it like `{like}`.")
    return value


def _number(path: Path, number: int, column: str, value: str, low: float, high: float, unit: str) -> float:
    try:
        result = float(value)
    except ValueError:
        hint = f" Write it with a point: {value.replace(',', '.')}." if "," in value else " Write a number or n/a."
        raise StudyError(f"{path}, row {number}, column `{column}`: `{value}` is no number.{hint}") from None
    if not math.isfinite(result) or not low <= result <= high:
        raise StudyError(
            f"{path}, row {number}, column `{column}`: {value} is outside {low:g} to {high:g} {unit}. "
            "Is the unit right?"
        )
    return result


def _datetime(path: Path, number: int, column: str, value: str) -> str:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if moment is None or "T" not in value.upper().replace(" ", "T"):
        raise StudyError(
            f"{path}, row {number}, column `{column}`: `{value}` is no date and time; write 2024-05-31T09:45:00."
        )
    if moment.tzinfo is not None:
        raise StudyError(
            f"{path}, row {number}, column `{column}`: write the scanner's local time without a zone, "
            f"{moment.replace(tzinfo=None).isoformat()}."
        )
    return moment.isoformat()


# The limits only catch wrong units: no adult weighs under 10 kg, and no PET dose is 5 GBq.
_LIMITS = {
    "weight_kg": (10.0, 400.0, "kg"),
    "height_m": (0.5, 2.6, "m"),
    "injected_dose_mbq": (15.0, 1000.0, "MBq"),
}


def read_participants(path: Path) -> dict[str, dict[str, str]]:
    """Read ``participants.tsv``: participant to row; any further column is a covariate."""
    people: dict[str, dict[str, str]] = {}
    for number, row in read_rows(path, "participants", None):
        person = _labelled(path, number, row, "participant_id", PARTICIPANT, "sub-01")
        if person in people:
            raise StudyError(f"{path}, row {number}: `{person}` has a row already. Each person has one.")
        if row["group"] in EMPTY:
            raise StudyError(f"{path}, row {number}, column `group`: empty. Name the group, such as DM or SSc.")
        people[person] = row
    return people


def read_scans(path: Path, people: Iterable[str]) -> list[Scan]:
    """Read ``scans.tsv`` in the order of its rows."""
    known_people = set(people)
    scans: list[Scan] = []
    seen: dict[str, int] = {}
    for number, row in read_rows(path, "scans", SCAN_COLUMNS):
        person = _labelled(path, number, row, "participant_id", PARTICIPANT, "sub-01")
        session = _labelled(path, number, row, "session_id", SESSION, "ses-01")
        if person not in known_people:
            raise StudyError(f"{path}, row {number}: `{person}` has no row in participants.tsv. Add one.")
        acquisition = _optional(row, "acquisition")
        if acquisition is not None and not ACQUISITION.fullmatch(acquisition):
            raise StudyError(
                f"{path}, row {number}, column `acquisition`: `{acquisition}` is no label; letters and digits only."
            )
        exclude = _optional(row, "exclude")
        sources = {name: value for name in SOURCES if (value := _optional(row, name)) is not None}
        if exclude is None:
            _check_sources(path, number, sources)
        overrides: dict[str, float | str] = {}
        for column in OVERRIDES:
            value = _optional(row, column)
            if value is None:
                continue
            if column in _LIMITS:
                overrides[column] = _number(path, number, column, value, *_LIMITS[column])
            else:
                overrides[column] = _datetime(path, number, column, value)
        scan = Scan(
            person,
            session,
            acquisition,
            sources,
            _optional(row, "ct_series"),
            _optional(row, "pet_series"),
            overrides,
            exclude,
            _optional(row, "labelmap"),
        )
        if scan.prefix in seen:
            raise StudyError(
                f"{path}, row {number}: {scan.prefix} stands in row {seen[scan.prefix]} already. Give it another "
                "session_id, or name the pieces of one session in the column `acquisition`."
            )
        seen[scan.prefix] = number
        scans.append(scan)
    return scans


def _check_sources(path: Path, number: int, sources: dict[str, str]) -> None:
    if not sources:
        raise StudyError(f"{path}, row {number}, column `source`: empty. Name the scan's folder or archive.")
    if "source" in sources and len(sources) > 1:
        raise StudyError(
            f"{path}, row {number}: `source` and `{sorted(sources)[0]}` exclude each other. Keep one kind."
        )
    if "source" not in sources and "pet_source" not in sources:
        raise StudyError(f"{path}, row {number}, column `pet_source`: empty, though `ct_source` is given.")


def read_clinical_scores(
    path: Path, scans: Iterable[Scan], form_regions: Iterable[str] = ()
) -> list[dict[str, str | float | None]]:
    """Read ``clinical_scores.tsv``; one row a region, side and reader.

    ``form_regions`` are region words of the scoring form beside the fixed ones.
    """
    regions = tuple(dict.fromkeys((*REGIONS, *form_regions, "total")))
    sessions = {(scan.participant_id, scan.session_id) for scan in scans}
    result: list[dict[str, str | float | None]] = []
    seen: dict[tuple[str | None, ...], int] = {}
    for number, row in read_rows(path, "clinical_scores", CLINICAL_COLUMNS):
        key = (row["participant_id"], row["session_id"])
        if key not in sessions:
            raise StudyError(f"{path}, row {number}: {key[0]} {key[1]} is not in scans.tsv. Correct one of the two.")
        _one_of(path, number, "region", row["region"], regions)
        if row["region"] != "total":
            _one_of(path, number, "side", row["side"], SIDES)
        value = _optional(row, "score")
        score = None if value is None else _number(path, number, "score", value, 0, 1e6, "")
        reader = _optional(row, "reader")
        place = (*key, row["region"], row["side"], reader)
        if place in seen:
            raise StudyError(f"{path}, row {number}: the same region, side and reader as in row {seen[place]}.")
        seen[place] = number
        result.append(
            {
                "participant_id": key[0],
                "session_id": key[1],
                "region": row["region"],
                "side": row["side"],
                "score": score,
                "reader": reader,
            }
        )
    return result


def _one_of(path: Path, number: int, column: str, value: str, words: tuple[str, ...]) -> None:
    if value not in words:
        near = difflib.get_close_matches(value.lower().replace(" ", "_"), words, 1)
        meant = f"Is `{near[0]}` meant?" if near else f"One of: {', '.join(words)}."
        raise StudyError(f"{path}, row {number}, column `{column}`: `{value}` is not known. {meant}")
