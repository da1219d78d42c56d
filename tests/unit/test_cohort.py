"""The cohort's tables, statistics and figures, from tables of made-up scans with known answers."""

import json
import math
import random
import re
from dataclasses import dataclass, field
from difflib import unified_diff
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.inter_rater import cohens_kappa

from calciflow.analyses.clinical import read_clinical
from calciflow.analyses.figures import CohortData, draw_agreement
from calciflow.analyses.people import person_columns, read_people
from calciflow.analyses.rows import STATISTICS_COLUMNS, adjust, describe
from calciflow.analyses.sessions import read_scores, scan_of
from calciflow.cohort import FIGURES, summarise
from calciflow.errors import StudyError
from calciflow.forms import load_form
from calciflow.labels import LESION_COLUMNS, REGIONS, SCORE_COLUMNS
from calciflow.scores import score_lesions
from calciflow.settings import Cohort
from calciflow.tables import read_table, write_table

EXTENT = load_form(Path(__file__).resolve().parents[2] / "config" / "forms" / "extent.yaml")
EVERYWHERE = {f"{side} {region}": {"ct": 1.0, "pet": 1.0} for region in REGIONS for side in ("left", "right")}


def lesion(number: int, region: str, side: str, **cells: Any) -> dict[str, Any]:
    """A lesion row: 0.1 ml on CT and PET, subcutaneous, unless said otherwise."""
    row: dict[str, Any] = dict.fromkeys(LESION_COLUMNS)
    row |= {"lesion_id": number, "lesion_uid": f"L{number:04d}", "concordance": "CT+PET+", "region": region}
    row |= {"side": side, "compartment": "subcutaneous", "pet_status": "positive", "ct_volume_ml": 0.1}
    row |= {"pet_volume_ml": 0.3, "hu_max": 400, "hu_mean": 300, "hydroxyapatite_mg": 20.0, "suv_max": 3.0}
    row |= {"suv_mean": 2.0, "suv_peak": 2.5, "tlf": 0.6}
    row |= cells
    if "CT+" not in row["concordance"]:
        row |= {"ct_volume_ml": None, "hu_max": None, "hu_mean": None, "hydroxyapatite_mg": None}
    if "PET+" not in row["concordance"]:
        row |= {"pet_volume_ml": None, "suv_max": None, "suv_mean": None, "suv_peak": None, "tlf": None}
    return row


@dataclass
class Study:
    """A folder of made-up results, and what `summarise` is called with."""

    folder: Path
    screening: list[dict[str, Any]] = field(default_factory=list)
    people: list[dict[str, Any]] = field(default_factory=list)
    clinical: list[dict[str, Any]] | None = None
    scans: list[str] = field(default_factory=list)

    def add(self, person: str, group: str, lesions: list[dict[str, Any]], session="ses-01", acq=None, seen=EVERYWHERE):
        prefix = f"{person}_{session}" + (f"_acq-{acq}" if acq else "")
        who = {"participant_id": person, "session_id": session, "acquisition": acq}
        here = self.folder / "results" / prefix
        write_table(here / f"{prefix}_lesions.tsv", [{**row, **who} for row in lesions], LESION_COLUMNS)
        findings = here / f"{prefix}_desc-candidates_lesions.json"
        findings.write_text(json.dumps({"imaged_fraction": seen, "dropped": {"bone": 3, "vessel": 1}}))
        table = pd.DataFrame(lesions, columns=LESION_COLUMNS)
        named = {"participant_id": person, "session_id": session}
        scores = [{**named, **row} for row in score_lesions(table, seen, EXTENT)]
        write_table(here / f"{prefix}_scores.tsv", scores, SCORE_COLUMNS)
        self.screening.append({**who, "verdict": "accepted"})
        self.person(person, group)
        self.scans.append(prefix)

    def person(self, person: str, group: str, **covariates: Any):
        if person not in [row["participant_id"] for row in self.people]:
            self.people.append({"participant_id": person, "group": group, **covariates})

    def refuse(self, person: str, group: str, code: str):
        self.screening.append({"participant_id": person, "session_id": "ses-01", "verdict": "refused", "code": code})
        self.person(person, group)

    def clinicians(self, person: str, scores: dict[tuple[str, str], Any], session="ses-01", reader="A"):
        self.clinical = self.clinical or []
        for (region, side), score in scores.items():
            row = {"participant_id": person, "session_id": session, "region": region, "side": side}
            self.clinical.append({**row, "score": score, "reader": reader})

    def run(self, out: str = "out", drawn: tuple[str, ...] = (), **settings: Any) -> dict[str, pd.DataFrame]:
        sheets = self.folder / "sheets"
        columns = list(dict.fromkeys(key for row in self.people for key in row)) or ["participant_id", "group"]
        write_table(sheets / "participants.tsv", self.people, columns)
        screening = "participant_id session_id acquisition verdict code reason".split()
        write_table(self.folder / "results" / "screening.tsv", self.screening, screening)
        if self.clinical is not None:
            names = "participant_id session_id region side score reader".split()
            write_table(sheets / "clinical.tsv", self.clinical, names)
        target = self.folder / out

        def each(ending: str) -> list[str]:
            return [str(self.folder / "results" / p / f"{p}_{ending}") for p in self.scans]

        summarise(
            screening=str(self.folder / "results" / "screening.tsv"),
            tables=each("lesions.tsv"),
            scores=each("scores.tsv"),
            findings=each("desc-candidates_lesions.json"),
            participants=str(sheets / "participants.tsv"),
            clinical_scores=str(sheets / "clinical.tsv") if self.clinical is not None else [],
            lesions_out=str(target / "lesions.tsv"),
            scores_out=str(target / "scores.tsv"),
            participants_out=str(target / "participants.tsv"),
            statistics_out=str(target / "statistics.tsv"),
            comparison_out=str(target / "comparison.tsv"),
            figures=[str(target / "figures" / f"{name}.svg") for name in drawn],
            **{**Cohort().model_dump(), **settings},
        )
        names = "lesions scores participants statistics comparison".split()
        return {name: read_table(target / f"{name}.tsv", text_columns=("flags", "reason", "note")) for name in names}


@pytest.fixture
def study(tmp_path) -> Study:
    return Study(tmp_path)


def row(statistics: pd.DataFrame, analysis: str, outcome: str, a: str, b: str | None = None) -> pd.Series:
    rows = statistics[
        (statistics["analysis"] == analysis) & (statistics["outcome"] == outcome) & (statistics["group_a"] == a)
    ]
    if b is not None:
        rows = rows[rows["group_b"] == b]
    assert len(rows) == 1, f"{len(rows)} rows for {analysis} {outcome} {a} {b}"
    return rows.iloc[0]


ZERO = {("hand", "left"): 0, ("thigh", "left"): 0, ("chest", "midline"): 0}


@pytest.fixture
def six(study) -> Study:
    """Six people as in the paper: imaging exceeds the clinicians by 1 1 2 2 7 7 points, 3 DM and 3 SSc."""
    groups = ["DM", "DM", "DM", "SSc", "SSc", "SSc"]
    # left hand: grade 1 by one lesion, 2 by two, 3 by five, 4 by ten
    for place, (group, difference) in enumerate(zip(groups, (1, 2, 7, 1, 2, 7), strict=True), start=1):
        regions = [("hand", 4), ("fingers", 3)] if difference == 7 else [("hand", difference)]
        lesions = []
        for region, grade in regions:
            for _ in range({1: 1, 2: 2, 3: 5, 4: 10}[grade]):
                lesions.append(lesion(len(lesions) + 1, region, "left"))
        person = f"sub-0{place}"
        study.add(person, group, lesions)
        study.clinicians(person, {("hand", "left"): 0, ("fingers", "left"): 0, ("thigh", "left"): 0})
    return study


def test_paper_like_differences_give_the_exact_and_the_asymptotic_p(six):
    tables = six.run()
    primary = tables["statistics"].iloc[0]
    assert primary["analysis"] == "primary"
    assert primary[["outcome", "group_a", "group_b", "n"]].tolist() == ["total_score", "petct", "clinical", 6]
    assert primary["p_exact"] == 0.03125
    assert primary["p_asymptotic"] == pytest.approx(0.02643, abs=5e-6)
    assert primary["p_attainable"] == 0.03125
    assert (primary["ci_low"], primary["ci_high"], primary["ci_level"]) == (1, 7, 0.96875)
    assert primary["effect_size"] == 1
    assert math.isnan(primary["p_adjusted"])
    assert "smallest that this n allows" in primary["note"]


def test_holm_says_that_it_cannot_reach_the_limit(six):
    statistics = six.run()["statistics"]
    others = statistics[statistics["analysis"] == "score_comparison"]
    assert len(others) == 3
    assert (others["p_adjusted"].dropna() >= 0.0625).all()
    assert others["note"].str.contains("cannot reach 0.05").all()


def test_three_against_three_shows_values_and_the_attainable_p(six):
    statistics = six.run()["statistics"]
    result = row(statistics, "groups", "score_petct", "DM", "SSc")
    assert result["n"] == 6
    assert result["p_exact"] == 1
    assert "DM: 7, 2, 1" in result["note"]
    assert "cannot reach 0.05" in result["note"]
    muscle = row(statistics, "groups", "muscle_involved", "DM", "SSc")
    assert muscle["estimate"] == 0
    assert math.isnan(muscle["ci_low"])
    assert "under 10 people a group" in muscle["note"]


def test_increment_over_ct_has_no_p(study):
    study.add("sub-01", "DM", [lesion(1, "thigh", "left"), lesion(2, "knee", "left", concordance="CT-PET+")])
    study.add("sub-02", "DM", [lesion(1, "thigh", "left")])
    statistics = study.run()["statistics"]
    increments = statistics[statistics["analysis"] == "increment"]
    assert increments["p_exact"].isna().all()
    assert increments["p_asymptotic"].isna().all()
    assert row(statistics, "increment", "regions_involved", "petct")["estimate"] == 0.5
    assert increments["note"].str.contains("by construction").all()


def test_increment_has_an_interval_from_six_people_on(six):
    statistics = six.run()["statistics"]
    increment = row(statistics, "increment", "n_lesions", "petct")
    assert (increment["estimate"], increment["ci_low"], increment["ci_high"], increment["ci_level"]) == (
        0,
        0,
        0,
        0.96875,
    )


def test_detection_has_an_interval_both_p_and_an_effect_size(six):
    found = row(six.run()["statistics"], "detection", "regions_involved", "petct", "clinical")
    # Regions more than the clinicians: 1 1 2 1 1 2; z = 8 / sqrt(12)
    assert found["estimate"] == pytest.approx(8 / 6, abs=1e-5)
    assert (found["ci_low"], found["ci_high"], found["ci_level"]) == (1, 2, 0.96875)
    assert (found["p_exact"], found["effect_size"]) == (0.03125, 1)
    assert found["p_asymptotic"] == pytest.approx(2 * stats.norm.sf(8 / math.sqrt(12)), rel=1e-4)


def test_detection_in_many_people_resamples_them(study):
    for i in range(24):
        study.add(f"sub-{i:02}", "DM", [lesion(1, "hand", "left")] if i % 2 else [])
        study.clinicians(f"sub-{i:02}", ZERO)
    found = row(study.run()["statistics"], "detection", "regions_involved", "petct", "clinical")
    assert "by resampling people" in found["method"]
    # A share of 1/2 of 24 people: standard error 0.102
    assert (found["ci_low"], found["ci_high"]) == pytest.approx((0.5 - 0.2, 0.5 + 0.2), abs=0.05)


def test_shares_of_ten_against_ten_have_an_interval(study):
    for i in range(20):
        kind = "muscle" if i < 9 or i >= 17 else "subcutaneous"  # 9 of 10 and 3 of 10, as in Newcombe's table
        study.add(f"sub-{i:02}", "DM" if i < 10 else "SSc", [lesion(1, "thigh", "left", compartment=kind)])
    muscle = row(study.run()["statistics"], "groups", "muscle_involved", "DM", "SSc")
    assert muscle["estimate"] == pytest.approx(0.6)
    assert (muscle["ci_low"], muscle["ci_high"], muscle["ci_level"]) == pytest.approx((0.1705, 0.8090, 0.95), abs=1e-4)


def test_counts_and_sums_of_a_person(study):
    lesions = [
        lesion(1, "thigh", "left", compartment="muscle", ct_volume_ml=2.0, hydroxyapatite_mg=300.0),
        lesion(2, "thigh", "left", concordance="CT+PET-", pet_status="indeterminate", ct_volume_ml=0.5),
        lesion(3, "hand", "right", concordance="CT-PET+", pet_volume_ml=0.7, tlf=1.4),
        lesion(4, "thigh", "right", concordance="CT-PET+", compartment="muscle", flags="diffuse;possible_myositis"),
    ]
    study.add("sub-01", "DM", lesions)
    person = study.run()["participants"].iloc[0]
    assert (person["n_lesions"], person["n_set_aside"], person["n_dropped"]) == (3, 1, 4)
    assert (person["n_ct_pet"], person["n_ct_only"], person["n_pet_only"], person["n_indeterminate"]) == (1, 1, 1, 1)
    assert (person["n_muscle"], person["n_subcutaneous"], person["n_skin"]) == (1, 2, 0)
    assert person["volume_ml"] == pytest.approx(2.0 + 0.5 + 0.7)
    assert person["hydroxyapatite_mg"] == pytest.approx(320)
    assert person["tlf"] == pytest.approx(0.6 + 1.4)
    assert person["muscle_volume_ml"] == pytest.approx(2.0)
    assert str(person["muscle_involved"]).lower() == "true"
    assert person["score_petct"] == 5  # left thigh 2.5 ml: 3; right hand 0.7 ml: 2; the flagged focus: 0
    assert (person["score_ct"], person["score_pet"]) == (3, 3)


def test_who_was_refused_keeps_no_count(study):
    study.add("sub-01", "DM", [])
    study.refuse("sub-02", "SSc", "no_weight")
    people = study.run()["participants"].set_index("participant_id")
    assert people.loc["sub-01", "n_lesions"] == 0
    assert people.loc["sub-01", "score_petct"] == 0
    assert math.isnan(people.loc["sub-02", "n_lesions"])
    assert math.isnan(people.loc["sub-02", "volume_ml"])
    assert people.loc["sub-02", "verdict"] == "ses-01: refused (no_weight)"
    assert people.loc["sub-02", "n_sessions"] == 0


def test_comparison_uses_only_regions_that_both_saw(study):
    seen = {name: value for name, value in EVERYWHERE.items() if name != "left knee"}
    seen["right knee"] = {"ct": 1.0, "pet": 0.2}
    study.add(
        "sub-01", "DM", [lesion(1, "knee", "left"), lesion(2, "thigh", "left"), lesion(3, "hand", "left")], seen=seen
    )
    clinical = {("knee", "left"): 4, ("knee", "right"): 2, ("thigh", "left"): 3, ("hand", "left"): None}
    study.clinicians("sub-01", clinical)
    comparison = study.run()["comparison"].set_index("modality")
    # left knee was not imaged, right knee only by CT, the hand not examined
    assert comparison.loc["petct", ["imaging_score", "clinical_score", "n_regions"]].tolist() == [1, 3, 1]
    assert comparison.loc["ct", ["imaging_score", "clinical_score", "n_regions"]].tolist() == [1, 5, 2]
    scores = read_table(study.folder / "out" / "scores.tsv")
    knee = scores[(scores["region"] == "knee") & (scores["modality"] == "petct")]
    assert knee["score"].isna().all()


def test_several_readers_are_averaged_and_compared(study):
    regions = [("hand", "left"), ("hand", "right"), ("thigh", "left"), ("chest", "midline")]
    for i in range(3):
        study.add(f"sub-0{i}", "DM", [lesion(1, "hand", "left")])
        study.clinicians(f"sub-0{i}", dict(zip(regions, (i, 1, 2, 0), strict=True)), reader="A")
        study.clinicians(f"sub-0{i}", dict(zip(regions, (i + 2, 1, 2, 0), strict=True)), reader="B")
    tables = study.run()
    petct = tables["comparison"].query("modality == 'petct'")
    assert petct["clinical_score"].tolist() == [4, 5, 6]  # (i + i + 2) / 2 + 1 + 2
    kappa = row(tables["statistics"], "reader_agreement", "kappa_all_regions", "reader A", "reader B")
    assert kappa["n"] == 3
    assert "12 pairs of 3 people" in kappa["note"]
    assert 0 < kappa["estimate"] < 1
    bias = row(tables["statistics"], "reader_agreement", "bland_altman_bias", "reader A", "reader B")
    assert bias["estimate"] == -2
    consistent = row(tables["statistics"], "reader_agreement", "icc_consistency", "reader A", "reader B")
    assert consistent["estimate"] == 1
    # By region, too: left and right hands of A are 0 1 2 1 1 1, of B 2 3 4 1 1 1.
    hand = row(tables["statistics"], "reader_agreement", "kappa_hand", "reader A", "reader B")
    grades = [0, 1, 2, 3, 4]
    expected = cohens_kappa(np.array(confusion([0, 1, 2, 1, 1, 1], [2, 3, 4, 1, 1, 1], grades)), wt="quadratic").kappa
    assert hand["estimate"] == pytest.approx(expected, abs=1e-5)
    assert "6 pairs of 3 people" in hand["note"]
    assert math.isnan(row(tables["statistics"], "reader_agreement", "kappa_chest", "reader A", "reader B")["estimate"])


def confusion(a, b, grades):
    return [[sum(x == i and y == j for x, y in zip(a, b, strict=True)) for j in grades] for i in grades]


def test_four_readers_together(study):
    # Shrout & Fleiss 1979, table 2: four judges, six targets; ICC(2,1) is 0.29 and ICC(3,1) 0.71.
    judges = {"A": [9, 6, 8, 7, 10, 6], "B": [2, 1, 4, 1, 5, 2], "C": [5, 3, 6, 2, 6, 4], "D": [8, 2, 8, 6, 9, 7]}
    for i in range(6):
        study.add(f"sub-0{i}", "DM", [lesion(1, "hand", "left")])
        for name, scores in judges.items():
            study.clinicians(f"sub-0{i}", {("hand", "left"): scores[i]}, reader=name)
    study.clinicians("sub-00", {("thigh", "left"): 50})  # scored by one reader: not among what all scored
    statistics = study.run()["statistics"]
    for outcome, published in (("icc_agreement", 0.29), ("icc_consistency", 0.71)):
        together = row(statistics, "reader_agreement", outcome, "4 readers")
        assert together["n"] == 6
        assert together["estimate"] == pytest.approx(published, abs=0.005)


def test_a_reader_given_twice_is_an_error(study):
    study.add("sub-01", "DM", [])
    study.clinicians("sub-01", {("hand", "left"): 1})
    study.clinicians("sub-01", {("hand", "left"): 2})
    with pytest.raises(StudyError, match=r"clinical\.tsv, line 3"):
        study.run()


def test_only_a_clinical_total(study):
    study.add("sub-01", "DM", [lesion(1, "hand", "left")])
    study.clinicians("sub-01", {("total", "midline"): 7})
    tables = study.run()
    petct = tables["comparison"].query("modality == 'petct'").iloc[0]
    assert (petct["imaging_score"], petct["clinical_score"]) == (1, 7)
    assert math.isnan(petct["n_regions"])
    assert tables["participants"].iloc[0]["score_clinical"] == 7


def test_acquisitions_of_a_session_add_up(study):
    legs = {k: v for k, v in EVERYWHERE.items() if any(w in k for w in ("thigh", "knee", "leg", "foot", "toes"))}
    body = {k: v for k, v in EVERYWHERE.items() if k not in legs}
    body |= {"left thigh": {"ct": 1.0, "pet": 1.0}}
    study.add("sub-01", "DM", [lesion(1, "hand", "left"), lesion(2, "thigh", "left")], acq="body", seen=body)
    study.add("sub-01", "DM", [lesion(1, "knee", "left"), lesion(2, "knee", "left")], acq="legs", seen=legs)
    tables = study.run()
    person = tables["participants"].iloc[0]
    assert person["n_sessions"] == 1
    assert person["n_lesions"] == 4
    assert (person["n_regions"], person["n_regions_imaged"]) == (27, 27)
    scores = tables["scores"]
    assert list(scores.columns) == list(SCORE_COLUMNS)
    petct = scores[scores["modality"] == "petct"]
    assert len(petct) == 28
    assert petct.iloc[-1][["region", "score"]].tolist() == ["total", 4]
    assert person["score_petct"] == 4
    assert tables["lesions"]["acquisition"].tolist() == ["body", "body", "legs", "legs"]


def test_volumes_of_both_pieces_and_regions_that_neither_saw(study):
    # The knees were seen by both pieces, hands by the body alone, lower legs by the legs alone, feet by neither.
    sides = ("left", "right")
    body = {f"{side} {name}": {"ct": 1.0, "pet": 1.0} for side in sides for name in ("hand", "knee")}
    legs = {f"{side} {name}": {"ct": 1.0, "pet": 1.0} for side in sides for name in ("knee", "lower_leg")}
    mine = [lesion(1, "hand", "left"), lesion(2, "knee", "left")]
    theirs = [lesion(1, "lower_leg", "right"), lesion(2, "lower_leg", "left")]
    study.add("sub-01", "DM", mine, acq="body", seen=body)
    study.add("sub-01", "DM", theirs, acq="legs", seen=legs)
    study.add("sub-02", "DM", [*mine, *({**row, "lesion_id": row["lesion_id"] + 2} for row in theirs)])
    tables = study.run()
    pieces, whole = (tables["participants"].iloc[n] for n in (0, 1))
    for column in (
        "n_lesions",
        "volume_ml",
        "ct_volume_ml",
        "pet_volume_ml",
        "tlf",
        "hydroxyapatite_mg",
        "score_petct",
    ):
        assert pieces[column] == pytest.approx(whole[column]), column
    assert pieces["n_lesions"] == 4
    scores = tables["scores"].query("participant_id == 'sub-01' and modality == 'petct'")
    found = {(row["region"], row["side"]): row["score"] for row in scores.to_dict("records")}
    assert found["hand", "left"] == 1  # seen by the body alone
    assert found["knee", "left"] == 1  # seen by both: found by one, not by the other
    assert found["knee", "right"] == 0
    assert found["lower_leg", "right"] == 1  # seen by the legs alone
    assert math.isnan(found["foot", "left"])
    assert math.isnan(found["head", "midline"])


def test_the_first_or_the_last_session_speaks_for_a_person(study):
    study.add("sub-01", "DM", [lesion(1, "hand", "left")], session="ses-02")
    study.add("sub-01", "DM", [], session="ses-01")
    assert study.run()["participants"].iloc[0][["session_id", "n_lesions"]].tolist() == ["ses-01", 0]
    tables = study.run(session="last")
    assert tables["participants"].iloc[0][["session_id", "n_lesions", "n_sessions"]].tolist() == ["ses-02", 1, 2]
    assert len(tables["lesions"]) == 1


def test_lesions_per_person_before_people(study):
    """Ten hot lesions of one person weigh as much as one of another: medians per person first."""
    study.add("sub-01", "DM", [lesion(i, "thigh", "left", compartment="muscle", suv_max=9.0) for i in range(1, 11)])
    study.add("sub-02", "DM", [lesion(1, "thigh", "left", compartment="muscle", suv_max=3.0)])
    statistics = study.run()["statistics"]
    summary = row(statistics, "lesion_summary", "suv_max", "muscle")
    assert (summary["n"], summary["estimate"]) == (2, 6)
    assert "11 lesions in 2 people" in summary["note"]
    assert math.isnan(summary["p_exact"])


def test_hu_against_suv_takes_large_lesions_only(study):
    small = [lesion(i, "thigh", "left", ct_volume_ml=0.2, hu_mean=100 * i, suv_mean=i) for i in range(1, 7)]
    large = [
        lesion(10 + i, "thigh", "left", ct_volume_ml=1.5, hu_mean=100 * i, suv_mean=5 - i, compartment="muscle")
        for i in range(1, 5)
    ]
    study.add("sub-01", "DM", small + large)
    study.add("sub-02", "DM", small)
    statistics = study.run()["statistics"]
    assert row(statistics, "hu_suv", "hu_mean_suv_mean", "sub-01")["estimate"] == -1
    overall = row(statistics, "hu_suv", "hu_mean_suv_mean", "all people")
    assert (overall["n"], overall["estimate"]) == (1, -1)
    assert "cannot reach" in overall["note"]


def test_covariates_reach_the_results_only_when_named(study):
    for i, age in enumerate((30, 40, 50, 60)):
        study.person(f"sub-0{i}", "DM", age=age, sex="MF"[i % 2], surname="Doe")
        study.add(f"sub-0{i}", "DM", [lesion(n, "hand", "left") for n in range(1, i + 2)])
    tables = study.run(covariates=("age", "sex"))
    assert list(tables["participants"].columns) == person_columns(("age", "sex"))
    age = row(tables["statistics"], "covariates", "n_lesions", "age")
    assert age["estimate"] == 1
    assert age["p_exact"] == pytest.approx(2 / 24)
    assert row(tables["statistics"], "covariates", "n_lesions", "sex F", "sex M")["n"] == 4
    for path in (study.folder / "out").rglob("*.*"):
        assert "Doe" not in path.read_text(encoding="utf-8")
    with pytest.raises(StudyError, match="no column 'height'"):
        study.run(covariates=("height",))


def sheet(path, *lines):
    path.write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_a_people_sheet_needs_ids_and_names_that_the_results_do_not_use(tmp_path):
    with pytest.raises(StudyError, match=r"p\.tsv: there is no column participant_id"):
        read_people(sheet(tmp_path / "p.tsv", ("person", "group"), ("1", "DM")), ())
    with pytest.raises(StudyError, match=r"column tlf: the results use this name\. Fix: rename the column"):
        read_people(sheet(tmp_path / "p.tsv", ("participant_id", "tlf"), ("sub-01", "3")), ("tlf",))
    alone = read_people(sheet(tmp_path / "p.tsv", ("participant_id",), ("sub-01",)), ())
    assert alone["group"].isna().all(), "people of no group"


def test_a_clinical_sheet_names_its_mistake(tmp_path):
    head = ("participant_id", "session_id", "region", "side", "score")
    with pytest.raises(StudyError, match=r"c\.tsv: there is no column region"):
        read_clinical(sheet(tmp_path / "c.tsv", ("participant_id", "session_id", "score"), ("sub-01", "ses-01", "2")))
    for score in ("-1", "mild"):
        with pytest.raises(StudyError, match=r"line 3, column score: .* is no score") as caught:
            rows = [("sub-01", "ses-01", "hand", "left", "2"), ("sub-01", "ses-01", "hand", "right", score)]
            read_clinical(sheet(tmp_path / "c.tsv", head, *rows))
        assert score in str(caught.value)
    found = read_clinical(sheet(tmp_path / "c.tsv", head, ("sub-01", "ses-01", "head", "n/a", "n/a")))
    assert found.iloc[0][["side", "reader"]].tolist() == ["midline", "1"]
    assert found["score"].isna().all()


def test_rows_that_the_form_has_no_line_for_are_told(study):
    study.add("sub-01", "DM", [lesion(1, "hand", "left")])
    study.clinicians("sub-01", {("hand", "left"): 1, ("hand", "midline"): 2})
    primary = study.run()["statistics"].iloc[0]
    assert "1 rows of the clinical sheet are not on the scoring form" in primary["note"]


@pytest.mark.parametrize("case", ["empty", "all refused", "one scan", "one group", "no clinical", "no lesion at all"])
def test_degenerate_cohorts_give_valid_tables(study, case):
    if case == "all refused":
        study.refuse("sub-01", "DM", "no_pet")
    if case == "one scan":
        study.add("sub-01", "DM", [lesion(1, "hand", "left")])
        study.clinicians("sub-01", {("hand", "left"): 2})
    if case in ("one group", "no clinical"):
        for i in range(3):
            study.add(
                f"sub-0{i}", "DM" if case == "one group" else "DM SSc".split()[i % 2], [lesion(1, "hand", "left")]
            )
    if case == "no lesion at all":
        for i in range(3):
            study.add(f"sub-0{i}", "DM SSc".split()[i % 2], [])
            study.clinicians(f"sub-0{i}", ZERO)
    tables = study.run(drawn=FIGURES)
    statistics = tables["statistics"]
    assert list(statistics.columns) == STATISTICS_COLUMNS
    assert list(tables["lesions"].columns) == LESION_COLUMNS
    assert list(tables["scores"].columns) == list(SCORE_COLUMNS)
    assert statistics.iloc[0]["analysis"] == "primary"
    assert statistics[["analysis", "outcome", "group_a", "n", "method"]].notna().all().all()
    for column in ("p_exact", "p_asymptotic", "p_attainable", "p_adjusted"):
        assert statistics[column].dropna().between(0, 1).all()
    if case != "one scan":
        assert statistics.iloc[0]["n"] == (3 if case == "no lesion at all" else 0)
    for name in FIGURES:
        assert (study.folder / "out" / "figures" / f"{name}.svg").read_text().rstrip().endswith("</svg>")
        assert (study.folder / "out" / "figures" / f"{name}.tsv").read_text().count("\t") > 0


def test_the_same_bytes_twice_and_in_any_order(six):
    six.run("first", FIGURES)
    six.scans.reverse()
    six.run("second", FIGURES)
    files = sorted(p.relative_to(six.folder / "first") for p in (six.folder / "first").rglob("*.*") if p.is_file())
    assert len(files) == 5 + 2 * len(FIGURES)
    for name in files:
        assert (six.folder / "first" / name).read_bytes() == (six.folder / "second" / name).read_bytes(), name


def test_figures_are_documented():
    manual = (Path(__file__).resolve().parents[2] / "config" / "README.md").read_text()
    (listed,) = re.findall(r"`cohort/figures/` holds (.*?)\n\n", manual, re.DOTALL)
    assert set(re.findall(r"`([a-z]+)`", listed)) == {*FIGURES, "change"}


def test_differences_by_mean_are_drawn_with_their_limits(six):
    tables = six.run(drawn=FIGURES)
    data = read_table(six.folder / "out" / "figures" / "agreement.tsv")
    petct = data[data["modality"] == "petct"]
    assert petct["difference"].tolist() == [1, 2, 7, 1, 2, 7]
    assert petct["mean_score"].tolist() == [0.5, 1, 3.5, 0.5, 1, 3.5]  # the clinicians gave 0 throughout
    own = tables["comparison"].assign(participant_id=tables["comparison"]["participant_id"])
    people = tables["participants"]
    none = pd.DataFrame(columns=["modality", "region", "side", "n", "found"])
    panel = draw_agreement(CohortData(people, tables["lesions"], own, none))[0].axes[2]
    lines = sorted(line.get_ydata()[0] for line in panel.lines if len(line.get_ydata()) == 2)
    wanted = [
        row(tables["statistics"], "agreement", f"bland_altman_{name}", "petct")["estimate"]
        for name in ("lower_limit", "bias", "upper_limit")
    ]
    assert lines == pytest.approx(sorted([0, *wanted]), abs=1e-4)


def test_no_date_and_no_path_in_a_figure(six):
    six.run(drawn=FIGURES)
    for name in FIGURES:
        text = (six.folder / "out" / "figures" / f"{name}.svg").read_text()
        assert "<dc:date>" not in text
        assert str(six.folder) not in text


@pytest.mark.parametrize("group", ['=1+1<script>alert(1)</script>&"]]>', "$\\evil{$", "@{{ 7 * 7 }}", "a_b^c %s"])
def test_a_group_of_any_name_is_only_a_name(study, group):
    """No markup in figures, no formula in tables, and no word that the drawing library takes for its own."""
    for number, name in enumerate((group, group, "SSc"), 1):
        study.add(f"sub-0{number}", name, [lesion(1, "hand", "left"), lesion(2, "thigh", "left")])
    study.run(drawn=FIGURES)
    for name in FIGURES:
        tree = ElementTree.parse(study.folder / "out" / "figures" / f"{name}.svg")
        assert not [item for item in tree.iter() if item.tag.endswith("script")]
    texts = "".join((study.folder / "out" / "figures" / f"{name}.svg").read_text() for name in FIGURES)
    assert "<script" not in texts
    for path in (study.folder / "out").glob("*.tsv"):
        cells = [cell for line in path.read_text().splitlines() for cell in line.split("\t")]
        assert not [cell for cell in cells if cell.startswith(("=", "@"))], path.name


def test_a_primary_that_the_data_lack_is_said(six):
    statistics = six.run(primary=("volume_ml", "DM", "JDM"))["statistics"]
    assert statistics.iloc[0]["n"] == 0
    assert "no such comparison" in statistics.iloc[0]["note"]
    named = six.run(primary=("volume_ml", "DM", "SSc"))["statistics"]
    assert named.iloc[0][["analysis", "outcome", "n"]].tolist() == ["primary", "volume_ml", 6]
    assert (named["analysis"] == "score_comparison").sum() == 4


def test_adjust_leaves_the_primary_alone():
    tests = [
        describe("x", str(i), "a", "b", n=9, method="m", p_exact=p, p_attainable=0.001)
        for i, p in enumerate((0.01, 0.04, 0.03, 0.005))
    ]
    primary, *rest = adjust(tests, ("1", "a", "b"))
    assert primary["outcome"] == "1"
    assert "p_adjusted" not in primary
    # Holm over 0.01, 0.03, 0.005
    assert [r["p_adjusted"] for r in rest] == pytest.approx([0.02, 0.03, 0.015])


def test_names_of_scans():
    assert scan_of("a/b/sub-01_ses-02_acq-legs_scores.tsv") == ("sub-01", "ses-02", "legs")
    assert scan_of("sub-01_ses-02_lesions.tsv") == ("sub-01", "ses-02", None)
    with pytest.raises(ValueError, match="does not begin"):
        scan_of("lesions.tsv")


def test_scores_of_a_region_nobody_imaged_stay_missing(study):
    study.add("sub-01", "DM", [], seen={})
    scores = read_scores([str(study.folder / "results" / "sub-01_ses-01" / "sub-01_ses-01_scores.tsv")])
    assert len(scores) == 3 * (len(EXTENT.rows) + 1)
    assert scores["score"].isna().all()


@pytest.mark.slow
def test_three_hundred_scans(study):
    for i in range(300):
        lesions = [
            lesion(
                n,
                REGIONS[(n + i) % 16],
                "left",
                suv_max=1 + (7 * n + i) % 11,
                compartment=("muscle", "skin", "subcutaneous")[(n * n + i) % 3],
            )
            for n in range(1, 2 + i % 9)
        ]
        study.add(f"sub-{i:03d}", "DM SSc".split()[i % 2], lesions)
        study.clinicians(f"sub-{i:03d}", {("hand", "left"): i % 4, ("fingers", "left"): i % 3})
    statistics = study.run(drawn=FIGURES)["statistics"]
    assert statistics.iloc[0]["n"] == 300
    assert statistics.iloc[0]["p_exact"] > 0
    kappa = row(statistics, "agreement", "kappa_hand", "petct")
    assert kappa["ci_low"] < kappa["estimate"] < kappa["ci_high"]
    model = row(statistics, "lesion_model", "suv_max", "muscle", "subcutaneous")
    assert model["ci_low"] < 1 < model["ci_high"]


def test_halves_of_a_region_that_the_form_scores_as_a_whole() -> None:
    from calciflow.analyses.clinical import fold_halves

    keys = {"participant_id": "sub-01", "session_id": "ses-01"}
    scores = pd.DataFrame(
        [{**keys, "modality": "ct", "region": "chest", "side": "midline", "score": 1.0}]
        + [{**keys, "modality": "ct", "region": "hand", "side": side, "score": 1.0} for side in ("left", "right")]
    )
    clinical = pd.DataFrame(
        [
            {**keys, "region": region, "side": side, "score": score, "reader": "A"}
            for region, side, score in [
                ("chest", "left", 2.0),
                ("chest", "right", 3.0),
                ("hand", "left", 1.0),
                ("hand", "right", 4.0),
            ]
        ]
    )
    folded = fold_halves(clinical, scores).set_index(["region", "side"])["score"].to_dict()
    assert folded == {("chest", "midline"): 3.0, ("hand", "left"): 1.0, ("hand", "right"): 4.0}


def test_statistics_do_not_depend_on_the_order_of_rows(tmp_path):
    """Large enough for the bootstrap over people and the models of lesions."""
    texts = []
    for number, shuffle in enumerate((False, True, True)):
        study, chance = Study(tmp_path / str(number)), random.Random(3)
        for person in range(24):
            count = chance.randint(1, 4)
            lesions = [
                lesion(
                    place + 1,
                    chance.choice(["hand", "thigh", "forearm"]),
                    chance.choice(["left", "right"]),
                    compartment=chance.choice(["muscle", "subcutaneous"]),
                    concordance=chance.choice(["CT+PET+", "CT+PET-", "CT-PET+"]),
                    ct_volume_ml=chance.randint(5, 300) / 100,
                    suv_max=chance.randint(20, 90) / 10,
                    suv_mean=chance.randint(10, 20) / 10,
                    hu_max=chance.randint(300, 900),
                    hu_mean=chance.randint(150, 290),
                )
                for place in range(count)
            ]
            if shuffle:
                random.Random(number).shuffle(lesions)
            study.add(f"sub-{person:02}", ("DM", "SSc")[person % 2], lesions)
            marks = {("hand", "left"): chance.randint(0, 2), ("thigh", "right"): chance.randint(0, 2)}
            for reader in ("A", "B"):
                study.clinicians(f"sub-{person:02}", marks, reader=reader)
        if shuffle:
            for rows in (study.screening, study.people, study.clinical, study.scans):
                random.Random(number).shuffle(rows)
        study.run()
        texts.append((study.folder / "out" / "statistics.tsv").read_text())
    assert "lesion_model" in texts[0]
    assert len(set(texts)) == 1, list(unified_diff(texts[0].splitlines(), texts[1].splitlines(), n=0))
