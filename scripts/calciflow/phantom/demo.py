"""Make the demo cohort: ``python -m calciflow.phantom.demo OUTFOLDER``.

``OUTFOLDER/dicom/sub-XX`` holds what a hospital would hand over, ``OUTFOLDER/truth/sub-XX`` what is true of it. What is
complete already, made by the same code, is left alone. ``--sheets FOLDER`` writes the cohort's sheets too.
"""

import argparse
import os
import shutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from calciflow.files import read_json, write_json
from calciflow.fingerprint import fingerprint
from calciflow.phantom.clinical import CLINICAL_COLUMNS, clinical_rows
from calciflow.phantom.cohort import MEMBERS, Member, scan_of
from calciflow.phantom.dialects import write_study
from calciflow.phantom.scan import make_scan
from calciflow.phantom.truth import write_truth
from calciflow.tables import read_table, write_table

SESSION = "ses-01"
_MARK = "complete.json"


def _code() -> str:
    return fingerprint(Path(__file__), Path(__file__).resolve().parents[2])


def is_complete(member: Member, folder: Path, code: str) -> bool:
    """Whether a member's scan and truth lie in ``folder``, whole, and were made by this code."""
    mark = folder / "truth" / member.participant_id / _MARK
    if not mark.is_file():
        return False
    content = read_json(mark)
    files = sum(1 for path in (folder / "dicom" / member.participant_id).rglob("*.dcm") if path.stat().st_size > 0)
    return bool(content.get("code") == code and content.get("files") == files)


def make_member(member: Member, folder: Path, code: str) -> tuple[int, float]:
    """Make one member's scan and truth; returns the number of deposits and the seconds it took."""
    began = time.monotonic()
    truth, dicom = folder / "truth" / member.participant_id, folder / "dicom" / member.participant_id
    (truth / _MARK).unlink(missing_ok=True)
    shutil.rmtree(dicom, ignore_errors=True)
    scan = make_scan(scan_of(member), member.seed)
    write_study(scan, dicom)
    write_truth(scan, truth)
    write_json(truth / _MARK, {"code": code, "files": sum(1 for _ in dicom.rglob("*.dcm"))})
    return len(scan.table), time.monotonic() - began


def make_cohort(folder: str | Path, processes: int = 2) -> None:
    """Make what is missing of the cohort, and say so line by line."""
    folder, code = Path(folder), _code()
    todo = [member for member in MEMBERS if not is_complete(member, folder, code)]
    for member in MEMBERS:
        if member not in todo:
            print(f"{member.participant_id}: complete", flush=True)
    if not todo:
        return
    workers = max(1, min(processes, os.cpu_count() or 1, len(todo)))
    print(f"making {len(todo)} of {len(MEMBERS)} phantom scans, {workers} at a time ...", flush=True)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = {pool.submit(make_member, member, folder, code): member for member in todo}
        for done, job in enumerate(as_completed(jobs), 1):
            member, (number, seconds) = jobs[job], job.result()
            p = member.person
            print(
                f"{member.participant_id}: {member.group}, {p.sex}, BMI {p.bmi:g}, arms {p.arms}: {number} deposits, "
                f"{seconds:.0f} s ({done} of {len(todo)})",
                flush=True,
            )


def write_sheets(folder: str | Path, demo: str | Path) -> None:
    """Write ``participants.tsv``, ``scans.tsv`` and ``clinical_scores.tsv`` of the demo study into ``folder``.

    ``demo`` is the folder that ``make_cohort`` filled: the scores come from the truth there.
    """
    folder, demo = Path(folder), Path(demo)
    people = [
        {"participant_id": m.participant_id, "group": m.group, "sex": m.person.sex, "age": m.person.age}
        for m in MEMBERS
    ]
    write_table(folder / "participants.tsv", people, ("participant_id", "group", "sex", "age"))
    scans = [{"participant_id": m.participant_id, "session_id": SESSION, "source": m.source} for m in MEMBERS]
    write_table(folder / "scans.tsv", scans, ("participant_id", "session_id", "source"))
    rows: list[dict[str, object]] = []
    for member in MEMBERS:
        deposits = read_table(demo / "truth" / member.participant_id / "deposits.tsv")
        rows += clinical_rows(member.participant_id, SESSION, deposits, member.seed)
    write_table(folder / "clinical_scores.tsv", rows, CLINICAL_COLUMNS)


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m calciflow.phantom.demo", description="Make the demo cohort.")
    parser.add_argument("folder", help="where dicom/ and truth/ go")
    parser.add_argument("--processes", type=int, default=2, help="scans made at the same time (1.2 GB each)")
    parser.add_argument("--sheets", help="also write the cohort's sheets into this folder")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    make_cohort(options.folder, options.processes)
    if options.sheets:
        write_sheets(options.sheets, options.folder)
    print(f"demo cohort ready in {options.folder} ({time.monotonic() - began:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
