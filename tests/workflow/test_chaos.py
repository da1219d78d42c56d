"""Sixteen scans, twelve of them broken in twelve ways: one command gives the others' cohort and says what is wrong."""

import os
import shutil
from pathlib import Path

import pandas as pd
import pydicom
import pytest

from harness import Study, copy_code, write_sheets

pytestmark = [pytest.mark.xdist_group("chaos"), pytest.mark.slow]
HEALTHY = int(os.environ.get("CALCIFLOW_CHAOS_HEALTHY", "4"))
BUG = """

_choose = choose


def choose(*args, **kwargs):
    if str(kwargs.get("who", "")).startswith("sub-bug"):
        raise RuntimeError("a bug")
    return _choose(*args, **kwargs)
"""


def files(folder: Path, kind: str) -> list[Path]:
    return sorted((folder / kind).glob("*.dcm"))


def edit(path: Path, **values: object) -> None:
    """Change or (None) delete attributes of a file."""
    dataset = pydicom.dcmread(path)
    for name, value in values.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    dataset.save_as(path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def corrupt(path: Path) -> None:
    """All headers are as they should be; pixels are missing."""
    edit(path, PixelData=pydicom.dcmread(path).PixelData[:-200])


def forbid(path: Path) -> None:
    """A file that cannot be opened: no permission; for root, whom none stops, a loop of links."""
    if os.geteuid():
        path.chmod(0)
    else:
        path.unlink()
        path.symlink_to(path.name)


def each(folder: Path, kind: str, **values: object) -> None:
    for path in files(folder, kind):
        edit(path, **values)


FAULTS = {
    "nofolder": (lambda folder: shutil.rmtree(folder), "unreadable"),
    "empty": (lambda folder: [shutil.rmtree(folder / kind) for kind in ("CT", "PT")], "unreadable"),
    "cut": (lambda folder: cut(files(folder, "CT")[5]), "unreadable"),
    "pixels": (lambda folder: corrupt(files(folder, "CT")[7]), "unreadable"),
    "forbidden": (lambda folder: forbid(files(folder, "PT")[3]), "unreadable"),
    "weight": (lambda folder: each(folder, "PT", PatientWeight=None), "no_weight"),
    "units": (lambda folder: each(folder, "PT", Units="PROPCNTS"), "units"),
    "slice": (lambda folder: files(folder, "CT")[20].unlink(), "missing_slice"),
    "noct": (lambda folder: shutil.rmtree(folder / "CT"), "no_ct"),
    "nopet": (lambda folder: shutil.rmtree(folder / "PT"), "no_pet"),
    "noac": (lambda folder: each(folder, "PT", CorrectedImage=["NORM"], AttenuationCorrectionMethod=None), "no_ac_pet"),
    "bug": (lambda folder: None, "internal"),
}
"""What is done to a scan, and the verdict it must get."""


def test_many_scans_with_twelve_faults(phantoms, tmp_path):
    code = copy_code(tmp_path / "code")
    choice = code / "scripts" / "calciflow" / "dicom" / "selection.py"
    choice.write_text(choice.read_text() + BUG)
    folder = tmp_path / "study"
    for name in ("one", "two"):
        shutil.copytree(phantoms[name][0], folder / "scans" / name)
    scans = {f"sub-{number:02}": f"scans/{('one', 'two')[number % 2]}" for number in range(HEALTHY)}
    for name, (fault, _) in FAULTS.items():
        shutil.copytree(phantoms["one"][0], folder / "scans" / name)
        fault(folder / "scans" / name)
        scans[f"sub-{name}"] = f"scans/{name}"
    sheet = "participant_id\tsession_id\tsource\n" + "".join(f"{sub}\tses-01\t{path}\n" for sub, path in scans.items())
    people = "".join(f"{sub}\t{('DM', 'SSc')[number % 2]}\n" for number, sub in enumerate(scans))
    write_sheets(folder, sheet, people, "allow_incomplete: false\n")
    study = Study(folder, code)

    text = study.run(check=False)

    assert "exit status 1" in text, "a bug is not a fault of the data: the run says that something is wrong"
    table = pd.read_csv(folder / "results" / "screening.tsv", sep="\t", na_values="n/a").set_index("participant_id")
    assert len(table) == len(scans)
    wanted = {f"sub-{name}": code for name, (_, code) in FAULTS.items()}
    assert table["code"].dropna().to_dict() == wanted
    assert table.loc[list(wanted), "reason"].str.len().min() > 20
    page = (folder / "results" / "report.html").read_text()
    assert all(sub in page for sub in scans)
    lesions = pd.read_csv(folder / "results" / "cohort" / "lesions.tsv", sep="\t")
    assert set(lesions["participant_id"]) == set(scans) - set(wanted)
    for one in ("one", "two"):
        same = [sub for sub in scans if scans[sub] == f"scans/{one}"]
        tables = []
        for sub in same:
            rows = pd.read_csv(study.path(f"{sub}_ses-01", "lesions.tsv"), sep="\t", dtype=str, keep_default_na=False)
            # A lesion's uid is made from the person, too.
            tables.append(rows.drop(columns=["participant_id", "lesion_uid"]).to_csv())
        assert len(set(tables)) == 1, "scans of one source are measured alike, whatever is wrong with their neighbours"
    log = (folder / "logs" / "sub-bug" / "ses-01" / "sub-bug_ses-01_index.log").read_text()
    assert "RuntimeError" in log
    assert study.planned()["index"] == 1, "a bug is tried again, and nothing else"
