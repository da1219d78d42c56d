"""Two pieces of one session run to the end, and no sentinel of the source reaches results or logs."""

import importlib.util
import shutil
import sys
from pathlib import Path

import pandas as pd
import pydicom
import pytest

from harness import Study, copy_code, write_sheets

SHEET = (
    "participant_id\tsession_id\tacquisition\tsource\n"
    "sub-01\tses-01\tbody\tscans/ZQXSEN Doe one\n"
    "sub-01\tses-01\tlegs\tscans/ZQXSEN Doe two\n"
    "sub-02\tses-01\tn/a\tscans/ZQXSEN refused\n"
    "sub-03\tses-01\tn/a\tscans/ZQXSEN crash\n"
)


def _sentinels():
    path = Path(__file__).resolve().parent.parent / "sentinels.py"
    spec = importlib.util.spec_from_file_location("sentinels", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["sentinels"] = module
    spec.loader.exec_module(module)
    return module


def _mark(sentinels, source, target):
    for number, path in enumerate(sorted(p for p in source.rglob("*") if p.is_file())):
        data = pydicom.dcmread(path)
        sentinels.mark(data, "1" if data.Modality == "CT" else "2")
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.777777.7.{number}"
        place = target / f"ZQXSEN {data.Modality}" / f"ZQXSEN {number:04d}.dcm"
        place.parent.mkdir(parents=True, exist_ok=True)
        data.save_as(place)


@pytest.mark.slow
def test_pieces_add_up_and_nothing_identifies(tmp_path, phantoms):
    sentinels = _sentinels()
    folder = tmp_path / "study"
    write_sheets(folder, SHEET, config="report: {}\n")
    for name in ("one", "two"):
        _mark(sentinels, phantoms[name][0], folder / "scans" / f"ZQXSEN Doe {name}")
    shutil.copytree(folder / "scans" / "ZQXSEN Doe one" / "ZQXSEN PT", folder / "scans" / "ZQXSEN refused")
    shutil.copytree(folder / "scans" / "ZQXSEN Doe one", folder / "scans" / "ZQXSEN crash")
    study = Study(folder, copy_code(tmp_path / "code"))
    study.run("--cores", "2", "results/screening.tsv")
    screening = pd.read_csv(folder / "results" / "screening.tsv", sep="\t")
    assert screening["verdict"].tolist() == ["accepted", "accepted", "refused", "accepted"]
    for path in (folder / "scans" / "ZQXSEN crash" / "ZQXSEN PT").iterdir():
        path.write_bytes(path.read_bytes()[:5000])  # damaged after it was indexed: convert crashes
    text = study.run("--cores", "2", check=False)
    assert "exit status 0" not in text
    text = study.run("--cores", "2", "--config", "allow_incomplete=true", check=False)
    people = pd.read_csv(folder / "results" / "cohort" / "participants.tsv", sep="\t").set_index("participant_id")
    pieces = [
        pd.read_csv(study.path(f"sub-01_ses-01_acq-{name}", "lesions.tsv"), sep="\t") for name in ("body", "legs")
    ]
    assert people.loc["sub-01", "n_sessions"] == 1
    kept = people.loc["sub-01", "n_lesions"] + people.loc["sub-01", "n_set_aside"]
    assert kept == sum(len(table) for table in pieces) >= 4
    assert (folder / "results" / "report.html").exists()
    assert (folder / "logs" / "sub-03" / "ses-01").exists()
    leaks = [*sentinels.found(folder / "results"), *sentinels.found(folder / "logs")]
    assert leaks == []
