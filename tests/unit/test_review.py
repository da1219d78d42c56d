"""A reader's edits on an analytic limb: sheet, corrected mask, mistakes, and what the tables say afterwards."""

from dataclasses import replace
from pathlib import Path

import lesion_bodies as bodies
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from calciflow.compartments import classify_scan
from calciflow.deposits.identity import ALPHABET, lesion_uid, uid_fault
from calciflow.edits.sheet import read_edits
from calciflow.errors import ScanError, StudyError
from calciflow.files import read_json, write_json
from calciflow.images import Volume, read_volume, write_volume
from calciflow.lesions import Rules, detect, find_lesions
from calciflow.mapping import Mapping
from calciflow.review import review_scan
from calciflow.study import edit_files, stray_edits
from calciflow.tables import read_table

Ball = bodies.Ball
SCAN = {"participant_id": "sub-01", "session_id": "ses-01", "acquisition": None}
BOTH = Ball(30.0, 0.0, 20.0, 0.5, 700.0, 12.0)
COLD = Ball(0.0, 52.0, -15.0, 0.4, 500.0, None)
AVID = Ball(-28.0, -10.0, 0.0, 1.0, None, 9.0)
PAIR = (Ball(30.0, -8.0, -30.0, 0.2, 600.0), Ball(30.0, 4.0, -30.0, 0.2, 600.0))
PLACES = {"shell_mm": 3.0, "capsule_mm": 3.0, "midline_mm": 15.0}
HEAD = "lesion_uid\taction\tvalue\treader\treason\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The machine's results of a limb with five deposits, in files."""
    folder = tmp_path_factory.mktemp("machine")
    limb = bodies.limb([BOTH, COLD, AVID, *PAIR])
    paths = {name: str(folder / f"{name}.nii.gz") for name in ("ct", "suv", "tissues", "regions", "candidates_map")}
    for name, dtype in (("ct", np.int16), ("suv", np.float32)):
        write_volume(paths[name], getattr(limb, name), dtype)
    for name in ("tissues", "regions"):
        write_volume(paths[name], limb.ct.like(getattr(limb, name)), np.uint8)
    for name in ("anatomy", "ct_json", "suv_json", "xfm_json", "findings"):
        paths[name] = str(folder / f"{name}.json")
    write_json(paths["anatomy"], limb.anatomy)
    write_json(paths["ct_json"], {"KVP": 120.0})
    write_json(paths["suv_json"], {"fwhm_mm": 6.0})
    write_json(paths["xfm_json"], {"tolerance_mm": 2.0})
    paths["xfm"] = str(folder / "xfm.tfm")
    sitk.WriteTransform(sitk.Euler3DTransform(), paths["xfm"])
    paths["candidates"], paths["machine"] = str(folder / "candidates.tsv"), str(folder / "machine.tsv")
    taken = ("ct ct_json suv suv_json tissues regions anatomy xfm xfm_json candidates findings").split()
    find_lesions(**{name: paths[name] for name in taken}, lesions=paths["candidates_map"], scan=SCAN)
    classify_scan(
        **{name: paths[name] for name in ("ct", "tissues", "regions", "anatomy", "candidates", "xfm_json")},
        lesions=paths["candidates_map"],
        table=paths["machine"],
        **PLACES,
    )
    return paths


class Reader:
    """Applies edits to the limb, and knows its lesions by their truth."""

    def __init__(self, made, folder):
        self.made, self.folder = made, folder
        self.machine = read_table(made["machine"])

    def uid(self, ball):
        return str(self.row(self.machine, ball)["lesion_uid"])

    def row(self, frame, ball):
        apart = np.linalg.norm(frame[["x_mm", "y_mm", "z_mm"]].to_numpy(float) - [ball.x, ball.y, ball.z], axis=1)
        assert apart.min() < 4.0
        return frame.iloc[int(np.argmin(apart))]

    def mask(self, change, name="mask.nii.gz", volume=None):
        source = read_volume(self.made["candidates_map"])
        labels = source.array.copy()
        change(labels)
        path = self.folder / name
        write_volume(path, (volume or source).like(labels), np.int16)
        return str(path)

    def apply(self, rows=(), mask=None, sheet=True):
        path = None
        if sheet:
            path = self.folder / "sub-01_ses-01_lesions.tsv"
            path.write_text(HEAD + "".join("\t".join(row) + "\n" for row in rows))
        images = ("ct", "ct_json", "suv", "tissues", "regions", "anatomy", "xfm", "xfm_json")
        out = {name: str(self.folder / f"out_{name}") for name in ("table", "record", "summary")}
        review_scan(
            **{name: self.made[name] for name in ("candidates_map", "machine", "findings")},
            **({name: self.made[name] for name in images} if path or mask else {}),
            **out,
            lesions=str(self.folder / "out.nii.gz"),
            scan=SCAN,
            edits=None if path is None else str(path),
            mask=mask,
            rules={"injection_sites": []},
            places=PLACES,
        )
        self.record = read_table(out["record"], text_columns=("value", "note"))
        self.warnings = read_json(out["summary"])["warnings"]
        self.labels = read_volume(self.folder / "out.nii.gz").array
        table = read_table(out["table"], text_columns=("review", "reader", "edit", "edit_reason"))
        assert set(np.unique(self.labels)) - {0} == set(table["lesion_id"])
        return table


@pytest.fixture
def reader(made, tmp_path):
    return Reader(made, tmp_path)


def test_without_edits_everything_passes_unchanged(reader, made):
    table = reader.apply(sheet=False)
    assert Path(reader.folder / "out.nii.gz").read_bytes() == Path(made["candidates_map"]).read_bytes()
    assert set(table["review"]) == {"machine"}
    pd.testing.assert_frame_equal(table[reader.machine.columns], reader.machine)
    assert len(reader.record) == 0
    assert reader.warnings == []


def test_words_of_a_reader(reader):
    cold, avid, both = reader.uid(COLD), reader.uid(AVID), reader.uid(BOTH)
    table = reader.apply(
        [
            (cold, "compartment", "fascia", "AB", "along the fascia lata"),
            (avid, "relabel", "region=knee;side=left", "AB", "above the joint"),
            (both, "accept", "n/a", "CD", "n/a"),
        ]
    ).set_index("lesion_uid")
    machine = reader.machine.set_index("lesion_uid")
    assert table.loc[cold, "compartment"] == "fascia"
    assert table.loc[cold, "compartment_probability"] == machine.loc[cold, "p_fascia"], "still the machine's evidence"
    assert "AB: along the fascia lata" in table.loc[cold, "reason"]
    assert "subcutaneous" in table.loc[cold, "reason"], "what the machine said stays to be read"
    assert tuple(table.loc[avid, ["region", "side"]]) == ("knee", "left")
    assert table.loc[[cold, avid, both], "review"].tolist() == ["changed", "changed", "accepted"]
    assert table.loc[cold, "edit"] == "compartment: subcutaneous -> fascia"
    assert (table["review"] == "machine").sum() == 2
    measured = ["ct_volume_ml", "hu_max", "suv_max", "x_mm"]
    pd.testing.assert_frame_equal(table[measured], machine[measured])
    assert reader.record["outcome"].tolist() == ["applied"] * 3
    assert reader.record["machine_value"].tolist()[:2] == ["subcutaneous", "thigh; right"]


def test_a_rejected_lesion_is_gone_but_recorded(reader):
    cold = reader.uid(COLD)
    table = reader.apply([(cold, "reject", "n/a", "AB", "a vessel")])
    assert len(table) == 4
    assert cold not in set(table["lesion_uid"])
    assert tuple(reader.record.loc[0, ["outcome", "machine_value"]]) == ("applied", "CT+PET- subcutaneous")


def test_merged_lesions_are_measured_as_one(reader):
    first, second = (reader.uid(ball) for ball in PAIR)
    table = reader.apply([(first, "merge", second, "AB", "one plaque")]).set_index("lesion_uid")
    machine = reader.machine.set_index("lesion_uid")
    assert len(table) == 4
    row = table.loc[first]
    assert row["review"] == "outlined"
    both = machine.loc[[first, second]]
    assert row["ct_volume_ml"] == pytest.approx(0.4, rel=0.1), "truth"
    assert row["hydroxyapatite_mg"] == pytest.approx(both["hydroxyapatite_mg"].sum(), rel=0.05)
    assert row["hu_max"] == both["hu_max"].max()
    assert row["y_mm"] == pytest.approx(-2.0, abs=1.0)
    assert row["length_mm"] > 1.5 * both["length_mm"].max()


def test_a_lesion_is_taken_up_once(reader):
    first, second = (reader.uid(ball) for ball in PAIR)
    rows = [(first, "merge", second, "AB", "x"), (reader.uid(COLD), "merge", second, "AB", "x")]
    with pytest.raises(StudyError, match=f"row 3, column `value`: {second} is taken up in row 2. Keep one"):
        reader.apply(rows)
    with pytest.raises(StudyError, match=f"row 3, column `lesion_uid`: {second} is taken up by {first} in row 2"):
        reader.apply([rows[0], (second, "accept", "n/a", "AB", "n/a")])


def test_a_merge_with_lesions_that_have_gone_is_done_in_part_or_lost(reader):
    first, second = (reader.uid(ball) for ball in PAIR)
    gone = lesion_uid("sub-01_ses-01", "ct", (1.0, 2.0, 3.0))
    table = reader.apply([(first, "merge", f"{second};{gone}", "AB", "one plaque")])
    assert len(table) == 4
    assert reader.record.loc[0, "outcome"] == "partly"
    assert reader.record.loc[0, "note"] == f"Not there any more: {gone}."
    for row in ((gone, "merge", first, "AB", "one plaque"), (first, "merge", gone, "AB", "one plaque")):
        table = reader.apply([row])
        pd.testing.assert_frame_equal(table[reader.machine.columns], reader.machine)
        assert reader.record.loc[0, "outcome"] == "lost"


def test_the_machines_own_word_is_no_change(reader):
    cold = reader.uid(COLD)
    machine = reader.machine.set_index("lesion_uid").loc[cold]
    row = reader.apply([(cold, "compartment", "subcutaneous", "AB", "sure")]).set_index("lesion_uid").loc[cold]
    assert machine["compartment"] == "subcutaneous"
    assert row["review"] == "accepted"
    assert row["reason"] == machine["reason"] or (pd.isna(row["reason"]) and pd.isna(machine["reason"]))
    assert reader.record.loc[0, "outcome"] == "no change"


def test_lesions_that_the_mask_draws_as_one_and_one_that_it_cuts(reader):
    """Two lesions under one label are one; the half of a lesion under a new label is cut from it."""
    first, second, avid = (reader.row(reader.machine, ball) for ball in (*PAIR, AVID))

    def redraw(labels):
        labels[labels == second["lesion_id"]] = first["lesion_id"]
        places = np.argwhere(labels == avid["lesion_id"])
        labels[tuple(places[places[:, 2] > np.median(places[:, 2])].T)] = 40

    table = reader.apply(mask=reader.mask(redraw), sheet=False)
    assert table["lesion_uid"].is_unique, "whichever half holds the highest voxel"
    assert all(uid_fault(uid, "sub-01_ses-01") is None for uid in table["lesion_uid"])
    table = table.set_index("lesion_uid")
    kept = {str(row["lesion_uid"]) for row in (first, second)} & set(table.index)
    assert len(kept) == 1
    (uid,) = kept
    (other,) = {str(row["lesion_uid"]) for row in (first, second)} - kept
    assert table.loc[uid, "review"] == "outlined"
    assert f"takes up {other}" in table.loc[uid, "edit"]
    assert table.loc[uid, "ct_volume_ml"] == pytest.approx(0.4, rel=0.1), "truth"
    added = table[table["review"] == "added"]
    assert added["edit"].tolist() == [f"added in the mask, cut from {avid['lesion_uid']}"]
    halves = [table.loc[avid["lesion_uid"], "pet_volume_ml"], added["pet_volume_ml"].iloc[0]]
    assert sum(halves) == pytest.approx(avid["pet_volume_ml"], rel=0.35)


def test_a_mask_with_a_fourth_axis_of_one_is_read_and_one_of_two_is_not(reader):
    grid = read_volume(reader.made["candidates_map"])
    affine = np.asarray(grid.affine)
    whole = np.ascontiguousarray(grid.array.transpose(2, 1, 0)).astype(np.int16)
    single, double = reader.folder / "single.nii.gz", reader.folder / "double.nii.gz"
    nib.save(nib.Nifti1Image(whole[..., None], affine), single)
    table = reader.apply(mask=str(single), sheet=False)
    pd.testing.assert_frame_equal(table[reader.machine.columns], reader.machine)
    nib.save(nib.Nifti1Image(np.stack([whole, whole], axis=-1), affine), double)
    with pytest.raises(StudyError, match=r"double\.nii\.gz: 4 dimensions; a label map has 3"):
        reader.apply(mask=str(double), sheet=False)


def test_labels_below_nought_are_refused(reader):
    grid = read_volume(reader.made["candidates_map"])
    path = reader.folder / "below.nii.gz"
    write_volume(path, grid.like(np.where(grid.array == 1, -1, grid.array.astype(np.int16))), np.int16)
    with pytest.raises(StudyError, match=r"below\.nii\.gz: labels must be whole numbers from 0 to"):
        reader.apply(mask=str(path), sheet=False)


def test_a_reader_denies_uptake(reader):
    both = reader.uid(BOTH)
    row = reader.apply([(both, "relabel", "concordance=CT+PET-", "AB", "bone")]).set_index("lesion_uid").loc[both]
    assert tuple(row[["concordance", "pet_status", "compartment"]]) == ("CT+PET-", "negative", "muscle")
    assert pd.isna(row["pet_volume_ml"])
    assert pd.isna(row["suv_max"])
    assert row["ct_volume_ml"] == pytest.approx(0.5, rel=0.1)
    assert reader.record.loc[0, "machine_value"] == "CT+PET+"


def test_a_reader_sees_uptake(reader):
    cold = reader.uid(COLD)
    row = reader.apply([(cold, "relabel", "pet_status=positive", "AB", "faint")]).set_index("lesion_uid").loc[cold]
    assert tuple(row[["concordance", "pet_status"]]) == ("CT+PET+", "positive")
    assert 0.1 < row["suv_mean"] < 1.0, "measured in the outline"
    assert row["ct_volume_ml"] == pytest.approx(0.4, rel=0.1)


def test_a_mask_saved_as_it_was_changes_nothing(reader):
    table = reader.apply(mask=reader.mask(lambda labels: None), sheet=False)
    assert set(table["review"]) == {"machine"}
    pd.testing.assert_frame_equal(table[reader.machine.columns], reader.machine)


def test_labels_are_told_by_where_they_lie(reader):
    """3D Slicer numbers the segments anew on export."""

    def renumber(labels):
        labels[labels > 0] = 17 - labels[labels > 0]

    table = reader.apply(mask=reader.mask(renumber), sheet=False)
    pd.testing.assert_frame_equal(table[reader.machine.columns], reader.machine)


def test_a_corrected_mask(reader):
    """One lesion taken out, one drawn smaller, one added where the machine found none."""
    cold, both, avid = (reader.row(reader.machine, ball) for ball in (COLD, BOTH, AVID))
    grid = read_volume(reader.made["candidates_map"])

    def correct(labels):
        labels[labels == cold["lesion_id"]] = 0
        places = np.argwhere(labels == avid["lesion_id"])
        labels[labels == avid["lesion_id"]] = 0
        inner = places[np.linalg.norm(grid.world(places) - [AVID.x, AVID.y, AVID.z], axis=1) <= AVID.radius]
        labels[tuple(inner.T)] = 30
        z, y, x = np.ogrid[tuple(slice(n) for n in labels.shape)]
        centre = grid.index(np.array([[-10.0, -35.0, -20.0]]))[0]
        apart = sum(((a - c) * s) ** 2 for a, c, s in zip((z, y, x), centre, grid.spacing, strict=True))
        labels[apart <= 8.0**2] = 31

    rows = [("n/a", "mask", "n/a", "CD", "outlines corrected")]
    table = reader.apply(rows, mask=reader.mask(correct)).set_index("lesion_uid")
    machine = reader.machine.set_index("lesion_uid")
    assert cold["lesion_uid"] not in table.index
    assert table.loc[both["lesion_uid"], "review"] == "machine"
    drawn = table.loc[avid["lesion_uid"]]
    assert drawn["review"] == "outlined"
    assert drawn["reader"] == "CD"
    assert drawn["concordance"] == "CT-PET+"
    assert drawn["pet_volume_ml"] <= machine.loc[avid["lesion_uid"], "pet_volume_ml"]
    assert drawn["pet_volume_ml"] == pytest.approx(1.0, rel=0.25)
    assert drawn["suv_max"] == pytest.approx(machine.loc[avid["lesion_uid"], "suv_max"])
    added = table[table["review"] == "added"].iloc[0]
    assert added["lesion_id"] == 6
    assert (added["x_mm"], added["y_mm"], added["z_mm"]) == pytest.approx((-10.0, -35.0, -20.0), abs=1.5)
    assert tuple(added[["compartment", "region", "side"]]) == ("muscle", "thigh", "right")
    assert uid_fault(str(added.name), "sub-01_ses-01") is None
    assert len(table) == 5
    assert reader.record["outcome"].tolist() == ["applied"] * 3
    assert set(reader.record["reader"]) == {"CD"}


def test_a_missed_deposit_drawn_by_a_reader_is_measured_like_a_found_one(reader, made, monkeypatch):
    """The machine's table and map without one deposit; the reader draws what the machine would have found."""
    cold = reader.row(reader.machine, COLD)
    whole = read_volume(made["candidates_map"])
    blind = whole.array.copy()
    blind[blind == cold["lesion_id"]] = 0
    kept = reader.machine[reader.machine["lesion_id"] != cold["lesion_id"]]
    changed = dict(made, candidates_map=str(reader.folder / "blind.nii.gz"), machine=str(reader.folder / "blind.tsv"))
    write_volume(changed["candidates_map"], whole.like(blind), np.uint16)
    kept.to_csv(changed["machine"], sep="\t", index=False, na_rep="n/a")
    mask = reader.mask(lambda labels: None)
    other = Reader(changed, reader.folder)
    table = other.apply(mask=mask, sheet=False)
    added = table[table["review"] == "added"].iloc[0]
    assert added["lesion_uid"] == cold["lesion_uid"], "the same highest voxel"
    for name in ("ct_volume_ml", "hydroxyapatite_mg", "hu_max", "hu_mean", "distance_to_skin_mm", "length_mm"):
        assert added[name] == pytest.approx(cold[name], rel=0.03), name
    assert tuple(added[["concordance", "compartment"]]) == tuple(cold[["concordance", "compartment"]])


def test_a_lost_lesion_is_reported(reader):
    other = lesion_uid("sub-01_ses-01", "ct", (1.0, 2.0, 3.0))
    table = reader.apply([(other, "reject", "n/a", "AB", "a vessel")])
    assert len(table) == 5
    assert reader.record.loc[0, "outcome"] == "lost"
    assert "row 2" in reader.warnings[0]
    assert other in reader.warnings[0]


MISTAKES = {
    "unknown uid": (("{typo}", "reject", "n/a", "AB", "x"), ["row 2", "`lesion_uid`", "{typo}", "Is `{cold}` meant?"]),
    "not a uid": (("lesion 3", "reject", "n/a", "AB", "x"), ["row 2", "`lesion_uid`", "lesion 3"]),
    "another scan's": (("{foreign}", "reject", "n/a", "AB", "x"), ["row 2", "another scan"]),
    "unknown action": (("{cold}", "delete", "n/a", "AB", "x"), ["row 2", "`action`", "delete", "reject"]),
    "near action": (("{cold}", "Acept", "n/a", "AB", "x"), ["`action`", "Is `accept` meant?"]),
    "wrong compartment": (("{cold}", "compartment", "muscles", "AB", "x"), ["`value`", "Is `muscle` meant?"]),
    "no compartment": (("{cold}", "compartment", "n/a", "AB", "x"), ["`value`", "empty"]),
    "wrong region": (("{cold}", "relabel", "region=thig", "AB", "x"), ["`value`", "Is `thigh` meant?"]),
    "wrong column": (("{cold}", "relabel", "regin=thigh", "AB", "x"), ["`value`", "Is `region` meant?"]),
    "no reader": (("{cold}", "accept", "n/a", "n/a", "x"), ["`reader`", "empty"]),
    "no reason": (("{cold}", "reject", "n/a", "AB", "n/a"), ["`reason`", "empty"]),
    "contradiction": (
        ("{cold}", "relabel", "concordance=CT+PET-;pet_status=positive", "AB", "x"),
        ["`value`", "contradict"],
    ),
    "negative uptake": (("{avid}", "relabel", "pet_status=negative", "AB", "x"), ["row 2", "`value`", "Reject it"]),
    "merged with itself": (("{cold}", "merge", "{cold}", "AB", "x"), ["`value`", "itself"]),
    "value too much": (("{cold}", "reject", "muscle", "AB", "x"), ["`value`", "Empty it"]),
    "mask that is not there": (("n/a", "mask", "n/a", "AB", "x"), ["row 2", "`action`", "no corrected mask"]),
    "uid empty": (("n/a", "reject", "n/a", "AB", "x"), ["`lesion_uid`", "empty", "P_lesions.tsv"]),
    "mask of one lesion": (("{cold}", "mask", "n/a", "AB", "x"), ["`lesion_uid`", "leave it empty"]),
    "merge with nothing": (("{cold}", "merge", "n/a", "AB", "x"), ["`value`", "Name the lesion_uid"]),
    "relabel without column": (("{cold}", "relabel", "thigh", "AB", "x"), ["`thigh` has no `=`", "region=thigh"]),
    "compartment by relabel": (
        ("{cold}", "relabel", "compartment=muscle", "AB", "x"),
        ["`value`", "the action is `compartment`"],
    ),
    "relabel with nothing": (("{cold}", "relabel", " ; ", "AB", "x"), ["`value`", "Write column=word"]),
    "cells missing": (("{cold}", "reject"), ["row 2", "2 cells"]),
}


@pytest.mark.parametrize("case", sorted(MISTAKES))
def test_a_mistake_names_file_and_cell(reader, case):
    row, expected = MISTAKES[case]
    cold = reader.uid(COLD)
    letter = ALPHABET[(ALPHABET.index(cold[4]) + 5) % 32]
    names = {
        "cold": cold,
        "avid": reader.uid(AVID),
        "typo": cold[:4] + letter + cold[5:],
        "foreign": lesion_uid("sub-02_ses-01", "ct", (1.0, 2.0, 3.0)),
    }
    with pytest.raises(StudyError) as caught:
        reader.apply([tuple(cell.format(**names) for cell in row)])
    for text in ("sub-01_ses-01_lesions.tsv", *(part.format(**names) for part in expected)):
        assert text in str(caught.value)


def test_all_mistakes_are_told_at_once(reader):
    cold, avid = reader.uid(COLD), reader.uid(AVID)
    with pytest.raises(StudyError) as caught:
        reader.apply(
            [
                (cold, "reject", "n/a", "AB", "x"),
                (cold, "compartment", "muscle", "CD", "x"),
                (avid, "compartment", "muscle", "AB", "x"),
                (avid, "compartment", "fascia", "CD", "x"),
                (avid, "merge", cold, "CD", "x"),
                (avid, "burn", "n/a", "CD", "x"),
            ]
        )
    text = str(caught.value)
    assert "row 3, column `action`: the lesion is rejected in row 2" in text
    assert "row 5, column `value`: row 4 gives another compartment" in text
    assert "is rejected in row 2. Keep one" in text
    assert "row 7, column `action`" in text


def _shifted(volume):
    affine = volume.affine.copy()
    affine[0, 3] += 1.0
    return replace(volume, affine=affine)


def test_a_mask_on_another_grid_is_refused(reader):
    grid = read_volume(reader.made["candidates_map"])
    with pytest.raises(StudyError, match=r"mask\.nii\.gz: lies up to 1 mm off the CT's grid"):
        reader.apply(mask=reader.mask(lambda labels: None, volume=_shifted(grid)), sheet=False)
    small = reader.folder / "small.nii.gz"
    write_volume(small, Volume(grid.array[1:], grid.affine), np.uint16)
    with pytest.raises(StudyError, match=r"small\.nii\.gz: .* voxels, but the CT has"):
        reader.apply(mask=str(small), sheet=False)
    with pytest.raises(StudyError, match="holds no label"):
        reader.apply(mask=reader.mask(lambda labels: labels.fill(0)), sheet=False)
    broken = reader.folder / "broken.nii.gz"
    broken.write_bytes(b"not an image")
    with pytest.raises(StudyError, match=r"broken\.nii\.gz: cannot be read as NIfTI"):
        reader.apply(mask=str(broken), sheet=False)
    halves = reader.folder / "halves.nii.gz"
    write_volume(halves, grid.like(grid.array.astype(np.float32) / 2), np.float32)
    with pytest.raises(StudyError, match="fractions"):
        reader.apply(mask=str(halves), sheet=False)


def test_a_mask_of_other_programs(reader):
    """Written by ITK (as ITK-SNAP and Slicer do), as floats, and with its axes turned by nibabel."""
    image = sitk.Cast(sitk.ReadImage(reader.made["candidates_map"]), sitk.sitkFloat32)
    sitk.WriteImage(image, str(reader.folder / "itk.nii.gz"))
    turned = nib.load(reader.folder / "itk.nii.gz").as_reoriented(np.array([[1, -1], [0, 1], [2, -1]]))
    nib.save(turned, reader.folder / "turned.nii.gz")
    for name in ("itk.nii.gz", "turned.nii.gz"):
        table = reader.apply(mask=str(reader.folder / name), sheet=False)
        pd.testing.assert_frame_equal(table[reader.machine.columns], reader.machine)


def test_a_label_in_the_air_is_a_mistake(reader):
    def draw(labels):
        labels[5:8, 1:4, 1:4] = 40

    with pytest.raises(ScanError, match="label 6 of the corrected mask, at x"):
        reader.apply(mask=reader.mask(draw), sheet=False)


@pytest.mark.parametrize(
    "rules",
    [
        {"hu_floor": 120.0},
        {"hu_floor": 150.0},
        {"noise_factor": 3.5},
        {"merge_mm": 1.5},
        {"pet_z": 5.0},
        {"pet_rise": 0.35},
        {"pet_threshold": "41%"},
        {"pet_fwhm_mm": 6.3},
    ],
)
def test_small_changes_of_a_parameter_keep_the_names(rules):
    limb = bodies.limb([BOTH, COLD, AVID])
    names = []
    for own, mapping in ((Rules(), Mapping.identity()), (Rules(**rules), Mapping.identity())):
        found = detect(
            limb.ct, limb.suv, limb.tissues, limb.regions, limb.anatomy, mapping, own,
            scan=SCAN, kvp=120.0, fwhm_mm=6.0, tolerance_mm=2.0,
        )  # fmt: skip
        names.append({row["lesion_uid"]: row["concordance"] for row in found.rows})
    assert names[0] == names[1]


def test_another_registration_keeps_the_names():
    limb = bodies.limb([BOTH, COLD, AVID])
    names = []
    for shift in (0.0, 0.7):
        moved = np.eye(4)
        moved[:3, 3] = (shift, -shift, 0.0)
        found = detect(
            limb.ct, limb.suv, limb.tissues, limb.regions, limb.anatomy, Mapping(moved), Rules(),
            scan=SCAN, kvp=120.0, fwhm_mm=6.0, tolerance_mm=2.0,
        )  # fmt: skip
        names.append({row["lesion_uid"] for row in found.rows})
    assert names[0] == names[1]


def test_a_wrong_letter_is_told():
    name = lesion_uid("sub-01_ses-01", "ct", (10.0, -20.5, 300.25))
    assert uid_fault(name, "sub-01_ses-01") is None
    for place in range(len(name)):
        for letter in ALPHABET:
            if letter != name[place]:
                assert uid_fault(name[:place] + letter + name[place + 1 :], "sub-01_ses-01") is not None


def test_files_of_edits(tmp_path):
    folder = tmp_path / "edits"
    folder.mkdir()
    for name in ("sub-01_ses-01_lesions.tsv", "sub-02_ses-01_desc-lesions_dseg.nii.gz", "sub-1_ses-01_lesions.tsv"):
        (folder / name).write_text("")
    assert edit_files(tmp_path, "sub-01_ses-01") == {"edits": "edits/sub-01_ses-01_lesions.tsv"}
    assert edit_files(tmp_path, "sub-02_ses-01") == {"mask": "edits/sub-02_ses-01_desc-lesions_dseg.nii.gz"}
    assert edit_files(tmp_path, "sub-03_ses-01") == {}
    assert stray_edits(tmp_path, ["sub-01_ses-01", "sub-02_ses-01"]) == ["sub-1_ses-01_lesions.tsv"]
    assert stray_edits(tmp_path / "nowhere", []) == []


def test_an_empty_sheet_and_a_spreadsheets_mark(tmp_path):
    path = tmp_path / "sub-01_ses-01_lesions.tsv"
    path.write_text("\ufeff" + HEAD)
    assert read_edits(path, "sub-01_ses-01", []) == []
    path.write_text(HEAD.replace("\t", ","))
    with pytest.raises(StudyError, match="comma-separated"):
        read_edits(path, "sub-01_ses-01", [])
