"""``keep_images: false``: the volumes go once nothing needs them, the results stay, and what reruns is as told."""

import json
import shutil

import pytest
from test_reruns import JOBS, another, expected, nested

from calciflow.reruns import FOLLOWERS, without_images
from calciflow.study import IMAGES
from harness import Study

pytestmark = pytest.mark.xdist_group("study")
OFF = {"clinical_scores": "config/clinical_scores.tsv", "keep_images": False}
FINISHED = ("sub-01_ses-01", "sub-02_ses-01")


def set_config(study, key="", value=None):
    study.set_config(json.dumps({**OFF, **(nested(key, value) if key else {})}))


def images(study):
    return [name for scan in FINISHED for name in IMAGES if study.path(scan, name).exists()]


def results(study):
    """Content of every result but the volumes, and but the report, which tells every setting."""
    root = study.folder / "results"
    files = [path for path in root.rglob("*") if path.is_file() and path.name != "report.html"]
    volumes = tuple(f"ses-01_{name}" for name in IMAGES)
    return {str(path.relative_to(root)): path.read_bytes() for path in files if not path.name.endswith(volumes)}


def planned_by_table(*rules):
    found = {rule: JOBS[rule] for rule in without_images(rules)}
    return {rule: count for rule, count in found.items() if rule not in ("change", "course")}


@pytest.mark.slow
def test_volumes_go_and_results_stay_the_same(study, base, tmp_path):
    set_config(study)
    assert study.planned() == expected("report")
    assert len(images(study)) == 6, "what is there is not taken away by a dry run"
    for path in (study.folder / "results", study.folder / ".snakemake"):
        shutil.rmtree(path)
    assert study.finished().items() >= {"convert": 4, "suv": 2, "qc": 2, "audit": 1}.items()
    assert images(study) == []
    assert results(study) == results(base)
    assert study.planned() == {}, "what is gone is not missed"

    set_config(study, "cohort.ci_level", 0.9)
    assert study.planned() == planned_by_table("cohort") == expected("cohort")
    for key in ("lesions.hu_floor", "scores.form", "compartments.shell_mm"):
        set_config(study, key, another(key))
        assert study.planned() == planned_by_table(key.split(".")[0]) == expected("convert")
    study.set_config(json.dumps({**OFF, "keep_images": True}))
    assert study.planned() == expected("convert")

    # A reader's correction, which takes the images of that scan.
    set_config(study)
    (study.folder / "edits").mkdir()
    header = "lesion_uid\taction\tvalue\treader\treason\n"
    (study.folder / "edits" / "sub-01_ses-01_lesions.tsv").write_text(f"{header}1\treject\tn/a\tAB\tsuture\n")
    assert study.planned() == expected("convert", scans=1)

    # A further threshold, for real: the volumes come and go again.
    shutil.rmtree(study.folder / "edits")
    set_config(study, "lesions.hu_floor", 150)
    study.run()
    kept = Study(tmp_path / "kept", study.code)
    shutil.copytree(base.folder, kept.folder, copy_function=shutil.copy2)
    kept.set_config(json.dumps({**OFF, "keep_images": True, "lesions": {"hu_floor": 150}}))
    kept.run()
    assert images(study) == []
    assert results(study) == results(kept) != results(base)


def test_what_was_kept_is_removed_on_request(study):
    set_config(study)
    study.run("--delete-temp-output")
    assert images(study) == []
    assert study.planned() == expected("report")
    text = study.run("suv_images", check=False)
    assert "add --config keep_images=true" in text
    assert "exit status 1" in text


def test_every_rule_that_reads_a_volume_is_known(study):
    """By what the rules take: a rule that reads one and is not in the table would make the manual wrong."""
    from calciflow.reruns import READS_IMAGES

    found = set()
    for path in (study.code / "rules").glob("*.smk"):
        text = path.read_text()
        for rule in FOLLOWERS:
            _, begin, rest = text.partition(f"rule {rule}:\n    input:")
            inputs = rest.partition("    output:")[0]
            if begin and any(f"{{scan}}_{name}" in inputs for name in IMAGES):
                found.add(rule)
    assert found | {"change"} == set(READS_IMAGES), "change takes its files by name, from change_common.smk"
