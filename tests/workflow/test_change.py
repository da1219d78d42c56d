"""Two sessions of one person with known changes, from DICOM to the report."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from calciflow.images import Volume
from calciflow.phantom import write_dicom
from calciflow.phantom.scan import make_scan
from calciflow.phantom.spec import DepositSpec
from calciflow.phantom.tiny import leg_spec
from harness import Study, copy_code, write_sheets

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("change")]

GROWS = DepositSpec("thigh", "right", "subcutaneous", volume_ml=0.5, hu=600, suv=12.0, at_mm=(78, -72, 640))
HEATS = DepositSpec("thigh", "left", "muscle", volume_ml=1.0, hu=500, suv=8.0, at_mm=(-60, 28, 585), bone_gap_mm=15)
STAYS = DepositSpec("thigh", "right", "muscle", volume_ml=1.0, hu=450, suv=9.0, at_mm=(84, 35, 580), bone_gap_mm=15)
GOES = DepositSpec("thigh", "left", "subcutaneous", "CT+PET-", volume_ml=0.4, hu=700, at_mm=(-81, -72, 640))
COMES = DepositSpec("thigh", "left", "muscle", volume_ml=0.6, hu=650, suv=12.0, at_mm=(-114, -32, 625), bone_gap_mm=15)
MOVED_MM = (12.0, -8.0, 25.0)
"""The patient lies elsewhere on the couch in the second session, which also begins at another slice."""


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    root = tmp_path_factory.mktemp("followed")
    rows = "participant_id\tsession_id\tsource\n"
    later = replace(leg_spec(), z_range_mm=(546.0, 663.0), centre_xy_mm=(3.0, -22.0))
    for session, spec, deposits in (
        ("ses-01", leg_spec(), (GROWS, HEATS, STAYS, GOES)),
        ("ses-02", later, (replace(GROWS, volume_ml=1.0), replace(HEATS, suv=16.0), STAYS, COMES)),
    ):
        scan = make_scan(replace(spec, name=session, deposits=deposits), 1)
        if session == "ses-02":
            shift = np.eye(4)
            shift[:3, 3] = MOVED_MM
            ct, pet = (Volume(volume.array, shift @ volume.affine) for volume in (scan.ct, scan.pet_suv))
            scan = replace(scan, ct=ct, pet_suv=pet)
        write_dicom(scan, root / "study" / "scans" / session)
        rows += f"sub-01\t{session}\tscans/{session}\n"
    write_sheets(root / "study", rows, config="report: {}\n")
    study = Study(root / "study", copy_code(root / "code"))
    study.run("--cores", "2")
    return study


def changes(study):
    return pd.read_csv(study.folder / "results" / "cohort" / "change.tsv", sep="\t", na_values="n/a")


def one(table, spec, when="before"):
    """The row of a deposit, told by its place: side and compartment and status are unlike for all five."""
    places = pd.read_csv(
        table.attrs["study"].path(f"sub-01_ses-0{1 if when == 'before' else 2}", "lesions.tsv"), sep="\t"
    )
    shift = np.zeros(3) if when == "before" else np.array(MOVED_MM)
    apart = np.linalg.norm(places[["x_mm", "y_mm", "z_mm"]].to_numpy(float) - (np.array(spec.at_mm) + shift), axis=1)
    uid = places["lesion_uid"][int(apart.argmin())]
    rows = table[table[f"lesions_{when}"].astype(str).str.contains(uid)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_every_change_is_the_phantoms(followed):
    table = changes(followed)
    table.attrs["study"] = followed
    assert len(table) == 5
    grown, hotter, same = (one(table, spec) for spec in (GROWS, HEATS, STAYS))
    assert (grown["status"], grown["size"]) == ("persistent", "grown")
    # The same uptake in twice the volume: what SUVmax gains is what the blur no longer takes.
    assert grown["activity"] in ("open", "within limits")
    assert grown["ct_volume_ratio"] == pytest.approx(2.0, rel=0.15)
    assert (hotter["status"], hotter["size"], hotter["activity"]) == ("persistent", "within limits", "more active")
    assert hotter["suv_max_ratio"] == pytest.approx(2.0, rel=0.2)
    assert (same["status"], same["size"], same["activity"]) == ("persistent", "within limits", "within limits")
    assert one(table, GOES)["status"] == "resolved"
    assert one(table, COMES, "after")["status"] == "new"
    assert table["distance_mm"].max() < 6, "the phantom puts the larger deposit a little elsewhere"


def test_one_row_for_the_pair_of_sessions(followed):
    course = pd.read_csv(followed.folder / "results" / "cohort" / "course.tsv", sep="\t", na_values="n/a")
    assert len(course) == 1
    row = course.iloc[0]
    assert (row["session_before"], row["session_after"], row["group"]) == ("ses-01", "ses-02", "DM")
    counts = row[["n_new", "n_resolved", "n_persistent", "n_grown", "n_shrunk", "n_more_active", "n_less_active"]]
    assert counts.tolist()[:5] == [1, 1, 3, 1, 0]
    assert row["n_more_active"] == 1
    assert row["n_less_active"] == 0
    assert row["residual_mm"] < 3


def test_the_report_shows_it(followed):
    page = (followed.folder / "results" / "report.html").read_text()
    assert "Change over time" in page
    assert "borrowed" in page
    assert "grown" in page
    assert followed.planned() == {}


def test_a_session_that_is_excluded_takes_its_comparison_with_it(followed):
    sheet = followed.folder / "config" / "scans.tsv"
    rows = sheet.read_text().splitlines()
    sheet.write_text("\n".join([f"{rows[0]}\texclude", f"{rows[1]}\tmoved", f"{rows[2]}\tn/a"]) + "\n")
    done = followed.finished()
    assert done == {"screen": 1, "cohort": 1, "course": 1, "report": 1, "audit": 1}
    assert len(changes(followed)) == 0
