"""Lesions of two sessions: matched, judged, and laid on each other."""

import math
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation

from calciflow.analyses.change_figure import COLUMNS as FIGURE_COLUMNS
from calciflow.analyses.change_figure import GONE, NEW, draw_change
from calciflow.anatomy.points import kabsch
from calciflow.change import MOST_POINTS, Session, compare_sessions, lesion_points
from calciflow.columns import CHANGE, COURSE
from calciflow.course import COURSE_COLUMNS, summarise_course
from calciflow.files import write_json
from calciflow.followup.columns import CHANGE_COLUMNS
from calciflow.followup.matching import Placed, pair_lesions
from calciflow.followup.verdicts import Limits, joined_note, judge, together, volume_limits
from calciflow.images import Volume
from calciflow.labels import COMPARTMENTS, LESION_COLUMNS, TISSUES, region_label
from calciflow.mapping import move
from calciflow.pages.course_views import course_view, ratio_plot
from calciflow.registration.scene import coarse
from calciflow.registration.sessions import align_sessions
from calciflow.settings import Change
from calciflow.tables import read_table, write_table

LIMITS = Limits()
THIN = (3.0, 3.0)


def blob(number, centre, radius=3.0):
    axis = np.arange(-radius, radius + 0.1, 1.5)
    grid = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)
    return Placed(number, grid[np.linalg.norm(grid, axis=1) <= radius] + np.array(centre, float))


def pairs(earlier, later, match_mm=8.0):
    return [(p.earlier, p.later) for p in pair_lesions(earlier, later, match_mm)]


def test_each_lesion_finds_its_own():
    before = [blob(1, (0, 0, 0)), blob(2, (15, 0, 0)), blob(3, (100, 0, 0))]
    after = [blob(7, (16, 1, 0)), blob(8, (1, -1, 0)), blob(9, (0, 200, 0))]
    assert pairs(before, after) == [((1,), (8,)), ((2,), (7,)), ((3,), ()), ((), (9,))]


def test_one_that_stayed_keeps_its_place():
    """Matching as many as possible would shift both by 9 mm."""
    before, after = [blob(1, (0, 0, 0)), blob(2, (-9, 0, 0))], [blob(5, (9, 0, 0)), blob(6, (0.5, 0, 0))]
    assert pairs(before, after) == [((1,), (6,)), ((2,), ()), ((), (5,))]


def test_the_nearest_pairs_win_together():
    """The first alone would take the nearest, and leave the second without."""
    before, after = [blob(1, (0, 0, 0)), blob(2, (7, 0, 0))], [blob(5, (4, 0, 0)), blob(6, (-3, 0, 0))]
    assert pairs(before, after) == [((1,), (6,)), ((2,), (5,))]


def test_growth_to_one_side_is_no_other_lesion():
    assert pairs([blob(1, (0, 0, 0))], [blob(2, (19, 0, 0), 20.0)]) == [((1,), (2,))]


def test_lesions_merge_and_split():
    one, two, large = blob(1, (0, 0, 0)), blob(2, (9, 0, 0)), blob(5, (4, 0, 0), 8.0)
    assert pairs([one, two], [large]) == [((1, 2), (5,))]
    assert pairs([large], [one, two]) == [((5,), (1, 2))]


def test_too_far_is_another():
    assert pairs([blob(1, (0, 0, 0))], [blob(2, (15, 0, 0))]) == [((1,), ()), ((), (2,))]
    slack = replace(blob(2, (15, 0, 0)), slack_mm=5.0)
    assert pairs([blob(1, (0, 0, 0))], [slack]) == [((1,), (2,))]
    assert pairs([], []) == []
    assert pairs([], [blob(1, (0, 0, 0))]) == [((), (1,))]


def lesion(concordance="CT+PET+", volume=1.0, suv=8.0, status=None, **cells):
    row = dict.fromkeys(LESION_COLUMNS) | {"lesion_id": 1, "lesion_uid": "u", "concordance": concordance}
    row["pet_status"] = status or ("positive" if concordance.endswith("PET+") else "negative")
    if concordance.startswith("CT+"):
        row |= {"ct_volume_ml": volume, "hydroxyapatite_mg": 400.0 * volume, "hu_max": 500.0}
    if concordance.endswith("PET+"):
        row |= {"pet_volume_ml": volume, "suv_max": suv, "suv_mean": 0.6 * suv, "tlf": 0.6 * suv * volume}
    return row | cells


def judged(before, after, slices=THIN):
    frames = [together(pd.DataFrame([row] if isinstance(row, dict) else row)) for row in (before, after)]
    return judge(frames[0], frames[1], slices, LIMITS)


@pytest.mark.parametrize(
    ("before", "after", "size", "activity"),
    [
        (lesion(), lesion(), "within limits", "within limits"),
        (lesion(), lesion(volume=1.2), "within limits", "within limits"),
        (lesion(), lesion(volume=1.4), "grown", "within limits"),
        (lesion(), lesion(volume=0.7), "shrunk", "within limits"),
        (lesion(volume=0.08), lesion(volume=0.13), "within limits", "within limits"),
        (lesion(), lesion(suv=10.5), "within limits", "within limits"),
        (lesion(), lesion(suv=10.6), "within limits", "more active"),
        (lesion(), lesion(suv=6.1), "within limits", "within limits"),
        (lesion(), lesion(suv=6.0), "within limits", "less active"),
        (lesion("CT+PET-"), lesion(), "within limits", "became active"),
        (lesion(), lesion("CT+PET-"), "within limits", "no longer active"),
        (lesion("CT+PET-"), lesion("CT+PET-"), "within limits", "inactive"),
        (lesion("CT+PET-", status="indeterminate"), lesion(), "within limits", "open"),
        (lesion("CT-PET+"), lesion(), "calcified", "within limits"),
        (lesion(), lesion("CT-PET+"), "calcium gone", "within limits"),
        (lesion("CT-PET+"), lesion("CT-PET+", suv=16.0), None, "more active"),
    ],
)
def test_verdicts(before, after, size, activity):
    verdict = judged(before, after)
    assert (verdict["size"], verdict["activity"]) == (size, activity)


def test_growth_alone_is_no_activity():
    """A deposit of the same uptake that doubles its volume shows more of it."""
    small, large = lesion(volume=0.5, suv=7.4, pet_recovery=0.5), lesion(suv=10.0, pet_recovery=0.66)
    verdict = judged(small, large)
    assert (verdict["size"], verdict["activity"]) == ("grown", "open")
    assert "partial volume" in verdict["note"]
    assert judged(small, lesion(suv=20.0, pet_recovery=0.66))["activity"] == "more active"
    assert judged(small, lesion(volume=0.5, suv=10.0, pet_recovery=0.5))["activity"] == "more active"


def test_the_borrowed_limits_are_lins():
    """Lin et al. 2016: repeat ratios within 0.76-1.32 (SUVmax), 0.88-1.14 (mean), 0.63-1.71 (total)."""
    own = Change()
    assert (own.suv_max_limits, own.suv_mean_limits, own.tlf_limits) == ((0.76, 1.32), (0.88, 1.14), (0.63, 1.71))
    assert (LIMITS.suv_max, LIMITS.suv_mean, LIMITS.tlf) == (own.suv_max_limits, own.suv_mean_limits, own.tlf_limits)
    assert judged(lesion(), lesion(suv=8 * 1.15))["suv_mean_change"] == "higher"
    assert judged(lesion(), lesion(suv=8 * 1.15))["tlf_change"] == "within limits"
    assert judged(lesion(), lesion(volume=1.25, suv=8 * 1.4))["tlf_change"] == "higher"


def test_limits_of_volume_are_symmetric_and_wider_for_small_and_thick():
    low, high = volume_limits(1.0, 1.2, THIN)
    assert low * high == pytest.approx(1.0)
    assert high == pytest.approx(math.exp(1.96 * math.sqrt(2) * 0.09))
    assert volume_limits(1.0, 1.2, (5.0, 5.0))[1] > high
    assert volume_limits(0.05, 0.06, THIN)[1] > volume_limits(1.0, 1.2, (5.0, 5.0))[1]


def test_merged_lesions_are_compared_as_a_sum():
    verdict = judged([lesion(volume=0.5), lesion(volume=0.6, suv=5.0)], lesion(volume=1.1))
    assert verdict["ct_volume_ratio"] == pytest.approx(1.0)
    assert verdict["suv_max_ratio"] == 1.0, "the higher of the two"
    assert verdict["hydroxyapatite_ratio"] == pytest.approx(1.0)


def body(seed=0, grid=(40, 50, 60), start=(-118.0, -98.0, -78.0)):
    """A lopsided trunk of ellipsoids: fat, muscle, and a bone that is not symmetric about anything."""
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = start
    z, y, x = (affine[i, 3] + 4.0 * np.arange(n) for i, n in zip((2, 1, 0), grid, strict=True))
    z, y, x = z[:, None, None], y[None, :, None], x[None, None, :]
    inside = (x / 90) ** 2 + (y / 65) ** 2 + (z / 150) ** 2 <= 1
    muscle = ((x - 8) / 70) ** 2 + ((y + 5) / 45) ** 2 + (z / 140) ** 2 <= 1
    bone = ((x - 20) / 14) ** 2 + ((y + 12) / 18) ** 2 + ((z - 15) / 60) ** 2 <= 1
    bone |= ((x + 30) / 25) ** 2 + ((y - 8) / 8) ** 2 + ((z + 30) / 12) ** 2 <= 1
    tissues = np.zeros(grid, np.uint8)
    tissues[inside], tissues[muscle & inside] = TISSUES["subcutaneous_fat"], TISSUES["muscle"]
    tissues[bone & inside] = TISSUES["bone"]
    hu = np.array([-1000, 0, -100, 55, 700, 0, 0, 0], np.int16)[tissues]
    hu = hu + np.random.default_rng(seed).normal(0, 15, grid).astype(np.int16)
    regions = np.where(inside, np.where(x > 0, region_label("thigh", "right"), region_label("thigh", "left")), 0)
    return [Volume(array, affine) for array in (hu, tissues, regions.astype(np.uint8))]


def rigid(angles, shift):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return matrix


def test_two_sessions_are_laid_on_each_other():
    truth = rigid((3.0, -2.0, 6.0), (14.0, -9.0, 45.0))
    later = [Volume(volume.array, truth @ volume.affine) for volume in body(1, start=(-114.0, -100.0, -70.0))]
    alignment = align_sessions(coarse(*later, 4.0), coarse(*body(2), 4.0))
    points = np.array([[60.0, 0, 30], [-60, 10, -40], [0, 40, 0], [20, -30, 60]])
    back = move(alignment.whole.matrix, move(truth, points))
    assert np.linalg.norm(back - points, axis=1).max() < 1.5
    assert alignment.whole.residual_mm < 3.0


def test_nothing_in_common():
    empty = body()
    empty[1] = empty[1].like(np.zeros_like(empty[1].array))
    assert align_sessions(coarse(*body(), 4.0), coarse(*empty, 4.0)) is None


def session(rows, places, imaged=1.0, start=(-118.0, -98.0, -78.0), grid=(40, 50, 60)):
    ct, tissues, regions = body(start=start, grid=grid)
    table = pd.DataFrame(rows).assign(region="thigh", side="left", compartment="muscle")
    table["lesion_id"] = range(1, len(rows) + 1)
    table["lesion_uid"] = [f"u{i}" for i in table["lesion_id"]]
    points = {i: blob(i, place).points for i, place in zip(table["lesion_id"], places, strict=True)}
    share = {"left thigh": {"ct": imaged, "pet": imaged}}
    return Session(coarse(ct, tissues, regions, 4.0), tissues, tissues.array, table, points, share, 3.0)


def test_what_the_other_session_did_not_image_is_neither_new_nor_resolved():
    whole = session([lesion(), lesion()], [(-30, 0, -60), (-30, 0, 30)])
    short = session([lesion(), lesion("CT-PET+")], [(-30, 0, 30), (-40, -30, 40)], start=(-118, -98, -42),
                    grid=(31, 50, 60))  # fmt: skip
    rows, told = compare_sessions(whole, short, 8.0, LIMITS)
    assert told["registered"]
    assert [row["status"] for row in rows] == ["not imaged after", "persistent", "new"]
    rows, _ = compare_sessions(short, whole, 8.0, LIMITS)
    assert [row["status"] for row in rows] == ["persistent", "resolved", "not imaged before"]
    blind = replace(whole, imaged={"left thigh": {"ct": 1.0, "pet": 0.0}})
    rows, _ = compare_sessions(short, blind, 8.0, LIMITS)
    assert [row["status"] for row in rows][1] == "not imaged after", "PET did not look for uptake alone"


def test_small_ones_may_have_been_missed():
    earlier = session([lesion(volume=0.03)], [(-30, 0, 30)])
    later = session([lesion(volume=0.5)], [(-30, 0, -40)])
    rows, _ = compare_sessions(earlier, later, 8.0, LIMITS)
    assert [(row["status"], row["note"]) for row in rows] == [
        ("resolved", "small: the later session may have missed it"),
        ("new", None),
    ]


def test_lesions_that_became_more_or_fewer_are_told():
    assert joined_note([1, 2], [3]) == "2 lesions have become one"
    assert joined_note([1], [2, 3, 4]) == "one lesion has become 3"
    assert joined_note([1, 2], [3, 4]) == "2 lesions and 2 later ones cannot be told apart"
    assert joined_note([1], [2]) is None


def test_points_of_lesions_are_their_own_and_span_them():
    labels = np.zeros((30, 30, 30), np.uint16)
    labels[2:4, 2:4, 2:4] = 1
    labels[10:28, 10:28, 10:28] = 3  # no lesion 2
    found = lesion_points(Volume(labels, np.diag([2.0, 2.0, 3.0, 1.0])))
    assert sorted(found) == [1, 3]
    assert len(found[1]) == 8
    assert (found[1].min(axis=0).tolist(), found[1].max(axis=0).tolist()) == ([4, 4, 6], [6, 6, 9])
    assert len(found[3]) == MOST_POINTS
    assert (found[3].min(axis=0).tolist(), found[3].max(axis=0).tolist()) == ([20, 20, 30], [54, 54, 81])


def test_a_rigid_pose_of_three_points_is_found_exactly():
    truth = rigid((20.0, -35.0, 70.0), (12.0, -3.0, 40.0))
    points = np.array([[0.0, 0, 0], [100, 0, 0], [0, 50, 0], [10, 20, 80]])
    np.testing.assert_allclose(kabsch(points, move(truth, points)), truth, atol=1e-9)
    mirrored = points * [-1, 1, 1]
    assert np.linalg.det(kabsch(points, mirrored)[:3, :3]) == pytest.approx(1.0), "a turn, never a mirror"


def test_sessions_that_show_nothing_in_common_are_not_compared():
    whole = session([lesion()], [(-30, 0, 30)])
    nothing = replace(whole, blocks=coarse(*[v.like(np.zeros_like(v.array)) for v in body()], 4.0))
    rows, told = compare_sessions(whole, nothing, 8.0, LIMITS)
    assert rows == []
    assert told["registered"] is False
    assert told["warnings"] == ["The two sessions show nothing in common: their lesions were not compared."]


def follow_up(folder, rows):
    folder.mkdir()
    write_table(folder / "participants.tsv", [{"participant_id": "sub-01", "group": "DM"}], ["participant_id", "group"])
    who = {"participant_id": "sub-01", "session_before": "ses-01", "session_after": "ses-02"}
    path = folder / "sub-01_ses-02_desc-change_lesions.tsv"
    write_table(path, [{**who, "change_id": i, **row} for i, row in enumerate(rows, 1)], CHANGE_COLUMNS)
    told = {"registered": True, "residual_mm": {"body": 1.5}, "warnings": [], "limits": {"suv_max": [0.7, 1.4]}}
    write_json(folder / "sub-01_ses-02_desc-change_lesions.json", told)
    names = {name: str(folder / f"{name}.tsv") for name in ("changes", "course")}
    summarise_course(
        participants=str(folder / "participants.tsv"),
        tables=[str(path)],
        reports=[str(path).replace(".tsv", ".json")],
        pairs=[("ses-01", "ses-02")],
        exclude_flags=("possible myositis",),
        figure=str(folder / "change.svg"),
        **names,
    )
    return [read_table(path, text_columns=("status", "size", "activity", "note")) for path in names.values()]


ROWS = [
    {"status": "persistent", "size": "grown", "activity": "more active", "ct_volume_ml_before": 0.5,
     "ct_volume_ml_after": 1.0, "ct_volume_ratio": 2.0, "suv_max_before": 4.0, "suv_max_after": 8.0,
     "suv_max_ratio": 2.0, "tlf_before": 1.0, "tlf_after": 4.0, "compartment": "muscle"},
    {"status": "persistent", "size": "within limits", "activity": "within limits", "ct_volume_ml_before": 1.0,
     "ct_volume_ml_after": 1.1, "ct_volume_ratio": 1.1, "suv_max_before": 4.0, "suv_max_after": 4.0,
     "suv_max_ratio": 1.0, "compartment": "fascia"},
    {"status": "new", "ct_volume_ml_after": 0.3, "suv_max_after": 6.0, "compartment": "subcutaneous"},
    {"status": "resolved", "ct_volume_ml_before": 0.2, "compartment": "skin"},
    {"status": "not imaged before", "ct_volume_ml_after": 9.0, "compartment": "muscle"},
    {"status": "new", "suv_max_after": 3.0, "flags": "possible myositis", "compartment": "muscle"},
]  # fmt: skip


def test_course_counts_what_both_sessions_imaged(tmp_path):
    changes, course = follow_up(tmp_path / "one", ROWS)
    assert len(changes) == 6
    row = course.iloc[0]
    assert (row["n_new"], row["n_resolved"], row["n_persistent"], row["n_not_imaged"]) == (1, 1, 2, 1)
    assert (row["n_grown"], row["n_more_active"], row["n_set_aside"]) == (1, 1, 1)
    assert (row["ct_volume_ml_before"], row["ct_volume_ml_after"]) == pytest.approx((1.7, 2.4))


def test_nobody_was_scanned_twice(tmp_path):
    write_table(tmp_path / "p.tsv", [{"participant_id": "sub-01", "group": "DM"}], ["participant_id", "group"])
    names = {name: str(tmp_path / f"{name}.tsv") for name in ("changes", "course")}
    summarise_course(participants=str(tmp_path / "p.tsv"), figure=str(tmp_path / "change.svg"), **names)
    assert "nobody was scanned twice" in (tmp_path / "change.svg").read_text()
    assert (tmp_path / "change.tsv").read_text().splitlines() == ["\t".join(FIGURE_COLUMNS)]
    tables = [read_table(path) for path in names.values()]
    assert [list(table.columns) for table in tables] == [CHANGE_COLUMNS, COURSE_COLUMNS]
    assert course_view(tables[0], tables[1], {}) is None


def test_columns_are_documented():
    assert list(CHANGE) == CHANGE_COLUMNS
    assert list(COURSE) == COURSE_COLUMNS


def test_the_figure(tmp_path):
    changes, course = follow_up(tmp_path / "one", ROWS)
    view = course_view(changes, course, {"suv_max_limits": (0.76, 1.32)}, ("possible myositis",))
    (line,) = view.volume.lines
    assert [len(plot.lines[0].marks) for plot in (view.volume, view.uptake)] == [4, 3]
    everything = course_view(changes, course, {})
    assert len(everything.uptake.lines[0].marks) == 4, "the flagged one, too"
    assert len(view.lesions.rows) == len(ROWS)
    grown, same, new, gone = line.marks[:4]
    assert grown.beyond
    assert not same.beyond
    assert gone.x < same.x < grown.x < new.x
    middle = view.volume.ticks[2].place
    assert view.volume.ticks[3].place == grown.x, "twice the volume lies at 2"
    assert view.uptake.band[0] < middle < view.uptake.band[1]
    assert "borrowed" in view.borrowed
    assert ratio_plot(changes[changes["status"] == "not imaged before"], "suv_max", "activity", None) is None


def test_the_figure_for_papers(tmp_path):
    follow_up(tmp_path / "one", ROWS)
    follow_up(tmp_path / "two", ROWS)
    svg = (tmp_path / "one" / "change.svg").read_bytes()
    assert svg == (tmp_path / "two" / "change.svg").read_bytes()
    words = {"".join(element.itertext()).strip() for element in ElementTree.fromstring(svg).iter()}
    assert {"sub-01 ses-01 to ses-02", "gone", "new", "SUVmax, later / earlier", "muscle", "fascia"} <= words
    data = read_table(tmp_path / "one" / "change.tsv", text_columns=("status",))
    assert data["status"].tolist() == [row["status"] for row in ROWS if "flags" not in row]
    assert data["ct_volume_ratio"].dropna().tolist() == [2.0, 1.1]


def test_marks_of_the_figure_stand_at_their_ratios(tmp_path):
    changes, _ = follow_up(tmp_path / "one", ROWS[:4])
    figure, rows, _ = draw_change(changes, (0.76, 1.32))
    volume, uptake = figure.axes
    drawn = [
        (line.get_xdata()[0], line.get_markerfacecolor() != "none")
        for line in volume.lines
        if line.get_label() in COMPARTMENTS
    ]
    assert drawn == [(2.0, True), (pytest.approx(1.1), False), (NEW, True), (GONE, True)]
    drawn = [line.get_xdata()[0] for line in uptake.lines if line.get_label() in COMPARTMENTS]
    assert drawn == [2.0, 1.0, NEW]  # what resolved had no uptake: nothing to show
    (band,) = uptake.patches
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((0.76, 1.32))
    assert len(rows) == 4
