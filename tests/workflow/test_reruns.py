"""What a change reruns, exactly: config keys, sheets, code, touches.

A dry run is blind behind the checkpoint when `index` or `screen` is to run again; those cases run for real.
"""

import ast
import os
import shutil

import pandas as pd
import pytest

from calciflow.config_file import all_keys

pytestmark = pytest.mark.xdist_group("study")

COHORT = {"cohort": 1, "report": 1}
AFTER_REVIEW = {"review": 2, "scores": 2, "qc": 2, **COHORT}
AFTER_LESIONS = {"compartments": 2, **AFTER_REVIEW}
DOWNSTREAM = {
    "convert": {"convert": 4, "suv": 2, "tissues": 2, "register": 2, "lesions": 2, **AFTER_LESIONS},
    "suv": {"suv": 2, "register": 2, "lesions": 2, **AFTER_LESIONS},
    "tissues": {"tissues": 2, "register": 2, "lesions": 2, **AFTER_LESIONS},
    "register": {"register": 2, "lesions": 2, **AFTER_LESIONS},
    "lesions": {"lesions": 2, **AFTER_LESIONS},
    "compartments": AFTER_LESIONS,
    "review": AFTER_REVIEW,
    "scores": {"scores": 2, "qc": 2, **COHORT},
    "qc": {"qc": 2, "report": 1},
    "cohort": COHORT,
    "course": {"course": 1, "report": 1},
    "report": {"report": 1},
    "dataset": {"dataset": 1},
}
"""What runs again with a rule, in a study of two accepted scans."""

CHANGES = {
    "lesions.hu_floor": ("140", "lesions"),
    "compartments.shell_mm": ("4.0", "compartments"),
    "scores.form": ("presence", "scores"),
    "cohort.ci_level": ("0.9", "cohort"),
    "register.mode": ("header", "register"),
    "report.title": ("Another title", "report"),
}
"""A value that is not the default for one key of each section, and the rule that uses it."""


def test_nothing_to_do(study):
    assert study.planned() == {}


@pytest.mark.parametrize("key", sorted(CHANGES))
def test_a_config_key_reruns_its_rule_and_what_follows(study, key):
    assert key in all_keys()
    value, rule = CHANGES[key]
    section, name = key.split(".")
    study.set_config(f"clinical_scores: config/clinical_scores.tsv\n{section}:\n  {name}: {value}\n")
    assert study.planned() == DOWNSTREAM[rule]


def test_the_default_written_out_reruns_nothing(study):
    study.set_config(
        "clinical_scores: config/clinical_scores.tsv\nlesions:\n  hu_floor: 130\nsuv:\n  dose_range_mbq: [15, 1000]\n"
    )
    assert study.planned() == {}


def test_a_key_of_index_stops_at_what_it_does_not_change(study):
    """The verdicts stay the same, and so does the selection: `convert` and `tissues` need not run."""
    study.set_config("clinical_scores: config/clinical_scores.tsv\nsuv:\n  max_uptake_hours: 5.5\n")
    assert study.finished() == {"index": 3, "screen": 1, **DOWNSTREAM["suv"]}
    assert study.planned() == {}


def test_touching_everything_reruns_nothing(study):
    for root in (study.code, study.folder / "config", study.folder / "scans"):
        for path in root.rglob("*"):
            os.utime(path)
    assert study.planned() == {}


def test_comments_and_docstrings_rerun_nothing(study):
    for path in (study.code / "scripts").rglob("*.py"):
        text = path.read_text()
        doc = ast.get_docstring(ast.parse(text), clean=False)
        text = text.replace(doc, "Another text.", 1) if doc else text
        path.write_text(f"# a comment\n{text}\n# and another\n")
    assert study.planned() == {}


@pytest.mark.parametrize(
    "rule", ["tissues", "register", "lesions", "compartments", "review", "scores", "qc", "cohort", "course", "report"]
)
def test_code_reruns_its_rule_and_what_follows(study, rule):
    with open(study.code / "scripts" / "calciflow" / f"{rule}.py", "a") as handle:
        handle.write("\nANOTHER_CONSTANT = 1\n")
    assert study.planned() == DOWNSTREAM[rule]


def test_shared_code_reruns_its_users(study):
    with open(study.code / "scripts" / "calciflow" / "tables.py", "a") as handle:
        handle.write("\nANOTHER_CONSTANT = 1\n")
    planned = study.planned()
    assert planned.get("index") == 3
    assert planned.get("cohort") == 1


def test_a_form_reruns_the_scores(study):
    path = study.code / "config" / "forms" / "extent.yaml"
    text = path.read_text()
    path.write_text(f"# a comment\n{text}")
    assert study.planned() == {}
    path.write_text(text.replace("{from: 0.5, points: 2}", "{from: 0.6, points: 2}"))
    assert path.read_text() != text
    assert study.planned() == DOWNSTREAM["scores"]


def test_a_group_reruns_the_cohort(study):
    sheet = study.folder / "config" / "participants.tsv"
    sheet.write_text(sheet.read_text().replace("sub-02\tSSc", "sub-02\tDM"))
    assert study.planned() == {**COHORT, "course": 1}


def test_a_clinical_score_reruns_the_cohort(study):
    sheet = study.folder / "config" / "clinical_scores.tsv"
    sheet.write_text(sheet.read_text().replace("right\t0", "right\t3"))
    assert study.planned() == COHORT


def test_a_weight_reruns_that_scan_from_suv_on(study):
    sheet = study.folder / "config" / "scans.tsv"
    rows = [line.split("\t") for line in sheet.read_text().splitlines()]
    extra = ["weight_kg", "71", "n/a", "n/a", "n/a"]
    sheet.write_text("".join("\t".join([*row, cell]) + "\n" for row, cell in zip(rows, extra, strict=True)))
    one = dict.fromkeys(DOWNSTREAM["suv"], 1)
    assert study.finished() == {"index": 1, "screen": 1, **one}


def test_a_new_scan_runs_alone(study):
    shutil.copytree(study.folder / "scans" / "one", study.folder / "scans" / "three")
    with open(study.folder / "config" / "scans.tsv", "a") as handle:
        handle.write("sub-05\tses-01\tscans/three\tn/a\n")
    one = dict.fromkeys(DOWNSTREAM["convert"], 1)
    assert study.finished() == {"index": 1, "screen": 1, **one, "convert": 2, "tissues": 1}


def test_an_excluded_scan_leaves_the_cohort(study):
    sheet = study.folder / "config" / "scans.tsv"
    sheet.write_text(sheet.read_text().replace("blanks\tn/a", "blanks\tmoved during the scan"))
    assert study.finished() == {"screen": 1, **COHORT}
    assert "moved during the scan" in (study.folder / "results" / "screening.tsv").read_text()


def test_a_source_that_appears_is_read(study):
    shutil.copytree(study.folder / "scans" / "one", study.folder / "scans" / "missing")
    done = study.finished()
    assert done["index"] == 1
    assert done["lesions"] == 1


def test_files_added_to_a_source_are_seen_after_refresh(study):
    (study.folder / "scans" / "one" / "later.txt").write_text("not DICOM")
    assert study.planned() == {}
    study.run(command="refresh")
    assert study.finished().get("index") == 1
    assert study.planned() == {}


def test_results_without_snakemakes_memory_are_noticed(study):
    shutil.rmtree(study.folder / ".snakemake")
    assert "put the .snakemake folder of the run that made them beside them" in study.run("--dry-run")


ONE_REVIEW = {"review": 1, "scores": 1, "qc": 1, **COHORT}
HEAD = "lesion_uid\taction\tvalue\treader\treason\n"


def test_an_edit_reruns_what_follows_from_it(study):
    """Added, changed, removed; and the lesions that it names carry who said so."""
    before = study.path("sub-01_ses-01", "lesions.tsv").read_bytes()
    machine = pd.read_csv(study.path("sub-01_ses-01", "lesions.tsv"), sep="\t", keep_default_na=False)
    first, second = machine["lesion_uid"][:2]
    sheet = study.folder / "edits" / "sub-01_ses-01_lesions.tsv"
    sheet.parent.mkdir()
    sheet.write_text(HEAD + f"{first}\treject\tn/a\tAB\ta vessel\n")
    assert study.planned() == ONE_REVIEW
    assert study.finished() == ONE_REVIEW
    table = pd.read_csv(study.path("sub-01_ses-01", "lesions.tsv"), sep="\t", keep_default_na=False)
    assert list(table["lesion_uid"]) == list(machine["lesion_uid"][1:])
    cohort = (study.folder / "results" / "cohort" / "lesions.tsv").read_text()
    assert first not in cohort
    for page in (study.path("sub-01_ses-01", "qc.html"), study.folder / "results" / "report.html"):
        assert "a vessel" in page.read_text()
    assert study.planned() == {}

    sheet.write_text(HEAD + f"{second}\tcompartment\tother\tAB\tin a scar\n")
    assert study.finished() == ONE_REVIEW
    table = pd.read_csv(study.path("sub-01_ses-01", "lesions.tsv"), sep="\t", keep_default_na=False)
    assert list(table["lesion_uid"]) == list(machine["lesion_uid"])
    assert table.loc[1, ["compartment", "review", "reader"]].tolist() == ["other", "changed", "AB"]

    sheet.unlink()
    assert study.finished() == ONE_REVIEW
    assert study.path("sub-01_ses-01", "lesions.tsv").read_bytes() == before
    assert study.planned() == {}


def test_a_corrected_mask_reruns_what_follows_from_it(study):
    mask = study.folder / "edits" / "sub-02_ses-01_desc-lesions_dseg.nii.gz"
    mask.parent.mkdir()
    shutil.copy(study.path("sub-02_ses-01", "space-ct_desc-lesions_dseg.nii.gz"), mask)
    assert study.finished() == ONE_REVIEW
    mask.unlink()
    assert study.planned() == ONE_REVIEW


def test_a_mistake_in_an_edit_stops_its_scan_alone(study):
    folder = study.folder / "edits"
    folder.mkdir()
    (folder / "sub-01_ses-01_lesions.tsv").write_text(HEAD + "lesion 1\treject\tn/a\tAB\ta vessel\n")
    (folder / "sub-1_ses-01_lesions.tsv").write_text(HEAD)
    second = pd.read_csv(study.path("sub-02_ses-01", "lesions.tsv"), sep="\t", keep_default_na=False)
    uid = second["lesion_uid"][0]
    (folder / "sub-02_ses-01_lesions.tsv").write_text(HEAD + f"{uid}\treject\tn/a\tAB\ta vessel\n")
    text = study.run(check=False)
    assert "exit status 1" in text
    assert "edits/sub-01_ses-01_lesions.tsv, row 2, column `lesion_uid`: `lesion 1` is no lesion_uid" in text
    assert "edits/sub-1_ses-01_lesions.tsv belongs to no scan" in text
    assert uid not in study.path("sub-02_ses-01", "lesions.tsv").read_text(), "the other scan went on"


def test_a_sweep_shares_every_earlier_step(study):
    config = "clinical_scores: config/clinical_scores.tsv\n"
    sweep = "sweep:\n  lesions.hu_floor: [200]\n  compartments.shell_mm: [4.0]\n"
    study.set_config(config + sweep)
    # Two values of two parameters, two scans; the study's own value takes the study's own lesions.
    runs = {"sweep_lesions": 2, "sweep_compartments": 4, "sweep_scores": 8, "sweep_cohort": 4, "sweep": 1, "report": 1}
    assert study.finished("--cores", "2") == runs
    folder = study.folder / "results" / "sweep"
    names = ["compartments.shell_mm=3", "compartments.shell_mm=4", "lesions.hu_floor=130", "lesions.hu_floor=200"]
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == names
    own = (folder / "lesions.hu_floor=130" / "cohort" / "statistics.tsv").read_bytes()
    assert own == (study.folder / "results" / "cohort" / "statistics.tsv").read_bytes()
    volumes = [
        pd.read_csv(folder / f"lesions.hu_floor={floor}" / "cohort" / "lesions.tsv", sep="\t")["ct_threshold_hu"].min()
        for floor in (130, 200)
    ]
    assert volumes[0] <= volumes[1]
    page = (study.folder / "results" / "report.html").read_text()
    assert "Does the answer hang on a threshold?" in page
    assert "lesions.hu_floor" in page
    assert study.planned() == {}

    study.set_config(config + sweep + "report:\n  title: Another\n")
    assert study.planned() == {"report": 1}
    study.set_config(config + "sweep:\n  lesions.hu_floor: [200, 100]\n")
    assert study.planned() == {
        "sweep_lesions": 2, "sweep_compartments": 2, "sweep_scores": 2, "sweep_cohort": 1, "sweep": 1, "report": 1
    }  # fmt: skip
    study.set_config(config)
    assert study.planned() == {"report": 1}
