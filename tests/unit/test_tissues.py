"""The stage tissues: on analytic bodies, on the digital phantom, and on real CT."""

import json

import numpy as np
import pytest

from calciflow.images import Volume, read_volume, write_volume
from calciflow.labels import REGION_LABELS, TISSUES, region_label, region_of
from calciflow.phantom import make_scan
from calciflow.phantom.spec import CtSpec, PersonSpec, ScanSpec
from calciflow.phantom.tiny import tiny_leg
from calciflow.tables import read_table
from calciflow.tissues import segment, segment_scan

RNG = np.random.default_rng(4)


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def leg(noise=15.0, slices=40, fibula_side=1):
    """A left lower leg, 130 mm wide, on a table and under a blanket, with a nodule in its calf."""
    shape = (slices, 110, 120)
    z, y, x = np.meshgrid(*[np.arange(n) * s for n, s in zip(shape, (3.0, 2.0, 2.0), strict=True)], indexing="ij")
    radius = np.hypot(y - 110, x - 110)
    hu = np.full(shape, -1000.0, np.float32)
    hu[(y > 14) & (y < 18)] = 100  # the table's shell
    hu[(np.abs(radius - 80) < 3) & (y > 110)] = -750  # a blanket
    body = radius < 65
    hu[body] = -100
    hu[radius < 62.5] = -100
    hu[radius > 62.5] = np.where(body, 30, hu)[radius > 62.5]
    hu[radius < 52] = 50
    for cy, cx, outer, inner in ((135, 110 + 10 * fibula_side, 14, 9), (115, 110 - 30 * fibula_side, 7, 3.5)):
        away = np.hypot(y - cy, x - cx)
        hu[away < outer] = 1000
        hu[away < inner] = -60
    nodule = (z - 60) ** 2 + (y - 80) ** 2 + (x - 110) ** 2 < 8**2
    hu[nodule] = 600
    hu += RNG.normal(0, noise, shape)
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    affine[:3, 3] = (-220, -110, 100)
    return Volume(hu.astype(np.int16), affine), body, radius, nodule


def test_a_leg_on_a_table():
    volume, body, radius, nodule = leg()
    maps = segment(volume)
    assert dice(maps.tissues > 0, body) > 0.99  # neither table nor blanket
    assert (maps.tissues[nodule] == TISSUES["muscle"]).all()
    assert (maps.tissues[(radius > 54) & (radius < 60)] == TISSUES["subcutaneous_fat"]).mean() > 0.97
    names = {region_of(n)[0] for n in np.unique(maps.regions[body & (maps.regions > 0)])}
    assert names == {"lower_leg"}
    assert maps.anatomy["noise_hu"] == pytest.approx(15, rel=0.25)


def test_every_body_voxel_has_a_region_and_nothing_else_has():
    volume, *_ = leg()
    maps = segment(volume)
    assert np.array_equal(maps.tissues > 0, maps.regions > 0)
    assert set(np.unique(maps.tissues)) <= {0, *TISSUES.values()}
    assert set(np.unique(maps.regions)) <= {0, *REGION_LABELS}


@pytest.mark.parametrize(("origin", "side"), [(-220.0, "left"), (0.0, "right")])
def test_the_side_of_a_single_leg_is_that_of_the_patient_coordinates(origin, side):
    volume, *_ = leg()
    affine = volume.affine.copy()
    affine[0, 3] = origin
    maps = segment(Volume(volume.array, affine))
    counts = np.bincount(maps.regions.ravel(), minlength=256)
    assert region_of(int(counts[1:].argmax()) + 1) == ("lower_leg", side)
    assert any("x = 0" in text for text in maps.anatomy["warnings"])


def test_mirrored_image_and_mirrored_patient_swap_sides():
    scan = tiny_leg(seed=3)
    maps = segment(scan.ct)
    mirrored = segment(Volume(np.ascontiguousarray(scan.ct.array[:, :, ::-1]), scan.ct.affine))
    for label in np.unique(maps.regions[maps.regions > 0]):
        region, side = region_of(int(label))
        other = region_label(region, "left" if side == "right" else "right")
        assert (mirrored.regions == other).sum() == pytest.approx((maps.regions == label).sum(), rel=0.06)


def test_both_thighs_of_the_phantom():
    scan = tiny_leg(seed=1)
    maps = segment(scan.ct)
    truth = np.asarray(scan.tissues.array if isinstance(scan.tissues, Volume) else scan.tissues)
    regions = np.asarray(scan.regions.array if isinstance(scan.regions, Volume) else scan.regions)
    assert dice(maps.tissues > 0, truth > 0) > 0.99
    assert dice(maps.tissues == TISSUES["bone"], truth == TISSUES["bone"]) > 0.93
    assert dice(maps.tissues == TISSUES["muscle"], truth == TISSUES["muscle"]) > 0.93
    body = truth > 0
    assert (maps.regions[body] % 10 == regions[body] % 10).mean() > 0.99
    assert (maps.regions[body] == regions[body]).mean() > 0.95


def test_no_deposit_of_the_phantom_becomes_bone():
    scan = tiny_leg(seed=1)
    maps = segment(scan.ct)
    deposits = np.asarray(scan.deposits.array if isinstance(scan.deposits, Volume) else scan.deposits)
    assert (maps.tissues[deposits > 0] == TISSUES["bone"]).mean() < 0.01


def test_air_gives_empty_maps():
    maps = segment(Volume(np.full((20, 40, 40), -1000, np.int16), np.diag([2.0, 2.0, 3.0, 1.0])))
    assert not maps.tissues.any()
    assert not maps.regions.any()
    assert maps.anatomy["warnings"]


def test_a_body_without_bone_and_with_few_slices():
    volume, body, *_ = leg(slices=8)
    hu = np.minimum(volume.array, 60)
    maps = segment(Volume(hu, volume.affine))
    assert not (maps.tissues == TISSUES["bone"]).any()
    assert dice(maps.tissues > 0, body) > 0.98
    assert (maps.regions > 0).any()


def test_a_body_that_fills_the_image():
    hu = RNG.normal(50, 20, (20, 60, 60)).astype(np.int16)
    maps = segment(Volume(hu, np.diag([3.0, 3.0, 3.0, 1.0])))
    assert (maps.tissues > 0).all()
    assert not (maps.tissues == TISSUES["skin"]).any()  # the crop is no skin


def test_the_same_input_gives_the_same_maps():
    volume, *_ = leg()
    first, second = segment(volume), segment(volume)
    assert np.array_equal(first.tissues, second.tissues)
    assert np.array_equal(first.regions, second.regions)
    assert first.anatomy == second.anatomy


def test_the_stage_writes_its_files(tmp_path):
    volume, *_ = leg(slices=20)
    write_volume(tmp_path / "ct.nii.gz", volume, np.int16)
    names = ("tissues.nii.gz", "tissues.tsv", "regions.nii.gz", "regions.tsv", "anatomy.json")
    paths = {n.replace(".nii.gz", "").replace(".", "_"): str(tmp_path / n) for n in names}
    segment_scan(
        ct=str(tmp_path / "ct.nii.gz"),
        tissues=paths["tissues"],
        tissues_tsv=paths["tissues_tsv"],
        regions=paths["regions"],
        regions_tsv=paths["regions_tsv"],
        anatomy=paths["anatomy_json"],
        sources=str(tmp_path / "sources.nii.gz"),
    )
    tissues = read_volume(tmp_path / "tissues.nii.gz")
    assert tissues.array.dtype == np.uint8
    assert np.allclose(tissues.affine, volume.affine)
    assert dict(read_table(tmp_path / "tissues.tsv")[["name", "index"]].itertuples(index=False)) == TISSUES
    assert len(read_table(tmp_path / "regions.tsv")) == 32
    assert not read_volume(tmp_path / "sources.nii.gz").array.any()  # all of it is built in
    anatomy = json.loads((tmp_path / "anatomy.json").read_text())
    for key in ("regions", "joints", "midline", "noise_hu", "body_volume_ml", "uncertain_bone", "warnings"):
        assert key in anatomy


@pytest.mark.slow
@pytest.mark.parametrize("arms", ["down", "up", "belly"])
def test_a_whole_body_in_each_pose(arms):
    person = PersonSpec(1.70, 23.0, "F", arms=arms)
    scan = make_scan(ScanSpec("body", person, CtSpec(pixel_mm=2.2, matrix=(256, 200), slice_mm=3.5)), seed=2)
    maps = segment(scan.ct)
    truth, regions = (v.array if isinstance(v, Volume) else v for v in (scan.tissues, scan.regions))
    body = truth > 0
    assert dice(maps.tissues > 0, body) > 0.99
    assert dice(maps.tissues == TISSUES["bone"], truth == TISSUES["bone"]) > 0.90
    head = np.isin(regions, [region_label("head", side) for side in ("left", "right")])
    brain = head & (truth == TISSUES["viscera"])  # with orbits and airways
    assert (maps.tissues[brain] == TISSUES["muscle"]).mean() < 0.12
    assert (maps.regions[body] % 10 == regions[body] % 10).mean() > 0.98
    assert (maps.regions[body] == regions[body]).mean() > 0.85
    for region in ("hand", "fingers", "forearm"):
        for side in ("left", "right"):
            wrong = region_label(region, "left" if side == "right" else "right")
            here = (regions == region_label(region, side)) & body
            if here.any():
                assert (maps.regions[here] == wrong).mean() < 0.2


def dicom_volume(folder):
    import nibabel as nib
    import SimpleITK as sitk

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    volume = Volume.from_sitk(sitk.Cast(reader.Execute(), sitk.sitkInt16))
    image = nib.as_closest_canonical(nib.Nifti1Image(np.transpose(volume.array, (2, 1, 0)), volume.affine))
    return Volume(np.ascontiguousarray(np.transpose(np.asarray(image.dataobj), (2, 1, 0))), image.affine)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("scan", "region", "side"),
    [
        ("STS_028", "lower_leg", "left"),
        ("STS_045", "thigh", "left"),
        ("STS_049", "lower_leg", "right"),
        ("STS_001", "thigh", "left"),
        ("STS_044", "pelvis", "right"),
    ],
)
def test_real_crops_are_what_they_are(testdata, scan, region, side):
    volume = dicom_volume(testdata / "sts" / scan / "CT")
    maps = segment(volume)
    counts = np.bincount(maps.regions.ravel(), minlength=256)
    assert region_of(int(counts[1:].argmax()) + 1) == (region, side)
    # A large thigh bone or shin bone is found: cortex above 700 HU is bone, all but specks.
    cortex = volume.array > 700
    assert (maps.tissues[cortex & (maps.tissues > 0)] == TISSUES["bone"]).mean() > 0.95


@pytest.mark.realdata
@pytest.mark.parametrize("scan", ["STS_028", "STS_045"])
def test_real_calcifications_in_muscle_are_no_bone(testdata, scan):
    # Dense voxels far from the long bones, inside the limb: the calcified tumours of the data's README.
    volume = dicom_volume(testdata / "sts" / scan / "CT")
    maps = segment(volume)
    bone = maps.tissues == TISSUES["bone"]
    columns = {"STS_028": slice(75, 130), "STS_045": slice(95, 150)}[scan]
    rows = {"STS_028": slice(30, 98), "STS_045": slice(70, 125)}[scan]
    planes = {"STS_028": slice(18, 36), "STS_045": slice(54, 74)}[scan]
    box = (planes, rows, columns)
    dense = volume.array[box] > 250
    assert dense.sum() > 30
    assert bone[box][dense].mean() < 0.02
    assert (maps.tissues[box][dense] == TISSUES["muscle"]).mean() > 0.95
