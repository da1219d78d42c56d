"""The stage on an analytic limb: classes, invariances, degenerate inputs, files."""

import dataclasses
import importlib.util
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from calciflow.files import write_json
from calciflow.images import Volume, read_volume, write_volume
from calciflow.labels import CONCORDANCES, LESION_COLUMNS, PET_STATUSES, TISSUES, region_label
from calciflow.lesions import Rules, detect, find_lesions
from calciflow.mapping import Mapping
from calciflow.tables import read_table

_SPEC = importlib.util.spec_from_file_location("lesion_bodies", Path(__file__).parent.parent / "lesion_bodies.py")
bodies = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(bodies)
Ball = bodies.Ball

SCAN = {"participant_id": "sub-01", "session_id": "ses-01", "acquisition": None}
BOTH = Ball(30.0, 0.0, 20.0, 0.5, 700.0, 12.0)
COLD = Ball(0.0, 52.0, -15.0, 0.4, 500.0, None)
AVID = Ball(-28.0, -10.0, 0.0, 1.0, None, 9.0)


def run(limb, rules=None, mapping=None, **known):
    known = {"kvp": 120.0, "fwhm_mm": 6.0, "tolerance_mm": 2.0, **known}
    return detect(
        limb.ct, limb.suv, limb.tissues, limb.regions, limb.anatomy, mapping or Mapping.identity(), rules or Rules(),
        scan=SCAN, **known,
    )  # fmt: skip


def table(found):
    return pd.DataFrame(found.rows)


def nearest(frame, ball):
    apart = np.linalg.norm(frame[["x_mm", "y_mm", "z_mm"]].to_numpy(float) - [ball.x, ball.y, ball.z], axis=1)
    assert apart.min() < 4.0
    return frame.iloc[int(np.argmin(apart))]


@pytest.fixture(scope="module")
def trio():
    return bodies.limb([BOTH, COLD, AVID])


@pytest.fixture(scope="module")
def found(trio):
    return run(trio)


def test_each_class_is_told(found):
    frame = table(found)
    assert len(frame) == 3
    assert nearest(frame, BOTH).concordance == "CT+PET+"
    assert nearest(frame, COLD).concordance == "CT+PET-"
    assert nearest(frame, COLD).pet_status == "negative"
    assert nearest(frame, AVID).concordance == "CT-PET+"
    assert list(frame.lesion_id) == [1, 2, 3]
    assert frame.z_mm.is_monotonic_decreasing


@pytest.mark.parametrize(("hollow", "back", "flagged"), [(True, -1, True), (False, -1, False), (True, 1, False)])
def test_a_hollow_shell_in_a_buttock_is_kept_and_flagged(hollow, back, flagged):
    ball = Ball(0.0, back * 51.5, 10.0, 0.9, 600.0, None)
    limb = bodies.limb([ball])
    grid = limb.ct.world(np.argwhere(np.ones(limb.ct.array.shape, bool))).reshape(*limb.ct.array.shape, 3)
    if hollow:
        limb.ct.array[np.linalg.norm(grid - [ball.x, ball.y, ball.z], axis=3) < ball.radius - 2.0] = -80
    limb.regions[limb.regions > 0] = region_label("pelvis", "left")
    flags = str(nearest(table(run(limb)), ball)["flags"])
    assert ("injection scar?" in flags) is flagged


def test_a_limb_brought_back_by_a_field_keeps_every_uptake_to_the_bit(trio, found):
    # The PET shows the limb 7.3 mm aside and turned by 3 degrees: geometry moves, no PET value is interpolated.
    turn, shift = np.deg2rad(3.0), np.array([7.3, -4.1, 2.7])
    rigid = np.eye(4)
    rigid[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    rigid[:3, 3] = shift
    moved = Volume(trio.suv.array, rigid @ trio.suv.affine)
    # A coarse field in CT space that says so, on top of the header's alignment.
    axes = [np.arange(-100.0, 101.0, 10.0)] * 3
    z, y, x = np.meshgrid(*axes, indexing="ij")
    points = np.stack([x, y, z], -1)
    field = (points @ rigid[:3, :3].T + shift - points).astype(np.float32)
    affine = np.diag([10.0, 10.0, 10.0, 1.0])
    affine[:3, 3] = -100.0
    limb = bodies.Limb(trio.ct, moved, trio.tissues, trio.regions, trio.anatomy)
    frame, still = table(run(limb, mapping=Mapping(np.eye(4), field, affine))), table(found)
    assert list(frame.concordance) == list(still.concordance)
    for ball in (BOTH, AVID):
        assert nearest(frame, ball).suv_max == nearest(still, ball).suv_max
        assert np.float32(nearest(frame, ball).suv_max) in trio.suv.array


def test_measures_are_the_truth(found):
    frame = table(found)
    both, cold, avid = (nearest(frame, ball) for ball in (BOTH, COLD, AVID))
    assert both.ct_volume_ml == pytest.approx(0.5, rel=0.1)
    assert cold.ct_volume_ml == pytest.approx(0.4, rel=0.1)
    # Uncalibrated: 0.8 mg per HU and ml over the tissue around.
    assert both.hydroxyapatite_mg == pytest.approx(0.8 * 0.5 * (700 - 55), rel=0.07)
    assert cold.hydroxyapatite_mg == pytest.approx(0.8 * 0.4 * (500 + 100), rel=0.07)
    assert both.pet_excess == pytest.approx(12.0 - 0.6, rel=0.2)
    assert cold.suv_background < 0.5
    assert avid.suv_mean > 3.0
    assert avid.distance_to_skin_mm > 15
    # From the ball's surface to the bone's: 30 - 12 - radius.
    assert both.distance_to_bone_mm == pytest.approx(30.0 - 12.0 - BOTH.radius, abs=2.0)


def test_what_a_modality_lacks_is_missing(found):
    frame = table(found)
    cold, avid = nearest(frame, COLD), nearest(frame, AVID)
    for name in ("pet_volume_ml", "suv_max", "suv_mean", "suv_peak", "tlf"):
        assert pd.isna(cold[name])
    for name in ("ct_volume_ml", "hu_max", "hu_mean", "hydroxyapatite_mg", "agatston"):
        assert pd.isna(avid[name])
    assert cold.suv_detection_limit > cold.suv_background


def test_label_map_agrees_with_the_table(found, trio):
    frame = table(found)
    assert found.labels.shape == trio.ct.array.shape
    assert sorted(np.unique(found.labels)) == [0, *frame.lesion_id]
    for ball in (BOTH, COLD, AVID):
        place = np.round(trio.ct.index(np.array([[ball.x, ball.y, ball.z]]))[0]).astype(int)
        assert found.labels[tuple(place)] == nearest(frame, ball).lesion_id


def test_nothing_is_found_in_a_limb_without_deposits():
    for seed in (1, 2):
        result = run(bodies.limb([], seed=seed, noise_hu=25.0, noise_suv=0.1))
        assert result.rows == []
        assert not result.labels.any()


@pytest.mark.parametrize("noise_hu", [12.0, 25.0])
def test_deposits_of_a_tenth_of_a_millilitre_are_found_beside_each_other(noise_hu):
    balls = [Ball(25.0, y, z, 0.1, 600.0, None) for y in (-20.0, 0.0, 20.0) for z in (-30.0, 0.0, 30.0)]
    frame = table(run(bodies.limb(balls, noise_hu=noise_hu)))
    assert len(frame) == 9
    assert frame.ct_volume_ml.sub(0.1).abs().median() < 0.02


def test_touching_deposits_split_at_half_height_and_fragments_merge():
    apart = [Ball(28.0, 0.0, 0.0, 0.3, 700.0), Ball(28.0, 12.5, 0.0, 0.3, 700.0)]
    assert len(run(bodies.limb(apart, half_z=24.0)).rows) == 2
    fragments = [Ball(28.0, 0.0, 0.0, 0.3, 700.0), Ball(28.0, 9.0, 0.0, 0.3, 700.0)]
    assert len(run(bodies.limb(fragments, half_z=24.0)).rows) == 1


def test_deposit_that_touches_bone_is_found_and_bones_edge_is_not():
    touching = Ball(12.0 + 4.0, 0.0, 0.0, 0.4, 800.0, None)
    frame = table(run(bodies.limb([touching], noise_hu=20.0)))
    assert len(frame) == 1
    assert frame.distance_to_bone_mm[0] < 1.5
    nearest(frame, touching)


def test_uptake_that_bone_explains_makes_no_lesion():
    result = run(bodies.limb([], bone_suv=15.0, noise_suv=0.1))
    assert result.rows == []


def test_cold_deposit_beside_hot_bone_is_not_called_positive():
    beside = Ball(0.0, 12.0 + 4.5, 0.0, 0.15, 700.0, None)
    frame = table(run(bodies.limb([beside], bone_suv=12.0)))
    row = nearest(frame, beside)
    assert row.pet_status != "positive"
    assert row.concordance == "CT+PET-"
    assert row.bone_spill_fraction > 0.5


def test_tiny_cold_deposit_cannot_be_called_negative():
    tiny = Ball(28.0, 0.0, 0.0, 0.02, 1500.0, None)
    frame = table(run(bodies.limb([tiny], ct_spacing=(1.5, 1.0, 1.0), half_z=24.0, noise_suv=0.15)))
    row = nearest(frame, tiny)
    assert row.pet_status == "indeterminate"
    assert row.suv_detection_limit > 5


def test_pet_apart_from_ct_is_matched_through_the_transform():
    limb = bodies.limb([BOTH])
    moved = limb.suv.affine.copy()
    moved[:3, 3] += [15.0, -8.0, 6.0]
    shift = np.eye(4)
    shift[:3, 3] = [15.0, -8.0, 6.0]
    away = bodies.Limb(limb.ct, Volume(limb.suv.array, moved), limb.tissues, limb.regions, limb.anatomy)
    right, wrong = table(run(away, mapping=Mapping(shift))), table(run(away))
    assert list(right.concordance) == ["CT+PET+"]
    assert right.suv_max[0] == pytest.approx(table(run(limb)).suv_max[0], rel=0.02)
    assert "CT+PET-" in set(wrong.concordance)


def test_flipping_the_patient_flips_the_lesions(trio, found):
    def flipped(volume):
        return Volume(np.ascontiguousarray(volume.array[:, :, ::-1]), volume.affine)

    mirror = bodies.Limb(
        flipped(trio.ct),
        flipped(trio.suv),
        trio.tissues[:, :, ::-1].copy(),
        trio.regions[:, :, ::-1].copy(),
        trio.anatomy,
    )
    one, two = table(found), table(run(mirror))
    assert list(one.concordance) == list(two.concordance)
    assert np.allclose(-one.x_mm, two.x_mm, atol=0.05)
    assert np.allclose(one.ct_volume_ml.dropna(), two.ct_volume_ml.dropna(), rtol=0.02)
    assert np.allclose(one.pet_volume_ml.dropna(), two.pet_volume_ml.dropna(), rtol=0.02)


def test_cropping_away_plain_slices_changes_no_name_and_hardly_a_number(trio, found):
    part = (slice(3, None), slice(None), slice(None))
    crop = bodies.Limb(trio.ct.crop(part), trio.suv, trio.tissues[part], trio.regions[part], trio.anatomy)
    one, two = table(found), table(run(crop))
    assert list(one.lesion_uid) == list(two.lesion_uid)
    assert np.allclose(one.ct_volume_ml.dropna(), two.ct_volume_ml.dropna(), rtol=0.02)


def test_air_around_the_body_changes_nothing(trio, found):
    wide = ((0, 0), (30, 17), (5, 42))
    affine = trio.ct.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ np.array([5.0, 30.0, 0.0])
    padded = bodies.Limb(
        Volume(np.pad(trio.ct.array, wide, constant_values=-1000), affine),
        trio.suv,
        np.pad(trio.tissues, wide),
        np.pad(trio.regions, wide),
        trio.anatomy,
    )
    seen = run(padded)
    one, two = table(found), table(seen)
    assert list(one.lesion_uid) == list(two.lesion_uid)
    assert np.allclose(one.ct_volume_ml.dropna(), two.ct_volume_ml.dropna(), rtol=1e-4)
    assert seen.labels.shape == padded.ct.array.shape
    assert np.array_equal(seen.labels[:, 30:-17, 5:-42], found.labels)


def test_names_survive_other_thresholds(trio, found):
    other = run(trio, Rules(hu_floor=160.0, pet_z=5.5, pet_threshold="41%", merge_mm=3.0))
    assert [row["lesion_uid"] for row in other.rows] == [row["lesion_uid"] for row in found.rows]


@pytest.mark.parametrize(
    ("threshold", "classes"),
    [("SUV10", {"CT+PET-"}), ("absolute", {"CT+PET+", "CT+PET-", "CT-PET+"}), ("50%", set(CONCORDANCES))],
)
def test_thresholds_decide_what_counts_as_uptake(trio, threshold, classes):
    # Blurred, the ball of SUV 12 shows 6 and the one of SUV 9 shows 5.5: neither reaches 10.
    frame = table(run(trio, Rules(pet_threshold=threshold, suv_absolute=3.0)))
    assert set(frame.concordance) == classes


def test_pet_elsewhere_is_no_error():
    limb = bodies.limb([BOTH], half_z=24.0)
    away = limb.suv.affine.copy()
    away[2, 3] += 1000.0
    result = run(bodies.Limb(limb.ct, Volume(limb.suv.array, away), limb.tissues, limb.regions, limb.anatomy))
    assert [row["concordance"] for row in result.rows] == ["CT+PET-"]
    assert result.rows[0]["pet_status"] == "indeterminate"
    assert "outside PET" in result.rows[0]["flags"]
    assert result.findings["imaged_fraction"]["right thigh"]["pet"] == 0
    assert result.findings["warnings"]


def test_empty_body_and_no_bone_are_no_errors():
    limb = bodies.limb([BOTH], half_z=24.0)
    nothing = bodies.Limb(limb.ct, limb.suv, np.zeros_like(limb.tissues), np.zeros_like(limb.regions), {})
    assert run(nothing).rows == []
    boneless = np.where(limb.tissues == TISSUES["bone"], TISSUES["muscle"], limb.tissues).astype(np.uint8)
    ct = limb.ct.array.copy()
    ct[limb.tissues == TISSUES["bone"]] = 55
    _, y, x = np.indices(ct.shape)
    ct = np.where((ct > 130) & (np.hypot((y - 44) * 1.5, (x - 44) * 1.5) < 16), 55, ct).astype(np.int16)
    result = run(bodies.Limb(limb.ct.like(ct), limb.suv, boneless, limb.regions, limb.anatomy))
    assert any(row["concordance"] == "CT+PET+" and np.isnan(row["distance_to_bone_mm"]) for row in result.rows)


def test_metal_and_organs_are_dropped_and_counted():
    limb = bodies.limb([Ball(28.0, 0.0, 0.0, 2.0, 3000.0), Ball(-28.0, 0.0, 10.0, 0.5, 300.0)], half_z=30.0)
    z, y, x = np.indices(limb.tissues.shape)
    centre = limb.ct.index(np.array([[-28.0, 0.0, 10.0]]))[0]
    near = np.sqrt(sum(((a - c) * s) ** 2 for a, c, s in zip((z, y, x), centre, limb.ct.spacing, strict=True))) < 14
    tissues = np.where(near, TISSUES["viscera"], limb.tissues).astype(np.uint8)
    result = run(bodies.Limb(limb.ct, limb.suv, tissues, limb.regions, limb.anatomy))
    assert not any(str(row["concordance"]).startswith("CT+") for row in result.rows)
    assert result.findings["dropped"]["metal"] == 1
    assert result.findings["dropped"]["viscera, bowel contents or contrast"] == 1


def streaked(amplitude, balls=()):
    """A limb with a metal nail in the bone of its middle slices, whose streaks darken as much as they brighten."""
    limb = bodies.limb(balls, half_z=60.0)
    hu = limb.ct.array.astype(float)
    z, y, x = np.indices(hu.shape)
    z, y, x = (limb.ct.world(np.stack([z, y, x], -1).reshape(-1, 3))[:, axis].reshape(hu.shape) for axis in (2, 1, 0))
    nail = (np.abs(z) < 10) & (np.hypot(x, y) < 8)
    rng = np.random.default_rng(5)
    for plane in np.flatnonzero((np.abs(z) < 10).any((1, 2))):
        # Lines through the nail: noise over the angle, mean free.
        lines = rng.normal(0, amplitude, 90)
        angle = ((np.arctan2(y[plane], x[plane]) + np.pi) / (2 * np.pi) * 90).astype(int) % 90
        hu[plane] += np.where(np.hypot(x[plane], y[plane]) < 60, lines[angle], 0.0)
    hu[nail] = 3071
    return bodies.Limb(limb.ct.like(hu.astype(np.int16)), limb.suv, limb.tissues, limb.regions, limb.anatomy)


def test_streaks_of_metal_are_no_lesions_but_a_deposit_among_them_is():
    deposit = Ball(0.0, 34.0, 3.0, 0.6, 1200.0)
    alone = run(streaked(80.0))
    assert not any(str(row["concordance"]).startswith("CT+") for row in alone.rows), alone.rows
    assert alone.findings["dropped"]["metal streak"] >= 3
    among = [row for row in run(streaked(80.0, [deposit])).rows if str(row["concordance"]).startswith("CT+")]
    assert len(among) == 1
    assert nearest(pd.DataFrame(among), deposit)["flags"] == "metal nearby"


def test_a_soft_deposit_beside_metal_without_streaks_is_a_lesion():
    """All up to 600 HU within 60 mm of metal was dropped, whether there were streaks or not."""
    deposit = Ball(0.0, 34.0, 3.0, 0.6, 400.0)
    rows = [row for row in run(streaked(0.0, [deposit])).rows if str(row["concordance"]).startswith("CT+")]
    assert len(rows) == 1
    assert "metal nearby" not in str(rows[0]["flags"])


def test_unlikely_bone_is_looked_at_as_a_deposit():
    limb = bodies.limb([COLD], half_z=30.0)
    z, y, x = np.indices(limb.tissues.shape)
    place = limb.ct.index(np.array([[COLD.x, COLD.y, COLD.z]]))[0]
    ball = (
        np.sqrt(sum(((a - c) * s) ** 2 for a, c, s in zip((z, y, x), place, limb.ct.spacing, strict=True)))
        < COLD.radius
    )
    tissues = np.where(ball, TISSUES["bone"], limb.tissues).astype(np.uint8)
    piece = {"x_mm": COLD.x, "y_mm": COLD.y, "z_mm": COLD.z, "volume_ml": 0.4, "bone_probability": 0.2}
    sure = bodies.Limb(limb.ct, limb.suv, tissues, limb.regions, limb.anatomy)
    assert run(sure).rows == []
    doubtful = bodies.Limb(limb.ct, limb.suv, tissues, limb.regions, {**limb.anatomy, "uncertain_bone": [piece]})
    assert len(run(doubtful).rows) == 1


def stage_inputs(folder, limb):
    write_volume(folder / "ct.nii.gz", limb.ct, np.int16)
    write_volume(folder / "suv.nii.gz", limb.suv, np.float32)
    write_volume(folder / "tissues.nii.gz", limb.ct.like(limb.tissues), np.uint8)
    write_volume(folder / "regions.nii.gz", limb.ct.like(limb.regions), np.uint8)
    write_json(folder / "anatomy.json", limb.anatomy)
    write_json(folder / "ct.json", {"KVP": 120.0, "SliceThickness": 3.0})
    write_json(folder / "suv.json", {"fwhm_mm": 6.0})
    write_json(folder / "xfm.json", {"tolerance_mm": 2.0})
    sitk.WriteTransform(sitk.AffineTransform(3), str(folder / "xfm.tfm"))
    names = {"ct": "ct.nii.gz", "ct_json": "ct.json", "suv": "suv.nii.gz", "suv_json": "suv.json"}
    names |= {"tissues": "tissues.nii.gz", "regions": "regions.nii.gz", "anatomy": "anatomy.json"}
    names |= {"xfm": "xfm.tfm", "xfm_json": "xfm.json"}
    return {key: str(folder / name) for key, name in names.items()}


def test_stage_writes_the_contracts_files_the_same_each_time(tmp_path, trio, capsys):
    inputs = stage_inputs(tmp_path, trio)
    contents = []
    for turn in ("one", "two"):
        outputs = {
            "lesions": str(tmp_path / turn / "dseg.nii.gz"),
            "candidates": str(tmp_path / turn / "candidates.tsv"),
            "findings": str(tmp_path / turn / "findings.json"),
        }
        find_lesions(**inputs, **outputs, scan=SCAN, pet_threshold="relative", injection_sites=[])
        contents.append([Path(path).read_bytes() for path in outputs.values()])
    assert contents[0] == contents[1]
    frame = read_table(outputs["candidates"])
    assert list(frame.columns[: len(LESION_COLUMNS)]) == list(LESION_COLUMNS)
    assert set(frame.concordance) <= set(CONCORDANCES)
    assert set(frame.pet_status) <= set(PET_STATUSES)
    assert frame.compartment.isna().all()
    image = nib.load(outputs["lesions"])
    assert image.get_data_dtype() == np.uint16
    assert sorted(np.unique(read_volume(outputs["lesions"]).array)) == [0, *frame.lesion_id]
    findings = json.loads(Path(outputs["findings"]).read_text())
    assert set(findings) == {"dropped", "imaged_fraction", "reference", "warnings"}
    assert len(findings["imaged_fraction"]) == 32
    assert findings["imaged_fraction"]["right thigh"]["ct"] == pytest.approx(0.3)
    assert "3 lesions" in capsys.readouterr().out


def test_settings_and_rules_name_the_same_keys_and_defaults():
    from calciflow.settings import Lesions

    given = Lesions().model_dump()
    assert given == {name: getattr(Rules(), name) for name in given}
    assert set(given) == set(Rules.__dataclass_fields__)


def test_a_focus_without_soft_tissue_of_its_own_is_not_in_the_table():
    """Its voxels all lie in bone, or all under a CT deposit: a row without a label would stop the next stage."""
    from calciflow.deposits.rows import Lesion, _painted, _shows

    box = (slice(0, 2), slice(0, 2), slice(0, 2))
    full = np.ones((2, 2, 2), bool)
    voxels = np.zeros((1, 3), np.int64)
    in_bone = Lesion(None, voxels, (0,), np.zeros(3), None, None, None, None)
    covered = Lesion(None, voxels, (1,), np.zeros(3), None, None, full, box)
    deposit = Lesion(0, None, (), np.zeros(3), full, box, None, None)
    lesions = [in_bone, covered, deposit]
    labels = _painted(lesions, (4, 4, 4))
    assert [_shows(lesion, number, labels) for number, lesion in enumerate(lesions, 1)] == [False, False, True]


def test_the_sternum_is_told_by_its_place():
    from calciflow.deposits.places import at_sternum
    from calciflow.images import Volume
    from calciflow.labels import TISSUES

    tissues = np.full((20, 60, 80), TISSUES["muscle"], np.uint8)
    tissues[:, 15:40, 10:30] = tissues[:, 15:40, 50:70] = TISSUES["lung"]
    tissues[:, 55:, :] = TISSUES["subcutaneous_fat"]
    ct = Volume(np.zeros(tissues.shape, np.int16), np.diag([4.0, 4.0, 4.0, 1.0]))
    midline = {"point_mm": [160.0, 0.0, 0.0], "normal": [1.0, 0.0, 0.0]}

    def at(x, y, z=10):
        return at_sternum(np.array([x * 4.0, y * 4.0, z * 4.0]), tissues, ct, midline)

    assert at(40, 48)
    assert not at(52, 48), "beside the midline"
    assert not at(40, 10), "the spine's side of the lungs"
    assert not at(40, 58), "in the fat before the sternum"
    assert not at_sternum(np.array([160.0, 192.0, 40.0]), tissues, ct, {}), "midline not known"
    tissues[:] = TISSUES["muscle"]
    assert not at(40, 48), "no chest there"


def test_the_lungs_edge_beside_a_deposit_in_the_chest_wall_is_no_bowel_gas():
    """Lung that the map calls something else at its edge hangs together with lung; gas in bowel does not."""
    deep = Ball(30.0, 0.0, 0.0, 0.4, 500.0, None)
    for label, left in ((TISSUES["lung"], 1), (TISSUES["viscera"], 0)):
        limb = bodies.limb([deep], half_z=24.0)
        regions = np.where(limb.regions > 0, region_label("chest", "right"), 0).astype(np.uint8)
        z, y, x = (int(v) for v in np.round(limb.ct.index(np.array([[deep.x, deep.y + 14.0, deep.z]]))[0]))
        hu, tissues = limb.ct.array.copy(), limb.tissues.copy()
        box = np.s_[z - 3 : z + 4, y - 3 : y + 4, x - 3 : x + 4]
        hu[box] = -800
        tissues[box] = TISSUES["viscera"]
        tissues[z, y, x] = label
        chest = dataclasses.replace(limb, ct=limb.ct.like(hu), tissues=tissues, regions=regions)
        assert len(run(chest).rows) == left


def ball_around(limb, ball, radius):
    z, y, x = np.indices(limb.tissues.shape)
    place = limb.ct.index(np.array([[ball.x, ball.y, ball.z]]))[0]
    return np.sqrt(sum(((a - c) * s) ** 2 for a, c, s in zip((z, y, x), place, limb.ct.spacing, strict=True))) < radius


@pytest.mark.parametrize(
    ("ball", "tissue", "region", "cause"),
    [
        (Ball(28.0, 0.0, 0.0, 0.5, 600.0), "other", "head", "inside the skull or airway"),
        (Ball(28.0, 0.0, 0.0, 0.5, 600.0), "lung", "chest", "viscera, bowel contents or contrast"),
        (Ball(28.0, 0.0, 0.0, 1.0, None, 9.0), "other", "head", "inside the skull or airway"),
        (Ball(28.0, 0.0, 0.0, 1.0, None, 9.0), "bone", "thigh", "in bone"),
        (Ball(28.0, 0.0, 0.0, 1.0, None, 9.0), None, None, "outside the body"),
    ],
)
def test_what_lies_in_an_organ_is_dropped_by_its_cause_and_is_a_lesion_in_muscle(ball, tissue, region, cause):
    limb = bodies.limb([ball], half_z=30.0)
    assert len(run(limb).rows) == 1
    near = ball_around(limb, ball, 14.0)  # all around it, short of the bone
    tissues, regions = limb.tissues.copy(), limb.regions.copy()
    tissues[near] = TISSUES[tissue] if tissue else 0
    regions[near] = region_label(region, "right") if region else 0
    found = run(bodies.Limb(limb.ct, limb.suv, tissues, regions, limb.anatomy))
    assert found.rows == []
    assert found.findings["dropped"].get(cause) == 1


def test_what_lies_beside_gas_deep_in_the_trunk_fills_bowel():
    ball = Ball(28.0, 0.0, 0.0, 0.5, 400.0)
    limb = bodies.limb([ball], half_z=30.0)
    regions = np.where(limb.tissues > 0, region_label("abdomen", "right"), 0).astype(np.uint8)
    beside = ball_around(limb, Ball(28.0, 10.0, 0.0, 0.5), 6.0) & ~ball_around(limb, ball, ball.radius + 1)
    gassy = limb.ct.like(np.where(beside, -900, limb.ct.array).astype(np.int16))
    found = run(bodies.Limb(gassy, limb.suv, limb.tissues, regions, limb.anatomy))
    assert found.findings["dropped"].get("viscera, bowel contents or contrast") == 1
    # In a limb there is no bowel, whatever the gas is.
    assert len(run(bodies.Limb(gassy, limb.suv, limb.tissues, limb.regions, limb.anatomy)).rows) == 1
    assert len(run(bodies.Limb(limb.ct, limb.suv, limb.tissues, regions, limb.anatomy)).rows) == 1


def test_an_injection_site_is_dropped_where_it_is_named():
    limb = bodies.limb([AVID], half_z=30.0)
    found = run(limb, Rules(injection_sites=("right thigh",)))
    assert found.rows == []
    assert found.findings["dropped"]["injection site"] == 1
    assert len(run(limb, Rules(injection_sites=("left thigh",))).rows) == 1


def test_warnings_say_what_is_not_comparable():
    limb = bodies.limb([BOTH], half_z=30.0)
    assert any("80 kVp" in text for text in run(limb, kvp=80.0).findings["warnings"])
    calibrated = run(limb, Rules(hydroxyapatite_mg_per_hu_ml=0.5))
    assert calibrated.rows[0]["hydroxyapatite_mg"] == pytest.approx(run(limb).rows[0]["hydroxyapatite_mg"] * 0.5 / 0.8)
    assert not any("uncalibrated" in text for text in calibrated.findings["warnings"])
    thick = bodies.limb([Ball(30.0, 0.0, 0.0, 2.0, 700.0)], ct_spacing=(5.0, 1.5, 1.5))
    assert any("no Agatston score" in text for text in run(thick).findings["warnings"])


@pytest.mark.parametrize(
    ("shift_mm", "volume_ml", "told"), [(0.0, 0.4, True), (2.0, 0.3, True), (15.0, 0.4, False), (0.0, 4.0, False)]
)
def test_what_the_map_is_not_sure_of_says_so(shift_mm, volume_ml, told):
    limb = bodies.limb([COLD])
    piece = {"x_mm": COLD.x + shift_mm, "y_mm": COLD.y, "z_mm": COLD.z}
    piece |= {"volume_ml": volume_ml, "bone_probability": 0.3}
    limb.anatomy["uncertain_bone"] = [piece]
    row = table(run(limb)).iloc[0]
    assert ("bone?" in str(row["flags"])) is told
    # it stays, whatever is said of it
    assert row["concordance"] == "CT+PET-"
