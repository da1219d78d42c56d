"""A sheet that a person wrote, read into numbered rows: what every sheet has in common."""

import csv
import difflib
from collections.abc import Iterable
from pathlib import Path

from calciflow.errors import StudyError

EMPTY = ("", "n/a")
REQUIRED = {
    "participants": ("participant_id", "group"),
    "scans": ("participant_id", "session_id"),
    "clinical_scores": ("participant_id", "session_id", "region", "side", "score"),
    "edits": ("lesion_uid", "action", "reader"),
}


def read_rows(path: Path, kind: str, known: Iterable[str] | None) -> list[tuple[int, dict[str, str]]]:
    """Read a sheet into rows with their numbers; ``known`` columns or any (None).

    Raises
    ------
    StudyError
        For a missing file, wrong encoding, missing, doubled or unknown columns, a row of the wrong length.
    """
    if not path.is_file():
        raise StudyError(f"{path}: there is no such file. Write it, or correct `{kind}` in config/config.yaml.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise StudyError(f"{path}: not UTF-8 text (byte {error.start}). Save it as UTF-8, tab-separated.") from error
    lines = list(csv.reader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))
    if not lines:
        raise StudyError(f"{path}: the file is empty; its first row names the columns: {', '.join(REQUIRED[kind])}.")
    header = [name.strip() for name in lines[0]]
    for name in REQUIRED[kind]:
        if name not in header:
            hint = " It looks comma-separated: save it tab-separated." if "," in lines[0][0] else ""
            near = difflib.get_close_matches(name, header, 1)
            hint = f" Is `{near[0]}` meant?" if near and not hint else hint
            raise StudyError(f"{path}, row 1: column `{name}` is missing.{hint}")
    for name in header:
        if header.count(name) > 1:
            raise StudyError(f"{path}, row 1: column `{name}` stands there twice. Remove one.")
        if known is not None and name not in known:
            near = difflib.get_close_matches(name, list(known), 1)
            meant = f"Is `{near[0]}` meant?" if near else f"Known columns: {', '.join(known)}."
            raise StudyError(f"{path}, row 1: unknown column `{name}`. {meant}")
    rows = []
    for number, line in enumerate(lines[1:], 2):
        if not any(part.strip() for part in line):
            continue
        if len(line) != len(header):
            raise StudyError(
                f"{path}, row {number}: {len(line)} cells, but the header has {len(header)}. Cells are separated by "
                "tabs; write n/a for an empty one."
            )
        rows.append((number, dict(zip(header, (part.strip() for part in line), strict=True))))
    return rows
