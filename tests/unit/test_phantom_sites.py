"""Deposits at the places the disease likes: fingertips, tendon sheaths, carpal tunnel, against bone and skin."""

import numpy as np
import pytest

from calciflow.labels import TISSUES
from calciflow.phantom.body import FINGERS, SKIN_MM
from calciflow.phantom.model import Person
from calciflow.phantom.scan import make_scan
from calciflow.phantom.sites import joints_of
from calciflow.phantom.spec import CtSpec, DepositSpec, PersonSpec, PetSpec, ScanSpec
from calciflow.phantom.structures import STRUCTURES

SEED = 2
PERSON = PersonSpec(1.7, 24.0, "M", 60, "down")


@pytest.fixture(scope="module")
def person():
    return Person.make(PERSON, SEED)


@pytest.fixture(scope="module")
def hand(person):
    """The right hand at 1 mm, with a cluster in the fingertips, and one deposit at each other site."""
    item = next(one for one in person.limbs if one.side == "right")
    middle = (item.wrist + item.knuckles) / 2
    common = {"region": "hand", "volume_ml": 0.05, "bone_gap_mm": 0.5, "hu": 700.0}
    deposits = (
        DepositSpec("fingers", volume_ml=0.05, count=4, spread_mm=45, site="fingertip", bone_gap_mm=0.5),
        DepositSpec(compartment="muscle", site="tendon", **common),
        DepositSpec(compartment="muscle", site="carpal_tunnel", **common),
        DepositSpec(compartment="subcutaneous", touches="skin", **common),
        DepositSpec(compartment="periarticular", touches="bone", **(common | {"bone_gap_mm": 0.0})),
    )
    ct = CtSpec(pixel_mm=1.0, matrix=(150, 150), slice_mm=1.0, table=False, blanket=False)
    spec = ScanSpec(
        person=PERSON,
        ct=ct,
        pet=PetSpec(pixel_mm=3.0, slice_mm=3.0),
        z_range_mm=(float(middle[2]) - 190, float(middle[2]) + 80),
        centre_xy_mm=(float(middle[0]), float(middle[1])),
        deposits=deposits,
    )
    return make_scan(spec, SEED)


def voxels(scan, label):
    return scan.deposits.world(np.argwhere(scan.deposits.array == label))


def test_fingertips(hand, person):
    frame = next(one for one in person.limbs if one.side == "right").frames["hand"]
    tips = np.array([frame.point(*(np.array(chain[-1]) * person.build.scale)) for chain in FINGERS.values()])
    cluster = hand.table[hand.table["cluster"] == 1]
    assert len(cluster) >= 2
    assert set(cluster["site"]) == {"fingertip"}
    assert set(cluster["region"]) == {"fingers"}
    for row in cluster.to_dict("records"):
        centre = np.array([row["x_mm"], row["y_mm"], row["z_mm"]])
        assert np.linalg.norm(tips - centre, axis=1).min() < 16
    sizes = cluster["volume_ml"].to_numpy()
    assert sizes.min() > 0.005


def test_tendon_and_tunnel(hand, person):
    frame = next(one for one in person.limbs if one.side == "right").frames["hand"]
    tendon = hand.structures.world(np.argwhere(hand.structures.array == STRUCTURES["tendon"]))
    for site in ("tendon", "carpal_tunnel"):
        row = hand.table[hand.table["site"] == site].iloc[0]
        points = voxels(hand, row["label"])
        away = np.linalg.norm(tendon[None] - points[:, None], axis=2).min()
        assert away < 5, site
    axes = [c.reshape(-1, 1, 1) for c in points.astype(np.float32).T]
    u, v, w = (c.mean() / person.build.scale for c in frame.local(*axes))
    assert abs(u) < 14  # between the hook of the hamate and the trapezium
    assert v > 0  # on the palm's side of the carpal bones
    assert -15 < w < 33


def test_contact(hand):
    table = hand.table.set_index("label")
    beside = table[table["form"] == "nodule"].iloc[-1]
    assert beside["compartment"] == "periarticular"
    assert beside["distance_to_bone_mm"] <= 2.0  # from voxel centre to voxel centre, at 1 mm
    skin = table[(table["compartment"] == "subcutaneous") & (table["region"] == "hand")].iloc[0]
    assert skin["distance_to_skin_mm"] < SKIN_MM + 1.5
    assert "skin" in skin["neighbours"].split(",")


def test_neighbours_are_what_lies_within_two_mm(hand):
    """Checked with the distance of each voxel to the label map's other tissues."""
    named = {"subcutaneous": "subcutaneous_fat", "muscle": "muscle"}
    for row in hand.table[hand.table["site"] != "fingertip"].to_dict("records"):
        points = voxels(hand, row["label"])
        for compartment, tissue in named.items():
            if compartment == row["compartment"] or (compartment == "muscle" and row["compartment"] == "fascia"):
                continue
            low = np.floor(hand.tissues.index(points.min(axis=0)[None] - 6)[0]).astype(int).clip(0)
            high = np.ceil(hand.tissues.index(points.max(axis=0)[None] + 6)[0]).astype(int)
            cut = hand.tissues.array[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
            other = hand.tissues.world(np.argwhere(cut == TISSUES[tissue]) + low)
            gap = np.linalg.norm(other[None] - points[:, None], axis=2).min() if len(other) else 99
            said = compartment in str(row["neighbours"]).split(",")
            if gap < 1.0:
                assert said, row
            elif gap > 3.5:
                assert not said, row


def test_joints_lie_where_bones_meet(person):
    centres = np.array([centre for centre, _ in joints_of(person.limbs, person.build.scale)])
    for item in person.limbs:
        for joint in (item.knee, item.elbow, item.hip):
            assert np.linalg.norm(centres - joint, axis=1).min() == 0
