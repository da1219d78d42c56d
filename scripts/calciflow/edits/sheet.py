"""The sheet of a reader's edits, ``edits/sub-01_ses-01_lesions.tsv``: read and checked cell by cell."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from calciflow.deposits.identity import uid_fault
from calciflow.errors import StudyError
from calciflow.labels import COMPARTMENTS, CONCORDANCES, PET_STATUSES, REGIONS, SIDES
from calciflow.sheet_rows import EMPTY, read_rows

ACTIONS = {
    "accept": "The lesion is right; `value` stays empty.",
    "reject": "It is no lesion: it leaves the tables, the map, the scores and the statistics.",
    "compartment": "Another compartment: `value` is its word, such as `fascia`.",
    "relabel": "Other words: `value` is `column=word`, several separated by semicolons; columns `region`, `side`, "
    "`concordance`, `pet_status`, `morphology`.",
    "merge": "One lesion was found as several: `value` names the lesion_uid of those that `lesion_uid` takes up, "
    "separated by semicolons. The whole is measured anew.",
    "mask": "Who corrected the mask, and why; `lesion_uid` stays empty.",
}
"""What a reader can do to a lesion."""

EDIT_COLUMNS = {
    "lesion_uid": "The lesion's lasting name, from `P_lesions.tsv`. Required.",
    "action": f"One of {', '.join(f'`{action}`' for action in ACTIONS)}. Required.",
    "value": "What the action needs.",
    "reader": "Who says so. Required.",
    "reason": "Why, in a few words. Required for all but `accept`.",
}

MORPHOLOGIES = ("nodule", "sheet", "tumoral", "reticular")
WORDS: dict[str, tuple[str, ...]] = {
    "region": REGIONS,
    "side": SIDES,
    "concordance": CONCORDANCES,
    "pet_status": PET_STATUSES,
    "morphology": MORPHOLOGIES,
}
"""What ``relabel`` may change, and the words it knows."""


@dataclass(frozen=True)
class Edit:
    """A row of the sheet.

    Attributes
    ----------
    row
        Row number as a spreadsheet counts.
    words
        New words by column: of ``compartment`` and ``relabel``.
    others
        Lesions that ``merge`` takes up.
    """

    row: int
    uid: str
    action: str
    value: str
    reader: str
    reason: str
    words: dict[str, str] = field(default_factory=dict)
    others: tuple[str, ...] = ()


def read_edits(path: str | Path, scan: str, known: Sequence[str]) -> list[Edit]:
    """Read a reader's edits.

    Parameters
    ----------
    scan
        The scan's name as in its lesions' names (``sub-01_ses-01``).
    known
        The lesions' names of this scan, to suggest the nearest.

    Raises
    ------
    StudyError
        One line for each mistake: file, row, column, and the fix. That a well-formed name belongs to no lesion is no
        mistake: the lesion may have gone with another parameter.
    """
    path = Path(path)
    edits: list[Edit] = []
    faults: list[str] = []
    for number, row in read_rows(path, "edits", EDIT_COLUMNS):
        try:
            edits.append(_edit(number, row, scan, known))
        except ValueError as fault:
            faults.append(f"{path}, row {number}, {fault}")
    faults += [f"{path}, {fault}" for fault in _conflicts(edits)]
    if faults:
        raise StudyError("\n".join(faults))
    return edits


def _edit(number: int, row: dict[str, str], scan: str, known: Sequence[str]) -> Edit:
    cells = {name: "" if row.get(name, "") in EMPTY else row[name] for name in EDIT_COLUMNS}
    action, value = cells["action"], cells["value"]
    if action not in ACTIONS:
        raise ValueError(_unknown("action", action, tuple(ACTIONS)))
    if not cells["reader"]:
        raise ValueError("column `reader`: empty. Say who decided.")
    if not cells["reason"] and action != "accept":
        raise ValueError("column `reason`: empty. Say why, in a few words.")
    words: dict[str, str] = {}
    others: tuple[str, ...] = ()
    if action == "mask":
        if cells["lesion_uid"]:
            raise ValueError("column `lesion_uid`: leave it empty, the mask is of all lesions.")
    else:
        _uid("lesion_uid", cells["lesion_uid"], scan, known)
    if action in ("accept", "reject", "mask") and value:
        raise ValueError(f"column `value`: `{value}`, but `{action}` needs none. Empty it.")
    if action == "compartment":
        words = {"compartment": _word("compartment", value, COMPARTMENTS)}
    elif action == "relabel":
        words = _relabel(value)
    elif action == "merge":
        others = tuple(part.strip() for part in value.split(";") if part.strip())
        if not others:
            raise ValueError("column `value`: empty. Name the lesion_uid of the lesions to take up.")
        for other in others:
            _uid("value", other, scan, known)
        if cells["lesion_uid"] in others:
            raise ValueError("column `value`: a lesion cannot take up itself.")
    return Edit(number, cells["lesion_uid"], action, value, cells["reader"], cells["reason"], words, others)


def _unknown(column: str, value: str, words: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(value.lower().replace(" ", "_"), [word.lower() for word in words], 1)
    exact = [word for word in words if near and word.lower() == near[0]]
    meant = f"Is `{exact[0]}` meant?" if exact else f"One of: {', '.join(words)}."
    return f"column `{column}`: " + (f"`{value}` is not known. {meant}" if value else f"empty. {meant}")


def _word(name: str, value: str, words: tuple[str, ...]) -> str:
    if value not in words:
        raise ValueError(_unknown("value", value, words) + ("" if value else f" It is the new {name}."))
    return value


def _uid(column: str, uid: str, scan: str, known: Sequence[str]) -> None:
    if not uid:
        raise ValueError(f"column `{column}`: empty. It names the lesion, as P_lesions.tsv does.")
    fault = None if uid in known else uid_fault(uid, scan)
    if fault is not None:
        near = difflib.get_close_matches(uid, known, 1, cutoff=0.7)
        raise ValueError(f"column `{column}`: `{uid}` {fault}." + (f" Is `{near[0]}` meant?" if near else ""))


def _relabel(value: str) -> dict[str, str]:
    words: dict[str, str] = {}
    for part in (part.strip() for part in value.split(";") if part.strip()):
        column, equals, word = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise ValueError(f"column `value`: `{part}` has no `=`; write column=word, such as region=thigh.")
        if column == "compartment":
            raise ValueError("column `value`: for a compartment the action is `compartment`.")
        if column not in WORDS:
            raise ValueError(_unknown("value", column, tuple(WORDS)))
        words[column] = _word(column, word, WORDS[column])
    if not words:
        raise ValueError("column `value`: empty. Write column=word, such as region=thigh;side=left.")
    kind, status = words.get("concordance"), words.get("pet_status")
    if kind and status and kind.endswith("PET+") != (status == "positive"):
        raise ValueError(f"column `value`: concordance {kind} and pet_status {status} contradict each other.")
    return words


def _conflicts(edits: list[Edit]) -> list[str]:
    """Edits that cannot both be: of a rejected or merged lesion, or two words for one cell."""
    faults = []
    said: dict[tuple[str, str], Edit] = {}
    rejected = {edit.uid: edit for edit in edits if edit.action == "reject"}
    taken: dict[str, Edit] = {}
    for edit in edits:
        if edit.action not in ("reject", "mask") and edit.uid in rejected:
            faults.append(
                f"row {edit.row}, column `action`: the lesion is rejected in row {rejected[edit.uid].row}. Keep one."
            )
        for column, word in edit.words.items():
            earlier = said.setdefault((edit.uid, column), edit)
            if earlier.words[column] != word:
                faults.append(f"row {edit.row}, column `value`: row {earlier.row} gives another {column}. Keep one.")
        for other in edit.others:
            earlier = taken.setdefault(other, edit)
            if earlier.uid != edit.uid:
                faults.append(f"row {edit.row}, column `value`: {other} is taken up in row {earlier.row}. Keep one.")
            if other in rejected:
                faults.append(
                    f"row {edit.row}, column `value`: {other} is rejected in row {rejected[other].row}. Keep one."
                )
    for edit in edits:
        if edit.uid in taken and edit.action != "mask":
            faults.append(
                f"row {edit.row}, column `lesion_uid`: {edit.uid} is taken up by {taken[edit.uid].uid} in row "
                f"{taken[edit.uid].row}. Write its edits for that lesion."
            )
    return faults
