"""Snakemake's own tools work on a study, from anywhere, with blanks in its path."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("study")


def snakemake(study, *options, cwd=None):
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--snakefile", str(study.code / "Snakefile"), *options],
        cwd=cwd or study.folder,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_plain_snakemake_finds_nothing_to_do(base):
    """The profile beside the Snakefile is found without being named."""
    assert "Nothing to be done" in snakemake(base, "--dry-run")
    assert "Nothing to be done" in snakemake(base, "--dry-run", "--directory", str(base.folder), cwd=base.folder.parent)


def test_lint_is_clean(base):
    assert "Congratulations" in snakemake(base, "--lint")


def test_dag(base):
    text = snakemake(base, "--dag")
    assert text.count("digraph") == 1
    assert re.search(r'label = "lesions', text)


def test_report(study):
    snakemake(study, "--report", "snakemake_report.zip")
    with zipfile.ZipFile(study.folder / "snakemake_report.zip") as report:
        held = {Path(name).name for name in report.namelist()}
        assert not report.testzip()
    figures = {f"{name}.svg" for name in ("scores", "agreement", "burden", "regions", "uptake", "change")}
    assert held >= figures | {"report.html", "lesions.tsv", "scores.tsv", "statistics.tsv"}
    assert {f"{scan}_qc.html" for scan in ("sub-01_ses-01", "sub-02_ses-01")} <= held


def test_the_shell_launcher(study):
    """As a user calls it, through a link, from another folder, with a relative path."""
    link = study.folder.parent / "link to launcher"
    link.symlink_to(study.code / "calciflow")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [str(link), "run", "my study", "--dry-run"],
        cwd=study.folder.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Nothing to be done" in done.stdout + done.stderr


def test_one_scan_alone(study):
    study.path("sub-01_ses-01", "lesions.tsv").unlink()
    study.path("sub-02_ses-01", "lesions.tsv").unlink()
    done = study.finished("--scan", "sub-02/ses-01")
    assert done == {"review": 1, "scores": 1, "qc": 1}


def test_faults_of_sheets_stop_the_run_before_it_starts(study):
    sheet = study.folder / "config" / "scans.tsv"
    sheet.write_text(sheet.read_text().replace("sub-02\tses-01", "sub-02\tses 01"))
    text = study.run(check=False)
    assert "exit status 1" in text
    assert "scans.tsv, row 3, column `session_id`" in text
    assert "Traceback" not in text


def test_unknown_keys_name_the_nearest(study):
    study.set_config("lesions:\n  hu_flor: 120\n")
    text = study.run(check=False)
    assert "exit status 1" in text
    assert "unknown key `lesions.hu_flor`. Is `lesions.hu_floor` meant?" in text
    assert "Traceback" not in text


def test_a_pet_without_a_ct_goes_as_far_as_its_suv_image(study):
    shutil.copytree(study.folder / "scans" / "one" / "PT", study.folder / "scans" / "pet only")
    with open(study.folder / "config" / "scans.tsv", "a") as handle:
        handle.write("sub-05\tses-01\tscans/pet only\tn/a\n")
    assert study.finished("suv_images") == {"index": 1, "screen": 1, "convert": 1, "suv": 1, "suv_images": 1}
    assert "\trefused\tno_ct\t" in (study.folder / "results" / "screening.tsv").read_text()
    whole = study.path("sub-01_ses-01", "desc-suvbw_pet.nii.gz").read_bytes()
    assert study.path("sub-05_ses-01", "desc-suvbw_pet.nii.gz").read_bytes() == whole
