"""Each trap on a small crop: what was painted is what its truth says."""

from dataclasses import fields

import numpy as np
import pytest

from calciflow.benchmark.split import traps_of
from calciflow.images import read_volume
from calciflow.labels import TISSUES
from calciflow.phantom.canvas import MUSCLE, Canvas
from calciflow.phantom.model import Person
from calciflow.phantom.pose import trunk_lofts
from calciflow.phantom.scan import make_scan
from calciflow.phantom.shapes import Grid
from calciflow.phantom.spec import CtSpec, DepositSpec, PersonSpec, PetSpec, ScanSpec, Traps, from_mapping, replace
from calciflow.phantom.streaks import add_streaks, back_project, projector
from calciflow.phantom.structures import STRUCTURES
from calciflow.phantom.tiny import leg_spec
from calciflow.phantom.trap_list import PLACES, TRAPS, paint_traps, shaped, switched_on
from calciflow.phantom.traps import Metal
from calciflow.phantom.truth import write_truth
from calciflow.tables import read_table

SEED = 6
PERSON = PersonSpec(1.70, 24.0, "F", 60, "down")
CALCIUM = 1.17  # 100 kVp
# centre and size (mm) of a crop that shows each; None: around the joint of that name on the right
CROPS = {
    "arterial_calcification": ((0, 10, 990), (220, 180, 200)),
    "costal_cartilage": ((0, 60, 1270), (260, 120, 240)),
    "phleboliths": ((0, 0, 855), (160, 120, 80)),
    "granulomas": ((0, -80, 925), (300, 140, 120)),
    "oral_contrast": ((0, 20, 1040), (260, 180, 120)),
    "intravenous_contrast": ((0, 10, 1220), (220, 200, 100)),
    "enthesis_spurs": ("knee", (160, 160, 160)),
    "arthritis": ("knuckles", (140, 140, 220)),
    "hot_ureters": ((0, -10, 980), (140, 120, 200)),
    "urine_on_skin": ((0, 60, 790), (220, 180, 120)),
    "injection_residue": ((0, -30, 1100), (560, 140, 200)),
    "dental_metal": ((0, 50, 1520), (140, 140, 80)),
    "hip_prosthesis": ((0, 0, 840), (320, 160, 260)),
    "tubes": ((0, 100, 1280), (300, 160, 220)),
    "myositis": ((0, 0, 640), (320, 220, 60)),
    "acro_osteolysis": ("knuckles", (140, 140, 300)),
    "attenuation_mismatch": ((0, 0, 1200), (200, 160, 60)),
}


@pytest.fixture(scope="module")
def person():
    return Person.make(PERSON, SEED)


def crop(person, name, step=2.0):
    centre, size = CROPS[name]
    if isinstance(centre, str):
        centre = getattr(next(one for one in person.limbs if one.side == "right"), centre)
    size = np.array(size)
    low = np.array(centre, float) - size / 2
    shape = tuple(int(n) for n in (size / step)[::-1])
    canvas = Canvas(Grid(shape, (step,) * 3, tuple(map(float, low))))
    person.paint(canvas, CALCIUM)
    return canvas


def test_every_trap_has_its_crop_and_its_place():
    assert set(CROPS) == {item.name for item in fields(Traps)}
    assert set(PLACES) == set(TRAPS)


@pytest.mark.parametrize("name", [name for name in CROPS if name != "attenuation_mismatch"])
def test_truth_is_what_was_painted(person, name):
    canvas = crop(person, name)
    hu, suv = canvas.hu.copy(), canvas.suv.copy()
    spec = ScanSpec(person=PERSON, traps=switched_on({name}))
    painter = paint_traps(canvas, person, spec, SEED, CALCIUM)
    assert painter.rows
    assert {row["name"] for row in painter.rows} == {name}
    seen = 0
    for row in painter.rows:
        inside = painter.labels == row["index"]
        if not inside.any():
            continue  # a later object of the same trap lies over it
        seen += 1
        world = np.argwhere(inside)[:, ::-1] * 2.0 + np.array(canvas.grid.origin)
        centre = [row["x_mm"], row["y_mm"], row["z_mm"]]
        if inside.sum() > 20 and inside.sum() * 0.008 == pytest.approx(row["volume_ml"], rel=0.15):
            np.testing.assert_allclose(world.mean(axis=0), centre, atol=4)
        if row["hu"] is not None and name != "granulomas":
            extreme = canvas.hu[inside]
            away = np.abs(extreme - row["hu"]).min()
            # the fullest voxel comes nearest to the painted value; what is smaller than a voxel cannot reach it
            assert away < 0.65 * abs(row["hu"] - hu[inside].mean()) + 30, row
        if row["suv"] is not None:
            away = np.abs(canvas.suv[inside] - row["suv"]).min()
            assert away < 0.65 * abs(row["suv"] - suv[inside].mean()) + 0.3, row
        if row["suv"] is None:
            changed = np.abs(canvas.suv - suv)[inside]
            assert changed.max() < 1e-6 or name == "acro_osteolysis"
        if row["hu"] is None and name not in ("arthritis", "hip_prosthesis"):  # other objects of theirs are dense
            assert np.abs(canvas.hu - hu)[inside].max() < 1e-3
    assert seen >= max(1, len(painter.rows) // 2)
    # nothing far from the labels has changed
    far = np.ones(canvas.grid.shape, bool)
    index = np.argwhere(painter.labels > 0)
    low, high = np.maximum(index.min(axis=0) - 4, 0), index.max(axis=0) + 5
    far[low[0] : high[0], low[1] : high[1], low[2] : high[2]] = False
    assert np.abs(canvas.hu - hu)[far].max(initial=0) < 1e-3


def painted(person, name):
    canvas = crop(person, name)
    before = canvas.structures.copy(), canvas.tissues.copy(), canvas.hu.copy(), canvas.suv.copy()
    painter = paint_traps(canvas, person, ScanSpec(person=PERSON, traps=switched_on({name})), SEED, CALCIUM)
    return canvas, painter, before


def test_plaques_lie_on_the_wall(person):
    canvas, painter, (structures, *_) = painted(person, "arterial_calcification")
    vessel = structures == STRUCTURES["vessel"]
    calcium = painter.labels > 0
    inside = (calcium & vessel).sum() / calcium.sum()
    assert 0.1 < inside < 0.95  # neither in the lumen's middle nor beside the vessel
    assert canvas.hu[calcium].max() > 300


def test_contrast_spares_gas_and_bone(person):
    _, painter, (_, tissues, hu, _) = painted(person, "oral_contrast")
    inside = painter.labels > 0
    assert hu[inside].min() > -150
    assert not (tissues[inside] == TISSUES["bone"]).any()


def test_urine_is_outside_the_body(person):
    canvas, painter, _ = painted(person, "urine_on_skin")
    assert (canvas.tissues[painter.labels > 0] == 0).mean() > 0.95
    assert canvas.suv[painter.labels > 0].max() > 5


def test_myositis_is_symmetric_and_has_no_calcium(person):
    canvas, painter, (_, _, hu, suv) = painted(person, "myositis")
    level = {row["trap"]: canvas.suv[painter.labels == row["index"]].mean() for row in painter.rows}
    assert level["right thigh"] == pytest.approx(level["left thigh"], rel=0.15)
    assert level["right thigh"] > 2 * MUSCLE[1]
    np.testing.assert_array_equal(canvas.hu, hu)
    assert suv[painter.labels > 0].mean() < 0.8


def test_acro_osteolysis_takes_bone_away(person):
    canvas, painter, (structures, tissues, _, _) = painted(person, "acro_osteolysis")
    bone = structures == STRUCTURES["hand bone"]
    lost = bone & (canvas.structures != STRUCTURES["hand bone"])
    assert lost.sum() > 10
    assert (tissues[lost] == TISSUES["bone"]).all()
    assert np.median(canvas.hu[lost]) < 130
    assert ((painter.labels > 0) & bone).sum() >= lost.sum()


def test_scoliosis_swings_both_ways():
    straight = {b.name: b.shape.bounds() for b in Person.make(PERSON, SEED).bones()[0] if b.name.endswith("body")}
    bent = Person.make(replace(PERSON, scoliosis_mm=25.0), SEED)
    moved = {b.name: b.shape.bounds() for b in bent.bones()[0] if b.name.endswith("body")}
    shift = {name: float(np.mean(moved[name], axis=0)[0] - np.mean(straight[name], axis=0)[0]) for name in straight}
    assert max(shift.values()) == pytest.approx(25, abs=1)
    assert min(shift.values()) == pytest.approx(-25, abs=1)
    assert abs(shift["C1 body"]) < 1  # neck and sacrum stay where they are


@pytest.mark.parametrize("side", ["right", "left"])
def test_hips_rotate(side):
    body = Person.make(replace(PERSON, hip_rotation_deg=(40.0, 40.0)), SEED)
    plain = Person.make(PERSON, SEED)
    turned, straight = (next(one for one in p.limbs if one.side == side) for p in (body, plain))
    a, b = turned.frames["thigh"].axes[1], straight.frames["thigh"].axes[1]
    assert np.degrees(np.arccos(a @ b)) == pytest.approx(40, abs=2)
    assert (a[0] - b[0]) * (1 if side == "right" else -1) > 0.5  # outwards
    np.testing.assert_allclose(turned.knee, straight.knee)


@pytest.mark.parametrize("bmi", [17.0, 25.0, 36.0])
def test_hands_under_the_buttocks_lie_behind_the_body(bmi):
    body = Person.make(PersonSpec(1.7, bmi, "F", 50, "under"), SEED)
    _, skin = trunk_lofts(body.build)
    for item in body.limbs:
        for point in (item.knuckles, 0.5 * (item.wrist + item.knuckles)):
            x, y, z = point.astype(np.float32).reshape(3, 1)
            assert point[1] < -95
            assert abs(point[0]) < 150
            assert float(skin.distance(x, y, z)[0]) > 8  # half a hand's thickness


def test_mismatch_lowers_a_band_of_the_pet():
    """Without other traps the PET changes by a factor that is the truth's, blurred."""
    view = {"z_range_mm": (1120.0, 1280.0), "centre_xy_mm": (0.0, 0.0)}
    ct = CtSpec(pixel_mm=4.0, matrix=(90, 70), slice_mm=4.0, table=False, blanket=False)
    spec = ScanSpec(person=PERSON, ct=ct, pet=PetSpec(pixel_mm=4.0, slice_mm=4.0), **view)
    plain, wrong = make_scan(spec, SEED), make_scan(replace(spec, traps=Traps(attenuation_mismatch=True)), SEED)
    profile = wrong.pet_ideal.array.sum(axis=(1, 2)) / plain.pet_ideal.array.sum(axis=(1, 2))
    z = plain.pet_ideal.world(np.array([[k, 0, 0] for k in range(len(profile))]))[:, 2]
    assert z[np.argmin(profile)] == pytest.approx(1200, abs=6)
    assert 0.5 < profile.min() < 0.7
    assert profile[np.abs(z - 1200) > 40].min() > 0.95
    np.testing.assert_array_equal(plain.ct.array, wrong.ct.array)
    assert wrong.trap_table["name"].tolist() == ["attenuation_mismatch"]


def test_back_projection_returns_a_disc():
    """Filtered back-projection of a disc's projections gives the disc (Kak and Slaney 1988, chapter 3)."""
    y, x = np.mgrid[-40:41, -40:41] * 3.0
    disc = (np.hypot(x, y) < 60).astype(float)
    matrix, bins = projector(disc.shape, 3.0, 90)
    sinogram = matrix @ disc.ravel()[:, None]
    assert sinogram.max() == pytest.approx(120, rel=0.06)  # the diameter
    image = back_project(sinogram, matrix, bins, 3.0)[:, 0].reshape(disc.shape)
    assert image[np.hypot(x, y) < 45].mean() == pytest.approx(1, abs=0.05)
    assert abs(image[(np.hypot(x, y) > 75) & (np.hypot(x, y) < 110)].mean()) < 0.05


def test_streaks_are_dark_between_two_metals_and_leave_metal_and_far_slices():
    grid = Grid((3, 120, 120), (3.0, 1.0, 1.0), (-59.5, -59.5, 0.0))
    hu = np.full(grid.shape, 40.0, np.float32)
    metals = []
    for x in (30, 80):
        box = (slice(1, 2), slice(55, 65), slice(x, x + 10))
        hu[box] = 8000
        metals.append(Metal(box, np.ones((1, 10, 10), np.float32)))
    add_streaks(hu, grid, metals, 1)
    assert (hu[0] == 40).all()
    assert (hu[2] == 40).all()
    assert (hu[metals[0].box] == 8000).all()
    assert hu[1, 58:62, 45:75].mean() < -60  # along the line through both
    assert hu[1, 20:40, 50:70].mean() > hu[1, 58:62, 45:75].mean() + 60
    assert np.abs(hu[1][hu[1] < 8000] - 40).max() <= 1200


@pytest.mark.slow
def test_metal_saturates_the_scan_and_streaks_it():
    spec = ScanSpec(
        person=PERSON,
        ct=CtSpec(pixel_mm=1.5, matrix=(300, 220), slice_mm=3.0, noise_hu=8.0, table=False, blanket=False),
        pet=PetSpec(pixel_mm=4.0, slice_mm=4.0),
        z_range_mm=(780.0, 920.0),
        centre_xy_mm=(0.0, 0.0),
        deposits=(DepositSpec("pelvis", "left", volume_ml=0.5),),
        traps=Traps(hip_prosthesis=True),
    )
    scan = make_scan(spec, SEED)
    plain = make_scan(replace(spec, traps=Traps()), SEED)
    metal = scan.trap_table[scan.trap_table["hu"] == 8000]
    assert len(metal) == 1
    inside = scan.traps.array == metal["index"].iloc[0]
    assert np.median(scan.ct.array[inside]) == 3071
    assert scan.pet_ideal.array.max() < 60
    soft = (plain.tissues.array == TISSUES["muscle"]) & (scan.traps.array == 0)
    streak = (scan.ct_ideal.array.astype(int) - plain.ct_ideal.array)[soft]
    assert np.percentile(streak, 1) < -30
    assert np.percentile(streak, 99) > 30
    # what is bright by a streak alone is the metal's trap in the truth
    row = scan.trap_table[scan.trap_table["trap"].str.startswith("streaks")].iloc[0]
    assert row["name"] == "hip_prosthesis"
    bright = (scan.ct_ideal.array.astype(int) - plain.ct_ideal.array > 80) & (scan.tissues.array == TISSUES["muscle"])
    assert (scan.traps.array[bright] > 0).mean() > 0.95


def test_deposits_keep_away_from_traps(tmp_path):
    """A leg with a spur at its knee and plaques in its artery: deposits lie elsewhere, and truth lists all."""
    deposits = tuple(DepositSpec("thigh", "right", "muscle", volume_ml=0.3, bone_gap_mm=8) for _ in range(3))
    spec = replace(leg_spec(deposits=deposits), traps=Traps(arterial_calcification=True))
    scan = make_scan(spec, SEED)
    trap = scan.traps.world(np.argwhere(scan.traps.array > 0))
    for row in scan.table.to_dict("records"):
        points = scan.deposits.world(np.argwhere(scan.deposits.array == row["label"]))
        assert np.linalg.norm(points[:, None] - trap[None], axis=2).min() > 2
    write_truth(scan, tmp_path)
    rows = read_table(tmp_path / "traps.tsv")
    assert set(rows["name"]) == {"arterial_calcification"}
    labels = read_volume(tmp_path / "traps.nii.gz").array
    assert set(np.unique(labels)) - {0} <= set(rows["index"])
    # what truth says of the scan: the brightest voxel of a plaque on the noise-free CT is brighter than muscle
    assert scan.ct_ideal.array[scan.traps.array > 0].max() > 200


@pytest.mark.parametrize("first", [10_000, 70_000])
def test_twenty_scans_hold_every_trap(first):
    """By construction, whatever is drawn: no scan is made for this."""
    due = {traps_of(seed, np.random.default_rng(0))[0] for seed in range(first, first + 20)}
    assert due == set(TRAPS)


def test_yaml_keys():
    spec = from_mapping({"traps": {"phleboliths": True}, "person": {"arms": "under", "scoliosis_mm": 20}})
    assert spec.traps.phleboliths
    assert not spec.traps.tubes
    assert spec.person.scoliosis_mm == 20
    with pytest.raises(ValueError, match="unknown key 'phlebolith'"):
        from_mapping({"traps": {"phlebolith": True}})
    with pytest.raises(ValueError, match="stones: no trap"):
        switched_on({"stones"})
    assert shaped(PERSON, "rotated_hips", np.random.default_rng(1)).hip_rotation_deg != (0, 0)
    assert shaped(PERSON, "tubes", np.random.default_rng(1)) == PERSON
