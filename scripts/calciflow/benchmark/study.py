"""The study folder of a split: DICOM and truth of each scan, and the sheets."""

from collections.abc import Sequence
from pathlib import Path

from calciflow.benchmark.split import draw_scan
from calciflow.files import write_text
from calciflow.fingerprint import fingerprint
from calciflow.phantom.dialects import write_study
from calciflow.phantom.scan import make_scan
from calciflow.phantom.spec import replace
from calciflow.phantom.truth import write_truth
from calciflow.tables import write_table

SESSION = "ses-01"


def person_of(seed: int) -> str:
    """Participant id of a seed."""
    return f"sub-{seed}"


def make_study(folder: Path, seeds: Sequence[int], ideal: bool = False) -> list[str]:
    """Write what is missing of the seeds' study into ``folder``; gives the participant ids."""
    code = fingerprint(Path(__file__), Path(__file__).resolve().parents[2])
    people = []
    for seed in seeds:
        person = person_of(seed)
        people.append(person)
        mark = folder / "truth" / person / "complete.txt"
        if mark.is_file() and mark.read_text(encoding="utf-8") == code:
            continue
        spec, wishes = draw_scan(seed)
        scan = make_scan(replace(spec, deposits=tuple(wishes)), seed, strict=False)
        write_study(scan, folder / "dicom" / person)
        write_truth(scan, folder / "truth" / person, ideal)
        write_text(mark, code)
        wanted, traps = sum(one.count for one in wishes), sorted(set(scan.trap_table["name"]))
        print(
            f"{person}: {len(scan.table)} of {wanted} deposits found room; {', '.join(traps) or 'no trap'}", flush=True
        )
    write_text(folder / "config" / "config.yaml", "participants: config/participants.tsv\nscans: config/scans.tsv\n")
    sheet = [{"participant_id": p, "group": "phantom"} for p in people]
    write_table(folder / "config" / "participants.tsv", sheet, ("participant_id", "group"))
    rows = [{"participant_id": p, "session_id": SESSION, "source": f"dicom/{p}"} for p in people]
    write_table(folder / "config" / "scans.tsv", rows, ("participant_id", "session_id", "source"))
    return people
