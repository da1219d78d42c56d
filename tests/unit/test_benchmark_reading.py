"""The benchmark reads results and truth from disk: results that are the truth have no error, and made errors show."""

import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from calciflow.benchmark.__main__ import main, write_results
from calciflow.benchmark.reading import compare_scan
from calciflow.benchmark.split import seeds_of
from calciflow.benchmark.study import SESSION, make_study, person_of
from calciflow.files import read_json, write_json
from calciflow.forms import load_form
from calciflow.images import read_volume, write_volume
from calciflow.labels import LESION_COLUMNS, TISSUES
from calciflow.mapping import to_transform
from calciflow.phantom.scan import make_scan
from calciflow.phantom.spec import LimbMotion, Motion, replace
from calciflow.phantom.tiny import leg_spec
from calciflow.phantom.truth import write_truth
from calciflow.tables import read_table, write_table

FORM = """\
name: mine
title: Deposits counted
source: project's own
regions:
  - {region: thigh, sides: [left, right]}
items:
  - {measure: number, grades: value}
"""


def faultless(study, person, scan):
    """Truth of a scan, and the result files of a workflow that errs nowhere."""
    write_truth(scan, study / "truth" / person)
    folder = study / "results" / person / SESSION
    stem = f"{folder}/{person}_{SESSION}"
    write_volume(f"{stem}_ct.nii.gz", scan.ct, np.int16)
    write_json(f"{stem}_ct.json", {"KVP": scan.spec.ct.kvp})
    write_volume(f"{stem}_space-ct_desc-lesions_dseg.nii.gz", scan.deposits, np.uint16)
    write_volume(f"{stem}_space-ct_desc-tissues_dseg.nii.gz", scan.tissues, np.uint8)
    sitk.WriteTransform(to_transform(np.array(scan.ct_to_pet)), f"{stem}_from-pet_to-ct_xfm.tfm")
    lesions = [
        dict.fromkeys(LESION_COLUMNS)
        | {
            "lesion_id": row["label"],
            "concordance": row["concordance"],
            "pet_status": "positive" if row["concordance"].endswith("PET+") else "negative",
            **{name: row[name] for name in ("region", "side", "compartment")},
            "ct_volume_ml": row["volume_ml"],
            "hu_max": row["hu_visible"],
        }
        for row in scan.table.astype(object).where(scan.table.notna(), None).to_dict("records")
    ]
    write_table(f"{stem}_lesions.tsv", lesions, LESION_COLUMNS)
    seen = {f"{side} thigh": {"ct": 1.0, "pet": 1.0} for side in ("left", "right")}
    write_json(f"{stem}_desc-candidates_lesions.json", {"imaged_fraction": seen})
    totals = [{"modality": name, "region": "total", "side": None, "score": score} for name, score in TOTALS.items()]
    write_table(f"{stem}_scores.tsv", totals, ("modality", "region", "side", "score"))
    return stem


TOTALS = {"ct": 3, "pet": 3, "petct": 4}
"""Of the four deposits of ``LEG_DEPOSITS`` CT shows three, PET three, and both together all."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    study = tmp_path_factory.mktemp("benchmark")
    motion = Motion(shift_mm=(3.0, 0.0, 4.0))
    faultless(study, "sub-1", make_scan(leg_spec(motion=motion), 1))
    (study / "mine.yaml").write_text(FORM)
    return study


@pytest.fixture
def study(made, tmp_path):
    shutil.copytree(made, tmp_path / "study")
    return tmp_path / "study"


def compare(study, person="sub-1"):
    return compare_scan(study, person, SESSION, load_form(study / "mine.yaml"))


def test_results_that_are_the_truth_have_no_error(study):
    found = compare(study)
    assert found.deposits["detected"].all()
    assert set(found.deposits["pairing"]) == {"single"}
    assert (
        found.deposits["taken_for"] == found.deposits["compartment"].replace("subcutaneous", "subcutaneous_fat")
    ).all()
    assert len(found.false) == 0
    assert found.scan["n_deposits"] == found.scan["n_lesions"] == 4
    for word in ("body", "bone", "muscle", "subcutaneous_fat"):
        assert found.scan[f"dice_{word}"] == 1.0
    assert found.scan["motion_mm"] == pytest.approx(5.0, abs=1e-6)  # 3, 0 and 4 mm
    assert found.scan["residual_mm"] == pytest.approx(0.0, abs=1e-6)
    assert found.scan["residual_right_leg_mm"] == pytest.approx(0.0, abs=1e-6)
    assert found.scan["moved_limb"] is None
    for name, total in TOTALS.items():
        assert found.scan[f"score_true_{name}"] == found.scan[f"score_{name}"] == total
    assert "residual_head_mm" not in found.scan, "no head in a slab through the thighs"


def test_a_lesion_in_sound_muscle_is_a_false_positive_with_its_tissue(study):
    stem = f"{study}/results/sub-1/{SESSION}/sub-1_{SESSION}"
    labels, tissues = (read_volume(f"{stem}_space-ct_desc-{name}_dseg.nii.gz") for name in ("lesions", "tissues"))
    away = np.argwhere((tissues.array == TISSUES["muscle"]) & (labels.array == 0))
    deposits = labels.world(np.argwhere(labels.array > 0))
    far = next(p for p in away if np.linalg.norm(deposits - labels.world(p[None]), axis=1).min() > 10)
    drawn = labels.array.copy()
    drawn[tuple(far)] = 9
    write_volume(f"{stem}_space-ct_desc-lesions_dseg.nii.gz", labels.like(drawn), np.uint16)
    table = read_table(f"{stem}_lesions.tsv").astype(object)
    extra = table.iloc[[0]].assign(lesion_id=9)
    write_table(f"{stem}_lesions.tsv", pd.concat([table, extra]).where(lambda t: t.notna(), None), LESION_COLUMNS)
    found = compare(study)
    assert list(found.false["lesion_id"]) == [9]
    assert list(found.false["true_tissue"]) == ["muscle"]
    assert found.scan["false_positives"] == 1
    assert found.deposits["detected"].all()


def test_a_registration_that_does_nothing_leaves_all_movement(study):
    stem = f"{study}/results/sub-1/{SESSION}/sub-1_{SESSION}"
    sitk.WriteTransform(to_transform(np.eye(4)), f"{stem}_from-pet_to-ct_xfm.tfm")
    scan = compare(study).scan
    assert scan["residual_mm"] == pytest.approx(5.0, abs=1e-6)
    assert scan["residual_left_leg_mm"] == pytest.approx(5.0, abs=1e-6)


def test_a_limb_that_moved_on_its_own_is_measured_apart(tmp_path):
    spec = replace(leg_spec(deposits=()), limb_motion=LimbMotion("right leg", (0.0, 0.0, 6.0)))
    faultless(tmp_path, "sub-2", make_scan(spec, 2))
    (tmp_path / "mine.yaml").write_text(FORM)
    scan = compare(tmp_path, "sub-2").scan
    assert scan["moved_limb"] == "right leg"
    # The result knows nothing of the limb: all that the limb moved is left, and the other leg has nothing.
    assert scan["moved_residual_mm"] == pytest.approx(scan["moved_motion_mm"])
    assert scan["moved_residual_mm"] > 3
    assert scan["residual_left_leg_mm"] < 0.5
    assert scan["n_deposits"] == 0


def test_another_grid_is_an_error_and_no_number(study):
    stem = f"{study}/results/sub-1/{SESSION}/sub-1_{SESSION}"
    labels = read_volume(f"{stem}_space-ct_desc-lesions_dseg.nii.gz")
    labels.affine[0, 3] += 2
    write_volume(f"{stem}_space-ct_desc-lesions_dseg.nii.gz", labels, np.uint16)
    with pytest.raises(ValueError, match="sub-1: results and truth lie on different grids"):
        compare(study)


def test_bodies_whose_tissues_nobody_knows_have_no_dice(study):
    path = study / "truth" / "sub-1" / "scan.json"
    write_json(path, read_json(path) | {"kind": "implants"})
    assert not [name for name in compare(study).scan if name.startswith("dice")]


def test_tables_and_figures_of_a_study_with_an_unfinished_scan(study, tmp_path):
    out = tmp_path / "tables"
    write_results(study, ["sub-1", "sub-7"], out)
    assert (out / "summary.md").read_text().startswith("1 scans, 4 deposits; not finished: sub-7.")
    assert read_table(out / "deposits.tsv")["detected"].astype(str).tolist() == ["True"] * 4
    confusion = read_table(out / "confusion_region.tsv")
    assert confusion.iloc[0].tolist() == ["thigh", 4]
    sensitivity = (out / "sensitivity.svg").read_text()
    assert "(n = 4)" in sensitivity
    assert "CT volume, ml" in (out / "measures.svg").read_text()
    with pytest.raises(SystemExit, match="no scan was finished"):
        write_results(study, ["sub-7"], out)


def test_a_study_is_made_once_and_again_for_what_is_missing(tmp_path, monkeypatch, capsys):
    made = []

    def small(spec, seed, strict):
        made.append(seed)
        return make_scan(leg_spec(), 1)

    monkeypatch.setattr("calciflow.benchmark.study.make_scan", small)
    first, second = seeds_of("dev", 2)
    assert make_study(tmp_path, seeds_of("dev", 2)) == [person_of(first), person_of(second)]
    assert made == [first, second]
    assert read_table(tmp_path / "config" / "scans.tsv")["source"].tolist() == [
        f"dicom/sub-{s}" for s in (first, second)
    ]
    assert f"{person_of(first)}: 4 of " in capsys.readouterr().out
    (tmp_path / "truth" / person_of(second) / "complete.txt").unlink()
    make_study(tmp_path, seeds_of("dev", 2))
    assert made == [first, second, second], "only what was not complete"


def test_the_command_gives_the_workflows_status_and_the_table(study, monkeypatch, capsys):
    runs = []

    def run(command, check):
        runs.append(command)
        return subprocess.CompletedProcess(command, 4)

    monkeypatch.setattr("calciflow.benchmark.__main__.make_study", lambda *given: ["sub-1"])
    monkeypatch.setattr("calciflow.benchmark.__main__.subprocess.run", run)
    study.rename(study.parent / "dev")
    assert main(["dev", "1", "--folder", str(study.parent)]) == 4
    assert runs[0][1:] == ["run", str(study.parent / "dev")]
    assert capsys.readouterr().out.startswith("1 scans, 4 deposits; not finished: none.")


def test_chosen_seeds_are_of_the_dev_split_alone(study, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr("calciflow.benchmark.__main__.make_study", lambda folder, seeds, ideal: asked.append(seeds))
    monkeypatch.setattr("calciflow.benchmark.__main__.write_results", lambda *given: None)
    monkeypatch.setattr(
        "calciflow.benchmark.__main__.subprocess.run", lambda command, check: subprocess.CompletedProcess(command, 0)
    )
    (study.parent / "dev" / "tables").mkdir(parents=True)
    (study.parent / "dev" / "tables" / "summary.md").write_text("")
    assert main(["dev", "--seeds", "10032", "10005", "--folder", str(study.parent)]) == 0
    assert asked == [[10032, 10005]]
    for wrong in (["test", "--seeds", "70001"], ["dev", "--seeds", "70001"]):
        with pytest.raises(SystemExit):
            main([*wrong, "--folder", str(study.parent)])
        assert "test split is measured whole" in capsys.readouterr().err
