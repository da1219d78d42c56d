"""Every file of the contract is there, every column is filled or `n/a`, and the numbers are the phantom's."""

import json
import re

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from calciflow.columns import TABLES
from calciflow.labels import COMPARTMENTS, CONCORDANCES, PET_STATUSES, REGIONS, SIDES, TISSUES

pytestmark = pytest.mark.xdist_group("study")

SCAN_FILES = {
    "series.tsv",
    "screening.json",
    "ct.nii.gz",
    "ct.json",
    "pet.nii.gz",
    "pet.json",
    "desc-suvbw_pet.nii.gz",
    "desc-suvbw_pet.json",
    "from-pet_to-ct_xfm.tfm",
    "from-pet_to-ct_xfm.json",
    "from-pet_to-ct_xfm.nii.gz",
    "space-ct_desc-tissues_dseg.nii.gz",
    "space-ct_desc-tissues_dseg.tsv",
    "space-ct_desc-regions_dseg.nii.gz",
    "space-ct_desc-regions_dseg.tsv",
    "space-ct_desc-lesions_dseg.nii.gz",
    "desc-candidates_lesions.tsv",
    "desc-candidates_lesions.json",
    "space-ct_desc-candidates_dseg.nii.gz",
    "desc-machine_lesions.tsv",
    "desc-review_lesions.tsv",
    "desc-review_lesions.json",
    "lesions.tsv",
    "scores.tsv",
    "qc.html",
}
STUDY_FILES = {
    "dataset_description.json",
    "screening.tsv",
    "report.html",
    "cohort/lesions.tsv",
    "cohort/scores.tsv",
    "cohort/participants.tsv",
    "cohort/statistics.tsv",
    "cohort/change.tsv",
    "cohort/course.tsv",
}
FIRST_COLUMNS = {
    "lesions.tsv": "participant_id session_id acquisition lesion_id lesion_uid concordance compartment "
    "compartment_probability region side x_mm y_mm z_mm pet_status suv_detection_limit ct_volume_ml hu_max hu_mean "
    "hydroxyapatite_mg agatston pet_volume_ml suv_max suv_mean suv_peak tlf bone_spill_fraction distance_to_bone_mm "
    "distance_to_skin_mm morphology structure flags reason",
    "scores.tsv": "participant_id session_id modality region side score",
    "cohort/statistics.tsv": "analysis outcome group_a group_b n estimate ci_low ci_high ci_level effect_size "
    "statistic p_exact p_asymptotic p_attainable p_adjusted method note",
    "screening.tsv": "participant_id session_id verdict code reason",
}
DOCUMENTED = {
    "screening": "screening.tsv",
    "series": "sub-01/ses-01/sub-01_ses-01_series.tsv",
    "lesions": "sub-01/ses-01/sub-01_ses-01_lesions.tsv",
    "review": "sub-01/ses-01/sub-01_ses-01_desc-review_lesions.tsv",
    "scores": "sub-01/ses-01/sub-01_ses-01_scores.tsv",
    "people": "cohort/participants.tsv",
    "comparison": "cohort/comparison.tsv",
    "statistics": "cohort/statistics.tsv",
    "change": "cohort/change.tsv",
    "course": "cohort/course.tsv",
}


def table(path):
    return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, quoting=3)


@pytest.fixture(scope="session")
def results(base):
    return base.folder / "results"


def test_the_first_run_went_well(base):
    text = (base.folder.parent / "first_run.txt").read_text()
    assert "exit status 0" in text
    assert "(100%) done" in text


@pytest.mark.parametrize("scan", ["sub-01_ses-01", "sub-02_ses-01"])
def test_a_scan_has_every_file(base, scan):
    folder = base.path(scan, "x").parent
    found = {path.name.removeprefix(f"{scan}_") for path in folder.iterdir()}
    assert found >= SCAN_FILES
    assert len(found) <= 40
    assert not [name for name in found if name.startswith(".")]


def test_the_study_has_every_file(results):
    for name in STUDY_FILES:
        assert (results / name).stat().st_size > 0, name
    drawn = {path.stem for path in (results / "cohort" / "figures").glob("*.svg")}
    assert drawn == {"scores", "agreement", "burden", "regions", "uptake", "change"}
    assert {path.stem for path in (results / "cohort" / "figures").glob("*.tsv")} == drawn


def test_refused_and_excluded_scans_are_listed(results):
    rows = table(results / "screening.tsv").set_index("participant_id")
    assert rows["verdict"].to_dict() == {
        "sub-01": "accepted",
        "sub-02": "accepted",
        "sub-03": "refused",
        "sub-04": "excluded",
    }
    assert rows.loc["sub-03", "code"] == "unreadable"
    assert "withdrew consent" in rows.loc["sub-04", "reason"]


@pytest.mark.parametrize("name", sorted(FIRST_COLUMNS))
def test_columns_stand_in_order(results, name):
    path = results / name if (results / name).exists() else results / "sub-01/ses-01" / f"sub-01_ses-01_{name}"
    wanted = FIRST_COLUMNS[name].split()
    assert list(table(path).columns)[: len(wanted)] == wanted


@pytest.mark.parametrize("marker", sorted(DOCUMENTED))
def test_every_output_column_is_documented(results, marker):
    assert list(table(results / DOCUMENTED[marker]).columns) == list(TABLES[marker])


def test_every_cell_is_filled(results):
    for path in results.rglob("*.tsv"):
        content = table(path)
        assert (content != "").all(axis=None), path.name
        assert not content.isin(["nan", "NaN", "None", "inf"]).any(axis=None), path.name


def test_fixed_words(results):
    for scan in ("sub-01", "sub-02"):
        lesions = table(results / scan / "ses-01" / f"{scan}_ses-01_lesions.tsv")
        assert set(lesions["concordance"]) <= set(CONCORDANCES)
        assert set(lesions["compartment"]) <= set(COMPARTMENTS)
        assert set(lesions["region"]) <= set(REGIONS)
        assert set(lesions["side"]) <= set(SIDES)
        assert set(lesions["pet_status"]) <= set(PET_STATUSES)
        assert lesions["lesion_uid"].is_unique
        scores = table(results / scan / "ses-01" / f"{scan}_ses-01_scores.tsv")
        assert list(dict.fromkeys(scores["modality"])) == ["ct", "pet", "petct"]
        for _, rows in scores.groupby("modality"):
            assert rows["region"].iloc[-1] == "total"


def test_label_maps_lie_on_the_ct(base):
    ct = nib.load(base.path("sub-01_ses-01", "ct.nii.gz"))
    for name, words in (("tissues", set(TISSUES)), ("regions", set(REGIONS)), ("lesions", None)):
        image = nib.load(base.path("sub-01_ses-01", f"space-ct_desc-{name}_dseg.nii.gz"))
        assert image.shape == ct.shape
        np.testing.assert_array_equal(image.affine, ct.affine)
        values = set(np.unique(np.asanyarray(image.dataobj)).tolist()) - {0}
        if words:
            rows = table(base.path("sub-01_ses-01", f"space-ct_desc-{name}_dseg.tsv"))
            assert values <= set(rows["index"].astype(int))
            assert set(rows["name"]) <= words
        else:
            lesions = table(base.path("sub-01_ses-01", "lesions.tsv"))
            assert values == set(lesions["lesion_id"].astype(int))


def test_the_transform_maps_ct_points_to_pet_points(base):
    transform = sitk.ReadTransform(str(base.path("sub-01_ses-01", "from-pet_to-ct_xfm.tfm")))
    truth = json.loads((base.path("sub-01_ses-01", "from-pet_to-ct_xfm.json")).read_text())
    assert truth["gate"]["verdict"] in ("kept", "not needed", "rejected", "untestable")
    point = np.array([30.0, -10.0, -600.0])
    assert np.linalg.norm(np.array(transform.TransformPoint(point)) - point) < 2, "these scans were not moved"


@pytest.mark.parametrize(("scan", "phantom"), [("sub-01_ses-01", "one"), ("sub-02_ses-01", "two")])
def test_the_lesions_are_the_phantoms(base, phantoms, scan, phantom):
    truth = pd.read_csv(phantoms[phantom][1] / "deposits.tsv", sep="\t", na_values="n/a", keep_default_na=False)
    found = pd.read_csv(base.path(scan, "lesions.tsv"), sep="\t", na_values="n/a", keep_default_na=False)
    places = found[["x_mm", "y_mm", "z_mm"]].to_numpy(float)
    taken = []
    for _, deposit in truth.iterrows():
        distance = np.linalg.norm(places - deposit[["x_mm", "y_mm", "z_mm"]].to_numpy(float), axis=1)
        lesion = found.iloc[int(distance.argmin())]
        taken.append(lesion["lesion_id"])
        assert distance.min() < 6
        assert lesion["concordance"] == deposit["concordance"]
        # The thigh's fat is hardly thicker than the nodules: one that touches the fascia may be called by it.
        neighbours = {"subcutaneous": ("subcutaneous", "fascia")}
        assert lesion["compartment"] in neighbours.get(deposit["compartment"], (deposit["compartment"],))
        assert (lesion["region"], lesion["side"]) == (deposit["region"], deposit["side"])
        if deposit["concordance"] != "CT-PET+":
            assert lesion["ct_volume_ml"] == pytest.approx(deposit["volume_ml"], rel=0.15)
        if deposit["concordance"] != "CT+PET-":
            assert lesion["suv_max"] == pytest.approx(deposit["suv_visible"], rel=0.2)
    assert sorted(taken) == sorted(found["lesion_id"]), "lesions that are not there"


def test_no_identity_in_results_or_logs(base):
    words = re.compile(rb"Fictitious|FICT-|Nowhere|FICTION0|2\.25\.\d{10}", re.IGNORECASE)
    for folder in ("results", "logs"):
        for path in (base.folder / folder).rglob("*"):
            assert not words.search(str(path).encode())
            if path.is_file():
                assert not words.search(path.read_bytes()), path.name
