"""Phantoms look right: no bone floats, teeth stand in the jaws, hands lie on the belly; the sheet is drawn."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.spatial import cKDTree

from calciflow.phantom import sheet
from calciflow.phantom.axial_bones import teeth
from calciflow.phantom.model import Person
from calciflow.phantom.pose import trunk_lofts
from calciflow.phantom.shapes import Grid, field
from calciflow.phantom.spec import PersonSpec

_STEP = 2.0


def inside_points(shape):
    low, high = shape.bounds()
    size = np.ceil((high - low) / _STEP).astype(int) + 1
    grid = Grid((int(size[2]), int(size[1]), int(size[0])), (_STEP,) * 3, tuple(map(float, low)))
    _, distance = field(shape, grid, 0.0)
    return np.argwhere(distance < 0.5 * _STEP)[:, ::-1] * _STEP + low


@pytest.mark.slow
@pytest.mark.parametrize("asymmetry", [0.0, 4.0])
@pytest.mark.parametrize("person", sheet.PEOPLE, ids=["thin", "middling", "obese"])
def test_no_bone_floats(person, asymmetry):
    """Every bone lies within a joint's width of another one; ribs end in cartilage, so they are held by vertebrae."""
    body = Person.make(replace(person, asymmetry_mm=asymmetry), 9)
    axial, free = body.bones()
    bones = [bone for bone in axial + free if not bone.name.startswith("left")]
    points = {bone.name: inside_points(bone.shape) for bone in bones}
    trees = {name: cKDTree(at) for name, at in points.items()}
    gaps = {}
    for name, at in points.items():
        some = at[:: max(1, len(at) // 150)]
        near = [n for n in points if n != name and np.all(points[n].min(0) < at.max(0) + 25) and
                np.all(points[n].max(0) > at.min(0) - 25)]  # fmt: skip
        gaps[name] = min((float(trees[n].query(some)[0].min()) for n in near), default=np.inf)
    # the patella stands before its groove on a layer of cartilage; the breast bone is held by the ribs' cartilage
    allowed = {"sternum": 40.0}
    for name, gap in gaps.items():
        assert gap < allowed.get(name, 9.0 * person.height_m / 1.7), name
    assert gaps["right calcaneus"] < 3


def test_teeth_stand_in_the_jaws():
    axial, _ = Person.make(PersonSpec(), 1).bones()
    jaws = np.concatenate([inside_points(b.shape) for b in axial if b.name in ("mandible", "face")])
    tree = cKDTree(jaws)
    for tooth in teeth(1.0):
        assert tree.query(inside_points(tooth))[0].min() < 2 * _STEP


@pytest.mark.parametrize("bmi", [17.0, 24.0, 31.0, 38.0])
@pytest.mark.parametrize("height", [1.5, 1.9])
def test_hands_lie_on_the_belly(bmi, height):
    person = Person.make(PersonSpec(height, bmi, "F", 50, "belly"), 3)
    _, skin = trunk_lofts(person.build)
    s = person.build.scale
    for item in person.limbs:
        palm = 0.5 * (item.wrist + item.knuckles)
        x, y, z = palm.astype(np.float32).reshape(3, 1)
        assert 10 * s < float(skin.distance(x, y, z)[0]) < 60 * s


@pytest.mark.slow
def test_sheet(tmp_path):
    sheet.draw(tmp_path / "one.png", (PersonSpec(1.6, 22, "F", 40, "down"),), dpi=50)
    with Image.open(tmp_path / "one.png") as image:
        assert image.mode == "L"
        assert np.asarray(image).std() > 20


@pytest.mark.realdata
def test_real_scan_is_read_in_ras(testdata):
    """The right thigh's crop: its axes run to the right, to the front and to the head."""
    ct, pet = sheet.read_real(testdata / "sts" / "STS_001")
    for volume in (ct, pet):
        assert (np.diag(volume.affine)[:3] > 0).all()
    assert ct.array.max() > 700
