"""Two plain thighs with four spheres: what the workflow reads, measures and places, against what is known on paper."""

import json

import numpy as np
import pandas as pd
import pytest

from analytic import DOSE_BQ, HALF_LIFE_S, UPTAKE_S, WEIGHT_KG, Limb, Sphere, write_scan
from harness import Study, copy_code, write_sheets

pytestmark = pytest.mark.xdist_group("analytic")

# LPS: x < 0 is the patient's right. The fat ring lies between 62 and 85 mm from a limb's axis.
SPHERES = {
    ("right", "subcutaneous", "CT+PET+"): Sphere((-95.0, -74.0, 20.0), 5.0, 600.0, 15.0),
    ("right", "muscle", "CT+PET+"): Sphere((-95.0 + 25, 30.0, -20.0), 6.0, 500.0, 10.0),
    ("left", "subcutaneous", "CT+PET-"): Sphere((95.0 + 20, -71.0, 0.0), 4.5, 700.0, None),
    ("left", "muscle", "CT-PET+"): Sphere((95.0 - 35, 20.0, 10.0), 8.0, None, 8.0),
}


@pytest.fixture(scope="session")
def thighs(tmp_path_factory):
    root = tmp_path_factory.mktemp("analytic")
    write_scan(root / "study" / "scans" / "one", [Limb(-95.0), Limb(95.0)], list(SPHERES.values()))
    scans = "participant_id\tsession_id\tsource\nsub-01\tses-01\tscans/one\n"
    write_sheets(root / "study", scans, config="allow_incomplete: false\n")
    study = Study(root / "study", copy_code(root / "code"))
    study.run("--cores", "2")
    return study


@pytest.fixture(scope="session")
def lesions(thighs):
    return pd.read_csv(thighs.path("sub-01_ses-01", "lesions.tsv"), sep="\t", na_values="n/a", keep_default_na=False)


def test_the_suv_factor(thighs):
    content = json.loads(thighs.path("sub-01_ses-01", "desc-suvbw_pet.json").read_text())
    decayed = DOSE_BQ * 2 ** (-UPTAKE_S / HALF_LIFE_S)
    assert content["factor"] == pytest.approx(WEIGHT_KG * 1000 / decayed, rel=1e-4)
    assert content["uptake_minutes"] == pytest.approx(60)


def test_no_more_and_no_fewer(lesions):
    assert len(lesions) == len(SPHERES)


@pytest.mark.parametrize(("key", "sphere"), SPHERES.items(), ids=["-".join(key) for key in SPHERES])
def test_each_sphere(lesions, key, sphere):
    side, compartment, concordance = key
    x, y, z = sphere.centre
    distance = np.linalg.norm(lesions[["x_mm", "y_mm", "z_mm"]].to_numpy() - [-x, -y, z], axis=1)
    row = lesions.iloc[int(distance.argmin())]
    assert distance.min() < 2.5
    assert (row["side"], row["region"]) == (side, "thigh")
    assert row["compartment"] == compartment
    assert row["concordance"] == concordance
    if sphere.hu is not None:
        assert row["ct_volume_ml"] == pytest.approx(sphere.ml, rel=0.15)
        assert row["hu_max"] == pytest.approx(sphere.hu, abs=80)
    if sphere.suv is not None:
        assert 0.35 * sphere.suv < row["suv_max"] < sphere.suv, "blurred, not lost"
