"""Stage ``course``: changes over time of all people, lesion by lesion and in one row for each pair of sessions."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from calciflow.analyses.change_figure import write_change_figure
from calciflow.analyses.sessions import scan_of
from calciflow.files import read_json
from calciflow.followup.columns import CHANGE_COLUMNS
from calciflow.lesion_table import flag_words
from calciflow.tables import read_table, write_table

COUNTS: dict[str, tuple[str, str]] = {
    "n_new": ("status", "new"),
    "n_resolved": ("status", "resolved"),
    "n_persistent": ("status", "persistent"),
    "n_not_imaged": ("status", "not imaged"),
    "n_grown": ("size", "grown"),
    "n_shrunk": ("size", "shrunk"),
    "n_calcified": ("size", "calcified"),
    "n_calcium_gone": ("size", "calcium gone"),
    "n_more_active": ("activity", "more active"),
    "n_less_active": ("activity", "less active"),
    "n_became_active": ("activity", "became active"),
    "n_no_longer_active": ("activity", "no longer active"),
    "n_activity_open": ("activity", "open"),
}
"""Column, and which cell of the changes begins with which word."""

AMOUNTS = ("ct_volume_ml", "hydroxyapatite_mg", "tlf")
COURSE_COLUMNS = [
    *"participant_id group acquisition session_before session_after residual_mm".split(),
    *COUNTS,
    *(f"{name}_{when}" for name in AMOUNTS for when in ("before", "after")),
    "n_set_aside",
    "note",
]
TEXTS = (
    "session_before session_after status size activity lesions_before lesions_after compartment flags "
    "pet_status_before pet_status_after suv_mean_change tlf_change note"
).split()


def read_changes(paths: Sequence[str]) -> pd.DataFrame:
    """Changes of all people in one table; empty, with its columns, where there are none."""
    tables = [read_table(path, text_columns=TEXTS).astype(object) for path in sorted(paths)]
    filled = [table for table in tables if len(table)]
    if not filled:
        return pd.DataFrame(columns=CHANGE_COLUMNS, dtype=object)
    return pd.concat(filled, ignore_index=True)


def set_aside(changes: pd.DataFrame, exclude_flags: Sequence[str]) -> "pd.Series[bool]":
    """Which changes are of findings that count for nothing else either."""
    unwanted = {flag.lower().replace("_", " ") for flag in exclude_flags}
    marks = [bool(flag_words(flags) & unwanted) for flags in changes["flags"]]
    return pd.Series(marks, index=changes.index, dtype=bool)


def course_row(changes: pd.DataFrame, exclude_flags: Sequence[str]) -> dict[str, Any]:
    """Counts and amounts of one pair of sessions.

    Amounts are of what both sessions imaged: a region that only one of them shows would pass for a change.
    """
    apart = set_aside(changes, exclude_flags)
    own = changes[~apart]
    row: dict[str, Any] = {
        name: int(own[column].astype(str).str.startswith(word).sum()) for name, (column, word) in COUNTS.items()
    }
    both = own[~own["status"].astype(str).str.startswith("not imaged")]
    for name in AMOUNTS:
        for when in ("before", "after"):
            row[f"{name}_{when}"] = float(both[f"{name}_{when}"].astype(float).sum())
    row["n_set_aside"] = int(apart.sum())
    return row


def summarise_course(
    *,
    participants: str,
    changes: str,
    course: str,
    figure: str,
    figure_table: str | None = None,
    tables: str | Sequence[str] = (),
    reports: str | Sequence[str] = (),
    pairs: Sequence[Sequence[str]] = (),
    exclude_flags: Sequence[str] = (),
) -> None:
    """Write the tables of changes and their figure; all are empty where nobody was scanned twice.

    Parameters
    ----------
    participants
        The study's sheet, for the groups.
    changes, course, figure
        Outputs.
    figure_table
        Data of the figure: it stands beside the figure under the same name (declared for Snakemake's sake).
    tables, reports
        ``P_desc-change_lesions.tsv`` and ``.json`` of every follow-up.
    pairs
        Session before and session after of each, in their order.
    exclude_flags
        Lesions with one of these flags are counted apart.
    """
    paths, sidecars = ([names] if isinstance(names, str) else list(names) for names in (tables, reports))
    everything = read_changes(paths)
    write_table(changes, everything, CHANGE_COLUMNS)
    people = read_table(participants, text_columns=("group",))
    groups = dict(zip(people["participant_id"], people["group"], strict=True))
    rows = []
    for path, sidecar, (before, after) in zip(paths, sidecars, pairs, strict=True):
        scan, told = scan_of(path), read_json(sidecar)
        row = {
            "participant_id": scan.participant_id,
            "group": groups.get(scan.participant_id),
            "acquisition": scan.acquisition,
            "session_before": before,
            "session_after": after,
            "residual_mm": told["residual_mm"].get("body"),
            "note": " ".join(told.get("warnings") or []) or None,
        }
        if told["registered"]:
            row.update(course_row(read_changes([path]), exclude_flags))
        rows.append(row)
    write_table(course, rows, COURSE_COLUMNS)
    limits = next((told["limits"]["suv_max"] for told in map(read_json, sidecars) if told["registered"]), None)
    write_change_figure(everything[~set_aside(everything, exclude_flags)], limits, figure)
    print(f"{len(rows)} follow-ups, {len(everything)} lesions compared")
