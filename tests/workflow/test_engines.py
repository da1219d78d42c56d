"""Other programs' maps in a whole run: what is made, what a change reruns, and a scan that has none."""

import json
import os
import shutil

import numpy as np
import pytest
from fake_totalsegmentator import install
from test_reruns import DOWNSTREAM

from calciflow.images import read_volume, write_volume
from harness import Study

pytestmark = pytest.mark.xdist_group("study")

CONFIG = "clinical_scores: config/clinical_scores.tsv\ntissues:\n  engine: labelmap\n  labelmaps:\n"
TOTAL = CONFIG + "    totalsegmentator_total: maps/{scan}_total.nii.gz\n"


def draw(study, scan):
    """A map as TotalSegmentator writes it: the femora that the built-in step found."""
    tissues = read_volume(study.path(scan, "space-ct_desc-tissues_dseg.nii.gz"))
    regions = read_volume(study.path(scan, "space-ct_desc-regions_dseg.nii.gz"))
    labels = np.where(tissues.array == 4, 74 + regions.array % 10, 0)
    path = study.folder / "maps" / f"{scan}_total.nii.gz"
    write_volume(path, tissues.like(labels.astype(np.uint8)), np.uint8)
    return path


@pytest.fixture(scope="module")
def mapped(base, tmp_path_factory):
    """The study, run again with a map for each scan."""
    root = tmp_path_factory.mktemp("engines")
    shutil.copytree(base.folder, root / "my study", copy_function=shutil.copy2)
    shutil.copytree(base.code, root / "code", copy_function=shutil.copy2)
    study = Study(root / "my study", root / "code")
    for scan in ("sub-01_ses-01", "sub-02_ses-01"):
        draw(study, scan)
    study.set_config(TOTAL)
    assert study.finished("--cores", "2") == DOWNSTREAM["tissues"]
    return study


@pytest.fixture
def again(mapped, tmp_path):
    shutil.copytree(mapped.folder, tmp_path / "my study", copy_function=shutil.copy2)
    shutil.copytree(mapped.code, tmp_path / "code", copy_function=shutil.copy2)
    return Study(tmp_path / "my study", tmp_path / "code")


def test_the_run_says_where_each_voxel_is_from(mapped):
    assert mapped.planned() == {}
    told = json.loads(mapped.path("sub-01_ses-01", "space-ct_desc-tissues.json").read_text())
    assert told["sources"]["tissue_voxels"]["bone"]["builtin"] == 0
    assert told["sources"]["maps"][0]["dice_with_builtin"]["bone"] == 1.0
    sources = read_volume(mapped.path("sub-01_ses-01", "space-ct_desc-tissuesources_dseg.nii.gz"))
    assert (sources.array == 1).sum() == told["sources"]["tissue_voxels"]["bone"]["totalsegmentator_total"]


def test_a_changed_map_reruns_its_scan(again):
    path = again.folder / "maps" / "sub-02_ses-01_total.nii.gz"
    volume = read_volume(path)
    write_volume(path, volume, np.uint8)
    assert again.planned() == {}  # written anew with the same content
    write_volume(path, volume.like(np.where(volume.array == 75, 0, volume.array)), np.uint8)
    assert again.planned() == dict.fromkeys(DOWNSTREAM["tissues"], 1)


def test_another_pattern_and_another_kind_rerun_tissues(again):
    shutil.copytree(again.folder / "maps", again.folder / "other maps", copy_function=shutil.copy2)
    again.set_config(TOTAL.replace("maps/", "other maps/"))
    assert again.planned() == DOWNSTREAM["tissues"]
    again.set_config(TOTAL + "    boa_tissues: maps/{scan}_tissues.nii.gz\n")
    assert again.planned() == DOWNSTREAM["tissues"]
    again.set_config("clinical_scores: config/clinical_scores.tsv\n")
    assert again.planned() == DOWNSTREAM["tissues"]


def test_the_sheet_says_where_a_scans_map_is(again):
    again.set_config(TOTAL.replace("maps/{scan}_total.nii.gz", "'{labelmap}'"))
    sheet = again.folder / "config" / "scans.tsv"
    rows = sheet.read_text().splitlines()
    extra = ["labelmap", "maps/sub-01_ses-01_total.nii.gz", "maps/sub-02_ses-01_total.nii.gz", "n/a", "n/a"]
    sheet.write_text("".join(f"{row}\t{cell}\n" for row, cell in zip(rows, extra, strict=True)))
    assert again.planned() == {"report": 1, "audit": 1}  # the same files; the report tells the settings
    sheet.write_text(sheet.read_text().replace("maps/sub-01_ses-01_total", "maps/sub-02_ses-01_total"))
    assert again.planned() == dict.fromkeys(DOWNSTREAM["tissues"], 1)


def test_a_scan_without_a_map_fails_alone_and_says_why(again):
    (again.folder / "maps" / "sub-02_ses-01_total.nii.gz").unlink()
    text = again.run("--cores", "1", check=False)
    assert "exit status 1" in text
    assert "tissues.labelmaps.totalsegmentator_total: this scan has no such map" in text
    assert again.path("sub-01_ses-01", "lesions.tsv").exists()


def test_a_fault_of_the_patterns_stops_the_run_before_it_starts(again):
    again.set_config(TOTAL.replace("{scan}", "{patient}"))
    text = again.run("--dry-run", check=False)
    assert "exit status 1" in text
    assert "unknown word {patient}" in text
    assert "Traceback" not in text


@pytest.fixture
def with_program(study, tmp_path, monkeypatch):
    program = install(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    study.set_config("clinical_scores: config/clinical_scores.tsv\ntissues: {engine: totalsegmentator}\n")
    return study


@pytest.mark.slow
def test_totalsegmentator_is_run_and_its_map_used(with_program):
    study = with_program
    assert study.finished("--cores", "2") == {"segment": 2, **DOWNSTREAM["tissues"]}
    assert study.planned() == {}
    told = json.loads(study.path("sub-01_ses-01", "space-ct_desc-tissues.json").read_text())
    assert told["sources"]["tissue_voxels"]["bone"]["totalsegmentator_total"] > 1000
    assert (
        "predicting total with 2 threads"
        in (study.folder / "logs" / "sub-01" / "ses-01" / "sub-01_ses-01_segment-total.log").read_text()
    )
    # A further task runs alone, and what follows.
    extra = "segment: {tasks: [total, tissue_types]}\n"
    config = study.folder / "config" / "config.yaml"
    config.write_text(config.read_text() + extra)
    assert study.planned() == {"segment": 2, **DOWNSTREAM["tissues"]}
    config.write_text(config.read_text().replace(extra, "segment: {model: fast}\n"))
    assert study.planned() == {"segment": 2, **DOWNSTREAM["tissues"]}


def test_where_it_is_not_installed_the_run_says_how(study):
    study.set_config(
        "clinical_scores: config/clinical_scores.tsv\n"
        "tissues: {engine: totalsegmentator}\nsegment: {command: no-such-program}\n"
    )
    text = study.run("--cores", "1", check=False)
    assert "exit status 1" in text
    assert "pip install TotalSegmentator" in text
    assert study.path("sub-01_ses-01", "ct.nii.gz").exists()
