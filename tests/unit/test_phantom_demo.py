"""The demo cohort: its make-up, the model of the clinicians, sheets, and what is made again."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from calciflow.labels import AXIAL_REGIONS, REGIONS, TISSUES, region_label
from calciflow.phantom import demo
from calciflow.phantom.clinical import clinical_rows, detection_probability, grade, places
from calciflow.phantom.cohort import MEMBERS, draw_deposits, scan_of
from calciflow.phantom.scan import make_scan
from calciflow.phantom.spec import from_mapping, load_spec
from calciflow.phantom.tiny import leg_spec
from calciflow.tables import read_table


def test_cohort_has_the_make_up_of_the_study():
    assert [m.group for m in MEMBERS].count("DM") == [m.group for m in MEMBERS].count("SSc") == 3
    assert {m.person.sex for m in MEMBERS} == {"F", "M"}
    assert "up" in {m.person.arms for m in MEMBERS}
    with_muscle = []
    for member in MEMBERS:
        compartments = {deposit.compartment for deposit in draw_deposits(member)}
        assert "subcutaneous" in compartments
        if "muscle" in compartments:
            with_muscle.append(member.group)
    assert sorted(with_muscle) == ["DM", "SSc", "SSc"]


def test_cohort_has_all_classes_and_the_sizes_of_the_disease():
    deposits = [deposit for member in MEMBERS for deposit in draw_deposits(member)]
    assert {d.concordance for d in deposits} == {"CT+PET+", "CT+PET-", "CT-PET+"}
    volumes = np.array([d.volume_ml for d in deposits])
    assert volumes.min() < 0.1
    assert volumes.max() > 5
    assert all(130 <= d.hu <= 1200 and 0 < d.suv <= 20 for d in deposits)
    assert list(draw_deposits(MEMBERS[0])) == list(draw_deposits(MEMBERS[0]))


def test_big_shallow_calcified_deposits_are_found():
    assert detection_probability(2.0, 2.0, True) > 0.98
    assert detection_probability(0.03, 2.0, True) < 0.4
    assert detection_probability(2.0, 30.0, True) < 0.01
    assert detection_probability(0.5, 2.0, True) > detection_probability(0.5, 2.0, False)
    depths = [detection_probability(0.5, d, True) for d in (1, 5, 10, 20)]
    assert depths == sorted(depths, reverse=True)


@pytest.mark.parametrize(
    ("number", "volume", "expected"),
    [(0, 0.0, 0), (1, 0.1, 1), (1, 0.5, 2), (2, 0.1, 2), (5, 0.1, 3), (1, 2.0, 3), (10, 0.1, 4), (1, 10.0, 4)],
)
def test_grades(number, volume, expected):
    assert grade(number, volume) == expected


def table(rows):
    columns = ["label", "region", "side", "concordance", "volume_ml", "distance_to_skin_mm"]
    return pd.DataFrame(rows, columns=columns)


def test_clinical_rows_cover_every_region_once():
    rows = clinical_rows("sub-01", "ses-01", table([]), 1)
    seen = [(row["region"], row["side"]) for row in rows]
    assert seen == places()
    assert len(seen) == len(set(seen)) == 5 + 2 * (len(REGIONS) - len(AXIAL_REGIONS))
    assert all(row["score"] == 0 for row in rows)


def test_one_more_deposit_changes_no_other_score():
    base = [[1, "knee", "right", "CT+PET+", 3.0, 2.0], [2, "elbow", "left", "CT+PET+", 0.2, 2.0]]
    more = [*base, [3, "chest", "left", "CT+PET+", 5.0, 2.0]]
    a = {(r["region"], r["side"]): r["score"] for r in clinical_rows("sub-01", "ses-01", table(base), 9)}
    b = {(r["region"], r["side"]): r["score"] for r in clinical_rows("sub-01", "ses-01", table(more), 9)}
    assert a[("knee", "right")] == 3
    assert {place for place in a if a[place] != b[place]} == {("chest", "midline")}  # axial: no side


def test_demo_makes_what_is_missing_and_nothing_else(tmp_path, monkeypatch, capsys):
    small = [dataclasses.replace(member, seed=number + 1, sites=()) for number, member in enumerate(MEMBERS[:2])]
    monkeypatch.setattr(demo, "MEMBERS", small)
    monkeypatch.setattr(demo, "scan_of", lambda member: leg_spec(name=member.participant_id))

    class Here:
        """Runs the jobs in this process, where the small cohort is known."""

        def __init__(self, *_, **__):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def submit(self, function, *arguments):
            from concurrent.futures import Future

            future = Future()
            future.set_result(function(*arguments))
            return future

    monkeypatch.setattr(demo, "ProcessPoolExecutor", Here)
    demo.make_cohort(tmp_path)
    assert "making 2 of 2" in capsys.readouterr().out
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.dcm")}
    assert stamps
    assert not [path for path in (tmp_path / "dicom").rglob("*") if path.suffix in (".tsv", ".json", ".gz")]

    demo.make_cohort(tmp_path)
    out = capsys.readouterr().out
    assert "making" not in out
    assert out.count("complete") == 2
    assert stamps == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.dcm")}

    next((tmp_path / "dicom" / "sub-02").rglob("*.dcm")).unlink()
    demo.make_cohort(tmp_path)
    out = capsys.readouterr().out
    assert "making 1 of 2" in out
    assert set(stamps) == set(tmp_path.rglob("*.dcm"))
    kept = [path for path in stamps if "sub-01" in path.parts]
    assert all(path.stat().st_mtime_ns == stamps[path] for path in kept)

    demo.write_sheets(tmp_path / "config", tmp_path)
    scores = read_table(tmp_path / "config" / "clinical_scores.tsv")
    assert len(scores) == 2 * len(places())
    assert scores["score"].sum() > 0
    first = {path.name: path.read_bytes() for path in (tmp_path / "config").iterdir()}
    demo.write_sheets(tmp_path / "config", tmp_path)
    assert first == {path.name: path.read_bytes() for path in (tmp_path / "config").iterdir()}
    assert set(first) == {"participants.tsv", "scans.tsv", "clinical_scores.tsv"}
    assert list(read_table(tmp_path / "config" / "scans.tsv")["source"]) == ["demo/dicom/sub-01", "demo/dicom/sub-02"]


def test_spec_from_yaml(tmp_path):
    path = tmp_path / "scan.yaml"
    path.write_text(
        "name: mine\n"
        "person: {bmi: 33, sex: M, arms: up}\n"
        "z_range_mm: [400, 700]\n"
        "motion: {shift_mm: [1, 2, 3]}\n"
        "deposits:\n"
        "  - {region: knee, side: left, compartment: muscle, volume_ml: 2}\n"
    )
    spec = load_spec(path)
    assert spec.person.bmi == 33.0
    assert spec.motion.shift_mm == (1, 2, 3)
    assert spec.z_range_mm == (400, 700)
    assert spec.deposits[0].compartment == "muscle"
    assert spec.deposits[0].concordance == "CT+PET+"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"persona": {}}, "unknown key 'persona'"),
        ({"person": {"bmi": 90}}, "bmi 90"),
        ({"person": {"arms": "akimbo"}}, "arms 'akimbo'"),
        ({"deposits": [{"region": "tail"}]}, "region 'tail'"),
        ({"deposits": [{"region": "knee", "side": "midline"}]}, "side 'midline'"),
        ({"deposits": [{"region": "knee", "volume_ml": 0}]}, "must be positive"),
    ],
)
def test_mistakes_in_a_spec_are_named(content, message):
    with pytest.raises(ValueError, match=message):
        from_mapping(content)


@pytest.mark.slow
@pytest.mark.parametrize("member", MEMBERS, ids=[m.participant_id for m in MEMBERS])
def test_every_deposit_of_the_cohort_finds_its_place(member):
    scan = make_scan(scan_of(member), member.seed)
    asked = list(draw_deposits(member))
    assert len(scan.table) == len(asked)
    for row, spec in zip(scan.table.to_dict("records"), asked, strict=True):
        mask = scan.deposits.array == row["label"]
        assert row["volume_ml"] == pytest.approx(spec.volume_ml, rel=0.05)
        assert (scan.regions.array[mask] == region_label(spec.region, spec.side)).mean() > 0.7
        assert (scan.tissues.array[mask] != TISSUES["bone"]).all()
        if spec.compartment == "muscle":
            assert (scan.tissues.array[mask] == TISSUES["muscle"]).mean() > 0.85
        if spec.concordance.startswith("CT+"):
            assert row["contrast_to_noise"] > 4
