"""What a reader's edits do to a scan's lesions: rows and label map, and a record of every edit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calciflow.deposits.identity import lesion_uid
from calciflow.edits.mask import Matched
from calciflow.edits.sheet import Edit
from calciflow.errors import StudyError

Row = dict[str, Any]
Remeasure = Callable[[NDArray[np.uint16], Mapping[int, Row], Sequence[int], Mapping[int, str]], dict[int, Row]]
"""Label map, known rows, numbers to measure, classes that the reader gave: the new rows."""

EDITED_COLUMNS = ("review", "reader", "edit", "edit_reason")
RECORD_COLUMNS = (
    "participant_id session_id acquisition edit_row lesion_uid lesion_id action value machine_value reader edit_reason "
    "outcome note"
).split()

LOST = "The lesion no longer exists: with the present parameters nothing of this name is found in the scan."
STANDS = {"machine": 0, "accepted": 1, "changed": 2, "outlined": 3, "added": 4}
"""How far a lesion is from what the machine said; the column ``review`` holds the farthest."""


@dataclass
class Reviewed:
    """A scan's lesions under a reader's edits.

    Attributes
    ----------
    rows
        Rows of ``P_lesions.tsv`` by number.
    labels
        Label map on the CT's grid.
    record
        One row for each edit, and for each thing that a corrected mask did.
    before
        Their rows before the sheet's edits.
    outlined
        Numbers whose outline is the reader's: they need their compartment anew.
    """

    rows: dict[int, Row]
    labels: NDArray[np.uint16]
    before: dict[int, Row] = field(default_factory=dict)
    record: list[Row] = field(default_factory=list)
    outlined: set[int] = field(default_factory=set)

    def mark(self, number: int, stand: str, edit: Edit | None, what: str | None) -> None:
        """Write into a lesion's row who did what, and why."""
        row = self.rows[number]
        if STANDS[stand] > STANDS[str(row.get("review") or "machine")]:
            row["review"] = stand
        for name, text in (
            ("reader", edit.reader if edit else None),
            ("edit", what),
            ("edit_reason", edit.reason if edit else None),
        ):
            told = [] if _absent(row.get(name)) else str(row[name]).split("; ")
            if text and text not in told:
                row[name] = "; ".join([*told, text])

    def note(self, edit: Edit, outcome: str, note: str | None = None, **cells: Any) -> None:
        """Record what became of an edit."""
        self.record.append(
            {
                "edit_row": edit.row or None,
                "lesion_uid": edit.uid or None,
                "action": edit.action,
                "value": edit.value or None,
                "reader": edit.reader or None,
                "edit_reason": edit.reason or None,
                "outcome": outcome,
                "note": note,
                **cells,
            }
        )


def _absent(value: Any) -> bool:
    return value is None or bool(pd.isna(value))


def apply_mask(state: Reviewed, matched: Matched, by: Edit, remeasure: Remeasure) -> dict[str, int]:
    """Take over a corrected mask.

    Parameters
    ----------
    by
        The row of the sheet that says who corrected the mask; one without reader where there is none.

    Returns
    -------
    Names of the machine's lesions that went into another, with the number of that one.
    """
    machine = dict(state.rows)
    uids = {number: str(row["lesion_uid"]) for number, row in machine.items()}
    state.labels = matched.labels.copy()
    state.rows = {n: row for n, row in machine.items() if n not in matched.merged and n not in matched.removed}
    measured = remeasure(state.labels, state.rows, matched.changed, {})
    grown: dict[int, list[int]] = {}
    for gone, number in matched.merged.items():
        grown.setdefault(number, []).append(gone)
    for number in matched.changed:
        before = machine.get(number)
        row = measured[number]
        if before is not None:
            row["lesion_uid"] = before["lesion_uid"]
        elif row["lesion_uid"] in {uids.get(kept) for kept in state.rows}:
            row["lesion_uid"] = _cut_name(row)
        state.rows[number] = row
        state.outlined.add(number)
        cut = matched.added.get(number)
        if number in matched.added:
            what = f"added in the mask, cut from {uids[cut]}" if cut else "added in the mask"
            state.mark(number, "added", by, what)
        else:
            what = "outline corrected"
            if number in grown:
                what += f", takes up {' '.join(uids[gone] for gone in grown[number])}"
            state.mark(number, "outlined", by, f"{what} ({_sizes(before, row)})")
        one = Edit(by.row, str(row["lesion_uid"]), "mask", "", by.reader, by.reason)
        state.note(one, "applied", what, lesion_id=number, machine_value=_size(before))
    for number in matched.removed:
        one = Edit(by.row, uids[number], "mask", "", by.reader, by.reason)
        state.note(one, "applied", "not in the corrected mask: taken out", **_was(machine[number]))
    for gone, number in matched.merged.items():
        one = Edit(by.row, uids[gone], "mask", "", by.reader, by.reason)
        into = state.rows[number]["lesion_uid"]
        state.note(one, "applied", f"went into {into} in the corrected mask", **_was(machine[gone]))
    return {uids[gone]: number for gone, number in matched.merged.items()}


def _cut_name(row: Row) -> str:
    """Name of a part that was cut off with its lesion's highest voxel, and so with its name: by its own centre."""
    names = (row.get(key) for key in ("participant_id", "session_id", "acquisition"))
    scan = "_".join(str(name) for name in names if not _absent(name))
    return lesion_uid(scan, "cut", (float(row["x_mm"]), float(row["y_mm"]), float(row["z_mm"])))


def _was(row: Row) -> dict[str, Any]:
    return {"lesion_id": row["lesion_id"], "machine_value": f"{row['concordance']} {row['compartment']}"}


def _size(row: Row | None) -> str | None:
    if row is None:
        return None
    parts = [
        f"{name} {float(row[key]):.3g} ml"
        for name, key in (("CT", "ct_volume_ml"), ("PET", "pet_volume_ml"))
        if not _absent(row.get(key))
    ]
    return ", ".join(parts) or None


def _sizes(before: Row | None, after: Row) -> str:
    return f"{_size(before) or 'n/a'} -> {_size(after) or 'n/a'}"


def apply_sheet(
    state: Reviewed, edits: Sequence[Edit], gone: Mapping[str, str], into: Mapping[str, int], remeasure: Remeasure
) -> None:
    """Apply the rows of the sheet, merges and classes first, since these are measured anew.

    Parameters
    ----------
    gone
        Names of lesions that the corrected mask took out or merged, with what became of them.
    into
        Names of lesions that the mask merged, with the number that they went into.
    """
    at = {str(row["lesion_uid"]): number for number, row in state.rows.items()}
    state.before = {number: dict(row) for number, row in state.rows.items()}
    changed: set[int] = set()
    classes: dict[int, str] = {}
    open_edits: list[Edit] = []
    for edit in edits:
        if edit.action == "merge":
            if _merge(state, edit, at, into, gone):
                changed.add(at[edit.uid])
        elif edit.action != "mask":
            open_edits.append(edit)
    for edit in open_edits:
        number = at.get(edit.uid)
        kind = None if number is None or number not in state.rows else _class(edit, state.before[number])
        if kind is not None and number is not None:
            classes[number] = kind
            changed.add(number)
    for number, row in remeasure(state.labels, state.rows, sorted(changed), classes).items():
        old = state.rows[number]
        kept = {name: old.get(name) for name in ("lesion_uid", *EDITED_COLUMNS)}
        state.rows[number] = {**old, **row, **kept}
        state.outlined.add(number)
    for edit in open_edits:
        number = at.get(edit.uid)
        if number is None or number not in state.rows:
            done = edit.uid in gone and edit.action == "reject"
            state.note(edit, "applied" if done else "lost", gone.get(edit.uid, LOST))
        elif edit.action == "reject":
            row = state.rows.pop(number)
            state.labels[state.labels == number] = 0
            state.note(edit, "applied", None, **_was(row))
        elif edit.action == "accept":
            state.mark(number, "accepted", edit, "accepted")
            state.note(edit, "applied", None, lesion_id=number, machine_value=_was(state.rows[number])["machine_value"])


def _merge(
    state: Reviewed, edit: Edit, at: Mapping[str, int], into: Mapping[str, int], gone: Mapping[str, str]
) -> bool:
    """Join lesions in the label map; True if anything was joined."""
    number = at.get(edit.uid)
    if number is None:
        state.note(edit, "lost", gone.get(edit.uid, LOST))
        return False
    taken, lost, before = [], [], []
    for other in edit.others:
        if other in at:
            taken.append(at[other])
            before.append(other)
        elif into.get(other) != number:
            lost.append(other)
    own = state.rows[number]
    for old in taken:
        state.labels[state.labels == old] = number
        other_row = state.rows.pop(old)
        kinds = (str(own["concordance"]), str(other_row["concordance"]))
        on_ct, on_pet = (any(part in kind for kind in kinds) for part in ("CT+", "PET+"))
        own["concordance"] = f"CT{'+' if on_ct else '-'}PET{'+' if on_pet else '-'}"
        levels = [row["ct_threshold_hu"] for row in (own, other_row) if not _absent(row.get("ct_threshold_hu"))]
        own["ct_threshold_hu"] = min(levels, default=None)
    note = None if not lost else f"Not there any more: {' '.join(lost)}."
    outcome = "lost" if lost and not taken else ("partly" if lost else "applied")
    state.note(edit, outcome, note, lesion_id=number, machine_value=f"{1 + len(taken)} lesions")
    if taken:
        state.mark(number, "outlined", edit, f"takes up {' '.join(before)}")
    return bool(taken)


def _class(edit: Edit, row: Row) -> str | None:
    """The class that an edit gives a lesion, if it is another than the machine's."""
    kind, status, before = edit.words.get("concordance"), edit.words.get("pet_status"), str(row["concordance"])
    if status is not None and kind is None:
        if before == "CT-PET+" and status != "positive":
            raise StudyError(
                f"row {edit.row}, column `value`: {edit.uid} is uptake without calcium, so it cannot be {status}. "
                "Reject it, if it is no lesion."
            )
        kind = before if before == "CT-PET+" else ("CT+PET+" if status == "positive" else "CT+PET-")
    return None if kind == before else kind


def apply_words(state: Reviewed, edits: Sequence[Edit]) -> None:
    """Write the reader's words over the machine's, once every lesion has its compartment."""
    at = {str(row["lesion_uid"]): number for number, row in state.rows.items()}
    for edit in edits:
        number = at.get(edit.uid)
        if not edit.words or number is None:
            continue  # a lost one is recorded already
        row = state.rows[number]
        words = dict(edit.words)
        if "concordance" in words and "pet_status" not in words:
            words["pet_status"] = "positive" if words["concordance"].endswith("PET+") else "negative"
        before = {name: state.before[number].get(name) for name in edit.words}
        told = []
        for name, word in words.items():
            old = before.get(name)
            row[name] = word
            if old != word and name in edit.words:
                told.append(f"{name}: {'n/a' if _absent(old) else old} -> {word}")
        if "compartment" in words:
            _compartment(row, edit, before["compartment"])
        machine = "; ".join("n/a" if _absent(old) else str(old) for old in before.values())
        if told:
            state.mark(number, "changed", edit, "; ".join(told))
        else:
            state.mark(number, "accepted", edit, "accepted")
        state.note(edit, "applied" if told else "no change", None, lesion_id=number, machine_value=machine)


def _compartment(row: Row, edit: Edit, before: Any) -> None:
    """A reader's compartment: the probability is still the machine's for that word, the reason is the reader's."""
    chance = row.get(f"p_{edit.words['compartment']}")
    old = row.get("compartment_probability")
    share = "" if _absent(old) else f", probability {float(str(old)):.2g}"
    why = "" if _absent(row.get("reason")) else f": {row['reason']}"
    row["compartment_probability"] = None if _absent(chance) else chance
    if before != edit.words["compartment"]:
        row["reason"] = f"By {edit.reader}: {edit.reason} (The machine said {before}{share}{why})"
