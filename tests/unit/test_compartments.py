"""Compartments, regions and marks on an analytic limb."""

import dataclasses
import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from calciflow.compartments import classify_scan, place_lesions
from calciflow.deposits.rows import COLUMNS
from calciflow.files import write_json
from calciflow.images import write_volume
from calciflow.labels import COMPARTMENTS, LESION_COLUMNS, TISSUES, region_label
from calciflow.lesions import Rules, detect
from calciflow.mapping import Mapping
from calciflow.placement.compartment import Surroundings, hand_joint_mm, probabilities
from calciflow.placement.layers import read_layers
from calciflow.placement.marks import Placed, at_pressure_point, marks
from calciflow.placement.region import place
from calciflow.tables import read_table, write_table

_SPEC = importlib.util.spec_from_file_location("lesion_bodies", Path(__file__).parent.parent / "lesion_bodies.py")
bodies = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(bodies)
Ball = bodies.Ball

SETTINGS = {"shell_mm": 3.0, "capsule_mm": 3.0, "midline_mm": 15.0}


def placed(limb, **anatomy):
    facts = {**limb.anatomy, **anatomy}
    found = detect(
        limb.ct, limb.suv, limb.tissues, limb.regions, facts, Mapping.identity(), Rules(),
        scan={"participant_id": "sub-01", "session_id": "ses-01"}, kvp=120.0, fwhm_mm=6.0, tolerance_mm=2.0,
    )  # fmt: skip
    frame = pd.DataFrame(found.rows, columns=COLUMNS)
    return pd.DataFrame(place_lesions(frame, found.labels, limb.ct, limb.tissues, limb.regions, facts, **SETTINGS))


def only(frame):
    assert len(frame) == 1
    return frame.iloc[0]


@pytest.mark.parametrize(
    ("ball", "compartment"),
    [
        (Ball(0.0, 52.0, 0.0, 0.15, 600.0), "subcutaneous"),
        (Ball(30.0, 0.0, 0.0, 0.5, 600.0), "muscle"),
        (Ball(0.0, 52.0, 0.0, 0.3, None, 12.0), "subcutaneous"),
        (Ball(-28.0, 0.0, 0.0, 0.6, None, 9.0), "muscle"),
    ],
)
def test_tissue_around_decides(ball, compartment):
    row = only(placed(bodies.limb([ball], half_z=24.0)))
    assert row.compartment == compartment
    assert row.compartment_probability > 0.8
    assert row.region == "thigh"
    assert row.side == "right"


def test_the_reason_gives_the_numbers():
    row = only(placed(bodies.limb([Ball(0.0, 51.5, 0.0, 0.1, 600.0)], half_z=24.0)))
    assert "of the 3 mm shell is subcutaneous fat" in row.reason
    assert "mm under the surface" in row.reason
    assert "fascia" in row.reason
    assert row.reason.endswith(".")
    assert row.p_subcutaneous == row.compartment_probability


def shell_limb(inner, outer, half_angle=0.5, half_z=12.0, hu=500):
    """The limb with a curved plate between two radii."""
    limb = bodies.limb([], ct_spacing=(2.0, 1.0, 1.0), half_z=30.0)
    z, y, x = bodies._axes(limb.ct.array.shape, limb.ct.affine)
    radius = np.hypot(x, y) + 0 * z
    plate = (radius >= inner) & (radius <= outer) & (np.abs(np.arctan2(x, y)) <= half_angle) & (np.abs(z) <= half_z)
    soft = ndimage.gaussian_filter(plate.astype(np.float32), (0.3, 0.7, 0.7))
    ct = limb.ct.array + (soft * (hu - limb.ct.array)).astype(np.int16)
    return bodies.Limb(limb.ct.like(ct.astype(np.int16)), limb.suv, limb.tissues, limb.regions, limb.anatomy)


def test_sheet_along_the_border_of_fat_and_muscle_is_fascia():
    row = only(placed(shell_limb(43.5, 46.5)))
    assert row.morphology == "sheet"
    assert row.compartment == "fascia"
    assert "border of fat and muscle" in row.reason


def test_sheet_deep_in_muscle_is_not_fascia():
    row = only(placed(shell_limb(28.0, 31.0, half_angle=0.8)))
    assert row.morphology == "sheet"
    assert row.compartment == "muscle"


def test_plaque_in_the_skin_is_skin():
    row = only(placed(shell_limb(57.0, 60.0, half_angle=0.15, half_z=8.0)))
    assert row.compartment == "skin"
    assert row.distance_to_skin_mm <= 0.5


def test_at_a_joints_capsule_and_deep_to_fat_is_periarticular():
    joint = {"name": "knee", "side": "right", "x_mm": 0.0, "y_mm": 0.0, "z_mm": 0.0, "radius_mm": 20.0}
    ball = Ball(17.5, 0.0, 0.0, 0.15, 600.0)
    row = only(placed(bodies.limb([ball], half_z=24.0), joints=[joint]))
    assert row.compartment == "periarticular"
    assert "capsule of the right knee" in row.reason
    far = {**joint, "radius_mm": 7.0}
    assert only(placed(bodies.limb([ball], half_z=24.0), joints=[far])).compartment == "muscle"
    wide = {**joint, "radius_mm": 48.0}
    # In the joint's reach, but in a muscle's belly and not on the bones' ends.
    belly = Ball(30.0, 0.0, 0.0, 0.5, 600.0)
    assert only(placed(bodies.limb([belly], half_z=24.0), joints=[wide])).compartment == "muscle"
    shallow = Ball(0.0, 52.0, 0.0, 0.15, 600.0)
    assert only(placed(bodies.limb([shallow], half_z=24.0), joints=[wide])).compartment == "subcutaneous"


@pytest.mark.parametrize("region", ["foot", "hand"])
def test_the_reason_names_no_joint_that_lies_far_away(region):
    """In the foot the nearest joint that the anatomy knows was once an elbow, 133 mm away."""
    elbow = {"name": "elbow", "side": "left", "x_mm": 150.0, "y_mm": 0.0, "z_mm": 0.0, "radius_mm": 20.0}
    limb = bodies.limb([Ball(17.5, 0.0, 0.0, 0.15, 600.0)], half_z=24.0)
    limb.regions[:] = region_label(region, "right")
    row = only(placed(limb, joints=[elbow]))
    assert row.compartment == "periarticular"
    assert "elbow" not in row.reason
    assert f"from bone, in the {region}, full of small joints" in row.reason
    near = {**elbow, "name": "wrist", "x_mm": 40.0}
    assert "capsule of the left wrist" in only(placed(limb, joints=[near])).reason


def test_over_the_metacarpals_runs_no_joint_but_at_carpus_and_knuckles_all_is_joint():
    # A tendon's nodule in the middle of the hand: 80 mm from the wrist's joint, 45 mm from the fingers.
    limb = bodies.limb([Ball(17.5, 0.0, 0.0, 0.15, 600.0)], half_z=66.0)
    hand, fingers = region_label("hand", "right"), region_label("fingers", "right")
    heights = limb.ct.world(np.argwhere(np.ones((len(limb.ct.array), 1, 1), bool)))[:, 2]
    limb.regions[:] = np.where(heights < -45.0, fingers, hand)[:, None, None]
    limb.regions[limb.tissues == 0] = 0

    def compartment(height, drop=False):
        if drop:
            limb.regions[limb.regions == fingers] = hand
        wrist = {"name": "wrist", "side": "right", "x_mm": 0.0, "y_mm": 0.0, "z_mm": height, "radius_mm": 25.0}
        return only(placed(limb, joints=[wrist])).compartment

    assert compartment(80.0) == "muscle"
    assert compartment(30.0) == "periarticular"
    # without the fingers in view nobody knows where the knuckles are
    assert compartment(80.0, drop=True) == "periarticular"


def test_the_way_to_carpus_and_knuckles():
    lesion = np.array([[0.0, 0.0, 0.0]])
    fingers = np.array([[0.0, 0.0, -30.0], [0.0, 0.0, -60.0]])
    assert hand_joint_mm(lesion, np.array([0.0, 0.0, 50.0]), fingers) == pytest.approx(20.0)
    assert hand_joint_mm(lesion, np.array([0.0, 0.0, 90.0]), fingers) == pytest.approx(28.0)
    assert hand_joint_mm(lesion, np.array([0.0, 0.0, 30.0]), fingers) == 0.0
    assert hand_joint_mm(lesion, None, fingers) == hand_joint_mm(lesion, fingers[0], np.empty((0, 3))) == 0.0


def around(**changes):
    base = {
        "shares": {"skin": 0.1, "subcutaneous": 0.6, "muscle": 0.3, "other": 0.0},
        "depth_min": 0.2,
        "depth_mean": 2.0,
        "interface": 0.0,
        "to_muscle": 2.0,
        "to_fat": 0.0,
        "joint": "right hand",
        "joint_mm": 0.0,
        "superficial": 0.7,
        "fascia_mm": 4.0,
        "bone_mean": 3.0,
    }
    return Surroundings(**{**base, **changes})


def test_in_digits_skin_and_subcutaneous_are_one_and_pulp_goes_before_joint():
    chances = probabilities(around(), sheet=False, region="fingers", capsule_mm=3.0)
    assert max(chances, key=chances.get) == "subcutaneous"
    assert chances["periarticular"] == 0.0
    elsewhere = probabilities(around(), sheet=False, region="hand", capsule_mm=3.0)
    assert max(elsewhere, key=elsewhere.get) == "skin"


@pytest.mark.parametrize("sheet", [True, False])
@pytest.mark.parametrize("region", ["fingers", "thigh", None])
def test_probabilities_add_up_to_one(sheet, region):
    rng = np.random.default_rng(0)
    for _ in range(50):
        shares = rng.dirichlet(np.ones(4) * 0.3)
        names = ("skin", "subcutaneous", "muscle", "other")
        chances = probabilities(
            around(
                shares=dict(zip(names, shares, strict=True)),
                depth_min=float(rng.uniform(0, 5)),
                interface=float(rng.uniform(0, 1)),
                depth_mean=float(rng.uniform(0, 30)),
                joint_mm=float(rng.choice([0.0, 3.0, np.inf])),
                superficial=float(rng.choice([0.0, 0.5, np.nan])),
                fascia_mm=float(rng.choice([4.0, np.inf, np.nan])),
                bone_mean=float(rng.choice([1.0, 9.0, np.inf])),
            ),
            sheet=sheet,
            region=region,
            capsule_mm=3.0,
        )
        assert set(chances) == set(COMPARTMENTS)
        assert sum(chances.values()) == pytest.approx(1.0)
        assert min(chances.values()) >= 0


def test_what_is_dense_makes_the_fat_around_it_no_muscle():
    """Calcium blurred into fat reads like muscle on a map by HU: the shell begins beyond the blur."""
    limb = bodies.limb([Ball(0.0, 52.0, 0.0, 0.4, 900.0)], half_z=24.0)
    near = np.linalg.norm(limb.ct.world(np.argwhere(limb.tissues > 0)) - [0.0, 52.0, 0.0], axis=1) < 6.5
    tissues = limb.tissues.copy()
    tissues[tuple(np.argwhere(limb.tissues > 0)[near].T)] = TISSUES["muscle"]
    row = only(placed(dataclasses.replace(limb, tissues=tissues)))
    assert row.compartment == "subcutaneous"
    assert row.compartment_probability > 0.8


def test_sheet_in_a_thin_layer_of_fat_is_not_fascia():
    """Sheet and fascia 3 mm apart: all of the sheet lies near the border, but its middle lies in the fat."""
    row = only(placed(shell_limb(48.0, 50.0)))
    assert row.compartment == "subcutaneous"
    assert "fascia" in row.reason


@pytest.mark.parametrize(("depth", "compartment"), [(1.5, "skin"), (4.5, "subcutaneous")])
def test_middle_of_the_calcium_tells_skin_from_fat(depth, compartment):
    row = only(placed(bodies.limb([Ball(0.0, bodies.SKIN_MM - depth, 0.0, 0.05, 900.0)], half_z=24.0)))
    assert row.compartment == compartment


def test_layers_are_read_beside_the_lesion():
    labels = np.zeros((20, 30, 30), np.uint8)
    labels[:, 2:] = TISSUES["muscle"]
    labels[:, 2:10] = TISSUES["subcutaneous_fat"]
    labels[:, 2:3] = TISSUES["skin"]
    depth = np.broadcast_to((np.arange(30) - 1.5)[None, :, None], labels.shape).astype(np.float32)
    far = np.full(labels.shape, 5.0, np.float32)
    layers = read_layers(labels, depth, far, 2.0)
    assert layers.fascia_mm == pytest.approx(8.0, abs=0.6)
    assert layers.superficial(np.array([3.0]))[0] == pytest.approx(1.0, abs=0.02)
    assert layers.superficial(np.array([15.0]))[0] == pytest.approx(0.0, abs=0.02)
    assert np.isnan(read_layers(labels, depth, np.full(labels.shape, 1.0, np.float32), 2.0).fascia_mm)
    only_fat = np.where(labels > 0, TISSUES["subcutaneous_fat"], 0).astype(np.uint8)
    assert read_layers(only_fat, depth, far, 2.0).fascia_mm == np.inf


def test_side_is_the_midline_only_in_axial_regions():
    midline = {"point_mm": [0.0, 0.0, 0.0], "normal": [1.0, 0.0, 0.0]}
    chest = np.full(10, region_label("chest", "left"), np.uint8)
    thigh = np.full(10, region_label("thigh", "left"), np.uint8)
    near, far = np.array([-9.0, 0.0, 0.0]), np.array([-40.0, 0.0, 0.0])
    assert place(chest, near, midline, 15.0) == ("chest", "midline")
    assert place(chest, far, midline, 15.0) == ("chest", "left")
    assert place(thigh, near, midline, 15.0) == ("thigh", "left")
    assert place(np.zeros(4, np.uint8), near, midline, 15.0) == (None, None)


def test_symmetric_uptake_in_muscle_is_flagged_as_possible_myositis():
    left, right = Ball(-29.0, 0.0, 0.0, 4.0, None, 4.0), Ball(29.0, 0.0, 0.0, 4.0, None, 4.0)
    middle = {"point_mm": [0.0, 0.0, 0.0], "normal": [1.0, 0.0, 0.0]}
    both = placed(bodies.limb([left, right], half_z=30.0), midline=middle)
    assert set(both.compartment) == {"muscle"}
    assert both["flags"].str.contains("possible myositis").all()
    one = placed(bodies.limb([left], half_z=30.0), midline=middle)
    assert "possible myositis" not in str(only(one)["flags"])


def uptake(number, x, volume_ml, ratio, region="chest"):
    """A row of uptake in muscle without calcium."""
    row = {"lesion_id": number, "concordance": "CT-PET+", "compartment": "muscle", "region": region, "flags": None}
    return row | {"x_mm": x, "y_mm": 5.0 * number, "z_mm": 0.0, "pet_volume_ml": volume_ml, "suv_ratio": ratio}


@pytest.mark.parametrize(
    ("what", "rows", "flagged"),
    [
        ("small ones alone may be chance", [uptake(1, -120.0, 0.3, 2.8), uptake(2, 122.0, 0.3, 2.9)], []),
        (
            "small ones of a person with an inflamed thigh",
            [uptake(1, -120.0, 0.3, 2.8), uptake(2, 122.0, 0.3, 2.9), uptake(3, 90.0, 300.0, 3.0, "thigh")],
            [1, 2, 3],
        ),
        (
            "one side alone",
            [uptake(1, -120.0, 0.3, 2.8), uptake(3, 90.0, 300.0, 3.0, "thigh")],
            [3],
        ),
        (
            "of unlike uptake",
            [uptake(1, -120.0, 0.3, 2.0), uptake(2, 122.0, 0.3, 5.0), uptake(3, 90.0, 300.0, 3.0, "thigh")],
            [3],
        ),
        (
            "hotter than inflamed muscle",
            [uptake(1, -120.0, 0.3, 9.0), uptake(2, 122.0, 0.3, 9.0), uptake(3, 90.0, 300.0, 3.0, "thigh")],
            [3],
        ),
        (
            "another mass is not modest",
            [uptake(1, -120.0, 0.3, 2.8), uptake(2, 122.0, 0.3, 2.9), uptake(3, 90.0, 300.0, 9.0, "thigh")],
            [],
        ),
    ],
)
def test_small_mirrored_patches_need_an_inflamed_muscle(what, rows, flagged):
    middle = {"midline": {"point_mm": [0.0, 0.0, 0.0], "normal": [1.0, 0.0, 0.0]}}
    nothing = np.zeros((1, 1, 1), bool)
    marks([Placed(row, nothing, None, None, None) for row in rows], middle)
    assert [row["lesion_id"] for row in rows if "possible myositis" in str(row["flags"])] == flagged, what


def test_calcium_settled_under_fluid_is_flagged():
    def layered(front, behind):
        limb = bodies.limb([Ball(0.0, 29.0, 0.0, 9.0, 300.0)], ct_spacing=(2.0, 1.0, 1.0), half_z=24.0, noise_hu=8.0)
        ball = Ball(0.0, 29.0, 0.0, 9.0)
        z, y, x = bodies._axes(limb.ct.array.shape, limb.ct.affine)
        inside = (x - ball.x) ** 2 + (y - ball.y) ** 2 + (z - ball.z) ** 2 <= (ball.radius - 0.7) ** 2
        ct = limb.ct.array.copy()
        ct[inside & (y + 0 * x + 0 * z >= 29.0)] = front
        ct[inside & (y + 0 * x + 0 * z < 29.0)] = behind
        return bodies.Limb(limb.ct.like(ct), limb.suv, limb.tissues, limb.regions, limb.anatomy)

    assert "fluid-calcium level" in str(only(placed(layered(250, 600)))["flags"])
    assert "fluid-calcium level" not in str(only(placed(layered(600, 600)))["flags"])


def test_a_lesion_missing_from_the_map_is_an_error():
    limb = bodies.limb([], half_z=12.0)
    frame = pd.DataFrame([{**dict.fromkeys(COLUMNS), "lesion_id": 1, "concordance": "CT+PET-"}])
    with pytest.raises(ValueError, match="lesion 1"):
        place_lesions(
            frame, np.zeros(limb.ct.array.shape, np.uint16), limb.ct, limb.tissues, limb.regions, {}, **SETTINGS
        )


STILL = {"tolerance_mm": 3.0, "misregistered": []}


def stage(tmp_path, limb, labels, rows, registration=STILL):
    write_volume(tmp_path / "ct.nii.gz", limb.ct, np.int16)
    write_volume(tmp_path / "tissues.nii.gz", limb.ct.like(limb.tissues), np.uint8)
    write_volume(tmp_path / "regions.nii.gz", limb.ct.like(limb.regions), np.uint8)
    write_volume(tmp_path / "lesions.nii.gz", limb.ct.like(labels), np.uint16)
    write_json(tmp_path / "anatomy.json", limb.anatomy)
    write_json(tmp_path / "xfm.json", registration)
    write_table(tmp_path / "candidates.tsv", rows, COLUMNS)
    classify_scan(
        ct=str(tmp_path / "ct.nii.gz"),
        tissues=str(tmp_path / "tissues.nii.gz"),
        regions=str(tmp_path / "regions.nii.gz"),
        anatomy=str(tmp_path / "anatomy.json"),
        lesions=str(tmp_path / "lesions.nii.gz"),
        candidates=str(tmp_path / "candidates.tsv"),
        xfm_json=str(tmp_path / "xfm.json"),
        table=str(tmp_path / "table.tsv"),
    )
    return (tmp_path / "table.tsv").read_bytes()


def test_stage_fills_every_contract_column_and_repeats_itself(tmp_path):
    limb = bodies.limb([Ball(30.0, 0.0, 10.0, 0.5, 700.0, 12.0), Ball(0.0, 52.0, -15.0, 0.3, 500.0)], half_z=30.0)
    found = detect(
        limb.ct, limb.suv, limb.tissues, limb.regions, limb.anatomy, Mapping.identity(), Rules(),
        scan={"participant_id": "sub-01", "session_id": "ses-01"}, kvp=120.0, fwhm_mm=6.0,
    )  # fmt: skip
    assert stage(tmp_path, limb, found.labels, found.rows) == stage(tmp_path, limb, found.labels, found.rows)
    frame = read_table(tmp_path / "table.tsv")
    assert list(frame.columns[: len(LESION_COLUMNS)]) == list(LESION_COLUMNS)
    assert list(frame.columns[-6:]) == [f"p_{name}" for name in COMPARTMENTS]
    for name in ("compartment", "compartment_probability", "region", "side", "reason", "morphology", "lesion_uid"):
        assert frame[name].notna().all()
    assert set(frame.compartment) <= set(COMPARTMENTS)
    assert list(frame.lesion_uid) == [row["lesion_uid"] for row in found.rows]


def test_where_pet_and_ct_lie_apart_no_uptake_is_not_called_negative(tmp_path):
    # A pair and a cold deposit in a thigh whose uptake was found 7 mm beside its skeleton.
    limb = bodies.limb([Ball(30.0, 0.0, 10.0, 0.5, 700.0, 12.0), Ball(-28.0, 0.0, -12.0, 1.5, 600.0)], half_z=30.0)
    found = detect(
        limb.ct, limb.suv, limb.tissues, limb.regions, limb.anatomy, Mapping.identity(), Rules(),
        scan={"participant_id": "sub-01", "session_id": "ses-01"}, kvp=120.0, fwhm_mm=6.0,
    )  # fmt: skip
    stage(tmp_path, limb, found.labels, found.rows)
    sure = read_table(tmp_path / "table.tsv", text_columns=("flags",)).set_index("concordance")
    assert sure.loc["CT+PET-", "pet_status"] == "negative"
    assert not sure["flags"].astype(str).str.contains("misregistered").any()
    moved = {"tolerance_mm": 3.0, "misregistered": ["left hand", "right thigh"]}
    stage(tmp_path, limb, found.labels, found.rows, moved)
    doubtful = read_table(tmp_path / "table.tsv", text_columns=("flags",)).set_index("concordance")
    assert doubtful["flags"].str.contains("misregistered").all()
    assert doubtful.loc["CT+PET-", "pet_status"] == "indeterminate"
    assert doubtful.loc["CT+PET+", "pet_status"] == "positive"
    # Another region's motion says nothing about this one.
    moved["misregistered"] = ["left thigh", "right knee"]
    stage(tmp_path, limb, found.labels, found.rows, moved)
    assert "misregistered" not in (tmp_path / "table.tsv").read_text()


def test_no_lesion_is_a_valid_table(tmp_path):
    limb = bodies.limb([], half_z=12.0)
    text = stage(tmp_path, limb, np.zeros(limb.ct.array.shape, np.uint16), []).decode()
    assert text.count("\n") == 1
    assert text.startswith("participant_id\tsession_id")


def test_settings_are_the_stages_arguments():
    import inspect

    from calciflow.settings import Compartments

    given = Compartments().model_dump()
    parameters = inspect.signature(classify_scan).parameters
    assert given == {name: parameters[name].default for name in given}


@pytest.mark.parametrize(
    ("change", "pressed"),
    [
        ({}, True),
        ({"compartment": "muscle"}, False),
        ({"region": "thigh"}, False),
        ({"distance_to_bone_mm": 30.0}, False),
    ],
)
def test_superficial_deposit_over_bone_at_the_elbow_is_a_pressure_point(change, pressed):
    row = {"region": "elbow", "compartment": "subcutaneous", "distance_to_bone_mm": 6.0, **change}
    assert at_pressure_point(row) is pressed


def test_uptake_at_a_joint_without_calcium_may_be_arthritis():
    joint = {"name": "knee", "side": "right", "x_mm": 0.0, "y_mm": 0.0, "z_mm": 0.0, "radius_mm": 20.0}
    hot = Ball(17.5, 0.0, 0.0, 0.6, None, 9.0)
    assert "arthritis?" in only(placed(bodies.limb([hot], half_z=24.0), joints=[joint]))["flags"]
    calcified = Ball(17.5, 0.0, 0.0, 0.6, 600.0, 9.0)
    assert "arthritis?" not in str(only(placed(bodies.limb([calcified], half_z=24.0), joints=[joint]))["flags"])
    away = only(placed(bodies.limb([Ball(-28.0, 0.0, 0.0, 0.6, None, 9.0)], half_z=24.0), joints=[]))
    assert "arthritis?" not in str(away["flags"])


@pytest.mark.parametrize(
    ("what", "bone_mm", "joint_mm", "sides", "flagged"),
    [
        ("both shoulders, at bone beside the joint", 0.0, 4.0, (1, -1), [1, 2]),
        ("one shoulder", 0.0, 4.0, (1,), []),
        ("apart from bone", 8.0, 4.0, (1, -1), []),
        ("far from the joint", 0.0, 30.0, (1, -1), []),
    ],
)
def test_mirrored_uptake_at_bone_beside_a_joint_may_be_arthritis(what, bone_mm, joint_mm, sides, flagged):
    middle = {"midline": {"point_mm": [0.0, 0.0, 0.0], "normal": [1.0, 0.0, 0.0]}}
    rows = [
        uptake(number, 145.0 * side, 1.3, 6.5, "shoulder") | {"distance_to_bone_mm": bone_mm}
        for number, side in enumerate(sides, 1)
    ]
    around = SimpleNamespace(joint_mm=joint_mm)
    marks([Placed(row, np.zeros((1, 1, 1), bool), None, None, around) for row in rows], middle)
    assert [row["lesion_id"] for row in rows if row["flags"] == "arthritis?"] == flagged, what
