"""The benchmark's comparison, on hand-made deposits and lesions whose numbers are known by hand."""

import numpy as np
import pandas as pd
import pytest

from calciflow.benchmark.compare import (
    DOUBTS,
    compare_deposits,
    dice,
    distances,
    false_positives,
    label_points,
    match,
    set_aside,
    size_band,
    tissue_dice,
    truth_as_lesions,
    visible_class,
)
from calciflow.benchmark.split import FIRST_SEED, MOST_SCANS, draw_scan, seeds_of
from calciflow.benchmark.tables import confusion, markdown, summary, summary_row
from calciflow.columns import FLAGS
from calciflow.labels import LESION_COLUMNS
from calciflow.phantom.cohort import MEMBERS
from calciflow.phantom.model import Person
from calciflow.phantom.movement import lever_of


def at(*points):
    return np.array(points, float)


DEPOSITS = {1: at((0, 0, 0)), 2: at((100, 0, 0)), 3: at((106, 0, 0)), 4: at((200, 0, 0)), 5: at((300, 0, 0))}
LESIONS = {
    11: at((0, 0, 3.9)),  # finds 1
    12: at((103, 0, 0)),  # finds 2 and 3: merged
    13: at((201, 0, 0)),  # 13 and 14 find 4: split
    14: at((199, 0, 0)),
    15: at((300, 4.1, 0)),  # beside 5, too far: 5 is missed, 15 false
}


@pytest.fixture
def truth():
    return pd.DataFrame(
        {
            "label": [1, 2, 3, 4, 5],
            "region": ["hand", "thigh", "thigh", "thigh", "fingers"],
            "side": "right",
            "compartment": "subcutaneous",
            "neighbours": ["muscle", None, None, None, None],
            "slice_mm": 3.0,
            "volume_ml": [0.05, 0.2, 0.2, 2.0, 0.5],
            "mass_mg": [100.0] * 5,
            "distance_to_bone_mm": [2.0, 4.9, 5.0, np.nan, 3.0],
            "taken_for": ["bone", "bone", "muscle", "muscle", "bone"],
            "hu_visible": [500.0] * 5,
            "suv_visible": [4.0] * 5,
            "suv_peak_visible": [2.0] * 5,
            "ct_visible": [True, True, False, True, False],
            "pet_visible": [True, False, True, True, False],
        }
    )


@pytest.fixture
def lesions():
    table = pd.DataFrame({name: [None] * 5 for name in LESION_COLUMNS})
    table["lesion_id"] = [11, 12, 13, 14, 15]
    table["concordance"], table["compartment"], table["side"] = "CT+PET+", "muscle", "right"
    table["region"] = ["hand", "thigh", "thigh", "thigh", "fingers"]
    table["ct_volume_ml"], table["hydroxyapatite_mg"] = 0.06, 90.0
    table["hu_max"], table["suv_max"], table["suv_peak"] = 510.0, 5.0, 1.0
    return table


def test_pairs_by_distance():
    assert match(DEPOSITS, LESIONS).pairs == ((1, 11), (2, 12), (3, 12), (4, 13), (4, 14))


def test_distance_is_in_mm_whatever_the_voxels():
    labels = np.zeros((2, 1, 3), np.uint8)
    labels[1, 0, 2] = 7
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    affine[:3, 3] = 10, 20, 30
    np.testing.assert_allclose(label_points(labels, affine)[7], [[14, 20, 35]])


def test_deposits(truth, lesions):
    got = compare_deposits(truth, lesions, match(DEPOSITS, LESIONS))
    assert got["pairing"].tolist() == ["single", "merged", "merged", "split", "missed"]
    assert got["detected"].tolist() == [True, True, True, True, False]
    assert got["visible_class"].fillna("hidden").tolist() == ["CT+PET+", "CT+PET-", "CT-PET+", "CT+PET+", "hidden"]
    assert got["found_ct_volume_ml"].notna().tolist() == [True, False, False, False, False]


def test_what_is_set_aside_is_no_false_positive_and_is_counted():
    table = pd.DataFrame({"lesion_id": [1, 2, 3], "flags": [None, "bone spill;possible myositis", "metal nearby"]})
    counted, aside = set_aside(table)
    assert (list(counted["lesion_id"]), list(aside["lesion_id"])) == ([1, 3], [2])


def test_false_positives_carry_the_true_tissue(lesions):
    got = false_positives(lesions, match(DEPOSITS, LESIONS), LESIONS, {15: "bone"})
    assert got["lesion_id"].tolist() == [15]
    assert got["true_tissue"].tolist() == ["bone"]


def test_flags_of_doubt_are_flags_that_lesions_have():
    assert set(FLAGS) >= DOUBTS


def test_table(truth, lesions):
    matches = match(DEPOSITS, LESIONS)
    lesions["flags"] = ["metal nearby;bone?", None, None, None, "metal nearby;arthritis?"]
    deposits = compare_deposits(truth, lesions, matches).assign(participant_id="sub-1")
    false = false_positives(lesions, matches, LESIONS, {15: "bone"}, {15: "rib"}).assign(participant_id="sub-1")
    scans = pd.DataFrame(
        [{"participant_id": person, "false_positives": n, "set_aside": 1} for person, n in (("sub-1", 1), ("sub-2", 0))]
    )
    for word in ("body", "bone", "muscle", "subcutaneous_fat"):
        scans[f"dice_{word}"] = 0.9
    scans["bone_fragments"] = [3, 0]
    scans["traps"] = ["tubes,scoliosis", ""]
    for name in ("motion_mm", "residual_mm", "residual_p95_mm"):
        scans[name] = 1.0
    for name in ("ct", "pet", "petct"):
        scans[f"score_{name}"], scans[f"score_true_{name}"] = [5.0, 3.0], [6.0, 5.0]
    rows = {(row["quantity"], row["subset"]): row for row in summary(deposits, false, scans)}
    found = {key: row.get("estimate") for key, row in rows.items()}
    assert found["sensitivity", "all visible"] == 1  # the missed one was hidden
    assert found["sensitivity", "hidden by physics (not counted above)"] == 0
    assert rows["sensitivity", "hands and feet"]["n"] == 1
    assert rows["sensitivity", "within 5 mm of bone"]["n"] == 2
    assert rows["sensitivity", "5 mm from bone and more"]["n"] == 2  # no bone in sight is far
    assert rows["missed: its place was taken for", "bone"]["n"] == 0  # what is hidden is not missed
    assert rows["sensitivity", "elsewhere, 0.1 to 0.3 ml"]["n"] == 2
    assert found["false positives a scan", "all"] == 0.5
    assert found["false positives a scan", "without a flag of doubt"] == 0
    assert found["with a flag of doubt", "deposits found alone"] == 1  # the only one that was found alone
    assert found["false positives a scan", "really in bone"] == 0.5  # a person without any counts as 0
    assert found["volume error", "median, %"] == pytest.approx(20)
    assert found["mass error", "median, %"] == pytest.approx(-10)
    assert found["HU max error", "median, HU"] == pytest.approx(10)
    assert found["SUVmax error", "median, %"] == pytest.approx(25)
    assert found["SUVpeak error", "median, %"] == pytest.approx(-50)
    assert found["right class", "found alone"] == 1
    assert found["right compartment", "found alone"] == 0
    # the lone deposit 1 has a muscle within 2 mm: `muscle` is no error there, and it says nothing of clear ones
    assert rows["right compartment", "2 mm and more from another"]["n"] == 0
    assert found["right compartment", "own, or a neighbour within 2 mm"] == 1
    assert found["found as", "one lesion of its own"] == pytest.approx(1 / 4)
    assert found["found as", "merged with another"] == pytest.approx(2 / 4)
    assert found["right region and side", "found alone"] == 1
    # deposits 2 and 4 are 0.1 ml and more and seen on CT; 2 lies in what was taken for bone
    assert found["taken for bone", "CT deposits of 0.1 ml and more, share"] == 0.5
    assert found["taken for bone", "CT deposits of 0.1 ml and more, a scan"] == 0.5
    assert found["bone fragments like a deposit", "a scan"] == 1.5
    assert found["false positives a scan", "cause rib"] == 0.5
    assert found["right class", "the same, or as it truly is"] == 1
    # Its uptake is real, but physics hides it: to have found it is right only by what it truly is.
    deposits["visible_class"] = deposits["visible_class"].replace(deposits.loc[0, "found_concordance"], "CT+PET-")
    deposits["found_concordance"] = deposits["concordance"] = "CT+PET+"
    again = {(row["quantity"], row["subset"]): row.get("estimate") for row in summary(deposits, false, scans)}
    assert again["right class", "found alone"] == 0
    assert again["right class", "the same, or as it truly is"] == 1
    deposits["concordance"] = "CT+PET-"
    again = {(row["quantity"], row["subset"]): row.get("estimate") for row in summary(deposits, false, scans)}
    assert again["right class", "the same, or as it truly is"] == 0
    assert found["false positives of a trap", "tubes"] == 0
    assert rows["false positives of a trap", "tubes"]["n"] == 1
    assert found["false positives of a trap", "scoliosis, all of the scan"] == 1
    assert rows["false positives of a trap", "myositis"]["n"] == 0
    assert rows["volume error", "median size, %, 0.1 ml and more, slices up to 3.3 mm"]["n"] == 0
    assert found["total score error", "ct, mean"] == -1.5
    table = confusion(deposits, "compartment", "found_compartment")
    assert table.to_dict("records") == [{"true_compartment": "subcutaneous", "muscle": 1}]
    assert "| sensitivity | all visible | 4 | 1 | 1 |" in markdown(list(rows.values()))


def test_interval_is_over_people():
    """Forty rows of two people, all 0 and all 1: drawn as people, the interval is 0 to 1."""
    who = pd.Series(["a"] * 20 + ["b"] * 20)
    row = summary_row("x", "y", pd.Series([0.0] * 20 + [1.0] * 20), who)
    assert (row["estimate"], row["ci_low"], row["ci_high"]) == (0.5, 0.0, 1.0)
    assert summary_row("x", "y", pd.Series([np.nan]), pd.Series(["a"]))["n"] == 0


def test_dice_and_distances():
    assert dice(np.array([True, True, False]), np.array([True, False, False])) == pytest.approx(2 / 3)
    assert np.isnan(dice(np.zeros(3, bool), np.zeros(3, bool)))
    got = tissue_dice(np.array([0, 3, 4, 4], np.uint8), np.array([0, 3, 4, 0], np.uint8))
    assert got["body"] == pytest.approx(4 / 5)
    assert got["muscle"] == 1
    assert got["bone"] == pytest.approx(2 / 3)
    mean, p95 = distances(at((0, 0, 0), (0, 0, 0)), at((3, 4, 0), (0, 0, 5)))
    assert (mean, p95) == (5, 5)


@pytest.mark.parametrize(
    ("volume", "band"), [(0.02, "under 0.1 ml"), (0.1, "0.1 to 0.3 ml"), (0.99, "0.3 to 1 ml"), (30, "1 ml and more")]
)
def test_size_bands(volume, band):
    assert size_band(volume) == band


def test_what_physics_leaves(truth):
    assert visible_class(False, False) is None
    got = truth_as_lesions(truth)
    assert got["concordance"].tolist() == ["CT+PET+", "CT+PET-", "CT-PET+", "CT+PET+"]
    assert got["ct_volume_ml"].isna().tolist() == [False, False, True, False]


def test_splits_share_no_seed_with_anything():
    dev, test = (set(seeds_of(split, MOST_SCANS)) for split in FIRST_SEED)
    assert not dev & test
    assert not {member.seed for member in MEMBERS} & (dev | test)
    with pytest.raises(ValueError, match="not dev or test"):
        seeds_of("train", 3)
    with pytest.raises(ValueError, match="1 to 1000"):
        seeds_of("dev", 0)


@pytest.mark.slow
def test_scans_are_drawn_within_their_bounds_and_repeatably():
    seeds = seeds_of("dev", 20)
    drawn = [draw_scan(seed) for seed in seeds]
    assert drawn[0] == draw_scan(seeds[0])
    for seed, (spec, wishes) in zip(seeds, drawn, strict=True):
        assert 16 <= spec.person.bmi <= 40
        assert 1 <= spec.ct.slice_mm <= 5
        assert 5 <= spec.pet.fwhm_mm <= 8
        assert max(map(abs, spec.motion.shift_mm)) <= 6
        assert all(0.02 <= one.volume_ml <= 20 for one in wishes)
        assert 0.8 <= spec.ct.pixel_mm <= 1.5
        size = spec.ct.matrix[0] * spec.ct.matrix[1] * (spec.z_range_mm[1] - spec.z_range_mm[0]) / spec.ct.slice_mm
        assert size < 8e7  # time and memory
        if spec.limb_motion is not None:
            person = Person.make(spec.person, seed)
            turn = np.deg2rad(np.linalg.norm(spec.limb_motion.rotation_deg))
            assert 5 <= turn * lever_of(spec.limb_motion.limb, person.limbs, person.build.scale) <= 20
    every = [one for _, wishes in drawn for one in wishes]
    assert {"head", "neck"} <= {one.region for one in every}
    assert {"fingertip", "tendon", "carpal_tunnel"} <= {one.site for one in every}
    assert {"bone", "skin"} <= {one.touches for one in every}
    assert any(one.count > 1 and one.region in ("fingers", "elbow") for one in every)
    assert any(spec.limb_motion for spec, _ in drawn)
    assert min(spec.ct.slice_mm for spec, _ in drawn) == 1.0
    assert {one.concordance for _, wishes in drawn for one in wishes} == {"CT+PET+", "CT+PET-", "CT-PET+"}
    assert {spec.person.arms for spec, _ in drawn} == {"down", "up", "belly", "under"}  # `under`: the trap
