"""Drafting a study's sheets from an archive of scans, so that nobody types hundreds of rows."""

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from calciflow.config_file import commented_yaml
from calciflow.dicom.candidates import piece_names, unusable
from calciflow.dicom.headers import Header, read_listing
from calciflow.dicom.join import continues
from calciflow.dicom.selection import MINIMUM_PIECE, OTHER_PIECE
from calciflow.dicom.series import Group, group
from calciflow.errors import Refusal, StudyError
from calciflow.files import write_text
from calciflow.tables import write_table

SHEETS = ("config/participants.tsv", "config/scans.tsv", "config/config.yaml")
KEY = "private/key.tsv"
KEY_COLUMNS = (
    "participant_id session_id patient_id patient_name patient_birth_date study_date study_uid files folder"
).split()
UNKNOWN_GROUP = "unknown"

Patient = tuple[str, str]


@dataclass
class Visit:
    """The files of one patient's examination of one day."""

    patient: Patient
    date: str
    headers: list[Header] = field(default_factory=list)

    @property
    def modalities(self) -> set[str]:
        """What was acquired."""
        return {header.modality for header in self.headers}


def patient_of(header: Header) -> Patient:
    """What tells a patient from the others: the id, or name and birth date where there is none."""
    identifier, name, birth = header.patient
    return (identifier, "") if identifier else (name.upper(), birth)


def visits_of(headers: Iterable[Header]) -> list[Visit]:
    """Group images by patient and day, sorted; headers that name neither patient nor study are left out."""
    visits: dict[tuple[Patient, str], Visit] = {}
    for header in headers:
        patient = patient_of(header)
        if not any(patient) and not header.study_uid:
            continue
        # Without a date, the study is the examination.
        day = header.study_date or header.study_uid
        visits.setdefault((patient, day), Visit(patient, day)).headers.append(header)
    return [visits[key] for key in sorted(visits)]


def acquisitions(visit: Visit) -> list[tuple[str, str]]:
    """Pieces of a visit that cannot be one volume: name and cell ``pet_series``; empty if it is one piece.

    Legs scanned after turning the patient have a frame of reference of their own, or were acquired with another matrix:
    each piece needs a row.
    """
    pets = [g for g in group([("source", visit.headers)]) if g.is_pet and g.grid and unusable(g) is None]
    longest: dict[str, Group] = {}
    for item in sorted(pets, key=lambda g: (-g.extent, g.number)):
        longest.setdefault(item.first.frame_uid, item)
    parts = list(longest.values())
    parts = [item for item in parts if item.extent > OTHER_PIECE * parts[0].extent]
    if len(parts) == 1:
        parts += _apart(parts[0], pets)
    if len(parts) < 2:
        return []
    result = []
    for name, item in zip(piece_names(parts), parts, strict=True):
        same_number = [g for g in pets if g.first.series_number == item.first.series_number]
        numbered = item.first.series_number is not None and len(same_number) == 1
        result.append((name, str(item.first.series_number) if numbered else f"#{item.number}"))
    return result


def _apart(top: Group, pets: list[Group]) -> list[Group]:
    """The longest PET of the same frame that reaches far beyond the longest one and cannot be joined to any."""
    one = top.box
    assert one is not None
    for item in sorted(pets, key=lambda g: (-g.extent, g.number)):
        two = item.box
        if two is None or item is top or any(continues(item, p) or continues(p, item) for p in pets):
            continue
        beyond = max(one[0, 2] - two[0, 2], two[1, 2] - one[1, 2])
        if beyond > MINIMUM_PIECE * (two[1, 2] - two[0, 2]):
            return [item]
    return []


def _folders(visit: Visit) -> set[PurePosixPath]:
    return {PurePosixPath(header.entry.path).parent for header in visit.headers}


def _common(paths: Iterable[PurePosixPath]) -> PurePosixPath:
    return PurePosixPath(os.path.commonpath([str(path) for path in paths]) or ".")


def _inside(path: PurePosixPath, folder: PurePosixPath) -> bool:
    return folder == PurePosixPath(".") or path == folder or folder in path.parents


def draft_study(study: Path, archive: Path) -> dict[str, Any]:
    """Write a study's sheets from an archive: participants sub-001, ..., sessions ses-01, ... by date.

    The archive is walked once, headers only. Where a visit's files lie in a folder (or archive file) of their own,
    ``source`` names it, relative to the study if the two share a drive; where visits are mixed in one folder, links to
    each visit's files are made under ``private/sources``. Who is who stands in ``private/key.tsv``, for the owner's
    eyes only.

    Parameters
    ----------
    study
        The study's folder; made if it is not there.
    archive
        Folder, or archive file, that holds the scans.

    Returns
    -------
    dict
        What was written and found, in numbers; no identity.

    Raises
    ------
    StudyError
        If a sheet is there already, or the archive holds no PET/CT.
    """
    study, archive = Path(study), Path(archive)
    for name in (*SHEETS, KEY):
        if (study / name).exists():
            raise StudyError(f"{study / name} is there already and is not overwritten. Move it away to draft it anew.")
    try:
        listing = read_listing(archive)
    except Refusal as refusal:
        raise StudyError(f"{archive}: {refusal.reason}") from None
    visits = visits_of(listing.headers)
    taken = [visit for visit in visits if "PT" in visit.modalities]
    if not taken:
        raise StudyError(
            f"{archive}: no PET images among {listing.files} files. Name the folder that holds the scans' DICOM files."
        )
    people: dict[Patient, str] = {}
    pieces = 0
    sessions: dict[Patient, int] = defaultdict(int)
    scans, key, linked, skipped = [], [], 0, 0
    for visit in taken:
        person = people.setdefault(visit.patient, f"sub-{len(people) + 1:03d}")
        sessions[visit.patient] += 1
        session = f"ses-{sessions[visit.patient]:02d}"
        source = _own_place(visit, visits, archive)
        if source is None:
            source = _link(visit, archive, study / "private" / "sources" / f"{person}_{session}")
            linked += 1
        if source is None:
            skipped += 1
        row = {
            "participant_id": person,
            "session_id": session,
            "acquisition": None,
            "source": None if source is None else _relative(source, study),
            "pet_series": None,
            "exclude": None if source is not None else "in an archive with others: unpack it and name the folder",
        }
        parts = acquisitions(visit)
        pieces += len(parts) > 1
        scans += [row | {"acquisition": name, "pet_series": cell} for name, cell in parts] or [row]
        first = visit.headers[0]
        key.append(
            {
                "participant_id": person,
                "session_id": session,
                "patient_id": first.patient[0],
                "patient_name": first.patient[1],
                "patient_birth_date": first.patient[2],
                "study_date": first.study_date,
                "study_uid": first.study_uid,
                "files": len(visit.headers),
                "folder": None if source is None else str(source),
            }
        )
    _write(study, people.values(), scans, key)
    return {
        "participants": len(people),
        "scans": len(taken),
        "scans_in_pieces": pieces,
        "scans_with_CT": sum("CT" in visit.modalities for visit in taken),
        "examinations_without_PET_left_out": len(visits) - len(taken),
        "mixed_folders_linked": linked,
        "not_reachable": skipped,
        "damaged_files": len(listing.broken),
        "next": f"fill in `group` in {SHEETS[0]}, look through {SHEETS[1]}; {KEY} says who is who: keep it private",
    }


def _write(study: Path, people: Iterable[str], scans: list[dict[str, Any]], key: list[dict[str, Any]]) -> None:
    before = os.umask(0o077)
    try:
        write_table(study / KEY, key, KEY_COLUMNS)
        write_text(study / "private" / ".gitignore", "*\n")
    finally:
        os.umask(before)
    write_table(
        study / SHEETS[0],
        [{"participant_id": person, "group": UNKNOWN_GROUP} for person in people],
        ("participant_id", "group"),
    )
    columns = [
        column
        for column in ("participant_id", "session_id", "acquisition", "source", "pet_series", "exclude")
        if column in ("participant_id", "session_id", "source") or any(scan[column] for scan in scans)
    ]
    write_table(study / SHEETS[1], [{c: scan[c] for c in columns} for scan in scans], columns)
    # Snakemake wants at least one key.
    write_text(study / SHEETS[2], commented_yaml({"participants": SHEETS[0], "scans": SHEETS[1]}))


def _own_place(visit: Visit, visits: list[Visit], archive: Path) -> Path | None:
    """Folder or archive file that holds this visit's images and nobody else's."""
    others = [header.entry for other in visits if other is not visit for header in other.headers]
    packed = {header.entry.path for header in visit.headers if header.entry.member}
    if packed:
        if len({header.entry.path for header in visit.headers}) > 1:
            return None
        place = packed.pop()
        return None if any(entry.path == place for entry in others) else archive / place if place else archive
    folder = _common(_folders(visit))
    if any(_inside(PurePosixPath(entry.path), folder) for entry in others):
        return None
    if archive.is_file():
        return archive
    return archive / folder


def _link(visit: Visit, archive: Path, target: Path) -> Path | None:
    """Make a folder of links to a visit's files; None if they lie in an archive file."""
    if any(header.entry.member for header in visit.headers):
        return None
    before = os.umask(0o077)
    try:
        target.mkdir(parents=True, exist_ok=True)
        places = sorted({header.entry.path for header in visit.headers})
        for number, place in enumerate(places, 1):
            link = target / f"{number:06d}.dcm"
            link.unlink(missing_ok=True)
            link.symlink_to((archive / place).resolve())
    finally:
        os.umask(before)
    return target


def _relative(source: Path, study: Path) -> str:
    try:
        return Path(os.path.relpath(source.resolve(), study.resolve())).as_posix()
    except ValueError:  # another drive
        return str(source.resolve())
