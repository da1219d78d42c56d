"""One row a person: what was found in the session that speaks for them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from calciflow.analyses.sessions import Scan, session_of
from calciflow.errors import StudyError
from calciflow.labels import COMPARTMENTS
from calciflow.lesion_table import flag_words, has_part, lesion_volume
from calciflow.tables import read_table

COUNT_COLUMNS = (
    "n_lesions",
    "n_ct_pet",
    "n_ct_only",
    "n_pet_only",
    "n_indeterminate",
    *(f"n_{compartment}" for compartment in COMPARTMENTS),
    "n_set_aside",
    "n_dropped",
)
BURDEN_COLUMNS = (
    "volume_ml",
    "ct_volume_ml",
    "pet_volume_ml",
    "hydroxyapatite_mg",
    "tlf",
    "subcutaneous_volume_ml",
    "muscle_volume_ml",
    "muscle_involved",
)
SCORE_COLUMNS = (
    "n_regions",
    "n_regions_imaged",
    "n_regions_involved",
    "score_ct",
    "score_pet",
    "score_petct",
    "score_clinical",
)
MEASURED = (*COUNT_COLUMNS, *BURDEN_COLUMNS, *SCORE_COLUMNS)
_FIRST = ("participant_id", "group")
_SCANS = ("verdict", "n_sessions", "session_id")


def person_columns(covariates: Sequence[str]) -> list[str]:
    """Columns of the cohort's ``participants.tsv``."""
    return [*_FIRST, *covariates, *_SCANS, *MEASURED]


def read_people(path: str | Path, covariates: Sequence[str]) -> pd.DataFrame:
    """Read the people's sheet: id, group, and the covariates that the config names; no other column is taken over.

    Raises
    ------
    StudyError
        A covariate that the sheet doesn't have or whose name the results need.
    """
    table = read_table(path, text_columns=("group",))
    name = Path(path).name
    if "participant_id" not in table.columns:
        raise StudyError(f"{name}: there is no column participant_id. Fix: add it (sub-01, sub-02, ...).")
    if "group" not in table.columns:
        table["group"] = None
    for covariate in covariates:
        if covariate in (*_FIRST, *_SCANS, *MEASURED):
            raise StudyError(f"{name}, column {covariate}: the results use this name. Fix: rename the column.")
        if covariate not in table.columns:
            raise StudyError(
                f"config, key cohort.covariates: {name} has no column {covariate!r}. "
                f"Fix: one of {', '.join(c for c in table.columns if c not in _FIRST)}."
            )
    return table[[*_FIRST, *covariates]]


def counted_lesions(lesions: pd.DataFrame, exclude_flags: Sequence[str]) -> pd.DataFrame:
    """Lesions that belong to the burden: those without one of the flags. Adds the column ``volume_ml``."""
    unwanted = {flag.lower().replace("_", " ") for flag in exclude_flags}
    keep = [not (flag_words(flags) & unwanted) for flags in lesions["flags"]]
    kept = lesions[pd.Series(keep, index=lesions.index, dtype=bool)]
    return kept.assign(volume_ml=lesion_volume(kept, "petct").astype(float))


def burden(lesions: pd.DataFrame) -> dict[str, Any]:
    """Counts and sums over one session's counted lesions (columns of ``counted_lesions``)."""
    on_ct, on_pet = has_part(lesions, "ct"), has_part(lesions, "pet")
    muscle, under_skin = lesions["compartment"] == "muscle", lesions["compartment"] == "subcutaneous"

    def total(column: str, rows: "pd.Series[bool]") -> float:
        return float(lesions.loc[rows, column].astype(float).sum())

    return {
        "n_lesions": len(lesions),
        "n_ct_pet": int((on_ct & on_pet).sum()),
        "n_ct_only": int((on_ct & ~on_pet).sum()),
        "n_pet_only": int((~on_ct & on_pet).sum()),
        "n_indeterminate": int((lesions["pet_status"] == "indeterminate").sum()),
        **{f"n_{name}": int((lesions["compartment"] == name).sum()) for name in COMPARTMENTS},
        "volume_ml": float(lesions["volume_ml"].sum()),
        "ct_volume_ml": total("ct_volume_ml", on_ct),
        "pet_volume_ml": total("pet_volume_ml", on_pet),
        "hydroxyapatite_mg": total("hydroxyapatite_mg", on_ct),
        "tlf": total("tlf", on_pet),
        "subcutaneous_volume_ml": total("volume_ml", under_skin),
        "muscle_volume_ml": total("volume_ml", muscle),
        "muscle_involved": bool(muscle.any()),
    }


def verdicts(screening: pd.DataFrame, participant_id: str) -> str | None:
    """What became of a person's scans, such as ``ses-01: accepted; ses-02: refused (no_weight)``."""
    own = screening[screening["participant_id"] == participant_id]
    parts = []
    for row in own.to_dict("records"):
        acquisition = row.get("acquisition")
        scan = str(row["session_id"]) + (f" {acquisition}" if isinstance(acquisition, str) else "")
        code = row.get("code")
        why = f" ({code})" if row["verdict"] != "accepted" and isinstance(code, str) else ""
        parts.append(f"{scan}: {row['verdict']}{why}")
    return "; ".join(sorted(parts)) or None


def person_table(
    people: pd.DataFrame,
    screening: pd.DataFrame,
    lesions: pd.DataFrame,
    scores: pd.DataFrame,
    clinical_totals: Mapping[tuple[str, str], float],
    measured: Sequence[Scan],
    dropped: Mapping[Scan, int],
    exclude_flags: Sequence[str],
    session: str,
) -> pd.DataFrame:
    """One row a person of the sheet, and of the scans if the sheet lacks them.

    Parameters
    ----------
    people
        ``read_people``.
    measured
        Scans that have results; a person without any keeps n/a in every count: not measured is not zero.
    dropped
        Candidates that were no lesions, by scan.
    clinical_totals
        Clinical total by (participant, session).
    session
        ``first`` or ``last``: the session that speaks for a person.
    """
    covariates = [name for name in people.columns if name not in _FIRST]
    by_id = {row["participant_id"]: row for row in people.to_dict("records")}
    kept = counted_lesions(lesions, exclude_flags)
    rows = []
    for person in sorted({*by_id, *(scan.participant_id for scan in measured)}):
        own = [scan for scan in measured if scan.participant_id == person]
        chosen = session_of([scan.session_id for scan in own], session)
        row: dict[str, Any] = {name: by_id.get(person, {}).get(name) for name in ("group", *covariates)}
        row["participant_id"] = person
        row["verdict"] = verdicts(screening, person)
        row["n_sessions"] = len({scan.session_id for scan in own})
        row["session_id"] = chosen
        if chosen is not None:
            mine = kept[(kept["participant_id"] == person) & (kept["session_id"] == chosen)]
            row.update(burden(mine))
            everything = (lesions["participant_id"] == person) & (lesions["session_id"] == chosen)
            row["n_set_aside"] = int(everything.sum()) - len(mine)
            row["n_dropped"] = sum(dropped.get(scan, 0) for scan in own if scan.session_id == chosen)
            row.update(_score_cells(scores, person, chosen))
            row["score_clinical"] = clinical_totals.get((person, chosen))
        rows.append(row)
    return pd.DataFrame(rows, columns=person_columns(covariates))


def _score_cells(scores: pd.DataFrame, person: str, session: str) -> dict[str, Any]:
    own = scores[(scores["participant_id"] == person) & (scores["session_id"] == session)]
    totals = own[own["region"] == "total"].set_index("modality")["score"]
    cells: dict[str, Any] = {f"score_{m}": totals.get(m) for m in ("ct", "pet", "petct")}
    regions = own[own["region"] != "total"]
    widest = "petct" if "petct" in set(regions["modality"]) else next(iter(regions["modality"]), None)
    shown = regions[regions["modality"] == widest]
    cells["n_regions"] = len(shown)
    cells["n_regions_imaged"] = int(shown["score"].notna().sum())
    cells["n_regions_involved"] = int((shown["score"] > 0).sum())
    return cells
