"""What a change reruns, exactly: config keys, sheets, code, touches.

A dry run is blind behind the checkpoint when `index` or `screen` is to run again; those cases run for real.
"""

import ast
import json
import os
import re
import shutil

import pandas as pd
import pytest

from calciflow.config_file import all_keys, read_config
from calciflow.errors import StudyError
from calciflow.reruns import FOLLOWERS, OF_COLUMN, first_rules, idle, with_followers
from calciflow.settings import Config
from calciflow.sheets import CLINICAL_COLUMNS, PARTICIPANT_COLUMNS, SCAN_COLUMNS

pytestmark = pytest.mark.xdist_group("study")

JOBS = {
    **dict.fromkeys(FOLLOWERS, 2),
    "index": 3,
    "convert": 4,
    **dict.fromkeys(("screen", "cohort", "course", "sweep", "report", "dataset", "audit"), 1),
}
"""Jobs of each rule in a study of two accepted scans and a refused one."""


def expected(*rules, scans=2):
    """Jobs that run again with some rules, by the table of the manual; of one scan: those of that scan."""
    share = {rule: count if scans == 2 or count == 1 else max(1, count // 2) for rule, count in JOBS.items()}
    idle = {"change"} | ({"course"} - set(rules))  # nobody in this study was scanned twice
    return {rule: share[rule] for rule in with_followers(rules) if rule not in idle}


DOWNSTREAM = {rule: expected(rule) for rule in FOLLOWERS}
COHORT = DOWNSTREAM["cohort"]
AFTER_REVIEW = DOWNSTREAM["review"]

SPECIAL = {
    "participants": "config/other_participants.tsv",
    "scans": "config/other_scans.tsv",
    "clinical_scores": "config/other_clinical_scores.tsv",
    "scores.form": "presence",
    "sweep": {"lesions.hu_floor": [200]},
    "tissues.labelmaps": {"boa_tissues": "maps/{scan}.nii.gz"},
}
"""Values for keys whose type does not say what fits."""


def another(key):
    """A value of a key that is not its default, from its type."""
    if key in SPECIAL:
        return SPECIAL[key]
    field = Config.model_fields.get(key)
    if field is None:
        section, name = key.split(".")
        field = type(Config.model_fields[section].default).model_fields[name]
    default = field.default
    text = str(field.annotation)
    words = re.findall(r"'([^']*)'", text) if "Literal" in text else []
    candidates = [word for word in words if word != default] + [[word] for word in words]
    candidates += ["another", ["another"], ["another", "one", "here"], 1.0]
    if isinstance(default, bool):
        candidates = [not default]
    elif isinstance(default, int | float):
        candidates = [default + 1, default * 0.9, default * 1.1]
    elif isinstance(default, tuple) and default and isinstance(default[0], float):
        candidates = [[part * 1.1 for part in default]]
    for value in candidates:
        try:
            changed = read_config(nested(key, value))
        except StudyError:
            continue
        if changed != Config():
            return value
    raise AssertionError(f"no other value for {key}: add one to SPECIAL")


def nested(key, value):
    section, _, name = key.partition(".")
    return {section: {name: value}} if name else {key: value}


def test_nothing_to_do(study):
    assert study.planned() == {}


def test_a_fork_plans_what_the_command_plans(study):
    """Most tests here ask a fork that has loaded Snakemake (``dry_run``)."""
    study.set_config('{"clinical_scores": "config/clinical_scores.tsv", "lesions": {"hu_floor": 200}}')
    planned = study.planned()
    assert planned == study.jobs(study.run("--dry-run")) == expected("lesions")


@pytest.mark.parametrize("key", all_keys())
def test_a_config_key_reruns_its_rules_and_what_follows(study, key):
    content = {"clinical_scores": "config/clinical_scores.tsv", **nested(key, another(key))}
    if key == "tissues.engine":
        content["tissues"]["labelmaps"] = SPECIAL["tissues.labelmaps"]
    for name in ("participants", "scans", "clinical_scores"):
        shutil.copy2(study.folder / "config" / f"{name}.tsv", study.folder / "config" / f"other_{name}.tsv")
    study.set_config(json.dumps(content))  # JSON is YAML
    planned = study.planned()
    if "index" in first_rules(key):  # a dry run ends at the checkpoint; the next test runs them
        assert {rule: planned[rule] for rule in ("index", "screen")} == {"index": 3, "screen": 1}
    elif key == "sweep":
        assert planned.items() >= {**expected("sweep"), "sweep_lesions": 2}.items()
        assert not planned.keys() & {"index", "lesions", "cohort"}
    elif idle(key):
        assert planned == DOWNSTREAM["report"]
    else:
        assert planned == expected(*first_rules(key))


def test_the_default_written_out_reruns_nothing(study):
    study.set_config(
        "clinical_scores: config/clinical_scores.tsv\nlesions:\n  hu_floor: 130\nsuv:\n  dose_range_mbq: [15, 1000]\n"
    )
    assert study.planned() == {}


def test_a_key_of_index_stops_at_what_it_does_not_change(study):
    """The verdicts stay the same, and so does the selection: `convert` and `tissues` need not run."""
    suv = {name: another(f"suv.{name}") for name in ("max_uptake_hours", "dose_range_mbq", "tracer")}
    study.set_config(json.dumps({"clinical_scores": "config/clinical_scores.tsv", "suv": {**suv, "tracer": "ignore"}}))
    assert study.finished() == {**expected("index", "suv"), "screen": 1}
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
    "rule", ["tissues", "register", "lesions", "compartments", "review", "scores", "qc", "cohort", "report"]
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


CELLS = {
    "source": "scans/another place",
    "ct_source": "scans/one",
    "pet_source": "scans/one",
    "ct_series": "1",
    "pet_series": "2",
    "weight_kg": "71",
    "height_m": "1.71",
    "injected_dose_mbq": "301",
    "injection_datetime": "2024-05-31T09:45:00",
    "exclude": "moved",
    "labelmap": "somewhere",
    "acquisition": "legs",
    "session_id": "ses-02",
    "participant_id": "sub-05",
}
"""Another cell of each column of scans.tsv."""


def rewrite(path, place, cells):
    """Change cells of a row of a sheet; columns that are not there are added."""
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    for column, cell in cells.items():
        if column not in table:
            table[column] = "n/a"
        table.loc[place, column] = cell
    table.to_csv(path, sep="\t", index=False)


def test_the_table_knows_every_column():
    identity = {"participant_id", "session_id", "acquisition"}
    assert set(OF_COLUMN["scans"]) == set(SCAN_COLUMNS) - identity
    assert set(OF_COLUMN["participants"]) == set(PARTICIPANT_COLUMNS) - identity
    assert set(OF_COLUMN["clinical_scores"]) == set(CLINICAL_COLUMNS) - identity
    assert set(CELLS) == set(SCAN_COLUMNS)


@pytest.mark.parametrize("column", sorted(CELLS))
def test_a_cell_of_a_scan_reruns_that_scan(study, column):
    shutil.copytree(
        study.folder / "scans" / "one", study.folder / "scans" / "another place", copy_function=shutil.copy2
    )
    cells = {column: CELLS[column]}
    if column in ("ct_source", "pet_source"):
        cells = {"source": "n/a", "ct_source": "scans/one", "pet_source": "scans/one"}
    rewrite(study.folder / "config" / "scans.tsv", 0, cells)
    if column in ("participant_id", "session_id"):
        study.set_config("report: {}\n")  # the clinicians' scores are of the visit that is no longer there
    planned = study.planned()
    first = OF_COLUMN["scans"].get(column, ("index",))
    if column == "labelmap":
        assert planned == {}  # the engine is the built-in one: nobody reads it
    elif "index" in first:  # a dry run ends at the checkpoint; what follows is run for a weight and a new scan
        assert {rule: planned.get(rule) for rule in ("index", "screen")} == {"index": 1, "screen": 1}
    else:
        assert "index" not in planned
        assert planned["screen"] == 1


@pytest.mark.parametrize(
    ("sheet", "place", "cells"),
    [
        ("participants", 1, {"group": "DM"}),
        ("participants", 1, {"age": "61"}),
        ("clinical_scores", 1, {"score": "3"}),
        ("clinical_scores", 1, {"side": "midline"}),
        ("clinical_scores", 1, {"region": "knee"}),
        ("clinical_scores", 1, {"reader": "B"}),
    ],
)
def test_what_is_known_of_people_reruns_the_cohort(study, sheet, place, cells):
    rewrite(study.folder / "config" / f"{sheet}.tsv", place, cells)
    assert study.planned() == (expected("cohort", "course") if sheet == "participants" else COHORT)


def test_a_weight_reruns_that_scan_from_suv_on(study):
    sheet = study.folder / "config" / "scans.tsv"
    rewrite(sheet, 0, {"weight_kg": "71"})
    assert study.finished() == {**expected("index", "suv", scans=1), "index": 1}


def test_a_scan_taken_out_leaves_the_cohort(study):
    sheet = study.folder / "config" / "scans.tsv"
    sheet.write_text("".join(line for line in sheet.read_text().splitlines(keepends=True) if "withdrew" not in line))
    assert study.finished() == {"screen": 1, **COHORT}
    assert "sub-04" not in (study.folder / "results" / "screening.tsv").read_text()


def test_a_new_scan_runs_alone(study):
    shutil.copytree(study.folder / "scans" / "one", study.folder / "scans" / "three")
    with open(study.folder / "config" / "scans.tsv", "a") as handle:
        handle.write("sub-05\tses-01\tscans/three\tn/a\n")
    assert study.finished() == {**expected("index", "convert", scans=1), "index": 1}


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
    runs = {
        "sweep_lesions": 2,
        "sweep_compartments": 4,
        "sweep_scores": 8,
        "sweep_cohort": 4,
        "sweep": 1,
        "report": 1,
        "audit": 1,
    }
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
    assert study.planned() == DOWNSTREAM["report"]
    study.set_config(config + "sweep:\n  lesions.hu_floor: [200, 100]\n")
    assert study.planned() == {
        "sweep_lesions": 2, "sweep_compartments": 2, "sweep_scores": 2, "sweep_cohort": 1, "sweep": 1, "report": 1,
        "audit": 1,
    }  # fmt: skip
    study.set_config(config)
    assert study.planned() == DOWNSTREAM["report"]
