"""Maps of other programs: label tables, geometry, what is taken from where, and what is refused."""

import json
import shutil
from typing import get_args

import nibabel as nib
import numpy as np
import pytest

from calciflow.errors import ScanError, StudyError
from calciflow.images import Volume, read_volume, write_volume
from calciflow.labels import TISSUES, region_label
from calciflow.maps.foreign import with_foreign_maps
from calciflow.maps.masks import files_of
from calciflow.maps.merge import merge
from calciflow.maps.paths import check_patterns, find_map
from calciflow.maps.reading import ForeignMap, read_map
from calciflow.maps.table import AREAS, DIGITS, label_tables
from calciflow.phantom.tiny import tiny_leg
from calciflow.settings import LabelMap
from calciflow.sheets import Scan
from calciflow.tissues import segment, segment_scan

FAT, MUSCLE, BONE, SKIN = (TISSUES[name] for name in ("subcutaneous_fat", "muscle", "bone", "skin"))


def number(kind, name):
    return next(key for key, label in label_tables()[kind].items() if label.name == name)


@pytest.fixture(scope="module")
def leg():
    """Two thighs: CT, built-in maps."""
    scan = tiny_leg(seed=1)
    return scan.ct, segment(scan.ct)


def total_of(maps):
    """TotalSegmentator's view of the thighs: femora with sides, nothing else."""
    labels = np.zeros(maps.tissues.shape, np.uint8)
    bone = maps.tissues == BONE
    labels[bone & (maps.regions % 10 == 1)] = number("totalsegmentator_total", "femur_left")
    labels[bone & (maps.regions % 10 == 2)] = number("totalsegmentator_total", "femur_right")
    return labels


# Label numbers as published by the programs: a few of each table, where an error would shift all others.
PUBLISHED = {
    "totalsegmentator_total": {1: "spleen", 25: "sacrum", 44: "vertebrae_C7", 75: "femur_left", 91: "skull", 117: ""},
    "totalsegmentator_v1_total": {7: "aorta", 88: "femur_left", 92: "sacrum", 104: "urinary_bladder"},
    "totalsegmentator_tissue_types": {1: "subcutaneous_fat", 2: "torso_fat", 3: "skeletal_muscle"},
    "totalsegmentator_appendicular_bones": {1: "patella", 6: "phalanges_feet", 11: "phalanges_hand"},
    "moose_peripheral_bones": {1: "carpal_left", 10: "fingers_right", 23: "skull", 31: "ulna_right"},
    "moose_vertebrae": {1: "vertebra_C1", 19: "vertebra_T12", 28: "sacrum"},
    "moose_ribs": {13: "rib_left_13", 27: "sternum"},
    "boa_body_regions": {1: "subcutaneous_tissue", 5: "bone", 11: "spinal_cord"},
    "boa_tissues": {1: "muscle", 2: "bone", 3: "sat", 7: "eat"},
    "boa_body_parts": {1: "torso", 3: "right_leg", 6: "left_arm"},
}


@pytest.mark.parametrize("kind", sorted(PUBLISHED))
def test_the_tables_hold_the_published_numbers(kind):
    for index, name in PUBLISHED[kind].items():
        assert label_tables()[kind][index].name == (name or "costal_cartilages")


def test_the_tables_are_the_kinds_of_the_config():
    assert set(label_tables()) == set(get_args(LabelMap))
    for table in label_tables().values():
        names = [label.name for label in table.values()]
        assert len(names) == len(set(names))
        for label in table.values():
            assert label.side in (None, "left", "right")
            assert label.area is None or label.area in AREAS or any(label.area in pair for pair in DIGITS)
            assert label.side is None or label.side in label.name


def test_what_a_map_has_counts_and_the_rest_is_built_in(leg, tmp_path):
    ct, maps = leg
    # TotalSegmentator's muscle: the built-in compartment but its lowest third; and a plug of femur called muscle.
    labels = np.zeros(maps.tissues.shape, np.uint8)
    labels[maps.tissues == MUSCLE] = number("totalsegmentator_tissue_types", "skeletal_muscle")
    labels[: len(labels) // 3] = 0
    plug = (maps.tissues == BONE) & (np.indices(labels.shape)[0] == len(labels) - 4)
    labels[plug] = number("totalsegmentator_tissue_types", "skeletal_muscle")
    write_volume(tmp_path / "types.nii.gz", ct.like(labels), np.uint8)
    kinds = [("totalsegmentator_tissue_types", str(tmp_path / "types.nii.gz"))]
    tissues, regions, sources, told = with_foreign_maps(ct, maps.tissues, maps.regions, maps.anatomy, kinds, 4.0)
    assert (tissues[plug] == MUSCLE).all()  # where it speaks, it counts
    rest = labels == 0
    assert np.array_equal(tissues[rest], maps.tissues[rest])
    assert np.array_equal(sources > 0, labels > 0)
    assert np.array_equal(regions, maps.regions)
    counted = told["sources"]["tissue_voxels"]
    assert counted["muscle"]["totalsegmentator_tissue_types"] == (labels > 0).sum()
    assert sum(sum(row.values()) for row in counted.values()) == tissues.size - (tissues == 0).sum()
    assert told["sources"]["maps"][0]["dice_with_builtin"]["muscle"] > 0.6
    json.dumps(told)


def test_the_skin_stays_and_the_first_map_counts(leg):
    ct, maps = leg
    everything = np.where(maps.tissues > 0, 1, 0).astype(np.uint8)
    fat = ForeignMap("boa_body_regions", np.where(maps.tissues == FAT, 1, 0).astype(np.uint8), False)
    greedy = ForeignMap("moose_body_composition", np.where(everything, 1, 0).astype(np.uint8), False)  # all muscle
    merged = merge(ct, maps.tissues, maps.regions, [fat, greedy], 4.0)
    assert (merged.tissues[maps.tissues == FAT] == FAT).all()
    assert (merged.sources[maps.tissues == FAT] == 1).all()
    assert (merged.tissues[maps.tissues == BONE] == MUSCLE).all()
    assert (merged.tissues[maps.tissues == 0] == 0).all()
    skin = ForeignMap("boa_body_regions", np.where(np.isin(maps.tissues, (SKIN, FAT)), 1, 0).astype(np.uint8), False)
    merged = merge(ct, maps.tissues, maps.regions, [skin], 4.0)
    assert (merged.tissues[maps.tissues == SKIN] == SKIN).all()


def test_bone_that_a_map_speaks_of_is_uncertain_no_more(leg, tmp_path):
    ct, maps = leg
    write_volume(tmp_path / "total.nii.gz", ct.like(total_of(maps)), np.uint8)
    inside, outside = np.argwhere(maps.tissues == BONE)[100], np.argwhere(maps.tissues == FAT)[100]
    pieces = [
        dict(zip(("x_mm", "y_mm", "z_mm"), ct.world(place[None])[0].tolist(), strict=True), volume_ml=1.0)
        for place in (inside, outside)
    ]
    anatomy = {**maps.anatomy, "uncertain_bone": pieces}
    kinds = [("totalsegmentator_total", str(tmp_path / "total.nii.gz"))]
    told = with_foreign_maps(ct, maps.tissues, maps.regions, anatomy, kinds, 4.0)[3]
    assert told["uncertain_bone"] == pieces[1:]
    assert told["sources"]["uncertain_bone_settled"] == 1


@pytest.mark.parametrize("axes", [("L", "P", "S"), ("R", "A", "I"), ("S", "R", "A")])
def test_any_orientation_of_the_same_grid(leg, tmp_path, axes):
    """A program may store the same voxels along other axes: nothing is lost, and left stays left."""
    ct, maps = leg
    labels = total_of(maps)
    image = nib.Nifti1Image(np.transpose(labels, (2, 1, 0)), ct.affine)
    turn = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(image.affine), nib.orientations.axcodes2ornt(axes)
    )
    nib.save(image.as_reoriented(turn), tmp_path / "turned.nii.gz")
    found = read_map("totalsegmentator_total", str(tmp_path / "turned.nii.gz"), ct)
    assert np.array_equal(found.labels, labels)


def test_another_grid_is_resampled_to_the_nearest_voxel(leg, tmp_path):
    ct, maps = leg
    labels = total_of(maps)
    coarse = labels[::2, ::2, ::2]
    affine = ct.affine.copy()
    affine[:3, :3] *= 2
    write_volume(tmp_path / "coarse.nii.gz", Volume(coarse, affine), np.uint8)
    found = read_map("totalsegmentator_total", str(tmp_path / "coarse.nii.gz"), ct)
    assert found.resampled
    even = found.labels[::2, ::2, ::2]
    assert np.array_equal(even, coarse)
    assert 2 * ((found.labels > 0) & (labels > 0)).sum() / ((found.labels > 0).sum() + (labels > 0).sum()) > 0.9


def test_a_folder_of_masks_is_the_same_as_a_label_map(leg, tmp_path):
    ct, maps = leg
    labels = total_of(maps)
    for name in ("femur_left", "femur_right", "spleen"):
        mask = labels == number("totalsegmentator_total", name)
        write_volume(tmp_path / "masks" / f"{name}.nii.gz", ct.like(mask), np.uint8)
    write_volume(tmp_path / "masks" / "body.nii.gz", ct.like(labels > 0), np.uint8)
    (tmp_path / "masks" / "statistics.json").write_text("{}")
    found = read_map("totalsegmentator_total", str(tmp_path / "masks"), ct)
    assert np.array_equal(found.labels, labels)
    assert found.unread == ["body"]


def test_boa_tells_a_hand_on_the_thigh(leg):
    """The built-in map calls a part of the right thigh left hand: BOA's body parts correct what they can."""
    ct, maps = leg
    regions = maps.regions.copy()
    right = (regions % 10 == 2) & (maps.tissues > 0)
    wrong = right & (np.indices(regions.shape)[1] > np.percentile(np.argwhere(right)[:, 1], 75))
    regions[wrong] = region_label("hand", "left")
    parts = np.zeros_like(regions)
    parts[maps.regions % 10 == 2] = number("boa_body_parts", "right_leg")
    parts[maps.regions % 10 == 1] = number("boa_body_parts", "left_leg")
    merged = merge(ct, maps.tissues, regions, [ForeignMap("boa_body_parts", parts, False)], 4.0)
    assert (merged.regions[wrong] % 10 == 2).mean() > 0.98
    assert not (merged.regions == region_label("hand", "left")).sum() > 0.02 * wrong.sum()
    untouched = ~wrong & (maps.tissues > 0)
    assert (merged.regions[untouched] == regions[untouched]).mean() > 0.97
    assert np.array_equal(merged.regions > 0, maps.regions > 0)
    assert np.array_equal(merged.tissues, maps.tissues)
    assert merged.account["region_voxels_changed"] == (merged.regions != regions).sum()


def test_the_bones_of_a_foot_tell_toes_from_foot(leg):
    ct, maps = leg
    side = maps.regions % 10
    regions = np.where(maps.regions > 0, region_label("foot", "left") - 1 + side, 0).astype(np.uint8)
    labels = np.zeros_like(regions)
    bone = maps.tissues == BONE
    half = len(regions) // 2
    level = np.indices(regions.shape)[0] < half
    labels[bone & level] = number("totalsegmentator_appendicular_bones", "phalanges_feet")
    labels[bone & ~level] = number("totalsegmentator_appendicular_bones", "metatarsal")
    merged = merge(ct, maps.tissues, regions, [ForeignMap("totalsegmentator_appendicular_bones", labels, False)], 4.0)
    near = (maps.tissues > 0) & (np.abs(np.indices(regions.shape)[0] - half) * ct.spacing[0] > 8)
    near &= bone
    assert (merged.regions[near & level & (side == 1)] == region_label("toes", "left")).all()
    assert (merged.regions[near & ~level & (side == 2)] == region_label("foot", "right")).all()


def refused(ct, path, says, kind="totalsegmentator_total", maps=None):
    with pytest.raises(ScanError) as caught:
        found = read_map(kind, str(path), ct)
        merge(ct, maps.tissues, maps.regions, [found], 4.0)
    assert says in str(caught.value)
    assert str(path) not in str(caught.value)  # a path may name a person


def test_what_does_not_belong_to_the_scan_is_refused(leg, tmp_path):
    ct, maps = leg
    labels = total_of(maps)
    refused(ct, tmp_path / "absent.nii.gz", "has no such map")
    (tmp_path / "text.nii.gz").write_text("no image")
    refused(ct, tmp_path / "text.nii.gz", "cannot be read")
    cut = ct.like(labels).crop((slice(0, len(labels) // 2), slice(None), slice(None)))
    write_volume(tmp_path / "cut.nii.gz", cut, np.uint8)
    refused(ct, tmp_path / "cut.nii.gz", "does not cover the CT")
    write_volume(tmp_path / "unknown.nii.gz", ct.like(np.where(labels > 0, 118, 0)), np.uint8)
    refused(ct, tmp_path / "unknown.nii.gz", "label 118")
    write_volume(tmp_path / "probability.nii.gz", ct.like(labels * np.float32(0.3)), np.float32)
    refused(ct, tmp_path / "probability.nii.gz", "whole numbers")
    write_volume(tmp_path / "ct.nii.gz", ct, np.int16)
    refused(ct, tmp_path / "ct.nii.gz", "no label map")
    write_volume(tmp_path / "empty.nii.gz", ct.like(labels * 0), np.uint8)
    refused(ct, tmp_path / "empty.nii.gz", "empty", maps=maps)
    swapped = labels.copy()
    swapped[labels == 75], swapped[labels == 76] = 76, 75
    write_volume(tmp_path / "swapped.nii.gz", ct.like(swapped), np.uint8)
    refused(ct, tmp_path / "swapped.nii.gz", "mirrored", maps=maps)
    write_volume(tmp_path / "moved.nii.gz", ct.like(np.where(maps.tissues == 0, 75, 0)), np.uint8)
    refused(ct, tmp_path / "moved.nii.gz", "outside the body", maps=maps)
    # The order of version 1 read as that of version 2: its left femur (88) is version 2's left iliopsoas, and so on;
    # fat called bone is what a shifted table looks like in Hounsfield units.
    write_volume(tmp_path / "shifted.nii.gz", ct.like(np.where(maps.tissues == FAT, 91, 0)), np.uint8)
    refused(ct, tmp_path / "shifted.nii.gz", "is no bone", maps=maps)
    (tmp_path / "masks").mkdir()
    shutil.copy(tmp_path / "empty.nii.gz", tmp_path / "masks" / "nose.nii.gz")
    refused(ct, tmp_path / "masks", "no mask in the folder")


def test_the_stage_says_where_each_voxel_is_from(leg, tmp_path):
    ct, maps = leg
    write_volume(tmp_path / "ct.nii.gz", ct, np.int16)
    write_volume(tmp_path / "total.nii.gz", ct.like(total_of(maps)), np.uint8)
    names = {
        "tissues": "t.nii.gz",
        "tissues_tsv": "t.tsv",
        "regions": "r.nii.gz",
        "regions_tsv": "r.tsv",
        "anatomy": "a.json",
    }
    segment_scan(
        ct=str(tmp_path / "ct.nii.gz"),
        **{key: str(tmp_path / name) for key, name in names.items()},
        sources=str(tmp_path / "s.nii.gz"),
        maps=[("totalsegmentator_total", str(tmp_path / "total.nii.gz"))],
    )
    told = json.loads((tmp_path / "a.json").read_text())
    sources = read_volume(tmp_path / "s.nii.gz").array
    assert set(np.unique(sources)) == {0, 1}
    assert told["sources"]["tissue_voxels"]["bone"] == {
        "builtin": 0,
        "totalsegmentator_total": int((sources == 1).sum()),
    }
    assert str(tmp_path) not in (tmp_path / "a.json").read_text()


def test_patterns(tmp_path):
    scan = Scan("sub-01", "ses-02", "legs", {}, labelmap=str(tmp_path / "[odd] name"))
    (tmp_path / "[odd] name").mkdir()
    (tmp_path / "[odd] name" / "MOOSE_123_Ribs.nii.gz").write_text("")
    assert find_map("{labelmap}/*_Ribs.nii.gz", scan) == str(tmp_path / "[odd] name" / "MOOSE_123_Ribs.nii.gz")
    assert find_map("maps/{scan}_{participant_id}/{session_id}", scan) == ("maps/sub-01_ses-02_acq-legs_sub-01/ses-02")
    assert find_map("{labelmap}/x", Scan("sub-01", "ses-02", None, {})) == ""
    (tmp_path / "[odd] name" / "MOOSE_124_Ribs.nii.gz").write_text("")
    assert files_of(find_map("{labelmap}/*_Ribs.nii.gz", scan)) == []  # two fit: none is taken
    assert len(files_of(str(tmp_path / "[odd] name"))) == 2


@pytest.mark.parametrize(
    ("engine", "patterns", "says"),
    [
        ("labelmap", {}, "names no map"),
        ("labelmap", {"boa_tissues": "maps/{patient}.nii.gz"}, "unknown word {patient}"),
        ("builtin", {"boa_tissues": "maps/{scan.nii.gz"}, "boa_tissues"),
    ],
)
def test_faults_of_patterns(engine, patterns, says):
    with pytest.raises(StudyError, match=says):
        check_patterns(engine, patterns)


@pytest.mark.realdata
def test_totalsegmentator_on_real_ct(testdata):
    """Labels that TotalSegmentator 2 wrote: names agree with its own header, and the merged map is theirs."""
    folder = testdata / "ct_reference"
    file = read_volume(folder / "example_ct_sm.nii.gz")
    ct = Volume(np.ascontiguousarray(file.array.astype(np.int16)), file.affine)
    maps = segment(ct)
    kinds = [
        ("totalsegmentator_total", str(folder / "example_seg.nii.gz")),
        ("totalsegmentator_tissue_types", str(folder / "example_seg_tissue_types")),
    ]
    tissues, regions, sources, told = with_foreign_maps(ct, maps.tissues, maps.regions, maps.anatomy, kinds, 4.0)
    assert np.array_equal(regions, maps.regions)
    labels = read_map(*kinds[0], ct).labels
    assert len(np.unique(labels)) == 42
    ribs = np.isin(labels, range(92, 116))
    assert (tissues[ribs & (maps.tissues > 0)] == BONE).all()
    muscle = read_volume(folder / "example_seg_tissue_types" / "skeletal_muscle.nii.gz").array > 0
    free = muscle & (labels == 0) & (maps.tissues > 0)
    assert (tissues[free] == MUSCLE).all()
    assert set(np.unique(sources)) == {0, 1, 2}
    for entry in told["sources"]["maps"]:
        assert not entry["resampled"]
        # The body's outlines agree: what is ignored outside ours is under a percent of what is labelled.
        assert entry["voxels_outside_body_ignored"] < 0.01 * (sources > 0).sum()
    # Far from chance, so neither shifted nor mirrored; how well the built-in map does is another test's matter.
    assert told["sources"]["maps"][0]["dice_with_builtin"]["bone"] > 0.6
    assert told["sources"]["maps"][1]["dice_with_builtin"]["subcutaneous_fat"] > 0.8
    # Read as the order of version 1, the same file is refused: its header's names say otherwise.
    with pytest.raises(ScanError, match="otherwise"):
        read_map("totalsegmentator_v1_total", kinds[0][1], ct)
    # On the whole CT the 30 slices are a cut-out.
    whole = read_volume(folder / "example_ct.nii.gz")
    with pytest.raises(ScanError, match="does not cover"):
        read_map(*kinds[0], Volume(whole.array, whole.affine))
