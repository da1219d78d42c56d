"""A whole small scan: deposits as asked for, truth that agrees with the images, same seed same voxels."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import erf

from calciflow.files import read_json
from calciflow.labels import TISSUES, region_label
from calciflow.phantom.__main__ import main
from calciflow.phantom.deposits import DEPOSIT_COLUMNS, PlacementError, Placer, draw_volume
from calciflow.phantom.scan import make_scan
from calciflow.phantom.spec import CtSpec, DepositSpec, Motion, PersonSpec, PetSpec, ScanSpec
from calciflow.phantom.tiny import LEG_DEPOSITS, leg_spec, tiny_leg
from calciflow.phantom.truth import write_truth
from calciflow.tables import read_table

TISSUE = {"subcutaneous": "subcutaneous_fat", "muscle": "muscle"}


@pytest.fixture(scope="module")
def leg():
    return tiny_leg(1)


def test_grids(leg):
    assert leg.ct.array.shape == (40, 128, 160)
    assert leg.ct.array.dtype == np.int16
    assert leg.pet_suv.array.dtype == np.float32
    np.testing.assert_allclose(leg.ct.spacing, (3, 2, 2))
    np.testing.assert_allclose(leg.pet_suv.spacing, (4, 4, 4))
    for volume in (leg.tissues, leg.regions, leg.deposits):
        np.testing.assert_array_equal(volume.affine, leg.ct.affine)


def test_deposits_are_as_asked_for(leg):
    table = leg.table
    assert list(table.columns) == list(DEPOSIT_COLUMNS)
    assert len(table) == len(LEG_DEPOSITS)
    for row, spec in zip(table.to_dict("records"), LEG_DEPOSITS, strict=True):
        for key in ("region", "side", "compartment", "concordance", "form"):
            assert row[key] == getattr(spec, key)
        assert row["volume_ml"] == pytest.approx(spec.volume_ml, rel=0.03)
        assert row["distance_to_bone_mm"] > 8


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_deposits_lie_in_their_compartment_region_and_side(seed):
    scan = tiny_leg(seed)
    for row in scan.table.to_dict("records"):
        mask = scan.deposits.array == row["label"]
        assert mask.sum() * scan.deposits.voxel_ml == pytest.approx(row["volume_ml"], rel=0.35)
        inside = scan.tissues.array[mask] == TISSUES[TISSUE[row["compartment"]]]
        assert inside.mean() > 0.85
        assert (scan.regions.array[mask] == region_label(row["region"], row["side"])).all()
        centre = scan.deposits.world(np.argwhere(mask)).mean(axis=0)
        np.testing.assert_allclose(centre, [row["x_mm"], row["y_mm"], row["z_mm"]], atol=1.5)
        assert (row["x_mm"] > 0) == (row["side"] == "right")  # RAS: x grows to the right


def test_images_show_what_each_class_says(leg):
    for row in leg.table.to_dict("records"):
        mask = leg.deposits.array == row["label"]
        hu = leg.ct_ideal.array[mask]
        at = np.rint(leg.pet_ideal.index(np.array([[row["x_mm"], row["y_mm"], row["z_mm"]]]))[0]).astype(int)
        uptake = leg.pet_ideal.array[tuple(at)]
        if row["concordance"].startswith("CT+"):
            assert hu.max() == row["hu_visible"] <= row["hu"] + 1
            assert hu.max() > 300
        else:
            assert hu.max() < 130
            assert np.isnan(row["hu_visible"])
        if row["concordance"].endswith("PET+"):
            assert 3 * row["suv_background"] < uptake <= row["suv"]
        else:
            assert row["suv_visible"] == pytest.approx(row["suv_background"], abs=0.01)
            assert uptake < 1.0


def test_visible_uptake_is_the_analytic_recovery():
    """A 1 ml nodule on a fine PET shows the recovery of a sphere, above the background that the truth states."""
    deposit = DepositSpec(
        "thigh", "right", "muscle", "CT+PET+", volume_ml=1.0, suv=15.0, bone_gap_mm=20, skin_gap_mm=20
    )
    spec = leg_spec(deposits=(deposit,), pet=PetSpec(pixel_mm=2.0, slice_mm=2.0, fwhm_mm=6.0))
    row = make_scan(spec, 4).table.iloc[0]
    k = (3 * 1000 / (4 * np.pi)) ** (1 / 3) / (6.0 / np.sqrt(8 * np.log(2)))
    recovery = erf(k / np.sqrt(2)) - np.sqrt(2 / np.pi) * k * np.exp(-(k**2) / 2)
    assert row["suv_background"] == pytest.approx(0.6, abs=0.1)  # muscle
    # the nodule is no perfect sphere: its recovery is somewhat lower
    assert row["suv_visible"] == pytest.approx(0.6 + recovery * 14.4, rel=0.10)


def test_truth_of_background_agrees_with_a_scan_without_the_deposit():
    deposit = DepositSpec("thigh", "right", "muscle", "CT+PET+", volume_ml=0.5, suv=12.0, bone_gap_mm=3)
    motion = Motion((4.0, 0.0, 2.0), (0.0, 0.0, 2.0))
    with_it = make_scan(leg_spec(deposits=(deposit,), motion=motion), 6)
    without = make_scan(leg_spec(deposits=(), motion=motion), 6)
    row = with_it.table.iloc[0]
    best = np.argmax(with_it.pet_ideal.array - without.pet_ideal.array)
    assert with_it.pet_ideal.array.flat[best] == pytest.approx(row["suv_visible"], rel=0.1)
    assert without.pet_ideal.array.flat[best] == pytest.approx(row["suv_background"], abs=0.15)


def test_same_seed_same_voxels_other_seed_others():
    a, b, c = tiny_leg(5), tiny_leg(5), tiny_leg(6)
    for name in ("ct", "pet_suv", "tissues", "regions", "deposits"):
        np.testing.assert_array_equal(getattr(a, name).array, getattr(b, name).array)
    assert a.table.equals(b.table)
    assert not np.array_equal(a.ct.array, c.ct.array)


def test_every_voxel_of_the_body_has_a_region_and_no_other(leg):
    np.testing.assert_array_equal(leg.tissues.array > 0, leg.regions.array > 0)


def test_tissues_have_their_values(leg):
    ct, tissue = leg.ct_ideal.array, leg.tissues.array
    clean = leg.deposits.array == 0
    assert np.median(ct[clean & (tissue == TISSUES["subcutaneous_fat"])]) == pytest.approx(-105, abs=5)
    assert np.median(ct[clean & (tissue == TISSUES["muscle"])]) == pytest.approx(55, abs=3)
    assert np.percentile(ct[tissue == TISSUES["bone"]], 90) > 900
    assert np.median(ct[(tissue == 0)]) < -980


def test_no_deposits_and_a_slab_of_few_slices():
    scan = make_scan(
        ScanSpec(person=PersonSpec(), ct=CtSpec(pixel_mm=3, matrix=(100, 80), slice_mm=5), z_range_mm=(500, 600)), 1
    )
    assert len(scan.table) == 0
    assert scan.ct.array.shape[0] == 20
    assert not scan.deposits.array.any()


def test_a_region_out_of_view_is_an_error():
    with pytest.raises(PlacementError, match="left hand is not in view"):
        tiny_leg(1, deposits=(DepositSpec("hand", "left"),))


def test_a_cluster_has_a_row_each_and_stays_together():
    spec = DepositSpec("thigh", "left", "subcutaneous", volume_ml=0.3, count=4, spread_mm=40, bone_gap_mm=10)
    table = tiny_leg(3, deposits=(spec,)).table
    assert len(table) == 4
    assert set(table["cluster"]) == {1}
    places = table[["x_mm", "y_mm", "z_mm"]].to_numpy(float)
    gaps = np.linalg.norm(places[1:] - places[0], axis=1)
    assert gaps.max() < 50
    assert gaps.min() > 7  # they do not touch


@pytest.mark.parametrize("form", ["sheet", "streak", "tumoral"])
def test_forms_keep_their_volume(form):
    compartment = "subcutaneous" if form == "sheet" else "muscle"
    volume = 3.0 if form != "tumoral" else 8.0
    spec = DepositSpec("thigh", "right", compartment, form=form, volume_ml=volume, bone_gap_mm=8)
    row = tiny_leg(2, deposits=(spec,)).table.iloc[0]
    assert row["volume_ml"] == pytest.approx(volume, rel=0.03)


@pytest.mark.parametrize("fullest", [0.45, 0.55])
def test_the_map_of_a_sheet_thinner_than_the_slices_has_its_volume(fullest):
    """An oblique sheet, whose voxels are filled in part: the fullest by a little less or more than half."""
    grid = SimpleNamespace(shape=(8, 20, 20), spacing=(4.0, 1.0, 1.0))
    cover = np.zeros((6, 12, 12), np.float32)
    z, y, _ = np.indices(cover.shape)
    cover[np.abs(y - 2 * z) <= 1] = 0.3 - 0.01 * z[np.abs(y - 2 * z) <= 1]
    cover[y == 2 * z] = fullest
    volume = float(cover.sum()) * 4 / 1000
    item = SimpleNamespace(cover=cover, box=np.s_[1:7, 4:16, 4:16], label=3, row={"volume_ml": volume})
    labels = Placer.label_map(SimpleNamespace(canvas=SimpleNamespace(grid=grid), placed=[item]))
    assert (labels == 3).sum() * 4 / 1000 == pytest.approx(volume, rel=0.06)
    assert (labels[item.box][y == 2 * z] == 3).all()


def test_a_wanted_place_is_taken_if_it_is_allowed():
    first = tiny_leg(1).table.iloc[1]
    wanted = (first["x_mm"], first["y_mm"], first["z_mm"])
    spec = DepositSpec("thigh", "right", "muscle", volume_ml=0.3, bone_gap_mm=5, at_mm=wanted)
    row = tiny_leg(1, deposits=(spec,)).table.iloc[0]
    np.testing.assert_allclose([row["x_mm"], row["y_mm"], row["z_mm"]], wanted, atol=3.0)


def test_volumes_are_log_normal():
    rng = np.random.default_rng(0)
    drawn = np.array([draw_volume(rng, 0.4, 0.5, 0.001, 1e3) for _ in range(4000)])
    assert np.median(drawn) == pytest.approx(0.4, rel=0.05)
    assert np.log(drawn).std() == pytest.approx(0.5, rel=0.05)


def test_calcium_and_not_fat_depends_on_the_voltage():
    deposits = LEG_DEPOSITS[:1]
    low, usual = (
        make_scan(ScanSpec(**{**vars(leg_spec(deposits=deposits)), "ct": CtSpec(2.0, (160, 128), 3.0, kvp=kvp)}), 1)
        for kvp in (80, 120)
    )
    assert low.table["hu_visible"][0] == pytest.approx(1.44 * usual.table["hu_visible"][0], rel=0.01)
    fat = usual.tissues.array == TISSUES["subcutaneous_fat"]
    clean = fat & (usual.deposits.array == 0) & (low.deposits.array == 0)
    assert np.median(low.ct_ideal.array[clean]) == pytest.approx(np.median(usual.ct_ideal.array[clean]), abs=2)


def test_truth_files(leg, tmp_path):
    write_truth(leg, tmp_path, ideal=True)
    table = read_table(tmp_path / "deposits.tsv")
    assert list(table["concordance"]) == [spec.concordance for spec in LEG_DEPOSITS]
    names = {path.name for path in tmp_path.iterdir()}
    assert {"tissues.nii.gz", "regions.nii.gz", "deposits.nii.gz", "scan.json", "ct_ideal.nii.gz"} <= names
    first = {name: (tmp_path / name).read_bytes() for name in names}
    write_truth(leg, tmp_path, ideal=True)
    assert first == {name: (tmp_path / name).read_bytes() for name in names}


def test_command_makes_dicom_and_truth_from_a_yaml(tmp_path, capsys):
    """The yaml of the docs, shrunk to a slab of the thighs."""
    text = """
person: {height_m: 1.68, bmi: 27, sex: F, age: 61, scoliosis_mm: 15}
ct: {pixel_mm: 3.0, matrix: [130, 90], slice_mm: 5.0}
pet: {pixel_mm: 5.0, slice_mm: 5.0}
limb_motion: {limb: left leg, rotation_deg: [0, 1.0, 0]}
z_range_mm: [600, 660]
deposits:
  - {region: thigh, side: left, volume_ml: 1.5, hu: 450, suv: 7}
traps: {myositis: true}
"""
    (tmp_path / "scan.yaml").write_text(text)
    assert main([str(tmp_path / "scan.yaml"), str(tmp_path / "out"), "--seed", "7", "--strict"]) == 0
    assert "1 of 1 deposits" in capsys.readouterr().out
    assert len(list((tmp_path / "out" / "dicom").rglob("*.dcm"))) == 24
    content = read_json(tmp_path / "out" / "truth" / "scan.json")
    assert content["traps"] == ["myositis", "scoliosis"]
    assert content["limb_motion"]["limb"] == "left leg"
    (tmp_path / "scan.yaml").write_text("person: {heigth_m: 1.7}")
    with pytest.raises(SystemExit):
        main([str(tmp_path / "scan.yaml"), str(tmp_path / "two")])
    assert "unknown key 'heigth_m'" in capsys.readouterr().err
