"""The scoring form applied to made-up lesions, by hand."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calciflow.forms import Form, Item, Row, load_form
from calciflow.labels import COMPARTMENTS, CONCORDANCES, LESION_COLUMNS, REGIONS, SCORE_COLUMNS
from calciflow.scores import points, score_lesions, score_scan
from calciflow.tables import write_table

FORMS = Path(__file__).resolve().parents[2] / "config" / "forms"
EVERYWHERE = {f"{side} {region}": {"ct": 1.0, "pet": 1.0} for region in REGIONS for side in ("left", "right")}


def table(*lesions: dict) -> pd.DataFrame:
    base = {
        "concordance": "CT+PET+",
        "compartment": "muscle",
        "side": "left",
        "ct_volume_ml": 0.1,
        "pet_volume_ml": 0.4,
    }
    return pd.DataFrame([{**dict.fromkeys(LESION_COLUMNS), **base, **row} for row in lesions], columns=LESION_COLUMNS)


def score(rows: list[dict], modality: str, region: str, side: str | None = None):
    found = [r["score"] for r in rows if (r["modality"], r["region"], r["side"]) == (modality, region, side)]
    assert len(found) == 1
    return found[0]


def form(*items: Item, **changes) -> Form:
    everything = ("ct", "pet", "petct")
    plain = Form(
        name="f",
        title="f",
        source="project's own",
        description="",
        modalities=everything,
        compartments=COMPARTMENTS,
        concordances=CONCORDANCES,
        exclude_flags=(),
        min_volume_ml=0,
        volume="ct_first",
        min_imaged_fraction=0.8,
        rows=(Row("thigh", "left", ("thigh",)), Row("hand", "left", ("hand", "fingers"))),
        items=items or (Item("number", (), everything),),
        combine="sum",
    )
    return replace(plain, **changes)


def test_each_modality_counts_what_it_shows():
    lesions = table(
        {"region": "thigh", "concordance": "CT+PET+"},
        {"region": "thigh", "concordance": "CT+PET-"},
        {"region": "thigh", "concordance": "CT-PET+"},
        {"region": "thigh", "concordance": "CT-PET+"},
    )
    rows = score_lesions(lesions, EVERYWHERE, form())
    assert [score(rows, m, "thigh", "left") for m in ("ct", "pet", "petct")] == [2, 3, 4]
    assert [score(rows, m, "total") for m in ("ct", "pet", "petct")] == [2, 3, 4]
    assert [r["region"] for r in rows] == ["thigh", "hand", "total"] * 3


def test_regions_are_grouped_and_sides_kept():
    lesions = table({"region": "hand"}, {"region": "fingers"}, {"region": "fingers", "side": "right"})
    rows = score_lesions(lesions, EVERYWHERE, form())
    assert score(rows, "ct", "hand", "left") == 2


def test_a_region_that_was_not_imaged_is_missing_and_never_zero():
    seen = {**EVERYWHERE, "left fingers": {"ct": 1.0, "pet": 0.5}}
    rows = score_lesions(table({"region": "thigh"}), seen, form())
    assert score(rows, "ct", "hand", "left") == 0
    assert score(rows, "pet", "hand", "left") is None  # a part of the group lies outside the PET
    assert score(rows, "petct", "hand", "left") is None
    assert score(rows, "petct", "total") == 1
    nowhere = score_lesions(table({"region": "thigh"}), {}, form())
    assert {row["score"] for row in nowhere} == {None}
    missing = score_lesions(table(), {**EVERYWHERE, "left thigh": {"ct": 0.0, "pet": 0.0}}, form(min_imaged_fraction=0))
    assert score(missing, "ct", "thigh", "left") is None


def test_both_halves_of_the_trunk_must_be_imaged():
    trunk = form(rows=(Row("chest", "midline", ("chest",)),))
    lesions = table({"region": "chest"}, {"region": "chest", "side": "right"}, {"region": "chest", "side": "midline"})
    assert score(score_lesions(lesions, EVERYWHERE, trunk), "ct", "chest", "midline") == 3
    half = {**EVERYWHERE, "right chest": {"ct": 0.3, "pet": 1.0}}
    assert score(score_lesions(lesions, half, trunk), "ct", "chest", "midline") is None


def test_grades_begin_at_their_value():
    item = Item("volume_ml", ((0.5, 1), (2, 2), (10, 4)), ("ct",))
    assert [points(item, v) for v in (0, 0.49, 0.5, 1.99, 2, 9.9, 10, 500)] == [0, 0, 1, 1, 2, 2, 4, 4]
    assert points(Item("volume_ml", (), ("ct",)), 3.25) == 3.25


@pytest.mark.parametrize(
    ("measure", "ct", "pet", "petct"),
    [
        ("presence", 1, 1, 1),
        ("number", 2, 2, 3),
        ("volume_ml", 3.0, 1.1, 3.7),  # CT volumes 1 + 2; PET 0.4 + 0.7; CT first: 1 + 2 + 0.7
        ("hydroxyapatite_mg", 500, None, 500),
        ("hu_max", 900, None, 900),
        ("suv_max", None, 8, 8),
        ("suv_peak", None, 5, 5),
        ("tlf", None, 3.5, 3.5),
    ],
)
def test_measures(measure, ct, pet, petct):
    lesions = table(
        {
            "region": "thigh",
            "ct_volume_ml": 1,
            "hydroxyapatite_mg": 200,
            "hu_max": 900,
            "suv_max": 8,
            "suv_peak": 5,
            "tlf": 1.5,
        },
        {
            "region": "thigh",
            "concordance": "CT+PET-",
            "ct_volume_ml": 2,
            "pet_volume_ml": None,
            "hydroxyapatite_mg": 300,
            "hu_max": 400,
            "suv_max": 20,
        },  # uptake measured in the footprint of a PET-negative lesion is no focus
        {
            "region": "thigh",
            "concordance": "CT-PET+",
            "ct_volume_ml": None,
            "pet_volume_ml": 0.7,
            "suv_max": 3,
            "tlf": 2,
        },
    )
    able = [m for m, value in (("ct", ct), ("pet", pet), ("petct", petct)) if value is not None]
    rows = score_lesions(lesions, EVERYWHERE, form(Item(measure, (), tuple(able))))
    assert score(rows, "ct", "thigh", "left") == (None if ct is None else pytest.approx(ct))
    assert score(rows, "pet", "thigh", "left") == (None if pet is None else pytest.approx(pet))
    assert score(rows, "petct", "thigh", "left") == pytest.approx(petct)


def test_larger_volume_rule():
    lesions = table({"region": "thigh", "ct_volume_ml": 0.1, "pet_volume_ml": 0.9})
    item = Item("volume_ml", (), ("ct", "pet", "petct"))
    assert score(score_lesions(lesions, EVERYWHERE, form(item)), "petct", "thigh", "left") == 0.1
    assert score(score_lesions(lesions, EVERYWHERE, form(item, volume="larger")), "petct", "thigh", "left") == 0.9


def test_what_a_form_leaves_out():
    lesions = table(
        {"region": "thigh", "flags": "possible_myositis;diffuse"},
        {"region": "thigh", "flags": "enthesis?"},
        {"region": "thigh", "compartment": "periarticular"},
        {"region": "thigh", "ct_volume_ml": 0.01, "pet_volume_ml": 0.02},
    )
    strict = form(exclude_flags=("possible myositis",), compartments=("muscle",), min_volume_ml=0.05)
    assert score(score_lesions(lesions, EVERYWHERE, strict), "petct", "thigh", "left") == 1


def test_a_form_that_counts_what_both_modalities_show():
    lesions = table(*({"region": "thigh", "concordance": name} for name in CONCORDANCES))
    rows = score_lesions(lesions, EVERYWHERE, form(concordances=("CT+PET+",)))
    assert [score(rows, m, "thigh", "left") for m in ("ct", "pet", "petct")] == [1, 1, 1]


def test_several_items_sum_or_take_the_largest():
    number = Item("number", ((1, 1), (2, 2)), ("ct", "pet", "petct"))
    activity = Item("suv_max", ((2, 1), (5, 3)), ("pet", "petct"))
    lesions = table({"region": "thigh", "suv_max": 6.0}, {"region": "thigh", "suv_max": 2.0})
    summed = score_lesions(lesions, EVERYWHERE, form(number, activity))
    assert [score(summed, m, "thigh", "left") for m in ("ct", "pet", "petct")] == [2, 5, 5]
    largest = score_lesions(lesions, EVERYWHERE, form(number, activity, combine="largest"))
    assert [score(largest, m, "thigh", "left") for m in ("ct", "pet", "petct")] == [2, 3, 3]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("presence", (1, 2, 2)), ("extent", (3, 2, 4)), ("activity", (2, 4, 5))],
)
def test_shipped_forms_by_hand(name, expected):
    """Left thigh: 2.4 ml and 0.1 ml on CT, the first with a focus of SUVpeak 4; left fingers: a faint PET focus.

    Extent: thigh CT 3 (over 2 ml), PET 1 and fingers 1. Activity: thigh two deposits 2 (on PET 1) and
    SUVpeak 2, fingers 1.
    """
    lesions = table(
        {"region": "thigh", "ct_volume_ml": 2.4, "pet_volume_ml": 0.4, "suv_peak": 4.0},
        {"region": "thigh", "concordance": "CT+PET-"},
        {"region": "fingers", "concordance": "CT-PET+", "suv_peak": 1.0},
    )
    rows = score_lesions(lesions, EVERYWHERE, load_form(FORMS / f"{name}.yaml"))
    assert tuple(score(rows, m, "total") for m in ("ct", "pet", "petct")) == expected


LESIONS = st.lists(
    st.fixed_dictionaries(
        {
            "region": st.sampled_from(REGIONS),
            "side": st.sampled_from(["left", "right"]),
            "concordance": st.sampled_from(CONCORDANCES),
            "compartment": st.sampled_from(COMPARTMENTS),
            "ct_volume_ml": st.floats(0.01, 20),
            "pet_volume_ml": st.floats(0.01, 20),
        }
    ),
    max_size=12,
)


@given(LESIONS)
@settings(max_examples=25, deadline=None)
def test_pet_ct_never_scores_less_than_ct(lesions):
    for name in ("presence", "extent"):
        rows = score_lesions(table(*lesions), EVERYWHERE, load_form(FORMS / f"{name}.yaml"))
        by_place = {(r["modality"], r["region"], r["side"]): r["score"] for r in rows}
        for (modality, region, side), value in by_place.items():
            if modality == "ct":
                assert by_place["petct", region, side] >= value


def test_stage_writes_the_contract(tmp_path):
    write_table(tmp_path / "l.tsv", table({"region": "thigh", "lesion_id": 1}).to_dict("records"), LESION_COLUMNS)
    (tmp_path / "f.json").write_text(
        json.dumps({"imaged_fraction": {**EVERYWHERE, "left toes": {"ct": 0.1, "pet": 0.1}}})
    )
    score_scan(
        table=str(tmp_path / "l.tsv"),
        findings=str(tmp_path / "f.json"),
        scores=str(tmp_path / "s.tsv"),
        scan={"participant_id": "sub-01", "session_id": "ses-01", "acquisition": None},
        form=str(FORMS / "presence.yaml"),
    )
    lines = (tmp_path / "s.tsv").read_text().splitlines()
    assert lines[0].split("\t") == list(SCORE_COLUMNS)
    assert len(lines) == 1 + 3 * 28
    assert lines[-1] == "sub-01\tses-01\tpetct\ttotal\tn/a\t1"
    assert "sub-01\tses-01\tct\ttoes\tleft\tn/a" in lines
    assert "sub-01\tses-01\tct\ttoes\tright\t0" in lines


def test_a_scan_without_lesions(tmp_path):
    write_table(tmp_path / "l.tsv", [], LESION_COLUMNS)
    (tmp_path / "f.json").write_text(json.dumps({"imaged_fraction": EVERYWHERE}))
    score_scan(
        table=str(tmp_path / "l.tsv"),
        findings=str(tmp_path / "f.json"),
        scores=str(tmp_path / "s.tsv"),
        scan={"participant_id": "sub-01", "session_id": "ses-01"},
        form=str(FORMS / "extent.yaml"),
    )
    assert (tmp_path / "s.tsv").read_text().splitlines()[-1].endswith("total\tn/a\t0")
